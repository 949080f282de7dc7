"""What happens to tasks, their runs and receipts."""

from __future__ import annotations

from typing import Any

import msgspec

from fleetbot.domain.events.base import Event
from fleetbot.domain.events.pulls import (
    PullAsked,
    PullClosed,
    PullLanding,
    PullLeft,
    PullMerged,
    PullNotLanded,
    PullReopened,
    PullRerun,
    PullSeen,
    PullUpdated,
)
from fleetbot.domain.model import (
    AgentName,
    AskKind,
    Behavior,
    Blocker,
    Evidence,
    Receipt,
    ReceiptCheck,
    ReceiptId,
    RunId,
    Taken,
    TaskId,
    Traits,
)
from fleetbot.domain.pulls import Brief
from fleetbot.domain.reasons import ReasonCode
from fleetbot.domain.usage import Usage
from fleetbot.domain.waits import WaitReason


class TaskCreated(Event, frozen=True, tag="task.created"):
    repo: str
    issue: int
    url: str
    author: str
    traits: Traits
    base: str = ""
    repo_id: int = 0


class TaskMoved(Event, frozen=True, tag="task.moved"):
    """Its repository has another name, or became known by its id."""

    repo: str
    url: str
    repo_id: int


class TaskBased(Event, frozen=True, tag="task.based"):
    """The branch to start from is another. `problem`: why it cannot be started from; it waits."""

    base: str
    problem: str = ""


class TaskEdited(Event, frozen=True, tag="task.edited"):
    """Title or labels changed on the issue."""

    traits: Traits


class TaskPinned(Event, frozen=True, tag="task.pinned"):
    """A person chose the agent."""

    agent: AgentName


class TaskAssigned(Event, frozen=True, tag="task.assigned"):
    run: RunId
    agent: AgentName
    attempt: int
    branch: str


class TaskStarted(Event, frozen=True, tag="task.started"):
    run: RunId


class TaskRequeued(Event, frozen=True, tag="task.requeued"):
    """`avoid` is the agent that should not get it next; `fresh` forgets the attempts so far.

    `uncounted`: the attempt that just ended was not the task's fault and does not count.
    `excuse`: so often by now the task was let off for this reason; 0 where it was not.
    `reopened_at`: when Forgejo says that the issue was reopened, where that is why.
    `brief`: a round begins with it, which its pull request is owed; `prefer` is the agent that
    should get it.
    """

    reason: ReasonCode
    not_before: int = 0
    avoid: AgentName | None = None
    fresh: bool = False
    uncounted: bool = False
    excuse: int = 0
    reopened_at: int = 0
    brief: Brief | None = None
    prefer: AgentName | None = None


class TaskClosing(Event, frozen=True, tag="task.closing"):
    """A merge of the run's own work closed the issue: its receipt is heard first, and the task is
    cancelled for `reason` where the run comes to nothing. None: the issue is open again."""

    reason: ReasonCode | None = None


class TaskStuck(Event, frozen=True, tag="task.stuck"):
    """It has waited since `since` (epoch ms), longer than people should not hear of it.

    `subject`: whom or what it waits for; tasks with the same reason and subject are told together.
    """

    reason: WaitReason
    subject: str
    since: int


class TaskUnstuck(Event, frozen=True, tag="task.unstuck"):
    """The wait that people were told of is over, or has another cause."""

    reason: WaitReason
    subject: str
    since: int


class ReceiptFiled(Event, frozen=True, tag="receipt.filed"):
    run: RunId
    receipt: Receipt


class ReceiptVerified(Event, frozen=True, tag="receipt.verified"):
    """`evidence`: what Forgejo showed; None in lines of before it was kept."""

    run: RunId
    receipt: ReceiptId
    evidence: Evidence | None = None


class ReceiptRefuted(Event, frozen=True, tag="receipt.refuted"):
    """`final`: the run's last chance is gone. `own_head`: its commit is or was the head of the
    run's own pull request. `checks`: those that say no; none in lines of before they were kept."""

    run: RunId
    receipt: ReceiptId
    reasons: tuple[str, ...]
    final: bool = False
    own_head: bool = False
    checks: tuple[ReceiptCheck, ...] = ()


