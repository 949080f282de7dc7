"""One trace tells a task's story, by ids that follow from it, and nothing that it should not."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence

import pytest

from fleetbot.domain.commands import Conclude
from fleetbot.domain.model import ReceiptCheck, ReceiptId
from fleetbot.domain.receipts import Refuted, Verified
from fleetbot.services.fleet import Context
from fleetbot.services.traces import Traces
from fleetbot.store.records import OutboxEntry
from fleetbot.tracing import Place, Spans, place_of, read
from tests.web.site import Site, a_receipt, file

sdk = pytest.importorskip("opentelemetry.sdk.trace", reason="it comes with fleetbot[otel]")


class Kept:
    """The SDK's own memory, and what is in it."""

    def __init__(self) -> None:
        from opentelemetry.sdk.trace.export import SimpleSpanProcessor
        from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

        self._memory = InMemorySpanExporter()
        self.spans = Spans(SimpleSpanProcessor(self._memory), "fleetbot", "1.0")

    def all(self) -> Sequence[sdk.ReadableSpan]:  # type: ignore[name-defined]  # may be missing
        return self._memory.get_finished_spans()

    def one(self, name: str) -> sdk.ReadableSpan:  # type: ignore[name-defined]  # may be missing
        [span] = [span for span in self.all() if span.name == name]
        return span


@pytest.fixture
def kept() -> Kept:
    return Kept()


async def test_one_trace_has_the_task_its_run_what_was_found_and_what_was_told(
    site: Site, kept: Kept
) -> None:
    traces = Traces(site.fleet, kept.spans)
    agent = await site.agent()
    task = await site.task(1)
    site.now += 5_000
    run = await site.running(agent)
    site.now += 60_000
    receipt = (await file(agent, a_receipt(run, summary="words of the agent"))).body["receipt"]
    site.now += 2_000
    finding = Conclude(ReceiptId(receipt), Verified())
    begun = traces.of_run(site.fleet.state.runs[site.run_id(run)])
    await site.fleet.commit(finding, Context(actor="timer"))
    payload = f'{{"kind": "issue_state", "task": "{task}"}}'.encode()
    entry = OutboxEntry(
        id="e", destination="forgejo:task/x", kind="issue_state", payload=payload, due_at=site.now
    )
    traces.sent(entry, site.now + 300)

    assert {span.name for span in kept.all()} == {
        "task",
        "queued",
        "run",
        "verification",
        "effect",
    }
    assert {span.context.trace_id for span in kept.all()} == {place_of(task, 0).trace}
    lasted = {span.name: (span.end_time - span.start_time) // 1_000_000 for span in kept.all()}
    assert lasted == {
        "task": 0,
        "queued": 5_000,
        "run": 62_000,
        "verification": 2_000,
        "effect": 300,
    }
    root = kept.one("task").context.span_id
    assert kept.one("task").parent is None
    assert {kept.one(name).parent.span_id for name in ("queued", "run", "effect")} == {root}
    assert kept.one("verification").parent.span_id == kept.one("run").context.span_id == begun.span
    assert kept.one("run").attributes["fleetbot.agent"] == "claude-1"
    assert kept.one("run").attributes["fleetbot.repository"] == "team/app"
    assert "words of the agent" not in "".join(span.to_json() for span in kept.all())
    assert agent.token not in "".join(span.to_json() for span in kept.all())


async def test_what_did_not_hold_is_an_error_that_names_the_checks(site: Site, kept: Kept) -> None:
    Traces(site.fleet, kept.spans)
    agent = await site.agent()
    await site.task(1)
    run = await site.running(agent)
    receipt = (await file(agent, a_receipt(run))).body["receipt"]
    refuted = Refuted(reasons=("No: a secret word.",), checks=(ReceiptCheck.CI,))
    await site.fleet.commit(Conclude(ReceiptId(receipt), refuted), Context(actor="timer"))
    await agent.post(f"/api/v1/runs/{run}/fail", {"reason": "no_changes", "detail": "secret word"})

    found = kept.one("verification").attributes
    assert (found["fleetbot.verdict"], found["fleetbot.checks"]) == ("refuted", "ci")
    status = kept.one("run").status
    assert (status.status_code.name, status.description) == ("ERROR", "no_changes")
    assert "secret word" not in "".join(span.to_json() for span in kept.all())


async def test_one_that_was_started_anew_goes_on_with_the_same_trace(site: Site) -> None:
    before, after = Kept(), Kept()
    of_before = Traces(site.fleet, before.spans)
    agent = await site.agent()
    await site.task(1)
    run = site.fleet.state.runs[site.run_id(await site.running(agent))]

    assert Traces(site.fleet, after.spans).of_run(run) == of_before.of_run(run)
    await agent.post(f"/api/v1/runs/{run.id}/fail", {"reason": "no_changes"})
    assert before.one("run").context == after.one("run").context


def test_a_traceparent_is_read_as_it_is_written_and_nothing_else_is() -> None:
    place = place_of("task-1", 2)

    assert read(place.traceparent) == place
    assert place.below("run", "a") != place.below("run", "b")
    assert Place(1, 2).traceparent == f"00-{1:032x}-{2:016x}-01"
    for other in ("", "x", place.traceparent + "\n", f"00-{0:032x}-{2:016x}-01", "00-1-2-01"):
        assert read(other) is None


def test_where_no_traces_are_wanted_nothing_of_it_is_imported() -> None:
    code = (
        "import sys, fleetbot.runtime, fleetbot.runner.app; print('opentelemetry' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
