"""What the outside is told: the values, and where they go.

An effect that shows a state names whose it is, and is sent with the state of then; a notice to the
rooms is of its moment.

The outbox names an effect after the line that caused it, so that telling it twice is recognised.
Effects with the same destination and `collapse` replace each other: only the newest matters.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from fleetbot.domain.model import AgentName, ReceiptId, RunId, TaskId
from fleetbot.domain.pulls import Answer, LandingStep, RoundKind
from fleetbot.domain.reasons import ReasonCode
from fleetbot.domain.usage import Usage
from fleetbot.domain.values import Value
from fleetbot.domain.waits import WaitReason


class Effect(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="kind", gc=False
):
    """Base of all effects."""


class ShowOnIssue(Effect, frozen=True, kw_only=True, tag="issue_state"):
    """The task's state, as it is when this is sent: labels, assignee, the one status comment."""

    task: TaskId


class ReceiptComment(Effect, frozen=True, kw_only=True, tag="receipt_comment"):
    """What was found out about a receipt."""

    task: TaskId
    receipt: ReceiptId


class CommitStatus(Effect, frozen=True, kw_only=True, tag="commit_status"):
    """What we say of a commit that was found to be the head of the run's own pull request.

    `state` is pending, success, failure or error, as Forgejo knows them. `receipt`: whose it is.
    `repo`: what the repository was called then. `task` is unset in effects of an old version: only
    they go by that name.
    """

    task: TaskId | None = None
    repo: str
    sha: str
    receipt: ReceiptId = ReceiptId("")
    state: str
    description: str
    target_url: str


class AnswerPull(Effect, frozen=True, kw_only=True, tag="pull_answer"):
    """What a round has led to, said where it was asked for: in the threads, below the pull request,
    and to the reviewers, who are asked to look again. `said`: the line with the round's brief."""

    task: TaskId
    receipt: ReceiptId
    number: int
    said: int


class LandPull(Effect, frozen=True, kw_only=True, tag="pull_land"):
    """The task's pull request is to be merged with exactly `head`, or brought up to date with its
    base, as long as that is still owed."""

    task: TaskId
    head: str
    step: LandingStep = LandingStep.MERGE


class RunAgain(Effect, frozen=True, kw_only=True, tag="pull_rerun"):
    """Red jobs of the commit `head` of the task's pull request are to be run again, as long as they
    show what they said then."""

    task: TaskId
    head: str


class TidyBranch(Effect, frozen=True, kw_only=True, tag="branch_tidy"):
    """The task's work is merged: its branch goes, where the repository wants that."""

    task: TaskId


class ShowCard(Effect, frozen=True, kw_only=True, tag="card"):
    """The task as it is when this is sent, in the one message that a room of `repo` has of it."""

    task: TaskId
    repo: str


class ShowAsk(Effect, frozen=True, kw_only=True, tag="ask"):
    """A question of a run as it is when this is sent, in the one message that each room of `repo`
    has of it."""

    repo: str
    run: RunId
    ask: str


class ShowFate(Effect, frozen=True, kw_only=True, tag="fate"):
    """What has become of a person's message to a run, for where it was said."""

    repo: str
    run: RunId
    message: str


class NoticeKind(StrEnum):
    """`assigned`, `refuted`, `asked` and `cancelled` are in old outboxes only."""

    ASSIGNED = "assigned"
    COMPLETED = "completed"
    FAILED = "failed"
    REFUTED = "refuted"
    ASKED = "asked"
    AGENT_LOST = "agent_lost"
    CANCELLED = "cancelled"
    NOT_LANDED = "not_landed"
    STUCK = "stuck"
    UNSTUCK = "unstuck"
    AGENT_DRAINED = "agent_drained"
    AGENT_RESUMED = "agent_resumed"
    AGENT_REVOKED = "agent_revoked"
    AGENT_OFFLINE = "agent_offline"
    AGENT_ONLINE = "agent_online"
    AGENT_PARKED = "agent_parked"
    AGENT_UNWELL = "agent_unwell"
    AGENT_WELL = "agent_well"
    FLEET_PAUSED = "fleet_paused"
    FLEET_RESUMED = "fleet_resumed"
    FLEET_FROZEN = "fleet_frozen"
    FLEET_THAWED = "fleet_thawed"
    TASK_HELD = "task_held"
    OVERLAPS = "overlaps"
    QUEUED_BEHIND = "queued_behind"
    REPO_RENAMED = "repo_renamed"
    REPO_HELD = "repo_held"
    REPO_RELEASED = "repo_released"
    REPO_UNPROTECTED = "repo_unprotected"
    REPO_PROTECTED = "repo_protected"
    REPO_FROZEN = "repo_frozen"
    REPO_THAWED = "repo_thawed"
    GIVEN_UP = "given_up"
    FORGE_AWAY = "forge_away"
    FORGE_BACK = "forge_back"
    WEBHOOKS_SILENT = "webhooks_silent"
    WEBHOOKS_BACK = "webhooks_back"
    MERGED = "merged"
    PULL_CLOSED = "pull_closed"
    PULL_ASKED = "pull_asked"


