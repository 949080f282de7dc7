"""What people said while nobody listened: read back from a real room, once, in its order."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from mautrix.client import Client

from fleetbot.chat.hearing import history
from fleetbot.chat.hearing.listening import QUIET_MS
from fleetbot.chat.speaking.sender import kept
from fleetbot.chat.words.post import Post
from fleetbot.chat.words.rich import say
from fleetbot.domain import commands as cmd
from fleetbot.domain.events import AgentRegistered, event_type
from fleetbot.domain.model import TaskState
from fleetbot.domain.state import task_stream
from fleetbot.services.outbox import RetryLater
from fleetbot.settings import RoomSettings
from fleetbot.store.records import Change, Posted, PostKind
from fleetbot_devkit.matrix_user import MatrixUser, RoomEvent
from tests.chat.listener import Listener
from tests.chat.rooms import Answer, client_of, moody_homeserver, said
from tests.conftest import Register
from tests.services.stage import CLAUDE, REPO, TEST, Stage

HERE = RoomSettings(default_repo=REPO)
SEALED = {
    "algorithm": "m.megolm.v1.aes-sha2",
    "ciphertext": "AwgAEnACgAkLmt6qF84IK++J7UDH2Za1YVchHyprqTqsg",
    "session_id": "X3lUlvLELLYxeTx4yOVu6UDpasGEVO0Jbu+QFnm0cKQ",
    "sender_key": "RF3s+E7RkTQTGF2d8Deol0FkQvgII2aJDf3/Jp5mxVU",
    "device_id": "RJYKSTBOIE",
}


class Scene:
    """Ann, who may do everything, and the bot in a room; issue 1 is a task."""

    def __init__(
        self, stage: Stage, ann: MatrixUser, bot: MatrixUser, room: str, client: Client
    ) -> None:
        self.stage, self.ann, self.bot, self.room, self.client = stage, ann, bot, room, client
        self.start()

    def start(self, **rooms: RoomSettings) -> None:
        """A process of ours begins: nothing is in memory. Without `rooms`, in the scene's one."""
        self.bots = Listener(self.stage, self.client, rooms or {self.room: HERE})

    async def restart(self) -> None:
        await self.bots.stop()
        self.start()

    async def answers(self, room: str | None = None) -> list[RoomEvent]:
        await self.bots.courier.tick()
        return await said(self.ann, room or self.room, self.bot)

    async def texts(self, room: str | None = None) -> list[str]:
        return [event.text for event in await self.answers(room)]

    async def troubles(self) -> str:
        return "; ".join(await self.bots.listening.troubles())

    async def journal(self) -> list[str]:
        lines = await self.stage.store.events(task_stream((await self.stage.task()).id))
        return [event_type(line.event) for line in lines]

    async def state(self) -> TaskState:
        return (await self.stage.task()).state


@pytest.fixture
async def scene(stage: Stage, register: Register) -> AsyncIterator[Scene]:
    ann, bot = await register("ann"), await register("bot")
    room = await ann.create_room("Fleet", invite=[bot.user_id])
    await bot.join(room)
    await stage.issue()
    await stage.hear()
    registration = AgentRegistered(adapter="command")
    await stage.fleet.commit(cmd.RegisterAgent(CLAUDE, registration), TEST)
    async with client_of(bot) as client:
        yield Scene(stage, ann, bot, room, client)


async def test_a_room_is_listened_to_from_when_it_is_configured(scene: Scene) -> None:
    """What was said before was answered, if at all, by who was there before."""
    await scene.ann.send(scene.room, "!fleet cancel #1")
    # By more than lies between our clock, which stands still, and when the homeserver heard of it.
    scene.stage.clock.advance(history.CLOCKS_APART_MS / 1000 + 3600)

    await scene.bots.tick()

    assert await scene.texts() == []
    assert await scene.state() is TaskState.CREATED


