"""The runner's own calls of the forge."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from msgspec.structs import replace

from fleetbot.domain.reasons import ReasonCode
from fleetbot.forge.models import Team
from fleetbot.runner.failure import RunFailed
from fleetbot.runner.forge import Forge, Trust
from tests.runner.scene import REPO, Scene

BRANCH = "fleet/1-say-hello"


@pytest.fixture
async def forge(scene: Scene) -> AsyncIterator[Forge]:
    """The fleet's account."""
    async with aiohttp.ClientSession() as http:
        yield Forge(
            http, scene.forge.url, lambda: scene.fleet, trusted=("Bea",), delays=(0.01, 0.01)
        )


@pytest.fixture
async def proxy() -> AsyncIterator[str]:
    """The address of a server that has one page for everything, as a proxy has."""

    async def page(request: web.Request) -> web.Response:
        return web.Response(text="<h1>Back in a minute</h1>", content_type="text/html")

    app = web.Application()
    app.router.add_get("/{path:.*}", page)
    async with TestServer(app) as server:
        yield str(server.make_url("")).rstrip("/")


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


async def test_people_are_trusted_by_their_write_access_or_by_name(
    scene: Scene, forge: Forge
) -> None:
    for login in ("bea", "carl", "dora"):
        scene.forge.add_user(login)
    scene.forge.add_collaborator(REPO, "carl", "read")
    scene.forge.add_collaborator(REPO, "dora", "write")
    scene.forge.add_collaborator(REPO, "fleet", "admin")  # others may not ask about people

    trust = await forge.trust(REPO, ["ada", "bea", "carl", "dora", "nobody", "", "../x"])

    assert trust == Trust(frozenset({"ada", "bea", "dora"}))


async def test_in_a_persons_repository_those_who_can_be_assigned_may_write(
    scene: Scene, forge: Forge
) -> None:
    for login in ("carl", "dora"):
        scene.forge.add_user(login)
    scene.forge.add_collaborator(REPO, "carl", "read")
    scene.forge.add_collaborator(REPO, "dora", "write")

    trust = await forge.trust(REPO, ["ada", "bea", "carl", "dora", "nobody"])

    assert trust == Trust(frozenset({"ada", "bea", "dora"}))


@pytest.fixture
async def crew(scene: Scene) -> str:
    """A repository of an organisation whose members `dora` writes and, where asked, `eve` reads."""
    scene.forge.add_org("crew")
    for login in ("dora", "eve", "carl"):
        scene.forge.add_user(login)
    scene.forge.add_team("crew", "developers", "write", ["fleet", "dora"])
    await scene.forge.create_repo("crew", "boat")
    return "crew/boat"


async def test_in_an_organisation_those_whose_teams_all_may_write_are_trusted(
    forge: Forge, crew: str
) -> None:
    assert await forge.trust(crew, ["dora", "carl"]) == Trust(frozenset({"dora"}))


async def test_where_a_team_may_only_read_being_assignable_proves_nothing(
    scene: Scene, forge: Forge, crew: str
) -> None:
    scene.forge.add_team("crew", "reporters", "read", ["eve"])

    trust = await forge.trust(crew, ["bea", "dora", "eve", "carl"])

    assert trust == Trust(frozenset({"bea"}), unknown=frozenset({"dora", "eve"}))


async def test_an_administrator_is_told_of_everybody_in_an_organisation(
    scene: Scene, forge: Forge, crew: str
) -> None:
    scene.forge.add_team("crew", "reporters", "read", ["eve"])
    scene.forge.add_collaborator(crew, "fleet", "admin")

    assert await forge.trust(crew, ["dora", "eve"]) == Trust(frozenset({"dora"}))


async def test_a_crowd_is_not_asked_for_one_by_one_by_who_is_told_nothing(
    scene: Scene, forge: Forge
) -> None:
    before = len(scene.forge.requests)

    trust = await forge.trust(REPO, ["ada", *(f"reporter-{number}" for number in range(100))])

    assert trust == Trust(frozenset({"ada"}))
    assert len(scene.forge.requests) - before == 3


@pytest.mark.parametrize("status", [403, 404])
async def test_where_teams_are_not_told_nobody_is_trusted_on_a_guess(
    scene: Scene, forge: Forge, crew: str, status: int
) -> None:
    scene.forge.fail_next("GET", "/teams$", status)

    assert await forge.trust(crew, ["dora"]) == Trust(frozenset(), frozenset({"dora"}))


@pytest.mark.parametrize(
    ("team", "writes"),
    [
        (Team(permission="owner"), True),
        (Team(permission="write", units=("repo.code", "repo.pulls")), True),
        (Team(permission="write", units=("repo.wiki",)), False),
        (Team(permission="read", units_map={"repo.code": "read", "repo.wiki": "write"}), False),
        (Team(permission="none", units_map={"repo.code": "write"}), True),
        (Team(permission="write"), False),
    ],
)
def test_a_team_writes_if_it_may_write_code(team: Team, writes: bool) -> None:
    assert team.may_write is writes


