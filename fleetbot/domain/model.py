"""The values of the fleet: tasks, runs, agents, receipts. Frozen; times are epoch milliseconds.

They have no limits: what was kept must always be read again, sums too. What comes in is limited
where it comes in, by `wire`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import IntEnum, StrEnum
from itertools import zip_longest
from typing import NewType

from fleetbot.domain.pulls import PullState, Reply, Round, Watch
from fleetbot.domain.reasons import ReasonCode
from fleetbot.domain.usage import Budget, Usage
from fleetbot.domain.values import Value
from fleetbot.domain.waits import WaitReason

TaskId = NewType("TaskId", str)
RunId = NewType("RunId", str)
AgentName = NewType("AgentName", str)
ReceiptId = NewType("ReceiptId", str)

AGENT_NAME = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,38}[a-z0-9])?\Z")
CAPABILITY = re.compile(r"[a-z0-9][a-z0-9._+#-]{0,39}\Z")
UNSTEADY_MS = 60_000  # clocks that are kept right go back by less
REPO = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}/(?!\.{1,2}\Z)[A-Za-z0-9_.-]{1,100}\Z")


class TaskState(StrEnum):
    CREATED = "created"
    ASSIGNED = "assigned"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    AGENT_LOST = "agent_lost"
    CANCELLED = "cancelled"


OPEN_STATES = frozenset(TaskState) - {TaskState.COMPLETED, TaskState.CANCELLED}


class Priority(IntEnum):
    LOW = 10
    NORMAL = 20
    HIGH = 30
    URGENT = 40


class AgentStatus(StrEnum):
    ONLINE = "online"
    OFFLINE = "offline"
    DEREGISTERED = "deregistered"


class AskKind(StrEnum):
    PERMISSION = "permission"
    QUESTION = "question"


class Behavior(StrEnum):
    """What a person says to a request; a question is answered with `allow` and a text.

    `always` allows it, and what the program said goes with that, for the rest of the run.
    """

    ALLOW = "allow"
    DENY = "deny"
    ALWAYS = "always"


class Taken(StrEnum):
    """What became of a message: heard by the live session, or kept for the next attempt."""

    DELIVERED = "delivered"
    KEPT = "kept"


class RunState(StrEnum):
    ASSIGNED = "assigned"
    RUNNING = "running"
    ENDED = "ended"


class Verdict(StrEnum):
    """What fleetbot has found out about a receipt so far."""

    PENDING = "pending"
    VERIFIED = "verified"
    REFUTED = "refuted"


class ReceiptCheck(StrEnum):
    """What is looked at of a receipt, for who counts what receipts fail by."""

    PULL = "pull"
    NEW = "new"
    AUTHOR = "author"
    COMMITS = "commits"
    TREE = "tree"
    FILES = "files"
    LINKS = "links"
    REVIEWS = "reviews"
    CI = "ci"
    ISSUE = "issue"  # what the task is about cannot be read
    BROKEN = "broken"  # a bug


class Ask(Value, frozen=True, kw_only=True):
    """A question of a run to a person; `title`, `options` and `always` only while it waits for one.

    What was asked and answered in full stays in the journal, in the lines `asked` and `answered`;
    `expired`: nobody answered in time; `withdrawn`: the program no longer asks. `cut`: parts of it
    are missing, or a room could not be shown all of it, so that nobody can allow it. `always`: what
    more the answer `always` allows; empty where the program knows no such answer.
    """

    id: str
    kind: AskKind
    title: str = ""
    options: tuple[str, ...] = ()
    asked_at: int
    expires_at: int
    behavior: Behavior | None = None
    expired: bool = False
    asked: int = 0
    answered: int = 0
    cut: bool = False
    always: str = ""
    withdrawn: bool = False


class Message(Value, frozen=True):
    """Something a person says to a run; once it was heard, its `text` is only in line `said`."""

    id: str
    text: str = ""
    taken: Taken | None = None
    said: int = 0


class Artifact(Value, frozen=True):
    """One thing a receipt points at."""

    kind: str
    name: str
    url: str


class Receipt(Value, frozen=True):
    """What an agent claims it did. Nothing in it is believed before `receipts.verify`.

    `replies`: its words on the threads of the round that it was given.
    """

    id: ReceiptId
    pull_request: int
    branch: str
    head: str
    files: tuple[str, ...] = ()
    summary: str = ""
    artifacts: tuple[Artifact, ...] = ()
    usage: Usage = Usage()
    replies: tuple[Reply, ...] = ()


class ContextState(Value, frozen=True):
    """A CI context and its newest state, in Forgejo's word."""

    name: str
    state: str