class TaskName(Value, frozen=True):
    """A task as it was called at that moment."""

    id: TaskId
    repo: str
    issue: int
    url: str
    title: str

    @property
    def ref(self) -> str:
        return f"{self.repo}#{self.issue}"


class RunName(Value, frozen=True):
    """A run as far as a room hears of it."""

    id: RunId
    agent: AgentName
    attempt: int
    started_at: int = 0
    ended_at: int = 0


class TaskNotice(Effect, frozen=True, kw_only=True, tag="task_notice"):
    """What the room should hear of a task: of its moment, so it carries what it says.

    `retry_at` (epoch ms): it is tried again then; in old outboxes only, as the card tells of it.
    `other`: the task whose work changes the same `files`, of which there are `count`.
    `round`: the round that it completes, for `kinds`, with its `answers` to threads; 0 where it is
    the first that is heard of it. `by`: who has merged it; `wanted_by`: the account of whose
    wish that is.
    """

    notice: NoticeKind
    task: TaskName
    run: RunName | None = None
    pull_request: int | None = None
    summary: str = ""
    reason: ReasonCode | None = None
    detail: str = ""
    retry_at: int | None = None
    other: TaskName | None = None
    files: tuple[str, ...] = ()
    count: int = 0
    round: int = 0
    kinds: tuple[RoundKind, ...] = ()
    answers: tuple[Answer, ...] = ()
    by: str = ""
    wanted_by: str = ""


class AgentNotice(Effect, frozen=True, kw_only=True, tag="agent_notice"):
    """`faults`: so many in a row ended for `reason`; `proven`: it has filed a receipt since; `by`:
    whose wish it was."""

    notice: NoticeKind
    agent: AgentName
    by: str = ""
    until: int | None = None
    reason: ReasonCode | None = None
    detail: str = ""
    faults: int = 0
    proven: bool = False


class FleetNotice(Effect, frozen=True, kw_only=True, tag="fleet_notice"):
    """`spent`: on the day so far; `letters`: so many effects have been given up; `missed`: of so
    many changes no webhook told; `since` (epoch ms) and `detail`: of what does not work, or did
    not; `by`: whose wish it was."""

    notice: NoticeKind
    by: str = ""
    reason: ReasonCode | None = None
    until: int | None = None
    spent: Usage = Usage()
    letters: int = 0
    missed: int = 0
    since: int = 0
    detail: str = ""


class RepoNotice(Effect, frozen=True, kw_only=True, tag="repo_notice"):
    """`was`: the name before, of one that was renamed; `reason` and `detail` why it is held; `by`:
    whose wish it was."""

    notice: NoticeKind
    repo: str
    by: str = ""
    was: str = ""
    reason: ReasonCode | None = None
    detail: str = ""


class StuckNotice(Effect, frozen=True, kw_only=True, tag="stuck_notice"):
    """The wait of a task, of which all are told together that wait for the same: how many there are
    is for the sender to see. `until` is when the task's own wait was over, if it is."""

    notice: NoticeKind
    reason: WaitReason
    subject: str
    task: TaskId
    repo: str
    since: int
    until: int | None = None


Telling = TaskNotice | AgentNotice | FleetNotice | RepoNotice  # said as it is
Notice = Telling | StuckNotice
Talk = ShowAsk | ShowFate
RoomEffect = Notice | Talk | ShowCard
ForgeEffect = (
    ShowOnIssue | ReceiptComment | CommitStatus | AnswerPull | LandPull | RunAgain | TidyBranch
)
AnyEffect = ForgeEffect | RoomEffect


def destination(effect: ForgeEffect) -> str:
    """Where a forge effect goes, in order: one queue for each task's issue and each commit.

    Nothing in it changes when a repository is renamed.
    """
    match effect:
        case ShowOnIssue(task=task) | ReceiptComment(task=task) | AnswerPull(task=task):
            return f"forgejo:task/{task}"
        case LandPull(task=task) | RunAgain(task=task) | TidyBranch(task=task):
            return f"forgejo:task/{task}"
        case CommitStatus(sha=sha):
            return f"forgejo:commit/{sha}"


def kind(effect: type[AnyEffect]) -> str:
    """The effect's name in the outbox."""
    return str(effect.__struct_config__.tag)


def collapse(effect: AnyEffect) -> str | None:
    """Effects of one destination with the same word replace each other."""
    match effect:
        case ShowOnIssue() | ShowCard():
            return "state"
        case CommitStatus(receipt=receipt):
            return f"status:{receipt}" if receipt else "status"
        case FleetNotice(notice=NoticeKind.GIVEN_UP):
            return "given_up"
        case FleetNotice(notice=NoticeKind.FORGE_AWAY | NoticeKind.FORGE_BACK):
            return "forge"
        case FleetNotice(notice=NoticeKind.WEBHOOKS_SILENT | NoticeKind.WEBHOOKS_BACK):
            return "webhooks"
        case ShowAsk(run=run, ask=ask):
            return f"ask/{run}/{ask}"
        case ShowFate(run=run, message=message):
            return f"said/{run}/{message}"
        case StuckNotice(reason=reason, subject=subject):
            return f"stuck/{reason}/{subject}"
        case _:
            return None
