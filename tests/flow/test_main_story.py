"""From a Forgejo issue to a verified task."""

from __future__ import annotations

import pytest

from fleetbot_devkit.story import until
from fleetbot_devkit.world import REPO, World
from tests.flow.agents import DILIGENT, IDLE, agent
from tests.flow.seen import TOLD_ONCE, answer_to, journal_of, says, until_labelled, until_state

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_an_issue_becomes_a_verified_task_and_the_room_hears(world: World) -> None:
    world.start_runner(agent(world.root, "smith", DILIGENT))

    issue = await world.open_issue("Write <b>notes</b>", "Please.", labels=("fleet", "bug"))

    await world.alice.wait_for(says(world, f"✅ Done: {REPO}#{issue}", "smith"))
    await until_labelled(world, issue, "status:done")
    assert await journal_of(world, issue) == TOLD_ONCE
    comments = "\n".join(await world.comments(issue))
    assert "/pulls/" in comments
    status = await _commit_status(world, issue)
    assert status == {"fleetbot/receipt": "success"}


async def test_a_log_of_the_run_stands_in_the_agents_thread(world: World) -> None:
    world.start_runner(agent(world.root, "thinker", 'print("<i>thinking</i>")\n' + DILIGENT))

    issue = await world.open_issue("Think")

    root = await world.alice.wait_for(says(world, "🧵 thinker:"))
    log = await world.alice.wait_for(
        lambda e: bool(e.thread or e.replaces) and f"committed notes/{issue}.md" in e.text
    )
    assert root.event_id in (log.thread, (await _replaced(world, log.replaces)))
    shown = log.content.get("m.new_content", log.content)
    assert "&lt;i&gt;thinking" in shown["formatted_body"]
    await until_state(world, issue, "completed")


async def test_what_is_pushed_again_waits_for_forgejo_to_show_its_files(world: World) -> None:
    parent = 'subprocess.check_output(["git", "rev-parse", "HEAD"], text=True).strip()'
    world.start_runner(agent(world.root, "writer", f'commit({parent} + ".md", "more")'))
    issue = await world.open_issue("Write more")
    await until_state(world, issue, "completed")

    async def unread() -> bool:
        return "receipt.unknown" in await journal_of(world, issue)

    world.forge.hold_pull_refs()
    said = await world.alice.send(world.room, f"!fleet retry {REPO}#{issue}")
    draft = await world.alice.wait_for(answer_to(said))  # what is done is not done again by a slip
    await world.alice.react(world.room, draft.event_id, "✅")
    await until(unread, "a look too early")
    await world.forge.release_pull_refs()

    await until_state(world, issue, "completed")
    journal = await journal_of(world, issue)
    assert journal.count("receipt.verified") == 2
    assert "receipt.refuted" not in journal


async def test_an_agent_that_changes_nothing_completes_nothing(world: World) -> None:
    world.start_runner(agent(world.root, "idler", IDLE))

    issue = await world.open_issue("Do something")

    await world.alice.wait_for(says(world, f"❌ Failed: {REPO}#{issue}"))
    await until_labelled(world, issue, "status:failed")
    assert "receipt.filed" not in await journal_of(world, issue)


async def _commit_status(world: World, issue: int) -> dict[str, str]:
    pulls = await world.forge_api("alice", "GET", f"/repos/{REPO}/pulls?state=all&page=1&limit=50")
    [head] = [
        pull["head"]["sha"] for pull in pulls if pull["head"]["ref"].startswith(f"fleet/{issue}-")
    ]
    rows = await world.forge_api("alice", "GET", f"/repos/{REPO}/commits/{head}/status")
    return {row["context"]: row["status"] for row in rows["statuses"]}


async def _replaced(world: World, event_id: str | None) -> str | None:
    """The thread of the message that was edited."""
    for event in await world.alice.messages(world.room, limit=200):
        if event.event_id == event_id:
            return event.thread
    return None
