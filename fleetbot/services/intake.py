"""Issues become tasks here, whatever brings them up: a webhook, reconciliation, a person."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import NamedTuple

import msgspec

from fleetbot.domain.patience import Patience
from fleetbot.forge import errors as forge
from fleetbot.forge.client import ForgeClient
from fleetbot.forge.models import User
from fleetbot.forge.payloads import (
    Delivery,
    IssueEvent,
    MalformedDelivery,
    PullRequestEvent,
    parse_delivery,
)
from fleetbot.services.fleet import Beside, Context, Fleet
from fleetbot.services.issues import Issues, Subject
from fleetbot.services.verification import Verifier
from fleetbot.store.interface import StoreUnavailable
from fleetbot.store.records import Arrival, Change, Handled

log = logging.getLogger("fleetbot.intake")

_KIND = "webhook"
_LOOK = 1000  # arrivals read at once; those that wait for Forgejo must not hide the others
_AT_ONCE = 4
_PATIENCE = Patience(2_000, 300_000)


class _Seen(NamedTuple):
    """A delivery about an issue."""

    key: str
    event: IssueEvent


class _Hold(NamedTuple):
    attempts: int
    until: int


class Intake:
    """What Forgejo tells by webhook: kept first, acted on afterwards.

    `on_arrival` hears of deliveries.
    """

    def __init__(
        self,
        fleet: Fleet,
        client: ForgeClient,
        verifier: Verifier,
        issues: Issues,
        *,
        on_arrival: Callable[[], None] = lambda: None,
    ) -> None:
        self._fleet = fleet
        self._client = client
        self._verifier = verifier
        self._issues = issues
        self._on_arrival = on_arrival
        self._slots = asyncio.Semaphore(_AT_ONCE)
        self._held: dict[str, _Hold] = {}

    # -- webhooks come in

    async def receive(self, delivery: Delivery, body: bytes) -> bool:
        """Keep a delivery whose signature was checked; durable on return. False: known already.

        Of an event without consequences only the id is kept.
        """
        key = f"delivery:{delivery.id}"
        matters = isinstance(delivery.payload, IssueEvent | PullRequestEvent)
        arrival = Arrival(
            key=key,
            kind=_KIND,
            at=self._fleet.clock(),
            body=body if matters else None,
            meta=delivery.event_type,
        )
        await self._fleet.start()  # Forgejo tells of it once: a store that failed is mended first
        new = await self._fleet.store.keep(arrival)
        if new:
            self._on_arrival()
        return new

    async def tick(self) -> None:
        """Act on what came in. What Forgejo cannot be asked about now stays, and is tried again;
        raises `StoreUnavailable` only."""
        await self._fleet.start()
        now = self._fleet.clock()
        arrivals = await self._fleet.store.arrivals_due(_KIND, now, _LOOK)
        self._held = {a.key: self._held[a.key] for a in arrivals if a.key in self._held}
        batches: dict[Subject, list[_Seen]] = {}
        for arrival in arrivals:
            hold = self._held.get(arrival.key)
            if hold is None or hold.until <= now:
                await self._sort(arrival, batches)
        looks = [self._handle(subject, seen) for subject, seen in batches.items()]
        for outcome in await asyncio.gather(*looks, return_exceptions=True):
            if isinstance(outcome, BaseException):
                raise outcome

    def next_due(self) -> int | None:
        """When a delivery that waits for Forgejo is tried again (epoch ms), None if none does."""
        return min((hold.until for hold in self._held.values()), default=None)

    async def _sort(self, arrival: Arrival, batches: dict[Subject, list[_Seen]]) -> None:
        """Put a delivery into the batch of its issue; one without effect is done with at once."""
        try:
            event = _event_of(arrival)
            if isinstance(event, IssueEvent):
                subject = await self._subject(event)
                if subject is not None:
                    batches.setdefault(subject, []).append(_Seen(arrival.key, event))
                    return
            elif isinstance(event, PullRequestEvent):
                self._verifier.poke(event.repository.full_name, event.pull_request.number)
        except MalformedDelivery as error:
            log.warning("%s cannot be understood: %s", arrival.key, error)
            await self._settle([arrival.key], str(error))
        except forge.ForgeError as error:
            self._hold([arrival.key], error)
        else:
            await self._settle([arrival.key])

    async def _subject(self, event: IssueEvent) -> Subject | None:
        """The issue to look at; None for another repository, and for our own doing."""
        repo = self._issues.listed(event.repository.full_name)
        if repo is None or await self._is_bot(event.sender):
            return None
        return Subject(repo, event.issue.number)

    async def _is_bot(self, user: User | None) -> bool:
        return user is not None and user.login.lower() == (await self._client.login()).lower()

    async def _handle(self, subject: Subject, seen: Sequence[_Seen]) -> None:
        """One look for all deliveries about an issue: what counts is what Forgejo shows now."""
        keys = [key for key, _ in seen]
        last = seen[-1]
        context = Context(
            actor=f"forgejo:{last.event.sender.login if last.event.sender else 'somebody'}",
            cause=last.key,
        )
        reopened = any(event.action == "reopened" for _, event in seen)
        beside = Beside(handled=tuple(Handled(key=key) for key in keys))
        try:
            async with self._slots:
                await self._issues.look(*subject, context, beside, reopened=reopened)
        except StoreUnavailable:
            raise
        except forge.ForgeError as error:
            self._hold(keys, error)
        except Exception as error:
            # A bug must not come back for ever; reconciliation looks at the issue again.
            log.exception("%s#%d could not be dealt with", *subject)
            await self._settle(keys, type(error).__name__)
        else:
            await self._settle(keys)

    def _hold(self, keys: Sequence[str], error: forge.ForgeError) -> None:
        for key in keys:
            attempts = self._held[key].attempts + 1 if key in self._held else 0
            wait = _PATIENCE.wait(attempts, key)
            if isinstance(error, forge.ForgeUnavailable) and error.retry_after is not None:
                wait = max(wait, int(error.retry_after * 1000))
            self._held[key] = _Hold(attempts, self._fleet.clock() + wait)
            level = logging.WARNING if attempts == 0 else logging.DEBUG
            log.log(level, "%s waits %.1f s: %s", key, wait / 1000, error)

    async def _settle(self, keys: Sequence[str], error: str = "") -> None:
        for key in keys:
            self._held.pop(key, None)
        answer = msgspec.json.encode({"error": error}) if error else None
        handled = tuple(Handled(key=key, answer=answer) for key in keys)
        if handled:
            await self._fleet.store.append(Change(handled=handled))


def _event_of(arrival: Arrival) -> object:
    """The event of a kept delivery. Raises `MalformedDelivery`."""
    headers = {
        "X-Forgejo-Delivery": arrival.key.removeprefix("delivery:"),
        "X-Forgejo-Event-Type": arrival.meta,
    }
    return parse_delivery(headers, arrival.body or b"").payload
