"""`fleetbot check`: every finding with what to do, and an exit status that says it all."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import fleetbot
from fleetbot import __version__
from fleetbot.domain.reasons import ReasonCode
from fleetbot.runner import health
from fleetbot.runner.config import load
from fleetbot.runner.git.repositories import Repositories
from fleetbot.runner.session.contract import HealthLine
from tests.runner.boxes import found_sandbox
from tests.runner.run.test_restart import daemon
from tests.runner.scene import REPO, Scene


async def findings(config: Path) -> dict[str, HealthLine]:
    return {f"{who} {line.name}": line async for who, line in health.check(load(config, {}))}


def bad(found: dict[str, HealthLine]) -> dict[str, str]:
    return {name: line.detail for name, line in found.items() if not line.ok}


def edited(config: Path, old: str, new: str) -> Path:
    text = config.read_text()
    assert old in text
    config.write_text(text.replace(old, new))
    return config


async def test_a_machine_that_can_work_is_told_so(scene: Scene) -> None:
    found = await findings(scene.config_file("true"))

    assert bad(found) == {}
    assert {
        "runner git",
        "runner disk",
        "runner forge",
        "runner orchestrator",
        "worker-1 program",
        "worker-1 prompt",
    } <= set(found)


async def test_that_threads_can_be_answered_is_tried_in_the_agents_sandbox(scene: Scene) -> None:
    box = await found_sandbox()
    agent = f'sandbox = "bubblewrap"\nbubblewrap.program = "{box.program}"'
    found = await findings(scene.config_file("true", agent=agent))
    assert found["worker-1 reply"].ok

    package = Path(fleetbot.__file__).parent
    agent += f'\nbubblewrap.hidden = ["{package / "cli.py"}"]'
    line = (await findings(scene.config_file("true", agent=agent)))["worker-1 reply"]
    assert not line.ok
    assert "fleetbot reply" in line.detail


async def test_a_variable_with_a_secret_of_the_runner_is_named_with_what_to_do(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MINE", f"https://bot:{scene.fleet}@forge.example")

    found = await findings(scene.config_file("true", agent='env = ["MINE"]'))

    assert found["worker-1 environment"] == HealthLine(
        "environment",
        False,
        "MINE would hand one of the runner's own secrets to the agent",
        "remove it from the agent's env settings",
    )


async def test_a_forge_token_that_is_wrong_or_anothers_is_found(scene: Scene) -> None:
    found = await findings(edited(scene.config_file("true"), scene.fleet, "0" * 40))
    line = found["runner forge"]
    assert "401" in line.detail
    assert (line.reason, line.remedy) == (ReasonCode.FORGE_LOGIN_FAILED, "correct forge.token")

    config = edited(scene.config_file("true"), scene.fleet, scene.ada)
    assert "belongs to ada" in bad(await findings(config))["runner forge"]


async def test_servers_that_are_away_are_found(scene: Scene) -> None:
    config = edited(scene.config_file("true"), scene.forge.url, "http://127.0.0.1:9")
    await scene.orchestrator.down()

    assert set(bad(await findings(config))) == {"runner forge", "runner orchestrator"}


async def test_a_forge_that_is_away_is_not_laid_to_the_agent(scene: Scene) -> None:
    """Whoever was called was sent to correct the token, and to look at the agent's machine."""
    scene.forge.fail_next("", "/user$", 503, times=9)

    line = (await findings(scene.config_file("true")))["runner forge"]
    async with scene.runner("true"):
        await scene.orchestrator.until(lambda o: bool(o.registered))

    assert line.remedy == "it is asked again until it answers; is forge.url right?"
    (told,) = (line for line in scene.orchestrator.registered[0].health if not line.ok)
    assert told.name == ReasonCode.FORGE_UNAVAILABLE
    assert "503" in told.detail


async def test_an_address_where_fleetbot_is_not_is_found(scene: Scene) -> None:
    config = edited(scene.config_file("true"), "/fleet", "/elsewhere")

    assert "healthz answered 404" in bad(await findings(config))["runner orchestrator"]


async def test_an_agent_that_can_neither_show_a_token_nor_enrol_is_found(scene: Scene) -> None:
    config = scene.config_file("true")
    lines = [x for x in config.read_text().splitlines() if "enrolment_token" not in x]
    config.write_text("\n".join(lines))

    line = (await findings(config))["runner orchestrator"]

    assert line.detail == "an agent has no token yet"
    assert "orchestrator.enrolment_token" in line.remedy


