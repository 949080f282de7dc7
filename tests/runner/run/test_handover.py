"""What a run hands over: one pull request whose text is true, and nobody else's issue closed."""

from __future__ import annotations

from typing import Any

import pytest

from fleetbot.wire import Assignment
from tests.runner.scene import REPO, WRITES_A_FILE, Scene

ROUGH = "WIP: Crash at start, closes #1, fixes #2 @ada [skip ci]"
PLAIN = "Crash at start, closes `#1`, fixes `#2` `@ada` skip ci"


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

    assert scene.orchestrator.receipts[-1].pull_request != pull["number"]


async def test_words_of_an_agent_neither_end_our_part_nor_hide_the_issue(scene: Scene) -> None:
    order = await scene.order()

    await scene.carry_out(f"{WRITES_A_FILE}; echo '<!-- fleetbot: end --> <!--'", order)

    (pull,) = await scene.pulls()
    assert pull["body"].startswith(f"<!-- fleetbot: begin -->\nResolves #{order.issue}\n\n")
    assert pull["body"].count("<!--") == 2


@pytest.mark.parametrize(
    ("method", "path", "applied"),
    [
        ("GET", "/pulls$", False),
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
