"""A fleet in memory, and short words for what is asked of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from fleetbot.domain import commands as cmd
from fleetbot.domain import events as ev
from fleetbot.domain.announce import effects
from fleetbot.domain.decide import decide
from fleetbot.domain.draft import Draft
from fleetbot.domain.effects import AnyEffect
from fleetbot.domain.model import (
    Agent,
    AgentName,
    AskKind,
    Behavior,
    Blocker,
    Policy,
    Receipt,
    ReceiptId,
    Run,
    RunId,
    Taken,
    Task,
    TaskId,
    TaskState,
    Traits,
)
from fleetbot.domain.pulls import (
    Answer,
    Check,
    PullState,
    PullView,
    Reply,
    ReviewView,
    Thread,
    Words,
)
from fleetbot.domain.reasons import ReasonCode
from fleetbot.domain.receipts import Refuted, Unknown, Verified
from fleetbot.domain.state import FleetState
from fleetbot.domain.usage import Usage

SECOND = 1_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
START = 1_700_000_000_000

T1, T2, T3 = TaskId("t1"), TaskId("t2"), TaskId("t3")
A1, A2, A3 = AgentName("claude-1"), AgentName("codex-1"), AgentName("codex-2")
R1, R2, R3 = RunId("r1"), RunId("r2"), RunId("r3")
C1, C2, C3 = ReceiptId("c1"), ReceiptId("c2"), ReceiptId("c3")
HEAD = "5eb63bbbe01eeed093cb22bb8f5acdc3a5cfa1d0"


@dataclass
class World:
    """Decides commands, records what follows, and folds it, as the orchestrator does."""

    policy: Policy = field(default_factory=Policy)
    now: int = START
    state: FleetState = field(default_factory=FleetState)
    journal: list[ev.Recorded] = field(default_factory=list)

    def given(self, *commands: cmd.Command) -> World:
        """What has happened before the story begins."""
        for command in commands:
            self.when(command)
        return self

    def when(self, command: cmd.Command) -> tuple[ev.AnyEvent, ...]:
        """Carry out `command`; the events that follow."""
        drafts = decide(self.state, command, self.now, self.policy)
        return tuple(self.record(draft).event for draft in drafts)

    def told(self, command: cmd.Command) -> list[AnyEffect]:
        """Carry out `command`; the effects that follow."""
        drafts = decide(self.state, command, self.now, self.policy)
        found: list[AnyEffect] = []
        for draft, after in zip(drafts, (*drafts[1:], None), strict=False):
            line = self.record(draft)
            follows = after.event if after and after.stream == draft.stream else None
            found += effects(line, self.state, follows)
        return found

    def record(self, draft: Draft) -> ev.Recorded:
        line = ev.Recorded(
            seq=self.state.seq + 1,
            stream=draft.stream,
            version=self.state.version(draft.stream) + 1,
            at=self.now,
            actor="test",
            cause="",
            event=draft.event,
        )
        self.state.apply(line)
        self.journal.append(line)
        return line

    def later(self, milliseconds: int) -> World:
        """Let time pass; back-offs that end are noticed."""
        self.now += milliseconds
        self.state.queue.ripen(self.state.tasks, self.now)
        return self

    def heard(self, *agents: AgentName) -> World:
        """The agents' heartbeats, for themselves and all their runs."""
        for agent in agents:
            self.state.seen[agent] = self.now
            for run in self.state.runs_of_agent(agent):
                self.state.leases[run.id] = self.now + self.policy.lease_ms
        return self

    def uses(self, run: RunId, usage: Usage) -> World:
        """What the agent's heartbeat tells of the run."""
        self.state.used[run] = usage
        return self

    def task(self, task: TaskId = T1) -> Task:
        return self.state.tasks[task]

    def run(self, run: RunId = R1) -> Run:
        return self.state.runs[run]

    def agent(self, agent: AgentName = A1) -> Agent:
        return self.state.agents[agent]


def replay(journal: list[ev.Recorded]) -> FleetState:
    """The state as a new process finds it."""
    state = FleetState()
    for line in journal:
        state.apply(line)
    return state


def names(events: tuple[ev.AnyEvent, ...]) -> list[str]:
    return [ev.event_type(event) for event in events]


def only(events: tuple[ev.AnyEvent, ...], kind: type[ev.Event]) -> Any:
    """The one event of its kind."""
    (event,) = (event for event in events if type(event) is kind)
    return event


# what is asked


