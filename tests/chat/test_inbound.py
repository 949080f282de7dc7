"""What comes from a room: obeyed if a person says it now, and means it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any, NoReturn

import pytest
from mautrix.types import MessageEvent

from fleetbot.chat.commands import Chat
from fleetbot.chat.inbound import CLOCKS_APART_MS, Inbound
from fleetbot.chat.link import Link
from fleetbot.chat.room import RoomSender
from fleetbot.domain.model import TaskState
from fleetbot.settings import RoomSettings
from tests.chat.rooms import MoodyHomeserver, client_of, moody_homeserver, sent
from tests.services.stage import Stage

ROOM, ANN, BOT = "!team:localhost", "@ann:localhost", "@bot:localhost"
STARTED = 1_700_000_000_000


def message(body: str = "!fleet status", **fields: Any) -> MessageEvent:
    content = {"msgtype": "m.text", "body": body, **fields.pop("content", {})}
    event: Any = {
        "type": "m.room.message",
        "room_id": ROOM,
        "sender": ANN,
        "event_id": "$asked",
        "origin_server_ts": STARTED + 1,
        "content": content,
        **fields,
    }
    made = MessageEvent.deserialize(event)
    assert isinstance(made, MessageEvent)
    return made


IN_FORCE = {ROOM: RoomSettings()}


class Broken(dict[str, RoomSettings]):
    def get(self, *_: object) -> NoReturn:
        raise LookupError("a bug")


async def answers(
    stage: Stage, event: MessageEvent, rooms: Mapping[str, RoomSettings] = IN_FORCE
) -> list[dict[str, Any]]:
    """What the bot sends when the event comes in."""
    tasks = stage.tasks
    async with moody_homeserver() as server, client_of(server.user()) as client:
        server.answers = [sent()]
        link = Link(client)
        chat = Chat(stage.fleet, tasks, rooms, link.power_level)
        inbound = Inbound(chat, RoomSender(link, stage.clock), BOT, STARTED)
        await inbound.on_message(event)
        return _sent(server)


def _sent(server: MoodyHomeserver) -> list[dict[str, Any]]:
    return [body for method, _, body in server.requests if method == "PUT"]


async def test_a_command_is_answered_where_it_was_given(stage: Stage) -> None:
    relation = {"rel_type": "m.thread", "event_id": "$root"}

    (answer,) = await answers(stage, message(content={"m.relates_to": relation}))

    assert answer["body"].startswith("🚦")
    assert answer["m.relates_to"]["event_id"] == "$root"
    assert answer["m.relates_to"]["m.in_reply_to"] == {"event_id": "$asked"}


@pytest.mark.parametrize(
    "event",
    [
        message("good morning"),
        message(sender=BOT),
        message(content={"msgtype": "m.notice"}),
        message(content={"msgtype": "m.emote"}),
        message(content={"msgtype": "m.image", "url": "mxc://x/y"}),
        message(content={"m.relates_to": {"rel_type": "m.replace", "event_id": "$older"}}),
        message(origin_server_ts=STARTED - CLOCKS_APART_MS - 1),
    ],
    ids=["talk", "our own", "a bot's", "an emote", "a picture", "an edit", "of old"],
)
async def test_what_is_no_command_of_now_is_left_alone(stage: Stage, event: MessageEvent) -> None:
    assert await answers(stage, event) == []


async def test_a_bug_of_ours_is_owned_up_to(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        (answer,) = await answers(stage, message(), Broken())

    assert "Something went wrong here" in answer["body"]
    assert "could not be obeyed" in caplog.text


async def test_who_stops_ends_what_is_under_way_and_takes_nothing_more(stage: Stage) -> None:
    await stage.issue()
    await stage.hear()
    tasks = stage.tasks
    asked = asyncio.Event()

    async def never(room: str, user: str) -> int | None:
        asked.set()
        return await asyncio.Future()

    async with moody_homeserver() as server, client_of(server.user()) as client:
        server.answers = [sent()]
        chat = Chat(stage.fleet, tasks, IN_FORCE, never)
        inbound = Inbound(chat, RoomSender(Link(client), stage.clock), BOT, STARTED)
        under_way = asyncio.create_task(inbound.on_message(message("/cancel ann/app#1")))
        await asked.wait()

        await inbound.close()
        await inbound.on_message(message())

    assert under_way.cancelled()
    assert server.requests == []
    assert (await stage.task()).state is TaskState.CREATED
