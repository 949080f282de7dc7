"""Child processes have pipes of ours, bounded lines and a sure end."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from fleetbot.runner.sandbox.complete import complete
from fleetbot.runner.sandbox.environment import build_env
from fleetbot.runner.sandbox.lines import read_lines
from fleetbot.runner.sandbox.process import Process, survivors, sweep
from tests.runner.adapters.harness import Exit, Fifo

RUN = f"process-{os.getpid()}"  # two test runs on one machine must not sweep each other
# Leaves its parent, its group and its session, the way a daemon does.
DAEMON = """
import os, sys, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        print("detached", flush=True)
        time.sleep(600)
    os._exit(0)
os.wait()
"""
# Ways in which programs leave their parents: group, session, environment, parent.
LEAVING = {
    "background": "{0} &",
    "setsid": "setsid {0} &",
    "env -i setsid": "env -i setsid {0} &",
    "double fork": '(env -i setsid sh -c "{0} &" &)',
    "nohup, disowned": "nohup env -i setsid {0} >/dev/null 2>&1 & disown",
}
RUNNER = """
import asyncio, json, signal, sys
from pathlib import Path
from fleetbot.runner.sandbox.process import Process

async def main():
    argv, env = map(json.loads, sys.argv[1:])
    process = await Process.start(argv, cwd=Path("/"), env=env)
    await process.wait()

