"""Effects that no sender has been given yet: who would say the same again adds nothing."""

from __future__ import annotations

from collections.abc import Iterable
from threading import Lock

from fleetbot.store.records import OutboxEntry

_KNOWN = 10_000
_SAME_TIME_MS = 60_000  # what is older is replaced, as it has lost its turn and its patience

Subject = tuple[str, str | None]


class Untaken:
    """Shared by the writer's thread and those that hand effects to senders.

    An effect that names what it shows is sent with the state of then. So as long as nobody has
    taken it, the same effect once more is that one, and need not be written. Whoever hands effects
    out says so here before they are sent. The writer holds `lock` from its decision until what it
    relies on is durable: who takes an effect in that time sends what can be read after it.

    Known are those of this process's life only: others may have been sent before a crash.
    """

    def __init__(self) -> None:
        self.lock = Lock()
        self._known: dict[Subject, OutboxEntry] = {}

    def news(self, entries: Iterable[OutboxEntry]) -> list[OutboxEntry]:
        """Those that are to be written. The caller holds the lock."""
        return [entry for entry in entries if not entry.collapse or self._is_news(entry)]

    def _is_news(self, entry: OutboxEntry) -> bool:
        subject = (entry.destination, entry.collapse)
        known = self._known.get(subject)
        if known and _says_the_same(known, entry):
            return False
        self._known[subject] = entry
        if len(self._known) > _KNOWN:
            del self._known[next(iter(self._known))]
        return True

    def forget(self) -> None:
        """What was decided on was not committed: nothing is relied on. The caller holds the
        lock."""
        self._known.clear()

    def take(self, entries: Iterable[OutboxEntry]) -> None:
        """They are about to be handed to senders."""
        with self.lock:
            for entry in entries:
                self.let_go((entry.destination, entry.collapse), entry.id)

    def let_go(self, subject: Subject, id: str) -> None:
        """The effect may have been sent. The caller holds the lock."""
        if (known := self._known.get(subject)) and known.id == id:
            del self._known[subject]


def _says_the_same(known: OutboxEntry, entry: OutboxEntry) -> bool:
    return (
        known.payload == entry.payload
        and known.kind == entry.kind
        and known.due_at <= entry.due_at <= known.due_at + _SAME_TIME_MS
    )
