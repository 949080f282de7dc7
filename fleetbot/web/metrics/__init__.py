"""Numbers for Prometheus: gathered for each scrape, of which no request and no claim waits."""

from __future__ import annotations

import asyncio
import shutil
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from fleetbot.domain.model import OPEN_STATES, AgentStatus
from fleetbot.domain.waits import SIGNS, WaitReason
from fleetbot.fence import Leads, always
from fleetbot.loops import LoopHealth
from fleetbot.services.delays import Delays
from fleetbot.services.fleet import Fleet
from fleetbot.services.probe import ForgeProbe
from fleetbot.services.sending import Sending
from fleetbot.services.webhooks import Webhooks
from fleetbot.store.interface import StoreUnavailable
from fleetbot.web.metrics import definitions as its
from fleetbot.web.metrics.counts import Counts
from fleetbot.web.metrics.history import History
from fleetbot.web.metrics.scrape import Scrape
from fleetbot.web.metrics.survey import Found, Survey, first_by_name

SENDERS = ("forgejo", "matrix", "cards", "urgent")


@dataclass(frozen=True, kw_only=True)
class Sources:
    """`claims_waiting`, `loops`, `sending`: how it is at this moment; `synced_at`: when the
    homeserver last told us anything (epoch ms); `database`: the journal's file, if it is one."""

    fleet: Fleet
    probe: ForgeProbe
    webhooks: Webhooks
    version: str
    claims_waiting: Callable[[], int]
    loops: Callable[[], Iterable[LoopHealth]]
    sending: Callable[[], Sending] = Sending
    synced_at: Callable[[], int | None] = lambda: None
    delays: Delays = field(default_factory=Delays)
    database: Path | None = None
    leads: Leads = always


