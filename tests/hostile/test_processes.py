"""Processes that would stay after their run."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from fleetbot.wire import Assignment
from tests.hostile.conftest import Hostile
from tests.runner.adapters.harness import Exit
from tests.runner.run.test_restart import daemon

WAYS = (
    "{0} &",
    "setsid {0} &",
    "env -i setsid {0} &",
    "(env -i setsid sh -c '{0} &' &)",
    "setsid sh -c 'while :; do {0} & wait; done' &",
    "trap '' TERM INT HUP; env -i setsid nohup {0} >/dev/null 2>&1 &",  # deaf
)
WITHOUT_KEEPER = "env -i setsid {0} & kill -9 $PPID; sleep 2"


def stays(order: Assignment) -> str:
    """A command that stays, and is like no other on this machine."""
    return f"sleep 600 0.{int(order.run.removeprefix('run-'), 16)}"


def alive(command: str) -> list[int]:
    """The processes with this command line, inside of sandboxes too."""
    wanted, found = "\0".join(command.split()), []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and wanted in (entry / "cmdline").read_text("latin-1"):
                found.append(int(entry.name))
        except OSError:
            continue
    return found


@pytest.mark.parametrize("way", [" ".join(WAYS), WITHOUT_KEEPER], ids=["all", "no keeper"])
async def test_nothing_outlives_its_run(hostile: Hostile, way: str) -> None:
    order = await hostile.scene.order()
    command = stays(order)

    await hostile.run(f"echo work > work.txt; {way.format(command)}", order)

    assert alive(command) == []


async def test_nor_a_hook(hostile: Hostile) -> None:
    """Nor does a hook wait for what it started."""
    scene, order = hostile.scene, await hostile.scene.order()
    command = stays(order)
    hooks = f"""
        [workspace.hooks]
        before_run = {{ run = "env -i setsid {command} & echo started", timeout_seconds = 20 }}
    """

    await scene.carry_out("date > x", order, agent=hostile.settings(), more=hooks)

    assert scene.orchestrator.failures == {}
    assert alive(command) == []


async def test_a_runner_that_dies_takes_its_programs_with_it(hostile: Hostile) -> None:
    scene, order = hostile.scene, await hostile.scene.order()
    command = stays(order)
    script = f"env -i setsid {command} & echo at work; {command}"
    config = scene.config_file(script, agent=hostile.settings())
    await scene.orchestrator.assign(order)

    async with daemon(config) as runner:
        await scene.orchestrator.until(lambda o: "at work" in o.log_of(order.run))
        ends = [Exit(pid) for pid in alive(command)]
        runner.send(signal.SIGKILL)
        await runner.end()

    assert ends
    for end in ends:
        await end.comes()
        end.close()
    assert alive(command) == []