class Evidence(Value, frozen=True):
    """What Forgejo showed of a receipt that held, at `checked_at`.

    `tree` is the head's; `files` and `commits` are counts. `ci`: none, pending, red, green or
    unread; `contexts` are the first of `context_count`. `notes`: what people should know besides.
    """

    head: str
    tree: str = ""
    base: str = ""
    author: str = ""
    merged: bool = False
    files: int = 0
    commits: int = 0
    approved_by: tuple[str, ...] = ()
    ci: str = ""
    contexts: tuple[ContextState, ...] = ()
    context_count: int = 0
    notes: tuple[str, ...] = ()
    checked_at: int = 0


class FiledReceipt(Value, frozen=True):
    """A receipt with its history: whose it is and what became of it.

    `own_head`: its commit was found to be the head of the run's own pull request, so that a status
    was set on it.
    """

    receipt: Receipt
    task: TaskId
    run: RunId
    filed_at: int
    verdict: Verdict = Verdict.PENDING
    reasons: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()
    checks: int = 0
    check_at: int = 0
    own_head: bool = False
    evidence: Evidence | None = None


class Traits(Value, frozen=True):
    """What an issue's title and labels say of a task; derived anew at every edit.

    `labelled`: the trigger label asks for the fleet, rather than an assignment to the bot.
    """

    title: str
    kind: str = "task"
    priority: Priority = Priority.NORMAL
    agent: AgentName | None = None
    needs: tuple[str, ...] = ()
    labelled: bool = False


MOST_RUNS = 64  # of an agent at once, with those whose receipts are being checked
MOST_NAMES = 20  # that a repository had before and is still known by


MOST_OVERLAPS = 50  # of a task that are remembered


class Pause(Value, frozen=True):
    """A person wants nothing new given out: who (as an actor of the journal), and since when."""

    by: str
    since: int


class Repo(Value, frozen=True):
    """A repository, by the id that it keeps on Forgejo; 0 where nothing but a name is known.

    `name`: as Forgejo spells it now. `former`: what it was called before, newest first. `held`: why
    none of its tasks are given out; `frozen`: by a person's wish.
    """

    id: int
    version: int
    name: str
    default_branch: str = ""
    former: tuple[str, ...] = ()
    held: ReasonCode | None = None
    held_since: int = 0
    held_detail: str = ""
    frozen: Pause | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """All that it is known by, in small letters: Forgejo compares names without case."""
        return tuple(name.lower() for name in (self.name, *self.former))

    @property
    def places(self) -> tuple[int | str, ...]:
        """Where its tasks are found: by id, and those of old journals by name."""
        return (self.id, *self.names) if self.id else self.names


class Excuse(Value, frozen=True):
    """How often a task was let off for a reason that it does not own."""

    reason: ReasonCode
    times: int


class Stuck(Value, frozen=True):
    """A long wait of which people were told at `at`: it began at `since` (epoch ms)."""

    reason: WaitReason
    subject: str
    since: int
    at: int

    @property
    def cause(self) -> tuple[WaitReason, str]:
        """What tasks that wait for the same have in common."""
        return self.reason, self.subject


PRIVATE = "an issue of a private repository"


class Blocker(Value, frozen=True):
    """An issue that a task waits for, since it depends on it.

    `is_pull`: it is a pull request. `is_private`: it is of another repository, which not all who
    see the task may see. `merged_into`: it is closed, by a merge into this branch, which the task's
    base does not have.
    """

    repo: str
    issue: int
    repo_id: int = 0
    is_pull: bool = False
    is_private: bool = False
    merged_into: str = ""

    @property
    def place(self) -> int | str:
        """As of `Task.place`."""
        return self.repo_id or self.repo.lower()

    @property
    def name(self) -> str:
        """For all to see; a repository may bear another name by now."""
        return PRIVATE if self.is_private else f"{self.repo}#{self.issue}"


class Overlap(Value, frozen=True):
    """A task whose work changes files that this one's changes too, as people were told.

    `freed`: it is not to wait for that one any more, whatever they both change.
    """

    task: TaskId
    issue: int
    freed: bool = False


