"""What people do to a task's pull request on the forge, and what one sees of it there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from fleetbot.domain.pulls import Standing
from fleetbot_devkit.rest import CallFailed
from fleetbot_devkit.story import until
from fleetbot_devkit.world import World
from tests.flow.seen import journal_of, lines_of, task_of

# It writes a note; in a round it does what it is told there, once the gate of its issue is open.
REVIEWED = """
import re
prompt = pathlib.Path(os.environ["FLEETBOT_PROMPT_FILE"]).read_text()
note = pathlib.Path(f"notes/{issue}.md")
if "## Round " not in prompt:
    commit(str(note), "a draft\\nof two lines\\n")
    sys.exit()
wait_for(f"GATES/gate-{issue}")
answers = iter(["fixed", "answered", "disagrees"])
for thread in sorted(set(map(int, re.findall(r"### Thread (\\d+)", prompt)))):
    subprocess.run(["fleetbot", "reply", str(thread), next(answers), "as I see it"], check=True)
if "The merge of `main` is in progress" in prompt:
    note.write_text("theirs and a draft")
    subprocess.run(["git", "add", "--", str(note)], check=True)
    subprocess.run(["git", "commit", "--quiet", "--no-edit"], check=True)
else:
    commit(str(note), "better: " + os.environ["FLEETBOT_RUN"])
"""


def reviewed(world: World) -> str:
    """The script of an agent that answers reviews, once the gate of their issue is open."""
    return REVIEWED.replace("GATES", str(world.root))


def gate(world: World, issue: int) -> Path:
    return world.root / f"gate-{issue}"


async def survives(world: World, issue: int) -> None:
    """maubot is killed in the middle of the round, and comes back."""
    await world.bots.kill()
    gate(world, issue).touch()
    await world.bots.restart()


async def until_round(world: World, issue: int, number: int, state: str) -> None:
    async def reached() -> bool:
        begun = (await journal_of(world, issue)).count("task.started") > number
        task = await task_of(world, issue)
        return begun and task is not None and task["state"] == state

    await until(reached, f"round {number} of #{issue} to be {state}", 60)


async def until_told(world: World, issue: int, event: str) -> None:
    """Wait until the journal of the issue's task has an event of this type."""

    async def told() -> bool:
        return event in await journal_of(world, issue)

    await until(told, f"{event} of #{issue}", 60)


async def standing(world: World, issue: int) -> Standing:
    """What was last seen of the task's pull request."""
    lines = await lines_of(world, issue)
    seen = [line["data"]["standing"] for line in lines if line["type"] == "pull.seen"]
    return msgspec.convert(seen[-1], Standing) if seen else Standing()


async def until_shown(world: World, issue: int, shows: Callable[[Standing], bool]) -> None:
    """Wait until the task's pull request was seen like that."""

    async def shown() -> bool:
        return shows(await standing(world, issue))

    await until(shown, f"the pull request of #{issue} to be seen as it is", 60)


# on the forge


async def pulls(world: World, path: str, body: object = None, *, method: str = "") -> Any:
    """A call of alice's about pull requests."""
    method = method or ("GET" if body is None else "POST")
    return await world.forge_api("alice", method, f"/repos/{world.repo}/pulls{path}", body)


async def pull_of(world: World, issue: int) -> dict[str, Any]:
    """The pull request of the issue's task."""
    rows = await pulls(world, "?state=all&page=1&limit=50")
    ours = f"fleet/{issue}-"
    (pull,) = [row for row in rows if row["head"]["label"].startswith(ours)]
    return dict(await pulls(world, f"/{pull['number']}"))


async def talk(world: World, number: int, text: str) -> None:
    path = f"/repos/{world.repo}/issues/{number}/comments"
    await world.forge_api("alice", "POST", path, {"body": text})


async def ci_says(
    world: World,
    issue: int,
    state: str,
    words: str = "1 failed",
    *,
    context: str = "test",
    also: str = "",
) -> None:
    """CI's word on the head, and on the commit `also`; Forgejo's own tells of it by webhook, as
    this does by a comment."""
    pull = await pull_of(world, issue)
    status = {"state": state, "context": context, "description": words}
    for sha in filter(None, (also, pull["head"]["sha"])):
        await world.forge_api("alice", "POST", f"/repos/{world.repo}/statuses/{sha}", status)
    await talk(world, pull["number"], f"CI: {state}.")


async def threads(world: World, number: int, review: int) -> list[dict[str, Any]]:
    """The comments on lines of a review, and the answers to them."""
    return list(await pulls(world, f"/{number}/reviews/{review}/comments"))


async def until_asked_again(world: World, number: int) -> None:
    """Wait until a review is asked for: `requested_reviewers` also has whoever has given one."""

    async def asked() -> bool:
        reviews = await pulls(world, f"/{number}/reviews")
        return any(review["state"] == "REQUEST_REVIEW" for review in reviews)

    await until(asked, "the reviewer to be asked again")


async def merge(world: World, number: int) -> None:
    """alice merges it as it is, as soon as the forge knows whether that can be."""
    head = (await pulls(world, f"/{number}"))["head"]["sha"]

    async def merged() -> bool:
        try:
            await pulls(world, f"/{number}/merge", {"Do": "merge", "head_commit_id": head})
        except CallFailed as refused:
            if refused.status != 405:
                raise AssertionError(str(refused)) from refused
            return False
        return True

    await until(merged, f"!{number} to be merged")


async def until_mergeable(world: World, number: int, is_so: bool = True) -> None:
    async def mergeable() -> bool:
        return bool((await pulls(world, f"/{number}"))["mergeable"]) is is_so

    await until(mergeable, f"!{number} to be mergeable: {is_so}")