async def test_a_quick_look_tells_where_branches_are_and_what_is_kept(
    scene: Scene, forge: Forge
) -> None:
    main = scene.on_forge("rev-parse", "main").strip()
    ours = await scene.forge.commit(REPO, BRANCH, {"a.txt": "a"}, "A", by="fleet")
    await scene.forge.commit(REPO, f"{BRANCH}-2", {"a.txt": "a"}, "A", by="fleet")
    for ref in ("refs/fleet/t/3", "refs/fleet/t2/1"):
        scene.on_forge("update-ref", ref, main)

    names = ("refs/heads/main", f"refs/heads/{BRANCH}", "refs/heads/none", "refs/fleet/t/*")
    told = await forge.refs.look(REPO, names)

    assert told == {
        "refs/heads/main": main,
        f"refs/heads/{BRANCH}": ours,
        "refs/fleet/t/3": main,
    }


async def test_a_quick_look_that_fails_tells_nothing(scene: Scene, proxy: str) -> None:
    async with aiohttp.ClientSession() as http:
        quick = Forge(http, scene.forge.url, lambda: scene.fleet, delays=())
        scene.forge.fail_next("GET", "/branches/main$", 500)
        assert await quick.refs.look(REPO, ["refs/heads/main"]) is None
        elsewhere = Forge(http, proxy, lambda: scene.fleet)
        assert await elsewhere.refs.look(REPO, ["refs/heads/main"]) is None


async def test_a_pull_request_is_found_before_it_is_made(scene: Scene, forge: Forge) -> None:
    head = await scene.forge.commit(REPO, BRANCH, {"a.txt": "a"}, "A", by="fleet")

    made = await forge.pulls.open_one(REPO, BRANCH, "main", title="T", body="B")
    found = await forge.pulls.open_one(REPO, BRANCH, "main", title="Other", body="Other")

    assert made.number == found.number
    assert found.head.sha == head
    assert await forge.pulls.await_head(REPO, made.number, head)
    assert len(await scene.pulls()) == 1


@pytest.mark.parametrize("version", ["v15", "v11"])
async def test_a_branch_that_is_gone_after_the_push_is_for_handing_over_again(
    scene: Scene, forge: Forge, version: str
) -> None:
    if version == "v11":
        scene.forge.fail_next("POST", "/pulls$", 500, times=2)
    with pytest.raises(RunFailed) as gone:
        await forge.pulls.open_one(REPO, BRANCH, "main", title="T", body="B")
    with pytest.raises(RunFailed) as baseless:
        await forge.pulls.open_one(REPO, "main", "gone", title="T", body="B")

    assert gone.value.reason is ReasonCode.FORGE_UNAVAILABLE
    assert baseless.value.reason is ReasonCode.BASE_MISSING


async def test_a_branchs_merged_pull_request_is_known_after_the_branch_is_gone(
    scene: Scene, forge: Forge
) -> None:
    head = await scene.forge.commit(REPO, BRANCH, {"a.txt": "a"}, "A", by="fleet")
    pull = await forge.pulls.open_one(REPO, BRANCH, "main", title="T", body="B")
    assert await forge.pulls.merged(REPO, BRANCH, "main") is None

    merge = {"Do": "squash", "head_commit_id": head}
    await scene.merge(pull.number, merge)
    scene.on_forge("branch", "-D", BRANCH)

    found = await forge.pulls.merged(REPO, BRANCH, "main")
    assert found is not None
    assert found.number == pull.number


async def test_a_closed_pull_request_is_not_used_again(scene: Scene, forge: Forge) -> None:
    await scene.forge.commit(REPO, BRANCH, {"a.txt": "a"}, "A", by="fleet")
    old = await forge.pulls.open_one(REPO, BRANCH, "main", title="T", body="B")
    await scene.call("PATCH", f"/repos/{REPO}/pulls/{old.number}", {"state": "closed"})

    new = await forge.pulls.open_one(REPO, BRANCH, "main", title="T", body="B")

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


async def test_a_forge_that_says_when_to_come_back_is_asked_again_then(
    scene: Scene, forge: Forge
) -> None:
    number = await scene.issue()
    scene.forge.fail_next("GET", f"/issues/{number}$", 429, retry_after=1)
    began = asyncio.get_running_loop().time()

    assert (await forge.issue(REPO, number)).number == number
    assert asyncio.get_running_loop().time() - began >= 1


