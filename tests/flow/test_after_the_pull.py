"""What happens to a pull request after it was verified: reviews, CI, a base that moves, the merge.

A review is answered thread by thread, red CI is mended, a conflict is merged; maubot is killed in
the middle of each, and nothing is repeated or forgotten.
"""

from __future__ import annotations

from typing import Any

import pytest

from fleetbot_devkit.story import until
from fleetbot_devkit.world import INSTANCE, REPO, World
from tests.flow.agents import agent
from tests.flow.pulls import (
    ci_says,
    pull_of,
    pulls,
    reviewed,
    standing,
    survives,
    talk,
    threads,
    until_asked_again,
    until_mergeable,
    until_round,
    until_shown,
    until_told,
)
from tests.flow.seen import ask, journal_of, journal_problems, task_of, until_state

pytestmark = pytest.mark.asyncio(loop_scope="module")


ON_THE_FLOOR = """
if issue == "CHAIR" and not pathlib.Path("notes/FLOOR.md").exists():
    sys.exit("there is no floor to stand on")
commit(f"notes/{issue}.md", "done")
"""


async def _given(world: World) -> tuple[int, dict[str, Any]]:
    """A task whose pull request was verified; a round of it waits for the gate."""
    world.start_runner(agent(world.root, "smith", reviewed(world)))
    issue = await world.open_issue("Write it down")
    await until_state(world, issue, "completed")
    return issue, await pull_of(world, issue)


async def test_what_waits_for_another_starts_from_the_merge_of_that(world: World) -> None:
    floor = await world.open_issue("Lay the floor")
    chair = await world.open_issue("Put the chair on it", labels=())
    owner, name = REPO.split("/")
    its = f"/repos/{REPO}/issues/{chair}"
    on = {"owner": owner, "repo": name, "index": floor}
    await world.forge_api("alice", "POST", f"{its}/dependencies", on)
    await world.forge_api("alice", "POST", f"{its}/labels", {"labels": ["fleet"]})
    script = ON_THE_FLOOR.replace("FLOOR", str(floor)).replace("CHAIR", str(chair))
    world.start_runner(agent(world.root, "joiner", script, extra="max_concurrency = 2"))

    await until_state(world, floor, "completed")

    said = await ask(world, f"!fleet why #{chair}")
    assert f"{REPO}#{floor}, which is done, and whose pull request" in said
    assert await journal_of(world, chair) == ["task.created", "task.blocked"]

    pull = await pull_of(world, floor)
    merge = {"Do": "merge", "head_commit_id": pull["head"]["sha"]}
    await world.bots.kill()  # nobody hears of the merge
    await pulls(world, f"/{pull['number']}/merge", merge)
    await world.bots.restart()

    await until_state(world, chair, "completed")
    assert (await journal_of(world, chair))[:4] == [
        "task.created",
        "task.blocked",
        "task.blocked",
        "task.assigned",
    ]


async def test_a_base_that_moved_is_merged(world: World) -> None:
    issue, pull = await _given(world)
    path = f"notes/{issue}.md"
    await world.forge.commit(REPO, "main", {path: "theirs\n"}, "Ours first", by="alice")
    await until_mergeable(world, pull["number"], False)
    await talk(world, pull["number"], "It conflicts now.")
    await until_round(world, issue, 1, "running")

    await survives(world, issue)

    await until_round(world, issue, 1, "completed")
    await until_mergeable(world, pull["number"])


async def test_a_review_is_answered_thread_by_thread_and_the_merge_ends_it(world: World) -> None:
    issue, pull = await _given(world)
    number = pull["number"]
    lines = [{"path": f"notes/{issue}.md", "body": "Which draft?", "new_position": 1}]
    review = {"event": "REQUEST_CHANGES", "body": "Not yet.", "comments": lines}
    asked = await pulls(world, f"/{number}/reviews", review)
    await until_round(world, issue, 1, "running")

    await survives(world, issue)

    await until_round(world, issue, 1, "completed")

    async def replied() -> bool:
        return len(await threads(world, number, asked["id"])) == 2

    await until(replied, "the threads to be answered")
    said = await threads(world, number, asked["id"])
    assert any("Fixed in" in comment["body"] for comment in said)
    await until_asked_again(world, number)

    async def said_once() -> bool:
        return sum("Round 1" in comment for comment in await world.comments(number)) == 1

    await until(said_once, "what the round came to")
    assert (await journal_of(world, issue)).count("task.completed") == 2

    await pulls(world, f"/{number}/reviews", {"event": "APPROVED"})
    await _lands(world, issue)

    await until_told(world, issue, "pull.merged")
    assert (await pull_of(world, issue))["merged"]
    task = await task_of(world, issue)
    assert task is not None
    assert task["state"] == "completed"


async def _lands(world: World, issue: int) -> None:
    """alice, whose account on the forge is known, has it merged from the room."""
    world.forge.reserve(REPO, "main", ["alice", "fleetbot"])
    people = {"people": {"alice": world.alice.user_id}}
    await world.bots.admin.put_config(INSTANCE, {**world.config, "chat": people})
    said = await world.alice.send(world.room, f"!fleet land #{issue}")
    await world.alice.wait_for(lambda event: "is being merged" in event.text, after=said)
    await survives(world, issue)


async def test_red_ci_is_mended_and_what_does_not_help_is_asked_once(world: World) -> None:
    issue, pull = await _given(world)
    await ci_says(world, issue, "failure")
    await until_round(world, issue, 1, "running")

    await survives(world, issue)

    await until_round(world, issue, 1, "completed")
    await ci_says(world, issue, "failure")
    await until_told(world, issue, "pull.asked")

    await survives(world, issue)

    base = (await pull_of(world, issue))["base"]["sha"]
    await ci_says(world, issue, "success")
    await ci_says(world, issue, "failure", context="lint", also=base)
    await until_shown(world, issue, lambda seen: seen.red_on_base == ("lint",))
    assert (await standing(world, issue)).failing == ("lint",)
    await ci_says(world, issue, "success", context="lint")
    await until_shown(world, issue, lambda seen: seen.ci == "green")
    journal = await journal_of(world, issue)
    assert journal.count("pull.asked") == 1
    assert journal.count("task.completed") == 2
    assert (await pull_of(world, issue))["head"]["sha"] != pull["head"]["sha"]
    assert await journal_problems(world) == []
