"""What Forgejo tells by webhook: kept first, acted on afterwards."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial
from typing import NamedTuple

import msgspec

from fleetbot.domain.model import same_name
from fleetbot.domain.patience import WITH_DELIVERY
from fleetbot.forge import errors as forge
from fleetbot.forge.client import ForgeClient
from fleetbot.forge.models import Comment, User
from fleetbot.forge.payloads import (
    ActionRunEvent,
    CommentEvent,
    Delivery,
    IssueEvent,
    MalformedDelivery,
    PullCommentEvent,
    PullRequestEvent,
    PushEvent,
    RepositoryEvent,
    parse_delivery,
)
from fleetbot.logs import about, log_of
from fleetbot.services.abreast import Piece, abreast
from fleetbot.services.fleet import Beside, Context, Fleet
from fleetbot.services.followups import Followups
from fleetbot.services.issues import Issues
from fleetbot.services.proofs import is_proof
from fleetbot.services.repositories import Repositories
from fleetbot.services.verification import Verifier
from fleetbot.services.webhooks import Webhooks
from fleetbot.store.interface import StoreUnavailable
from fleetbot.store.records import Arrival, Change, Handled, PutOff

log = log_of("fleetbot.intake")

_KIND = "webhook"
_LOOK = 500  # arrivals read at once
_AT_ONCE = 8

_Event = IssueEvent | PullRequestEvent | RepositoryEvent | CommentEvent | ActionRunEvent | PushEvent


class _Seen(NamedTuple):
    """A delivery that may have consequences."""

    arrival: Arrival
    event: _Event


async def _unheard(comment: Comment) -> None:
    return None


Dealt = Callable[[int, int, str, str, int], None]


class Intake:
    """`on_arrival` hears of every delivery that is new, `on_proof` of comments that may show who
    somebody is."""

    def __init__(
        self,
        fleet: Fleet,
        client: ForgeClient,
        verifier: Verifier,
        followups: Followups,
        issues: Issues,
        repositories: Repositories,
        webhooks: Webhooks,
        *,
        on_arrival: Callable[[], None] = lambda: None,
        on_proof: Callable[[Comment], Awaitable[None]] = _unheard,
    ) -> None:
        self._fleet = fleet
        self._client = client
        self._verifier = verifier
        self._followups = followups
        self._issues = issues
        self._repositories = repositories
        self._webhooks = webhooks
        self._on_proof = on_proof
        self._on_arrival = on_arrival
        self._slots = asyncio.Semaphore(_AT_ONCE)
        self._busy: set[str] = set()  # keys of deliveries that somebody acts on
        self._news = asyncio.Event()
        self._on_dealt: Dealt = lambda repo_id, issue, key, kind, at: None

    def listen(self, listener: Dealt) -> None:
        """Have `listener` hear of every delivery about an issue that was dealt with: the ids of the
        repository and the issue's number, its own key and kind, and when it came (epoch ms)."""
        self._on_dealt = listener

    def _tell(self, seen: _Seen) -> None:
        its = seen.arrival
        if isinstance(seen.event, IssueEvent):
            repo, issue = seen.event.repository.id, seen.event.issue.number
            self._on_dealt(repo, issue, its.key, its.meta, its.at)

    # -- webhooks come in

    async def receive(self, delivery: Delivery, body: bytes) -> bool:
        """Keep a delivery whose signature was checked; durable on return. False: known already.

        Of an event without consequences only the id is kept.
        """
        key = f"delivery:{delivery.id}"
        its = delivery.payload
        matters = isinstance(
            its, IssueEvent | PullRequestEvent | RepositoryEvent | PullCommentEvent | ActionRunEvent
        )
        if isinstance(its, CommentEvent) and not matters:
            matters = is_proof(its.comment) and its.action == "created"
        if isinstance(its, PushEvent):
            matters = self._followups.go_to(delivery.repo_id, its.branch)
        arrival = Arrival(
            key=key,
            kind=_KIND,
            at=self._fleet.clock(),
            body=body if matters else None,
            meta=delivery.event_type,
        )
        await self._fleet.start()  # Forgejo tells of it once: a store that failed is mended first
        new = await self._fleet.store.keep(arrival)
        self._webhooks.came(delivery.repo_id)
        if new:
            self._news.set()
            self._on_arrival()
        return new

    async def tick(self) -> None:
        """Act on what is due, until nothing is; what comes in meanwhile waits for nobody slow.

        What Forgejo cannot be asked about now is tried again later. Raises `StoreUnavailable` only.
        """
        await self._fleet.start()
        await abreast(self._take, self._news)

    async def _take(self) -> list[Piece]:
        pieces = []
        for seen in await self._batches():
            keys = tuple(one.arrival.key for one in seen)
            self._busy.update(keys)
            let_go = partial(self._busy.difference_update, keys)
            pieces.append(Piece(self._handle(seen), let_go))
        return pieces

    async def next_due(self) -> int | None:
        """When a delivery is to be tried (epoch ms; may be past), None if none waits."""
        return await self._fleet.store.next_arrival(_KIND)

    async def _batches(self) -> list[list[_Seen]]:
        """What is due and nobody acts on yet, together where one look serves all."""
        due = await self._fleet.store.arrivals_due(_KIND, self._fleet.clock(), _LOOK)
        batches: dict[tuple[object, ...], list[_Seen]] = {}
        for arrival in due:
            if arrival.key in self._busy:
                continue
            try:
                event = _event_of(arrival)
            except MalformedDelivery as error:
                log.warning(
                    "%s cannot be understood, and is left to reconciliation: %s", arrival.key, error
                )
                await self._settle([arrival], str(error))
            else:
                batches.setdefault(_matter(event), []).append(_Seen(arrival, event))
        return list(batches.values())

    async def _handle(self, seen: Sequence[_Seen]) -> None:
        """One look for all deliveries about an issue: what counts is what Forgejo shows now."""
        repo = seen[-1].event.repository.full_name
        with about(delivery=seen[-1].arrival.key.removeprefix("delivery:"), repository=repo):
            await self._handle_together(seen)

    async def _handle_together(self, seen: Sequence[_Seen]) -> None:
        arrivals = [one.arrival for one in seen]
        try:
            async with self._slots:
                await self._act_on(seen)
        except StoreUnavailable:
            raise
        except forge.ForgeError as error:
            await self._put_off(arrivals, error)
        except Exception as error:
            # A bug must not come back for ever; reconciliation looks at the issue again.
            log.exception("%s could not be dealt with", arrivals[-1].key)
            await self._settle(arrivals, type(error).__name__)
        else:
            await self._settle(arrivals)
            for one in seen:
                self._tell(one)

    async def _act_on(self, seen: Sequence[_Seen]) -> None:
        last = seen[-1]
        if not await self._matters(seen):
            return
        changed = isinstance(last.event, RepositoryEvent)
        repo = await self._repositories.heard(
            [one.event.repository for one in seen], changed=changed
        )
        sender = _sender(last.event)
        actor = f"forgejo:{sender.login if sender else 'somebody'}"
        context = Context(actor=actor, cause=last.arrival.key)
        if repo and (number := _freed_by(seen)):
            await self._issues.look_behind(repo, number, context)
        match last.event:
            case IssueEvent(issue=issue) if repo:
                beside = Beside(handled=tuple(Handled(key=one.arrival.key) for one in seen))
                await self._issues.look(repo.id, issue.number, context, beside)
            case PullRequestEvent(pull_request=pull) if repo:
                self._verifier.poke(repo.name, pull.number)
                if not self._followups.poke(repo.id, pull.number, last.arrival.key):
                    await self._followups.take_up(repo, pull, last.arrival.key)
                if pull.merged:
                    self._followups.poke_all(repo.id, last.arrival.key)
            case PullCommentEvent(pull_request=pull, comment=comment) if repo:
                self._followups.poke(repo.id, pull.number, last.arrival.key)
                if is_proof(comment):
                    await self._on_proof(comment)
            case ActionRunEvent() if repo:
                self._followups.poke_all(repo.id, last.arrival.key)
            case PushEvent() as push if repo:
                self._followups.poke_all(repo.id, last.arrival.key, base=push.branch)
            case CommentEvent(comment=comment) if repo:
                await self._on_proof(comment)

    async def _matters(self, seen: Sequence[_Seen]) -> bool:
        """Whether any of it is not our own doing, or others may wait for it."""
        if not isinstance(seen[-1].event, IssueEvent | PullCommentEvent):
            return True
        if _freed_by(seen):
            return True
        bot = await self._client.login()
        senders = (_sender(one.event) for one in seen)
        return any(sender is None or not same_name(sender.login, bot) for sender in senders)

    # -- what becomes of deliveries

    async def _put_off(self, arrivals: Sequence[Arrival], error: forge.ForgeError) -> None:
        """Until later, or for good: reconciliation comes back to what Forgejo does not show now."""
        given_up = [one for one in arrivals if _is_hopeless(one, error)]
        waits = [one for one in arrivals if not _is_hopeless(one, error)]
        if given_up:
            log.warning("%s: left to reconciliation: %s", _named(given_up), error)
            await self._settle(given_up, str(error))
        if waits:
            level = logging.WARNING if min(one.tries for one in waits) == 0 else logging.DEBUG
            log.log(level, "%s waits for Forgejo: %s", _named(waits), error)
            later = tuple(self._later(arrival, error) for arrival in waits)
            await self._fleet.store.append(Change(put_off=later))

    def _later(self, arrival: Arrival, error: forge.ForgeError) -> PutOff:
        wait = WITH_DELIVERY.wait(arrival.tries, arrival.key)
        if isinstance(error, forge.ForgeUnavailable) and error.retry_after is not None:
            wait = max(wait, min(int(error.retry_after * 1000), WITH_DELIVERY.cap_ms))
        due_at = self._fleet.clock() + wait
        return PutOff(key=arrival.key, due_at=due_at, tries=arrival.tries + 1)

    async def _settle(self, arrivals: Iterable[Arrival], error: str = "") -> None:
        answer = msgspec.json.encode({"error": error}) if error else None
        handled = tuple(Handled(key=arrival.key, answer=answer) for arrival in arrivals)
        if handled:
            await self._fleet.store.append(Change(handled=handled))


