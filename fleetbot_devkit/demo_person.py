"""What a person does in the demo's story: steers the run, and allows what its agent asks for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from fleetbot_devkit.matrix_user import RoomEvent
from fleetbot_devkit.story import Step
from fleetbot_devkit.world import World

WORDS = "Please note in NOTES.md that Ada found it."
EXPECTED = ("question", "alice", "heard", "answered")
_SECONDS = 100.0


@asynccontextmanager
async def at_hand(world: World, note: Callable[[Step], None]) -> AsyncIterator[None]:
    """Somebody is there to be asked meanwhile; what does not happen is missing in the story."""
    person = asyncio.create_task(_take_part(world, note))
    try:
        yield
    finally:
        person.cancel()
        await asyncio.gather(person, return_exceptions=True)


async def _take_part(world: World, note: Callable[[Step], None]) -> None:
    """As alice, once: reply in the thread of the run that asks, then allow it by a reaction."""
    alice, room = world.alice, world.room
    asked = await _heard(world, lambda event: event.text.startswith("🔐"))
    page = await _heard(world, lambda event: bool(event.thread))
    note(Step("alice", f"replies in the thread: {WORDS}"))
    said = await alice.send(room, WORDS, thread=page.thread)
    await _heard(world, lambda event: event.reaction == (said, "✅"))
    note(Step("heard", "✅ on alice's reply: the agent has read it"))
    note(Step("alice", "reacts with ✅ to the question"))
    await alice.react(room, asked.event_id, "✅")


async def _heard(world: World, wanted: Callable[[RoomEvent], bool]) -> RoomEvent:
    """The first event of the bot's that is wanted."""

    def is_it(event: RoomEvent) -> bool:
        return event.sender == world.bot.user_id and wanted(event)

    return await world.alice.wait_for(is_it, timeout=_SECONDS)
