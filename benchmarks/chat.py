"""The answer to `!fleet status`, against a plugin that only echoes, on the same servers.

A whole fleet on loopback: real Synapse, real maubot, the forge. Each bot has an account and a room
of its own with the same two people in it. One person speaks, the other listens; measured is from
sending the message to the arrival of the bot's answer in the listener's `/sync`. The fleet that is
asked about has open tasks and agents.

    python -m benchmarks.chat [--pairs 40] [--tasks 20]
"""

from __future__ import annotations

import asyncio
import re
import time
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import aiohttp

from benchmarks.pairs import Comparison, in_turn
from benchmarks.table import Line, against, arguments, show
from fleetbot_devkit.build import build_plugin
from fleetbot_devkit.matrix_user import MatrixUser, RoomEvent
from fleetbot_devkit.rest import call
from fleetbot_devkit.world import World

AGENTS = 3
TARGET = 1.2
WARM_UP = 5
SETTLE_SECONDS = 60
_ECHO = Path(__file__).with_name("echo_plugin")
_TO_BE_TOLD = re.compile(r"^fleetbot_outbox_entries\{.*\} [1-9]", re.MULTILINE)
# An agent that nobody runs must not be missed, and said to be, in the midst of it.
_CONFIG = {"runs": {"heartbeat_seconds": 3600, "lease_seconds": 7200}}


class Room:
    """A room with one bot, a person who speaks and one who listens."""

    def __init__(self, room: str, bot: MatrixUser, speaker: MatrixUser, ear: MatrixUser) -> None:
        self._room = room
        self._bot = bot
        self._speaker = speaker
        self._ear = ear

    async def ask(self, text: str) -> float:
        """Seconds until the bot's answer is heard."""
        last = (await self._ear.messages(self._room, limit=1))[-1]
        listening = asyncio.create_task(self._ear.wait_for(self._answers, after=last.event_id))
        await asyncio.sleep(0)  # so that its long poll is on its way before the message
        started = time.perf_counter()
        await self._speaker.send(self._room, text)
        await listening
        return time.perf_counter() - started

    def _answers(self, event: RoomEvent) -> bool:
        """Notices of the fleet are no replies."""
        relation = event.content.get("m.relates_to", {})
        return event.sender == self._bot.user_id and "m.in_reply_to" in relation


async def fleet_room(world: World, tasks: int) -> Room:
    """The world's own room, once the fleet has tasks and agents and has told of them."""
    for number in range(AGENTS):
        body = {"name": f"agent-{number}", "adapter": "command"}
        url = f"{world.api}/agents/register"
        await call("POST", url, token=world.enrolment_token, json=body)
    for number in range(tasks):
        await world.open_issue(f"The greeting is misspelled, place {number}")
    async with asyncio.timeout(SETTLE_SECONDS):
        while not await _is_settled(world, tasks):  # noqa: ASYNC110
            await asyncio.sleep(0.2)  # other processes: no event to wait for
    return Room(world.room, world.bot, world.alice, world.bob)


async def _is_settled(world: World, tasks: int) -> bool:
    """Whether all issues are tasks and nothing is left to be told of them."""
    if len((await world.get(f"/tasks?limit={tasks}"))["tasks"]) < tasks:
        return False
    headers = {"Authorization": f"Bearer {world.reader_token}"}
    async with (
        aiohttp.ClientSession(headers=headers, raise_for_status=True) as http,
        http.get(f"{world.instance_url}metrics") as response,
    ):
        return not _TO_BE_TOLD.search(await response.text())


async def echo_room(world: World) -> Room:
    """A second bot on the same maubot, in a room like the fleet's."""
    plugin = await world.bots.admin.upload(build_plugin(world.root / "dist", source=_ECHO))
    bot = await world.homeserver.register("echo", "unused")
    await world.bots.add_bot(bot)
    room = await world.alice.create_room("Echo", invite=[bot.user_id, world.bob.user_id])
    for user in (bot, world.bob):
        await user.join(room)
    await world.bots.admin.put_instance("echo", plugin=plugin, user_id=bot.user_id)
    return Room(room, bot, world.alice, world.bob)


async def measure(pairs: int, tasks: int) -> list[Line]:
    with TemporaryDirectory(prefix="fleetbot-benchmark-") as folder:
        async with World.start(Path(folder), config=_CONFIG) as world:
            fleet, echo = await fleet_room(world, tasks), await echo_room(world)
            status, said = partial(fleet.ask, "!fleet status"), partial(echo.ask, "hello")
            for _ in range(WARM_UP):
                await status()
                await said()
            (result,) = await in_turn(pairs, status, said)
    milliseconds = Comparison(1000 * result.product, 1000 * result.anchor, result.ratio)
    return [against("answer to status: to an echo", milliseconds, "ms", at_most=TARGET)]


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--pairs", type=int, default=40)
    parser.add_argument("--tasks", type=int, default=20)
    chosen = parser.parse_args()
    lines = asyncio.run(measure(chosen.pairs, chosen.tasks))
    show(lines, chosen.json, f"{chosen.pairs} pairs, {chosen.tasks} open tasks, {AGENTS} agents")


if __name__ == "__main__":
    main()
