"""Encrypted rooms whose keys do not come as they should: with real keys, on a real homeserver."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from mautrix.client import Client, InternalEventType
from mautrix.client.state_store import MemoryStateStore
from mautrix.types import DeviceID, RoomID, UserID

from fleetbot.chat.hearing import sealed
from fleetbot.chat.hearing.obeying import TOO_OLD_MS
from fleetbot.chat.speaking.content import content, in_reply
from fleetbot.chat.speaking.link import Link
from fleetbot.chat.speaking.place import mark_key
from fleetbot.chat.speaking.requests import TooLarge
from fleetbot.chat.words.rich import bounded, say
from fleetbot.domain.model import TaskState
from fleetbot.settings import RoomSettings
from fleetbot_devkit.matrix_user import MatrixUser, RoomEvent
from fleetbot_devkit.sealed_user import SealedUser
from fleetbot_devkit.story import until
from tests.chat.listener import Listener
from tests.conftest import Register
from tests.flow.seen import answer_to
from tests.services.stage import REPO, Stage

pytest.importorskip("olm", reason="libolm has no wheel for this Python")

pytestmark = [
    # mautrix, where it keeps keys and where it has none
    pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:The sender_key field:DeprecationWarning"),
]


@asynccontextmanager
async def encrypting(user: MatrixUser) -> AsyncIterator[Client]:
    """A client of the account as maubot makes one, with keys of its own in memory."""
    from mautrix.crypto import MemoryCryptoStore, OlmMachine, StateStore

    class KnownRooms(MemoryStateStore, StateStore):  # type: ignore[misc]  # as maubot does it
        async def find_shared_rooms(self, user_id: UserID) -> list[RoomID]:
            return [room for room, members in self.members.items() if user_id in members]

    rooms = KnownRooms()
    client = Client(
        UserID(user.user_id),
        DeviceID(user.device_id),
        base_url=user.homeserver_url,
        token=user.access_token,
        state_store=rooms,
    )
    client.crypto = OlmMachine(client, MemoryCryptoStore(user.user_id, "pickled"), rooms)
    await client.crypto.load()
    await client.crypto.share_keys()
    try:
        yield client
    finally:
        client.stop()
        await client.api.session.close()


class Scene:
    """Ann and the bot in an encrypted room; issue 1 is a task that waits."""

    def __init__(self, stage: Stage, ann: SealedUser, room: str, client: Client) -> None:
        self.stage, self.ann, self.room, self.client = stage, ann, room, client
        self.start()

    def start(self) -> None:
        self.bots = Listener(self.stage, self.client, {self.room: RoomSettings(default_repo=REPO)})

    async def is_cancelled(self) -> bool:
        return (await self.stage.task()).state is TaskState.CANCELLED

    async def sees(self, wanted: Callable[[RoomEvent], bool]) -> RoomEvent:
        """What Ann sees at last, as the bot goes on."""
        seen: list[RoomEvent] = []

        async def is_there() -> bool:
            await self.bots.tick()
            await self.bots.courier.tick()
            events = await self.ann.messages(self.room)
            seen.extend(e for e in events if wanted(e) and e.type != "m.room.encrypted")
            return bool(seen)

        await until(is_there, "the message")
        return seen[0]

    async def tells(self, words: str) -> RoomEvent:
        return await self.sees(lambda event: words in event.text)

    async def is_counted(self) -> bool:
        return self.bots.ears.sealed.deafness.unread == 1


@pytest.fixture
async def scene(
    stage: Stage, register: Register, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Scene]:
    monkeypatch.setattr(sealed, "LOOK_SECONDS", 0.05)
    ann, bot = await register("ann"), await register("bot")
    room = await ann.create_room("Sealed", invite=[bot.user_id])
    await ann.encrypt(room)
    await bot.join(room)
    await stage.issue()
    await stage.hear()
    async with encrypting(bot) as client, SealedUser.of(ann) as person:
        scene = Scene(stage, person, room, client)
        await scene.bots.tick()
        await synced(client)
        await scene.bots.tick()
        yield scene
        await scene.bots.stop()


async def synced(client: Client) -> None:
    """It listens from now on."""
    first = asyncio.Event()

    async def note(sync: dict[str, Any]) -> None:
        first.set()

    client.add_event_handler(InternalEventType.SYNC_SUCCESSFUL, note, wait_sync=True)
    client.start(None)
    async with asyncio.timeout(20):
        await first.wait()


async def test_what_is_said_is_obeyed_and_answered(scene: Scene) -> None:
    said = await scene.ann.send(scene.room, "!fleet cancel #1")

    assert "is cancelled" in (await scene.sees(answer_to(said))).text
    assert await scene.is_cancelled()


async def test_a_key_that_was_lost_is_asked_for_and_then_it_is_obeyed_in_order(
    scene: Scene,
) -> None:
    cancel = await scene.ann.send_losing_key(scene.room, "!fleet cancel #1")
    retry = await scene.ann.send(scene.room, "!fleet retry #1")

    assert "is cancelled" in (await scene.sees(answer_to(cancel))).text
    assert "is tried again" in (await scene.sees(answer_to(retry))).text
    assert scene.bots.ears.sealed.deafness.unread == 0
    assert await scene.bots.listening.troubles() == []


async def test_a_key_that_never_comes_is_told_once_and_does_not_hold_up_the_others(
    scene: Scene,
) -> None:
    lost = await send_with_no_key(scene)
    said = await scene.ann.send(scene.room, "!fleet task #1")
    await scene.sees(answer_to(said))
    await until(scene.is_counted, "the message to be counted")

    scene.stage.clock.advance(61)
    for _ in range(2):
        await scene.bots.tick()
        await scene.bots.courier.tick()

    told = await scene.ann.wait_for(
        lambda e: e.text.startswith("🔐 I cannot read 1 message of ann")
    )
    assert "/discardsession" in told.text
    (trouble,) = await scene.bots.listening.troubles()
    assert trouble == "1 message of the last day could not be decrypted, the newest 61 s ago"
    assert lost not in (await scene.stage.store.anchor(mark_key(scene.room)) or "")


async def test_what_is_too_old_is_given_up_though_its_key_may_come_yet(scene: Scene) -> None:
    lost = await scene.ann.send_losing_key(scene.room, "!fleet cancel #1")
    await until(scene.is_counted, "the message to be counted")
    # The message is as new as the homeserver says, whose clock has gone on since ours stood still.
    scene.stage.clock.advance(TOO_OLD_MS / 1000 + 3600)

    told = await scene.tells("🔐 I cannot read 1 message of ann")

    assert "What they asked for is not done." in told.text
    await scene.bots.tick()
    assert lost in (await scene.stage.store.anchor(mark_key(scene.room)) or "")
    assert not await scene.is_cancelled()


async def test_who_came_while_maubot_was_down_reads_what_is_said_then(
    scene: Scene, register: Register
) -> None:
    """maubot drops what it is told first after a start: who came in, and with which keys."""
    await scene.sees(answer_to(await scene.ann.send(scene.room, "!fleet status")))
    scene.client.stop()
    async with SealedUser.of(await register("bob")) as bob:
        await scene.ann.invite(scene.room, bob.user_id)
        await bob.join(scene.room)
        link = Link(scene.client)

        event = await link.send(scene.room, {"msgtype": "m.text", "body": "welcome"}, "t1")

        assert (await bob.wait_for(lambda e: e.event_id == event)).text == "welcome"


async def test_a_device_that_the_homeserver_knows_with_other_keys_is_noticed(scene: Scene) -> None:
    """As where maubot's database was lost, or an old copy of it was put back."""
    from mautrix.crypto import OlmAccount

    client = scene.client
    assert await scene.bots.link.stale_device() is None
    await client.upload_keys(
        device_keys=OlmAccount().get_device_keys(client.mxid, client.device_id)
    )
    scene.stage.clock.advance(3601)

    await scene.bots.tick()

    assert "Log the bot in anew, for another device" in scene.bots.ears.sealed.deafness.device
    assert "other keys for the bot's device" in "; ".join(await scene.bots.listening.troubles())


