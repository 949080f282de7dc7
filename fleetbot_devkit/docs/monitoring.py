"""`metrics.md`: what `/metrics` shows, from the definitions that it is made by."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from fleetbot.web.metrics.definitions import ALL, Metric, Since
from fleetbot_devkit.docs.markdown import code, codes, page, table

_SINCE = {
    Since.NOW: "now",
    Since.PROCESS: "since the start",
    Since.JOURNAL: "all there ever was",
}


def metrics() -> str:
    return page(
        "Metrics",
        "`GET /metrics` below the plugin's address, with a reader's token, in Prometheus' text "
        "format. What to make of them, with alerts and a dashboard: "
        "[monitor the fleet](../howto/monitor.md).",
        table(("metric", "kind", "labels", "counts", "meaning"), _rows(ALL)),
        "*Now*: read at the moment of the scrape. *Since the start*: counted by the process; a "
        "start or a new configuration begins at 0, which Prometheus' `rate` and `increase` know. "
        "*All there ever was*: summed up from the journal's read models, so that no restart and no "
        "change of the leader loses or repeats anything.",
        "Labels are words of the code, but for these, which are bounded, whatever people call "
        f"things: `agent` ({_bound('agent')}), `repository` and `wants` ({_bound('wants')}).",
        "One that stands by answers with `fleetbot_leader` 0 and `fleetbot_build_info`, and "
        "nothing else: sums over both orchestrators are right.",
    )


def _rows(metrics: Iterable[Metric]) -> Iterator[tuple[str, ...]]:
    for its in metrics:
        yield code(its.name), its.kind, codes(its.labels), _SINCE[its.since], f"{its.help}."


def _bound(label: str) -> str:
    return next(its.bound for its in ALL if label in its.labels and its.bound)
