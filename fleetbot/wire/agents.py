"""What a runner and the orchestrator say to each other about one agent and its runs."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from fleetbot.domain.model import MOST_RUNS, Artifact, RunState, Taken, Verdict
from fleetbot.domain.overlap import MOST_FILES
from fleetbot.domain.reasons import ReasonCode
from fleetbot.wire.base import (
    AgentNameText,
    Answer,
    CapabilityText,
    CommitSha,
    Concurrency,
    IdText,
    LongText,
    Message,
    Millis,
    Number,
    PartText,
    PathText,
    ShortText,
    one_of,
)
from fleetbot.wire.machine import MachineReport
from fleetbot.wire.rounds import ReplyClaim, RoundBrief
from fleetbot.wire.usage import UsageReport

ASK_BYTES = 16 * 1024
"""How much JSON the request of a question may be: a person is to read it."""
ASK_DEPTH = 32
"""How deeply it may be nested: whoever reads it later does so from deeper within a program."""
SUPERSEDED = "superseded"
"""Why a run is taken away that has no reason of its own: another has taken its place."""


class HealthLine(msgspec.Struct, frozen=True, kw_only=True):
    """One finding of an agent's health check, with what to do where it is not well."""

    name: ShortText
    ok: bool
    detail: ShortText = ""
    remedy: ShortText = ""


class RegisterRequest(Message, frozen=True):
    """`POST agents/register`: with the enrolment token, or the agent's own to update itself."""

    name: AgentNameText
    adapter: ShortText
    capabilities: Annotated[tuple[CapabilityText, ...], Meta(max_length=64)] = ()
    max_concurrency: Concurrency = 1
    account: ShortText = ""
    host: ShortText = ""
    program: ShortText = ""
    health: Annotated[tuple[HealthLine, ...], Meta(max_length=32)] = ()


class RegisterAnswer(Answer, frozen=True):
    """`token` is given once, when the agent is new; later registrations leave it out.

    `wants_machine`, `wants_files`: heartbeats may tell of the machine, and of the files that runs
    have changed; those who do not say so refuse it.
    """

    agent: str
    heartbeat_seconds: float
    lease_seconds: float
    claim_wait_seconds: float
    log_batch_lines: int
    log_batch_bytes: int
    token: str | None = None
    wants_machine: bool = False
    wants_files: bool = False


class HeartbeatRequest(Message, frozen=True, omit_defaults=True):
    """`POST agents/heartbeat`: extends the leases of the runs it names.

    `usage` is what a run has used so far, all in all; a run whose program does not tell is left
    out. `machine` and `files` only where the registration's answer wants them. `files`: by run,
    what its worktree has changed so far; a run that is left out is as it was.
    """

    runs: Annotated[tuple[ShortText, ...], Meta(max_length=MOST_RUNS)] = ()
    usage: Annotated[dict[ShortText, UsageReport], Meta(max_length=MOST_RUNS)] = msgspec.field(
        default_factory=dict
    )
    machine: MachineReport | None = None
    files: Annotated[
        dict[ShortText, Annotated[tuple[PathText, ...], Meta(max_length=MOST_FILES)]],
        Meta(max_length=MOST_RUNS),
    ] = msgspec.field(default_factory=dict)


class CancelOrder(Answer, frozen=True):
    """A run that is the agent's no longer: why it ended, or `superseded` by another."""

    run: str
    reason: Annotated[str, one_of((*ReasonCode, SUPERSEDED))]


class HeartbeatAnswer(Answer, frozen=True):
    """What to do: runs to stop, and whether to take nothing new.

    `check`: the agent is held to be unwell, and is given nothing until it has looked at its health
    and registered again with all lines ok.
    """

    next_seconds: float
    cancel: tuple[CancelOrder, ...] = ()
    drain: bool = False
    check: bool = False


class ClaimRequest(Message, frozen=True):
    """`POST agents/claim`: long poll of up to `wait` seconds; `Idempotency-Key` names the try."""

    wait: Annotated[float, Meta(ge=0, le=60)] = 25


class Assignment(Answer, frozen=True):
    """A run for the agent: what to do, where, on which branch, and until when to acknowledge.

    `number`: the place of this run among all of the task's, from 1; `attempt` counts only those
    that count, and may be the same for several.
    `budget_usd`: what is left of the task's budget; a program that can keep to it is told.
    `forbidden_paths`: patterns of what may not be changed; nothing that does is to be pushed.
    `repo_id`: what Forgejo knows the repository by, whatever it is called; 0 where that is unknown.
    `round`: the task has an open pull request, and this is what it is owed.
    `traceparent`: the run's span, as of W3C Trace Context, where traces are kept.
    """

    run: str
    task: str
    attempt: int
    repo: str
    issue: int
    title: str
    kind: str
    priority: str
    branch: str
    ack_seconds: float
    lease_seconds: float
    timeout_seconds: float
    base: str = ""
    refuted: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    budget_usd: float | None = None
    forbidden_paths: tuple[str, ...] = ()
    number: int = 1
    repo_id: int = 0
    round: RoundBrief | None = None
    traceparent: str = ""


class RunAnswer(Answer, frozen=True):
    run: str
    state: Annotated[str, one_of(RunState)]


class LineKind(StrEnum):
    """What a line of a log is; `system` are the runner's own, `step` those of them that every run
    has, and that cards and notices tell as well. One not known here is `output`."""

    ASSISTANT = "assistant"
    TOOL = "tool"
    TOOL_OUTPUT = "tool_output"
    STDERR = "stderr"
    SYSTEM = "system"
    STEP = "step"
    OUTPUT = "output"

    @classmethod
    def _missing_(cls, value: object) -> LineKind:
        return cls.OUTPUT


