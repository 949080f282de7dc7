"""Issues become tasks here, whatever brings them up: a webhook, reconciliation, a person."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple
from weakref import WeakValueDictionary

import msgspec

from fleetbot.domain.commands import CancelTask, Command, CreateTask, EditTask, RetryTask
from fleetbot.domain.errors import Conflict, Invalid, NotFound
from fleetbot.domain.events import ReceiptRefuted, Recorded
from fleetbot.domain.model import OPEN_STATES, Task, TaskId, TaskState, Verdict
from fleetbot.domain.reasons import ReasonCode
from fleetbot.forge import errors as forge
from fleetbot.forge.client import ForgeClient
from fleetbot.forge.models import Issue, User
from fleetbot.forge.payloads import (
    Delivery,
    IssueEvent,
    MalformedDelivery,
    PullRequestEvent,
    parse_delivery,
)
from fleetbot.services.delivery import backoff
from fleetbot.services.fleet import Context, Fleet
from fleetbot.services.labels import LabelMaps, traits_of, trigger_label, wants_fleet
from fleetbot.services.verification import Verifier
from fleetbot.store.journal import Arrival, Change, Handled, StoreUnavailable

log = logging.getLogger("fleetbot.intake")

_KIND = "webhook"
_LOOK = 1000  # arrivals read at once; those that wait for Forgejo must not hide the others
_AT_ONCE = 4
_BACKOFF_BASE = 2.0
_BACKOFF_CAP = 300.0
_PASSING = (ReasonCode.ISSUE_CLOSED, ReasonCode.TRIGGER_REMOVED)
_REOPENABLE = (TaskState.COMPLETED, TaskState.CANCELLED)


def next_command(
    task: Task, issue: Issue, maps: LabelMaps, bot: str, reopened: bool
) -> Command | None:
    """What the issue, as Forgejo shows it, asks of its task; None where they agree. Pure."""
    wanted = wants_fleet(issue, maps, bot)
    is_open = issue.state == "open"
    if task.state in OPEN_STATES:
        if not is_open:
            return CancelTask(task.id, ReasonCode.ISSUE_CLOSED)
        if not wanted:
            return CancelTask(task.id, ReasonCode.TRIGGER_REMOVED)
        traits = traits_of(issue, maps)
        return EditTask(task.id, traits) if traits != task.traits else None
    was_passing = task.state is TaskState.CANCELLED and task.reason in _PASSING
    if is_open and wanted and (reopened or was_passing):
        return RetryTask(task.id, ReasonCode.ISSUE_REOPENED)
    return None


class Subject(NamedTuple):
    repo: str
    number: int


class _Seen(NamedTuple):
    """A delivery about an issue."""

    key: str
    event: IssueEvent


class _Hold(NamedTuple):
    attempts: int
    until: int


class Intake:
    """`labels` and `repositories` are asked each time, so that a change of configuration applies at
    once; `new_task` makes ids, `on_arrival` hears of deliveries, `jitter` a number from 0 to 1."""

    def __init__(
        self,
        fleet: Fleet,
        client: ForgeClient,
        verifier: Verifier,
        labels: Callable[[], LabelMaps],
        repositories: Callable[[], Collection[str]],
        new_task: Callable[[], TaskId],
        *,
        on_arrival: Callable[[], None] = lambda: None,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._fleet = fleet
        self._client = client
        self._verifier = verifier
        self._labels = labels
        self._repositories = repositories
        self._new_task = new_task
        self._on_arrival = on_arrival
        self._jitter = jitter
        self._slots = asyncio.Semaphore(_AT_ONCE)
        self._locks: WeakValueDictionary[Subject, asyncio.Lock] = WeakValueDictionary()
        self._held: dict[str, _Hold] = {}
        self._put_off: set[Subject] = set()
        fleet.listen(self._on_lines)

    # -- webhooks come in

    async def receive(self, delivery: Delivery, body: bytes) -> bool:
        """Keep a delivery whose signature was checked; durable on return. False: known already.

        Of an event without consequences only the id is kept.
        """
        key = f"delivery:{delivery.id}"
        if await self._fleet.store.arrival(key) is not None:
            return False
        matters = isinstance(delivery.payload, IssueEvent | PullRequestEvent)
        arrival = Arrival(
            key=key,
            kind=_KIND,
            at=self._fleet.clock(),
            body=body if matters else None,
            meta=delivery.event_type,
        )
        await self._fleet.store.append(Change(arrivals=(arrival,)))
        self._on_arrival()
        return True

    async def tick(self) -> None:
        """Act on what came in. What Forgejo cannot be asked about now stays, and is tried again;
        raises `StoreUnavailable` only."""
        await self._fleet.start()
        now = self._fleet.clock()
        arrivals = await self._fleet.store.arrivals_due(_KIND, _LOOK)
        self._held = {a.key: self._held[a.key] for a in arrivals if a.key in self._held}
        batches: dict[Subject, list[_Seen]] = {}
        for arrival in arrivals:
            hold = self._held.get(arrival.key)
            if hold is None or hold.until <= now:
                await self._sort(arrival, batches)
        looks = [self._handle(subject, seen) for subject, seen in batches.items()]
        revisits = [self._revisit(subject) for subject in self._put_off - batches.keys()]
        for outcome in await asyncio.gather(*looks, *revisits, return_exceptions=True):
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
        repo = self.listed(event.repository.full_name)
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
            handled=tuple(Handled(key=key) for key in keys),
        )
        reopened = any(event.action == "reopened" for _, event in seen)
        await self._look_at(subject, keys, context, reopened)

    async def _look_at(
        self, subject: Subject, keys: Sequence[str], context: Context, reopened: bool = False
    ) -> bool:
        """False where Forgejo could not be asked; then the deliveries `keys` are held."""
        try:
            async with self._slots:
                await self.look(*subject, context, reopened=reopened)
        except StoreUnavailable:
            raise
        except forge.ForgeError as error:
            self._hold(keys, error)
            return False
        except Exception as error:
            # A bug must not come back for ever; reconciliation looks at the issue again.
            log.exception("%s#%d could not be dealt with", *subject)
            await self._settle(keys, type(error).__name__)
        else:
            await self._settle(keys)
        return True

    async def _revisit(self, subject: Subject) -> None:
        """Look again at an issue that was closed while a receipt was being verified."""
        task = await self._fleet.task_of_issue(*subject)
        if task is None or not self._is_verifying(task):
            self._put_off.discard(subject)
            context = Context(actor="timer", cause="verification")
            if not await self._look_at(subject, (), context):
                self._put_off.add(subject)

    def _on_lines(self, lines: Sequence[Recorded]) -> None:
        if self._put_off and any(isinstance(line.event, ReceiptRefuted) for line in lines):
            self._on_arrival()

    def _hold(self, keys: Sequence[str], error: forge.ForgeError) -> None:
        for key in keys:
            attempts = self._held[key].attempts + 1 if key in self._held else 0
            wait = backoff(attempts, _BACKOFF_BASE, _BACKOFF_CAP, self._jitter())
            if isinstance(error, forge.ForgeUnavailable) and error.retry_after is not None:
                wait = max(wait, error.retry_after)
            self._held[key] = _Hold(attempts, self._fleet.clock() + int(wait * 1000))
            level = logging.WARNING if attempts == 0 else logging.DEBUG
            log.log(level, "%s waits %.1f s: %s", key, wait, error)

    async def _settle(self, keys: Sequence[str], error: str = "") -> None:
        for key in keys:
            self._held.pop(key, None)
        answer = msgspec.json.encode({"error": error}) if error else None
        handled = tuple(Handled(key=key, answer=answer) for key in keys)
        if handled:
            await self._fleet.store.append(Change(handled=handled))

    # -- issues become tasks

    def listed(self, repo: str) -> str | None:
        """The repository as the configuration spells it; None if the fleet does not work on it."""
        return next((name for name in self._repositories() if name.lower() == repo.lower()), None)

    async def agrees(self, repo: str, issue: Issue) -> bool:
        """Whether the issue and its task, or having none, fit each other."""
        if issue.pull_request is not None:
            return True
        bot = await self._client.login()
        task = await self._fleet.task_of_issue(repo, issue.number)
        if task is None:
            return issue.state != "open" or not wants_fleet(issue, self._labels(), bot)
        return next_command(task, issue, self._labels(), bot, reopened=False) is None

    async def look(
        self, repo: str, number: int, context: Context, *, reopened: bool = False
    ) -> Task | None:
        """Read the issue and have its task follow it; answers the task, if it is or was one.

        One look at an issue at a time, each on what Forgejo shows then, so that a late one never
        acts on old news. `context.handled` is recorded with the first change there is. Raises the
        errors of the forge client.
        """
        async with self._locks.setdefault(Subject(repo, number), asyncio.Lock()):
            try:
                issue = await self._client.issue(repo, number)
            except forge.NotFound:
                await self._client.repo(repo)  # raises where it is the repository we cannot see
                issue = Issue(number=number, state="closed")
            return await self.consider(repo, issue, context, reopened=reopened)

    async def consider(
        self, repo: str, issue: Issue, context: Context, *, reopened: bool = False
    ) -> Task | None:
        """Have the task follow the issue as it was just read; safe to call again, and at once by
        many: an issue never becomes two tasks."""
        if issue.pull_request is not None:
            return None
        bot = await self._client.login()
        task = await self._fleet.task_of_issue(repo, issue.number)
        if task is None:
            if issue.state != "open" or not wants_fleet(issue, self._labels(), bot):
                return None
            return await self._create(repo, issue, context)
        while command := next_command(task, issue, self._labels(), bot, reopened):
            if isinstance(command, CancelTask) and self._is_verifying(task):
                self._put_off.add(Subject(repo, issue.number))
                return task
            if not await self._fleet.commit(command, context):
                break
            reopened, context = False, Context(actor=context.actor, cause=context.cause)
            task = self._fleet.state.tasks[task.id]
        return task

    def _is_verifying(self, task: Task) -> bool:
        """A merge closes the issue; the receipt of that very work must be heard first."""
        run = self._fleet.state.runs.get(task.run) if task.run else None
        filed = self._fleet.state.receipts.get(run.receipt) if run and run.receipt else None
        return filed is not None and filed.verdict is Verdict.PENDING

    async def _create(self, repo: str, issue: Issue, context: Context) -> Task | None:
        base = await self._base_of(repo, issue)
        command = CreateTask(
            task=self._new_task(),
            repo=repo,
            issue=issue.number,
            url=issue.html_url,
            author=issue.user.login if issue.user else "",
            traits=traits_of(issue, self._labels()),
            base=base,
        )
        try:
            await self._fleet.commit(command, context)
        except Conflict:
            log.debug("%s#%d has become a task meanwhile", repo, issue.number)
        return await self._fleet.task_of_issue(repo, issue.number)

    async def _base_of(self, repo: str, issue: Issue) -> str:
        """The branch that the issue names, or the repository's default."""
        if issue.ref and not issue.ref.startswith("refs/tags/"):
            return issue.ref.removeprefix("refs/heads/")
        return (await self._client.repo(repo)).default_branch

    # -- a person asks for it

    async def take(self, repo: str, number: int, actor: str) -> Task:
        """Make an issue a task, by putting the trigger label on it.

        Raises `Invalid`, `NotFound` or `Conflict`, and the forge client's errors.
        """
        name = self._must_be_listed(repo)
        try:
            issue = await self._client.issue(name, number)
        except forge.NotFound:
            raise NotFound(f"There is no issue {name}#{number}.", field="issue") from None
        if issue.pull_request is not None:
            raise Invalid(f"{name}#{number} is a pull request.", field="issue")
        if issue.state != "open":
            raise Conflict(f"{name}#{number} is closed: reopen it first.", field="issue")
        return await self._take(name, issue, actor)

    async def open(self, repo: str, title: str, body: str, actor: str) -> Task:
        """Open an issue and make it a task. Raises what `take` does."""
        name = self._must_be_listed(repo)
        if not title.strip():
            raise Invalid("An issue needs a title.", field="title")
        return await self._take(name, await self._client.create_issue(name, title, body), actor)

    async def _take(self, repo: str, issue: Issue, actor: str) -> Task:
        if not wants_fleet(issue, self._labels(), await self._client.login()):
            label = trigger_label(self._labels())
            await self._client.ensure_labels(repo, [label])
            await self._client.add_issue_labels(repo, issue.number, [label.name])
        task = await self.look(repo, issue.number, Context(actor=actor))
        if task is None:
            raise Conflict(
                f"{repo}#{issue.number} was not taken: does the bot have write access there?",
                field="issue",
            )
        return task

    def _must_be_listed(self, repo: str) -> str:
        name = self.listed(repo)
        if name is None:
            known = ", ".join(self._repositories()) or "none yet"
            raise Invalid(f"The fleet does not work on {repo}; it does on: {known}.", field="repo")
        return name


def _event_of(arrival: Arrival) -> object:
    """The event of a kept delivery. Raises `MalformedDelivery`."""
    headers = {
        "X-Forgejo-Delivery": arrival.key.removeprefix("delivery:"),
        "X-Forgejo-Event-Type": arrival.meta,
    }
    return parse_delivery(headers, arrival.body or b"").payload
