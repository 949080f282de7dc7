"""What happens to a pull request after it was verified: reviews, CI, a base that moves, the merge.

A review is answered thread by thread, red CI is mended, a conflict is merged; maubot is killed in
the middle of each, and nothing is repeated or forgotten.
"""

from __future__ import annotations

from typing import Any

from fleetbot.devkit.story import until
from fleetbot.devkit.world import REPO, World
from tests.flow.agents import agent
from tests.flow.seen import journal_of, task_of, until_state

PULLS = f"/repos/{REPO}/pulls"

# It writes a note; in a round it does what it is told there, once the gate of that round is open.
REVIEWED = """
import re
prompt = pathlib.Path(os.environ["FLEETBOT_PROMPT_FILE"]).read_text()
note = pathlib.Path(f"notes/{issue}.md")
if "## Round " not in prompt:
    commit(str(note), "a draft")
    sys.exit()
wait_for(GATE)
answers = iter(["fixed", "answered", "disagrees"])
for thread in sorted(set(map(int, re.findall(r"### Thread (\\d+)", prompt)))):
    subprocess.run(["fleetbot", "reply", str(thread), next(answers), "as I see it"], check=True)
if "The merge of `main` is in progress" in prompt:
    note.write_text("theirs and a draft")
    subprocess.run(["git", "add", "--", str(note)], check=True)
    subprocess.run(["git", "commit", "--quiet", "--no-edit"], check=True)
else:
    commit(str(note), "better: " + str(len(prompt)))
"""


async def _pull(world: World) -> dict[str, Any]:
    (pull,) = await world.forge_api("alice", "GET", f"{PULLS}?state=all&page=1&limit=50")
    return dict(pull)


async def _given(world: World) -> tuple[int, dict[str, Any]]:
    """A task whose pull request was verified; a round of it waits for the gate."""
    script = REVIEWED.replace("GATE", repr(str(world.root / "gate")))
    world.start_runner(agent(world.root, "smith", script))
    issue = await world.open_issue("Write it down")
    await until_state(world, issue, "completed")
    return issue, await _pull(world)


async def _until_round(world: World, issue: int, number: int, state: str) -> None:
    async def reached() -> bool:
        begun = (await journal_of(world, issue)).count("task.started") > number
        task = await task_of(world, issue)
        return begun and task is not None and task["state"] == state

    await until(reached, f"round {number} of #{issue} to be {state}", 40)


async def _survives(world: World) -> None:
    """maubot is killed in the middle of the round, and comes back."""
    await world.bots.kill()
    (world.root / "gate").touch()
    await world.bots.restart()


async def _threads(world: World, pull: int, review: int) -> list[dict[str, Any]]:
    path = f"{PULLS}/{pull}/reviews/{review}/comments"
    return list(await world.forge_api("alice", "GET", path))


async def test_a_review_is_answered_thread_by_thread_and_the_merge_ends_it(world: World) -> None:
    issue, pull = await _given(world)
    number = pull["number"]
    lines = [{"path": f"notes/{issue}.md", "body": "Which draft?", "new_position": 1}]
    review = {"event": "REQUEST_CHANGES", "body": "Not yet.", "comments": lines}
    asked = await world.forge_api("alice", "POST", f"{PULLS}/{number}/reviews", review)
    await _until_round(world, issue, 1, "running")

    await _survives(world)

    await _until_round(world, issue, 1, "completed")

    async def replied() -> bool:
        return len(await _threads(world, number, asked["id"])) == 2

    await until(replied, "the threads to be answered")
    said = await _threads(world, number, asked["id"])
    assert any("Fixed in" in comment["body"] for comment in said)

    async def asked_again() -> bool:
        return bool((await _pull(world))["requested_reviewers"])

    await until(asked_again, "the reviewer to be asked again")

    async def said_once() -> bool:
        comments = await world.forge_api("alice", "GET", f"/repos/{REPO}/issues/{number}/comments")
        return sum("Round 1" in comment["body"] for comment in comments) == 1

    await until(said_once, "what the round came to")
    assert (await journal_of(world, issue)).count("task.completed") == 2

    await world.forge_api("alice", "POST", f"{PULLS}/{number}/reviews", {"event": "APPROVED"})
    head = (await _pull(world))["head"]["sha"]
    merge = {"Do": "merge", "head_commit_id": head}
    await world.forge_api("alice", "POST", f"{PULLS}/{number}/merge", merge)

    async def merged() -> bool:
        return "pull.merged" in await journal_of(world, issue)

    await until(merged, "the merge to be heard of")
    task = await task_of(world, issue)
    assert task is not None
    assert task["state"] == "completed"


async def test_red_ci_is_mended_and_what_does_not_help_is_asked_once(world: World) -> None:
    issue, pull = await _given(world)
    (world.root / "gate").touch()

    await _fail_ci(world, pull["head"]["sha"])
    await _until_round(world, issue, 1, "completed")
    await _fail_ci(world, (await _pull(world))["head"]["sha"])

    async def asked() -> bool:
        return "pull.asked" in await journal_of(world, issue)

    await until(asked, "people to be asked")
    journal = await journal_of(world, issue)
    assert journal.count("pull.asked") == 1
    assert journal.count("task.completed") == 2


async def _fail_ci(world: World, sha: str) -> None:
    """CI says no; Forgejo's own tells of it by webhook, as this does by a comment."""
    status = {"state": "failure", "context": "test", "description": "1 failed"}
    await world.forge_api("alice", "POST", f"/repos/{REPO}/statuses/{sha}", status)
    talk = {"body": "CI is red."}
    number = (await _pull(world))["number"]
    await world.forge_api("alice", "POST", f"/repos/{REPO}/issues/{number}/comments", talk)


async def test_a_base_that_moved_is_merged(world: World) -> None:
    issue, pull = await _given(world)
    path = f"notes/{issue}.md"
    await world.forge.commit(REPO, "main", {path: "theirs\n"}, "Ours first", by="alice")
    talk = {"body": "It conflicts now."}
    comments = f"/repos/{REPO}/issues/{pull['number']}/comments"
    await world.forge_api("alice", "POST", comments, talk)
    await _until_round(world, issue, 1, "running")

    await _survives(world)

    await _until_round(world, issue, 1, "completed")

    async def mergeable() -> bool:
        return bool((await _pull(world))["mergeable"])

    await until(mergeable, "it to be mergeable")
