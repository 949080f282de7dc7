"""One request to the homeserver, with errors in the outbox's terms.

mautrix's own `send_message_event` is not used because it drops what a 429 says about when to come
back (mautrix 0.21, `api.py`, `HTTPAPI._send`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from io import BytesIO
from typing import Any

import msgspec
from aiohttp import ClientError, ClientTimeout
from mautrix.api import PathBuilder
from mautrix.client import Client
from yarl import URL

from fleetbot.chat.speaking.pace import Limited
from fleetbot.fence import FencedBody, Leads, always
from fleetbot.services.outbox import Refused, RetryLater
from fleetbot.wire.retry_after import retry_after

_TIMEOUT = ClientTimeout(total=60)
_LONGEST_PAUSE = 600.0  # seconds that a 429 is believed: a wrong one must not silence us for days
Content = Mapping[str, Any]


class NotAdmitted(RetryLater):
    """The bot is not in the room, or may not do this there. People can change that."""

    def __init__(self, why: str) -> None:
        super().__init__(None, why)


class TooLarge(Refused):
    """It is more than the homeserver takes at once."""


class SaidAlready(Refused):
    """The same reaction of ours is below the event; its transaction is forgotten after a day."""


class Absent(NotAdmitted):
    """The homeserver knows no such thing."""


class Requests:
    """Raises `RetryLater` when the homeserver is away or says to wait, as `NotAdmitted` while the
    room does not let us, and `Refused` when it refuses this very request. Nothing but GET is asked
    unless `leads`."""

    def __init__(self, client: Client, leads: Leads = always) -> None:
        self._client = client
        self._leads = leads

    async def __call__(
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
        self._check(method)
        data: BytesIO | FencedBody | None = None
        if isinstance(body, bytes):
            data = BytesIO(body)  # aiohttp wants large ones so
            headers["Content-Type"] = mimetype
        elif body is not None:
            data = FencedBody(msgspec.json.encode(body), self._leads)
        try:
            async with api.session.request(
                method, url.extend_query(query), headers=headers, timeout=_TIMEOUT, data=data
            ) as response:
                status, seconds = response.status, retry_after(response.headers)
                answer = _object(await response.read())
        except (ClientError, TimeoutError) as error:
            self._check(method)
            why = f"the homeserver did not answer: {_reason(error)}"
            raise RetryLater(None, why, host=True) from error
        if status == HTTPStatus.OK and answer is not None:
            return answer
        raise _refusal(status, answer or {}, seconds)

    def _check(self, method: str) -> None:
        if method != "GET" and not self._leads():
            raise RetryLater(None, "not sent: another orchestrator may lead by now", host=True)


def _reason(error: ClientError | TimeoutError) -> str:
    """In few words: what aiohttp shows of a connection is long, and nobody's business."""
    if isinstance(error, TimeoutError):
        return "not in time"
    return str(getattr(error, "strerror", "") or error) or type(error).__name__


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
        return SaidAlready(why)
    if code and status == HTTPStatus.FORBIDDEN:
        return NotAdmitted(why)
    if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:  # a proxy's, too, which has no code
        return TooLarge(why)
    if code and status == HTTPStatus.NOT_FOUND:
        return Absent(why)
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
