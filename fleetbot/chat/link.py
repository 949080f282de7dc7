"""Our requests to the homeserver, with errors in the outbox's terms.

mautrix's own `send_message_event` is not used because it drops what a 429 says about when to come
back (mautrix 0.21, `api.py`, `HTTPAPI._send`).
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from http import HTTPStatus
from typing import Any

from aiohttp import ClientError, ClientTimeout
from mautrix.api import MediaPath, Path, PathBuilder
from mautrix.client import Client
from mautrix.errors import MatrixError, MNotFound
from mautrix.types import EventType, PowerLevelStateEventContent, RoomID, StateEvent, UserID
from yarl import URL

from fleetbot.services.outbox import Refused, RetryLater

_TIMEOUT = ClientTimeout(total=60)
Content = Mapping[str, Any]


class Link:
    """Sends what a room shall hear, encrypted where the room is, and asks what a room is like.

    Raises `RetryLater` when the homeserver is away or says to wait, `Refused` when it refuses
    for good, e.g. since the bot is not in the room.
    """

    def __init__(self, client: Client) -> None:
        self._client = client

    async def send(self, room: str, content: Content, transaction: str) -> str:
        """Send a message and answer its event id.

        The homeserver answers a `transaction` that it knows with the event of the first time
        (client-server API, "Transaction identifiers").
        """
        kind, body = await self._sealed(RoomID(room), content)
        path = Path.v3.rooms[room].send[kind][transaction]
        return str((await self._call("PUT", path, body))["event_id"])

    async def upload(self, room: str, name: str, text: bytes) -> Content | None:
        """Upload a text file and answer the message that shows it; None where the room is
        encrypted: the homeserver would have the file in clear."""
        if await self._is_sealed(RoomID(room)):
            return None
        answer = await self._call("POST", MediaPath.v3.upload, text)
        return {
            "msgtype": "m.file",
            "body": name,
            "filename": name,
            "url": str(answer["content_uri"]),
            "info": {"mimetype": "text/plain", "size": len(text)},
            "m.mentions": {},
        }

    async def holds(self, room: str, event: str) -> bool:
        """Whether the event is still there: known to the homeserver and not redacted."""
        try:
            found = await self._call("GET", Path.v3.rooms[room].event[event])
        except Refused:
            return False
        return "redacted_because" not in found.get("unsigned", {})

    async def power_level(self, room: str, user: str) -> int | None:
        """The user's power level in the room as it is now; None if it could not be read."""
        try:
            levels = await self._client.get_state_event(RoomID(room), EventType.ROOM_POWER_LEVELS)
            create = await self._client.get_state_event(
                RoomID(room), EventType.ROOM_CREATE, format="event"
            )
        except (MatrixError, ClientError, TimeoutError):
            return None
        if isinstance(levels, PowerLevelStateEventContent) and isinstance(create, StateEvent):
            return levels.get_user_level(UserID(user), create)
        return None

    async def _sealed(self, room: RoomID, content: Content) -> tuple[str, Content]:
        if not await self._is_sealed(room):
            return "m.room.message", content
        try:
            sealed = await self._client.encrypt(
                room,
                EventType.ROOM_MESSAGE,
                content,  # type: ignore[arg-type]  # encrypt takes plain content as well
            )
        except (MatrixError, ClientError, TimeoutError) as error:
            raise RetryLater(None, f"could not encrypt: {error}") from error
        return "m.room.encrypted", sealed.serialize()

    async def _is_sealed(self, room: RoomID) -> bool:
        """Whether what we say in the room has to be encrypted."""
        try:
            return self._client.crypto_enabled and await self._is_encrypted(room)
        except (MatrixError, ClientError, TimeoutError) as error:
            raise RetryLater(None, f"could not ask whether to encrypt: {error}") from error

    async def _is_encrypted(self, room: RoomID) -> bool:
        store = self._client.state_store
        known = await store.is_encrypted(room) if store else None
        if known is not None:
            return known
        try:
            await self._client.get_state_event(room, EventType.ROOM_ENCRYPTION)
        except MNotFound:
            return False
        return True

    async def _call(
        self, method: str, path: PathBuilder, body: Content | bytes | None = None
    ) -> dict[str, Any]:
        """`body` is sent as JSON, or as plain text where it is bytes."""
        api = self._client.api
        url = URL(f"{str(api.base_url).rstrip('/')}/{str(path).lstrip('/')}", encoded=True)
        headers = {"Authorization": f"Bearer {api.token}"}
        sent: dict[str, Any] = {"json": body}
        if isinstance(body, bytes):
            sent = {"data": body}
            headers["Content-Type"] = "text/plain; charset=utf-8"
        try:
            async with api.session.request(
                method, url, headers=headers, timeout=_TIMEOUT, **sent
            ) as response:
                status, retry_after = response.status, response.headers.get("Retry-After")
                answer = await response.json(content_type=None)
        except (ClientError, TimeoutError, ValueError) as error:
            raise RetryLater(None, f"the homeserver did not answer: {error!r}") from error
        if status == HTTPStatus.OK and isinstance(answer, dict):
            return answer
        raise _refusal(status, answer if isinstance(answer, dict) else {}, retry_after)


def _refusal(status: int, answer: Content, retry_after: str | None) -> RetryLater | Refused:
    code = answer.get("errcode")
    why = f"{status} {code or ''} {answer.get('error', '')}".strip()
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return RetryLater(_pause(answer.get("retry_after_ms"), retry_after), why, host=True)
    ours = HTTPStatus.BAD_REQUEST <= status < HTTPStatus.INTERNAL_SERVER_ERROR
    if ours and code and status != HTTPStatus.UNAUTHORIZED:
        return Refused(why)
    return RetryLater(None, why)  # a proxy's answer, a server in trouble, a token to be renewed


def _pause(milliseconds: object, seconds: str | None) -> float | None:
    """How long to wait, in seconds: older servers say it in the body, newer ones in a header."""
    if isinstance(milliseconds, int):
        return milliseconds / 1000
    return float(seconds) if seconds and seconds.isdecimal() else None


def transaction(*parts: object) -> str:
    """A transaction id that is the same for the same message, and fit for a URL."""
    return "fleet-" + sha256("\0".join(map(str, parts)).encode()).hexdigest()[:32]
