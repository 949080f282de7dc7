"""What fleetbot tells of itself: its journal, what it used, what it could not deliver, its health.

For people's programs, and for whatever watches over it.
"""

from __future__ import annotations

from typing import Any, Literal

from fleetbot.wire.base import Answer


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
    """`archived`: how many events of the task, its first ones, are in the archive only; the last of
    them in its file `archive`."""

    events: tuple[EventView, ...]
    next: int | None = None
    archived: int = 0
    archive: str = ""


class DeadLetterView(Answer, frozen=True):
    """An effect that was given up: it was to go out at `due_at`; `error` is what came of it."""

    id: str
    destination: str
    kind: str
    due_at: int
    given_up_at: int
    error: str


class DeadLetterList(Answer, frozen=True):
    """`next`: give it as `after` for the following page; absent on the last."""

    letters: tuple[DeadLetterView, ...]
    next: int | None = None


class LettersMoved(Answer, frozen=True):
    """How many dead letters are sent again, or let go of."""

    letters: int


class Health(Answer, frozen=True):
    status: Literal["ok", "degraded", "standby"]
    checks: dict[str, str]
    version: str


class FindingView(Answer, frozen=True):
    """Something that was examined. In `says` and `remedy` stands `code` between back-quotes."""

    name: str
    mark: Literal["well", "warn", "bad"]
    says: str
    remedy: tuple[str, ...] = ()


class DoctorAnswer(Answer, frozen=True):
    """`GET doctor`: the worst first. Whatever `healthz` complains of is among them."""

    findings: tuple[FindingView, ...]


class WebhookView(Answer, frozen=True):
    """Of a repository: when its last delivery came (epoch ms, 0: none has since the fleet knows of
    it), and how many changes since then were found only by looking."""

    repo: str
    repo_id: int
    heard_at: int
    missed: int = 0


class WebhookList(Answer, frozen=True):
    """`GET webhooks`: of the repositories that the fleet works on and has found. `url`: where
    deliveries go, by the address that maubot gives itself. `refusing`: the last that came had no
    right signature."""

    url: str
    refusing: bool
    webhooks: tuple[WebhookView, ...]


class LeadAnswer(Answer, frozen=True):
    version: str


class DeliveryAnswer(Answer, frozen=True):
    """`known`: the delivery had arrived before, and changes nothing now."""

    delivery: str
    known: bool
