"""What we say to rooms by the homeserver, and what we ask it about them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from hashlib import sha256
from typing import Any

import msgspec
from mautrix.api import MediaPath, Path, PathBuilder
from mautrix.client import Client

from fleetbot.chat.speaking.content import content as message
from fleetbot.chat.speaking.content import shortened
from fleetbot.chat.speaking.pace import Pace, Urgency
from fleetbot.chat.speaking.power import Power
from fleetbot.chat.speaking.requests import (
    Absent,
    Content,
    NotAdmitted,
    Requests,
    SaidAlready,
    TooLarge,
)
from fleetbot.chat.speaking.said import MARK, SaidBefore
from fleetbot.chat.speaking.sealing import Sealing
from fleetbot.chat.words.post import File
from fleetbot.chat.words.sealed import UNABLE_TO_ENCRYPT
from fleetbot.fence import Leads, always
from fleetbot.services.outbox import Refused, RetryLater

_SERVER = PathBuilder("/_matrix/federation/v1/version")
_SYNAPSE = PathBuilder("/_synapse/admin/v1/server_version")


class Link:
    """Sends what a room shall hear, encrypted where the room is, and asks what a room is like.

    Raises what `Requests` raises. What is sent goes when it is its turn: an answer or a question is
    waited for, what is less urgent has to come again. `follows` tells whether another spoke with
    the bot's account before.
    """

    def __init__(
        self,
        client: Client,
        pace: Pace | None = None,
        leads: Leads = always,
        *,
        follows: Callable[[], bool] = lambda: False,
    ) -> None:
        self.pace = pace or Pace()
        self._client = client
        self._request = Requests(client, leads)
        self._sealing = Sealing(client)
        self._encrypted: dict[str, bool] = {}
        self._closed: dict[str, str] = {}
        self._before = SaidBefore(self.messages, client.mxid)
        self._follows = follows

    @property
    def own_id(self) -> str:
        return self._client.mxid

    def close(self, room: str, why: str | None) -> None:
        """Say nothing in the room while there is a reason not to; None lifts it."""
        self._closed.pop(room, None)
        if why:
            self._closed[room] = why

    async def send(
        self,
        room: str,
        content: Content,
        transaction: str,
        *,
        urgency: Urgency = Urgency.NOTICE,
        whole: bool = False,
    ) -> str:
        """Send a message and answer its event id. Nothing goes in clear into an encrypted room. Of
        what is too large the beginning goes; or `TooLarge` is raised where it is to go `whole`.

        The homeserver answers a `transaction` that it knows with the event of the first time
        (client-server API, "Transaction identifiers").
        """
        if room in self._closed:
            raise NotAdmitted(self._closed[room])
        if self._follows() and (said := await self._before.event(room, transaction)):
            return said

        async def request(content: Content = content) -> str:
            kind, body = "m.room.message", content
            if await self._seals(room):
                kind, body = "m.room.encrypted", await self._sealing.message(room, content)
            path = Path.v3.rooms[room].send[kind][transaction]
            marked = {**body, MARK: transaction}
            return str((await self._request("PUT", path, marked))["event_id"])

        try:
            return await self.pace.take(urgency, request)
        except TooLarge:
            if whole:
                raise
            return await self.pace.take(urgency, partial(request, shortened(content)))

    async def react(
        self, room: str, event: str, emoji: str, *, urgency: Urgency = Urgency.NOTICE
    ) -> str:
        """React to an event, once; answers the reaction's event id, "" where it was there already.
        Reactions are never encrypted (client-server API, "Event annotations and reactions")."""
        if room in self._closed:
            raise NotAdmitted(self._closed[room])
        relation = {"rel_type": "m.annotation", "event_id": event, "key": emoji}
        path = Path.v3.rooms[room].send["m.reaction"][transaction("react", event, emoji)]

        async def request() -> str:
            return str((await self._request("PUT", path, {"m.relates_to": relation}))["event_id"])

        try:
            return await self.pace.take(urgency, request)
        except SaidAlready:
            return ""

    async def redact(self, room: str, event: str) -> None:
        """Take back what we have said; where we are not let, there is nothing left for us to do."""
        path = Path.v3.rooms[room].redact[event][transaction("redact", event)]
        with suppress(NotAdmitted):
            await self._request("PUT", path, {})

    async def upload(self, room: str, file: File) -> Content:
        """Upload a file, encrypted for a room that is, and answer the message that shows it."""
        data, mimetype, key = file.data, file.mimetype, None
        if await self._seals(room):
            data, key = await self._sealing.file(file.data)
            mimetype = "application/octet-stream"
        answer = await self._request("POST", MediaPath.v3.upload, data, mimetype=mimetype)
        address = {"url": str(answer["content_uri"])}
        info: dict[str, Any] = {"mimetype": file.mimetype, "size": len(file.data)}
        if file.width:
            info |= {"w": file.width, "h": file.height}
        return {
            "msgtype": "m.image" if file.width else "m.file",
            "body": file.name,
            "filename": file.name,
            **(address if key is None else {"file": {**key, **address}}),
            "info": info,
            "m.mentions": {},
        }

    async def most_uploaded(self) -> int | None:
        """The most bytes that a file may have; None where the homeserver does not say."""
        try:
            limit = (await self._request("GET", Path.v1.media.config)).get("m.upload.size")
        except (NotAdmitted, Refused):  # an older one, which is found out by trying
            return None
        return limit if isinstance(limit, int) else None

    async def holds(self, room: str, event: str) -> bool:
        """Whether the event is still there: known to the homeserver and not redacted."""
        found = await self.event(room, event)
        return found is not None and "redacted_because" not in found.get("unsigned", {})

    async def event(self, room: str, event: str) -> dict[str, Any] | None:
        """The event as the homeserver has it, be it encrypted; None where it has none."""
        try:
            return await self._request("GET", Path.v3.rooms[room].event[event])
        except Absent:
            return None

    async def age(self, room: str, event: str) -> int:
        """Milliseconds since it was sent, by the homeserver's clock; 0 where it does not say."""
        age = ((await self.event(room, event)) or {}).get("unsigned", {}).get("age", 0)
        return age if isinstance(age, int) else 0

    async def power_level(self, room: str, user: str) -> int | None:
        """The user's power level in the room as it is now; None if it cannot be read. Raises
        `RetryLater`."""
        try:
            levels = await self.state(room, "m.room.power_levels")
            create = await self.state_event(room, "m.room.create")
        except (Refused, NotAdmitted):
            return None
        return Power(levels, create).of(user) if create else None

    async def power_then(self, room: str, event: str) -> Power:
        """Who had which power in the room when the event was sent. Raises `RetryLater`."""
        query = [("limit", "0"), ("filter", _json({"lazy_load_members": True}))]
        answer = await self._request("GET", Path.v3.rooms[room].context[event], query=query)
        state = {(its["type"], its["state_key"]): its for its in answer.get("state", ())}
        levels = state.get(("m.room.power_levels", ""), {})
        return Power(levels.get("content"), state.get(("m.room.create", ""), {}))

    async def is_member(self, room: str, user: str) -> bool:
        """Whether the user is in the room."""
        try:
            path = Path.v3.rooms[room].state["m.room.member"][user]
            return (await self._request("GET", path)).get("membership") == "join"
        except Absent:
            return False

    # rooms

    async def joined_rooms(self) -> frozenset[str]:
        return frozenset((await self._request("GET", Path.v3.joined_rooms)).get("joined_rooms", ()))

    async def server(self) -> str:
        """What the homeserver is, as it tells other servers: `Synapse 1.163.2`; "" where it tells
        nobody. Synapse without federation tells it on a page of its own."""
        with suppress(RetryLater, Refused):
            its = (await self._request("GET", _SERVER)).get("server")
            if isinstance(its, dict):
                return f"{its.get('name', '')} {its.get('version', '')}".strip()
        with suppress(RetryLater, Refused):
            version = (await self._request("GET", _SYNAPSE)).get("server_version")
            return f"Synapse {version}" if version else ""
        return ""

    async def join(self, room: str, via: Sequence[str] = ()) -> None:
        """Join, where we are invited or anybody may; `via` are servers that know the room."""
        query = [("via", server) for server in via] + [("server_name", server) for server in via]
        await self._request("POST", Path.v3.join[room], {}, query)

    async def leave(self, room: str) -> None:
        await self._request("POST", Path.v3.rooms[room].leave, {})

    async def state(self, room: str, kind: str, key: str = "") -> dict[str, Any] | None:
        """The content of a state event; None where there is none."""
        path = Path.v3.rooms[room].state[kind]
        try:
            return await self._request("GET", path[key] if key else path)
        except Absent:
            return None

    async def set_state(self, room: str, kind: str, key: str, content: Content) -> None:
        """Set a state event; the same content again changes nothing."""
        await self._request("PUT", Path.v3.rooms[room].state[kind][key], content)

    async def state_event(self, room: str, kind: str) -> dict[str, Any] | None:
        """A state event without a key, whole; None where there is none."""
        path, query = Path.v3.rooms[room].state[kind], [("format", "event")]
        try:
            return await self._request("GET", path, query=query)
        except Absent:
            return None

    async def messages(
        self, room: str, only: Content, before: str | None
    ) -> tuple[Sequence[dict[str, Any]], str | None]:
        """Events of the room, newest first, of the filter `only`; and where those before begin.

        `before` is such a place; None begins at the newest.
        """
        query = [("dir", "b"), ("limit", "100"), ("filter", _json(only))]
        if before:
            query.append(("from", before))
        answer = await self._request("GET", Path.v3.rooms[room].messages, query=query)
        return answer.get("chunk", ()), answer.get("end")

    # encryption

    def seal(self, room: str) -> None:
        """The room has been encrypted."""
        self._encrypted[room] = True

    @property
    def unable_to_encrypt(self) -> str | None:
        """Why we cannot encrypt and what mends it; None where we can."""
        return self._sealing.missing

    async def is_encrypted(self, room: str, *, look: bool = False) -> bool:
        """`look` asks again where the room was not encrypted before; once on, it stays on."""
        if look and not self._encrypted.get(room):
            self._encrypted.pop(room, None)
        if room not in self._encrypted:
            self._encrypted[room] = await self.state(room, "m.room.encryption") is not None
        return self._encrypted[room]

    async def say_unable(self, room: str) -> None:
        """That we are not set up for it: all that ever goes in clear into an encrypted room."""
        path = Path.v3.rooms[room].send["m.room.message"][transaction("unable", room)]
        await self._request("PUT", path, message(UNABLE_TO_ENCRYPT))

    async def stale_device(self) -> str | None:
        """Why nobody can encrypt for the bot's device, if so: the homeserver gives out other keys
        for it than we have."""
        fingerprint = self._sealing.fingerprint
        if fingerprint is None:
            return None
        user, device = self._client.mxid, self._client.device_id
        answer = await self._request("POST", Path.v3.keys.query, {"device_keys": {user: [device]}})
        known = answer.get("device_keys", {}).get(user, {}).get(device, {}).get("keys", {})
        if known.get(f"ed25519:{device}") == fingerprint:
            return None
        return (
            f"the homeserver has other keys for the bot's device {device} than maubot: nobody can "
            "encrypt for it. Log the bot in anew, for another device"
        )

    async def _seals(self, room: str) -> bool:
        """Whether what goes there has to be encrypted. Raises `NotAdmitted` where we cannot."""
        if not await self.is_encrypted(room):
            return False
        if missing := self._sealing.missing:
            raise NotAdmitted(missing)
        return True

    async def share_key(self, room: str, users: Sequence[str]) -> None:
        """Have these read what is said next in an encrypted room, who were only invited as well."""
        if await self._seals(room):
            await self._sealing.share(room, users)

    # one request

    async def ask(
        self,
        method: str,
        path: PathBuilder,
        body: Content | None = None,
        query: Sequence[tuple[str, str]] = (),
    ) -> Content:
        """Anything else that is to be asked of the homeserver."""
        return await self._request(method, path, body, query)


def _json(value: Content) -> str:
    return msgspec.json.encode(value).decode()


def transaction(*parts: object) -> str:
    """A transaction id that is the same for the same message, and fit for a URL."""
    return "fleet-" + sha256("\0".join(map(str, parts)).encode()).hexdigest()[:32]
