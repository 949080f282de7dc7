"""Spans for OpenTelemetry, of what has happened: each with its beginning and its end.

Ids follow from those of tasks and runs, so that both sides, and one that was started anew, speak of
the same trace without having kept anything. The SDK is imported only where traces are wanted.
"""

from __future__ import annotations

import re
import secrets
from hashlib import sha256
from importlib.util import find_spec
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import SpanProcessor

NEEDED = "pip install 'fleetbot[otel]'"
_FLUSH_MS = 3000
_TRACEPARENT = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-0[01]\Z")

Attribute = str | int | float | bool


class Place(NamedTuple):
    """A span, by the id of its trace and its own: both are numbers that are not 0."""

    trace: int
    span: int

    @property
    def traceparent(self) -> str:
        """As W3C Trace Context writes it."""
        return f"00-{self.trace:032x}-{self.span:016x}-01"

    def below(self, *parts: object) -> Place:
        """The span in the same trace that these name."""
        return Place(self.trace, _number(8, "span", *parts))

    def new(self) -> Place:
        """A span in the same trace that is like no other."""
        return Place(self.trace, secrets.randbits(64) or 1)


def place_of(task: str, round: int) -> Place:
    """Where all begins that is done on a task, or in a round of it."""
    return Place(_number(16, "trace", task, round), _number(8, "span", task, round))


def read(traceparent: str) -> Place | None:
    found = _TRACEPARENT.match(traceparent)
    place = Place(int(found[1], 16), int(found[2], 16)) if found else None
    return place if place and place.trace and place.span else None


def _number(size: int, *parts: object) -> int:
    digest = sha256("\0".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:size], "big") or 1


def is_there() -> bool:
    """Whether spans can be sent at all."""
    try:
        return find_spec("opentelemetry.exporter.otlp.proto.http") is not None
    except ModuleNotFoundError:
        return False


class Spans:
    """Hands spans to the SDK, which sends them from a thread of its own."""

    def __init__(self, processor: SpanProcessor, service: str, version: str) -> None:
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.util.instrumentation import InstrumentationScope

        self._processor = processor
        self._resource = Resource.create({"service.name": service, "service.version": version})
        self._scope = InstrumentationScope("fleetbot", version)

    def record(
        self,
        name: str,
        place: Place,
        parent: Place | None,
        start_ms: float,
        end_ms: float,
        error: str = "",
        **attributes: Attribute,
    ) -> None:
        """Something that is over. Times are epoch milliseconds; what is empty says nothing."""
        from opentelemetry.sdk.trace import ReadableSpan
        from opentelemetry.trace import SpanContext, Status, StatusCode, TraceFlags

        def context(of: Place) -> SpanContext:
            flags = TraceFlags(TraceFlags.SAMPLED)
            return SpanContext(of.trace, of.span, is_remote=False, trace_flags=flags)

        span = ReadableSpan(
            name,
            context=context(place),
            parent=context(parent) if parent else None,
            resource=self._resource,
            attributes={f"fleetbot.{key}": its for key, its in attributes.items() if its != ""},
            status=Status(StatusCode.ERROR, error) if error else Status(StatusCode.OK),
            start_time=int(start_ms * 1_000_000),
            end_time=int(max(start_ms, end_ms) * 1_000_000),
            instrumentation_scope=self._scope,
        )
        self._processor.on_end(span)

    def close(self) -> None:
        """Send what is left, if that does not take long. Blocks."""
        self._processor.force_flush(_FLUSH_MS)
        self._processor.shutdown()


def open_spans(endpoint: str, service: str, version: str) -> Spans:
    """Sent to a collector that takes OTLP over HTTP at `endpoint`, e.g. http://…:4318/v1/traces.

    Headers come from OTEL_EXPORTER_OTLP_HEADERS, as everywhere. Only where `is_there`.
    """
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    exporter = OTLPSpanExporter(endpoint=endpoint, timeout=5)
    return Spans(BatchSpanProcessor(exporter, schedule_delay_millis=1000), service, version)
