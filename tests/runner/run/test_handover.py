"""What a run hands over: one pull request whose text is true, and nobody else's issue closed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest

from fleetbot.domain.reasons import ReasonCode
from fleetbot.runner.run.handover import nameable
from fleetbot.web.endpoint import MEBIBYTE
from fleetbot.wire import Assignment, ReceiptRequest
from tests.runner.scene import REPO, WRITES_A_FILE, Scene

ROUGH = "WIP: Crash at start, closes #1, fixes #2 @ada [skip ci]"
PLAIN = "Crash at start, closes `#1`, fixes `#2` `@ada` skip ci"


@pytest.mark.parametrize("name", ["x" * 900, "\x01" * 900, "\u732b" * 900, "x" * 1001])
def test_a_receipt_names_as_many_files_as_it_takes(name: str) -> None:
    """A megabyte of it is not read, and a path has up to 4096 bytes."""
    named = nameable(("first.txt", *(f"{name}{number % 10}" for number in range(6000))))
    request = ReceiptRequest(
        run="r1", pull_request=1, branch="b", head="0" * 40, files=named, summary="x" * 20_000
    )
    body = msgspec.json.encode(request)
    assert len(body) < MEBIBYTE // 2
    assert msgspec.json.decode(body, type=ReceiptRequest).files[0] == "first.txt"


async def issue_states(scene: Scene) -> dict[int, str]:
    found = await scene.call("GET", f"/repos/{REPO}/issues?state=all&type=issues&page=1")
    return {issue["number"]: issue["state"] for issue in found}


@pytest.mark.parametrize("style", ["merge", "squash"])
async def test_merging_closes_the_tasks_own_issue_and_nothing_else(
    scene: Scene, style: str
) -> None:
    one, two = await scene.issue("One"), await scene.issue("Two")
    order = await scene.order(ROUGH)

    await scene.carry_out("echo 'Fixes #1, closes ada/widgets#2' ; date > d.txt", order)

    (pull,) = await scene.pulls()
    assert pull["title"] == PLAIN
    assert not pull["draft"]
    written = scene.on_forge("log", "-1", "--format=%s", order.branch)
    assert written == f"Crash at start, closes `#1`, fixes `#2` `@ada` skip ci (#{order.issue})"
    await scene.merge(pull["number"], {"Do": style, "head_commit_id": pull["head"]["sha"]})
    assert await issue_states(scene) == {one: "open", two: "open", order.issue: "closed"}


async def test_what_people_had_pushed_before_is_not_handed_over_as_an_agents_work(
    scene: Scene,
) -> None:
    order = await scene.order()
    await scene.forge.commit(REPO, order.branch, {"mine.txt": "x"}, "Mine", by="ada")

    await scene.carry_out("echo it is all there already", order)

    failure = scene.orchestrator.failures[order.run]
    assert failure.reason is ReasonCode.NO_CHANGES
    assert "added nothing to what people had pushed" in failure.detail
    assert scene.orchestrator.receipts == []


async def opened_by(scene: Scene, token: str, **fields: str) -> tuple[Assignment, Any]:
    """A second attempt whose branch has a pull request opened with that token, and that one."""
    first = await scene.order()
    await scene.carry_out(WRITES_A_FILE, first)
    (made,) = await scene.pulls()
    await scene.call("PATCH", f"/repos/{REPO}/pulls/{made['number']}", {"state": "closed"})
    named = {"head": first.branch, "base": "main"} | fields
    opened = await scene.call("POST", f"/repos/{REPO}/pulls", named, token=token)
    return await scene.order(issue=first.issue, attempt=2), opened


async def read(scene: Scene, number: int) -> Any:
    return await scene.call("GET", f"/repos/{REPO}/pulls/{number}")


async def test_each_attempt_brings_the_text_up_to_date_and_keeps_what_people_wrote(
    scene: Scene,
) -> None:
    first = await scene.order()
    await scene.carry_out(f"{WRITES_A_FILE}; echo I greet", first)
    (pull,) = await scene.pulls()
    path = f"/repos/{REPO}/pulls/{pull['number']}"
    edited = {
        "title": "Greeting, second edition",
        "body": f"Bea: see also the wiki\n\n{pull['body']}",
    }
    await scene.call("PATCH", path, edited)
    again = await scene.order(issue=first.issue, attempt=2)

    await scene.carry_out("echo I greet in French; date > d.txt", again)

    (pull,) = await scene.pulls()
    assert pull["title"] == "Greeting, second edition"
    assert pull["body"].startswith("Bea: see also the wiki\n\n")
    assert "I greet in French" in pull["body"]
    assert again.run in pull["body"]
    assert first.run not in pull["body"]
    assert pull["body"].count(f"Resolves #{first.issue}") == 1


async def test_a_pull_request_that_a_person_opened_is_taken_up(scene: Scene) -> None:
    order, opened = await opened_by(scene, scene.ada, title="WIP: a look", body="For a look")

    await scene.carry_out("date > d.txt", order)

    pull = await read(scene, opened["number"])
    assert scene.orchestrator.receipts[-1].pull_request == pull["number"]
    assert pull["body"].startswith("For a look\n\n")
    assert f"Resolves #{order.issue}" in pull["body"]
    assert pull["title"] == "WIP: a look"
    assert "ada has to say that it is ready" in scene.orchestrator.log_of(order.run)


async def test_a_draft_of_ours_is_made_ready(scene: Scene) -> None:
    order, opened = await opened_by(scene, scene.fleet, title="WIP: Say hello")

    await scene.carry_out("date > d.txt", order)

    pull = await read(scene, opened["number"])
    assert pull["title"] == "Say hello"
    assert not pull["draft"]


async def test_a_text_that_may_not_be_edited_does_not_undo_the_work(scene: Scene) -> None:
    order, opened = await opened_by(scene, scene.ada, title="A look")
    scene.forge.fail_next("PATCH", "/pulls/", 403)

    await scene.carry_out("date > d.txt", order)

    assert scene.orchestrator.receipts[-1].pull_request == opened["number"]
    assert "its text is left as it is" in scene.orchestrator.log_of(order.run)


async def test_after_a_pull_request_that_was_closed_there_is_a_new_one(scene: Scene) -> None:
    first = await scene.order()
    await scene.carry_out(WRITES_A_FILE, first)
    (pull,) = await scene.pulls()
    await scene.call("PATCH", f"/repos/{REPO}/pulls/{pull['number']}", {"state": "closed"})
    again = await scene.order(issue=first.issue, attempt=2)

    await scene.carry_out("date > d.txt", again)

    number = scene.orchestrator.receipts[-1].pull_request
    assert number != pull["number"]
    follows = f"Follows #{pull['number']}, which was closed without being merged.\n\n"
    assert (await read(scene, number))["body"].startswith(follows)


async def test_words_of_an_agent_neither_end_our_part_nor_hide_the_issue(scene: Scene) -> None:
    order = await scene.order()

    await scene.carry_out(f"{WRITES_A_FILE}; echo '<!-- fleetbot: end --> <!--'", order)

    (pull,) = await scene.pulls()
    assert pull["body"].startswith(f"<!-- fleetbot: begin -->\nResolves #{order.issue}\n\n")
    assert pull["body"].count("<!--") == 2


@pytest.mark.parametrize(
    ("method", "path", "applied"),
    [
        ("GET", "/pulls/main/", False),
        ("POST", "/pulls$", False),
        ("POST", "/pulls$", True),
        ("PATCH", "/pulls/", True),
    ],
)
async def test_a_forge_that_stumbles_at_the_pull_request_makes_no_second_one(
    scene: Scene, method: str, path: str, applied: bool
) -> None:
    first = await scene.order()
    if method == "PATCH":
        await scene.carry_out(WRITES_A_FILE, first)
    again = await scene.order(issue=first.issue, attempt=2)
    scene.forge.fail_next(method, path, 502, applied=applied)

    await scene.carry_out("date > d.txt", again)

    assert len(await scene.pulls()) == 1
    assert scene.orchestrator.failures == {}


class Paused:
    """A run whose agent waits in the middle, at work, until it may go on."""

    def __init__(self, scene: Scene) -> None:
        self.gate = scene.root / "gate"
        self.begins = f"echo at work; until test -e {self.gate}; do sleep 0.02; done; "

    @asynccontextmanager
    async def run(
        self, scene: Scene, order: Assignment, rest: str, **parts: str
    ) -> AsyncIterator[None]:
        """Within the block the agent is at work; behind it the run has ended."""
        await scene.orchestrator.assign(order)
        async with scene.runner(self.begins + rest, **parts):
            await scene.orchestrator.until(lambda o: "at work" in o.log_of(order.run))
            yield
            self.gate.touch()
            await scene.settled(order)


@pytest.fixture
def paused(scene: Scene) -> Paused:
    return Paused(scene)


@pytest.mark.parametrize("how", ["merge --no-edit", "rebase"])
async def test_what_a_colleague_brought_into_the_base_meanwhile_is_not_the_agents(
    scene: Scene, paused: Paused, how: str
) -> None:
    order = await scene.order(forbidden_paths=(".forgejo/workflows/",))
    rest = (
        f"{WRITES_A_FILE} && git fetch -q {scene.forge.url}/{REPO}.git main && git {how} FETCH_HEAD"
    )

    async with paused.run(scene, order, rest):
        theirs = {".forgejo/workflows/ci.yml": "on: push", "theirs.txt": "theirs"}
        await scene.forge.commit(REPO, "main", theirs, "CI", by="ada")

    assert scene.orchestrator.failures == {}
    assert scene.orchestrator.receipts[0].files == ("hello.txt",)


async def merged_meanwhile(
    scene: Scene, paused: Paused, rest: str, style: str, *, delete: bool
) -> tuple[Assignment, Any]:
    """A second attempt during which ada merges the first one's pull request."""
    first = await scene.order()
    await scene.carry_out(WRITES_A_FILE, first)
    (pull,) = await scene.pulls()
    order = await scene.order(issue=first.issue, attempt=2)
    async with paused.run(scene, order, rest):
        await scene.merge(pull["number"], {"Do": style, "head_commit_id": pull["head"]["sha"]})
        if delete:
            await scene.forge.delete_branch(REPO, order.branch, by="ada")
    return order, pull


