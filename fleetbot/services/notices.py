"""Notices to the rooms that follow from no event of the journal."""

from __future__ import annotations

from fleetbot.domain import effects as fx
from fleetbot.services.entries import entry_of
from fleetbot.services.fleet import Fleet
from fleetbot.store.records import Anchor, Change


async def tell(fleet: Fleet, notice: fx.FleetNotice, remembered: Anchor) -> None:
    """Have all rooms hear of it; that they were told is remembered with it.

    A notice that waits is replaced by one of the same kind. Raises `StoreUnavailable`.
    """
    now = fleet.clock()
    entries = tuple(
        entry_of(notice, room, id=f"{notice.notice}/{now}/{room}", at=now)
        for room in fleet.route(notice)
    )
    await fleet.post(Change(outbox=entries, anchors=(remembered,)))


async def tell_trouble(
    fleet: Fleet, key: str, trouble: fx.FleetNotice | None, over: fx.NoticeKind, after_ms: int
) -> None:
    """Have the rooms hear of a trouble once it has lasted, once, and of its end as `over`.

    `trouble` is None where there is none now. That it was told is remembered under `key`, by when
    it began. Raises `StoreUnavailable`.
    """
    told = await fleet.store.anchor(key)
    if trouble and not told and fleet.clock() - trouble.since >= after_ms:
        await tell(fleet, trouble, Anchor(key=key, value=str(trouble.since)))
    elif told and not trouble:
        notice = fx.FleetNotice(notice=over, since=int(told))
        await tell(fleet, notice, Anchor(key=key, value=""))
