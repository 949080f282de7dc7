"""Numbers for Prometheus, in a registry of our own: several instances may share a process."""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Callable, Iterable, Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest

from fleetbot.domain.events import (
    ReceiptRefuted,
    ReceiptUnknown,
    ReceiptVerified,
    Recorded,
    event_type,
)
from fleetbot.domain.model import OPEN_STATES, AgentStatus
from fleetbot.domain.waiting import flags
from fleetbot.domain.waits import SIGNS, WaitReason
from fleetbot.loops import LoopHealth
from fleetbot.services.fleet import Fleet
from fleetbot.services.probe import ForgeProbe
from fleetbot.services.sending import Sending
from fleetbot.services.webhooks import Webhooks

_VERDICTS = {ReceiptVerified: "verified", ReceiptRefuted: "refuted", ReceiptUnknown: "unknown"}


class Metrics:
    """Counters begin at the start of the plugin; gauges are read when they are asked for."""

    def __init__(
        self,
        fleet: Fleet,
        claims_waiting: Callable[[], int],
        loops: Callable[[], Iterable[LoopHealth]],
        probe: ForgeProbe,
        webhooks: Webhooks,
        sending: Callable[[], Sending],
    ) -> None:
        self._fleet = fleet
        self._claims_waiting = claims_waiting
        self._loops = loops
        self._probe = probe
        self._webhooks = webhooks
        self._sending = sending
        self._registry = registry = CollectorRegistry()
        self._requests = Counter(
            "fleetbot_http_requests",
            "Requests answered",
            ["method", "path", "status"],
            registry=registry,
        )
        self._answered: dict[tuple[str, str, int], Counter] = {}
        self._events = Counter(
            "fleetbot_events", "Lines of the journal", ["type"], registry=registry
        )
        self._verdicts = Counter(
            "fleetbot_verifications", "Findings on receipts", ["verdict"], registry=registry
        )
        self._tasks = Gauge("fleetbot_tasks", "Open tasks by state", ["state"], registry=registry)
        self._flags = Gauge(
            "fleetbot_flags", "Runs that do not seem to get on", ["flag"], registry=registry
        )
        self._stuck = Gauge(
            "fleetbot_stuck",
            "Tasks that have waited for longer than `notify.stuck_minutes`, by reason",
            ["reason"],
            registry=registry,
        )
        self._agents = Gauge("fleetbot_agents", "Agents by status", ["status"], registry=registry)
        self._claims = Gauge(
            "fleetbot_claims_waiting", "Claims that wait for a task", registry=registry
        )
        self._outbox = Gauge(
            "fleetbot_outbox_entries", "Effects not delivered yet", ["to"], registry=registry
        )
        self._outbox_age = Gauge(
            "fleetbot_outbox_oldest_seconds",
            "How long the oldest effect has been due",
            ["to"],
            registry=registry,
        )
        self._dead = Gauge(
            "fleetbot_outbox_dead_letters", "Effects that were given up", registry=registry
        )
        self._dead_age = Gauge(
            "fleetbot_outbox_dead_letters_oldest_seconds",
            "How long ago the first of them was given up",
            registry=registry,
        )
        self._idle = Gauge(
            "fleetbot_loop_idle_seconds",
            "How long ago a background loop last ran without an error",
            ["loop"],
            registry=registry,
        )
        self._away = Gauge(
            "fleetbot_forge_away_seconds",
            "For how long Forgejo could not be used, 0 if it can",
            registry=registry,
        )
        self._missed = Gauge(
            "fleetbot_webhooks_missed",
            "Changes of issues that no webhook told of, since the last that came",
            registry=registry,
        )
        self._unsent = Gauge(
            "fleetbot_chat_waiting",
            "What waits to be sent to rooms, apart from what is in the outbox",
            ["urgency"],
            registry=registry,
        )
        self._chat_lag = Gauge(
            "fleetbot_chat_lag_seconds",
            "For how long the first of it has waited",
            registry=registry,
        )
        self._chat_refusals = Gauge(
            "fleetbot_chat_refusals",
            "How often the homeserver has said that it was too much (429), since the start",
            registry=registry,
        )
        fleet.listen(self._on_lines)

    def count_request(self, method: str, path: str, status: int) -> None:
        its = (method, path, status)
        counter = self._answered.get(its)
        if counter is None:  # to look one up by its labels takes as long as a tenth of a request
            counter = self._answered[its] = self._requests.labels(method, path, str(status))
        counter.inc()

    def _on_lines(self, lines: Sequence[Recorded]) -> None:
        for line in lines:
            self._events.labels(event_type(line.event)).inc()
            if verdict := _VERDICTS.get(type(line.event)):
                self._verdicts.labels(verdict).inc()

    async def expose(self) -> bytes:
        """Everything in Prometheus' text format."""
        state = self._fleet.state
        _fill(self._tasks, OPEN_STATES, (task.state for task in state.tasks.values()))
        _fill(self._agents, AgentStatus, (agent.status for agent in state.agents.values()))
        self._fill_waits()
        self._claims.set(self._claims_waiting())
        for loop in self._loops():
            self._idle.labels(loop.name).set(loop.idle)
        since = self._probe.since
        self._away.set((self._fleet.clock() - since) / 1000 if since else 0)
        self._missed.set(sum(heard.missed for heard in self._webhooks.silent().values()))
        self._fill_sending()
        await self._fill_outbox()
        return generate_latest(self._registry)

    def _fill_sending(self) -> None:
        sending = self._sending()
        for urgency, count in sending.waiting.items():
            self._unsent.labels(urgency).set(count)
        self._chat_lag.set(sending.lag_ms / 1000)
        self._chat_refusals.set(sending.refusals)

    def _fill_waits(self) -> None:
        """Only what it costs nothing to know: runs that are on, and waits that were told."""
        state, now, policy = self._fleet.state, self._fleet.clock(), self._fleet.policy
        tasks = [state.tasks[run.task] for run in state.live_runs()]
        _fill(
            self._flags, SIGNS, (f for task in tasks for f in flags(state, task, None, now, policy))
        )
        stuck = (reason for (reason, _), its in state.stuck.items() for _ in its)
        _fill(self._stuck, WaitReason, stuck)

    async def _fill_outbox(self) -> None:
        """By sender: there may be as many destinations as issues."""
        now, store = self._fleet.clock(), self._fleet.store
        waiting = {backlog.sender: backlog for backlog in await store.backlog()}
        for sender in {"forgejo", "matrix", "cards", "urgent", *waiting}:
            backlog = waiting.get(sender)
            self._outbox.labels(sender).set(backlog.pending if backlog else 0)
            age = now - backlog.oldest if backlog else 0
            self._outbox_age.labels(sender).set(max(0, age) / 1000)
        graveyard = await store.graveyard()
        self._dead.set(graveyard.letters)
        self._dead_age.set(0 if graveyard.oldest is None else (now - graveyard.oldest) / 1000)


def _fill(gauge: Gauge, possible: Iterable[str], present: Iterable[str]) -> None:
    counted = Tally(present)
    for value in possible:
        gauge.labels(str(value)).set(counted[value])