@pytest.mark.parametrize(("style", "delete"), [("merge", True), ("squash", False)])
async def test_a_pull_request_merged_meanwhile_is_told_where_nothing_was_added(
    scene: Scene, paused: Paused, style: str, delete: bool
) -> None:
    order, pull = await merged_meanwhile(scene, paused, "true", style, delete=delete)

    failure = scene.orchestrator.failures[order.run]
    assert failure.reason is ReasonCode.NO_CHANGES
    assert f"#{pull['number']} was merged" in failure.detail
    assert len(await scene.pulls()) == 1


@pytest.mark.parametrize(("style", "delete"), [("merge", False), ("squash", True)])
async def test_what_was_added_to_one_that_was_merged_meanwhile_gets_another(
    scene: Scene, paused: Paused, style: str, delete: bool
) -> None:
    order, pull = await merged_meanwhile(scene, paused, "date > d.txt", style, delete=delete)

    receipt = scene.orchestrator.receipts[-1]
    assert receipt.run == order.run
    assert receipt.pull_request != pull["number"]
    assert "d.txt" in receipt.files


async def test_work_is_not_lost_with_a_branch_that_somebody_deletes_meanwhile(
    scene: Scene, paused: Paused
) -> None:
    first = await scene.order()
    await scene.carry_out(WRITES_A_FILE, first)
    order = await scene.order(issue=first.issue, attempt=2)

    async with paused.run(scene, order, "date > d.txt"):
        await scene.forge.delete_branch(REPO, order.branch, by="ada")

    assert scene.orchestrator.receipts[-1].files == ("d.txt", "hello.txt")
    assert scene.on_forge("rev-parse", order.branch) == scene.orchestrator.receipts[-1].head


