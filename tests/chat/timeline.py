"""A homeserver that keeps what is said in its rooms, as people there see it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from aiohttp import web

from tests.chat.rooms import IS_ENCRYPTED, MoodyHomeserver, served


class Seen(NamedTuple):
    """A message as it stands in its room now; `edits`: how often it was edited."""

    event: str
    room: str
    content: dict[str, Any]
    edits: int

    @property
    def lines(self) -> list[str]:
        return str(self.content["body"]).splitlines()

    @property
    def first(self) -> str:
        return self.lines[0]

    @property
    def rings(self) -> bool:
        return bool(self.content["msgtype"] == "m.text")

    @property
    def mentions(self) -> list[str]:
        return list(self.content["m.mentions"].get("user_ids", ()))

    @property
    def replies_to(self) -> str | None:
        relation = self.content.get("m.relates_to", {})
        found: str | None = relation.get("m.in_reply_to", {}).get("event_id")
        return found


class Timeline(MoodyHomeserver):
    """Everybody in `members` is in its rooms; events in `gone` were redacted. While `away` it
    answers nothing but errors. What was sent twice is a minute old."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.members: set[str] = set()
        self.gone: set[str] = set()
        self.away = False
        self.loses_answers = False  # to what it has taken
        self.rang: list[list[str]] = []  # whom each message that was sent mentions
        self._sent: dict[str, tuple[str, str, dict[str, Any]]] = {}
        self._new: set[str] = set()  # events that were sent once only

    async def handle(self, request: web.Request) -> web.Response:
        if self.away:
            return web.Response(status=502, text="a proxy's page")
        if request.path.endswith(IS_ENCRYPTED):
            return web.json_response({"errcode": "M_NOT_FOUND"}, status=404)
        if request.method == "PUT":
            return await self._take(request)
        if "/state/m.room.member/" in request.path:
            here = request.path.rpartition("/")[2] in self.members
            return web.json_response({"membership": "join" if here else "leave"})
        event = request.path.rpartition("/")[2]
        unsigned: dict[str, Any] = {"age": 0 if event in self._new else 60_000}
        if event in self.gone:
            unsigned["redacted_because"] = {}
        return web.json_response({"unsigned": unsigned})

    async def _take(self, request: web.Request) -> web.Response:
        room, transaction = request.path.split("/")[5], request.path.rpartition("/")[2]
        if transaction not in self._sent:
            body = await request.json()
            self._sent[transaction] = (f"${len(self._sent)}", room, body)
            self.rang.append(body.get("m.mentions", {}).get("user_ids", []))
            self._new.add(self._sent[transaction][0])
        else:
            self._new.discard(self._sent[transaction][0])
        if self.loses_answers:
            return web.Response(status=502, text="a proxy's page")
        return web.json_response({"event_id": self._sent[transaction][0]})

    @property
    def sent(self) -> int:
        return len(self._sent)

    def seen(self, room: str | None = None) -> list[Seen]:
        """The messages of a room, or of all."""
        shown: dict[str, Seen] = {}
        for event, where, body in self._sent.values():
            relation = body.get("m.relates_to", {})
            if relation.get("rel_type") == "m.replace":
                old = shown[relation["event_id"]]
                new = {**old.content, **body["m.new_content"]}
                shown[old.event] = old._replace(content=new, edits=old.edits + 1)
            elif "body" in body:
                shown[event] = Seen(event, where, body, 0)
        messages = [each for each in shown.values() if each.event not in self.gone]
        return [each for each in messages if room in (None, each.room)]


@asynccontextmanager
async def timeline() -> AsyncIterator[Timeline]:
    async with served(Timeline("")) as server:
        yield server
