"""What the doctor makes of the machines that runners tell of: what is wrong, and what to do."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from fleetbot.domain import commands as cmd
from fleetbot.domain.events import AgentRegistered
from fleetbot.domain.machine import MachineFacts
from fleetbot.domain.model import AgentName
from fleetbot.services.findings import Finding, Mark
from fleetbot.services.machines import OfMachines
from tests.services.stage import CLAUDE, TEST, Stage

GB = 10**9
WELL = MachineFacts(
    fleetbot="0.2.0",
    python="3.11.9",
    git="2.43.0",
    system="Linux 6.1",
    sandbox="bubblewrap",
    disk_free=80 * GB,
    least_free=2 * GB,
)
CODEX = AgentName("codex-1")


async def given_agent(
    stage: Stage, name: AgentName, facts: MachineFacts | None, host: str = "attic", *health: str
) -> None:
    told = AgentRegistered(adapter="command", host=host, health=health)
    await stage.fleet.commit(cmd.RegisterAgent(name, told), TEST)
    stage.fleet.saw(name, ())
    stage.fleet.note_machine(name, facts)


async def found(stage: Stage) -> list[Finding]:
    return list(await OfMachines(stage.fleet, "0.2.0").examine())


async def test_a_machine_that_is_well_is_told_once_for_all_its_agents(stage: Stage) -> None:
    await given_agent(stage, CLAUDE, WELL)
    await given_agent(stage, CODEX, WELL.apart_from_disk())

    (one,) = await found(stage)

    assert (one.name, one.mark) == ("runner attic", Mark.WELL)
    assert one.says == (
        "fleetbot 0.2.0, Python 3.11.9, git 2.43.0, Linux 6.1, bubblewrap, 80.0 GB free;"
        " `claude-1`, `codex-1`"
    )


@pytest.mark.parametrize(
    ("change", "says", "remedy"),
    [
        ({"fleetbot": "0.1.9"}, "fleetbot 0.1.9, the plugin is 0.2.0", "Upgrade the runner"),
        ({"fleetbot": "0.10.0"}, "fleetbot 0.10.0, the plugin is 0.2.0", "Upgrade the plugin"),
        (
            {"disk_free": GB},
            "1.0 GB free, 2 GB are the least: it takes nothing",
            "Free some space there",
        ),
        (
            {"is_root": True, "sandbox": "none"},
            "root and without a sandbox: its programs may read and change everything there",
            "docs/howto/sandboxing.md",
        ),
    ],
)
async def test_what_is_wrong_with_a_machine_is_told_with_what_to_do(
    stage: Stage, change: dict[str, object], says: str, remedy: str
) -> None:
    await given_agent(stage, CLAUDE, replace(WELL, **change))

    (one,) = await found(stage)

    assert one.mark is not Mark.WELL
    assert one.says == says
    assert remedy in one.remedy[0]


async def test_a_runner_that_does_not_tell_is_not_held_to_be_well(stage: Stage) -> None:
    await given_agent(stage, CLAUDE, None)

    (one,) = await found(stage)

    assert (one.mark, one.says) == (
        Mark.WARN,
        "its versions, disk and sandbox are not told (`claude-1`)",
    )
    assert "older than fleetbot 0.2.0" in one.remedy[0]


async def test_nor_is_one_that_has_not_been_heard_since_the_start(stage: Stage) -> None:
    await given_agent(stage, CLAUDE, None)
    stage.fleet.state.seen.clear()

    (one,) = await found(stage)

    assert one.mark is Mark.WARN
    assert "next heartbeat" in one.remedy[0]


async def test_a_full_disk_that_a_check_has_found_is_told_once(stage: Stage) -> None:
    full = MachineFacts(disk_free=GB, least_free=2 * GB)
    await given_agent(stage, CLAUDE, full, "attic", "disk: 1.0 GB free at /state")

    (one,) = await found(stage)

    assert one.mark is Mark.WELL
    assert "git not told" in one.says


async def test_agents_that_are_away_say_nothing_of_a_machine(stage: Stage) -> None:
    await given_agent(stage, CLAUDE, WELL)
    await stage.fleet.commit(cmd.DeregisterAgent(CLAUDE), TEST)

    assert await found(stage) == []
