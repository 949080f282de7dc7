"""The outbox against the plainest description of it, over random sequences of what can happen."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import pytest

from fleetbot.store.interface import Store
from fleetbot.store.records import Change, Deferred, Delivered, OutboxEntry

DESTINATIONS = ("forgejo:a/b", "matrix:!one", "matrix:!two")
COLLAPSE = (None, None, "card", "status")


@dataclass
class Model:
    """Undelivered entries in the order of their coming, and until when a destination waits."""

    entries: list[OutboxEntry] = field(default_factory=list)
    held: dict[str, int] = field(default_factory=dict)
    failures: dict[str, int] = field(default_factory=dict)

    def put(self, entry: OutboxEntry) -> None:
        if entry.collapse is not None:
            place = (entry.destination, entry.collapse)
            self.entries = [e for e in self.entries if (e.destination, e.collapse) != place]
        self.entries.append(entry)

    def deliver(self, entry: OutboxEntry) -> None:
        self.entries = [e for e in self.entries if e.id != entry.id]
        self.held.pop(entry.destination, None)
        self.failures.pop(entry.destination, None)

    def defer(self, entry: OutboxEntry, due_at: int) -> None:
        self.held[entry.destination] = due_at
        self.failures[entry.destination] = self.failures.get(entry.destination, 0) + 1

    def heads(self) -> list[tuple[int, OutboxEntry]]:
        """The first entry of each destination, with when it may go."""
        first: dict[str, OutboxEntry] = {}
        for entry in self.entries:
            first.setdefault(entry.destination, entry)
        return [(max(e.due_at, self.held.get(d, 0)), e) for d, e in first.items()]

    def due(self, now: int) -> dict[str, int]:
        """Ids of what may go now, with the failures of their destinations."""
        return {e.id: self.failures.get(e.destination, 0) for at, e in self.heads() if at <= now}


@pytest.mark.parametrize("seed", range(6))
async def test_the_outbox_does_what_its_description_says(store: Store, seed: int) -> None:
    chance, model = random.Random(seed), Model()
    for now in range(120):
        known = list(model.entries)
        for place in range(chance.randrange(3)):
            entry = OutboxEntry(
                id=f"{now}.{place}",
                destination=chance.choice(DESTINATIONS),
                kind="notice",
                collapse=chance.choice(COLLAPSE),
                payload=b"",
                due_at=now + chance.choice((0, 0, 0, 3)),
            )
            model.put(entry)
            await store.append(Change(outbox=(entry,)))
        if known and chance.random() < 0.7:  # perhaps of one that has just been superseded
            entry = chance.choice(known)
            if chance.random() < 0.6:
                model.deliver(entry)
                await store.append(Change(delivered=(Delivered(id=entry.id, at=now),)))
            else:
                until = now + chance.randrange(6)
                model.defer(entry, until)
                await store.append(
                    Change(deferred=(Deferred(id=entry.id, due_at=until, error="429"),))
                )

        assert {d.entry.id: d.attempts for d in await store.due(now)} == model.due(now)
        assert await store.next_due() == min((at for at, _ in model.heads()), default=None)