signal.signal(signal.SIGHUP, signal.SIG_DFL)  # the tests may run under nohup
asyncio.run(main())
"""


def parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def env(tmp_path: Path, source: Mapping[str, str] = os.environ) -> dict[str, str]:
    return build_env(run=RUN, home=tmp_path, source={"PATH": source["PATH"]})


async def start(tmp_path: Path, *argv: str, stdin: bool = False) -> Process:
    return await Process.start(argv, cwd=tmp_path, env=env(tmp_path), stdin=stdin)


async def lines_of(stream: asyncio.StreamReader, limit: int = 1000) -> list[str]:
    return [line async for line in read_lines(stream, limit)]


async def keeper_of(tmp_path: Path, script: str = "", *, is_git: bool = True) -> int:
    """The keeper that a child has, which runs the script."""
    said = await complete(
        ["sh", "-c", f"echo $PPID; {script}"],
        cwd=tmp_path,
        env=env(tmp_path),
        timeout=20,
        is_git=is_git,
    )
    return int(said.stdout)


async def test_gits_keeper_has_the_next_git_too_and_an_agents_keeper_nothing_else(
    tmp_path: Path,
) -> None:
    first = await keeper_of(tmp_path)

    assert await keeper_of(tmp_path) == first
    others = [await keeper_of(tmp_path, is_git=False) for _ in range(2)]
    assert len({first, *others}) == 3


async def test_a_keeper_is_used_again_only_when_nothing_of_the_last_child_is_left(
    tmp_path: Path,
) -> None:
    first = await keeper_of(tmp_path, "env -i setsid sleep 600 & echo $! > pid; exit 3")

    assert not Path(f"/proc/{(tmp_path / 'pid').read_text().strip()}").exists()
    assert await keeper_of(tmp_path) == first


async def test_a_keeper_that_was_killed_while_it_was_idle_is_not_missed(tmp_path: Path) -> None:
    first = await keeper_of(tmp_path)
    end = Exit(first)
    os.kill(first, signal.SIGKILL)
    await end.comes()
    end.close()

    assert await keeper_of(tmp_path) != first


async def test_several_gits_at_once_have_a_keeper_each(tmp_path: Path) -> None:
    keepers = await asyncio.gather(*(keeper_of(tmp_path, "sleep 0.3") for _ in range(6)))

    assert len(set(keepers)) == 6
    assert await keeper_of(tmp_path) in keepers


async def test_stdout_and_stderr_come_apart_and_stdin_is_empty(tmp_path: Path) -> None:
    process = await start(tmp_path, "sh", "-c", "cat; echo out; echo err >&2; exit 7")

    assert await lines_of(process.stdout) == ["out"]
    assert await lines_of(process.stderr) == ["err"]
    assert await process.wait() == 7
    process.close()


async def test_a_child_reads_what_is_written_to_it(tmp_path: Path) -> None:
    process = await start(tmp_path, "cat", stdin=True)

    assert await process.write("a line")
    process.close_stdin()

    assert await lines_of(process.stdout) == ["a line"]
    assert await process.wait() == 0
    assert not await process.write("too late")
    process.close()


async def test_a_line_of_ten_megabytes_is_cut_with_a_note(tmp_path: Path) -> None:
    script = "print('x' * 10_000_000); print('next')"
    process = await start(tmp_path, sys.executable, "-c", script)

    first, second = await lines_of(process.stdout, limit=1000)

    assert first == "x" * 1000 + " … [9999001 more bytes of this line were dropped]"
    assert second == "next"
    await process.wait()
    process.close()


async def test_binary_output_becomes_text(tmp_path: Path) -> None:
    script = "import os; os.write(1, bytes(range(256)) * 10)"
    process = await start(tmp_path, sys.executable, "-c", script)

    text = "\n".join(await lines_of(process.stdout, limit=10_000))

    assert "0123456789" in text
    assert "\x00" not in text
    assert "\x1b" not in text
    await process.wait()
    process.close()


async def test_a_program_that_is_not_there_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        await start(tmp_path, "/nonexistent/program")


async def test_a_child_that_ignores_signals_is_killed(tmp_path: Path) -> None:
    script = "trap '' INT TERM; echo ready; while :; do tail -f /dev/null; done"
    process = await start(tmp_path, "sh", "-c", script)
    assert await anext(read_lines(process.stdout)) == "ready"

    code = await process.stop(signal.SIGINT, grace=0.2)

    assert code == -signal.SIGKILL
    assert survivors(RUN) == []
    process.close()


async def test_a_child_is_given_the_time_to_end_by_itself(tmp_path: Path) -> None:
    script = "trap 'echo bye; exit 4' TERM; echo ready; while :; do sleep 0.05; done"
    process = await start(tmp_path, "sh", "-c", script)
    lines = read_lines(process.stdout)
    assert await anext(lines) == "ready"

    assert await process.stop(signal.SIGTERM, grace=10) == 4

    assert [line async for line in lines] == ["bye"]
    process.close()


@pytest.mark.parametrize("way", ["exit", "stop", "close"])
@pytest.mark.parametrize("leaving", LEAVING.values(), ids=LEAVING)
async def test_what_a_child_left_does_not_outlive_it(
    tmp_path: Path, fifo: Fifo, leaving: str, way: str
) -> None:
    stays = tmp_path / "stays"
    stays.write_text(f"echo $$ > {tmp_path}/pid; echo up > {fifo.path}; exec tail -f /dev/null")
    script = f"{leaving.format(f'sh {stays}')}\nread go; exit 3"
    process = await start(tmp_path, "bash", "-c", script, stdin=True)
    await fifo.heard()
    left = Exit(int((tmp_path / "pid").read_text()))

    if way == "exit":
        await process.write("go")
        assert await process.wait() == 3
        assert left.has_come()
    elif way == "stop":
        await process.stop(signal.SIGTERM, grace=10)
        assert left.has_come()
    process.close()

    await left.comes()
    left.close()


async def test_the_exit_of_a_child_is_its_end_whoever_holds_its_pipes(tmp_path: Path) -> None:
    """A service that a hook starts, for one."""
    process = await start(tmp_path, "sh", "-c", "setsid tail -f /dev/null & echo served")

    assert await process.wait() == 0

    assert await lines_of(process.stdout) == ["served"]
    process.close()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGHUP, signal.SIGTERM])
async def test_the_death_of_the_runner_ends_its_children(
    tmp_path: Path, fifo: Fifo, number: signal.Signals
) -> None:
    script = f"""
        echo $$ > {tmp_path}/pid
        env -i setsid bash -c 'echo $$ > {tmp_path}/left; echo > {fifo.path}; tail -f /dev/null' &
        wait
    """
    argv, options = json.dumps(["bash", "-c", script]), json.dumps(env(tmp_path))
    runner = subprocess.Popen([sys.executable, "-c", RUNNER, argv, options], start_new_session=True)
    await fifo.heard()
    ends = [Exit(int((tmp_path / name).read_text())) for name in ("pid", "left")]

    runner.send_signal(number)

    for child in ends:
        await child.comes()
        child.close()
    runner.wait()


async def test_the_death_of_a_keeper_ends_its_child(tmp_path: Path, fifo: Fifo) -> None:
    script = f"env -i setsid tail -f /dev/null & echo $! > {tmp_path}/left; echo up > {fifo.path}"
    process = await start(tmp_path, "sh", "-c", f"{script}; tail -f /dev/null")
    await fifo.heard()
    left = Exit(int((tmp_path / "left").read_text()))

    os.kill(parent(process.pid), signal.SIGKILL)

    assert await process.wait() == -signal.SIGKILL
    await left.comes()
    left.close()
    process.close()


async def test_children_can_be_had_again_when_somebody_ended_what_starts_them(
    tmp_path: Path,
) -> None:
    process = await start(tmp_path, "tail", "-f", "/dev/null")
    nursery = parent(parent(process.pid))
    gone = Exit(nursery)

    os.kill(nursery, signal.SIGKILL)
    await gone.comes()
    gone.close()

    again = await start(tmp_path, "echo", "again")
    assert await lines_of(again.stdout) == ["again"]
    assert await process.stop(signal.SIGTERM, grace=10) == -signal.SIGTERM  # still kept
    assert await again.wait() == 0
    process.close()
    again.close()


async def test_a_cancelled_command_is_asked_before_it_is_killed(tmp_path: Path) -> None:
    """git removes its lock files when it is asked to end."""
    script = "trap 'rm lock; exit' TERM; touch lock; echo up; while :; do sleep 0.01; done"
    argv, said = ["bash", "-c", script], asyncio.Event()
    running = asyncio.create_task(
        complete(argv, cwd=tmp_path, env=env(tmp_path), timeout=50, watch=lambda _: said.set())
    )
    await said.wait()

    running.cancel()
    await asyncio.gather(running, return_exceptions=True)

    assert running.cancelled()
    assert not (tmp_path / "lock").exists()


async def test_neither_the_runners_variables_nor_its_descriptors_reach_a_child(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORGE_TOKEN", "forge-token-of-the-runner")
    script = "env; cat /proc/$PPID/environ; ls -l /proc/self/fd"
    process = await start(tmp_path, "sh", "-c", script)

    said = await lines_of(process.stdout)

    assert await process.wait() == 0
    assert "forge-token-of-the-runner" not in "\n".join(said)
    assert {line.split()[-3] for line in said if " -> " in line} == {"0", "1", "2", "3"}  # 3: ls's
    process.close()


async def test_a_sweep_kills_only_its_own_run(tmp_path: Path) -> None:
    other = subprocess.Popen(
        ["tail", "-f", "/dev/null"], env={**env(tmp_path), "FLEETBOT_RUN": f"{RUN}-2"}
    )
    try:
        await sweep(RUN)
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


async def test_a_runner_that_comes_back_sweeps_by_the_run_alone(tmp_path: Path) -> None:
    """One whose keepers were killed with it, or that had none."""
    daemon = subprocess.Popen(
        [sys.executable, "-c", DAEMON], env=env(tmp_path), stdout=subprocess.PIPE
    )
    assert daemon.stdout is not None
    assert daemon.stdout.readline() == b"detached\n"
    daemon.wait()
    assert len(survivors(RUN)) == 1

    await sweep(RUN)

    assert survivors(RUN) == []
    daemon.stdout.close()
