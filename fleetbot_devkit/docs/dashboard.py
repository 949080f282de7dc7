"""`deploy/monitoring/grafana-dashboard.json`: the fleet at a glance, for Grafana on Prometheus."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

_WIDE, _STAT, _HIGH, _LOW = 8, 4, 8, 4
_HERE = 'fleet=~"$fleet"'
_SOURCE = {"type": "prometheus", "uid": "${datasource}"}


class Query(NamedTuple):
    """`$` in the expression stands for the fleet that was chosen, within braces."""

    expr: str
    legend: str = ""

    @property
    def text(self) -> str:
        """As Prometheus is asked."""
        return self.expr.replace("{$", "{" + _HERE)


class Panel(NamedTuple):
    title: str
    queries: tuple[Query, ...]
    unit: str = "short"
    kind: str = "timeseries"
    help: str = ""
    stacked: bool = False
    red_from: float | None = None


def _graph(
    title: str,
    *queries: Query,
    unit: str = "short",
    help: str = "",
    stacked: bool = False,
) -> Panel:
    return Panel(title, queries, unit, help=help, stacked=stacked)


def _stat(
    title: str, expr: str, unit: str = "short", red_from: float | None = None, help: str = ""
) -> Panel:
    return Panel(title, (Query(expr),), unit, "stat", help, red_from=red_from)


def _rate(metric: str, by: str, more: str = "") -> str:
    return f"sum by ({by}) (increase({metric}{{${more}}}[$__rate_interval]))"


def _quantile(share: float, metric: str, by: str = "le") -> str:
    return (
        f"histogram_quantile({share}, sum by ({by}) (rate({metric}_bucket{{$}}[$__rate_interval])))"
    )


ROWS: tuple[tuple[str, tuple[Panel, ...]], ...] = (
    (
        "At a glance",
        (
            _stat("Leads", "max(fleetbot_leader{$})", help="1 where one of them does."),
            _stat("Open tasks", "sum(fleetbot_tasks{$})"),
            _stat(
                "Oldest ready task", "max(fleetbot_queue_oldest_seconds{$})", "s", red_from=14_400
            ),
            _stat("Agents online", 'sum(fleetbot_agents{$,status="online"})'),
            _stat(
                "First try",
                "sum(increase(fleetbot_runs_first_try_total{$}[$__range])) / "
                'sum(increase(fleetbot_runs_ended_total{$,outcome="verified"}[$__range]))',
                "percentunit",
                help="Of the tasks that were verified, those whose first receipt held.",
            ),
            _stat("Cost today", "max(fleetbot_cost_today_usd{$})", "currencyUSD"),
            _stat("Dead letters", "max(fleetbot_outbox_dead_letters{$})", red_from=1),
            _stat("Loops that stand", "sum(fleetbot_loop_late{$})", red_from=1),
            _stat("Forgejo away", "max(fleetbot_forge_away_seconds{$})", "s", red_from=300),
            _stat("Sync of the rooms", "max(fleetbot_chat_sync_age_seconds{$})", "s", red_from=300),
            _stat("Webhooks missed", "max(fleetbot_webhooks_missed{$})", red_from=1),
            _stat("Disk free", "min(fleetbot_journal_disk_free_bytes{$})", "bytes"),
        ),
    ),
    (
        "Tasks",
        (
            _graph(
                "Open tasks", Query("sum by (state) (fleetbot_tasks{$})", "{{state}}"), stacked=True
            ),
            _graph(
                "Why they wait",
                Query("sum by (reason) (fleetbot_tasks_waiting{$}) > 0", "{{reason}}"),
                stacked=True,
                help="The words of `!fleet why`: docs/reference/reasons.md.",
            ),
            _graph(
                "How long the oldest has waited, by lane",
                Query(
                    "topk(10, max by (repository, wants) (fleetbot_queue_lane_oldest_seconds{$}))",
                    "{{repository}} {{wants}}",
                ),
                unit="s",
            ),
            _graph(
                "Told to be stuck",
                Query("sum by (reason) (fleetbot_stuck{$}) > 0", "{{reason}}"),
                Query("sum by (flag) (fleetbot_flags{$}) > 0", "run: {{flag}}"),
            ),
        ),
    ),
    (
        "Runs and what became of them",
        (
            _graph(
                "Runs that ended",
                Query(f"{_rate('fleetbot_runs_ended_total', 'outcome')} > 0", "{{outcome}}"),
                stacked=True,
            ),
            _graph(
                "How long runs take",
                Query(
                    _quantile(0.5, "fleetbot_run_duration_seconds", "le, verified"),
                    "half, verified: {{verified}}",
                ),
                Query(
                    _quantile(0.9, "fleetbot_run_duration_seconds", "le, verified"),
                    "nine of ten, verified: {{verified}}",
                ),
                unit="s",
            ),
            _graph(
                "Findings on receipts",
                Query(_rate("fleetbot_verifications_total", "verdict"), "{{verdict}}"),
            ),
            _graph(
                "Checks that say no",
                Query(
                    f"{_rate('fleetbot_verification_checks_total', 'verdict, check')} > 0",
                    "{{verdict}}: {{check}}",
                ),
                stacked=True,
            ),
            _graph(
                "Rounds", Query(_rate("fleetbot_rounds_total", "kind"), "{{kind}}"), stacked=True
            ),
        ),
    ),
    (
        "Money",
        (
            _graph(
                "Cost of ended runs",
                Query("sum(increase(fleetbot_cost_usd_total{$}[1h]))", "in an hour"),
                unit="currencyUSD",
            ),
            _graph(
                "Today, and its bound",
                Query("max(fleetbot_cost_today_usd{$})", "today"),
                Query("max(fleetbot_budget_day_usd{$}) > 0", "bound"),
                unit="currencyUSD",
            ),
            _graph(
                "Tokens", Query(_rate("fleetbot_tokens_total", "kind"), "{{kind}}"), stacked=True
            ),
        ),
    ),
    (
        "Agents",
        (
            _graph(
                "Agents", Query("sum by (status) (fleetbot_agents{$})", "{{status}}"), stacked=True
            ),
            _graph(
                "Slots", Query("sum by (use) (fleetbot_agent_slots{$})", "{{use}}"), stacked=True
            ),
            _graph(
                "How long ago they were heard",
                Query(
                    "topk(10, max by (agent) (fleetbot_agent_heartbeat_age_seconds{$}))",
                    "{{agent}}",
                ),
                unit="s",
            ),
            _graph("Claims that wait", Query("sum(fleetbot_claims_waiting{$})", "claims")),
        ),
    ),
    (
        "Forgejo and the rooms",
        (
            _graph(
                "Webhooks",
                Query(
                    f"{_rate('fleetbot_webhook_deliveries_total', 'outcome')} > 0", "{{outcome}}"
                ),
                stacked=True,
            ),
            _graph(
                "Waits to go out",
                Query("sum by (to, kind) (fleetbot_outbox_entries{$}) > 0", "{{to}} {{kind}}"),
                stacked=True,
            ),
            _graph(
                "For how long the oldest has",
                Query("max by (to) (fleetbot_outbox_oldest_seconds{$})", "{{to}}"),
                unit="s",
            ),
            _graph(
                "How late it arrives (nine of ten)",
                Query(_quantile(0.9, "fleetbot_outbox_delivery_seconds", "le, to"), "{{to}}"),
                unit="s",
            ),
            _graph(
                "How late rooms are heard",
                Query(_quantile(0.5, "fleetbot_chat_heard_delay_seconds"), "half"),
                Query(_quantile(0.9, "fleetbot_chat_heard_delay_seconds"), "nine of ten"),
                unit="s",
            ),
            _graph(
                "How late rooms hear",
                Query("max(fleetbot_chat_lag_seconds{$})", "seconds"),
                Query(
                    "sum(increase(fleetbot_chat_refusals_total{$}[$__rate_interval]))",
                    "refusals (429)",
                ),
                Query("sum(fleetbot_chat_waiting{$})", "messages that wait"),
            ),
        ),
    ),
    (
        "Inside",
        (
            _graph(
                "Requests",
                Query(f"{_rate('fleetbot_http_requests_total', 'status')} > 0", "{{status}}"),
                stacked=True,
            ),
            _graph(
                "How busy the writer is",
                Query(
                    "sum(rate(fleetbot_store_commit_seconds_sum{$}[$__rate_interval]))",
                    "of its time",
                ),
                unit="percentunit",
            ),
            _graph(
                "How long a transaction takes",
                Query(_quantile(0.5, "fleetbot_store_commit_seconds"), "half"),
                Query(_quantile(0.99, "fleetbot_store_commit_seconds"), "99 of 100"),
                unit="s",
            ),
            _graph(
                "The journal", Query("max(fleetbot_journal_size_bytes{$})", "size"), unit="bytes"
            ),
            _graph(
                "Loops: last good run",
                Query("topk(10, max by (loop) (fleetbot_loop_idle_seconds{$}))", "{{loop}}"),
                unit="s",
            ),
        ),
    ),
)


def dashboard() -> str:
    """The file's text; Grafana imports it, and asks for the Prometheus to take."""
    told = {
        "title": "fleetbot",
        "uid": "fleetbot",
        "tags": ["fleetbot"],
        "schemaVersion": 39,
        "version": 1,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {"list": [_choose_source(), _choose_fleet()]},
        "annotations": {"list": []},
        "panels": list(_panels()),
    }
    return json.dumps(told, indent=2) + "\n"