async def test_what_was_said_while_we_were_down_is_obeyed_once_and_in_order(scene: Scene) -> None:
    await scene.bots.tick()
    for text in ("good morning", "!fleet cancel #1", "!fleet retry #1", "/cancel #1"):
        await scene.ann.send(scene.room, text)

    for _ in range(3):
        await scene.restart()
        assert await scene.bots.tick() == 60

    told = ["task.created", "task.cancelled", "task.requeued", "task.cancelled"]
    assert await scene.journal() == told
    assert [text.splitlines()[1] for text in await scene.texts()] == [
        "is cancelled.",
        "is tried again.",
        "is cancelled.",
    ]


async def given_a_card(scene: Scene) -> str:
    """A message of ours about task 1."""
    event = await scene.bot.send(scene.room, "a card")
    task = await scene.stage.task()
    its = Posted(room=scene.room, event=event, kind=PostKind.CARD, subject=task.id, at=0)
    await scene.stage.store.append(Change(posted=(its,)))
    return event


async def test_what_was_pressed_while_we_were_down_counts_once_and_in_order(scene: Scene) -> None:
    await scene.bots.tick()
    card = await given_a_card(scene)
    await scene.ann.react(scene.room, card, "✖️")
    await scene.ann.send(scene.room, "!fleet retry #1")
    await scene.ann.react(scene.room, card, "👍")

    for _ in range(2):
        await scene.restart()
        await scene.bots.tick()

    assert await scene.journal() == ["task.created", "task.cancelled", "task.requeued"]


async def test_what_was_pressed_long_ago_is_said_to_be_too_late_if_it_was_a_button(
    scene: Scene,
) -> None:
    await scene.bots.tick()
    card = await given_a_card(scene)
    talk = await scene.ann.send(scene.room, "good morning")
    for event, emoji in ((card, "🎉"), (talk, "✖️"), (card, "✖️")):
        await scene.ann.react(scene.room, event, emoji)
    scene.stage.clock.advance(7200)

    for _ in range(2):
        await scene.restart()
        await scene.bots.tick()

    told = (await scene.texts())[-1]
    name = scene.ann.user_id[1:].partition(":")[0]
    assert told.splitlines()[1:] == [f"• ✖, {name}, 2 h ago", "Say it again if you still want it."]
    assert await scene.state() is TaskState.CREATED


async def test_a_mark_that_was_lost_repeats_nothing(scene: Scene) -> None:
    """As by a restored backup of the mark, or a history that was purged up to it."""
    await scene.bots.tick()
    await scene.ann.send(scene.room, "!fleet cancel #1")
    await scene.ann.send(scene.room, "!fleet status")
    await scene.restart()
    await scene.bots.tick()
    place = scene.bots.inbound.place(scene.room)
    assert place.mark is not None

    place.mark = type(place.mark)(event="$forgotten")
    place.miss()
    await scene.bots.tick()

    assert len(await scene.texts()) == 2
    assert await scene.journal() == ["task.created", "task.cancelled"]


async def test_what_is_too_old_is_said_to_be_too_old_once_for_all(scene: Scene) -> None:
    await scene.bots.tick()
    await scene.ann.send(scene.room, "!fleet cancel #1")
    await scene.ann.send(scene.room, "!fleet status")
    await scene.ann.send(scene.room, "see you")
    scene.stage.clock.advance(7200)

    for _ in range(2):
        await scene.restart()
        await scene.bots.tick()

    (told,) = await scene.texts()
    name = scene.ann.user_id[1:].partition(":")[0]
    assert told.splitlines() == [
        "🕰 I was away when this was said, and have not done it:",
        f"• !fleet cancel #1, {name}, 2 h ago",
        f"• !fleet status, {name}, 2 h ago",
        "Say it again if you still want it.",
    ]
    assert await scene.state() is TaskState.CREATED


async def test_who_was_away_for_too_long_says_that_it_has_not_read_everything(
    scene: Scene,
) -> None:
    await scene.bots.tick()
    await scene.ann.send(scene.room, "!fleet cancel #1")
    scene.stage.clock.advance(history.OLDEST_MS / 1000 + 3600)

    for _ in range(2):
        await scene.restart()
        await scene.bots.tick()

    (told,) = await scene.texts()
    assert told.startswith("🕰 I was away for so long that I have not read everything.")
    assert await scene.state() is TaskState.CREATED


