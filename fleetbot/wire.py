"""Messages between runner and orchestrator, defined once for both ends and the API description.

Every request is decoded strictly: an unknown or mistyped field is refused with its name.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from fleetbot.domain.model import (
    Artifact,
    Behavior,
    Priority,
    Taken,
    TaskState,
    Usage,
    Verdict,
)
from fleetbot.domain.reasons import ReasonCode

API = "api/v1"

# In patterns: Python's `$` also matches before a line feed at the end, JSON Schema's does not.

AgentNameText = Annotated[
    str,
    Meta(
        pattern=r"^[a-z0-9](?:[a-z0-9._-]{0,38}[a-z0-9])?$(?!\n)",
        description="1 to 40 of a-z 0-9 . _ -, beginning and ending with a letter or digit",
    ),
]
CapabilityText = Annotated[
    str,
    Meta(
        pattern=r"^[a-z0-9][a-z0-9._+#-]{0,39}$(?!\n)", description="1 to 40 of a-z 0-9 . _ + # -"
    ),
]
Millis = Annotated[
    int, Meta(ge=0, le=2**53, description="milliseconds since the beginning of 1970")
]
Number = Annotated[int, Meta(ge=1, le=2**31 - 1, description="the number Forgejo gave it")]
ShortText = Annotated[str, Meta(max_length=200)]
LongText = Annotated[str, Meta(max_length=20_000)]
CommitSha = Annotated[
    str, Meta(pattern=r"^[0-9a-f]{40,64}$(?!\n)", description="full commit id, lower-case hex")
]
Concurrency = Annotated[int, Meta(ge=1, le=64)]


class Message(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of requests."""


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """Base of answers; a reader ignores fields it does not know: a newer server may add some."""


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
    """`token` is given once, when the agent is new; later registrations leave it out."""

    agent: str
    heartbeat_seconds: float
    lease_seconds: float
    claim_wait_seconds: float
    log_batch_lines: int
    log_batch_bytes: int
    token: str | None = None


class HeartbeatRequest(Message, frozen=True):
    """`POST agents/heartbeat`: extends the leases of the runs it names.

    `usage` is what a run has used so far, all in all; a run whose program does not tell is left
    out.
    """

    runs: Annotated[tuple[ShortText, ...], Meta(max_length=64)] = ()
    usage: Annotated[dict[ShortText, Usage], Meta(max_length=64)] = {}


class CancelOrder(Answer, frozen=True):
    run: str
    reason: str


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


class RunAnswer(Answer, frozen=True):
    run: str
    state: str


class LogLine(msgspec.Struct, frozen=True, kw_only=True):
    """`at` in epoch milliseconds; `kind`: assistant, tool, tool_output, stderr, system, output."""

    at: Millis
    text: Annotated[str, Meta(max_length=16_384)]
    kind: ShortText = "output"


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
    usage: Usage = Usage()
    until: Millis | None = None


class ReceiptRequest(Message, frozen=True):
    """`POST receipts`: what the agent claims. Header `Idempotency-Key` names the receipt."""

    run: ShortText
    pull_request: Number
    branch: ShortText
    head: CommitSha
    files: Annotated[tuple[Annotated[str, Meta(max_length=1000)], ...], Meta(max_length=5000)] = ()
    summary: LongText = ""
    artifacts: Annotated[tuple[Artifact, ...], Meta(max_length=50)] = ()
    usage: Usage = Usage()


class ReceiptAnswer(Answer, frozen=True):
    """`refuted` with `final` false: the agent may mend it and file again while its lease holds."""

    receipt: str
    run: str
    verdict: Verdict
    reasons: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()
    final: bool = False


class AskRequest(Message, frozen=True):
    """`POST runs/{run}/ask`: the agent program waits for a person. The same `id` asks once.

    `request` is the program's whole request, secrets masked. After `expires_seconds` nobody waits
    for the answer any more.
    """

    id: ShortText
    kind: Literal["permission", "question"]
    title: ShortText
    request: dict[str, Any] = {}
    options: Annotated[tuple[ShortText, ...], Meta(max_length=20)] = ()
    expires_seconds: Annotated[float, Meta(gt=0, le=86_400)] = 600


class AskAnswer(Answer, frozen=True):
    """Also of `GET runs/{run}/asks/{id}?wait=`, a long poll that ends early once it is answered.

    `behavior` and `text` count only when `state` is `answered`.
    """

    state: Literal["waiting", "answered", "expired"]
    behavior: Literal["allow", "deny"] = "deny"
    text: LongText = ""


class AnswerRequest(Message, frozen=True):
    """`POST runs/{run}/asks/{id}/answer`: what a person says; a question wants a `text`."""

    behavior: Behavior
    text: LongText = ""


class AskView(Answer, frozen=True):
    """A question that waits for a person. `request` is the program's own, secrets masked."""

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


class AskList(Answer, frozen=True):
    asks: tuple[AskView, ...]


class MessageRequest(Message, frozen=True):
    """`POST runs/{run}/messages`: something a person says to the run."""

    text: Annotated[str, Meta(min_length=1, max_length=20_000)]


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


class UnwellView(Answer, frozen=True):
    """Why an agent takes nothing until its check passes again, and what ends that."""

    reason: ReasonCode
    since: int
    detail: str
    advice: str


class AgentView(Answer, frozen=True):
    """`parked_until`: until then (epoch ms) it takes nothing, because of `parked_for`.

    `draining`: it takes nothing new until a person resumes it. `faults`: so many of its runs in a
    row ended for reasons that their tasks do not own. A person's resume ends all of these.
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
    parked_until: int = 0
    parked_for: ReasonCode | None = None
    draining: bool = False
    unwell: UnwellView | None = None
    faults: int = 0


class AgentList(Answer, frozen=True):
    agents: tuple[AgentView, ...]


class NewTaskRequest(Message, frozen=True):
    """`POST tasks`: take an issue (`issue`), or open one for it (`title`, `body`)."""

    repo: ShortText
    issue: Number | None = None
    title: Annotated[str, Meta(max_length=255)] | None = None
    body: LongText = ""


class TaskView(Answer, frozen=True):
    """`last_run`: the one before `run`, or the latest while the task waits for its next."""

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
    spent: Usage = Usage()


class TaskList(Answer, frozen=True):
    """`next`: give it as `before` for the following page; absent on the last."""

    tasks: tuple[TaskView, ...]
    next: str | None = None


class UsageRow(Answer, frozen=True):
    """What runs used together; `input_tokens` includes `cached_tokens`.

    `cost_usd` is null where no program told.
    """

    key: str
    runs: int
    input_tokens: int
    output_tokens: int
    cached_tokens: int
    cost_usd: float | None


class UsageAnswer(Answer, frozen=True):
    """`GET usage`: the dearest parts first, or days from the newest back; `total` is of all."""

    by: str
    parts: tuple[UsageRow, ...]
    total: UsageRow


class EventView(Answer, frozen=True):
    """One line of the journal. `data` is the event's own fields."""

    seq: int
    stream: str
    version: int
    type: str
    at: int
    actor: str
    cause: str
    data: dict[str, Any]


class EventList(Answer, frozen=True):
    events: tuple[EventView, ...]
    next: int | None = None


class Health(Answer, frozen=True):
    status: Literal["ok", "degraded"]
    checks: dict[str, str]
    version: str


class Problem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """RFC 9457 problem details; `field` names the part of the request at fault."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    field: str | None = None
    replaced_by: str | None = None


def priority_name(priority: Priority) -> str:
    """`high` for `Priority.HIGH`: how priorities are written in JSON and in labels."""
    return priority.name.lower()
