"""Product and anchors in turn, in one run: what they all meet on the machine cancels out."""

from __future__ import annotations

import os
import statistics
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

Measure = Callable[[], Awaitable[float]]


@dataclass(frozen=True)
class Comparison:
    """Medians over all rounds; `ratio` is the median of product over anchor, round by round."""

    product: float
    anchor: float
    ratio: float


async def in_turn(rounds: int, product: Measure, *anchors: Measure) -> list[Comparison]:
    """Measure all in so many rounds, each beginning with another; the product against each."""
    measures = (product, *anchors)
    values: list[list[float]] = [[] for _ in measures]
    for number in range(rounds):
        for place in range(len(measures)):
            which = (number + place) % len(measures)
            values[which].append(await measures[which]())
    return [compare(values[0], those) for those in values[1:]]


def compare(product: Sequence[float], anchor: Sequence[float]) -> Comparison:
    """What was measured of both, in the order of the rounds."""
    ratio = statistics.median(ours / theirs for ours, theirs in zip(product, anchor, strict=True))
    return Comparison(statistics.median(product), statistics.median(anchor), ratio)


def machine() -> str:
    """What else the machine does, for whoever reads the table."""
    return f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"
