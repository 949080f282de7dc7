"""What people's programs ask of the orchestrator and are told: agents, tasks, questions, pauses."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta

from fleetbot.domain.model import Behavior, TaskState
from fleetbot.domain.pulls import PullState, RoundKind
from fleetbot.domain.reasons import ReasonCode
from fleetbot.domain.waits import WaitReason
from fleetbot.wire.base import AgentNameText, Answer, IdText, LongText, Message, Number, ShortText
from fleetbot.wire.machine import MachineReport
from fleetbot.wire.usage import UsageView


class AnswerRequest(Message, frozen=True):
    """`POST runs/{run}/asks/{id}/answer`: what a person says; a question wants a `text`."""

    behavior: Behavior
    text: LongText = ""


class AskView(Answer, frozen=True):
    """A question that waits for a person. `request` is the program's own, secrets masked; `cut`:
    parts of it are missing, or a room could not be shown all of it, so that nobody can allow it.
    `always`: what the answer `always` allows for the rest of the run, where there is one."""

    id: str
    run: str
    task: str
    agent: str
    kind: str
    title: str
    request: dict[str, Any]
    options: tuple[str, ...]
    asked_at: int
    expires_at: int
    cut: bool = False
    always: str = ""


class AskList(Answer, frozen=True):
    asks: tuple[AskView, ...]


class MessageRequest(Message, frozen=True):
    """`POST runs/{run}/messages`: something a person says to the run."""

    text: Annotated[str, Meta(min_length=1, max_length=20_000)]


class UnwellView(Answer, frozen=True):
    """Why an agent takes nothing until its check passes again, and what ends that."""

    reason: ReasonCode
    since: int
    detail: str
    advice: str


class AgentView(Answer, frozen=True):
    """`remedies`: what to do about each line of `health`, as far as its runner has said. `machine`:
    where it works, told with its last heartbeat; null where its runner does not tell, or has not
    since fleetbot started.

    `parked_until`: until then (epoch ms) it takes nothing, because of `parked_for`.

    `draining`: it takes nothing new until a person resumes it. `faults`: so many of its runs in a
    row ended for reasons that their tasks do not own. A person's resume ends all of these.
    `revoked`: it signed off because a person took its token; enrolled anew, it gets another.
    """

    name: str
    adapter: str
    status: str
    capabilities: tuple[str, ...]
    max_concurrency: int
    runs: tuple[str, ...]
    seen_at: int | None
    host: str = ""
    program: str = ""
    account: str = ""
    health: tuple[str, ...] = ()
    remedies: tuple[str, ...] = ()
    machine: MachineReport | None = None
    parked_until: int = 0
    parked_for: ReasonCode | None = None
    draining: bool = False
    unwell: UnwellView | None = None
    faults: int = 0
    revoked: bool = False


class AgentList(Answer, frozen=True):
    agents: tuple[AgentView, ...]


class EnrolmentAnswer(Answer, frozen=True):
    """A token with which `agent` may enrol once, before `expires_at` (epoch ms); told only here."""

    agent: str
    token: str
    expires_at: int


class NewTaskRequest(Message, frozen=True):
    """`POST tasks`: take an issue (`issue`), or open one for it (`title`, `body`)."""

    repo: ShortText
    issue: Number | None = None
    title: Annotated[str, Meta(max_length=255)] | None = None
    body: LongText = ""


class PauseRequest(Message, frozen=True):
    """`POST fleet/pause` and `POST fleet/resume`: of a repository; without one, of the fleet."""

    repo: ShortText = ""


class PauseView(Answer, frozen=True):
    """A pause that a person made: nothing new is given out, of `repo`, or at all where that is
    empty. `by`: an actor of the journal; `since` in epoch ms."""

    repo: str
    by: str
    since: int


class PauseList(Answer, frozen=True):
    pauses: tuple[PauseView, ...]


class PriorityRequest(Message, frozen=True):
    """`POST tasks/{task}/priority`: how urgent a person says it is; its issue's labels follow."""

    priority: Literal["low", "normal", "high", "urgent"]


class WaitingView(Answer, frozen=True):
    """Why a task does not move: `text` in a sentence, `remedy` what would move it.

    `since` and `until` in epoch ms; `until`: when it ends by itself at the latest, if it does.
    `details`: words of programs or of Forgejo, e.g. what of a receipt could not be read.
    """

    reason: WaitReason
    text: str
    since: int
    until: int | None = None
    remedy: str = ""
    details: tuple[str, ...] = ()


class RoundView(Answer, frozen=True):
    """The round of work on its pull request that a task is in, and what that is for."""

    number: int
    kinds: tuple[RoundKind, ...]


class PullRequestView(Answer, frozen=True):
    """The pull request of a task's verified receipt, as Forgejo showed it last. `head`: the commit
    that this is of. `ci`: none, pending, red, green or unread; `failing` contexts that are in
    `red_on_base` are red on the base too. `reports`: who asks for changes and may not write.
    `conflict`: null while Forgejo does not know. `rounds`: how many it has had; `round`: the one
    that is on. `asking`: what people have to decide, as by `POST tasks/{task}/again`."""

    number: int
    state: PullState
    head: str = ""
    base: str = ""
    draft: bool = False
    changes_asked: tuple[str, ...] = ()
    approved_by: tuple[str, ...] = ()
    reports: tuple[str, ...] = ()
    ci: str = ""
    failing: tuple[str, ...] = ()
    red_on_base: tuple[str, ...] = ()
    conflict: bool | None = None
    rounds: int = 0
    round: RoundView | None = None
    asking: tuple[str, ...] = ()
    merged_as: str = ""
    merged_by: str = ""
    merged_at: int = 0


class AgainRequest(Message, frozen=True):
    """`POST tasks/{task}/again`: what more is to be done on the task's open pull request; without
    words, what people were asked about is tried once more."""

    text: LongText = ""


class LandRequest(Message, frozen=True):
    """`POST tasks/{task}/land`: have exactly the commit merged that was verified. `by`: the account
    on Forgejo of the person who wants it; it has to be one that may write to the repository."""

    by: Annotated[str, Meta(min_length=1, max_length=100)]


class QueueRequest(Message, frozen=True):
    """`POST tasks/{task}/queue`: the task of the same repository that it is to wait for; null: for
    none any more."""

    behind: IdText | None


class TaskView(Answer, frozen=True):
    """`last_run`: the one before `run`, or the latest while the task waits for its next. `pull`:
    null before a receipt held.

    `waiting`: null where the task moves, or is over and its pull request asks for nobody. `flags`:
    `looping`, `stalled` and `slow` of a run that does not seem to get on, `nobody` of a task for an
    agent that nobody has.
    """

    id: str
    repo: str
    issue: int
    url: str
    title: str
    kind: str
    priority: str
    state: TaskState
    attempt: int
    agent: str | None = None
    run: str | None = None
    last_run: str | None = None
    reason: ReasonCode | None = None
    detail: str = ""
    not_before: int = 0
    created_at: int = 0
    updated_at: int = 0
    needs: tuple[str, ...] = ()
    wanted_agent: str | None = None
    receipt: str | None = None
    spent: UsageView = UsageView()
    waiting: WaitingView | None = None
    flags: tuple[str, ...] = ()
    pull: PullRequestView | None = None


class TaskList(Answer, frozen=True):
    """`next`: give it as `before` for the following page; absent on the last."""

    tasks: tuple[TaskView, ...]
    next: str | None = None


class AssignRequest(Message, frozen=True):
    """`POST tasks/{task}/assign`: the agent that a person has chosen for it."""

    agent: AgentNameText
