"""`fleetbot setup`, whole: to the first verified issue, again, and back."""

from __future__ import annotations

import re
import stat
import sys
from pathlib import Path

import pytest

from fleetbot_devkit.maubot_admin import MaubotAdmin
from fleetbot_devkit.rest import CallFailed, call
from fleetbot_devkit.runner_process import RunnerProcess
from fleetbot_devkit.story import until
from fleetbot_devkit.world import base_env
from tests.installing.ground import BAD, DONE, FOUND, WOULD, Ground, Place

pytestmark = pytest.mark.asyncio(loop_scope="module")

_ALL = ["bot", "client", "plugin", "forge", "forge", "room", "instance"]
_OF_REPO = ["account", "labels", "room", "webhook"]


async def test_from_three_servers_to_a_verified_issue_and_back(
    ground: Ground, tmp_path: Path
) -> None:
    place = await ground.place(tmp_path)
    alice = await ground.homeserver.register(f"alice-{place.mark}", "password")
    person = ("--person", alice.user_id)
    await _is_shown_and_not_done(place, *person)

    made = await place.setup(*person)

    assert made.status == 0, made.output
    assert made.names(DONE) == [*_ALL, *_OF_REPO, "runner"]
    assert made.lines(BAD) == []
    await alice.join(place.kept["room"])
    await _runs(place, ground, tmp_path)
    await _changes_nothing_again(place)
    await _is_examined(place)
    _keeps_secrets_to_itself(place, made.output)

    undone = await place.setup("--undo")

    assert undone.status == 0, undone.output
    await _is_gone(place, ground.bots.admin)


async def _is_shown_and_not_done(place: Place, *options: str) -> None:
    before = len(place.ground.forge.requests)
    planned = await place.setup("--dry-run", *options)
    assert planned.status == 0, planned.output
    assert planned.names(WOULD) == [*_ALL, *_OF_REPO, "runner"]
    assert place.changes(before) == []
    assert not place.state.exists()
    assert not place.folder.exists()
    assert (await place.setup("--check", *options)).status == 1


async def _runs(place: Place, ground: Ground, root: Path) -> None:
    """With the files that were written, and nothing else."""
    for name in ("config.toml", "forge-token", "enrolment-token"):
        assert stat.S_IMODE((place.folder / name).stat().st_mode) == 0o600
    env = base_env(root)
    config = str(place.folder / "config.toml")
    checked = await place.run(["check", "-c", config], env={"HOME": str(root)})
    assert checked.status == 0, checked.output
    argv = [sys.executable, "-m", "fleetbot", "runner", "-c", config]
    runner = RunnerProcess(argv, root / "runner.log", env)
    runner.start()
    try:
        issue = await _open_issue(place, ground)
        await until(lambda: _is_done(place, ground, issue), "the first verified issue")
    finally:
        await runner.stop()


async def _open_issue(place: Place, ground: Ground) -> int:
    labels = ground.forge.repo(place.repo).labels.values()
    [fleet] = [label.id for label in labels if label.name == "fleet"]
    url = f"{ground.forge.url}/api/v1/repos/{place.repo}/issues"
    body = {"title": "Write down what we sell", "labels": [fleet]}
    return int((await call("POST", url, token=ground.admin_token, json=body))["number"])


async def _is_done(place: Place, ground: Ground, issue: int) -> bool:
    ticket = ground.forge.repo(place.repo).tickets[issue]
    return "status:done" in {label.name for label in ticket.labels}


async def _changes_nothing_again(place: Place) -> None:
    """What was answered is remembered; only secrets are given."""
    before, kept = len(place.ground.forge.requests), place.kept
    config = await place.config()
    again = await place.setup()
    assert again.status == 0, again.output
    assert again.lines(DONE) == []
    assert place.changes(before) == []
    assert place.kept == kept
    assert await place.config() == config
    assert "deliveries arrive" in " ".join(again.lines(FOUND))


async def _is_examined(place: Place) -> None:
    """`fleetbot check`, without a runner here."""
    [operator] = (await place.config())["auth"]["operator_tokens"]
    url = place.ground.bots.admin.instance_url(place.instance)
    argv = ["check", "-c", "none.toml", "--orchestrator", url]
    seen = await place.run(argv, env={"FLEETBOT_TOKEN": operator})
    assert seen.status == 0, seen.output
    for found in ("account", "labels", "webhook", "versions", "settings"):
        assert re.search(rf"^ok  fleet +{found} ", seen.output, re.MULTILINE), seen.output
    blind = await place.run(argv, env={"FLEETBOT_TOKEN": ""})
    assert "An operator's token shows all" in blind.output


def _keeps_secrets_to_itself(place: Place, output: str) -> None:
    text = place.state.read_text()
    for secret in place.secrets.values():
        assert secret.rpartition(":")[2] not in text + output
    assert place.kept.keys().isdisjoint({"login", "tokens"})


async def _is_gone(place: Place, maubot: MaubotAdmin) -> None:
    """But for the account on the homeserver, which cannot be unmade, and its password."""
    with pytest.raises(CallFailed, match="404"):
        await place.client()
    with pytest.raises(CallFailed, match="404"):
        await maubot.instance(place.instance)
    assert await place.people_of_forge() == []
    repo = place.ground.forge.repo(place.repo)
    assert (repo.hooks, repo.labels, repo.collaborators) == ({}, {}, {})
    assert not place.folder.exists()
    assert place.kept.keys() == {"answers", "password", "account"}
    ended = await place.setup("--undo", "--deactivate")
    assert ended.lines(DONE)[0].startswith(f"undo deactivate {place.bot}")
    assert not place.state.exists()
