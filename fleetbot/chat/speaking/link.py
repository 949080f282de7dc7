"""Our requests to the homeserver, with errors in the outbox's terms.

mautrix's own `send_message_event` is not used because it drops what a 429 says about when to come
back (mautrix 0.21, `api.py`, `HTTPAPI._send`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from hashlib import sha256
from http import HTTPStatus
from io import BytesIO
from typing import Any

import msgspec
from aiohttp import ClientError, ClientTimeout
from mautrix.api import MediaPath, Path, PathBuilder
from mautrix.client import Client
from yarl import URL

from fleetbot.chat.speaking.content import content as message
from fleetbot.chat.speaking.content import shortened
from fleetbot.chat.speaking.pace import Limited, Pace, Urgency
from fleetbot.chat.speaking.power import Power
from fleetbot.chat.speaking.sealing import Sealing
from fleetbot.chat.words.post import File
from fleetbot.chat.words.sealed import UNABLE_TO_ENCRYPT
from fleetbot.services.outbox import Refused, RetryLater
from fleetbot.wire.retry_after import retry_after

_TIMEOUT = ClientTimeout(total=60)
_LONGEST_PAUSE = 600.0  # seconds that a 429 is believed: a wrong one must not silence us for days
Content = Mapping[str, Any]
_SERVER = PathBuilder("/_matrix/federation/v1/version")
_SYNAPSE = PathBuilder("/_synapse/admin/v1/server_version")


class NotAdmitted(RetryLater):
    """The bot is not in the room, or may not do this there. People can change that."""

    def __init__(self, why: str) -> None:
        super().__init__(None, why)


class TooLarge(Refused):
    """It is more than the homeserver takes at once."""


class _SaidAlready(Refused):
    """The same reaction of ours is below the event; its transaction is forgotten after a day."""


class _Absent(NotAdmitted):
    """The homeserver knows no such thing."""


class Link:
    """Sends what a room shall hear, encrypted where the room is, and asks what a room is like.

    Raises `RetryLater` when the homeserver is away or says to wait, as `NotAdmitted` while the room
    does not let us, and `Refused` when it refuses this very message. What is sent goes when it is
    its turn: an answer or a question is waited for, what is less urgent has to come again.
    """

    def __init__(self, client: Client, pace: Pace | None = None) -> None:
        self.pace = pace or Pace()
        self._client = client
        self._sealing = Sealing(client)
        self._encrypted: dict[str, bool] = {}
        self._closed: dict[str, str] = {}

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
    ) -> str:
        """Send a message and answer its event id. Nothing goes in clear into an encrypted room, and
        of what is too large the beginning goes.

        The homeserver answers a `transaction` that it knows with the event of the first time
        (client-server API, "Transaction identifiers").
        """
        if room in self._closed:
            raise NotAdmitted(self._closed[room])

        async def request(content: Content = content) -> str:
            kind, body = "m.room.message", content
            if await self._seals(room):
                kind, body = "m.room.encrypted", await self._sealing.message(room, content)
            path = Path.v3.rooms[room].send[kind][transaction]
            return str((await self._call("PUT", path, body))["event_id"])

        try:
            return await self.pace.take(urgency, request)
        except TooLarge:
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
            return str((await self._call("PUT", path, {"m.relates_to": relation}))["event_id"])

        try:
            return await self.pace.take(urgency, request)
        except _SaidAlready:
            return ""

    async def upload(self, room: str, file: File) -> Content:
        """Upload a file, encrypted for a room that is, and answer the message that shows it."""
        data, mimetype, key = file.data, file.mimetype, None
        if await self._seals(room):
            data, key = await self._sealing.file(file.data)
            mimetype = "application/octet-stream"
        answer = await self._call("POST", MediaPath.v3.upload, data, mimetype=mimetype)
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
            limit = (await self._call("GET", Path.v1.media.config)).get("m.upload.size")
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
            return await self._call("GET", Path.v3.rooms[room].event[event])
        except _Absent:
            return None

    async def age(self, room: str, event: str) -> int:
        """Milliseconds since it was sent, by the homeserver's clock; 0 where it does not say."""
        age = ((await self.event(room, event)) or {}).get("unsigned", {}).get("age", 0)
        return age if isinstance(age, int) else 0

    async def power_level(self, room: str, user: str) -> int | None:
        """The user's power level in the room as it is now; None if it could not be read."""
        try:
            levels = await self.state(room, "m.room.power_levels")
            create = await self.state_event(room, "m.room.create")
        except (RetryLater, Refused):
            return None
        return Power(levels, create).of(user) if create else None

    async def power_then(self, room: str, event: str) -> Power:
        """Who had which power in the room when the event was sent. Raises `RetryLater`."""
        query = [("limit", "0"), ("filter", _json({"lazy_load_members": True}))]
        answer = await self._call("GET", Path.v3.rooms[room].context[event], query=query)
        state = {(its["type"], its["state_key"]): its for its in answer.get("state", ())}
        levels = state.get(("m.room.power_levels", ""), {})
        return Power(levels.get("content"), state.get(("m.room.create", ""), {}))

    async def is_member(self, room: str, user: str) -> bool:
        """Whether the user is in the room."""
        try:
            path = Path.v3.rooms[room].state["m.room.member"][user]
            return (await self._call("GET", path)).get("membership") == "join"
        except _Absent:
            return False

    # rooms

    async def joined_rooms(self) -> frozenset[str]:
        return frozenset((await self._call("GET", Path.v3.joined_rooms)).get("joined_rooms", ()))

    async def server(self) -> str:
        """What the homeserver is, as it tells other servers: `Synapse 1.163.2`; "" where it tells
        nobody. Synapse without federation tells it on a page of its own."""
        with suppress(RetryLater, Refused):
            its = (await self._call("GET", _SERVER)).get("server")
            if isinstance(its, dict):
                return f"{its.get('name', '')} {its.get('version', '')}".strip()
        with suppress(RetryLater, Refused):
            return f"Synapse {(await self._call('GET', _SYNAPSE))['server_version']}"
        return ""

    async def join(self, room: str, via: Sequence[str] = ()) -> None:
        """Join, where we are invited or anybody may; `via` are servers that know the room."""
        query = [("via", server) for server in via] + [("server_name", server) for server in via]
        await self._call("POST", Path.v3.join[room], {}, query)

    async def leave(self, room: str) -> None:
        await self._call("POST", Path.v3.rooms[room].leave, {})

    async def state(self, room: str, kind: str, key: str = "") -> dict[str, Any] | None:
        """The content of a state event; None where there is none."""
        path = Path.v3.rooms[room].state[kind]
        try:
            return await self._call("GET", path[key] if key else path)
        except _Absent:
            return None

    async def set_state(self, room: str, kind: str, key: str, content: Content) -> None:
        """Set a state event; the same content again changes nothing."""
        await self._call("PUT", Path.v3.rooms[room].state[kind][key], content)

    async def state_event(self, room: str, kind: str) -> dict[str, Any] | None:
        """A state event without a key, whole; None where there is none."""
        path, query = Path.v3.rooms[room].state[kind], [("format", "event")]
        try:
            return await self._call("GET", path, query=query)
        except _Absent:
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
        answer = await self._call("GET", Path.v3.rooms[room].messages, query=query)
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
        await self._call("PUT", path, message(UNABLE_TO_ENCRYPT))

    async def stale_device(self) -> str | None:
        """Why nobody can encrypt for the bot's device, if so: the homeserver gives out other keys
        for it than we have."""
        fingerprint = self._sealing.fingerprint
        if fingerprint is None:
            return None
        user, device = self._client.mxid, self._client.device_id
        answer = await self._call("POST", Path.v3.keys.query, {"device_keys": {user: [device]}})
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
        return await self._call(method, path, body, query)

    async def _call(
        self,
        method: str,
        path: PathBuilder,
        body: Content | bytes | None = None,
        query: Sequence[tuple[str, str]] = (),
        mimetype: str = "application/json",
    ) -> dict[str, Any]:
        """`body` is sent as JSON, or as it is where it is bytes, of the `mimetype`."""
        api = self._client.api
        url = URL(f"{str(api.base_url).rstrip('/')}/{str(path).lstrip('/')}", encoded=True)
        headers = {"Authorization": f"Bearer {api.token}"}
        sent: dict[str, Any] = {"json": body}
        if isinstance(body, bytes):
            sent = {"data": BytesIO(body)}  # aiohttp wants large ones so
            headers["Content-Type"] = mimetype
        try:
            async with api.session.request(
                method, url.extend_query(query), headers=headers, timeout=_TIMEOUT, **sent
            ) as response:
                status, seconds = response.status, retry_after(response.headers)
                answer = _object(await response.read())
        except (ClientError, TimeoutError) as error:
            why = f"the homeserver did not answer: {error!r}"
            raise RetryLater(None, why, host=True) from error
        if status == HTTPStatus.OK and answer is not None:
            return answer
        raise _refusal(status, answer or {}, seconds)