async def test_a_program_a_sandbox_and_a_template_that_cannot_be_had_are_found(
    scene: Scene,
) -> None:
    template = scene.root / "own.j2"
    template.write_text("{{ isue }}")
    agent = f'prompt = "own.j2"\nsandbox = "bubblewrap"\nbubblewrap.program = "{scene.root}/none"'
    config = edited(scene.config_file("true", agent=agent), '"/bin/sh"', json.dumps("/no/program"))

    problems = bad(await findings(config))

    assert set(problems) == {"worker-1 program", "worker-1 prompt", "worker-1 sandbox"}
    assert "'isue' is undefined" in problems["worker-1 prompt"]


async def test_a_sandbox_that_names_what_is_not_there_is_found(scene: Scene) -> None:
    agent = f'sandbox = "bubblewrap"\nbubblewrap.writable = ["{scene.root}/none"]'

    line = (await findings(scene.config_file("true", agent=agent)))["worker-1 sandbox"]

    assert (line.ok, line.remedy) == (False, "create it")
    assert line.detail.endswith("none does not exist")


async def test_a_variable_that_is_not_set_is_mentioned(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IS_SET", "1")
    monkeypatch.delenv("FORGOTTEN", raising=False)

    found = await findings(scene.config_file("true", agent='env = ["IS_SET", "FORGOTTEN"]'))

    assert bad(found) == {}
    assert found["worker-1 environment"].detail.endswith("passed on: FORGOTTEN")


async def test_a_variable_that_would_hand_over_a_secret_is_found(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEAK", f"https://fleet:{scene.fleet}@forge")

    found = await findings(scene.config_file("true", agent='env = ["LEAK"]'))

    assert "LEAK would hand" in bad(found)["worker-1 environment"]
    assert scene.fleet not in str(found)


async def test_a_runner_that_could_not_push_says_so_at_its_start_and_takes_nothing(
    scene: Scene,
) -> None:
    reader = scene.forge.add_token("fleet", ("read:repository", "read:issue", "read:user"))
    await scene.orchestrator.assign(await scene.order())

    async with daemon(edited(scene.config_file("true"), scene.fleet, reader)) as runner:
        assert "write:repository" in await runner.line("not well: forge")
        await scene.orchestrator.until_beat(count=3)

    (registered,) = scene.orchestrator.registered
    found = {line.name: line for line in registered.health}
    assert [line.name for line in registered.health if not line.ok] == ["forge"]
    assert "correct forge.url or forge.token" in found["forge"].remedy
    assert {"git", "disk", "program", "prompt"} <= set(found)
    assert scene.orchestrator.claims == []


async def test_heartbeats_tell_of_the_machine(scene: Scene) -> None:
    async with scene.runner("true"):
        await scene.orchestrator.until(lambda o: bool(o.machines))

    its = scene.orchestrator.machines[0]
    assert (its.fleetbot, its.sandbox) == (__version__, "none")
    assert its.git[:1].isdecimal()
    assert its.least_free == 2 * 10**9
    assert its.disk_free is not None


async def test_the_command_prints_a_line_each_and_fails_if_one_does(scene: Scene) -> None:
    async with daemon(scene.config_file("true"), "check") as well:
        assert "as fleet" in await well.line("forge")
        assert await well.end() == 0

    config = edited(scene.config_file("true"), '"/bin/sh"', '"/no/program"')
    async with daemon(config, "check") as unwell:
        assert "/no/program was not found" in await unwell.line("✗")
        assert "install it" in await unwell.line("argv")
        assert await unwell.end() == 1


async def test_the_command_goes_on_after_a_token_file_that_is_missing(scene: Scene) -> None:
    config = scene.config_file("true", forge='token_file = "gone"', agent='prompt = "gone.j2"')

    async with daemon(config, "check") as unwell:
        assert "forge.token_file: cannot read" in await unwell.line("configuration")
        assert "there is no file" in await unwell.line("configuration")
        await unwell.line("orchestrator")
        assert "/bin/sh" in await unwell.line("program")
        assert await unwell.end() == 1


async def test_a_token_that_others_may_read_is_mentioned(scene: Scene) -> None:
    token = scene.root / "forge-token"
    token.write_text(scene.fleet)
    token.chmod(0o644)

    found = await findings(scene.config_file("true", forge=f'token_file = "{token}"'))

    assert bad(found) == {}
    assert "forge.token_file: others on this machine" in found["runner configuration"].detail


async def test_a_branch_that_the_runner_could_change_alone_is_mentioned_with_the_clicks(
    scene: Scene,
) -> None:
    path = scene.config_file("true")
    repo = scene.forge.repo(REPO)
    assert "runner branches" not in await findings(path), "nothing was worked on here yet"
    Repositories(load(path, {}).root).folder(REPO, repo.id)

    line = (await findings(path))["runner branches"]

    assert line.ok, "work goes on all the same"
    assert line.detail.startswith(f"{REPO}: `main` is open")
    assert f"{scene.forge.url}/{REPO}/settings/branches" in line.detail
    scene.forge.reserve(REPO, "main", ["ada"])
    assert "runner branches" not in await findings(path)