@pytest.mark.parametrize("letter", ["a", "я", "語", "🚀", '"', "<"])
async def test_a_message_as_long_as_may_be_fits_in_any_script(scene: Scene, letter: str) -> None:
    longest = content(bounded(say(letter * 100_000)))

    event = await scene.bots.link.send(scene.room, in_reply(longest, "$" + "a" * 43, ""), "t1")

    shown = await scene.ann.wait_for(lambda e: e.event_id == event)
    assert shown.text == longest["body"]


async def send_with_no_key(scene: Scene) -> str:
    """A message of Ann's that nobody can read, for its key is hers alone."""
    sealed_with_it = {
        "algorithm": "m.megolm.v1.aes-sha2",
        "ciphertext": "AwgAEnACgAkLmt6qF84IK++J7UDH2Za1YVchHyprqTqsg",
        "sender_key": "RF3s+E7RkTQTGF2d8Deol0FkQvgII2aJDf3/Jp5mxVU",
        "session_id": "X3lUlvLELLYxeTx4yOVu6UDpasGEVO0Jbu+QFnm0cKQ",
    }
    return await scene.ann.wire().send_event(scene.room, "m.room.encrypted", sealed_with_it)


async def test_what_encryption_makes_too_large_goes_whole_or_not_at_all(scene: Scene) -> None:
    """Its plain text would fit into an event; what goes out is a third more."""
    link, said = scene.bots.link, {"msgtype": "m.text", "body": "x" * 60_000}
    with pytest.raises(TooLarge):
        await link.send(scene.room, said, "whole", whole=True)

    await link.send(scene.room, said, "shortened")

    assert "this homeserver takes no longer messages" in (await scene.tells("xxx")).text
