"""The parts of a run as spans, where traces are kept: below the span that its assignment names."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from fleetbot.runner.failure import RunFailed
from fleetbot.tracing import Attribute, Place, Spans, read
from fleetbot.wire import Assignment


class Phases:
    """Attributes say which run and agent it is; of what is said and done in it, nothing."""

    def __init__(self, spans: Spans | None, order: Assignment, agent: str) -> None:
        self._spans = spans
        self._run: Place | None = read(order.traceparent) if spans else None
        self._about: dict[str, Attribute] = {
            "run": order.run,
            "task": order.task,
            "agent": agent,
            "repository": order.repo,
        }

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """What is done within is this part of the run."""
        if self._spans is None or self._run is None:
            yield
            return
        begun, error = time.time_ns(), ""
        try:
            yield
        except BaseException as problem:
            error = _named(problem)
            raise
        finally:
            its, begun_ms, now_ms = self._run.new(), begun / 1e6, time.time_ns() / 1e6
            self._spans.record(name, its, self._run, begun_ms, now_ms, error, **self._about)


def _named(problem: BaseException) -> str:
    """Never in the words of what failed: they may be anybody's."""
    return str(problem.reason) if isinstance(problem, RunFailed) else type(problem).__name__