def _object(body: bytes) -> dict[str, Any] | None:
    """None where it is something else, such as a proxy's page."""
    try:
        return msgspec.json.decode(body, type=dict[str, Any])
    except msgspec.DecodeError:
        return None


def _refusal(status: int, answer: Content, seconds: float | None) -> RetryLater | Refused:
    code = answer.get("errcode")
    why = f"{status} {code or _phrase(status)} {answer.get('error', '')}".strip()
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return Limited(_pause(answer.get("retry_after_ms"), seconds), why)
    if code == "M_DUPLICATE_ANNOTATION":
        return _SaidAlready(why)
    if code and status == HTTPStatus.FORBIDDEN:
        return NotAdmitted(why)
    if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:  # a proxy's, too, which has no code
        return TooLarge(why)
    if code and status == HTTPStatus.NOT_FOUND:
        return _Absent(why)
    ours = HTTPStatus.BAD_REQUEST <= status < HTTPStatus.INTERNAL_SERVER_ERROR
    if ours and code and status != HTTPStatus.UNAUTHORIZED:
        return Refused(why)
    # a proxy's answer, a server in trouble, a token to be renewed
    return RetryLater(None, why, host=True)


def _phrase(status: int) -> str:
    return HTTPStatus(status).phrase if status in set(HTTPStatus) else ""


def _pause(milliseconds: object, seconds: float | None) -> float | None:
    """How long to wait, in seconds: older servers say it in the body, newer ones in a header."""
    if isinstance(milliseconds, int):
        return min(milliseconds / 1000, _LONGEST_PAUSE)
    return None if seconds is None else min(seconds, _LONGEST_PAUSE)


def _json(value: Content) -> str:
    return msgspec.json.encode(value).decode()


def transaction(*parts: object) -> str:
    """A transaction id that is the same for the same message, and fit for a URL."""
    return "fleet-" + sha256("\0".join(map(str, parts)).encode()).hexdigest()[:32]