def a_task(task: TaskId = T1, *, repo: str = "team/app", **traits: Any) -> cmd.CreateTask:
    """A task from issue number n, where `task` is `t<n>`."""
    issue = int(task[1:])
    return cmd.CreateTask(
        task=task,
        repo=repo,
        issue=issue,
        url=f"https://forge.example/{repo}/issues/{issue}",
        author="ada",
        traits=Traits(**{"title": "Mend the door", **traits}),
        base="main",
    )


def depends(task: TaskId, *on: TaskId, unseen: int = 0, starting: bool = False) -> cmd.SetBlockers:
    """What Forgejo shows: the task's issue depends on the issues of these."""
    blockers = tuple(Blocker(repo="team/app", issue=int(one[1:])) for one in on)
    return cmd.SetBlockers(task, blockers, unseen, starting)


def overlap(one: TaskId, other: TaskId, *files: str, starting: bool = False) -> cmd.NoteOverlap:
    return cmd.NoteOverlap(one, other, files or ("door.py",), starting)


def an_agent(name: AgentName = A1, **fields: Any) -> cmd.RegisterAgent:
    return cmd.RegisterAgent(
        agent=name, registration=ev.AgentRegistered(**{"adapter": "command", **fields})
    )


def dispatch(agent: AgentName = A1, run: RunId = R1) -> cmd.Dispatch:
    return cmd.Dispatch(agent=agent, run=run)


def start(run: RunId = R1, agent: AgentName = A1) -> cmd.StartRun:
    return cmd.StartRun(run=run, agent=agent)


def fail(
    reason: ReasonCode = ReasonCode.AGENT_FAILED,
    run: RunId = R1,
    agent: AgentName = A1,
    **fields: Any,
) -> cmd.FailRun:
    return cmd.FailRun(run=run, agent=agent, reason=reason, **fields)


def a_receipt(receipt: ReceiptId = C1, **fields: Any) -> Receipt:
    claimed = {"pull_request": 7, "branch": "fleet/1-mend-the-door", "head": HEAD, **fields}
    return Receipt(id=receipt, **claimed)


def file(receipt: ReceiptId = C1, run: RunId = R1, agent: AgentName = A1) -> cmd.FileReceipt:
    return cmd.FileReceipt(run=run, agent=agent, receipt=a_receipt(receipt))


def ask(ask: str = "q1", run: RunId = R1, agent: AgentName = A1, **fields: Any) -> cmd.AskPerson:
    question = {
        "kind": AskKind.PERMISSION,
        "title": "Run `make`?",
        "request": {},
        "options": (),
        "expires_at": START + HOUR,
        **fields,
    }
    return cmd.AskPerson(run=run, agent=agent, ask=ask, **question)


def answer(behavior: Behavior = Behavior.ALLOW, ask: str = "q1", run: RunId = R1) -> cmd.AnswerAsk:
    return cmd.AnswerAsk(run=run, ask=ask, behavior=behavior)


def withdraw(ask: str = "q1", run: RunId = R1, agent: AgentName = A1) -> cmd.WithdrawAsk:
    return cmd.WithdrawAsk(run=run, agent=agent, ask=ask)


def say(text: str = "Mind the paint.", message: str = "m1", run: RunId = R1) -> cmd.SendMessage:
    return cmd.SendMessage(run=run, message=message, text=text)


def note(text: str = "Mind the step.", task: TaskId = T1) -> cmd.NoteTask:
    return cmd.NoteTask(task=task, text=text)


def take(
    taken: Taken = Taken.DELIVERED, message: str = "m1", run: RunId = R1, agent: AgentName = A1
) -> cmd.TakeMessage:
    return cmd.TakeMessage(run=run, agent=agent, message=message, taken=taken)


def verified(receipt: ReceiptId = C1) -> cmd.Conclude:
    return cmd.Conclude(receipt=receipt, finding=Verified())


def refuted(receipt: ReceiptId = C1, *reasons: str, own_head: bool = True) -> cmd.Conclude:
    finding = Refuted(reasons=reasons or ("Empty diff.",), own_head=own_head)
    return cmd.Conclude(receipt=receipt, finding=finding)


def unknown(receipt: ReceiptId = C1, *unread: str, own_head: bool = False) -> cmd.Conclude:
    finding = Unknown(unread=unread or ("Forgejo is away.",), own_head=own_head)
    return cmd.Conclude(receipt=receipt, finding=finding)


# what Forgejo shows of the pull request