async def test_a_long_absence_is_read_back_over_many_pages(scene: Scene) -> None:
    await scene.bots.tick()
    await scene.ann.send(scene.room, "!fleet cancel #1")
    for n in range(110):
        await scene.ann.send(scene.room, f"so much to say: {n}")
    await scene.restart()

    await scene.bots.tick()

    assert await scene.state() is TaskState.CANCELLED


async def test_what_a_sync_left_out_is_read_back_before_what_it_has(scene: Scene) -> None:
    await scene.bots.tick()
    await scene.ann.send(scene.room, "!fleet cancel #1")
    await scene.bots.synced(rooms={"join": {scene.room: {"timeline": {"limited": True}}}})
    assert scene.bots.wakes == 1

    await scene.bots.tick()

    assert await scene.state() is TaskState.CANCELLED


async def test_what_is_said_while_a_room_is_read_back_waits_its_turn(scene: Scene) -> None:
    """The live message comes in first; read back, it comes second."""
    first = await scene.ann.send(scene.room, "!fleet cancel #1")
    second = await scene.ann.send(scene.room, "!fleet retry #1")
    for event in (second, first):
        message = await scene.client.get_event(scene.room, event)  # type: ignore[arg-type]
        await scene.bots.inbound.on_event(message)
    assert await scene.journal() == ["task.created"]

    await scene.bots.tick()

    assert await scene.journal() == ["task.created", "task.cancelled", "task.requeued"]


async def test_a_sync_that_maubot_skips_is_read_back(scene: Scene) -> None:
    await scene.bots.tick()
    await scene.ann.send(scene.room, "!fleet cancel #1")

    await scene.bots.synced(**{"net.maunium.mautrix": {"is_initial": True}})
    await scene.bots.tick()

    assert await scene.state() is TaskState.CANCELLED


async def test_while_no_sync_comes_the_rooms_are_asked_again_and_again(scene: Scene) -> None:
    """mautrix pauses for up to 320 s after failures."""
    await scene.bots.tick()
    scene.stage.clock.advance(QUIET_MS / 1000 + 1)
    await scene.ann.send(scene.room, "!fleet cancel #1")

    assert await scene.bots.tick() == 10
    assert scene.bots.wakes == 0  # else it would do nothing but ask

    assert await scene.state() is TaskState.CANCELLED
    assert "the last sync with the homeserver was" in await scene.troubles()
    await scene.bots.synced()
    assert await scene.bots.tick() == 60
    assert await scene.troubles() == ""


async def test_who_may_is_decided_once_the_homeserver_can_be_asked_again(scene: Scene) -> None:
    """A command that came just before it went away was refused when it was back."""
    away = [True]

    async def levels(room: str, user: str) -> int:
        if away:
            raise RetryLater(None, "502 Bad Gateway", host=True)
        return 100

    scene.bots = Listener(scene.stage, scene.client, {scene.room: HERE}, levels)
    await scene.bots.tick()
    await scene.ann.send(scene.room, "!fleet cancel #1")
    for _ in range(2):
        await scene.bots.synced(rooms={"join": {scene.room: {"timeline": {"limited": True}}}})
        assert await scene.bots.tick() == 10
        assert await scene.state() is TaskState.CREATED
        assert await scene.texts() == []

    away.clear()
    assert await scene.bots.tick() == 60

    assert await scene.state() is TaskState.CANCELLED
    assert len(await scene.texts()) == 1


async def test_when_the_homeserver_is_back_what_waits_goes_at_once(stage: Stage) -> None:
    """However long it was away, and so however long the pauses have become."""
    room = "!room:localhost"
    async with moody_homeserver() as server, client_of(server.user()) as client:
        bots = Listener(stage, client, {room: HERE})
        server.answers = [Answer(502, "nobody is there")]
        await bots.tick()
        (away,) = await bots.listening.troubles()
        assert away == "the homeserver is away: 502 Bad Gateway"
        entry = kept(room, Post(say("hello")), id="x", at=stage.clock())
        await stage.store.append(Change(outbox=(entry,)))
        await bots.courier.tick()
        server.requests.clear()
        server.answers = [Answer(200, {"joined_rooms": [room], "event_id": "$event"})]
        await bots.courier.tick()
        assert server.requests == []

        await bots.tick()
        await bots.courier.tick()

    assert bots.admitted == 1
    assert [body["body"] for method, _, body in server.requests if method == "PUT"] == ["hello"]


