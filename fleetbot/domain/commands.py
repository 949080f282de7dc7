"""What can be asked of the fleet. Ids are made by the caller, so that deciding stays pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from fleetbot.domain.events import AgentRegistered
from fleetbot.domain.model import (
    AgentName,
    AskKind,
    Behavior,
    Blocker,
    Receipt,
    ReceiptId,
    RunId,
    Taken,
    TaskId,
    Traits,
)
from fleetbot.domain.pulls import LandingStep, PullView, Words
from fleetbot.domain.reasons import ReasonCode
from fleetbot.domain.receipts import Finding
from fleetbot.domain.usage import Usage


@dataclass(frozen=True, slots=True)
class CreateTask:
    """`agent`: the one that a person chose for it, before any other could take it."""

    task: TaskId
    repo: str
    issue: int
    url: str
    author: str
    traits: Traits
    base: str = ""
    agent: AgentName | None = None
    repo_id: int = 0
    base_problem: str = ""
    blockers: tuple[Blocker, ...] = ()
    unseen_blockers: int = 0


@dataclass(frozen=True, slots=True)
class EditTask:
    task: TaskId
    traits: Traits


@dataclass(frozen=True, slots=True)
class AssignTask:
    """A person chooses the agent; a task that ended is queued again for it."""

    task: TaskId
    agent: AgentName


@dataclass(frozen=True, slots=True)
class RetryTask:
    """A person wants the task tried again, with its attempts forgotten.

    `reopened_at`: when the issue was reopened, by Forgejo's clock, where that is the wish.
    """

    task: TaskId
    reason: ReasonCode = ReasonCode.RETRY_BY_USER
    reopened_at: int = 0


@dataclass(frozen=True, slots=True)
class CancelTask:
    task: TaskId
    reason: ReasonCode = ReasonCode.CANCELLED_BY_USER


@dataclass(frozen=True, slots=True)
class SetBase:
    """The branch that the task starts from is `base`; `problem`: why nobody can."""

    task: TaskId
    base: str
    problem: str = ""


@dataclass(frozen=True, slots=True)
class TakeBack:
    """What was given cannot be begun, and nobody is to blame: the task waits again."""

    run: RunId
    reason: ReasonCode


@dataclass(frozen=True, slots=True)
class NoteRepo:
    """Forgejo shows a repository. `asked`: the name that led to it, perhaps an old one."""

    repo: int
    name: str
    default_branch: str
    asked: str


@dataclass(frozen=True, slots=True)
class HoldRepo:
    repo: int
    reason: ReasonCode
    detail: str = ""


@dataclass(frozen=True, slots=True)
class ReleaseRepo:
    repo: int


@dataclass(frozen=True, slots=True)
class MoveTasks:
    """Have these tasks bear the repository's name and id, as far as they are in memory."""

    repo: int
    tasks: tuple[TaskId, ...]


@dataclass(frozen=True, slots=True)
class CloseTask:
    """A merge of the run's own work closed the issue: its receipt is heard before that counts.

    None takes it back.
    """

    task: TaskId
    reason: ReasonCode | None


@dataclass(frozen=True, slots=True)
class Dispatch:
    """Give the agent the task it should take now, if there is one."""

    agent: AgentName
    run: RunId


@dataclass(frozen=True, slots=True)
class StartRun:
    run: RunId
    agent: AgentName


@dataclass(frozen=True, slots=True)
class FailRun:
    """`until`: epoch milliseconds before which a retry cannot help."""

    run: RunId
    agent: AgentName
    reason: ReasonCode
    detail: str = ""
    usage: Usage = field(default_factory=Usage)
    until: int | None = None


@dataclass(frozen=True, slots=True)
class FileReceipt:
    run: RunId
    agent: AgentName
    receipt: Receipt


@dataclass(frozen=True, slots=True)
class Conclude:
    """The finding of a verification."""

    receipt: ReceiptId
    finding: Finding


@dataclass(frozen=True, slots=True)
class AskPerson:
    """The agent program waits for a person, until `expires_at` (epoch ms)."""

    run: RunId
    agent: AgentName
    ask: str
    kind: AskKind
    title: str
    request: dict[str, Any]
    options: tuple[str, ...]
    expires_at: int
    cut: bool = False
    always: str = ""


@dataclass(frozen=True, slots=True)
class AnswerAsk:
    run: RunId
    ask: str
    behavior: Behavior
    text: str = ""


@dataclass(frozen=True, slots=True)
class CutAsk:
    """A room could not be shown all of the question."""

    run: RunId
    ask: str


@dataclass(frozen=True, slots=True)
class WithdrawAsk:
    """The agent program no longer waits for the answer."""

    run: RunId
    agent: AgentName
    ask: str


@dataclass(frozen=True, slots=True)
class SendMessage:
    """A person says something to the run."""

    run: RunId
    message: str
    text: str


@dataclass(frozen=True, slots=True)
class NoteTask:
    """A person says something to whoever has the task next."""

    task: TaskId
    text: str


