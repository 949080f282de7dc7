"""Who may look at the board: a link is good once and for minutes, a session for hours.

Both are signed with a key of our own, so that nobody can make one, and say for which person in
which room they were made. The key is made once and kept in the database, beside the journal; with
another key all that was given out is good for nothing.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import NamedTuple

import msgspec

from fleetbot.domain.errors import FleetError, Forbidden
from fleetbot.domain.wording import nickname
from fleetbot.services.access import Access
from fleetbot.services.fleet import Fleet
from fleetbot.services.outbox import RetryLater
from fleetbot.store.records import Anchor, Arrival, Change

LINK_PREFIX = "fbl_"
SESSION_PREFIX = "fbs_"
READS = "reads"  # whoever has shown a token to read with
_KEY = "board:key"
_LOOKED_MS = 300_000  # for so long it is taken to be known who is in a room
_MOST_KNOWN = 4096
_ASK = "Say !fleet board in a room of the fleet for a new link."

IsIn = Callable[[str, str], Awaitable[bool]]  # of (room, user): whether they are in it now


class NotLetIn(FleetError):
    """The session is nobody's, or has ended."""

    code = "unauthorized"


class Viewer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Somebody who looks. `room`: as the settings call it, whose repositories they may see; empty
    for who has shown a token to read with, `token` being the mark of it. `until` in epoch ms."""

    until: int = 0
    user: str = ""
    room: str = ""
    token: str = ""

    @property
    def name(self) -> str:
        """For people."""
        return nickname(self.user) or "a reader's token"

    @property
    def caller(self) -> str:
        """Whose requests are counted together."""
        return f"board:{self.user or self.token or READS}"


class _Link(msgspec.Struct, frozen=True, kw_only=True):
    """`once`: the link's own number; a second use of it is known by that."""

    user: str
    room: str
    until: int
    once: str


class Session(NamedTuple):
    """What a browser keeps, and for whom."""

    text: str
    viewer: Viewer


_link = msgspec.json.Decoder(_Link)
_viewer = msgspec.json.Decoder(Viewer)


class Passes:
    """`links_ms` and `sessions_ms`: for how long they are good. `is_in` may raise `RetryLater`."""

    def __init__(
        self, fleet: Fleet, access: Access, links_ms: int, sessions_ms: int, is_in: IsIn
    ) -> None:
        self._fleet = fleet
        self._access = access
        self.links_ms = links_ms
        self._sessions_ms = sessions_ms
        self._is_in = is_in
        self._turn = asyncio.Lock()
        self._key: bytes | None = None
        self._known: dict[tuple[str, str], tuple[int, bool]] = {}
        self.withdrawals = 0

    async def link(self, user: str, room: str) -> str:
        """What stands in a link for that person, to what that room may see."""
        until, once = self._fleet.clock() + self.links_ms, secrets.token_urlsafe(12)
        key = await self._present_key() or await self._new_key()
        return _sealed(LINK_PREFIX, _Link(user=user, room=room, until=until, once=once), key)

    async def open(self, shown: str) -> Session:
        """A session, for what stands in a link or for a token to read with. Raises Forbidden."""
        shown, now = shown.strip(), self._fleet.clock()
        if shown.startswith(LINK_PREFIX):
            viewer = await self._use(shown, now)
        elif self._access.may_read(shown):
            viewer = Viewer(until=now + self._sessions_ms, token=self._access.mark(shown))
        else:
            raise Forbidden(f"This is neither a link of mine nor a reader's token. {_ASK}")
        key = await self._present_key() or await self._new_key()
        return Session(_sealed(SESSION_PREFIX, viewer, key), viewer)

    async def _use(self, shown: str, now: int) -> Viewer:
        key = await self._present_key()
        body = _unsealed(LINK_PREFIX, shown, key)
        if body is None:
            raise Forbidden(f"This link is not one of mine, or links were withdrawn. {_ASK}")
        link = _link.decode(body)
        if link.until <= now:
            raise Forbidden(f"This link has expired. {_ASK}")
        if not await self._is_member(link.room, link.user):
            raise Forbidden("This link was for a room that its owner is not in any more.")
        used = Arrival(key=f"board:{link.once}", kind="board", at=now)
        await self._fleet.start()
        if not await self._fleet.store.keep(used):
            raise Forbidden(f"This link was used before: it is good once. {_ASK}")
        if self._key != key:
            raise Forbidden(f"Links were withdrawn just now. {_ASK}")
        return Viewer(until=now + self._sessions_ms, user=link.user, room=link.room)

    async def viewer(self, text: str) -> Viewer:
        """Whose session it is. Raises NotLetIn where it is nobody's, or not any more."""
        key = await self._present_key()
        body = _unsealed(SESSION_PREFIX, text, key)
        if body is None:
            raise NotLetIn(f"The board opens with a link. {_ASK}")
        viewer = _viewer.decode(body)
        if viewer.until <= self._fleet.clock():
            raise NotLetIn(f"Your session has ended. {_ASK}")
        if not await self.lasts(viewer) or self._key != key:
            raise NotLetIn(f"What let you in is withdrawn. {_ASK}")
        return viewer

    async def lasts(self, viewer: Viewer) -> bool:
        """Whether they may still look: in the room, with a token that is still known."""
        if viewer.until and viewer.until <= self._fleet.clock():
            return False
        if viewer.room:
            return await self._is_member(viewer.room, viewer.user)
        return not viewer.token or self._access.is_mark(viewer.token)

    async def withdraw(self) -> None:
        """No link and no session that was given out is good any more."""
        await self._new_key(another=True)
        self.withdrawals += 1

    async def _is_member(self, room: str, user: str) -> bool:
        """As of some minutes ago at most, or of the last time that the homeserver told."""
        now, (looked_at, known) = self._fleet.clock(), self._known.get((room, user), (0, True))
        if 0 <= now - looked_at < _LOOKED_MS:
            return known
        with suppress(RetryLater):
            known = await self._is_in(room, user)
        if len(self._known) >= _MOST_KNOWN:
            self._known.clear()
        self._known[room, user] = (now, known)
        return known

    async def _present_key(self) -> bytes | None:
        if self._key is None:
            kept = await self._fleet.store.anchor(_KEY)
            self._key = kept.encode() if kept else None
        return self._key

    async def _new_key(self, *, another: bool = False) -> bytes:
        """The one there is, unless it is to be `another`."""
        async with self._turn:
            key = None if another else await self._present_key()
            if key is None:
                await self._fleet.start()
                text = secrets.token_urlsafe(32)
                await self._fleet.store.append(Change(anchors=(Anchor(key=_KEY, value=text),)))
                self._key = key = text.encode()
            return key


def _sealed(prefix: str, content: msgspec.Struct, key: bytes) -> str:
    body = urlsafe_b64encode(msgspec.json.encode(content)).decode().rstrip("=")
    return f"{prefix}{body}.{_seal(prefix, body, key)}"


def _unsealed(prefix: str, text: str, key: bytes | None) -> bytes | None:
    """What was sealed; None where it was not by us, or for something else."""
    body, _, seal = text.removeprefix(prefix).partition(".")
    if key is None or not text.startswith(prefix) or not text.isascii():
        return None
    if not hmac.compare_digest(seal, _seal(prefix, body, key)):
        return None
    return urlsafe_b64decode(body + "=" * (-len(body) % 4))


def _seal(prefix: str, body: str, key: bytes) -> str:
    made = hmac.new(key, f"{prefix}{body}".encode(), hashlib.sha256).digest()
    return urlsafe_b64encode(made).decode().rstrip("=")