async def test_a_forge_that_asks_for_a_long_pause_is_away(scene: Scene, forge: Forge) -> None:
    number = await scene.issue()
    scene.forge.fail_next("GET", f"/issues/{number}$", 503, times=9, retry_after=10**9)

    with pytest.raises(RunFailed) as away:
        await forge.issue(REPO, number)

    assert away.value.reason is ReasonCode.FORGE_UNAVAILABLE
    assert len([seen for seen in scene.forge.requests if seen.status == 503]) == 1


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (401, ReasonCode.FORGE_LOGIN_FAILED),
        (403, ReasonCode.FORGE_REFUSED),
        (405, ReasonCode.FORGE_REFUSED),
        (409, ReasonCode.FORGE_REFUSED),
        (422, ReasonCode.FORGE_REFUSED),
        (423, ReasonCode.REPO_ARCHIVED),
        (408, ReasonCode.FORGE_UNAVAILABLE),
        (429, ReasonCode.FORGE_UNAVAILABLE),
        (500, ReasonCode.FORGE_UNAVAILABLE),
        (520, ReasonCode.FORGE_UNAVAILABLE),
        (0, ReasonCode.FORGE_UNAVAILABLE),
    ],
)
async def test_an_answers_status_alone_says_whose_fault_it_is(
    scene: Scene, forge: Forge, status: int, reason: ReasonCode
) -> None:
    scene.forge.fail_next("GET", "/issues/1$", status, times=9)

    with pytest.raises(RunFailed) as failed:
        await forge.issue(REPO, 1)

    assert failed.value.reason is reason


async def test_a_token_is_read_anew_for_every_call_and_never_told(scene: Scene) -> None:
    tokens = ["0123456789abcdef" * 2, scene.fleet]
    async with aiohttp.ClientSession() as http:
        forge = Forge(http, scene.forge.url, lambda: tokens[0], delays=())
        with pytest.raises(RunFailed) as refused:
            await forge.issue(REPO, 1)
        with pytest.raises(RunFailed) as untold:
            await forge.pulls.edit(REPO, 1, body="")
        del tokens[0]

        assert await forge.login() == "fleet"
    assert refused.value.reason is ReasonCode.FORGE_LOGIN_FAILED
    assert "0123456789abcdef" not in refused.value.detail + untold.value.detail


async def test_a_repository_that_was_renamed_is_found_by_either_name_and_by_its_id(
    scene: Scene, forge: Forge
) -> None:
    number = await scene.issue()
    known = await forge.repository(REPO)
    await scene.call("PATCH", f"/repos/{REPO}", {"name": "gadgets"})

    assert (await forge.issue(REPO, number)).number == number
    assert (await forge.repository(REPO)).full_name == "ada/gadgets"
    assert (await forge.repository(REPO, known.id)).full_name == "ada/gadgets"


async def test_what_took_a_renamed_repositorys_name_is_not_taken_for_it(
    scene: Scene, forge: Forge
) -> None:
    known = await forge.repository(REPO)
    await scene.call("PATCH", f"/repos/{REPO}", {"name": "gadgets"})
    await scene.forge.create_repo("ada", "widgets", {"README.md": "# Others\n"})

    assert (await forge.repository(REPO, known.id)).full_name == "ada/gadgets"


async def test_a_page_that_is_not_the_forges_is_no_answer(
    proxy: str,
) -> None:
    async with aiohttp.ClientSession() as http:
        with pytest.raises(RunFailed) as away:
            await Forge(http, proxy, lambda: "x", delays=()).issue(REPO, 1)

    assert away.value.reason is ReasonCode.FORGE_UNAVAILABLE


async def test_a_refusal_is_told_with_what_to_do(scene: Scene, forge: Forge) -> None:
    with pytest.raises(RunFailed) as refused:
        await forge.issue("ada/gone", 1)

    assert refused.value.reason is ReasonCode.FORGE_REFUSED
    assert "does not exist, or the runner's account cannot see it" in refused.value.detail


async def test_a_token_is_known_by_its_owner_and_by_what_it_may(scene: Scene) -> None:
    reader = scene.forge.add_token("fleet", ("read:repository", "read:issue", "read:user"))
    async with aiohttp.ClientSession() as http:
        able = Forge(http, scene.forge.url, lambda: scene.fleet)
        unable = Forge(http, scene.forge.url, lambda: reader)

        assert await able.login() == "fleet"
        await able.check_scopes("fleet", "absent")
        with pytest.raises(RunFailed, match="write:repository"):
            await unable.check_scopes("fleet", "absent")
    assert all(seen.status in (200, 404, 403) for seen in scene.forge.requests)


async def test_a_forks_pull_request_from_a_branch_of_the_same_name_is_not_taken(
    scene: Scene, forge: Forge
) -> None:
    await scene.forge.commit(REPO, BRANCH, {"a.txt": "a"}, "A", by="fleet")
    ours = await forge.pulls.open_one(REPO, BRANCH, "main", title="T", body="B")
    repo = ours.base.repo_id

    strangers = replace(ours, head=replace(ours.head, repo_id=repo + 1))

    assert ours.joins(BRANCH, "main")
    assert not strangers.joins(BRANCH, "main")
