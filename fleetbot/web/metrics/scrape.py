"""What one scrape answers, in Prometheus' text format."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from math import isinf
from typing import TypeVar

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)
from prometheus_client.metrics_core import (
    Metric as Family,
)

from fleetbot.spread import Spread
from fleetbot.web.metrics.definitions import Kind, Metric

Labels = tuple[str, ...]
T = TypeVar("T", bound=str)


class Scrape:
    """The values of the metrics at one moment. A metric without any is left out."""

    def __init__(self) -> None:
        self._values: dict[Metric, dict[Labels, float]] = {}
        self._spreads: dict[Metric, dict[Labels, Spread]] = {}

    def set(self, metric: Metric, value: float, *labels: str) -> None:
        self._values.setdefault(metric, {})[labels] = value

    def fill(self, metric: Metric, values: Mapping[T, int], possible: Iterable[T]) -> None:
        """One value for each of the `possible` ones of its label: 0 where there is none."""
        for one in possible:
            self.set(metric, values.get(one, 0), str(one))

    def spread(self, metric: Metric, its: Spread, *labels: str) -> None:
        self._spreads.setdefault(metric, {})[labels] = its

    def text(self) -> bytes:
        registry = CollectorRegistry()
        registry.register(self)
        return generate_latest(registry)

    def describe(self) -> Iterable[Family]:
        """Else all is collected when it is registered, too."""
        return ()

    def collect(self) -> Iterator[Family]:
        for metric, values in self._values.items():
            family = _FAMILIES[metric.kind](metric.name, metric.help, labels=metric.labels)
            for labels, value in values.items():
                family.add_metric(labels, value)
            yield family
        for metric, spreads in self._spreads.items():
            histogram = HistogramMetricFamily(metric.name, metric.help, labels=metric.labels)
            for labels, its in spreads.items():
                buckets = [(_written(bound), float(count)) for bound, count in its.up_to()]
                histogram.add_metric(labels, buckets, its.seconds)
            yield histogram


def _written(bound: float) -> str:
    return "+Inf" if isinf(bound) else str(bound)


_FAMILIES: Mapping[Kind, type[GaugeMetricFamily] | type[CounterMetricFamily]] = {
    Kind.GAUGE: GaugeMetricFamily,
    Kind.COUNTER: CounterMetricFamily,
}