class LogLine(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of a run's log; `at` in epoch milliseconds."""

    at: Millis
    text: Annotated[str, Meta(max_length=16_384)]
    kind: LineKind = LineKind.OUTPUT


class LogRequest(Message, frozen=True):
    """`POST runs/{run}/log`: lines from `offset` on, counted from the run's first line as 0."""

    offset: Annotated[int, Meta(ge=0, le=2**53)]
    lines: Annotated[tuple[LogLine, ...], Meta(max_length=1000)]


class LogAnswer(Answer, frozen=True):
    """`acked`: how many lines of the run are dealt with; the runner drops those.

    They are on disk, except behind the last line of a log that has become too long.
    """

    acked: int


class FailRequest(Message, frozen=True):
    """`POST runs/{run}/fail`: the agent could not do it. `until` (epoch ms): a limit's reset."""

    reason: ReasonCode
    detail: LongText = ""
    usage: UsageReport = UsageReport()
    until: Millis | None = None


class ArtifactClaim(Message, frozen=True):
    """One thing that a receipt points at; `kind`: `pull_request`, `branch`, `commit`, `log`, …"""

    kind: ShortText
    name: ShortText
    url: Annotated[str, Meta(max_length=2000)]

    @property
    def artifact(self) -> Artifact:
        return Artifact(kind=self.kind, name=self.name, url=self.url)


class ReceiptRequest(Message, frozen=True):
    """`POST receipts`: what the agent claims. Header `Idempotency-Key` names the receipt."""

    run: IdText
    pull_request: Number
    branch: ShortText
    head: CommitSha
    files: Annotated[tuple[PathText, ...], Meta(max_length=5000)] = ()
    summary: LongText = ""
    artifacts: Annotated[tuple[ArtifactClaim, ...], Meta(max_length=50)] = ()
    usage: UsageReport = UsageReport()
    replies: Annotated[tuple[ReplyClaim, ...], Meta(max_length=500)] = ()


class SeenContext(Answer, frozen=True):
    """A CI context and its newest state, in Forgejo's word."""

    name: str
    state: str


class Evidence(Answer, frozen=True):
    """What Forgejo showed of a receipt that held, at `checked_at`.

    `ci`: none, pending, red, green or unread; `contexts` are the first of `context_count`.
    """

    head: str
    tree: str
    base: str
    author: str
    merged: bool
    files: int
    commits: int
    approved_by: tuple[str, ...]
    ci: str
    contexts: tuple[SeenContext, ...]
    context_count: int
    notes: tuple[str, ...]
    checked_at: Millis


class ReceiptAnswer(Answer, frozen=True):
    """`refuted` with `final` false: the agent may mend it and file again while its lease holds."""

    receipt: str
    run: str
    verdict: Verdict
    reasons: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()
    final: bool = False
    evidence: Evidence | None = None


class AskRequest(Message, frozen=True):
    """`POST runs/{run}/ask`: the agent program waits for a person. The same `id` asks once.

    `request` is the program's whole request, secrets masked, of up to 16 KiB of JSON; `cut`: it was
    longer, so that nobody can allow it. `always`: what the answer `always` allows for the rest of
    the run, where there is one. After `expires_seconds` nobody waits for the answer any more.
    """

    id: PartText
    kind: Literal["permission", "question"]
    title: ShortText
    request: dict[str, Any] = msgspec.field(default_factory=dict)
    options: Annotated[tuple[ShortText, ...], Meta(max_length=20)] = ()
    cut: bool = False
    always: Annotated[str, Meta(max_length=500)] = ""
    expires_seconds: Annotated[float, Meta(gt=0, le=86_400)] = 600

    def __post_init__(self) -> None:
        if (size := len(msgspec.json.encode(self.request))) > ASK_BYTES:
            raise ValueError(f"request has {size} bytes of JSON; {ASK_BYTES} are the most")
        if _deeper_than(ASK_DEPTH, self.request):
            raise ValueError(f"request is nested more than {ASK_DEPTH} deep")


class AskAnswer(Answer, frozen=True):
    """Also of `GET runs/{run}/asks/{id}?wait=`, a long poll that ends early once it is answered,
    and of `DELETE` there, which takes the question back.

    `behavior` and `text` count only when `state` is `answered`. `always` comes only where the
    question has offered it.
    """

    state: Literal["waiting", "answered", "expired", "withdrawn"]
    behavior: Literal["allow", "deny", "always"] = "deny"
    text: LongText = ""


class MessageView(Answer, frozen=True):
    """`taken` is absent while the agent has not heard of it.

    `kept`: the program cannot be spoken to while it runs; the next attempt is told.
    """

    id: str
    run: str
    text: str
    taken: Taken | None = None


class MessageList(Answer, frozen=True):
    """Also of `GET runs/{run}/messages?wait=`, a long poll for those the agent has not taken."""

    messages: tuple[MessageView, ...]


class TakenRequest(Message, frozen=True):
    """`POST runs/{run}/messages/{id}/taken`: what became of a message."""

    taken: Taken


def _deeper_than(depth: int, value: object) -> bool:
    level = [value]
    for _ in range(depth):
        lists = [item for item in level if isinstance(item, list)]
        objects = [item.values() for item in level if isinstance(item, dict)]
        level = [item for inner in (*lists, *objects) for item in inner]
    return any(isinstance(item, dict | list) for item in level)