def a_pull(**fields: Any) -> PullView:
    """Of receipt c1, as it was verified."""
    shown = {"number": 7, "state": PullState.OPEN, "head": HEAD, "base": "main", "mergeable": True}
    return PullView(**{**shown, **fields})


def said(key: str, text: str = "Oil it as well.", author: str = "bob", **fields: Any) -> Words:
    return Words(key=key, author=author, text=text, **fields)


def a_thread(id: int = 31, *words: Words, **fields: Any) -> Thread:
    on = {"path": "door.py", "line": 3, "hunk": "@@ -1 +1,3 @@", **fields}
    return Thread(id=id, words=words or (said(f"line:{id}", "Why?"),), **on)


def review(id: int = 12, *, by: str = "bob", text: str = "Oil it.", **fields: Any) -> ReviewView:
    who = {its: fields.pop(its) for its in ("may_write", "ours") if its in fields}
    words = said(f"review:{id}", text, by, **who)
    return ReviewView(words=words, **{"state": "REQUEST_CHANGES", "commit": HEAD, **fields})


def a_review(**fields: Any) -> PullView:
    return a_pull(reviews=(review(**fields),))


def red(*contexts: str, log: str = "E  assert 1 == 2", **fields: Any) -> PullView:
    """The head's CI fails in these contexts."""
    checks = tuple(
        Check(context=name, state="failure", log=log) for name in contexts or ("test / unit",)
    )
    return a_pull(ci="red", failing=checks, **fields)


def follow(view: PullView | None = None, task: TaskId = T1) -> cmd.FollowPull:
    return cmd.FollowPull(task=task, view=view or a_pull())


def again(text: str = "Paint it, too.", view: PullView | None = None) -> cmd.AskAgain:
    return cmd.AskAgain(task=T1, words=(said("room:1", text, "@bob:example.org"),), view=view)


# where a story begins


def assigned(world: World | None = None) -> World:
    """Task t1 is given to claude-1 as run r1."""
    return (world or World()).given(an_agent(), a_task(), dispatch()).heard(A1)


def running(world: World | None = None) -> World:
    return assigned(world).given(start()).heard(A1)


def verifying(world: World | None = None) -> World:
    return running(world).given(file())


def completed(world: World | None = None) -> World:
    return verifying(world).given(verified())


def asking(world: World | None = None) -> World:
    """CI is red, and no round may mend it: people are asked."""
    world = completed(world or World(policy=Policy(max_ci_rounds=0)))
    return world.given(follow(red()))


def answered(world: World | None = None, view: PullView | None = None) -> World:
    """A review, of which one thread is fixed and one is not, was answered in round 1 as run r2."""
    threads = (a_thread(31), a_thread(32))
    world = completed(world).given(follow(view or a_review(threads=threads)))
    return world.given(dispatch(run=R2), start(R2)).heard(A1).given(replied(), verified(C2))


def replied() -> cmd.FileReceipt:
    replies = (Reply(thread=31, answer=Answer.FIXED), Reply(thread=32, answer=Answer.DISAGREES))
    return cmd.FileReceipt(run=R2, agent=A1, receipt=a_receipt(C2, replies=replies))


def in_back_off(world: World | None = None) -> World:
    return running(world).given(fail())


def failed(world: World | None = None) -> World:
    return running(world).given(fail(ReasonCode.NO_CHANGES))


def agent_lost(world: World | None = None) -> World:
    """The last attempt's lease ran out, though the agent itself is there.

    It had been excused before, as often as that is done.
    """
    world = (world or World(policy=Policy(max_attempts=1))).given(an_agent(), a_task())
    for run in (RunId("excused-1"), RunId("excused-2"), RunId("excused-3"), R1):
        world.later(max(0, world.task().not_before - world.now))
        world.given(dispatch(run=run), start(run)).later(world.policy.lease_ms + 1)
        world.state.seen[A1] = world.now
        world.given(cmd.Expire())
    return world


def cancelled(world: World | None = None) -> World:
    return running(world).given(cmd.CancelTask(task=T1))


def created(world: World | None = None) -> World:
    return (world or World()).given(an_agent(), a_task()).heard(A1)


IN_STATE = {
    TaskState.CREATED: created,
    TaskState.ASSIGNED: assigned,
    TaskState.RUNNING: running,
    TaskState.COMPLETED: completed,
    TaskState.FAILED: failed,
    TaskState.AGENT_LOST: agent_lost,
    TaskState.CANCELLED: cancelled,
}
