"""Every metric there is, each in one place: what is exposed, and what the reference says of it."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

MOST_AGENTS = 200
MOST_LANES = 50


class Kind(StrEnum):
    GAUGE = "gauge"
    COUNTER = "counter"
    HISTOGRAM = "histogram"


class Since(StrEnum):
    """From when on it counts, and so what a restart does to it."""

    NOW = "now"
    PROCESS = "start"  # of the plugin, or of its configuration: Prometheus knows such resets
    JOURNAL = "journal"  # all there ever was, read from the journal's read models


class Metric(NamedTuple):
    """`name`: as it is scraped. `bound`: what keeps the labels' values few, where it is not that
    they are words of the code."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    since: Since = Since.NOW
    bound: str = ""


def _gauge(name: str, help: str, *labels: str, bound: str = "") -> Metric:
    return Metric(f"fleetbot_{name}", Kind.GAUGE, help, labels, bound=bound)


def _counter(name: str, help: str, *labels: str, since: Since = Since.PROCESS) -> Metric:
    return Metric(f"fleetbot_{name}_total", Kind.COUNTER, help, labels, since)


def _histogram(name: str, help: str, *labels: str, since: Since = Since.PROCESS) -> Metric:
    return Metric(f"fleetbot_{name}", Kind.HISTOGRAM, help, labels, since)


# the one that answers

LEADER = _gauge("leader", "1 where this one leads, 0 where it stands by. That one has no others")
BUILD = _gauge("build_info", "Always 1; what runs", "version")

# tasks and agents

TASKS = _gauge("tasks", "Open tasks by state", "state")
WAITING = _gauge("tasks_waiting", "Tasks that do not move, by why: the words of `why`", "reason")
STUCK = _gauge(
    "stuck",
    "Tasks that have waited for longer than `notify.stuck_minutes`, by reason",
    "reason",
)
FLAGS = _gauge("flags", "Runs that do not seem to get on", "flag")
READY = _gauge("queue_tasks", "Tasks that somebody may take")
READY_AGE = _gauge("queue_oldest_seconds", "For how long the oldest of them has been queued")
_LANES = f"the {MOST_LANES} lanes whose tasks have waited longest"
LANE = _gauge(
    "queue_lane_tasks",
    "The same, by what an agent must be or have to take them",
    "repository",
    "wants",
    bound=_LANES,
)
LANE_AGE = _gauge(
    "queue_lane_oldest_seconds",
    "For how long the oldest of them has been queued",
    "repository",
    "wants",
    bound=_LANES,
)
LANES = _gauge("queue_lanes", "How many such lanes there are")
AGENTS = _gauge("agents", "Agents by status", "status")
SLOTS = _gauge(
    "agent_slots", "What the agents that are online can run at once, by whether they do", "use"
)
HEARD = _gauge(
    "agent_heartbeat_age_seconds",
    "How long ago an agent that is online was heard",
    "agent",
    bound=f"the first {MOST_AGENTS} by name",
)
HEARD_LAST = _gauge("agent_heartbeat_age_max_seconds", "The most of that, over all agents")
CLAIMS = _gauge("claims_waiting", "Claims that wait for a task")
RUNS = _counter(
    "runs_ended", "Runs that ended, by reason code, or `verified`", "outcome", since=Since.JOURNAL
)
FIRST_TRY = _counter(
    "runs_first_try",
    "Those verified whose first receipt of the task's first run held",
    since=Since.JOURNAL,
)
DURATION = _histogram(
    "run_duration_seconds",
    "How long runs took from their start to their end, by whether they were verified",
    "verified",
    since=Since.JOURNAL,
)
TOKENS = _counter("tokens", "Tokens that ended runs have used", "kind", since=Since.JOURNAL)
COST = _counter("cost_usd", "What ended runs have cost, in dollars", since=Since.JOURNAL)
UNTOLD = _counter(
    "runs_without_cost", "Ended runs whose program tells no cost", since=Since.JOURNAL
)
TODAY = _gauge("cost_today_usd", "What the runs of this day (UTC) have cost, with those still on")
DAY_BUDGET = _gauge("budget_day_usd", "`budget.day_usd`; 0 is no bound")
EVENTS = _counter("events", "Lines of the journal", "type")
VERDICTS = _counter("verifications", "Findings on receipts", "verdict")
CHECKS = _counter(
    "verification_checks",
    "The checks by which receipts were refuted, or that could not be made",
    "verdict",
    "check",
)
ROUNDS = _counter("rounds", "Rounds on verified work, by what asks for them", "kind")

# outside

DELIVERIES = _counter(
    "webhook_deliveries",
    "Deliveries of Forgejo: `accepted`, `known` already, or why they were refused",
    "outcome",
)
DELIVERED_AT = _gauge(
    "webhook_last_timestamp_seconds", "When the last delivery was taken, 0 if none ever was"
)
MISSED = _gauge(
    "webhooks_missed", "Changes of issues that no webhook told of, since the last that came"
)
AWAY = _gauge("forge_away_seconds", "For how long Forgejo could not be used, 0 if it can")
OUTBOX = _gauge("outbox_entries", "Effects not delivered yet", "to", "kind")
OUTBOX_AGE = _gauge(
    "outbox_oldest_seconds", "How long the oldest of them has been due", "to", "kind"
)
SENT = _histogram(
    "outbox_delivery_seconds", "How long after they were due effects have arrived", "to"
)
DEAD = _gauge("outbox_dead_letters", "Effects that were given up")
DEAD_AGE = _gauge(
    "outbox_dead_letters_oldest_seconds", "How long ago the first of them was given up"
)
CHAT = _gauge(
    "chat_waiting",
    "What waits to be sent to rooms, apart from what is in the outbox",
    "urgency",
)
CHAT_LAG = _gauge("chat_lag_seconds", "For how long the first of it has waited")
CHAT_REFUSALS = _counter(
    "chat_refusals", "How often the homeserver has said that it was too much (429)"
)
CHAT_HEARD = _histogram(
    "chat_heard_delay_seconds", "How long after it was said what is said to us is heard"
)
SYNC_AGE = _gauge("chat_sync_age_seconds", "How long ago the homeserver last told us anything")

# inside

REQUESTS = _counter("http_requests", "Requests answered", "method", "path", "status")
IDLE = _gauge(
    "loop_idle_seconds", "How long ago a background loop last ran without an error", "loop"
)
LATE = _gauge("loop_late", "1 where that is much more than the loop's interval", "loop")
UNWRITABLE = _gauge(
    "journal_unwritable",
    "1 since something could not be written, until something is; and while it cannot be read",
)
LINES = _gauge("journal_lines", "Lines of the journal")
SIZE = _gauge("journal_size_bytes", "What the database takes")
FREE = _gauge("journal_disk_free_bytes", "What is free where it is; on SQLite only")
COMMITS = _histogram(
    "store_commit_seconds",
    "How long transactions took: the rate of the sum is how busy the writer is",
)
LOOK = _gauge("scrape_look_seconds", "What it took to look at all tasks that wait, the last time")

ALL: tuple[Metric, ...] = tuple(its for its in list(globals().values()) if type(its) is Metric)
