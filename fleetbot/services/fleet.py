"""The one authority: state in memory, truth on disk, and the only way to change either."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from msgspec.structs import replace

from fleetbot.domain import effects as fx
from fleetbot.domain.commands import Command
from fleetbot.domain.decide import decide
from fleetbot.domain.draft import Drafts
from fleetbot.domain.errors import Conflict, FleetError
from fleetbot.domain.events import Recorded
from fleetbot.domain.flags import Activity
from fleetbot.domain.machine import MachineFacts
from fleetbot.domain.model import (
    AgentName,
    Policy,
    ReceiptId,
    Repo,
    RunId,
    RunState,
    Task,
    TaskId,
    TaskState,
)
from fleetbot.domain.patience import WITH_DISK
from fleetbot.domain.repositories import at_home
from fleetbot.domain.state import FLEET_STREAM, FleetState
from fleetbot.domain.usage import Usage, day_start, most
from fleetbot.domain.waiting import Waiting, waiting
from fleetbot.services.recording import Route, record
from fleetbot.services.watching import watched
from fleetbot.store.causes import why
from fleetbot.store.healing import healed
from fleetbot.store.identities import Enrolment
from fleetbot.store.interface import Deposed, Store, StoreUnavailable, Unreadable, Unwritable
from fleetbot.store.lock import DatabaseInUse
from fleetbot.store.records import (
    AgentToken,
    Anchor,
    Arrival,
    BadRow,
    Change,
    Handled,
    Snapshot,
)

Listener = Callable[[Sequence[Recorded]], None]

CLOSED = (TaskState.COMPLETED, TaskState.CANCELLED)
_ARRIVALS_KNOWN = 10_000
_PROOF = "proof"


@dataclass(frozen=True, slots=True)
class Context:
    """Who wants it and what led to it, for the journal.

    `answered`: the outbox's name of the room where they are answered, which hears no notice of what
    they have done to the fleet, an agent or a repository.
    """

    actor: str
    cause: str = ""
    answered: str = ""


@dataclass(frozen=True, slots=True)
class Beside:
    """What is recorded in the same transaction as the events of a command.

    `arrival` and `anchors` are remembered only if something happens; the others in any case.
    With the key of one that was acted on just now nothing happens: that is a `Conflict`.
    """

    arrival: Arrival | None = None
    handled: tuple[Handled, ...] = ()
    tokens: tuple[AgentToken, ...] = ()
    enrolments: tuple[Enrolment, ...] = ()
    anchors: tuple[Anchor, ...] = ()


ALONE = Beside()


@dataclass(frozen=True, slots=True)
class Landing:
    """What a command led to in memory, and the promise that it is on disk."""

    lines: tuple[Recorded, ...]
    durable: asyncio.Future[None]


class Fleet:
    """`route` names the destinations of what rooms are told; `clock` gives epoch milliseconds."""

    def __init__(
        self, store: Store, policy: Policy, clock: Callable[[], int], route: Route
    ) -> None:
        self.store = store
        self.policy = policy
        self.clock = clock
        self.route = route
        self.state = FleetState()
        self._listeners: list[Listener] = []
        self._couriers: list[Callable[[], None]] = []
        self._on_deposed: Callable[[Exception], None] = lambda why: None
        self._stale = True
        self._retired = False
        self._loading = asyncio.Lock()
        self.bad: tuple[BadRow, ...] = ()  # what a start could not read; nothing is added to it
        self._unread = ""  # why the store could not be read, until it is
        self._last: asyncio.Future[None] | None = None  # what was submitted last; all before it
        self._landed = 0  # the last event that is known to be on disk
        self._closed: dict[TaskId, int] = {}  # with the last event at the time
        self._acted_on: dict[str, None] = {}  # arrivals that who looked on disk may have missed
        self._starts = 0  # since something last landed, and when the last of them began
        self._started_at = 0

    @property
    def ready(self) -> bool:
        """Whether memory is what the disk says; commits make it so before they decide."""
        return not self._stale and self.store.loaded

    @property
    def trouble(self) -> str:
        """Why the store takes nothing, as far as is known. That memory could be read from it again
        does not end it: that something was written does."""
        return self._unread or self.store.failure

    @property
    def closed(self) -> Collection[TaskId]:
        """Those of the tasks in memory that are completed or cancelled."""
        return self._closed.keys()

    def listen(self, listener: Listener) -> None:
        """Have `listener` called with the lines of every commit once they are durable."""
        self._listeners.append(listener)

    def listen_for_effects(self, courier: Callable[[], None]) -> None:
        """Have `courier` called whenever there are new effects on disk."""
        self._couriers.append(courier)

    def listen_for_deposition(self, listener: Callable[[Exception], None]) -> None:
        """Have `listener` called when the store says that another works on it."""
        self._on_deposed = listener

    async def post(self, change: Change) -> None:
        """Put effects into the outbox that follow from no event, with what goes along."""
        await self.store.append(change)
        self.call_couriers()

    def call_couriers(self) -> None:
        for courier in self._couriers:
            courier()

    async def prove(self) -> None:
        """Where nothing could be written: whether it can be again. Nobody else may come to write.

        Raises `StoreUnavailable` where not even reading goes on.
        """
        if not self.trouble:
            return
        await self.start()
        try:
            proof = Anchor(key=_PROOF, value=str(self.clock()))  # another value than the last
            await self.store.append(Change(anchors=(proof,)))
            self._starts = 0
        except StoreUnavailable:
            await self._start(patient=False)

    async def start(self) -> None:
        """Take the state from disk, unless memory is what it says. Raises `StoreUnavailable`.

        It is built beside the event loop, which goes on meanwhile.
        """
        if not self.ready:
            await self._start()

    async def _start(self, *, patient: bool = True) -> None:
        async with self._loading:
            if self._retired:
                raise StoreUnavailable("the settings have changed; ask again")
            if self.ready:
                return
            self._stale = True
            if patient:
                self._check_patience()
            snapshot, now = await healed(self.store, await self._loaded()), self.clock()
            today = await self.store.usage(since=day_start(now))
            slept = self.state.slept  # no line tells of it
            self.state = await asyncio.to_thread(_remember, snapshot, today.usage, now)
            self.state.slept = slept
            self._last, self._landed, self._closed = None, self.state.seq, {}
            self._acted_on = {}
            await self._recall_blockers()
            with suppress(Unreadable):
                await self._recall_asking()
            self.bad, self._stale, self._unread = snapshot.bad, False, ""
            self.renew()
        self._tell(())

    async def _loaded(self) -> Snapshot:
        """Raises `StoreUnavailable`, as `Deposed` where the store is another's by now."""
        try:
            return await self.store.load()
        except (DatabaseInUse, Deposed) as error:
            self._on_deposed(error)
            raise Deposed(str(error)) from error
        except StoreUnavailable as error:
            self._unread = why(error)
            raise

    async def _recall_blockers(self) -> None:
        """What open tasks wait for is told with where it stands, be it over."""
        blocked = [task for task in self.state.tasks.values() if task.blockers]
        wanted = {(one.place, one.issue): one for task in blocked for one in task.blockers}
        for issue in wanted.keys() - self.state.by_issue.keys():
            blocker = wanted[issue]
            names = (blocker.repo.lower(),)
            with suppress(Unreadable):
                if task := await self.store.task_by_issue(blocker.repo_id, names, blocker.issue):
                    await self._recall(task)

    async def _recall_asking(self) -> None:
        """Tasks that are done, and whose pull request waits for a person."""
        async for task in watched(self.store):
            if task.is_asking:
                await self._recall(task)

    def _check_patience(self) -> None:
        """A disk that takes nothing is not read anew with every request, once that was in vain."""
        now, waited = self.clock(), self.clock() - self._started_at
        if self._starts > 1 and 0 <= waited < WITH_DISK.wait(self._starts - 2, ""):
            raise StoreUnavailable("the database fails again and again; it is read anew soon")
        self._starts, self._started_at = self._starts + 1, now

    async def close(self) -> None:
        """Let what was submitted land, then take no more: another fleet may be the authority."""
        self._retired = self._stale = True
        with suppress(StoreUnavailable):
            await self.durable()

    async def durable(self) -> None:
        """Wait until all that memory knows by now is on disk.

        Raises `StoreUnavailable` if it never will be.
        """
        if self._last:
            with suppress(Unwritable):  # that is for who wanted it kept
                await asyncio.shield(self._last)

    def renew(self, slept: int = 0) -> None:
        """Take every agent and run as heard just now: time we `slept` through (ms), or by which the
        clock was set, is nobody's silence, and no deadline passes in it."""
        state, now = self.state, self.clock()
        state.renewed_at = now
        live = [run.id for run in state.live_runs()]
        state.slept = {run: state.slept.get(run, 0) + slept for run in live}
        state.queue.recount(state.tasks, now)
        state.seen = dict.fromkeys(state.agents, now)
        state.leases = dict.fromkeys(live, now + self.policy.lease_ms)
        for run in live:
            state.activity.setdefault(run, Activity(now)).heard_at = now

    async def commit(
        self, command: Command, context: Context, beside: Beside = ALONE
    ) -> tuple[Recorded, ...]:
        """Decide, apply, and return when it is on disk.

        Raises `FleetError` if the command cannot be carried out, `StoreUnavailable` if the disk
        refuses; in both cases nothing has changed. A cancelled caller leaves the commit alone.
        Where nothing needs to be done, or it cannot be, what that was seen from is on disk, too.
        """
        if not self.ready:
            await self._start()
        try:
            landing = self.submit(command, context, beside)
        except FleetError:
            await self.durable()
            raise
        await asyncio.shield(landing.durable)
        return landing.lines

    def submit(self, command: Command, context: Context, beside: Beside = ALONE) -> Landing:
        """`commit` in two halves, for who must act on memory before the disk has answered."""
        if not self.ready:
            raise StoreUnavailable("the fleet's state is being read from disk")
        now = self.clock()
        drafts = decide(self.state, command, now, self.policy)
        self._refuse_bad(drafts)
        if drafts and beside.arrival:
            self._act_on(beside.arrival)
        return self._submit(drafts, context, beside, now)

    def _act_on(self, arrival: Arrival) -> None:
        """Once: the disk would refuse it a second time, and everybody's changes with it."""
        if arrival.key in self._acted_on:
            raise Conflict(f"{arrival.kind} {arrival.key} was acted on just now.")
        self._acted_on[arrival.key] = None
        if len(self._acted_on) > _ARRIVALS_KNOWN:
            del self._acted_on[next(iter(self._acted_on))]

    def _refuse_bad(self, drafts: Drafts) -> None:
        for row in self.bad:
            if row.stream != FLEET_STREAM and any(draft.stream == row.stream for draft in drafts):
                raise Unreadable(f"{row}: restore a backup.")

    def _submit(self, drafts: Drafts, context: Context, beside: Beside, now: int) -> Landing:
        answered = context.answered
        route = partial(_elsewhere, self.route, answered) if answered else self.route
        try:
            change = record(
                self.state, drafts, now, route, actor=context.actor, cause=context.cause
            )
        except Exception:
            self._stale = True  # memory may hold a part of it
            raise
        self._note_closed((task.id for task in change.tasks), self.state.seq)
        if beside is not ALONE:
            change = _with(change, beside)
        if change != _NOTHING:
            self._last = self.store.submit(change)
            self._last.add_done_callback(partial(self._on_landing, self.state.seq, change))
        return Landing(change.events, self._last or _done())

    def _on_landing(self, seq: int, change: Change, landing: asyncio.Future[None]) -> None:
        error = landing.exception()
        if isinstance(error, Deposed):
            self._on_deposed(error)
        if error is None:
            self._landed, self._starts = seq, 0
            if change.outbox:
                self.call_couriers()
            if change.events:
                self._tell(change.events)

    def _tell(self, lines: Sequence[Recorded]) -> None:
        for listener in self._listeners:
            listener(lines)

    # heartbeats

    def note_usage(self, agent: AgentName, used: Mapping[RunId, Usage]) -> None:
        """Note what those of the runs that are the agent's own have used so far."""
        for run in self.state.runs_of_agent(agent):
            if run.id in used:
                known = self.state.used.get(run.id, run.usage)
                self.state.used[run.id] = most(known, used[run.id])

    def note_machine(self, agent: AgentName, machine: MachineFacts | None) -> None:
        """Note where the agent works now; None: its runner does not tell."""
        if machine is None:
            self.state.machines.pop(agent, None)
        else:
            self.state.machines[agent] = machine

    def note_lines(self, run: RunId, lines: Collection[tuple[str, str]], upto: int) -> None:
        """Note what a live run's log tells: lines as (kind, text) that end at line `upto`."""
        known = self.state.runs.get(run)
        if known and known.state is not RunState.ENDED:
            now = self.clock()
            self.state.activity.setdefault(run, Activity(now)).hear(lines, upto, now)

    def saw(self, agent: AgentName, runs: Iterable[RunId]) -> None:
        """Note a sign of life: the agent's, and that of those `runs` that are its own.

        In memory only: a start of ours grants all of it afresh.
        """
        now = self.clock()
        self.state.seen[agent] = now
        own = {run.id for run in self.state.runs_of_agent(agent)}
        for run in own.intersection(runs):
            self.state.leases[run] = now + self.policy.lease_ms

    # closed tasks live on disk; they are called back when somebody speaks of them

    async def task_of_issue(self, repo: str, issue: int) -> Task | None:
        """The task of an issue, open or closed, by any name of its repository."""
        await self.start()
        return await self.task_in(self.state.places.called(repo), issue)

    async def task_in(self, repo: Repo, issue: int) -> Task | None:
        """The task of an issue of the repository, open or closed."""
        await self.start()
        if task := self.state.task_in(repo, issue):
            return task
        stored = await self.store.task_by_issue(repo.id, repo.names, issue)
        return await self._recall(stored) if stored else None

    async def tasks(
        self,
        states: Collection[TaskState] = (),
        repo: str | None = None,
        agent: AgentName | None = None,
        limit: int = 100,
        before: TaskId | None = None,
    ) -> list[Task]:
        """Newest first, open and closed, under the names that repositories have now.

        `repo`: by any of its names; `agent`: that of the current run.
        """
        of_repo = self.state.places.called(repo) if repo else None
        tasks = await self.store.tasks(
            states=states, repo=of_repo, agent=agent, limit=limit, before=before
        )
        return [at_home(task, self.state.places.of(task)) for task in tasks]

    async def task(self, task: TaskId) -> Task | None:
        await self.start()
        if task in self.state.tasks:
            return self.state.tasks[task]
        stored = await self.store.task(task)
        return await self._recall(stored) if stored else None

    def waiting(self, task: TaskId) -> Waiting | None:
        """Why the task does not move now; None where it moves, or is not in memory."""
        known = self.state.tasks.get(task)
        return waiting(self.state, known, self.clock(), self.policy) if known else None

    async def recall_run(self, run: RunId) -> None:
        """Have the run's task in memory, if there is such a run."""
        await self.start()
        if run not in self.state.runs and (stored := await self.store.run(run)):
            await self.task(stored.task)

    async def recall_receipt(self, receipt: ReceiptId) -> None:
        """Have the receipt's task in memory, if there is such a receipt."""
        await self.start()
        if receipt not in self.state.receipts and (stored := await self.store.receipt(receipt)):
            await self.task(stored.task)

    async def _recall(self, stored: Task) -> Task:
        runs = await self.store.runs_of(stored.id)
        receipts = await self.store.receipts_of(stored.id)
        if stored.id not in self.state.tasks:
            self.state.adopt([stored], runs, (), receipts)
            self._note_closed([stored.id], self._landed)
        return self.state.tasks[stored.id]

    def _note_closed(self, tasks: Iterable[TaskId], seq: int) -> None:
        for task in tasks:
            if self.state.tasks[task].state in CLOSED:
                self._closed[task] = seq
            else:
                self._closed.pop(task, None)

    def forget_closed(self, before: int) -> None:
        """Let go of closed tasks that nothing has happened to since `before` (epoch ms).

        Not of those whose last lines may not be on disk yet, nor of those that others, or people,
        wait for.
        """
        awaited = set(self.state.behind.values())
        old = [
            task
            for task, seq in self._closed.items()
            if seq <= self._landed
            and task not in awaited
            and self.state.tasks[task].updated_at < before
            and not self.state.blocked_by(self.state.tasks[task])
            and not self.state.tasks[task].is_asking
        ]
        self.state.forget(old)
        for task in old:
            del self._closed[task]