def _choose_source() -> dict[str, Any]:
    return {
        "name": "datasource",
        "label": "Prometheus",
        "type": "datasource",
        "query": "prometheus",
    }


def _choose_fleet() -> dict[str, Any]:
    """Where the targets have no such label, all is one fleet."""
    query = "label_values(fleetbot_leader, fleet)"
    return {
        "name": "fleet",
        "label": "Fleet",
        "type": "query",
        "datasource": _SOURCE,
        "query": {"query": query, "refId": "fleet"},
        "definition": query,
        "refresh": 2,
        "includeAll": True,
        "allValue": ".*",
        "current": {"text": "All", "value": "$__all"},
    }


def _panels() -> Iterator[dict[str, Any]]:
    number = y = 0
    for title, panels in ROWS:
        number += 1
        place = {"x": 0, "y": y, "w": 24, "h": 1}
        yield {"id": number, "type": "row", "title": title, "gridPos": place, "panels": []}
        y += 1
        for panel, place in _placed(panels, y):
            number += 1
            yield _panel(number, panel, place)
        y = place["y"] + place["h"]


def _placed(panels: Sequence[Panel], y: int) -> Iterator[tuple[Panel, dict[str, int]]]:
    """From left to right, then below."""
    x = 0
    for panel in panels:
        wide, high = (_STAT, _LOW) if panel.kind == "stat" else (_WIDE, _HIGH)
        if x + wide > 24:
            x, y = 0, y + high
        yield panel, {"x": x, "y": y, "w": wide, "h": high}
        x += wide