@dataclass(frozen=True, slots=True)
class TakeMessage:
    run: RunId
    agent: AgentName
    message: str
    taken: Taken


@dataclass(frozen=True, slots=True)
class RegisterAgent:
    agent: AgentName
    registration: AgentRegistered


@dataclass(frozen=True, slots=True)
class AgentSeen:
    agent: AgentName


@dataclass(frozen=True, slots=True)
class DeregisterAgent:
    agent: AgentName


@dataclass(frozen=True, slots=True)
class RevokeAgent:
    """A person takes the agent's token: it may be in the wrong hands."""

    agent: AgentName


@dataclass(frozen=True, slots=True)
class ForgetAgent:
    """A person wants to hear no more of an agent that has signed off."""

    agent: AgentName


@dataclass(frozen=True, slots=True)
class DrainAgent:
    """A person wants the agent to take nothing new; what it is at goes on."""

    agent: AgentName


@dataclass(frozen=True, slots=True)
class ResumeAgent:
    """A person wants the agent to take tasks again, though drained, parked or unwell."""

    agent: AgentName


@dataclass(frozen=True, slots=True)
class PauseFleet:
    """A person wants nothing given to anybody; what is given goes on."""


@dataclass(frozen=True, slots=True)
class ResumeFleet:
    """A person's pause of the fleet is over."""


@dataclass(frozen=True, slots=True)
class PauseRepo:
    """A person wants nothing of the repository given to anybody; what is given goes on."""

    repo: int


@dataclass(frozen=True, slots=True)
class ResumeRepo:
    repo: int


@dataclass(frozen=True, slots=True)
class FollowPull:
    """Have the task do what its pull request, as Forgejo shows it, asks for."""

    task: TaskId
    view: PullView


@dataclass(frozen=True, slots=True)
class AskAgain:
    """A person wants more of a task whose pull request is open; their rounds count anew. `view`:
    what it shows now, where that is known: what it is owed goes with it."""

    task: TaskId
    words: tuple[Words, ...]
    view: PullView | None = None


@dataclass(frozen=True, slots=True)
class Land:
    """Have the task's pull request merged, or brought up to date before that. `by`: the account on
    Forgejo of the person who wants it; "": the repository's setting does. `pusher`: who made its
    head, where that is not what was verified."""

    task: TaskId
    by: str = ""
    step: LandingStep = LandingStep.MERGE
    pusher: str = ""


@dataclass(frozen=True, slots=True)
class NoteUpdate:
    """`head` is what was verified as `was`, brought up to date with the base, and nothing else."""

    task: TaskId
    head: str
    was: str


@dataclass(frozen=True, slots=True)
class GiveUpLanding:
    """The landing of `head` has come to nothing, as of `PullNotLanded`."""

    task: TaskId
    head: str
    why: str
    text: str


@dataclass(frozen=True, slots=True)
class NoteWaits:
    """Have people told of waits that have become long, and of those that are over."""


@dataclass(frozen=True, slots=True)
class Expire:
    """Let time take effect: acknowledgements, leases, run times, silent agents, budgets."""


@dataclass(frozen=True, slots=True)
class SetBlockers:
    """Forgejo shows what the task's issue depends on. `starting`: somebody is about to begin."""

    task: TaskId
    blockers: tuple[Blocker, ...]
    unseen: int = 0
    starting: bool = False


@dataclass(frozen=True, slots=True)
class NoteOverlap:
    """The work of two tasks of a repository is known to change the same files.

    `starting`: `one` is about to begin."""

    one: TaskId
    other: TaskId
    files: tuple[str, ...]
    starting: bool = False


@dataclass(frozen=True, slots=True)
class QueueBehind:
    """A person has the task wait until the other's work has landed; None: wait no longer."""

    task: TaskId
    other: TaskId | None


@dataclass(frozen=True, slots=True)
class GoOn:
    """The task waits behind another no longer, if that one is over."""

    task: TaskId


Command = (
    CreateTask
    | EditTask
    | AssignTask
    | RetryTask
    | CancelTask
    | SetBase
    | TakeBack
    | NoteRepo
    | HoldRepo
    | ReleaseRepo
    | MoveTasks
    | CloseTask
    | Dispatch
    | StartRun
    | FailRun
    | FileReceipt
    | Conclude
    | AskPerson
    | AnswerAsk
    | CutAsk
    | WithdrawAsk
    | SendMessage
    | NoteTask
    | TakeMessage
    | RegisterAgent
    | AgentSeen
    | DeregisterAgent
    | RevokeAgent
    | ForgetAgent
    | DrainAgent
    | ResumeAgent
    | PauseFleet
    | ResumeFleet
    | PauseRepo
    | ResumeRepo
    | FollowPull
    | AskAgain
    | Land
    | NoteUpdate
    | GiveUpLanding
    | NoteWaits
    | Expire
    | SetBlockers
    | NoteOverlap
    | QueueBehind
    | GoOn
)