_NOTHING = Change()


def _elsewhere(route: Route, answered: str, effect: fx.Notice) -> Sequence[str]:
    """Where a notice goes, but for the room that was answered."""
    rooms = route(effect)
    if isinstance(effect, fx.AgentNotice | fx.FleetNotice | fx.RepoNotice):
        return [room for room in rooms if room != answered]
    return rooms


def _with(change: Change, beside: Beside) -> Change:
    return replace(
        change,
        arrivals=(beside.arrival,) if beside.arrival and change.events else (),
        handled=beside.handled,
        anchors=beside.anchors if change.events else (),
        tokens=(*beside.tokens, *change.tokens),
        enrolments=beside.enrolments,
    )


def _remember(snapshot: Snapshot, spent: Usage, now: int) -> FleetState:
    """The state as the store has it; `spent`: on the day of `now` so far."""
    state = FleetState()
    state.seq = snapshot.seq
    state.adopt(snapshot.tasks, snapshot.runs, snapshot.agents, snapshot.receipts, snapshot.repos)
    state.adopt_fleet(snapshot.fleet, now, spent)
    state.queue.ripen(state.tasks, now)
    return state


def _done() -> asyncio.Future[None]:
    done = asyncio.get_running_loop().create_future()
    done.set_result(None)
    return done
