"""What is sent reaches the room once, and what the homeserver says about it is obeyed."""

from __future__ import annotations

from collections.abc import AsyncIterator

import msgspec
import pytest
from mautrix.api import Path

from fleetbot.chat.speaking.link import Link, transaction
from fleetbot.chat.speaking.reactions import show
from fleetbot.chat.speaking.requests import NotAdmitted
from fleetbot.chat.speaking.sender import RoomSender, kept
from fleetbot.chat.words.post import File, Post
from fleetbot.chat.words.rich import mention, say
from fleetbot.services.outbox import Refused, RetryLater
from fleetbot.store.interface import Store
from fleetbot.store.records import Due
from fleetbot_devkit.matrix_user import MatrixUser
from tests.chat.rooms import (
    Answer,
    MoodyHomeserver,
    client_of,
    error,
    moody_homeserver,
    said,
    same,
    sent,
)
from tests.conftest import Register
from tests.domain.builders import START
from tests.services.stage import Stage

OFFLINE = Post(say("claude-1 is offline"), urgent=True)


def due(room: str, post: Post = OFFLINE, *, id: str = "7.0/x") -> Due:
    return Due(entry=kept(room, post, id=id, at=START), attempts=0)


class Scene:
    """Ann and the bot in a room of a real homeserver."""

    def __init__(
        self, ann: MatrixUser, bot: MatrixUser, room: str, link: Link, store: Store
    ) -> None:
        self.ann, self.bot, self.room, self.link = ann, bot, room, link
        self.sender = RoomSender(link, store, lambda: START, same)


@pytest.fixture
async def scene(register: Register, stage: Stage) -> AsyncIterator[Scene]:
    ann, bot = await register("ann"), await register("bot")
    room = await ann.create_room("Fleet", invite=[bot.user_id])
    await bot.join(room)
    async with client_of(bot) as client:
        yield Scene(ann, bot, room, Link(client), stage.store)


@pytest.fixture
async def moody() -> AsyncIterator[MoodyHomeserver]:
    async with moody_homeserver() as server:
        yield server


@pytest.fixture
def speaker(moody_link: Link, stage: Stage) -> RoomSender:
    return RoomSender(moody_link, stage.store, lambda: START, same)


@pytest.fixture
async def moody_link(moody: MoodyHomeserver) -> AsyncIterator[Link]:
    async with client_of(moody.user()) as client:
        yield Link(client)


async def test_words_of_others_are_a_message_that_mentions_nobody(scene: Scene) -> None:
    event = await scene.sender(due(scene.room, Post(say("<b>@room</b>"))))

    heard = await scene.ann.wait_for(lambda e: e.event_id == event)
    assert heard.sender == scene.bot.user_id
    assert heard.content["msgtype"] == "m.notice"
    assert heard.content["m.mentions"] == {}
    assert heard.content["format"] == "org.matrix.custom.html"
    assert "&lt;b&gt;@\u2060room" in heard.content["formatted_body"]


async def test_who_must_act_is_mentioned_once_and_not_in_edits(scene: Scene) -> None:
    ann = scene.ann.user_id
    assert await scene.link.is_member(scene.room, ann)
    assert not await scene.link.is_member(scene.room, "@nobody:localhost")
    post = Post(say("🙋 ", mention(ann), ": look"), urgent=True)

    event = await scene.sender.post(scene.room, post, "t1")
    await scene.sender.edit(scene.room, event, post, "t2")

    heard = await scene.ann.wait_for(lambda e: e.event_id == event)
    assert heard.content["m.mentions"] == {"user_ids": [ann]}
    assert f'<a href="https://matrix.to/#/{ann}">' in heard.content["formatted_body"]
    edit = await scene.ann.wait_for(lambda e: e.replaces == event)
    assert edit.content["m.mentions"] == {}
    assert edit.content["m.new_content"]["m.mentions"] == {}


async def test_what_a_person_must_know_is_a_text(scene: Scene) -> None:
    event = await scene.sender(due(scene.room))

    heard = await scene.ann.wait_for(lambda e: e.event_id == event)
    assert heard.content["msgtype"] == "m.text"


async def test_a_notice_delivered_twice_is_said_once(scene: Scene) -> None:
    first = await scene.sender(due(scene.room))
    second = await scene.sender(due(scene.room))
    other = await scene.sender(due(scene.room, id="8.0/x"))

    assert first == second != other
    events = await said(scene.ann, scene.room, scene.bot)
    assert [e.event_id for e in events] == [first, other]


