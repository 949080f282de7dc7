"""Operators pause and resume over HTTP what people pause and resume in the room."""

from __future__ import annotations

import pytest

from fleetbot_devkit.forge import DevForge
from tests.web.site import REPO, Site

PAUSES, PAUSE, RESUME = "/api/v1/fleet/pauses", "/api/v1/fleet/pause", "/api/v1/fleet/resume"


async def test_the_fleet_is_paused_and_resumed(site: Site) -> None:
    agent = await site.agent("claude-1")
    await site.task(1)

    paused = await site.operator.post(PAUSE, {})
    assert paused.body == {"pauses": [{"repo": "", "by": "api:operator", "since": site.now}]}
    assert (await site.operator.post(PAUSE, {})).body == paused.body
    assert (await site.reader.get(PAUSES)).body == paused.body
    (waiting,) = (await site.reader.get("/api/v1/tasks")).body["tasks"]
    assert waiting["waiting"]["reason"] == "fleet_paused"
    assert waiting["waiting"]["text"] == "an operator has paused the fleet."

    resumed = await site.operator.post(RESUME, {})
    assert resumed.body == {"pauses": []}
    assert await site.running(agent)


async def test_a_repository_is_paused_however_it_is_spelt(site: Site, forge: DevForge) -> None:
    owner, _, name = REPO.partition("/")
    forge.add_org(owner)
    await forge.create_repo(owner, name, {"README.md": "hello"})

    paused = await site.operator.post(PAUSE, {"repo": f"{owner.upper()}/{name}"})

    assert [its["repo"] for its in paused.body["pauses"]] == [REPO]
    assert (await site.operator.post(RESUME, {"repo": REPO})).body == {"pauses": []}


@pytest.mark.parametrize("path", [PAUSE, RESUME])
async def test_a_repository_that_is_not_the_fleets_is_refused(site: Site, path: str) -> None:
    answer = await site.operator.post(path, {"repo": "team/other"})
    assert "does not work on team/other" in answer.refuses(422, "invalid", "repo")


@pytest.mark.parametrize("path", [PAUSE, RESUME])
async def test_readers_look_and_change_nothing(site: Site, path: str) -> None:
    (await site.reader.post(path, {})).refuses(403, "forbidden")
