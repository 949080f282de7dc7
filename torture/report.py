"""What rounds came to: a table for people, JSON for programs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from statistics import median
from typing import Any

from torture.judge import Kind
from torture.play import Round
from torture.story import Strike

Row = dict[str, Any]
"""One round, as JSON has it."""


def row(its: Round) -> Row:
    """One round in plain values, with all that is needed to play it again."""
    hits: Counter[str] = Counter()
    for landed in its.landed:
        if landed.hits:
            hits[_what(landed.fault)] += landed.hits
    return {
        "system": its.system,
        "story": its.story.name,
        "seed": its.story.seed,
        "seconds": its.seconds,
        **its.ended,
        "faults": dict(sorted(hits.items())),
        "not_run": [str(landed) for landed in its.not_run],
        "recovered": its.recovered,
        "idle": {
            "seconds": its.idle,
            "launches": its.idle_launches,
            "requests": its.idle_requests,
        },
        "findings": [{"kind": f.kind, "issue": f.issue, "says": f.says} for f in its.findings],
    }


def _what(fault: object) -> str:
    if isinstance(fault, Strike):
        who = fault.target if fault.target == "orchestrator" else "worker"
        return f"{fault.blow} {who}"
    return f"{fault.harm} {fault.line}"  # type: ignore[attr-defined] # the only other fault


def kills(rows: Iterable[Row]) -> int:
    return sum(n for row in rows for what, n in row["faults"].items() if what.startswith("kill "))


def others(rows: Iterable[Row]) -> int:
    rows = list(rows)
    return sum(sum(row["faults"].values()) for row in rows) - kills(rows)


def table(rows: Sequence[Row]) -> str:
    """The score of these rounds."""
    return "\n".join([*_figures(rows), "", *_findings(rows)])


def _figures(rows: Sequence[Row]) -> Iterator[str]:
    found = Counter(finding["kind"] for row in rows for finding in row["findings"])
    seeds = sorted({row["seed"] for row in rows})
    recovered = [row["recovered"] for row in rows if row["recovered"] is not None]
    idle = [row["idle"] for row in rows if row["idle"]["seconds"]]
    minutes = sum(its["seconds"] for its in idle) / 60
    yield f"{'rounds':24} {len(rows)}  (seeds {_spans(seeds)})"
    for word in ("issues", "done", "failed"):
        yield f"{word:24} {sum(row.get(word, 0) for row in rows)}"
    yield f"{'kills':24} {kills(rows)}"
    yield f"{'other faults':24} {others(rows)}"
    yield f"{'faults not run':24} {sum(len(row['not_run']) for row in rows)}"
    for kind in Kind:
        yield f"{kind:24} {found[kind]}"
    if recovered:
        yield f"{'time to recover':24} median {median(recovered):.1f} s, max {max(recovered):.1f} s"
    yield f"{'did not recover':24} {len(rows) - len(recovered)}"
    if minutes:
        launches = sum(its["launches"] for its in idle)
        requests = sum(its["requests"] for its in idle) / minutes
        yield f"{'while idle':24} {launches} agent starts, {requests:.0f} requests a minute"


def _findings(rows: Sequence[Row]) -> Iterator[str]:
    for row in rows:
        for its in row["findings"]:
            place = f"{row['story']} (seed {row['seed']})"
            yield f"{place}: {its['kind']}: {its['issue']}: {its['says']}"


def _spans(seeds: Sequence[int]) -> str:
    """`1-3, 7`"""
    spans: list[list[int]] = []
    for seed in seeds:
        if spans and seed == spans[-1][1] + 1:
            spans[-1][1] = seed
        else:
            spans.append([seed, seed])
    return ", ".join(f"{a}-{b}" if a != b else f"{a}" for a, b in spans)