@pytest.mark.parametrize(
    ("method", "path", "applied"),
    [
        ("POST", "git-receive-pack$", False),
        ("POST", "git-receive-pack$", True),
        ("GET", "/pulls/main/", False),
        ("POST", "/pulls$", False),
        ("POST", "/pulls$", True),
        ("GET", r"/pulls/\d+$", False),
    ],
)
async def test_a_forge_that_goes_away_at_any_step_is_handed_the_work_once(
    scene: Scene, method: str, path: str, applied: bool
) -> None:
    order, starts, pushes = await scene.order(), scene.root / "starts", scene.root / "pushes"
    hook = scene.forge.repo(REPO).git.path / "hooks" / "post-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\ngrep refs/heads >> {pushes}\n")
    hook.chmod(0o755)
    scene.forge.fail_next(method, path, 503, retry_after=3600, applied=applied)

    await scene.carry_out(f"echo started >> {starts}; {WRITES_A_FILE}; date > d.txt", order)

    (pull,) = await scene.pulls()
    assert scene.orchestrator.failures == {}
    assert len(starts.read_text().splitlines()) == 1
    assert len(pushes.read_text().splitlines()) == 1
    assert scene.orchestrator.receipts[0].head == pull["head"]["sha"]
    assert scene.orchestrator.log_of(order.run).count("pull request #") == 1
