"""What happens to pull requests on a real Forgejo, where there is one: see `real_forgejo`.

As in `test_after_the_pull` and `test_blockers`, in one world: the bot and the agents may write to
the repository, and no more.
"""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from fleetbot_devkit.homeserver import Homeserver
from fleetbot_devkit.story import until
from fleetbot_devkit.world import INSTANCE
from tests.flow.agents import agent
from tests.flow.pulls import (
    ci_says,
    gate,
    merge,
    pull_of,
    pulls,
    reviewed,
    standing,
    survives,
    threads,
    until_asked_again,
    until_mergeable,
    until_round,
    until_told,
)
from tests.flow.real_forgejo import RealForgeWorld, only_where_there_is_one
from tests.flow.seen import ask, journal_of, task_of, until_labelled, until_state

pytestmark = [only_where_there_is_one, pytest.mark.asyncio(loop_scope="module")]

ON_THE_FLOOR = """
on = re.search(r"Stand on #(\\d+)", prompt)
if on and not pathlib.Path(f"notes/{on[1]}.md").exists():
    sys.exit("there is no floor to stand on")
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(
    homeserver: Homeserver, archive: Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[RealForgeWorld]:
    """An agent is at work; rounds wait for the gates of their issues."""
    root: Path = tmp_path_factory.mktemp("world")
    async with RealForgeWorld.start(root, homeserver=homeserver, archive=archive) as world:
        script = reviewed(world).replace("note =", f"{ON_THE_FLOOR}\nnote =", 1)
        world.start_runner(agent(root, "smith", script, extra="max_concurrency = 3"))
        yield world


async def given_done(world: RealForgeWorld) -> tuple[int, int]:
    """An issue whose pull request was verified, and the number of that."""
    issue = await world.open_issue("Write it down")
    await until_state(world, issue, "completed", 60)
    return issue, (await pull_of(world, issue))["number"]


async def until_seen(world: RealForgeWorld, issue: int, **shown: object) -> None:
    """Wait until the pull request was last seen like this."""

    async def seen() -> bool:
        its = await standing(world, issue)
        return all(getattr(its, name) == value for name, value in shown.items())

    await until(seen, f"#{issue} to show {shown}", 60)


async def test_a_review_is_answered_and_approved_and_the_merge_ends_it(
    world: RealForgeWorld,
) -> None:
    issue, number = await given_done(world)
    path = f"notes/{issue}.md"
    lines = [{"path": path, "body": f"Line {n}?", "new_position": n} for n in (1, 2)]
    review = {"event": "REQUEST_CHANGES", "body": "Not yet.", "comments": lines}
    asked = await pulls(world, f"/{number}/reviews", review)
    await until_round(world, issue, 1, "running")
    assert (await standing(world, issue)).changes_asked == (world.people["alice"],)

    await survives(world, issue)

    await until_round(world, issue, 1, "completed")
    await until_asked_again(world, number)
    said = [comment["body"] for comment in await threads(world, number, asked["id"])]
    assert sum("Fixed in" in words for words in said) == 1
    assert sum("nothing was changed for it" in words for words in said) == 1
    assert len(said) == 4
    assert sum("Round 1" in words for words in await world.comments(number)) == 1
    await until_seen(world, issue, changes_asked=(), approved_by=())

    await pulls(world, f"/{number}/reviews", {"event": "APPROVED"})
    await until_seen(world, issue, approved_by=(world.people["alice"],))
    await merge(world, number)

    await until_told(world, issue, "pull.merged")
    await until_labelled(world, issue, "status:done")
    task = await task_of(world, issue)
    assert task is not None
    assert task["state"] == "completed"
    assert (await journal_of(world, issue)).count("task.completed") == 2


async def test_an_answer_to_an_answer_is_taken_up_and_ours_are_not(world: RealForgeWorld) -> None:
    issue, number = await given_done(world)
    gate(world, issue).touch()
    line = {"path": f"notes/{issue}.md", "body": "Why?", "new_position": 2}
    review = {"event": "COMMENT", "comments": [line]}
    asked = await pulls(world, f"/{number}/reviews", review)
    await until_round(world, issue, 1, "completed")
    await until_asked_again(world, number)

    await pulls(world, f"/{number}/reviews/{asked['id']}/comments", {**line, "body": "No."})
    await pulls(world, f"/{number}/reviews", {"event": "COMMENT", "body": "See above."})

    await until_round(world, issue, 2, "completed")

    async def replied() -> bool:
        return len(await threads(world, number, asked["id"])) == 4

    await until(replied, "the thread to be answered again")
    assert (await journal_of(world, issue)).count("task.started") == 3


async def test_red_ci_is_mended_and_what_does_not_help_is_asked_once(
    world: RealForgeWorld,
) -> None:
    issue, _ = await given_done(world)
    gate(world, issue).touch()
    await ci_says(world, issue, "failure")
    await until_round(world, issue, 1, "completed")
    await ci_says(world, issue, "success")
    await until_seen(world, issue, ci="green")

    await ci_says(world, issue, "failure")
    await until_round(world, issue, 2, "completed")
    for _ in range(2):
        await ci_says(world, issue, "failure", "1 failed")

    await until_told(world, issue, "pull.asked")
    await until_seen(world, issue, ci="red")
    journal = await journal_of(world, issue)
    assert (journal.count("pull.asked"), journal.count("task.completed")) == (1, 3)


async def test_what_is_red_on_the_base_too_is_said_and_left_alone(world: RealForgeWorld) -> None:
    issue, number = await given_done(world)
    base = (await pulls(world, f"/{number}"))["base"]["sha"]
    red = {"state": "failure", "context": "test", "description": "1 failed"}
    await world.forge_api("alice", "POST", f"/repos/{world.repo}/statuses/{base}", red)

    await ci_says(world, issue, "failure")

    await until_seen(world, issue, ci="red", red_on_base=("test",))
    assert (await journal_of(world, issue)).count("task.started") == 1


async def test_what_a_merge_of_others_brings_into_conflict_is_merged(
    world: RealForgeWorld,
) -> None:
    issue, number = await given_done(world)
    content = {
        "content": base64.b64encode(b"theirs\n").decode(),
        "message": "Ours first",
        "branch": "main",
        "new_branch": f"rival-{issue}",
    }
    path = f"/repos/{world.repo}/contents/notes/{issue}.md"
    await world.forge_api("alice", "POST", path, content)
    rival = {"head": f"rival-{issue}", "base": "main", "title": "Ours first"}
    other = (await pulls(world, "", rival))["number"]

    await merge(world, other)

    await until_round(world, issue, 1, "running")
    await survives(world, issue)
    await until_round(world, issue, 1, "completed")
    await until_mergeable(world, number)
    await until_seen(world, issue, conflict=False)
    assert (await journal_of(world, issue)).count("task.started") == 2


async def test_what_a_person_brings_up_to_date_stays_verified(world: RealForgeWorld) -> None:
    issue, number = await given_done(world)
    elsewhere = {"content": "bW9yZQo=", "message": "More", "branch": "main"}
    path = f"/repos/{world.repo}/contents/more-{issue}.txt"
    await world.forge_api("alice", "POST", path, elsewhere)

    await pulls(world, f"/{number}/update", {})

    await until_told(world, issue, "pull.updated")
    head = (await pulls(world, f"/{number}"))["head"]["sha"]

    async def vouched_for() -> bool:
        path = f"/repos/{world.repo}/commits/{head}/status"
        status = await world.forge_api("alice", "GET", path)
        return "fleetbot/receipt" in {row["context"] for row in status["statuses"] or ()}

    await until(vouched_for, "the new head to carry fleetbot/receipt")
    assert (await journal_of(world, issue)).count("task.started") == 1


async def test_what_waits_for_another_starts_from_the_merge_of_that(world: RealForgeWorld) -> None:
    floor = await world.open_issue("Lay the floor")
    chair = await world.open_issue("Put the chair on it", f"Stand on #{floor}.", labels=())
    owner, name = world.repo.split("/")
    its = f"/repos/{world.repo}/issues/{chair}"
    on = {"owner": owner, "repo": name, "index": floor}
    await world.forge_api("alice", "POST", f"{its}/dependencies", on)
    await world.forge_api("alice", "POST", f"{its}/labels", {"labels": ["fleet"]})
    await until_state(world, floor, "completed", 60)

    said = await ask(world, f"!fleet why #{chair}")
    assert f"{world.repo}#{floor}, which is done, and whose pull request" in said
    assert await journal_of(world, chair) == ["task.created", "task.blocked"]

    await merge(world, (await pull_of(world, floor))["number"])

    await until_state(world, chair, "completed", 60)
    waited = ["task.created", "task.blocked", "task.blocked", "task.assigned"]
    assert (await journal_of(world, chair))[:4] == waited


async def test_what_the_bot_may_not_see_is_told_and_not_waited_for(world: RealForgeWorld) -> None:
    owner = world.repo.partition("/")[0]
    await world.forge_api("alice", "POST", "/user/repos", {"name": "attic", "private": True})
    hidden = await world.forge_api("alice", "POST", f"/repos/{owner}/attic/issues", {"title": "x"})
    issue = await world.open_issue("Look up", labels=())
    its = f"/repos/{world.repo}/issues/{issue}"
    on = {"owner": owner, "repo": "attic", "index": hidden["number"]}
    await world.forge_api("alice", "POST", f"{its}/dependencies", on)
    await world.forge_api("alice", "POST", f"{its}/labels", {"labels": ["fleet"]})

    await until_state(world, issue, "completed", 60)

    assert "does not show" in await ask(world, f"!fleet why #{issue}")


async def test_closed_unmerged_it_rests_and_reopened_it_is_followed_again(
    world: RealForgeWorld,
) -> None:
    issue, number = await given_done(world)
    gate(world, issue).touch()

    await pulls(world, f"/{number}", {"state": "closed"}, method="PATCH")
    await until_told(world, issue, "pull.closed")
    await pulls(world, f"/{number}", {"state": "open"}, method="PATCH")
    await until_told(world, issue, "pull.reopened")
    await pulls(world, f"/{number}/reviews", {"event": "REQUEST_CHANGES", "body": "Once more."})

    await until_round(world, issue, 1, "completed")


async def test_a_person_lands_it_from_the_room(world: RealForgeWorld) -> None:
    issue, number = await given_done(world)
    mergers = [world.people["alice"], world.people["fleetbot"]]
    rule = {
        "rule_name": "main",
        "enable_push": False,
        "enable_merge_whitelist": True,
        "merge_whitelist_usernames": mergers,
    }
    await world.forge_api("alice", "POST", f"/repos/{world.repo}/branch_protections", rule)
    people = {"people": {world.people["alice"]: world.alice.user_id}}
    await world.bots.admin.put_config(INSTANCE, {**world.config, "chat": people})

    said = await world.alice.send(world.room, f"!fleet land #{issue}")
    await world.alice.wait_for(lambda event: "is being merged" in event.text, after=said)

    await until_told(world, issue, "pull.merged")
    pull = await pulls(world, f"/{number}")
    assert (pull["merged"], pull["merged_by"]["login"]) == (True, world.people["fleetbot"])