class Behind(Value, frozen=True):
    """The task of the same repository that a task waits behind, since `since` (epoch ms)."""

    task: TaskId
    issue: int
    since: int


class Task(Value, frozen=True):
    """`runs`: how many it has had in all; `attempt` counts those that were its own to lose.

    `repo_id` is 0 where an old journal knows the name only. `base_problem`: why nobody can start
    from the branch that the issue names. `reopened_at`: when the issue was reopened, by Forgejo's
    clock (epoch ms), that made it begin anew. `excused` begins anew when a person asks for it.
    `closing`: for what it is cancelled once its run has come to nothing, since `closing_since`.
    `entered_at`: since when it is in its state, or in the queue anew. `base_before`: what the base
    was called when its run began, if that is another name by now. `pull`: the pull request of the
    last receipt that held; `round`: what it is at work on for that; `prefer`: who should have it.
    `blockers`: issues that it waits for, since `blocked_since`; of `unseen_blockers` more that it
    depends on Forgejo does not tell the bot. `overlaps`: with whose work its own does, newest last.
    """

    id: TaskId
    version: int
    repo: str
    issue: int
    url: str
    author: str
    traits: Traits
    state: TaskState
    created_at: int
    updated_at: int
    queued_at: int
    repo_id: int = 0
    base: str = ""
    base_problem: str = ""
    branch: str = ""
    attempt: int = 0
    runs: int = 0
    reopened_at: int = 0
    excused: tuple[Excuse, ...] = ()
    not_before: int = 0
    first_assigned_at: int = 0
    run: RunId | None = None
    last_run: RunId | None = None
    pinned: AgentName | None = None
    avoid: AgentName | None = None
    reason: ReasonCode | None = None
    detail: str = ""
    receipt: ReceiptId | None = None
    refuted: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    closing: ReasonCode | None = None
    closing_since: int = 0
    stuck: Stuck | None = None
    spent: Usage = Usage()
    spent_before: Usage = Usage()  # of `spent`, when a person last asked for it anew
    entered_at: int = 0
    base_before: str = ""
    pull: Watch | None = None
    round: Round | None = None
    prefer: AgentName | None = None
    blockers: tuple[Blocker, ...] = ()
    blocked_since: int = 0
    unseen_blockers: int = 0
    overlaps: tuple[Overlap, ...] = ()
    behind: Behind | None = None

    @property
    def ref(self) -> str:
        """The issue as people write it: `owner/name#12`."""
        return f"{self.repo}#{self.issue}"

    @property
    def place(self) -> int | str:
        """Its repository: the id, or the name in small letters where that is all we have."""
        return self.repo_id or self.repo.lower()

    @property
    def is_queued(self) -> bool:
        """Whether nobody need ask for it again: it waits for its time, or for other work."""
        return self.state is TaskState.CREATED and not self.base_problem

    def rests(self, now: int) -> bool:
        """Whether its back-off is not over. One that is still to begin was made when the clock was
        ahead: nobody knows how long it would be."""
        return self.entered_at - UNSTEADY_MS <= now < self.not_before

    @property
    def is_ready(self) -> bool:
        """Whether it may be given to somebody, once its time has come."""
        return self.is_queued and not self.is_blocked and self.behind is None

    @property
    def is_blocked(self) -> bool:
        """Whether it waits for other issues; a round for what it has made already goes on."""
        return bool(self.blockers) and self.round is None

    @property
    def is_watched(self) -> bool:
        """Whether its pull request is looked after: a closed one may be reopened."""
        pull = self.pull
        return pull is not None and pull.state is not PullState.MERGED and not pull.left

    @property
    def is_to_be_merged(self) -> bool:
        """Whether it is done, and a person may still ask for more on its open pull request."""
        is_open = self.pull is not None and self.pull.state is PullState.OPEN
        return self.state is TaskState.COMPLETED and is_open

    @property
    def is_merged(self) -> bool:
        """Whether its work has landed, and nothing else is wanted of it."""
        merged = self.pull is not None and self.pull.state is PullState.MERGED
        return merged and self.state is TaskState.COMPLETED

    @property
    def is_asking(self) -> bool:
        """Whether people have to say how its pull request goes on."""
        return self.is_to_be_merged and bool(self.pull and self.pull.asking)

    @property
    def wanted_agent(self) -> AgentName | None:
        return self.pinned or self.traits.agent