async def test_a_bot_that_was_thrown_out_waits_to_be_invited_and_hears_what_it_missed(
    scene: Scene,
) -> None:
    await scene.bots.tick()
    assert await scene.troubles() == ""
    await scene.ann.send(scene.room, "good morning")
    scene.bots.inbound.place(scene.room).miss()
    await scene.bots.tick()
    await scene.ann.kick(scene.room, scene.bot.user_id)
    await scene.ann.send(scene.room, "!fleet cancel #1")
    scene.stage.clock.advance(300)

    await scene.restart()
    await scene.bots.tick()
    report = await scene.troubles()
    assert report == (
        f"{scene.room}: the bot is not in the room: invite it there (last heard 5 min ago)"
    )
    assert scene.bots.admitted == 0

    await scene.ann.invite(scene.room, scene.bot.user_id)
    scene.bots.rooms.may_enter(scene.room)
    await scene.bots.tick()

    assert await scene.troubles() == ""
    assert scene.bots.admitted == 1
    assert await scene.state() is TaskState.CANCELLED
    assert len(await scene.texts()) == 1


async def test_an_upgraded_room_is_followed_and_what_waits_goes_on_there(scene: Scene) -> None:
    await scene.bots.tick()
    new = await scene.ann.upgrade(scene.room, "12")
    await scene.ann.invite(new, scene.bot.user_id)
    await scene.ann.send(new, "!fleet cancel #1")

    await scene.restart()
    await scene.bots.tick()

    assert await scene.state() is TaskState.CANCELLED
    answer, moved = await scene.texts(new)
    assert "is cancelled." in answer
    assert moved.splitlines() == [
        "➡️ This room was upgraded; I go on here.",
        f"In the plugin's configuration, put {new} in the place of {scene.room}",
    ]
    assert f"put {new} in its place" in await scene.troubles()
    await scene.restart()
    assert await scene.bots.rooms.where(scene.room) == new


async def test_an_upgraded_room_that_does_not_let_us_in_is_waited_for(scene: Scene) -> None:
    await scene.bots.tick()
    new = await scene.ann.upgrade(scene.room, "11")

    await scene.restart()
    await scene.bots.tick()

    report = await scene.troubles()
    assert f"upgraded to {new}, which the bot may not join: invite it there" in report
    await scene.ann.invite(new, scene.bot.user_id)
    await scene.bots.tick()
    assert await scene.bots.rooms.where(scene.room) == new


@pytest.mark.parametrize(("level", "hints"), [(50, 1), (0, 0)])
async def test_who_speaks_in_the_old_room_is_told_where_it_goes_on_if_we_may_speak_there(
    scene: Scene, level: int, hints: int
) -> None:
    """An old room is closed to most; for an hour health said that an answer could not be given."""
    await scene.bots.tick()
    old, new = scene.room, await scene.ann.upgrade(scene.room, "11")
    await scene.restart()
    await scene.bots.tick()
    assert "may not join" in await scene.troubles()
    await scene.ann.invite(new, scene.bot.user_id)
    await scene.bots.tick()

    await scene.ann.set_power_level(old, scene.bot.user_id, level)
    asked = await scene.ann.send(old, "!fleet status")
    message = await scene.client.get_event(old, asked)  # type: ignore[arg-type]
    await scene.bots.inbound.on_event(message)

    assert f"put {new} in its place" in await scene.troubles()
    assert "could not be given" not in await scene.troubles()
    told = await scene.texts(old)
    assert told == [f"➡️ This room was upgraded: I listen in {new}, and do nothing here."] * hints


async def test_a_tombstone_alone_leads_nowhere(scene: Scene) -> None:
    """Who may write one could lead us, and what waits, into any room."""
    await scene.bots.tick()
    trap = await scene.ann.create_room("Trap", invite=[scene.bot.user_id])
    await scene.ann.set_state(scene.room, "m.room.tombstone", {"replacement_room": trap})

    await scene.restart()
    await scene.bots.tick()

    assert await scene.bots.rooms.where(scene.room) == scene.room
    assert "does not say that it follows it" in await scene.troubles()
    assert scene.bot.user_id not in await scene.ann.members(trap)


