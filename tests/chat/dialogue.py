"""Tests that read like the chat: people talk to the fleet, and it answers.

    await chat.says("bob", "!fleet cancel #1")
    chat.answers("⚠️ Sorry, cancel takes power level 50 …")

The bot is the one that the plugin wires, on the stage; its homeserver knows one room and keeps what
is sent there. `ann` may do everything, `mod` what moderators may, `bob` what everybody may. In what
is expected, `…` stands for anything.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import math
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from aiohttp import web
from mautrix.client import Client, SyncStream
from mautrix.types import MessageEvent, ReactionEvent, StateEvent

from fleetbot.chat.speaking.destinations import destination
from fleetbot.settings import RoomSettings
from tests.chat.listener import Listener
from tests.chat.rooms import MoodyHomeserver, client_of, served
from tests.services.stage import REPO, Stage

ROOM, BOT = "!team:localhost", "@bot:localhost"
NAME = "Fleety"  # what the bot is called in the room


class Message(NamedTuple):
    """What the bot has sent, and shows now: `content` is that of its newest edit. `to`: the event
    that it replies to. `thread`: the event that opened its thread."""

    event: str
    content: dict[str, Any]
    to: str
    thread: str

    @property
    def text(self) -> str:
        return str(self.content["body"])


class RoomServer(MoodyHomeserver):
    """A homeserver that keeps what is sent, each transaction once, and what is uploaded.

    It takes events of at most `longest` bytes, in a room where that names one; `loses`: for so many
    messages it does what it is asked, and the answer never arrives. `clock` gives epoch
    milliseconds.
    """

    def __init__(self, url: str, clock: Callable[[], int] = lambda: 0) -> None:
        super().__init__(url)
        self.clock = clock
        self.longest: dict[str, int] = {}  # by room
        self.loses = 0
        self.most_uploaded: int | None = None  # bytes
        self.away = ""  # what is in paths that are not answered
        self.meanwhile: list[Callable[[], Awaitable[None]]] = []  # before a reaction arrives
        self._sent_at: dict[str, int] = {}
        self.sent: dict[str, tuple[str, dict[str, Any]]] = {}  # by event: type and content
        self.said: dict[str, dict[str, Any]] = {}  # by event: what people sent, whole
        self.state: dict[str, dict[str, Any]] = {}  # by "type/key"
        self.uploaded: list[bytes] = []
        self.largest: int | None = None  # of a file, in bytes
        self.left: list[str] = []
        self.redacted: set[str] = set()
        self._transactions: dict[str, str] = {}

    async def handle(self, request: web.Request) -> web.Response:
        if self.away and self.away in request.path:
            return web.Response(status=502, text="nobody is there")
        within = request.path.partition("/rooms/")[2].partition("/")[2]
        match request.method, within.split("/", 2):
            case "PUT", ["send", kind, _]:
                return await self._taken(within, kind, request)
            case "PUT", ["redact", event, _]:
                self.redacted.add(event)
            case "GET", ["relations", event, _]:
                return web.json_response({"chunk": self._reactions(event)})
            case "PUT", ["state", *key]:
                self.state["/".join(key)] = await request.json()
                return web.json_response({"event_id": f"${within}"})
            case "GET", ["state", *key]:
                found = self.state.get("/".join(key).rstrip("/"))
                absent = {"errcode": "M_NOT_FOUND", "error": "No."}
                return web.json_response(found or absent, status=200 if found else 404)
            case "POST", ["leave"]:
                self.left.append(request.path.split("/")[-2])
            case "GET", ["event", event] if event in self.refuses:
                return web.json_response({}, status=self.refuses[event].status)
            case "GET", ["event", event]:
                _, content = self.sent.get(event, ("", {}))
                age = self.clock() - self._sent_at.get(event, self.clock())
                ours = {"event_id": event, "unsigned": {"age": age}, "content": content}
                return web.json_response(self.said.get(event, ours))
        if request.path.endswith("/media/config"):
            return web.json_response({"m.upload.size": self.largest} if self.largest else {})
        if "/upload" in request.path:
            if (request.content_length or 0) > (self.most_uploaded or math.inf):
                return web.json_response({"errcode": "M_TOO_LARGE"}, status=413)
            self.uploaded.append(await request.read())
        told = {"joined_rooms": [ROOM], "chunk": [], "content_uri": "mxc://localhost/file"}
        return web.json_response({**told, "room_id": "!made:localhost"})

    async def _taken(self, within: str, kind: str, request: web.Request) -> web.Response:
        if kind == "m.reaction" and self.meanwhile:
            await self.meanwhile.pop()()
        room, data = request.match_info["path"].partition("/rooms/")[2], await request.read()
        if len(data) > self.longest.get(room.partition("/")[0], len(data)):
            refusal = {"errcode": "M_TOO_LARGE", "error": "event too large"}
            return web.json_response(refusal, status=413)
        transaction = f"{room.partition('/')[0]}/{within}"
        event = self._transactions.setdefault(transaction, f"$bot{len(self.sent) + 1}")
        self.sent.setdefault(event, (kind, json.loads(data)))
        self._sent_at.setdefault(event, self.clock())
        if kind != "m.reaction" and self.loses:
            self.loses -= 1
            return web.Response(status=502, text="the line is dead")
        return web.json_response({"event_id": event})

    @property
    def messages(self) -> list[Message]:
        """As they are shown, in their order."""
        shown: dict[str, Message] = {}
        for event, (kind, content) in self.sent.items():
            relation = content.get("m.relates_to", {})
            if kind == "m.room.message" and relation.get("rel_type") == "m.replace":
                edited = relation["event_id"]
                shown[edited] = shown[edited]._replace(content=content["m.new_content"])
            elif kind == "m.room.message":
                shown[event] = _shown(event, content, relation)
        return list(shown.values())

    def reactions(self, event: str) -> list[str]:
        """What the bot has put below an event, and not taken away."""
        return [its["content"]["m.relates_to"]["key"] for its in self._reactions(event)]

    def _reactions(self, to: str) -> list[dict[str, Any]]:
        return [
            {"event_id": event, "sender": BOT, "content": content}
            for event, (kind, content) in self.sent.items()
            if kind == "m.reaction"
            and content["m.relates_to"]["event_id"] == to
            and event not in self.redacted
        ]


def _shown(event: str, content: dict[str, Any], relation: dict[str, Any]) -> Message:
    thread = relation["event_id"] if relation.get("rel_type") == "m.thread" else ""
    answered = relation.get("m.in_reply_to", {}).get("event_id", "")
    return Message(event, content, "" if relation.get("is_falling_back") else answered, thread)


class Dialogue:
    """A room with people and the bot. `levels`: what power they have; None: it cannot be read."""

    def __init__(
        self, stage: Stage, server: RoomServer, client: Client, settings: RoomSettings
    ) -> None:
        self.stage, self.server = stage, server
        stage.told = [destination(ROOM)]
        self._client, self._settings = client, settings
        self.levels: dict[str, int | None] = {"ann": 100, "mod": 50, "bob": 0}
        server.state[f"m.room.member/{BOT}"] = {"displayname": NAME}
        self.restart()
        self.last = ""  # what was said or pressed last
        self._pressed_on = ""
        self._heard: list[str] = []  # what the bot had said before that
        self._events = itertools.count(1)

    async def _level(self, room: str, user: str) -> int | None:
        return self.levels[user[1:].partition(":")[0]]

    def restart(self) -> None:
        """Another process of the bot's, which is in the room and listens."""
        rooms = {ROOM: self._settings}
        self.bots = Listener(self.stage, self._client, rooms, self._level)
        self.bots.names.learn(ROOM, NAME)
        self.bots.inbound.place(ROOM).behind = False

    # people

    async def says(
        self,
        who: str,
        body: Any,
        *,
        to: str = "",
        thread: str = "",
        room: str = ROOM,
        event: str = "",
        **content: Any,
    ) -> str:
        """A message, its event; `to`: in reply to that event; `thread`: in that event's thread; the
        same `event` comes again."""
        relation: dict[str, Any] = {"m.in_reply_to": {"event_id": to}} if to else {}
        if thread:
            relation |= {"rel_type": "m.thread", "event_id": thread}
        said = {"msgtype": "m.text", "body": body, "m.relates_to": relation, **content}
        return await self.sends(who, "m.room.message", said, room=room, event=event)

    async def presses(self, who: str, emoji: str, *, on: str) -> str:
        """A reaction to an event."""
        relation = {"rel_type": "m.annotation", "event_id": on, "key": emoji}
        self._pressed_on = on
        return await self.sends(who, "m.reaction", {"m.relates_to": relation})

    async def sends(
        self,
        who: str,
        kind: str,
        content: dict[str, Any],
        *,
        age: int = 0,
        event: str = "",
        room: str = ROOM,
    ) -> str:
        """Any event, `age` milliseconds ago; the same `event` comes again."""
        self.last = event or f"${who}{next(self._events)}"
        self._heard = [message.event for message in self.server.messages]
        made: Any = {
            "type": kind,
            "room_id": room,
            "sender": f"@{who}:localhost",
            "event_id": self.last,
            "origin_server_ts": self.stage.clock() - age,
            "content": content,
        }
        self.server.said[self.last] = made
        reads = ReactionEvent if kind == "m.reaction" else MessageEvent
        await self.bots.inbound.on_event(reads.deserialize(made))
        return self.last

    async def invites(self, who: str, room: str) -> None:
        """The bot, into a room of theirs."""
        made: Any = {
            "type": "m.room.member",
            "room_id": room,
            "sender": f"@{who}:localhost",
            "state_key": BOT,
            "event_id": "$invitation",
            "origin_server_ts": self.stage.clock(),
            "content": {"membership": "invite"},
        }
        invitation: Any = StateEvent.deserialize(made)
        await asyncio.gather(*self.bots.client.dispatch_event(invitation, SyncStream.STATE))

    # the bot

    @property
    def new(self) -> Sequence[Message]:
        """What the bot has said since somebody else did."""
        return [m for m in self.server.messages if m.event not in self._heard]

    def answers(self, *expected: str) -> Message:
        """These are its answers to what was said last; the first one."""
        said = [message.text for message in self.new]
        assert len(said) == len(expected), said
        for text, pattern in zip(said, expected, strict=True):
            assert _is_like(pattern, text), text
        assert all(message.to in ("", self.last, self._pressed_on) for message in self.new)
        return self.new[0]

    def is_silent(self) -> None:
        """It has answered nothing, neither by words nor by a reaction."""
        assert [message.text for message in self.new] == []
        assert self.server.reactions(self.last) == []

    def nods(self, emoji: str) -> None:
        """Its whole answer is a reaction."""
        assert [message.text for message in self.new] == []
        assert self.server.reactions(self.last) == [emoji]

    async def tells(self, *expected: str) -> Sequence[Message]:
        """What waits for the room arrives, and is this."""
        self._heard = [message.event for message in self.server.messages]
        await self.bots.courier.tick()
        said = [message.text for message in self.new]
        assert len(said) == len(expected), said
        for text, pattern in zip(said, expected, strict=True):
            assert _is_like(pattern, text), text
        return self.new


def _is_like(pattern: str, text: str) -> bool:
    parts = map(re.escape, pattern.split("…"))
    return re.fullmatch(".*".join(parts), text, re.DOTALL) is not None


@asynccontextmanager
async def dialogue(stage: Stage, settings: RoomSettings | None = None) -> AsyncIterator[Dialogue]:
    """The room's own settings, or those of one whose `#1` is the stage's repository's."""
    async with served(RoomServer("", stage.clock)) as server, client_of(server.user()) as client:
        made = Dialogue(stage, server, client, settings or RoomSettings(default_repo=REPO))
        await made.bots.rooms.load()
        yield made
