"""The development forge: what tests and the demo need of it beyond Forgejo's contract."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import aiohttp
import pytest

from fleetbot.forge.errors import ForgeConflict, ForgeError, ForgeUnavailable
from fleetbot.forge.models import Issue
from fleetbot.forge.payloads import IssueEvent, parse_delivery, verify_signature
from fleetbot_devkit.forge import DevForge
from fleetbot_devkit.forge.git import GitRepository, run_git
from fleetbot_devkit.forge.server import ROUTES
from fleetbot_devkit.forge_user import ForgeUser
from fleetbot_devkit.process import free_port
from tests.forge.api_description import VERSIONS, ApiDescription
from tests.forge.site import Receiver

REPO = "ann/app"


@pytest.fixture
async def forge(tmp_path: Path) -> AsyncIterator[DevForge]:
    async with DevForge.start(tmp_path / "forge") as forge:
        await forge.create_repo(_user(forge, "ann"), "app", {"README.md": "# app\n"})
        yield forge


@pytest.fixture
async def ann(forge: DevForge) -> AsyncIterator[ForgeUser]:
    async with ForgeUser(forge.url, forge.add_token("ann")) as client:
        yield client


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with Receiver.start() as receiver:
        yield receiver


def _user(forge: DevForge, login: str) -> str:
    forge.add_user(login, "password")
    return login


@pytest.mark.parametrize("version", VERSIONS)
def test_it_answers_no_call_that_forgejo_does_not_have(version: str) -> None:
    description = ApiDescription(version)
    routes = [one for one in ROUTES if "/actions/" not in one.path]  # newer; some are from v16 on
    calls = [(route.method, route.path.replace(".diff", "")) for route in routes]
    assert [call for call in calls if not description.has(*call)] == []


async def test_a_repository_begins_as_git_would_have_it(tmp_path: Path) -> None:
    files = {"README.md": "x\n", "a/b/c.py": "1", "a.txt": "", "a-b/z": "\N{SNOWMAN}"}
    repository = GitRepository.create(tmp_path / "app.git", "main")

    begun = repository.begin("main", files, "Begin")
    made_by_git = await repository.commit_files("by-git", files, "Begin", parent=None)

    assert (await run_git(repository.path, "fsck", "--strict", "--full")) == b""
    ours, theirs = await repository.commits(begun), await repository.commits(made_by_git)
    assert await repository.refs() == {"refs/heads/main": begun, "refs/heads/by-git": made_by_git}
    assert [(one.tree, one.message, one.author.name) for one in ours] == [
        (one.tree, one.message, one.author.name) for one in theirs
    ]


async def test_times_are_whole_seconds_of_the_clock_it_is_given(tmp_path: Path) -> None:
    noon = datetime(2026, 11, 23, 12, 0, 0, 999_999, tzinfo=UTC)
    async with DevForge.start(tmp_path, now=lambda: noon) as forge:
        token = forge.add_user("ann")
        await forge.create_repo("ann", "app")
        async with ForgeUser(forge.url, token) as client:
            issue = await client.create_issue(REPO, "Noon")
    assert issue.created_at == noon.replace(microsecond=0)


# -- webhooks


async def test_deliveries_are_signed_and_kept(
    forge: DevForge, ann: ForgeUser, receiver: Receiver
) -> None:
    await ann.create_hook(REPO, receiver.url, receiver.secret, ["issues"])
    await ann.create_issue(REPO, "<Broken>")
    await forge.delivered()
    [delivery] = forge.deliveries
    assert delivery.status == 204
    assert b"\\u003cBroken\\u003e" in delivery.body
    assert verify_signature(receiver.secret, delivery.body, delivery.headers)
    assert isinstance(parse_delivery(delivery.headers, delivery.body).payload, IssueEvent)


async def test_a_lost_delivery_is_never_sent(
    forge: DevForge, ann: ForgeUser, receiver: Receiver
) -> None:
    await ann.create_hook(REPO, receiver.url, receiver.secret, ["issues"])
    forge.lose_webhooks(1)
    await ann.create_issue(REPO, "Nobody hears")
    await ann.create_issue(REPO, "Somebody hears")
    await forge.delivered()
    assert [one.lost for one in forge.deliveries] == [True, False]
    assert [_title(one.payload) for one in receiver.deliveries] == ["Somebody hears"]


async def test_a_delivery_is_tried_once(forge: DevForge, ann: ForgeUser) -> None:
    await ann.create_hook(REPO, f"http://127.0.0.1:{free_port()}/", "secret", ["issues"])
    await ann.create_issue(REPO, "Nobody is there")
    await forge.delivered()
    [delivery] = forge.deliveries
    assert delivery.status is None
    assert delivery.error == "ClientConnectorError"


async def test_a_redelivery_has_the_same_payload_and_a_new_id(
    forge: DevForge, ann: ForgeUser, receiver: Receiver
) -> None:
    await ann.create_hook(REPO, receiver.url, receiver.secret, ["issues"])
    await ann.create_issue(REPO, "Twice")
    await forge.delivered()
    forge.redeliver(forge.deliveries[0])
    await forge.delivered()
    first, second = receiver.deliveries
    assert first.payload == second.payload
    assert first.id != second.id


async def test_an_unsigned_hook_sends_an_empty_signature(forge: DevForge, ann: ForgeUser) -> None:
    await ann.create_hook(REPO, f"http://127.0.0.1:{free_port()}/", "", ["issues"])
    await ann.create_issue(REPO, "Unsigned")
    await forge.delivered()
    assert forge.deliveries[0].headers["X-Forgejo-Signature"] == ""


async def test_a_hook_hears_what_it_asked_for_only(
    forge: DevForge, ann: ForgeUser, receiver: Receiver
) -> None:
    await ann.create_hook(REPO, receiver.url, receiver.secret, ["issues_only", "nonsense"])
    issue = await ann.create_issue(REPO, "Heard")
    await ann.create_comment(REPO, issue.number, "not heard")
    await forge.delivered()
    assert [one.event_type for one in receiver.deliveries] == ["issues"]


# -- disturbance


async def test_an_applied_failure_is_done_and_its_answer_lost(
    forge: DevForge, ann: ForgeUser
) -> None:
    forge.fail_next("POST", "/issues$", 502, applied=True)
    with pytest.raises(ForgeUnavailable):
        await ann.create_issue(REPO, "Made after all")
    assert [one.title for one in await ann.issues(REPO)] == ["Made after all"]


async def test_files_and_commits_of_a_pull_request_come_after_its_head(tmp_path: Path) -> None:
    async with DevForge.start(tmp_path / "forge", ref_lag=0.001) as forge:
        await forge.create_repo(_user(forge, "ann"), "app", {"README.md": "# app\n"})
        async with ForgeUser(forge.url, forge.add_token("ann")) as ann:
            one = await forge.commit(REPO, "work", {"one.txt": "1"}, "One", by="ann")
            await ann.create_pull(REPO, head="work", base="main", title="Work")
            forge.hold_pull_refs()
            two = await forge.commit(REPO, "work", {"two.txt": "2"}, "Two", by="ann")

            assert (await ann.pull(REPO, 1)).head.sha == two
            assert [file.filename for file in await ann.pull_files(REPO, 1)] == ["one.txt"]
            assert [commit.sha for commit in await ann.pull_commits(REPO, 1)] == [one]

            await forge.release_pull_refs()
            assert [commit.sha for commit in await ann.pull_commits(REPO, 1)] == [two, one]


async def test_nothing_is_merged_before_it_is_known_whether_it_can_be(
    forge: DevForge, ann: ForgeUser
) -> None:
    one = await forge.commit(REPO, "work", {"one.txt": "1"}, "One", by="ann")
    pull = await ann.create_pull(REPO, head="work", base="main", title="Work")
    assert (await ann.pull(REPO, pull.number)).mergeable
    forge.hold_pull_refs()
    forge.hold_merge_checks()
    two = await forge.commit(REPO, "work", {"two.txt": "2"}, "Two", by="ann")
    assert (await ann.pull(REPO, pull.number)).mergeable  # what was found out of the push before
    await forge.release_pull_refs()
    assert not (await ann.pull(REPO, pull.number)).mergeable
    with pytest.raises(ForgeError, match=r"405.*try again later"):
        await ann.merge_pull(REPO, pull.number, head_sha=two)
    await forge.release_merge_checks()
    assert (await ann.pull(REPO, pull.number)).mergeable
    with pytest.raises(ForgeConflict):
        await ann.merge_pull(REPO, pull.number, head_sha=one)
    await ann.merge_pull(REPO, pull.number, head_sha=two)


async def test_what_was_found_out_is_shown_until_the_base_that_moved_is_tried(
    forge: DevForge, ann: ForgeUser
) -> None:
    await forge.commit(REPO, "work", {"README.md": "mine"}, "One", by="ann")
    pull = await ann.create_pull(REPO, head="work", base="main", title="Work")
    forge.hold_pull_refs()
    moved = await forge.commit(REPO, "main", {"README.md": "theirs"}, "Two", by="ann")
    seen = await ann.pull(REPO, pull.number)
    assert (seen.base.sha, seen.mergeable) == (moved, True)
    await forge.release_pull_refs()
    assert not (await ann.pull(REPO, pull.number)).mergeable


async def test_what_ci_reports_is_as_if_actions_had_or_an_account(
    forge: DevForge, ann: ForgeUser
) -> None:
    head = await forge.commit(REPO, "work", {"one.txt": "1"}, "One", by="ann")
    forge.report(REPO, head, "CI / test (push)", "pending", description="Waiting to run")
    forge.report(REPO, head, "external", "success", by="ann")
    found = {one.context: one for one in await ann.contexts(REPO, head)}
    assert found["CI / test (push)"].creator is None
    assert found["external"].creator is not None


async def test_a_hook_hears_of_a_push_once_the_pull_request_shows_it(
    forge: DevForge, ann: ForgeUser, receiver: Receiver
) -> None:
    await forge.commit(REPO, "work", {"one.txt": "1"}, "One", by="ann")
    await ann.create_pull(REPO, head="work", base="main", title="Work")
    await ann.create_hook(REPO, receiver.url, receiver.secret, ["pull_request_sync"])
    forge.hold_pull_refs()
    await forge.commit(REPO, "work", {"two.txt": "2"}, "Two", by="ann")
    assert forge.deliveries == []
    await forge.release_pull_refs()
    await forge.delivered()
    assert [one.event_type for one in receiver.deliveries] == ["pull_request_sync"]


async def test_requests_are_kept_without_credentials(forge: DevForge, ann: ForgeUser) -> None:
    await ann.create_issue(REPO, "Seen")
    seen = forge.requests[-1]
    assert (seen.method, seen.path, seen.login) == ("POST", "/api/v1/repos/ann/app/issues", "ann")
    assert (seen.json["title"], seen.status) == ("Seen", 201)


# -- quirks


async def test_what_cannot_be_assigned_is_an_error_of_the_server(
    forge: DevForge, ann: ForgeUser
) -> None:
    issue = await ann.create_issue(REPO, "For nobody")
    with pytest.raises(ForgeUnavailable) as failed:
        await ann.edit_issue(REPO, issue.number, assignees=["nobody"])
    assert failed.value.status == 500
    assert (await ann.issue(REPO, issue.number)).assignees == ()


async def test_labels_of_an_organisation_are_usable_in_its_repositories(
    forge: DevForge, ann: ForgeUser
) -> None:
    forge.add_org("crew")
    await forge.create_repo("crew", "app")
    forge.add_collaborator("crew/app", "ann")
    await _post(forge, "/orgs/crew/labels", {"name": "fleet", "color": "#123456"})
    issue = await ann.create_issue("crew/app", "Labelled")
    labels = await ann.add_issue_labels("crew/app", issue.number, ["fleet"])
    assert [one.name for one in labels] == ["fleet"]


async def test_a_list_without_a_page_ignores_the_limit(forge: DevForge) -> None:
    for number in range(3):
        forge.add_label(REPO, f"label-{number}")
    assert len(await _get(forge, f"/repos/{REPO}/labels?limit=1")) == 3
    assert len(await _get(forge, f"/repos/{REPO}/labels?limit=1&page=2")) == 1


async def test_an_issue_with_open_blockers_cannot_be_closed(
    forge: DevForge, ann: ForgeUser
) -> None:
    first, second = await ann.create_issue(REPO, "first"), await ann.create_issue(REPO, "second")
    blocker = {"index": first.number, "owner": "ann", "repo": "app"}
    path = f"/repos/{REPO}/issues/{second.number}"
    assert await _post(forge, f"{path}/dependencies", blocker) == 201
    assert await _post(forge, f"{path}/dependencies", blocker) == 500
    with pytest.raises(Exception, match="412"):
        await ann.edit_issue(REPO, second.number, state="closed")


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ("[]", 422),
        ("{", 422),
        ('{"title": ""}', 422),
        ('{"title": 7}', 422),
        ('{"title": "T", "assignees": ["nobody"]}', 422),
    ],
)
async def test_bad_bodies_are_refused(forge: DevForge, body: str, status: int) -> None:
    headers = {"Authorization": f"token {forge.add_token('ann')}"}
    url = f"{forge.url}/api/v1/repos/{REPO}/issues"
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.post(url, data=body) as response,
    ):
        assert response.status == status
        assert "message" in await response.json()


async def test_a_conflicting_branch_cannot_be_merged(forge: DevForge, ann: ForgeUser) -> None:
    await forge.commit(REPO, "theirs", {"README.md": "theirs\n"}, "Theirs", by="ann")
    await forge.commit(REPO, "main", {"README.md": "ours\n"}, "Ours", by="ann")
    pull = await ann.create_pull(REPO, head="theirs", base="main", title="Clash")
    assert not (await ann.pull(REPO, pull.number)).mergeable
    with pytest.raises(Exception, match="405"):
        await ann.merge_pull(REPO, pull.number, head_sha=pull.head.sha)
    assert not (await ann.pull(REPO, pull.number)).merged


@pytest.mark.parametrize("style", ["merge", "squash", "rebase"])
async def test_branches_that_went_apart_are_merged(
    forge: DevForge, ann: ForgeUser, style: str
) -> None:
    await forge.commit(REPO, "work", {"work.txt": "work\n"}, "Work", by="ann")
    await forge.commit(REPO, "main", {"main.txt": "main\n"}, "Main", by="ann")
    pull = await ann.create_pull(REPO, head="work", base="main", title="Join")
    await ann.merge_pull(REPO, pull.number, head_sha=pull.head.sha, style=style)  # type: ignore[arg-type]  # the literals above
    assert [one.filename for one in await ann.pull_files(REPO, pull.number)] == ["work.txt"]
    assert (await ann.pull(REPO, pull.number)).merged


# -- git over HTTP


async def test_a_stranger_cannot_push(forge: DevForge, tmp_path: Path) -> None:
    stranger = forge.add_user("stranger")
    for credentials in ("", f"stranger:{stranger}@", "ann:wrong@"):
        url = f"{forge.url.replace('//', f'//{credentials}')}/{REPO}.git"
        assert await _git(tmp_path, "push", url, "HEAD:refs/heads/new") != 0
    assert set(forge.repo(REPO).refs) == {"refs/heads/main"}


async def test_a_private_repository_is_cloned_by_its_people_only(
    forge: DevForge, tmp_path: Path
) -> None:
    forge.repo(REPO).private = True
    own = f"{forge.url.replace('//', '//ann:password@')}/{REPO}"
    assert await _git(tmp_path, "clone", f"{forge.url}/{REPO}", "theirs") != 0
    assert await _git(tmp_path, "clone", own, "own") == 0


@pytest.mark.parametrize("status", [301, 307])
async def test_a_former_name_leads_to_the_new_one_for_git_too(
    tmp_path: Path, status: Literal[301, 307]
) -> None:
    async with DevForge.start(tmp_path / "forge", redirects=status) as forge:
        token = forge.add_user("ann", "password")
        await forge.create_repo("ann", "app", {"README.md": "# app\n"})
        async with ForgeUser(forge.url, token) as ann:
            await ann._http.send("PATCH", f"/repos/{REPO}", json={"name": "store"})
            issue = await ann.create_issue(REPO, "By the old name")
            assert (await ann.issue("ann/store", issue.number)).title == "By the old name"
        assert await _git(tmp_path, "clone", f"{forge.url}/{REPO}.git", "clone") == 0
        strict = ("-c", "http.followRedirects=false")
        assert await _git(tmp_path, *strict, "ls-remote", f"{forge.url}/{REPO}") != 0


async def test_an_archived_repository_can_be_fetched_and_not_pushed_to(
    forge: DevForge, ann: ForgeUser, tmp_path: Path
) -> None:
    await ann._http.send("PATCH", f"/repos/{REPO}", json={"archived": True})
    url = f"{forge.url.replace('//', '//ann:password@')}/{REPO}.git"
    assert await _git(tmp_path, "fetch", url) == 0
    assert await _git(tmp_path, "push", url, "HEAD:refs/heads/new") != 0
    await ann._http.send("PATCH", f"/repos/{REPO}", json={"archived": False})
    assert await _git(tmp_path, "push", url, "HEAD:refs/heads/new") == 0


async def test_a_deleted_repository_is_told_of_and_a_renamed_one_is_not(
    ann: ForgeUser, forge: DevForge, receiver: Receiver
) -> None:
    await ann.create_hook(REPO, receiver.url, receiver.secret, ["repository"])
    await ann._http.send("PATCH", f"/repos/{REPO}", json={"name": "store"})
    await ann._http.send("DELETE", "/repos/ann/store")
    await forge.delivered()
    [delivery] = forge.deliveries
    assert (delivery.event_type, delivery.payload["action"]) == ("repository", "deleted")


# -- pages


async def test_pages_show_text_and_never_run_it(forge: DevForge, ann: ForgeUser) -> None:
    evil = "so <script>alert(1)</script> [x](javascript:alert(1)) **bold**"
    issue = await ann.create_issue(REPO, "<script>alert(2)</script>", evil)
    await ann.comment_once(REPO, issue.number, "receipt:1", "done <img src=x onerror=alert(3)>")
    html = await _page(issue.html_url)
    assert "<strong>bold</strong>" in html
    for trap in ("<script>alert", "<img", "javascript:", "fleetbot receipt"):
        assert trap not in html


async def test_links_lead_to_pages(forge: DevForge, ann: ForgeUser) -> None:
    await forge.commit(REPO, "work", {"work.txt": "some work\n"}, "Do the work", by="ann")
    pull = await ann.create_pull(REPO, head="work", base="main", title="Join")
    await ann.create_status(REPO, pull.head.sha, state="success", context="fleetbot/receipt")
    assert "Join" in await _page((await ann.repo(REPO)).html_url)
    html = await _page(pull.html_url)
    for shown in ("Do the work", "work.txt", "+some work", "fleetbot/receipt"):
        assert shown in html
    [commit] = await ann.pull_commits(REPO, pull.number)
    assert "+some work" in await _page(commit.html_url)


async def test_a_private_repository_has_no_page(forge: DevForge) -> None:
    forge.repo(REPO).private = True
    async with aiohttp.ClientSession() as session, session.get(f"{forge.url}/{REPO}") as response:
        assert response.status == 404


# -- a process of its own


async def test_it_runs_as_a_process_until_it_is_told_to_stop(tmp_path: Path) -> None:
    seed = {
        "users": [{"login": "ann"}, {"login": "bot"}],
        "repos": [
            {
                "owner": "ann",
                "name": "app",
                "labels": ["fleet"],
                "files": {"README.md": "# app\n"},
                "collaborators": {"bot": "write"},
            }
        ],
    }
    (tmp_path / "seed.json").write_text(json.dumps(seed))
    process = await _forge_process("--root", str(tmp_path), "--seed", str(tmp_path / "seed.json"))
    assert process.stdout is not None
    started = json.loads(await process.stdout.readline())
    async with ForgeUser(started["url"], started["tokens"]["bot"]) as client:
        assert [one.name for one in await client.repo_labels(REPO)] == ["fleet"]
        assert (await client.collaborator_permission(REPO, "bot")).permission == "write"
    process.send_signal(signal.SIGTERM)
    assert await process.wait() == 0


async def test_a_bad_seed_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "seed.json").write_text('{"users": [{"login": 7}]}')
    process = await _forge_process("--root", str(tmp_path), "--seed", str(tmp_path / "seed.json"))
    _, err = await process.communicate()
    assert process.returncode == 2
    assert b"$.users[0].login" in err


async def _forge_process(*args: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "fleetbot_devkit.forge", *args),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def _git(cwd: Path, *args: str) -> int:
    """The exit code of git; a repository with one commit is at ``cwd``."""
    env = {"PATH": os.environ["PATH"], "HOME": os.devnull, "GIT_TERMINAL_PROMPT": "0"}
    identity = ("-c", "user.name=x", "-c", "user.email=x@example.org")
    code = 0
    for command in (("init", "-q"), ("commit", "-q", "--allow-empty", "-m", "x"), args):
        process = await asyncio.create_subprocess_exec(
            *("git", *identity, *command),
            cwd=cwd,
            env=env,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        code = await process.wait()
    return code


async def _page(url: str) -> str:
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        assert response.status == 200
        assert response.content_type == "text/html"
        return await response.text()


async def _get(forge: DevForge, path: str) -> list[object]:
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{forge.url}/api/v1{path}") as response,
    ):
        rows: list[object] = await response.json()
        return rows


async def _post(forge: DevForge, path: str, body: dict[str, object]) -> int:
    headers = {"Authorization": f"token {forge.add_token('ann')}"}
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.post(f"{forge.url}/api/v1{path}", json=body) as response,
    ):
        return response.status


def _title(payload: object) -> str:
    issue = getattr(payload, "issue", None)
    return issue.title if isinstance(issue, Issue) else ""