async def moved_by(person: MatrixUser, scene: Scene) -> str:
    """They say that the room goes on in one of theirs, which says so, too."""
    invited = [scene.bot.user_id]
    theirs = await person.create_room("Theirs", invite=invited, replaces=scene.room)
    await person.set_state(scene.room, "m.room.tombstone", {"replacement_room": theirs})
    return theirs


@pytest.mark.parametrize(("needed", "level"), [(0, 0), (0, 49), (50, 50), (100, 100)])
async def test_an_upgrade_is_followed_if_who_made_it_had_the_power_to(
    scene: Scene, register: Register, needed: int, level: int
) -> None:
    """Also where the room lets everybody write its tombstone, and whatever they are now."""
    bob = await register("bob")
    await scene.ann.invite(scene.room, bob.user_id)
    await bob.join(scene.room)
    levels = await scene.ann.state(scene.room, "m.room.power_levels")
    levels["events"]["m.room.tombstone"] = needed
    levels["users"][bob.user_id] = level
    await scene.ann.set_state(scene.room, "m.room.power_levels", levels)
    await scene.bots.tick()
    theirs = await moved_by(bob, scene)

    await scene.restart()
    await scene.bots.tick()

    followed = level >= 50
    assert await scene.bots.rooms.where(scene.room) == (theirs if followed else scene.room)
    assert (scene.bot.user_id in await bob.members(theirs)) == followed
    told = await scene.troubles()
    assert (f"with power level {level} where 50 is needed" in told) != followed


async def test_what_waits_for_a_room_goes_to_the_one_that_the_settings_name_now(
    scene: Scene,
) -> None:
    """The operator was quicker than the bot."""
    await scene.bots.tick()
    old, scene.room = scene.room, await scene.ann.upgrade(scene.room, "11")
    await scene.ann.invite(scene.room, scene.bot.user_id)

    await scene.restart()
    await scene.bots.tick()

    assert await scene.bots.rooms.where(old) == scene.room
    assert await scene.troubles() == ""


async def test_a_room_that_was_upgraded_to_another_of_the_settings_is_that_one(
    scene: Scene,
) -> None:
    """The operator has put the new id beside the old one."""
    await scene.bots.tick()
    new = await scene.ann.upgrade(scene.room, "12")
    await scene.ann.invite(new, scene.bot.user_id)
    await scene.bots.stop()

    scene.start(**{scene.room: RoomSettings(), new: HERE})
    await scene.bots.tick()

    assert scene.bots.rooms.is_merged(scene.room)
    assert not scene.bots.rooms.is_merged(new)
    await scene.ann.send(new, "!fleet cancel #1")
    scene.bots.inbound.place(new).miss()
    await scene.bots.tick()
    assert await scene.state() is TaskState.CANCELLED


async def test_what_cannot_be_decrypted_is_said_once(scene: Scene) -> None:
    await scene.bots.tick()
    await scene.ann.send_event(scene.room, "m.room.encrypted", SEALED)

    await scene.restart()
    await scene.bots.tick()
    await scene.bots.tick()
    assert "1 message of the last day could not be decrypted" in await scene.troubles()
    await scene.restart()
    await scene.bots.tick()

    (told,) = await scene.texts()
    assert told.startswith("🔐 I cannot read 1 message of ann")


async def test_an_encrypted_room_without_encryption_is_said_aloud_and_left_alone(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    await scene.bots.tick()
    await scene.ann.encrypt(scene.room)
    await scene.restart()

    await scene.bots.tick()
    await scene.bots.tick()

    report = await scene.troubles()
    assert report.startswith(f"{scene.room}: the room is encrypted and the bot is not set up")
    assert "give its client in maubot a device id" in report
    assert caplog.text.count("the room is encrypted") == 1
    await scene.restart()
    await scene.bots.tick()
    (only,) = await scene.texts()
    assert only.startswith("🔒 This room is encrypted and I am not set up for that")
