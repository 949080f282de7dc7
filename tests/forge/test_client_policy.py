"""How the client behaves towards a forge that is slow, away, limiting or not a forge."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from aiohttp import web

from fleetbot.forge import transport
from fleetbot.forge.errors import (
    ForgeError,
    ForgeForbidden,
    ForgeNotFound,
    ForgeUnavailable,
    TooLarge,
    UnexpectedAnswer,
)
from fleetbot.forge.paths import parse_repo
from fleetbot_devkit.forge import DevForge
from fleetbot_devkit.forge_user import ForgeUser

REPO = "ann/app"


@dataclass
class Setting:
    forge: DevForge
    token: str
    client: ForgeUser
    slept: list[float] = field(default_factory=list)

    def asked(self, method: str, path: str) -> int:
        return sum(one.method == method and one.path.endswith(path) for one in self.forge.requests)


@pytest.fixture
async def setting(tmp_path: Path) -> AsyncIterator[Setting]:
    """A forge with one issue, and a client whose waits are noted instead of waited."""
    async with DevForge.start(tmp_path) as forge:
        token = forge.add_user("ann")
        await forge.create_repo("ann", "app", {"README.md": "# app\n"}, labels=["fleet"])
        slept: list[float] = []

        async def sleep(seconds: float) -> None:
            slept.append(seconds)

        async with ForgeUser(forge.url, token, sleep=sleep, jitter=lambda: 0.5) as client:
            await client.create_issue(REPO, "Broken")
            yield Setting(forge, token, client, slept)


# -- retries


@pytest.mark.parametrize("status", [500, 502, 503, 429])
async def test_a_read_is_tried_again_with_growing_waits(setting: Setting, status: int) -> None:
    setting.forge.fail_next("GET", "/issues/1$", status, times=2)
    assert (await setting.client.issue(REPO, 1)).title == "Broken"
    assert setting.asked("GET", "/issues/1") == 3
    assert setting.slept == [0.5, 1.0]


async def test_a_read_is_tried_again_after_a_broken_connection(setting: Setting) -> None:
    setting.forge.fail_next("GET", "/issues/1$", 0, times=2)
    assert (await setting.client.issue(REPO, 1)).title == "Broken"


async def test_a_read_is_given_up_in_the_end(setting: Setting) -> None:
    setting.forge.fail_next("GET", "/issues/1$", 502, times=99)
    with pytest.raises(ForgeUnavailable) as failed:
        await setting.client.issue(REPO, 1)
    assert failed.value.status == 502
    assert setting.asked("GET", "/issues/1") == 3


@pytest.mark.parametrize("status", [0, 500, 502, 429])
async def test_what_makes_something_new_is_not_tried_again(setting: Setting, status: int) -> None:
    setting.forge.fail_next("POST", "/comments$", status)
    with pytest.raises(ForgeUnavailable):
        await setting.client.create_comment(REPO, 1, "once")
    assert setting.asked("POST", "/comments") == 1
    assert setting.slept == []


async def test_a_comment_whose_answer_was_lost_is_not_posted_twice(setting: Setting) -> None:
    setting.forge.fail_next("POST", "/comments$", 0, applied=True)
    with pytest.raises(ForgeUnavailable):
        await setting.client.comment_once(REPO, 1, "receipt:1", "done")
    await setting.client.comment_once(REPO, 1, "receipt:1", "done")
    assert len(await setting.client.comments(REPO, 1)) == 1


async def test_a_deletion_whose_answer_was_lost_is_done(setting: Setting) -> None:
    comment = await setting.client.create_comment(REPO, 1, "gone soon")
    setting.forge.fail_next("DELETE", "/comments/", 502, applied=True)
    await setting.client.delete_comment(REPO, comment.id)
    with pytest.raises(ForgeNotFound):
        await setting.client.delete_comment(REPO, comment.id)


async def test_a_short_retry_after_is_waited_for(setting: Setting) -> None:
    setting.forge.fail_next("GET", "/issues/1$", 429, retry_after=3)
    await setting.client.issue(REPO, 1)
    assert setting.slept == [3.0]


async def test_a_long_retry_after_is_left_to_the_caller(setting: Setting) -> None:
    setting.forge.fail_next("GET", "/issues/1$", 429, retry_after=600)
    with pytest.raises(ForgeUnavailable) as limited:
        await setting.client.issue(REPO, 1)
    assert limited.value.retry_after == 600.0
    assert setting.slept == []


async def test_without_a_connection_anything_is_tried_again(unused_tcp_port: int) -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    url = f"http://127.0.0.1:{unused_tcp_port}"
    async with ForgeUser(url, "token", sleep=sleep) as client:
        with pytest.raises(ForgeUnavailable, match="cannot connect"):
            await client.create_comment(REPO, 1, "once")
    assert len(slept) == 2


# -- servers that are not what they should be


Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]
Start = Callable[[Answer], Awaitable[str]]


@pytest.fixture
async def start_server() -> AsyncIterator[Start]:
    """Starts a server that gives one answer to everything; its address."""
    runners: list[web.AppRunner] = []

    async def start(answer: Answer) -> str:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", answer)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        runners.append(runner)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        return f"http://{host}:{port}"

    yield start
    for runner in runners:
        await runner.cleanup()


async def test_a_silent_server_is_unavailable(start_server: Start) -> None:
    released = asyncio.Event()

    async def answer(request: web.Request) -> web.Response:
        await released.wait()
        return web.Response()

    url = await start_server(answer)
    async with ForgeUser(url, "token", timeout=0.05, delays=()) as client:
        with pytest.raises(ForgeUnavailable, match="in time"):
            await client.issue(REPO, 1)
    released.set()


@pytest.mark.parametrize("body", ["<html>Sign in</html>", "[]", '{"number": "seven"}', ""])
async def test_an_answer_that_is_not_forgejos_is_no_answer(start_server: Start, body: str) -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(text=body)

    async with ForgeUser(await start_server(answer), "token") as client:
        with pytest.raises(UnexpectedAnswer):
            await client.issue(REPO, 1)


@pytest.mark.parametrize("text", ["404 page not found\n", "<html>Nothing here</html>", '"gone"'])
async def test_a_404_that_is_not_forgejos_says_nothing_of_what_is_there(
    setting: Setting, text: str
) -> None:
    """A proxy says it while Forgejo is being restarted behind it."""
    setting.forge.fail_next("GET", "/issues/1$", 404, text=text)
    with pytest.raises(ForgeUnavailable, match="not Forgejo's"):
        await setting.client.issue(REPO, 1)


async def test_nothing_is_done_by_a_page_that_says_that_all_is_well(setting: Setting) -> None:
    said = await setting.client.create_comment(REPO, 1, "Hello")
    setting.forge.fail_next("DELETE", "/comments/", 200, text="<html>Back soon</html>")
    with pytest.raises(UnexpectedAnswer, match="not Forgejo's"):
        await setting.client.delete_comment(REPO, said.id)


@pytest.mark.parametrize(
    "ask",
    [
        lambda forge: forge.contexts(REPO, "1" * 40),
        lambda forge: forge.root_entries(REPO, "1" * 40),
        lambda forge: forge.compare(REPO, "main", "side"),
        lambda forge: forge.collaborator_permission(REPO, "ann"),
    ],
)
async def test_an_object_without_what_it_is_asked_for_is_no_answer(
    start_server: Start, ask: Callable[[ForgeUser], Awaitable[object]]
) -> None:
    """It would mean that there is none of it."""

    async def answer(request: web.Request) -> web.Response:
        return web.json_response({})

    async with ForgeUser(await start_server(answer), "token") as client:
        with pytest.raises(UnexpectedAnswer):
            await ask(client)


async def test_a_commit_may_have_any_date(start_server: Start) -> None:
    """Git takes a time zone of 99 hours and 99 minutes."""
    author = {"name": "Eve", "email": "", "date": "2026-11-27T01:00:00+100:39"}

    async def list_commits(request: web.Request) -> web.Response:
        found = [{"sha": "a1", "commit": {"message": "Mend it", "author": author}}]
        return web.json_response(found, headers={"X-Total-Count": "1"})

    async with ForgeUser(await start_server(list_commits), "token") as client:
        [commit] = await client.pull_commits(REPO, 1)
    assert commit.commit.author.name == "Eve"


async def test_an_element_that_forgejo_could_not_load_is_passed_over(start_server: Start) -> None:
    async def list_pulls(request: web.Request) -> web.Response:
        found = [None, {"number": 7}] if request.query["page"] == "1" else []
        return web.json_response(found, headers={"X-Total-Count": "2"})

    async with ForgeUser(await start_server(list_pulls), "token") as client:
        assert [pull.number for pull in await client.pulls(REPO)] == [7]


async def test_the_token_is_not_taken_to_another_server(
    setting: Setting, start_server: Start
) -> None:
    async def answer(request: web.Request) -> web.Response:
        raise web.HTTPMovedPermanently(f"{setting.forge.url}{request.path}")

    async with ForgeUser(await start_server(answer), setting.token) as client:
        with pytest.raises(UnexpectedAnswer, match="is not the forge"):
            await client.issue(REPO, 1)
    assert setting.asked("GET", "/issues/1") == 0


async def test_a_redirect_in_a_circle_ends(start_server: Start) -> None:
    async def answer(request: web.Request) -> web.Response:
        raise web.HTTPMovedPermanently(request.path)

    async with ForgeUser(await start_server(answer), "token") as client:
        with pytest.raises(UnexpectedAnswer, match="too many redirects"):
            await client.issue(REPO, 1)


async def test_no_more_than_four_calls_run_at_a_time(start_server: Start) -> None:
    running, most = 0, 0
    everyone_in = asyncio.Semaphore(0)

    async def answer(request: web.Request) -> web.Response:
        nonlocal running, most
        running += 1
        most = max(most, running)
        if running == 4:
            for _ in range(12):
                everyone_in.release()
        await everyone_in.acquire()
        running -= 1
        return web.json_response({"number": 1})

    async with ForgeUser(await start_server(answer), "token") as client:
        await asyncio.gather(*(client.issue(REPO, 1) for _ in range(12)))
    assert most == 4


# -- errors


async def test_an_error_says_what_was_asked_and_never_the_token(setting: Setting) -> None:
    with pytest.raises(ForgeNotFound) as missing:
        await setting.client.issue(REPO, 99)
    assert str(missing.value).startswith("GET /repos/ann/app/issues/99 -> 404")
    assert (missing.value.status, missing.value.method) == (404, "GET")
    everything = f"{missing.value!r} {missing.value} {vars(missing.value)}"
    assert setting.token not in everything


async def test_an_error_without_a_body_is_still_an_error(setting: Setting) -> None:
    setting.forge.fail_next("GET", "/issues/1$", 403)
    with pytest.raises(ForgeForbidden) as refused:
        await setting.client.issue(REPO, 1)
    assert refused.value.message == ""


async def test_an_odd_status_is_an_error(setting: Setting) -> None:
    setting.forge.fail_next("GET", "/issues/1$", 418)
    with pytest.raises(ForgeError) as odd:
        await setting.client.issue(REPO, 1)
    assert odd.value.status == 418


@pytest.mark.parametrize(
    "name", ["", "app", "ann/app/x", "ann/..", "ann/a b", "../app", "ann/a?b", "ann/a\n"]
)
async def test_what_is_no_repository_never_reaches_the_network(setting: Setting, name: str) -> None:
    before = len(setting.forge.requests)
    with pytest.raises(ValueError, match="not a repository"):
        await setting.client.repo(name)
    assert len(setting.forge.requests) == before


def test_a_repository_has_an_owner_and_a_name() -> None:
    assert parse_repo("ann/app.js") == ("ann", "app.js")


# -- answers that are too large


async def test_an_answer_that_is_too_large_is_an_error_that_says_so(
    setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    await setting.client.create_comment(REPO, 1, "x" * 900_000)
    await setting.client.create_comment(REPO, 1, "x" * 900_000)
    monkeypatch.setattr(transport, "LARGEST_ANSWER", 1 << 20)

    with pytest.raises(TooLarge, match="larger than 1 MiB"):
        await setting.client.comments(REPO, 1)

    assert setting.asked("GET", "/comments") == 1, "it will not be smaller the next time"


async def test_a_base_that_is_too_far_ahead_to_be_read_lacks_nothing_less(
    start_server: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a branch that is a year old."""
    monkeypatch.setattr(transport, "LARGEST_ANSWER", 1000)
    commits = [{"sha": f"{number:040}"} for number in range(100)]

    async def compare(request: web.Request) -> web.Response:
        found = commits if request.path.endswith("old...main") else []
        return web.json_response({"total_commits": len(found), "commits": found})

    async with ForgeUser(await start_server(compare), "token") as client:
        assert await client.lacks(REPO, "old", "main")
        assert not await client.lacks(REPO, "main", "old")


async def test_a_list_that_is_too_large_as_a_whole_is_read_one_by_one(
    setting: Setting, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Anybody may open an issue; nobody may keep the others from being seen by it."""
    for number in range(2, 13):
        length = 30_000 if number == 5 else 3_000
        await setting.client.create_issue(REPO, f"No {number}", "x" * length)
    monkeypatch.setattr(transport, "LARGEST_ANSWER", 20_000)

    found = await setting.client.issues(REPO)

    assert {issue.number for issue in found} == {*range(1, 13)} - {5}
    assert "it is left out" in caplog.text