async def test_an_answer_replies_to_the_message_and_stays_in_its_thread(scene: Scene) -> None:
    root = await scene.ann.send(scene.room, "About the fleet")
    asked = await scene.ann.send(scene.room, "!fleet status", thread=root)

    await scene.sender.reply(scene.room, asked, Post(say("fine")), root)
    await scene.sender.reply(scene.room, root, Post(say("hello")))

    in_thread = await scene.ann.wait_for(lambda e: e.text == "fine")
    assert in_thread.thread == root
    assert in_thread.content["m.relates_to"]["m.in_reply_to"] == {"event_id": asked}
    outside = await scene.ann.wait_for(lambda e: e.text == "hello")
    assert outside.content["m.relates_to"] == {"m.in_reply_to": {"event_id": root}}
    assert outside.content["msgtype"] == "m.text", "clients show notices small and grey"


async def test_a_room_the_bot_is_not_in_is_waited_for(scene: Scene) -> None:
    """It may be invited yet, or again; the other rooms do not wait for that."""
    elsewhere = await scene.ann.create_room("Without the bot")

    with pytest.raises(NotAdmitted, match="M_FORBIDDEN") as caught:
        await scene.sender(due(elsewhere))
    assert not caught.value.host
    with pytest.raises(NotAdmitted):
        await scene.sender.reply(elsewhere, "$asked", Post(say("nobody hears this")))

    await scene.ann.invite(elsewhere, scene.bot.user_id)
    await scene.bot.join(elsewhere)
    event = await scene.sender(due(elsewhere))
    assert await scene.link.holds(elsewhere, event)


async def test_words_that_were_kept_are_said_as_the_answer_they_are(scene: Scene) -> None:
    """The transaction is that of the answer: what was said after all is not repeated."""
    asked = await scene.ann.send(scene.room, "!fleet retry #1")
    post = Post(say("is tried again"), urgent=True)
    entry = kept(scene.room, post, id="answer:x", at=START, answers=asked)

    first = await scene.sender(Due(entry=entry, attempts=0))
    await scene.sender.reply(scene.room, asked, post)

    (heard,) = await said(scene.ann, scene.room, scene.bot)
    assert (heard.event_id, heard.text) == (first, "is tried again")
    assert heard.content["msgtype"] == "m.text"
    assert heard.content["m.relates_to"] == {"m.in_reply_to": {"event_id": asked}}


async def test_nothing_is_said_in_a_room_that_is_closed(scene: Scene) -> None:
    scene.link.close(scene.room, "it was upgraded")
    with pytest.raises(NotAdmitted, match="it was upgraded"):
        await scene.sender(due(scene.room))

    scene.link.close(scene.room, None)
    await scene.sender(due(scene.room))


async def test_nothing_goes_in_clear_into_an_encrypted_room(scene: Scene) -> None:
    room = await scene.ann.create_room("Sealed", invite=[scene.bot.user_id])
    await scene.bot.join(room)
    assert not await scene.link.is_encrypted(room)
    await scene.ann.encrypt(room)

    assert await scene.link.is_encrypted(room, look=True)
    with pytest.raises(NotAdmitted, match="not set up"):
        await scene.sender(due(room))
    with pytest.raises(NotAdmitted, match="not set up"):
        await scene.link.upload(room, File("log.txt", b"all of it"))
    assert await said(scene.ann, room, scene.bot) == []


async def test_power_levels_are_read_as_they_are_now(scene: Scene) -> None:
    levels = scene.link.power_level
    assert await levels(scene.room, scene.bot.user_id) == 0
    assert (await levels(scene.room, scene.ann.user_id) or 0) >= 100

    await scene.ann.set_power_level(scene.room, scene.bot.user_id, 50)
    assert await levels(scene.room, scene.bot.user_id) == 50
    assert await levels("!nowhere:localhost", scene.ann.user_id) is None


@pytest.mark.parametrize("version", ["11", "12"])
async def test_the_creator_of_a_room_may_do_everything(scene: Scene, version: str) -> None:
    room = await scene.ann.create_room("New", invite=[scene.bot.user_id], room_version=version)
    await scene.bot.join(room)

    assert (await scene.link.power_level(room, scene.ann.user_id) or 0) >= 100


