"""What people wish and somebody has still to confirm: kept until a yes or a no, or for too long."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from fleetbot.domain.model import TaskId
from fleetbot.services.fleet import Fleet
from fleetbot.store.records import Arrival, Change, Handled

PATIENCE_MS = 10 * 60_000
_KIND = "draft"


class Fate(StrEnum):
    DONE = "done"
    DROPPED = "dropped"
    EXPIRED = "expired"


class NewIssue(msgspec.Struct, frozen=True, tag="new"):
    """An issue to be opened for the fleet; `by`: the Matrix id of who asks for it."""

    repo: str
    title: str
    body: str
    by: str


class Again(msgspec.Struct, frozen=True, tag="retry"):
    """A completed task is to be begun anew."""

    task: TaskId


What = NewIssue | Again


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """`id`: the message that wished it, `expires_at` in epoch ms.

    `what` is None once it has its `fate`: `actor` is then whose word that was, `task` what it has
    led to.
    """

    id: str
    expires_at: int
    what: What | None = None
    fate: Fate | None = None
    actor: str = ""
    task: TaskId | None = None


class _Settled(msgspec.Struct, frozen=True):
    fate: Fate
    actor: str = ""
    task: TaskId | None = None


_what: msgspec.json.Decoder[What] = msgspec.json.Decoder(What)
_settled = msgspec.json.Decoder(_Settled)


class Wishes:
    """All of it raises `StoreUnavailable`."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet

    async def tick(self) -> None:
        """Let go of what nobody has confirmed in time."""
        await self._fleet.start()
        await self._expire(self._fleet.clock())

    async def keep(self, id: str, what: What) -> Wish:
        """Remember a wish; of one that is known already, what became of it."""
        now = self._fleet.clock()
        await self._fleet.start()
        await self._expire(now)
        arrival = Arrival(
            key=_key(id),
            kind=_KIND,
            at=now,
            body=msgspec.json.encode(what),
            due_at=now + PATIENCE_MS,
        )
        if await self._fleet.store.keep(arrival):
            return _wish(arrival)
        return await self.find(id) or _wish(arrival)

    async def find(self, id: str) -> Wish | None:
        """The wish of a message; None where nobody knows of it any more."""
        arrival = await self._fleet.store.arrival(_key(id))
        if arrival is None:
            return None
        wish = _wish(arrival)
        if wish.what and wish.expires_at <= self._fleet.clock():
            await self._expire(self._fleet.clock())
            return Wish(id=id, expires_at=wish.expires_at, fate=Fate.EXPIRED)
        return wish

    async def settle(self, handled: Handled) -> None:
        await self._fleet.store.append(Change(handled=(handled,)))

    async def _expire(self, now: int) -> None:
        late = await self._fleet.store.arrivals_due(_KIND, now)
        expired = msgspec.json.encode(_Settled(Fate.EXPIRED))
        if late:
            handled = tuple(Handled(key=arrival.key, answer=expired) for arrival in late)
            await self._fleet.store.append(Change(handled=handled))


def settled(id: str, fate: Fate, actor: str, task: TaskId | None = None) -> Handled:
    """What is to be recorded of a wish that has its fate."""
    return Handled(key=_key(id), answer=msgspec.json.encode(_Settled(fate, actor, task)))


def _key(id: str) -> str:
    return f"{_KIND}:{id}"


def _wish(arrival: Arrival) -> Wish:
    id = arrival.key.removeprefix(_key(""))
    if arrival.body is not None:
        return Wish(id=id, expires_at=arrival.due_at, what=_what.decode(arrival.body))
    its = _settled.decode(arrival.answer or b"{}")
    return Wish(id=id, expires_at=arrival.due_at, fate=its.fate, actor=its.actor, task=its.task)
