"""The outbox against the plainest description of it, over random sequences of what can happen."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import pytest
from msgspec.structs import replace

from fleetbot.store.interface import Store
from fleetbot.store.records import Acknowledged, Change, Deferred, GivenUp, OutboxEntry

DESTINATIONS = ("forgejo:a/b", "matrix:!one", "matrix:!two")
ROOM = {"forgejo": 100, "matrix": 100}
COLLAPSE = (None, None, "card", "status")


@dataclass
class Queue:
    held: int = 0
    failures: int = 0


@dataclass
class Model:
    """Undelivered entries in the order of their coming, the dead ones, and what each queue is at.

    A queue is a destination, or the id of an entry that was set aside.
    """

    entries: dict[str, OutboxEntry] = field(default_factory=dict)
    order: dict[str, int] = field(default_factory=dict)
    aside: set[str] = field(default_factory=set)
    dead: dict[str, OutboxEntry] = field(default_factory=dict)
    queues: dict[str, Queue] = field(default_factory=dict)
    taken: set[str] = field(default_factory=set)

    def queue_of(self, entry: OutboxEntry) -> str:
        return entry.id if entry.id in self.aside else entry.destination

    def put(self, entry: OutboxEntry) -> None:
        place = (entry.destination, entry.collapse)
        if any(self.says_the_same(old, entry) for old in self.entries.values()):
            return
        for known in (self.entries, self.dead):
            for id, old in list(known.items()):
                if entry.collapse is not None and (old.destination, old.collapse) == place:
                    del known[id]
        self.entries[entry.id] = entry
        self.order[entry.id] = len(self.order)

    def says_the_same(self, old: OutboxEntry, entry: OutboxEntry) -> bool:
        """Nobody has taken the old one yet, and it goes out no later."""
        same = replace(old, id=entry.id, due_at=entry.due_at) == entry
        is_waiting = entry.collapse is not None and old.id not in self.taken
        return is_waiting and same and old.due_at <= entry.due_at

    def deliver(self, entry: OutboxEntry) -> None:
        self.taken.add(entry.id)
        self.entries.pop(entry.id, None)
        self.dead.pop(entry.id, None)
        self.queues.pop(self.queue_of(entry), None)

    def defer(self, entry: OutboxEntry, until: int, *, aside: bool) -> None:
        self.taken.add(entry.id)
        if aside and entry.id in self.entries and entry.id not in self.aside:
            self.queues.pop(entry.destination, None)
            self.aside.add(entry.id)
        queue = self.queues.setdefault(self.queue_of(entry), Queue())
        queue.held, queue.failures = until, queue.failures + 1

    def give_up(self, entry: OutboxEntry) -> None:
        self.taken.add(entry.id)
        if entry.id in self.entries:
            self.dead[entry.id] = self.entries.pop(entry.id)
            self.queues.pop(self.queue_of(entry), None)

    def revive(self, now: int) -> None:
        for id, entry in self.dead.items():
            self.aside.discard(id)
            self.queues.pop(entry.destination, None)
            self.entries[id] = replace(entry, due_at=now)
        self.dead.clear()

    def heads(self) -> list[tuple[int, OutboxEntry]]:
        """The first entry of each queue, with when it may go."""
        first: dict[str, OutboxEntry] = {}
        for entry in sorted(self.entries.values(), key=lambda entry: self.order[entry.id]):
            first.setdefault(self.queue_of(entry), entry)
        self.queues = {name: queue for name, queue in self.queues.items() if name in first}
        return [(max(e.due_at, self.queues.get(q, Queue()).held), e) for q, e in first.items()]

    def due(self, now: int) -> dict[str, int]:
        """Ids of what may go now, with the failures of their queues."""
        return {
            entry.id: self.queues.get(self.queue_of(entry), Queue()).failures
            for at, entry in self.heads()
            if at <= now
        }


async def fail(store: Store, model: Model, entry: OutboxEntry, now: int, until: int) -> None:
    aside = until % 2 == 0
    model.defer(entry, until, aside=aside)
    deferred = Deferred(id=entry.id, at=now, due_at=until, error="500", aside=aside)
    await store.append(Change(deferred=(deferred,)))


@pytest.mark.parametrize(
    ("backend", "seed"),
    [*(("sqlite", seed) for seed in range(12)), *(("postgres", seed) for seed in range(3))],
    indirect=["backend"],
)
async def test_the_outbox_does_what_its_description_says(store: Store, seed: int) -> None:
    chance, model = random.Random(seed), Model()
    for now in range(120):
        known = list(model.entries.values())
        for place in range(chance.randrange(3)):
            entry = OutboxEntry(
                id=f"{now}.{place}",
                destination=chance.choice(DESTINATIONS),
                kind="notice",
                collapse=chance.choice(COLLAPSE),
                payload=chance.choice((b"", b"", b"another")),
                due_at=now + chance.choice((0, 0, 0, 3)),
            )
            model.put(entry)
            await store.append(Change(outbox=(entry,)))
        if known and chance.random() < 0.7:  # perhaps of one that has just been superseded
            entry, what = chance.choice(known), chance.random()
            if what < 0.4:
                model.deliver(entry)
                await store.append(Change(acknowledged=(Acknowledged(id=entry.id, at=now),)))
            elif what < 0.8:
                await fail(store, model, entry, now, now + chance.randrange(6))
            else:
                model.give_up(entry)
                given_up = GivenUp(id=entry.id, at=now, error="gone")
                await store.append(Change(given_up=(given_up,)))
        if chance.random() < 0.05:
            model.revive(now)
            await store.revive(None, now)

        due = await store.due(now, ROOM)
        assert {d.entry.id: d.attempts for d in due} == model.due(now)
        model.taken |= {d.entry.id for d in due}
        times = [at for sender in ROOM if (at := await store.next_due(sender)) is not None]
        assert min(times, default=None) == min((at for at, _ in model.heads()), default=None)
        assert (await store.graveyard()).letters == len(model.dead)