async def test_a_reaction_that_shows_a_state_takes_the_place_of_the_one_before(
    scene: Scene,
) -> None:
    said = await scene.ann.send(scene.room, "Use tabs, please")
    other = await scene.link.react(scene.room, said, "🎉")
    for emoji in ("👀", "⏭️", "⏭️", None):
        await show(scene.link, scene.room, said, emoji, ("👀", "⏭️", "✅"))
        path = Path.v1.rooms[scene.room].relations[said]
        below = (await scene.link.ask("GET", path))["chunk"]
        assert [its["content"]["m.relates_to"]["key"] for its in below] == [
            *([emoji] if emoji else []),
            "🎉",
        ]
    assert await scene.link.holds(scene.room, other)


async def test_a_reaction_that_the_homeserver_has_already_is_there(scene: Scene) -> None:
    """It forgets transactions after a day, and what waits for an outbox may wait for longer."""
    said = await scene.ann.send(scene.room, "hello")
    relation = {"rel_type": "m.annotation", "event_id": said, "key": "👀"}
    path = Path.v3.rooms[scene.room].send["m.reaction"]["another-transaction"]
    await scene.link.ask("PUT", path, {"m.relates_to": relation})

    assert await scene.link.react(scene.room, said, "👀") == ""


async def test_a_redacted_event_is_no_longer_there(scene: Scene) -> None:
    event = await scene.ann.send(scene.room, "hello")
    assert await scene.link.holds(scene.room, event)
    assert not await scene.link.holds(scene.room, "$never-was")

    async with client_of(scene.ann) as ann:
        await ann.redact(scene.room, event)  # type: ignore[arg-type]  # plain strings will do
    assert not await scene.link.holds(scene.room, event)


@pytest.mark.parametrize(
    ("answer", "seconds"),
    [
        (error(429, "M_LIMIT_EXCEEDED", retry_after_ms=1500), 1.5),
        (Answer(429, {"errcode": "M_LIMIT_EXCEEDED"}, {"Retry-After": "7"}), 7.0),
        (Answer(429, "slow down"), None),
        (Answer(502, "<html>Bad Gateway</html>"), None),
        (error(503, "M_UNKNOWN"), None),
        (error(401, "M_UNKNOWN_TOKEN"), None),
        (Answer(404, "a proxy's page"), None),
        (Answer(200, ["not", "an", "object"]), None),
        (error(429, "M_LIMIT_EXCEEDED", retry_after_ms=10**9), 600.0),
        (error(404, "M_NOT_FOUND"), None),
    ],
)
async def test_what_may_pass_is_tried_again_as_late_as_it_says(
    moody: MoodyHomeserver, speaker: RoomSender, answer: Answer, seconds: float | None
) -> None:
    moody.answers = [answer]

    with pytest.raises(RetryLater) as caught:
        await speaker(due("!room:localhost"))

    assert caught.value.seconds == seconds


@pytest.mark.parametrize(
    "answer",
    [error(413, "M_TOO_LARGE"), error(400, "M_BAD_JSON")],
)
async def test_what_is_refused_for_good_is_not_tried_again(
    moody: MoodyHomeserver, speaker: RoomSender, answer: Answer
) -> None:
    moody.answers = [answer]

    with pytest.raises(Refused):
        await speaker(due("!room:localhost"))


async def test_a_homeserver_that_is_away_is_tried_again(moody_link: Link) -> None:
    async with client_of(MatrixUser("http://127.0.0.1:1", "@b:x", "t", "D")) as client:
        with pytest.raises(RetryLater, match=r"did not answer: Connect call failed [^a-z]*$"):
            await Link(client).send("!room:x", {"body": "hello"}, "t1")


async def test_an_effect_that_is_no_notice_is_given_up(speaker: RoomSender) -> None:
    entry = msgspec.structs.replace(due("!room:localhost").entry, payload=b'{"kind":"other"}')

    with pytest.raises(Refused, match="not a message"):
        await speaker(Due(entry=entry, attempts=0))


async def test_an_answer_waits_for_the_limit_and_is_sent_once(
    moody: MoodyHomeserver, speaker: RoomSender
) -> None:
    moody.answers = [error(429, "M_LIMIT_EXCEEDED", retry_after_ms=5), sent()]

    await speaker.reply("!r:x", "$asked", Post(say("hi")))

    assert moody.transactions == [transaction("answer", "$asked")] * 2


async def test_an_answer_that_would_come_too_late_is_not_waited_for(
    moody: MoodyHomeserver, speaker: RoomSender
) -> None:
    moody.answers = [error(429, "M_LIMIT_EXCEEDED", retry_after_ms=600_000)]

    with pytest.raises(RetryLater):
        await speaker.reply("!r:x", "$asked", Post(say("hi")))

    assert len(moody.requests) == 1
