"""The fleet as the fold of its journal."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable

from msgspec.structs import replace

from fleetbot.domain import events as ev
from fleetbot.domain import fold, fold_agents
from fleetbot.domain.errors import IllegalTransition
from fleetbot.domain.flags import Activity
from fleetbot.domain.lifecycle import next_state
from fleetbot.domain.machine import MachineFacts
from fleetbot.domain.model import (
    OPEN_STATES,
    Agent,
    AgentName,
    FiledReceipt,
    Pause,
    ReceiptId,
    Repo,
    Run,
    RunId,
    RunState,
    Task,
    TaskId,
    TaskState,
)
from fleetbot.domain.places import Places
from fleetbot.domain.queue import ReadyQueue
from fleetbot.domain.usage import Usage, add_usage, day_of, most, sum_usage
from fleetbot.domain.waits import WaitReason

FLEET_STREAM = "fleet"


def task_stream(task: TaskId) -> str:
    return f"task:{task}"


def agent_stream(agent: AgentName) -> str:
    return f"agent:{agent}"


def repo_stream(repo_id: int) -> str:
    return f"repo:{repo_id}"


_NOTHING = Usage()


def _issues_before(task: Task) -> set[tuple[int | str, int]]:
    """What an open task waits for, as of `Task.place`."""
    if task.state not in OPEN_STATES:
        return set()
    return {(blocker.place, blocker.issue) for blocker in task.blockers}


class Changed:
    """Which values a line has changed, each once, in order."""

    def __init__(self) -> None:
        self.tasks: dict[TaskId, None] = {}
        self.runs: dict[RunId, None] = {}
        self.agents: dict[AgentName, None] = {}
        self.receipts: dict[ReceiptId, None] = {}
        self.repos: dict[int, None] = {}


class FleetState:
    """Tasks, runs, agents, receipts and repositories by id, with the indexes that decisions need.

    `leases` (run -> epoch ms) and `seen` (agent -> epoch ms) are not folded: heartbeats move them,
    and a start grants them afresh, so that a restart of ours never counts as an agent's silence.
    Nor is how long live runs `slept` with us, so that no deadline passes in our absence. Nor is
    `used`, what live runs have used so far: the next heartbeat tells it again; nor their
    `activity`, which their logs tell, nor the agents' `machines`, nor how long (ms) the latest
    completed runs `took`.
    """

    def __init__(self) -> None:
        self.seq = 0
        self.tasks: dict[TaskId, Task] = {}
        self.runs: dict[RunId, Run] = {}
        self.agents: dict[AgentName, Agent] = {}
        self.forgotten: dict[AgentName, Agent] = {}  # kept for their places in the journal only
        self.receipts: dict[ReceiptId, FiledReceipt] = {}
        self.places = Places()
        self.by_issue: dict[tuple[int | str, int], TaskId] = {}  # as of `Task.place`
        self.by_state: Counter[TaskState] = Counter()  # how many of `tasks`
        self.queue = ReadyQueue()
        self.stuck: dict[tuple[WaitReason, str], dict[TaskId, None]] = {}  # by what they wait for
        self.blocked: dict[tuple[int | str, int], dict[TaskId, None]] = {}  # open tasks, by issue
        self.behind: dict[TaskId, TaskId] = {}  # waiting tasks, and whom they are queued behind
        self.leases: dict[RunId, int] = {}
        self.seen: dict[AgentName, int] = {}
        self.machines: dict[AgentName, MachineFacts] = {}
        self.used: dict[RunId, Usage] = {}
        self.activity: dict[RunId, Activity] = {}
        self.renewed_at = 0  # when we had started or slept, and all were taken as heard
        self.slept: dict[RunId, int] = {}  # milliseconds of live runs in which we were not there
        self.took: deque[int] = deque(maxlen=200)
        self.paused_until = 0  # by the day's budget
        self.frozen: Pause | None = None  # by a person
        self._fleet_version = 0
        self._spent = (0, Usage())  # by runs that ended on the day of this number
        self._runs_of: dict[TaskId, dict[RunId, None]] = {}
        self._receipts_of: dict[TaskId, dict[ReceiptId, None]] = {}
        self._live: dict[AgentName, dict[RunId, None]] = {}
        self._in_repo: dict[int | str, int] = {}
        self._changed = Changed()

    # reading

    def runs_of_agent(self, agent: AgentName) -> tuple[Run, ...]:
        """The agent's runs that have not ended, oldest first."""
        return tuple(self.runs[run] for run in self._live.get(agent, ()))

    def at_work(self, agent: AgentName) -> int:
        """How many of the agent's runs hold a slot: those whose receipt is being checked do not."""
        return sum(run.receipt is None for run in self.runs_of_agent(agent))

    def runs_in_repo(self, repo: int | str) -> int:
        """How many of its runs hold a slot; `repo` as of `Task.place`."""
        return self._in_repo.get(repo, 0)

    def live_runs(self) -> list[Run]:
        return [self.runs[run] for runs in self._live.values() for run in runs]

    def run_of(self, task: Task) -> Run | None:
        """The task's run since it was last queued, ended or not."""
        return self.runs.get(task.run) if task.run else None

    def live_run(self, task: Task) -> Run | None:
        """The task's run, unless it has ended."""
        run = self.run_of(task)
        return run if run and run.state is not RunState.ENDED else None

    def moved(self, run: RunId, at: int) -> int:
        """The moment `at` in the life of a run, moved by what we have slept since, or by what the
        clock was set."""
        return at + self.slept.get(run, 0)

    def usage_of(self, run: Run) -> Usage:
        """What the run has used, as far as is known."""
        return most(run.usage, self.used[run.id]) if run.id in self.used else run.usage

    def spent_today(self, now: int) -> Usage:
        """By all runs that ended on the day of `now`, and by those that are on."""
        day, spent = self._spent
        spent = spent if day == day_of(now) else Usage()
        return sum_usage((spent, *(self.usage_of(run) for run in self.live_runs())))

    def task_of_issue(self, repo: str, issue: int) -> Task | None:
        """The task of an issue, by any name that its repository is known by."""
        return self.task_in(self.places.called(repo), issue)

    def task_in(self, repo: Repo, issue: int) -> Task | None:
        found = (self.by_issue.get((place, issue)) for place in repo.places)
        return next((self.tasks[task] for task in found if task), None)

    def blocked_by(self, task: Task) -> list[Task]:
        """The open tasks that depend on it, oldest dependency first."""
        return [self.tasks[one] for one in self.blocked.get((task.place, task.issue), ())]

    def queued_behind(self, task: Task) -> list[Task]:
        """The waiting tasks that are queued behind it."""
        return [self.tasks[one] for one, other in self.behind.items() if other == task.id]

    def version(self, stream: str) -> int:
        kind, _, key = stream.partition(":")
        if stream == FLEET_STREAM:
            return self._fleet_version
        if kind == "task":
            task = self.tasks.get(TaskId(key))
            return task.version if task else 0
        if kind == "repo":
            repo = self.places.repos.get(int(key))
            return repo.version if repo else 0
        agent = self.known_agent(AgentName(key))
        return agent.version if agent else 0

    def known_agent(self, name: AgentName) -> Agent | None:
        """Also one that is forgotten."""
        return self.agents.get(name) or self.forgotten.get(name)

    # taking in what the store holds

    def adopt(
        self,
        tasks: Iterable[Task] = (),
        runs: Iterable[Run] = (),
        agents: Iterable[Agent] = (),
        receipts: Iterable[FiledReceipt] = (),
        repos: Iterable[Repo] = (),
    ) -> None:
        """Take in folded values, as the read models have them."""
        for repo in repos:
            self.places.keep(repo)
        for agent in agents:
            self._keep_agent(agent)
        for receipt in receipts:
            self._keep_receipt(receipt)
        for task in tasks:
            self._keep_task(task)
        for run in runs:
            self._keep_run(run)
            if run.state is not RunState.ENDED:
                self._occupy(run)

    def adopt_fleet(self, lines: Iterable[ev.Recorded], now: int, spent: Usage) -> None:
        """Take in the last lines of the fleet's own stream, and what was `spent` today so far."""
        for line in lines:
            self._apply_fleet(line)
        self._spent = (day_of(now), spent)

    def forget(self, tasks: Iterable[TaskId]) -> None:
        """Let go of closed tasks; the store keeps them."""
        for task in tasks:
            old = self.tasks.pop(task)
            self.by_state[old.state] -= 1
            self._unlist(old)
            for run in self._runs_of.pop(task, ()):
                del self.runs[run]
            for receipt in self._receipts_of.pop(task, ()):
                del self.receipts[receipt]

    # the fold

    def apply(self, line: ev.Recorded, changed: Changed | None = None) -> None:
        """Fold one line of the journal, and note in `changed` what it led to.

        Raises IllegalTransition for a line that cannot follow.
        """
        self._changed = changed or Changed()
        self.seq = line.seq
        kind, _, key = line.stream.partition(":")
        if line.stream == FLEET_STREAM:
            self._apply_fleet(line)
        elif kind == "agent":
            self._apply_agent(AgentName(key), line)
        elif kind == "repo":
            self._apply_repo(int(key), line)
        else:
            self._apply_task(TaskId(key), line)

    def _apply_task(self, task_id: TaskId, line: ev.Recorded) -> None:
        event, old = line.event, self.tasks.get(task_id)
        state = next_state(old.state if old else None, event)
        if old is None:
            assert isinstance(event, ev.TaskCreated)  # the table lets nothing else come first
            self._keep_task(fold.created(task_id, event, line))
            return
        live = self.live_run(old)
        self._apply_run(old, line)
        task = fold.stepped(old, state, line)
        if live and self.runs[live.id].state is RunState.ENDED:
            task = fold.after_run(task, self.runs[live.id])
        self._keep_task(fold.after(task, line))
        if (place := self.tasks[task_id].place) != old.place:
            self._move(old, place, holds_slot=live is not None and not live.receipt)

    def _move(self, task: Task, place: int | str, *, holds_slot: bool) -> None:
        self._unlist(task)
        if holds_slot:
            self._in_repo[task.place] -= 1
            self._in_repo[place] = self._in_repo.get(place, 0) + 1

    def _keep_task(self, task: Task) -> None:
        old = self.tasks.get(task.id)
        if old:
            self.by_state[old.state] -= 1
        self.by_state[task.state] += 1
        self._note_stuck(old, task)
        self._note_blockers(old, task)
        if task.behind and task.state is TaskState.CREATED:
            self.behind[task.id] = task.behind.task
        else:
            self.behind.pop(task.id, None)
        self.tasks[task.id] = task
        self._changed.tasks[task.id] = None
        self.by_issue[task.place, task.issue] = task.id
        self.queue.keep(task, task.updated_at)

    def _unlist(self, task: Task) -> None:
        if self.by_issue.get((task.place, task.issue)) == task.id:
            del self.by_issue[task.place, task.issue]

    def _note_stuck(self, old: Task | None, new: Task) -> None:
        before, after = old.stuck if old else None, new.stuck
        if before and before != after:
            self.stuck[before.cause].pop(new.id)
            if not self.stuck[before.cause]:
                del self.stuck[before.cause]
        if after and before != after:
            self.stuck.setdefault(after.cause, {})[new.id] = None

    def _note_blockers(self, old: Task | None, new: Task) -> None:
        before, after = _issues_before(old) if old else set(), _issues_before(new)
        for issue in before - after:
            self.blocked[issue].pop(new.id)
            if not self.blocked[issue]:
                del self.blocked[issue]
        for issue in after - before:
            self.blocked.setdefault(issue, {})[new.id] = None

    def _apply_run(self, task: Task, line: ev.Recorded) -> None:
        match line.event:
            case ev.TaskAssigned() as event:
                run = fold.assigned(task, event, line.at)
                self._keep_run(run)
                self._occupy(run)
            case ev.TaskStarted(run=run_id):
                self._change(run_id, state=RunState.RUNNING, started_at=line.at)
            case ev.ReceiptFiled(run=run_id, receipt=receipt):
                self._change(run_id, receipt=receipt.id, usage=receipt.usage)
                self._count(self.runs[run_id], -1)
                self._keep_receipt(
                    FiledReceipt(
                        receipt=receipt,
                        task=task.id,
                        run=run_id,
                        filed_at=line.at,
                        check_at=line.at,
                    )
                )
            case ev.ReceiptVerified() | ev.ReceiptRefuted() | ev.ReceiptUnknown() as event:
                self._apply_finding(event, line.at)
            case (
                ev.RunAsked()
                | ev.RunAskCut()
                | ev.RunAnswered()
                | ev.RunMessaged()
                | ev.RunMessageTaken() as said
            ):
                self._keep_run(fold.after_words(self.runs[said.run], line))
            case ev.TaskCompleted(run=run_id):
                self._took(self.runs[run_id], line.at)
                self._end(run_id, line.at)
            case (
                ev.TaskFailed(run=run_id, reason=reason, usage=usage)
                | ev.TaskAgentLost(run=run_id, reason=reason, usage=usage)
            ):
                self._end(run_id, line.at, usage, reason=reason)
            case ev.TaskCancelled(reason=reason, usage=usage):
                if task.run:
                    self._end(task.run, line.at, usage, reason=reason)
            case ev.TaskRequeued(reason=reason):
                if task.run:
                    self._end(task.run, line.at, reason=reason)
            case ev.PullMerged(usage=usage):
                if task.run:
                    self._end(task.run, line.at, usage)

    def _apply_finding(
        self, event: ev.ReceiptVerified | ev.ReceiptRefuted | ev.ReceiptUnknown, at: int
    ) -> None:
        filed = self.receipts[event.receipt]
        filed = replace(filed, checks=filed.checks + 1)
        match event:
            case ev.ReceiptVerified(evidence=evidence):
                filed = fold.verified(filed, evidence)
            case ev.ReceiptUnknown(unread=unread, check_at=check_at):
                own_head = filed.own_head or event.own_head
                filed = replace(filed, unread=unread, check_at=check_at, own_head=own_head)
            case ev.ReceiptRefuted():
                filed = fold.refuted(filed, event)
                self._refuted(self.runs[event.run], at - filed.filed_at)
        self._keep_receipt(filed)

    def _refuted(self, run: Run, checked_ms: int) -> None:
        """It holds a slot again, and its time goes on where the receipt had stopped it."""
        self._change(
            run.id,
            receipt=None,
            refutations=run.refutations + 1,
            checked_ms=run.checked_ms + checked_ms,
        )
        self._count(run, 1)

    def _apply_repo(self, repo: int, line: ev.Recorded) -> None:
        self.places.keep(fold_agents.repo_after(repo, line, self.places.repos.get(repo)))
        self._changed.repos[repo] = None

    def _apply_agent(self, name: AgentName, line: ev.Recorded) -> None:
        old = self.agents.get(name)
        self._changed.agents[name] = None
        if isinstance(line.event, ev.AgentRegistered):
            self._keep_agent(fold_agents.registered(name, line.event, line, old))
        elif old:
            self._keep_agent(fold_agents.agent_after(old, line))
        else:
            what = ev.event_type(line.event)
            raise IllegalTransition(f"{what} cannot happen to an agent that never registered")

    def _apply_fleet(self, line: ev.Recorded) -> None:
        self._fleet_version = line.version
        match line.event:
            case ev.FleetPaused(until=until):
                self.paused_until = until
            case ev.FleetResumed():
                self.paused_until = 0
            case ev.FleetFrozen():
                self.frozen = Pause(by=line.actor, since=line.at)
            case ev.FleetThawed():
                self.frozen = None
            case _:
                raise IllegalTransition(f"{ev.event_type(line.event)} cannot happen to the fleet")

    def _keep_agent(self, agent: Agent) -> None:
        known, other = self.agents, self.forgotten
        if agent.forgotten:
            known, other = other, known
            self.seen.pop(agent.name, None)
            self.machines.pop(agent.name, None)
        known[agent.name] = agent
        other.pop(agent.name, None)

    def _occupy(self, run: Run) -> None:
        live = self._live.setdefault(run.agent, {})
        if run.id in live:
            return  # adopted before
        live[run.id] = None
        if run.receipt is None:
            self._count(run, 1)

    def _count(self, run: Run, change: int) -> None:
        """Of the slots that its repository's runs hold."""
        place = self.tasks[run.task].place
        self._in_repo[place] = self._in_repo.get(place, 0) + change

    def _change(self, run_id: RunId, **fields: object) -> None:
        self._keep_run(replace(self.runs[run_id], **fields))

    def _keep_run(self, run: Run) -> None:
        self.runs[run.id] = run
        self._runs_of.setdefault(run.task, {})[run.id] = None
        self._changed.runs[run.id] = None

    def _keep_receipt(self, filed: FiledReceipt) -> None:
        self.receipts[filed.receipt.id] = filed
        self._receipts_of.setdefault(filed.task, {})[filed.receipt.id] = None
        self._changed.receipts[filed.receipt.id] = None

    def _took(self, run: Run, at: int) -> None:
        filed = self.receipts.get(run.receipt) if run.receipt else None
        self.took.append((filed.filed_at if filed else at) - run.started_at - run.checked_ms)

    def _end(self, run_id: RunId, at: int, usage: Usage = _NOTHING, **fields: object) -> None:
        run = self.runs.get(run_id)
        if run is None or run.state is RunState.ENDED:
            return  # a run that ended before a restart may have stayed on disk
        spent = run.usage if usage == _NOTHING else usage
        self._change(run_id, state=RunState.ENDED, ended_at=at, usage=spent, **fields)
        self._live[run.agent].pop(run_id)
        if run.receipt is None:
            self._count(run, -1)
        self.leases.pop(run_id, None)
        self.used.pop(run_id, None)
        self.activity.pop(run_id, None)
        day, before = self._spent
        self._spent = (day_of(at), add_usage(before, spent) if day == day_of(at) else spent)