def _named(arrivals: Sequence[Arrival]) -> str:
    """`delivery:a and 3 more`."""
    more = f" and {len(arrivals) - 1} more" if len(arrivals) > 1 else ""
    return f"{arrivals[0].key}{more}"


def _is_hopeless(arrival: Arrival, error: forge.ForgeError) -> bool:
    """The repository is not shown to us, or it has been tried for long enough."""
    unseen = isinstance(error, forge.ForgeNotFound | forge.ForgeForbidden)
    return unseen or WITH_DELIVERY.is_over(arrival.tries)


def _sender(event: _Event) -> User | None:
    return None if isinstance(event, ActionRunEvent) else event.sender


def _matter(event: _Event) -> tuple[object, ...]:
    """What it is about."""
    repo = event.repository.id or event.repository.full_name.lower()
    match event:
        case IssueEvent(issue=issue):
            return repo, "issue", issue.number
        case PullRequestEvent(pull_request=pull):
            return repo, "pull", pull.number
        case CommentEvent(comment=comment):
            return repo, "comment", comment.id
        case ActionRunEvent():
            return repo, "actions"
        case PushEvent(ref=ref):
            return repo, "push", ref
        case _:
            return repo, "repository"


def _freed_by(seen: Sequence[_Seen]) -> int:
    """The issue or pull request that was closed or opened again, which frees what depends on it, or
    has it wait again; 0 where that did not happen."""
    for event in (one.event for one in seen):
        match event:
            case IssueEvent(action="closed" | "reopened", issue=its):
                return its.number
            case PullRequestEvent(action="closed" | "reopened", pull_request=pull):
                return pull.number
    return 0


def _event_of(arrival: Arrival) -> _Event:
    """The event of a kept delivery. Raises `MalformedDelivery`."""
    headers = {
        "X-Forgejo-Delivery": arrival.key.removeprefix("delivery:"),
        "X-Forgejo-Event-Type": arrival.meta,
    }
    event = parse_delivery(headers, arrival.body or b"").payload
    if not isinstance(event, _Event):
        raise MalformedDelivery("X-Forgejo-Event-Type", "is none that was kept to be acted on")
    return event