class ReceiptUnknown(Event, frozen=True, tag="receipt.unknown"):
    """A check could not be made; it is tried again at `check_at`. `own_head`: it was found, for the
    first time, that its commit is the head of the run's own pull request. `checks`: those that
    could not be made; none in lines of before they were kept."""

    run: RunId
    receipt: ReceiptId
    unread: tuple[str, ...]
    check_at: int
    own_head: bool = False
    checks: tuple[ReceiptCheck, ...] = ()


class RunAsked(Event, frozen=True, tag="run.asked"):
    """The agent program waits for a person until `expires_at` (epoch ms).

    `request` is the program's whole request, secrets masked; `cut`: parts of it are missing.
    `always`: what the answer `always` allows for the rest of the run.
    """

    run: RunId
    ask: str
    kind: AskKind
    title: str
    expires_at: int
    request: dict[str, Any] = msgspec.field(default_factory=dict)
    options: tuple[str, ...] = ()
    cut: bool = False
    always: str = ""


class RunAskCut(Event, frozen=True, tag="run.ask_cut"):
    """A room could not be shown all of the question, so that nobody can allow it any more."""

    run: RunId
    ask: str


class RunAnswered(Event, frozen=True, tag="run.answered"):
    """`expired`: nobody answered in time, which counts as a no; `withdrawn`: the program no longer
    asks."""

    run: RunId
    ask: str
    behavior: Behavior
    text: str = ""
    expired: bool = False
    withdrawn: bool = False


class RunMessaged(Event, frozen=True, tag="run.messaged"):
    """A person said something to the run."""

    run: RunId
    message: str
    text: str


class RunMessageTaken(Event, frozen=True, tag="run.message_taken"):
    run: RunId
    message: str
    taken: Taken


class TaskNoted(Event, frozen=True, tag="task.noted"):
    """A person said something that its next run is told."""

    text: str


class TaskCompleted(Event, frozen=True, tag="task.completed"):
    """`pull_request` and its `head` are watched from now on; 0 in lines of before that was so."""

    run: RunId
    receipt: ReceiptId
    pull_request: int = 0
    head: str = ""


class TaskFailed(Event, frozen=True, tag="task.failed"):
    run: RunId
    reason: ReasonCode
    detail: str = ""
    usage: Usage = Usage()


class TaskAgentLost(Event, frozen=True, tag="task.agent_lost"):
    run: RunId
    reason: ReasonCode
    usage: Usage = Usage()


class TaskCancelled(Event, frozen=True, tag="task.cancelled"):
    """`usage` is that of the run that was stopped, if one was."""

    reason: ReasonCode
    usage: Usage = Usage()


class TaskBlocked(Event, frozen=True, tag="task.blocked"):
    """What it depends on has changed: these are the issues that it waits for now, none for nothing.

    `unseen`: so many more it depends on that Forgejo does not show the bot; they hold nothing up.
    """

    blockers: tuple[Blocker, ...] = ()
    unseen: int = 0


class TaskOverlaps(Event, frozen=True, tag="task.overlaps"):
    """Its work changes `count` files that the work of the other does too; `files`: the first."""

    other: TaskId
    issue: int
    files: tuple[str, ...]
    count: int


class TaskBehind(Event, frozen=True, tag="task.behind"):
    """It waits until the pull request of the other, of the same repository, is merged or closed.

    None: it goes on; `issue` is that of the task that it waited behind.
    """

    other: TaskId | None
    issue: int


TaskEvent = (
    TaskCreated
    | TaskMoved
    | TaskBased
    | TaskEdited
    | TaskPinned
    | TaskAssigned
    | TaskStarted
    | TaskRequeued
    | TaskClosing
    | TaskStuck
    | TaskUnstuck
    | ReceiptFiled
    | ReceiptVerified
    | ReceiptRefuted
    | ReceiptUnknown
    | RunAsked
    | RunAskCut
    | RunAnswered
    | RunMessaged
    | RunMessageTaken
    | TaskNoted
    | TaskCompleted
    | TaskFailed
    | TaskAgentLost
    | TaskCancelled
    | PullSeen
    | PullAsked
    | PullRerun
    | PullMerged
    | PullClosed
    | PullLeft
    | PullReopened
    | PullLanding
    | PullUpdated
    | PullNotLanded
    | TaskBlocked
    | TaskOverlaps
    | TaskBehind
)