class Run(Value, frozen=True):
    """One attempt at a task by one agent. `number`: its place among the task's runs, from 1.

    `checked_ms`: so long its receipts were being checked, which is not the agent's time. While one
    is, the run holds no slot.
    """

    id: RunId
    task: TaskId
    agent: AgentName
    attempt: int
    branch: str
    state: RunState
    assigned_at: int
    number: int = 0
    started_at: int = 0
    ended_at: int = 0
    refutations: int = 0
    receipt: ReceiptId | None = None
    reason: ReasonCode | None = None
    usage: Usage = Usage()
    asks: tuple[Ask, ...] = ()
    messages: tuple[Message, ...] = ()
    checked_ms: int = 0


class Agent(Value, frozen=True):
    """`health`: what its check found wrong; `remedies`: what to do about each, as far as its runner
    has said. `parked_until`: it takes nothing before; `unwell`: nothing until its check passes.

    `faults`: so many of its runs in a row ended for reasons of the same owner that is not the
    task; `fault` and `fault_at` are the last one's. `revoked`: it signed off because a person took
    its token. `forgotten`: no more than its place in the journal is known.
    """

    name: AgentName
    version: int
    adapter: str
    status: AgentStatus
    registered_at: int
    capabilities: tuple[str, ...] = ()
    max_concurrency: int = 1
    account: str = ""
    host: str = ""
    program: str = ""
    health: tuple[str, ...] = ()
    remedies: tuple[str, ...] = ()
    parked_until: int = 0
    parked_for: ReasonCode | None = None
    draining: bool = False
    unwell: ReasonCode | None = None
    unwell_since: int = 0
    unwell_detail: str = ""
    fault: ReasonCode | None = None
    fault_at: int = 0
    faults: int = 0
    signed_off_at: int = 0
    revoked: bool = False
    forgotten: bool = False

    def rests(self, now: int) -> bool:
        """Whether it takes nothing yet; as of a task's back-off."""
        return self.fault_at - UNSTEADY_MS <= now < self.parked_until


def ills(agent: Agent) -> Iterator[tuple[str, str]]:
    """What its check found wrong, each with what to do about it or an empty text."""
    return zip_longest(agent.health, agent.remedies[: len(agent.health)], fillvalue="")


class OverlapMode(StrEnum):
    """What follows where the work of two tasks changes the same files."""

    OFF = "off"
    TELL = "tell"
    QUEUE = "queue"


class Policy(Value, frozen=True):
    """What the domain decides by and runs are given; from configuration. Times in milliseconds."""

    max_attempts: int = 3
    retry_base_ms: int = 30_000
    retry_cap_ms: int = 3_600_000
    ack_ms: int = 30_000
    lease_ms: int = 90_000
    heartbeat_ms: int = 20_000
    run_timeout_ms: int = 3 * 3_600_000
    max_refutations: int = 2
    repo_limit: int = 0
    recheck_soon_ms: int = 1_000
    recheck_base_ms: int = 5_000
    recheck_cap_ms: int = 300_000
    verify_ms: int = 24 * 3_600_000
    stuck_ms: int = 3_600_000
    forget_agents_ms: int = 30 * 24 * 3_600_000
    task_budget: Budget = Budget()
    day_budget: Budget = Budget()
    forbidden_paths: tuple[str, ...] = ()
    max_review_rounds: int = 3
    max_ci_rounds: int = 2
    max_conflict_rounds: int = 3
    prefer_ms: int = 5 * 60_000
    overlap: OverlapMode = OverlapMode.TELL
    land_without_ci: bool = True


def same_name(one: str, other: str) -> bool:
    """Of repositories and accounts: Forgejo compares both without case."""
    return one.lower() == other.lower()


def branch_name(issue: int, title: str) -> str:
    """The branch of a task, `fleet/<issue>-<slug>`: safe as a ref and as a path for any title."""
    slug = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")[:40].strip("-")
    return f"fleet/{issue}-{slug}" if slug else f"fleet/{issue}"


def issue_of_branch(branch: str) -> int:
    """The issue that a branch of this form is for; 0 for any other."""
    found = re.match(r"fleet/(\d{1,18})(?:-|\Z)", branch)
    return int(found[1]) if found else 0