def _panel(number: int, panel: Panel, place: dict[str, int]) -> dict[str, Any]:
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.help,
        "datasource": _SOURCE,
        "gridPos": place,
        "targets": [
            _target(letter, its) for letter, its in zip("ABC", panel.queries, strict=False)
        ],
        "fieldConfig": {"defaults": _field(panel), "overrides": []},
        "options": _options(panel),
    }


def _target(letter: str, query: Query) -> dict[str, Any]:
    return {
        "refId": letter,
        "datasource": _SOURCE,
        "expr": query.text,
        "legendFormat": query.legend or "__auto",
    }


def _field(panel: Panel) -> dict[str, Any]:
    steps: list[dict[str, Any]] = [{"color": "green", "value": None}]
    if panel.red_from is not None:
        steps.append({"color": "red", "value": panel.red_from})
    field: dict[str, Any] = {
        "unit": panel.unit,
        "min": 0,
        "thresholds": {"mode": "absolute", "steps": steps},
    }
    if panel.kind == "timeseries":
        stacking = {"mode": "normal" if panel.stacked else "none", "group": "A"}
        fill = 30 if panel.stacked else 5
        field["custom"] = {"fillOpacity": fill, "lineWidth": 1, "stacking": stacking}
    return field


def _options(panel: Panel) -> dict[str, Any]:
    if panel.kind == "stat":
        return {"reduceOptions": {"calcs": ["lastNotNull"]}, "colorMode": "value"}
    return {
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
