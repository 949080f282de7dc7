"""What has happened since the start: counted as it happens."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from fleetbot.domain.events import (
    AGENT_EVENTS,
    FLEET_EVENTS,
    REPO_EVENTS,
    TASK_EVENTS,
    AnyEvent,
    ReceiptRefuted,
    ReceiptUnknown,
    ReceiptVerified,
    Recorded,
    TaskRequeued,
    event_type,
)
from fleetbot.domain.model import ReceiptCheck
from fleetbot.domain.pulls import RoundKind
from fleetbot.web.metrics import definitions as its
from fleetbot.web.metrics.scrape import Scrape
from fleetbot.web.problems import Code
from fleetbot.web.webhooks import WEBHOOK_PATH

_TYPES = [
    event_type(event)
    for events in (TASK_EVENTS, AGENT_EVENTS, FLEET_EVENTS, REPO_EVENTS)
    for event in events
]
_VERDICTS = {ReceiptVerified: "verified", ReceiptRefuted: "refuted", ReceiptUnknown: "unknown"}
_TAKEN = ("accepted", "known")


class Counts:
    def __init__(self) -> None:
        self._requests: Counter[tuple[str, str, int]] = Counter()
        self._deliveries: Counter[str] = Counter()
        self._events: Counter[str] = Counter()
        self._verdicts: Counter[str] = Counter()
        self._checks: Counter[tuple[str, str]] = Counter()
        self._rounds: Counter[str] = Counter()

    def request(self, method: str, path: str, status: int, code: str = "") -> None:
        """One was answered; `code` says with what problem, if with one."""
        self._requests[method, path, status] += 1
        if code and path == WEBHOOK_PATH:
            self._deliveries[code] += 1

    def delivery(self, known: bool) -> None:
        self._deliveries["known" if known else "accepted"] += 1

    def lines(self, lines: Sequence[Recorded]) -> None:
        for line in lines:
            self._events[event_type(line.event)] += 1
            self._look_closer(line.event)

    def _look_closer(self, event: AnyEvent) -> None:
        match event:
            case TaskRequeued(brief=brief) if brief:
                self._rounds.update(str(kind) for kind in brief.kinds)
            case ReceiptRefuted(checks=checks) | ReceiptUnknown(checks=checks):
                verdict = _VERDICTS[type(event)]
                self._verdicts[verdict] += 1
                self._checks.update((verdict, str(check)) for check in checks)
            case ReceiptVerified():
                self._verdicts[_VERDICTS[ReceiptVerified]] += 1

    def tell(self, scrape: Scrape) -> None:
        """Also what has not happened: a counter that only begins with its first has no increase."""
        for (method, path, status), count in self._requests.items():
            scrape.set(its.REQUESTS, count, method, path, str(status))
        scrape.fill(its.DELIVERIES, self._deliveries, (*_TAKEN, *Code))
        scrape.fill(its.EVENTS, self._events, _TYPES)
        scrape.fill(its.VERDICTS, self._verdicts, _VERDICTS.values())
        scrape.fill(its.ROUNDS, self._rounds, RoundKind)
        for verdict in ("refuted", "unknown"):
            for check in ReceiptCheck:
                scrape.set(its.CHECKS, self._checks[verdict, check], verdict, check)
