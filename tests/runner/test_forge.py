"""The runner's own calls of the forge."""

from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp
import pytest
from msgspec.structs import replace

from fleetbot.domain.reasons import ReasonCode
from fleetbot.runner.failure import RunFailed
from fleetbot.runner.forge import Forge
from fleetbot.runner.secret import Secret
from tests.runner.scene import REPO, Scene

BRANCH = "fleet/1-say-hello"


@pytest.fixture
async def forge(scene: Scene) -> AsyncIterator[Forge]:
    """The fleet's account."""
    async with aiohttp.ClientSession() as http:
        yield Forge(
            http, scene.forge.url, Secret(scene.fleet), trusted=("Bea",), delays=(0.01, 0.01)
        )


async def test_an_issue_and_what_people_said_without_fleetbots_own_words(
    scene: Scene, forge: Forge
) -> None:
    number = await scene.issue("Say hello", "In a file.")
    comments = f"/repos/{REPO}/issues/{number}/comments"
    await scene.call("POST", comments, {"body": "Please."})
    await scene.call("POST", comments, {"body": "At work.\n<!-- fleetbot status -->"})

    issue = await forge.issue(REPO, number)

    assert (issue.title, issue.body, issue.author) == ("Say hello", "In a file.", "ada")
    assert [(c.author, c.body) for c in await forge.comments(REPO, number)] == [("ada", "Please.")]


async def test_the_newest_commits_of_the_branches_that_there_are(
    scene: Scene, forge: Forge
) -> None:
    main = scene.on_forge("rev-parse", "main")
    scene.on_forge("branch", BRANCH, "main")
    newest = await scene.forge.commit(REPO, "main", {"a.txt": "a\n"}, "Add a", by="ada")

    assert await forge.heads(REPO, "main", BRANCH) == {"main": newest, BRANCH: main}
    assert await forge.heads(REPO, "main", "gone") == {"main": newest}
    assert await forge.heads("ada/nothing", "main", BRANCH) == {}


async def test_a_forge_that_does_not_answer_tells_nothing_of_branches(
    scene: Scene, forge: Forge
) -> None:
    scene.forge.fail_next("GET", "/branches/", status=502)

    assert await forge.heads(REPO, "main", BRANCH) is None


async def test_people_are_trusted_by_their_write_access_or_by_name(
    scene: Scene, forge: Forge
) -> None:
    for login in ("bea", "carl", "dora"):
        scene.forge.add_user(login)
    scene.forge.add_collaborator(REPO, "carl", "read")
    scene.forge.add_collaborator(REPO, "dora", "write")
    scene.forge.add_collaborator(REPO, "fleet", "admin")  # others may not ask about people

    trusted = [
        login
        for login in ("ada", "bea", "carl", "dora", "nobody", "", "../x")
        if await forge.is_trusted(REPO, login)
    ]

    assert trusted == ["ada", "bea", "dora"]


async def test_who_may_not_ask_for_rights_trusts_those_who_can_be_assigned(
    scene: Scene, forge: Forge
) -> None:
    for login in ("carl", "dora"):
        scene.forge.add_user(login)
    scene.forge.add_collaborator(REPO, "carl", "read")
    scene.forge.add_collaborator(REPO, "dora", "write")

    people = ("ada", "bea", "carl", "dora", "nobody")

    assert [p for p in people if await forge.is_trusted(REPO, p)] == ["ada", "bea", "dora"]


async def test_a_pull_request_is_found_before_it_is_made(scene: Scene, forge: Forge) -> None:
    head = await scene.forge.commit(REPO, BRANCH, {"a.txt": "a"}, "A", by="fleet")

    made = await forge.pull_request(REPO, BRANCH, "main", title="T", body="B")
    found = await forge.pull_request(REPO, BRANCH, "main", title="Other", body="Other")

    assert made.number == found.number
    assert found.head.sha == head
    assert await forge.await_head(REPO, made.number, head)
    assert len(await scene.pulls()) == 1


async def test_a_closed_pull_request_is_not_used_again(scene: Scene, forge: Forge) -> None:
    await scene.forge.commit(REPO, BRANCH, {"a.txt": "a"}, "A", by="fleet")
    old = await forge.pull_request(REPO, BRANCH, "main", title="T", body="B")
    await scene.call("PATCH", f"/repos/{REPO}/pulls/{old.number}", {"state": "closed"})

    new = await forge.pull_request(REPO, BRANCH, "main", title="T", body="B")

    assert new.number != old.number


async def test_a_forge_that_stumbles_is_asked_again_and_one_that_is_away_is_told(
    scene: Scene, forge: Forge
) -> None:
    number = await scene.issue()
    scene.forge.fail_next("GET", f"/issues/{number}$", 503, times=2)
    assert (await forge.issue(REPO, number)).number == number

    scene.forge.fail_next("GET", f"/issues/{number}$", 0, times=9)
    with pytest.raises(RunFailed) as away:
        await forge.issue(REPO, number)

    assert away.value.reason is ReasonCode.FORGE_UNAVAILABLE


async def test_a_refusal_is_told_with_what_to_do(scene: Scene, forge: Forge) -> None:
    with pytest.raises(RunFailed) as refused:
        await forge.issue("ada/gone", 1)

    assert refused.value.reason is ReasonCode.FORGE_REFUSED
    assert "does not exist, or the runner's account cannot see it" in refused.value.detail


async def test_a_token_is_known_by_its_owner_and_by_what_it_may(scene: Scene) -> None:
    reader = scene.forge.add_token("fleet", ("read:repository", "read:issue", "read:user"))
    async with aiohttp.ClientSession() as http:
        able = Forge(http, scene.forge.url, Secret(scene.fleet))
        unable = Forge(http, scene.forge.url, Secret(reader))

        assert await able.login() == "fleet"
        await able.check_scopes("fleet", "absent")
        with pytest.raises(RunFailed, match="write:repository"):
            await unable.check_scopes("fleet", "absent")
    assert all(seen.status in (200, 404, 403) for seen in scene.forge.requests)


async def test_a_forks_pull_request_from_a_branch_of_the_same_name_is_not_taken(
    scene: Scene, forge: Forge
) -> None:
    await scene.forge.commit(REPO, BRANCH, {"a.txt": "a"}, "A", by="fleet")
    ours = await forge.pull_request(REPO, BRANCH, "main", title="T", body="B")
    repo = ours.base.repo_id

    strangers = replace(ours, head=replace(ours.head, repo_id=repo + 1))

    assert ours.joins(BRANCH, "main")
    assert not strangers.joins(BRANCH, "main")
