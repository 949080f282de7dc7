"""What comes from a room: obeyed if a person says it now, and means it; and answered once."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NoReturn

import pytest
from mautrix.types import MessageEvent, ReactionEvent

from fleetbot.chat.commands.said import Said
from fleetbot.chat.hearing.obeying import TOO_OLD_MS
from fleetbot.chat.speaking.place import Mark, mark_key, read_mark
from fleetbot.domain import commands as cmd
from fleetbot.domain.events import AgentRegistered
from fleetbot.domain.model import AgentName, TaskState
from fleetbot.settings import RoomSettings
from tests.chat.listener import Listener
from tests.chat.rooms import Answer, MoodyHomeserver, client_of, error, moody_homeserver, sent
from tests.services.stage import REPO, TEST, Stage
from tests.store.backend import SqliteBackend
from tests.store.disk import largest_file

ROOM, ANN, BOT = "!team:localhost", "@ann:localhost", "@bot:localhost"


class Scene:
    """A room of a homeserver of any mood, whose people all have power; issue 1 is a task."""

    def __init__(self, stage: Stage, server: MoodyHomeserver, bots: Listener) -> None:
        self.stage, self.server, self.bots = stage, server, bots

    def message(self, body: Any = "!fleet status", *, age: int = 0, **fields: Any) -> MessageEvent:
        content = {"msgtype": "m.text", "body": body, **fields.pop("content", {})}
        event: Any = {
            "type": "m.room.message",
            "room_id": ROOM,
            "sender": ANN,
            "event_id": "$asked",
            "origin_server_ts": self.stage.clock() - age,
            "content": content,
            **fields,
        }
        made = MessageEvent.deserialize(event)
        assert isinstance(made, MessageEvent)
        return made

    async def hears(self, body: Any = "!fleet status", **fields: Any) -> None:
        await self.bots.inbound.on_event(self.message(body, **fields))

    @property
    def said(self) -> list[dict[str, Any]]:
        """What the bot has sent; sent anew is said again."""
        return [body for method, _, body in self.server.requests if method == "PUT"]

    async def state(self) -> TaskState:
        return (await self.stage.task()).state


@pytest.fixture
async def scene(stage: Stage) -> AsyncIterator[Scene]:
    await stage.issue()
    await stage.hear()
    async with moody_homeserver() as server, client_of(server.user()) as client:
        server.answers = [sent()]
        bots = Listener(stage, client, {ROOM: RoomSettings(default_repo=REPO)}, powerful)
        bots.inbound.place(ROOM).behind = False
        yield Scene(stage, server, bots)


async def powerful(room: str, user: str) -> int | None:
    return 100


async def test_it_is_noted_in_which_threads_people_write_and_what_they_react_to(
    scene: Scene,
) -> None:
    await scene.hears("hm")
    await scene.hears("hm", content={"m.relates_to": {"rel_type": "m.thread", "event_id": "$root"}})
    relation = {"rel_type": "m.annotation", "event_id": "$page", "key": "👍"}
    made: Any = {**scene.message().serialize(), "type": "m.reaction", "event_id": "$pressed"}
    made["content"] = {"m.relates_to": relation}
    await scene.bots.inbound.on_event(ReactionEvent.deserialize(made))
    assert scene.bots.looked_at == ["$root", "$page"]


async def test_a_command_is_answered_where_it_was_given(scene: Scene) -> None:
    relation = {"rel_type": "m.thread", "event_id": "$root"}

    await scene.hears(content={"m.relates_to": relation})

    (answer,) = scene.said
    assert answer["body"].startswith("🚦")
    assert answer["m.relates_to"]["event_id"] == "$root"
    assert answer["m.relates_to"]["m.in_reply_to"] == {"event_id": "$asked"}


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ("good morning", {}),
        ("!fleet status", {"sender": BOT}),
        ("!fleet status", {"content": {"msgtype": "m.notice"}}),
        ("!fleet status", {"content": {"msgtype": "m.emote"}}),
        ("!fleet status", {"content": {"msgtype": "m.image", "url": "mxc://x/y"}}),
        (5, {}),
    ],
    ids=["talk", "our own", "a bot's", "an emote", "a picture", "no text"],
)
async def test_what_is_no_command_is_left_alone(
    scene: Scene, body: Any, fields: dict[str, Any]
) -> None:
    await scene.hears(body, **fields)

    assert scene.said == []


async def test_a_message_that_claims_no_time_and_no_thread_makes_nobody_deaf(scene: Scene) -> None:
    """mautrix passes on what is claimed."""
    strange = scene.message("!fleet status", event_id="$strange", origin_server_ts="soon")

    await scene.bots.inbound.on_event(strange)
    await scene.hears(
        "!fleet status", content={"m.relates_to": {"rel_type": "m.thread", "event_id": 5}}
    )

    (answer,) = scene.said
    assert answer["m.relates_to"] == {"m.in_reply_to": {"event_id": "$asked"}}
    assert scene.bots.kept == 1
    assert not scene.bots.inbound.place(ROOM).behind
    await scene.bots.inbound.flush()
    kept = await scene.stage.store.anchor(mark_key(ROOM))
    assert kept is not None
    assert read_mark(kept) == Mark("$asked", scene.stage.clock())


async def test_a_command_that_comes_twice_is_obeyed_and_answered_once(scene: Scene) -> None:
    for _ in range(2):
        await scene.hears("!fleet cancel #1")
        await scene.hears("!fleet status", event_id="$other")

    assert len(scene.said) == 2


def an_edit_of(event: str, body: str, **fields: Any) -> dict[str, Any]:
    relation = {"rel_type": "m.replace", "event_id": event}
    new = {"msgtype": "m.text", "body": body}
    return {"m.new_content": new, "m.relates_to": relation, **fields}


async def test_a_command_that_was_obeyed_is_not_obeyed_again_when_it_is_edited(
    scene: Scene,
) -> None:
    await scene.hears("!fleet status")

    edit = an_edit_of("$asked", "!fleet cancel #1")
    await scene.hears("* !fleet cancel #1", event_id="$edit", content=edit)

    assert len(scene.said) == 1
    assert await scene.state() is TaskState.CREATED


async def test_a_command_that_was_not_understood_is_mended_by_an_edit_once(scene: Scene) -> None:
    await scene.hears("!fleet cancle #1")
    for n, body in enumerate(("!fleet cancel #1", "!fleet retry #1")):
        edit = an_edit_of("$asked", body)
        await scene.hears(f"* {body}", event_id=f"$edit{n}", content=edit)

    misread, cancelled = scene.said
    assert "Did you mean" in misread["body"]
    assert "is cancelled." in cancelled["body"]
    assert await scene.state() is TaskState.CANCELLED


async def test_a_command_that_comes_late_is_said_to_be_late(scene: Scene) -> None:
    for _ in range(2):
        await scene.hears("!fleet cancel #1", age=TOO_OLD_MS + 1)
    await scene.bots.courier.tick()

    assert await scene.state() is TaskState.CREATED
    (told,) = scene.said
    assert told["body"].startswith("🕰 I was away")


async def test_the_answer_to_a_change_is_kept_until_it_can_be_given(scene: Scene) -> None:
    scene.server.answers = [error(403, "M_FORBIDDEN")]
    await scene.hears("!fleet cancel #1")
    assert await scene.state() is TaskState.CANCELLED
    assert scene.bots.kept == 1

    scene.server.requests.clear()
    scene.server.answers = [sent()]
    await scene.bots.courier.tick()

    (answer,) = scene.said
    assert "is cancelled." in answer["body"]
    assert answer["m.relates_to"]["m.in_reply_to"] == {"event_id": "$asked"}


async def test_any_other_answer_is_kept_for_a_while(scene: Scene) -> None:
    scene.server.answers = [error(429, "M_LIMIT_EXCEEDED", retry_after_ms=40_000)]
    await scene.hears()
    assert scene.said[0]["body"].startswith("🚦")
    assert scene.bots.kept == 1

    scene.server.requests.clear()
    scene.server.answers = [sent()]
    scene.stage.clock.advance(40)
    await scene.bots.courier.tick()

    (answer,) = scene.said
    assert answer["body"].startswith("🚦")


async def test_an_answer_that_has_waited_too_long_says_so(scene: Scene) -> None:
    scene.server.answers = [error(403, "M_FORBIDDEN")]
    await scene.hears()

    scene.server.requests.clear()
    scene.server.answers = [sent()]
    scene.stage.clock.advance(TOO_OLD_MS / 1000 + 1)
    await scene.bots.courier.tick()

    (answer,) = scene.said
    assert "is out of date by now: ask again" in answer["body"]
    assert answer["m.relates_to"]["m.in_reply_to"] == {"event_id": "$asked"}


async def test_an_answer_that_the_homeserver_finds_too_long_is_begun(scene: Scene) -> None:
    """A proxy before it may allow less than an event may have."""
    scene.server.answers = [Answer(413, "<html>too large</html>"), sent()]

    await scene.hears("!fleet help all")

    whole, beginning = scene.said
    assert len(whole["body"]) > 1000
    assert beginning["body"].startswith(whole["body"][:900])
    assert beginning["body"].endswith("this homeserver takes no longer messages.")
    assert "formatted_body" not in beginning
    assert beginning["m.relates_to"] == whole["m.relates_to"]


async def test_an_answer_that_is_refused_is_counted(scene: Scene) -> None:
    scene.server.answers = [error(400, "M_BAD_JSON")]
    await scene.hears()

    assert scene.bots.kept == 0
    (trouble,) = await scene.bots.listening.troubles()
    assert trouble == "1 answer could not be given within the last hour"
    scene.stage.clock.advance(3600)
    assert scene.bots.inbound.dropped == 0


async def test_what_was_obeyed_before_a_crash_is_answered_after_it(scene: Scene) -> None:
    """The process died between the commit and the answer."""
    said = Said(ANN, "$asked", ROOM, ROOM, scene.bots.rooms.obeyed[ROOM], "!fleet cancel #1")
    assert await scene.bots.chat.handle(said)

    await scene.hears("!fleet cancel #1")

    (told,) = scene.said
    assert "cancelled" in told["body"]
    lines = await scene.stage.store.events()
    assert sum("task.cancelled" in str(line.event.__struct_config__.tag) for line in lines) == 1


async def test_while_the_journal_is_away_a_command_waits_and_says_so(
    scene: Scene, tmp_path: Path
) -> None:
    database = SqliteBackend(tmp_path)
    database.tamper("ALTER TABLE arrivals RENAME TO away")
    await scene.hears("!fleet cancel #1")
    (told,) = scene.said
    assert told["body"].startswith("⏳ The journal cannot be written now")
    place = scene.bots.inbound.place(ROOM)
    assert place.behind

    database.tamper("ALTER TABLE away RENAME TO arrivals")
    place.behind = False
    await scene.hears("!fleet cancel #1")
    assert await scene.state() is TaskState.CANCELLED
    assert "is cancelled." in scene.said[-2]["body"]
    assert "/redact/%24event/" in scene.server.requests[-1][1], "it waits no more"


async def test_while_it_cannot_be_asked_who_may_a_command_waits_and_is_not_refused(
    scene: Scene,
) -> None:
    scene.bots = Listener(scene.stage, scene.bots.client, {ROOM: RoomSettings(default_repo=REPO)})
    place = scene.bots.inbound.place(ROOM)
    place.behind = False
    scene.server.refuses["/state/m.room.power_levels"] = Answer(502, {})

    await scene.hears("!fleet cancel #1")

    assert await scene.state() is TaskState.CREATED
    assert scene.said == []
    assert place.behind, "it is read back"


async def test_what_was_answered_is_not_said_to_wait(scene: Scene) -> None:
    """Only that it was answered could not be kept: it is when the journal is back."""
    with largest_file(1):
        await scene.hears("!fleet tasks")

        (told,) = scene.said
        assert told["body"].startswith("📋")
        assert scene.bots.inbound.place(ROOM).behind


async def test_a_command_behind_one_that_was_answered_is_said_to_wait(scene: Scene) -> None:
    with largest_file(1):
        await scene.hears("!fleet tasks")
        await scene.hears("hm", event_id="$hm")
        await scene.hears("!fleet cancel #1", event_id="$cancel")

    answered, told = scene.said
    assert answered["body"].startswith("📋")
    assert told["body"].startswith("⏳")

    await scene.stage.fleet.start()
    scene.bots.inbound.place(ROOM).behind = False
    await scene.hears("!fleet cancel #1", event_id="$cancel")
    assert await scene.state() is TaskState.CANCELLED
    assert "/redact/" in scene.server.requests[-1][1], "it waits no more"


async def test_a_bug_of_ours_is_owned_up_to(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    async def broken(room: str, user: str) -> NoReturn:
        raise LookupError("a bug")

    scene.bots = Listener(scene.stage, scene.bots.client, scene.bots.rooms.settings, broken)
    scene.bots.inbound.place(ROOM).behind = False
    with caplog.at_level(logging.ERROR):
        await scene.hears("!fleet cancel #1")

    (answer,) = scene.said
    assert "Something went wrong here" in answer["body"]
    assert "could not be obeyed" in caplog.text


async def test_a_long_answer_fits_into_an_event(scene: Scene) -> None:
    registration = AgentRegistered(
        adapter="command", program="p" * 100, host="h" * 60, capabilities=("python", "rust")
    )
    for n in range(400):
        register = cmd.RegisterAgent(AgentName(f"agent-{n:03}"), registration)
        await scene.stage.fleet.commit(register, TEST)

    await scene.hears("!fleet agents")

    (answer,) = scene.said
    assert len(str(answer).encode()) < 48_000
    shown = answer["body"].count("🟢")
    assert shown >= 60
    assert f"… and {400 - shown} more agents" in answer["body"]


@pytest.mark.parametrize(
    "said", ["!fleet retry {}", "!fleet tasks {}", "!fleet {}", "/assign {} #1"]
)
async def test_words_of_people_are_not_repeated_whole(scene: Scene, said: str) -> None:
    await scene.hears(said.format("x" * 32_000))

    (answer,) = scene.said
    assert len(answer["body"]) < 1500


async def test_who_stops_ends_what_is_under_way_and_takes_nothing_more(stage: Stage) -> None:
    await stage.issue()
    await stage.hear()
    asked = asyncio.Event()

    async def never(room: str, user: str) -> int | None:
        asked.set()
        return await asyncio.Future()

    async with moody_homeserver() as server, client_of(server.user()) as client:
        server.answers = [sent()]
        bots = Listener(stage, client, {ROOM: RoomSettings(default_repo=REPO)}, never)
        bots.inbound.place(ROOM).behind = False
        scene = Scene(stage, server, bots)
        under_way = asyncio.create_task(scene.hears("/cancel #1"))
        await asked.wait()

        await bots.stop()
        await scene.hears()

    assert under_way.cancelled()
    assert scene.said == []
    assert await scene.state() is TaskState.CREATED