class Metrics:
    def __init__(self, of: Sources) -> None:
        self._of = of
        self.counts = Counts()
        self._survey = Survey(of.fleet)
        self._turn = asyncio.Lock()
        self._history = History(of.fleet.store, of.fleet.clock)
        of.fleet.listen(self.counts.lines)

    async def expose(self) -> bytes:
        """Everything in Prometheus' text format; of one that leads no more, only that."""
        if not self._of.leads():
            return standing_by(self._of.version)
        async with self._turn:
            scrape = await self._gathered()
        return await asyncio.to_thread(scrape.text)

    async def _gathered(self) -> Scrape:
        scrape = Scrape()
        _tell_who(scrape, self._of.version, leads=True)
        self._tell_tasks(scrape, await self._survey.look())
        self._tell_loops(scrape)
        self._tell_outside(scrape)
        await self._tell_journal(scrape)
        self.counts.tell(scrape)
        try:
            await self._tell_stored(scrape)
        except StoreUnavailable:  # what memory knows is the more worth knowing
            scrape.set(its.UNWRITABLE, 1)
        return scrape

    async def _tell_stored(self, scrape: Scrape) -> None:
        await self._history.tell(scrape)
        await self._tell_outbox(scrape)
        scrape.set(its.SIZE, await self._of.fleet.store.size())

    def _tell_tasks(self, scrape: Scrape, found: Found) -> None:
        state, now = self._of.fleet.state, self._of.fleet.clock()
        scrape.fill(its.TASKS, state.by_state, sorted(OPEN_STATES))
        scrape.fill(its.WAITING, found.waits, WaitReason)
        stuck = Counter[str]()
        for (reason, _), tasks in state.stuck.items():
            stuck[reason] += len(tasks)
        scrape.fill(its.STUCK, stuck, WaitReason)
        scrape.fill(its.FLAGS, found.flags, sorted(SIGNS))
        scrape.fill(its.AGENTS, Counter(one.status for one in state.agents.values()), AgentStatus)
        scrape.set(its.CLAIMS, self._of.claims_waiting())
        _tell_queue(scrape, found, now)
        _tell_agents(scrape, found, now)
        scrape.set(its.TODAY, state.spent_today(now).cost_usd or 0)
        scrape.set(its.DAY_BUDGET, self._of.fleet.policy.day_budget.usd)
        scrape.set(its.LOOK, found.took)

    def _tell_loops(self, scrape: Scrape) -> None:
        for loop in self._of.loops():
            scrape.set(its.IDLE, loop.idle, loop.name)
            scrape.set(its.LATE, loop.late, loop.name)

    def _tell_outside(self, scrape: Scrape) -> None:
        now, webhooks, sending = self._of.fleet.clock(), self._of.webhooks, self._of.sending()
        since, synced_at = self._of.probe.since, self._of.synced_at()
        scrape.set(its.AWAY, _age(since, now) if since else 0)
        scrape.set(its.MISSED, sum(heard.missed for heard in webhooks.silent().values()))
        scrape.set(its.DELIVERED_AT, (webhooks.last(lambda repo: True) or 0) / 1000)
        for urgency, count in sending.waiting.items():
            scrape.set(its.CHAT, count, urgency)
        scrape.set(its.CHAT_LAG, sending.lag_ms / 1000)
        scrape.set(its.CHAT_REFUSALS, sending.refusals)
        scrape.spread(its.CHAT_HEARD, self._of.delays.heard)
        if synced_at is not None:
            scrape.set(its.SYNC_AGE, _age(synced_at, now))

    async def _tell_outbox(self, scrape: Scrape) -> None:
        """By sender and kind: there may be as many destinations as issues."""
        now, store = self._of.fleet.clock(), self._of.fleet.store
        waiting = await store.backlog()
        for sender in {*SENDERS} - {backlog.sender for backlog in waiting}:
            scrape.set(its.OUTBOX, 0, sender, "")
            scrape.set(its.OUTBOX_AGE, 0, sender, "")
        for one in waiting:
            scrape.set(its.OUTBOX, one.pending, one.sender, one.kind)
            scrape.set(its.OUTBOX_AGE, _age(one.oldest, now), one.sender, one.kind)
        graveyard = await store.graveyard()
        scrape.set(its.DEAD, graveyard.letters)
        scrape.set(its.DEAD_AGE, 0 if graveyard.oldest is None else _age(graveyard.oldest, now))
        for sender, spread in self._of.delays.sent.items():
            scrape.spread(its.SENT, spread, sender)

    async def _tell_journal(self, scrape: Scrape) -> None:
        store, database = self._of.fleet.store, self._of.database
        scrape.set(its.UNWRITABLE, bool(self._of.fleet.trouble))
        scrape.set(its.LINES, self._of.fleet.state.seq)
        scrape.spread(its.COMMITS, store.commit_times)
        if database is not None:
            usage = await asyncio.to_thread(shutil.disk_usage, database.parent)
            scrape.set(its.FREE, usage.free)


def standing_by(version: str) -> bytes:
    """What there is to say of one that does not lead."""
    scrape = Scrape()
    _tell_who(scrape, version, leads=False)
    return scrape.text()


def _tell_who(scrape: Scrape, version: str, *, leads: bool) -> None:
    scrape.set(its.LEADER, leads)
    scrape.set(its.BUILD, 1, version)


def _tell_queue(scrape: Scrape, found: Found, now: int) -> None:
    scrape.set(its.READY, found.ready)
    scrape.set(its.READY_AGE, 0 if found.oldest is None else _age(found.oldest, now))
    scrape.set(its.LANES, found.all_lanes)
    for lane in found.lanes:
        scrape.set(its.LANE, lane.tasks, lane.repository, lane.wants)
        scrape.set(its.LANE_AGE, _age(lane.oldest, now), lane.repository, lane.wants)


def _tell_agents(scrape: Scrape, found: Found, now: int) -> None:
    scrape.set(its.SLOTS, found.busy, "busy")
    scrape.set(its.SLOTS, max(0, found.slots - found.busy), "free")
    for agent, seen in first_by_name(found.seen):
        scrape.set(its.HEARD, _age(seen, now), agent)
    scrape.set(its.HEARD_LAST, _age(min(found.seen.values(), default=now), now))


def _age(at: int, now: int) -> float:
    return max(0, now - at) / 1000
