"""Prove that the journal is whole and that the read models follow from it, or make them anew.

Nothing may be appended meanwhile. The proof goes twice through the journal: for the chain in the
order of its lines, and for the read models stream by stream, so that it holds a page of either at a
time. A rebuild holds all of the models: some 3 GB for a million tasks.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import msgspec

from fleetbot.domain.events import AnyEvent, Recorded, decode, event_type
from fleetbot.domain.state import FleetState
from fleetbot.store.interface import Store
from fleetbot.store.records import GENESIS, JournalLine, Models, link
from fleetbot.store.views import AGENTS, RECEIPTS, REPOS, RUNS, TASKS, View

_PAGE = 5000
_ENOUGH = 50
_END = "\U0010ffff"  # behind all keys


class Problem(msgspec.Struct, frozen=True):
    """`where` is `event <seq>` or `<table> <key>`."""

    where: str
    text: str


class JournalDamaged(Exception):
    """The journal cannot be trusted; only a backup helps."""

    def __init__(self, problems: list[Problem]) -> None:
        first = problems[0]
        super().__init__(f"{first.where}: {first.text}; restore a backup")
        self.problems = problems


async def examine(store: Store) -> list[Problem]:
    """What is wrong with the journal, or else with the read models: the first fifty findings."""
    chain, found = _Chain(), []
    async for line in _lines(store):
        if problem := _problem(line, chain.check):
            return [problem]
    for kind in _KINDS:
        after = ""
        async for lines, last in _portions(store, kind):
            state = FleetState()
            for line in lines:
                if problem := _problem(line, partial(_apply, state)):
                    return [problem]
            found += await _compare(store, kind, state, after, last)
            if len(found) >= _ENOUGH:
                return found[:_ENOUGH]
            after = last
    return found


async def rebuild(store: Store) -> int:
    """Makes the read models again in one transaction; returns the number of the last event.

    Raises `JournalDamaged`, `Conflict` when something was appended meanwhile, `StoreUnavailable`.
    """
    state = FleetState()
    problems = await _fold(store, state)
    if problems:
        raise JournalDamaged(problems)
    models = Models(
        seq=state.seq,
        tasks=state.tasks.values(),
        runs=state.runs.values(),
        agents=(state.agents | state.forgotten).values(),
        receipts=state.receipts.values(),
        repos=state.places.repos.values(),
    )
    await store.replace_models(models)
    return state.seq


@dataclass(frozen=True)
class _Kind:
    """Streams that begin with `prefix`, and the views that follow from them.

    Each view with the column that names the stream, and its values.
    """

    prefix: str
    views: tuple[tuple[View, str, Callable[[FleetState], Mapping[Any, Any]]], ...]


_KINDS = (
    _Kind("fleet", ()),
    _Kind("agent:", ((AGENTS, "name", lambda state: state.agents | state.forgotten),)),
    _Kind(
        "repo:",
        ((REPOS, "id", lambda state: {str(key): r for key, r in state.places.repos.items()}),),
    ),
    _Kind(
        "task:",
        (
            (TASKS, "id", lambda state: state.tasks),
            (RUNS, "task", lambda state: state.runs),
            (RECEIPTS, "task", lambda state: state.receipts),
        ),
    ),
)


def _problem(line: JournalLine, check: Callable[[JournalLine], object]) -> Problem | None:
    try:
        check(line)
    except Exception as error:  # whatever a line makes go wrong is a finding about that line
        return Problem(f"event {line.seq}", f"{type(error).__name__}: {error}")
    return None


def _apply(state: FleetState, line: JournalLine) -> None:
    """Folds the line. Raises `ChainBroken` if lines are missing, or what folding raises."""
    version = state.version(line.stream) + 1
    if line.version != version:
        raise ChainBroken(f"version {line.version} of {line.stream}, not {version}")
    state.apply(_recorded(line, decode(line.data, line.schema)))


async def _fold(store: Store, state: FleetState) -> list[Problem]:
    """Folds the journal into `state`, up to the first line that is wrong."""
    chain = _Chain()
    async for line in _lines(store):
        if problem := _problem(line, chain.check) or _problem(line, partial(_apply, state)):
            return [problem]
    return []


async def _lines(store: Store) -> AsyncIterator[JournalLine]:
    after = 0
    while page := await store.journal_lines(after, _PAGE):
        for line in page:
            yield line
        after = page[-1].seq


async def _portions(store: Store, kind: _Kind) -> AsyncIterator[tuple[list[JournalLine], str]]:
    """Whole streams, portion by portion, each with the key of its last, and `_END` with the end."""
    begun: list[JournalLine] = []
    after = (kind.prefix, 0)
    while page := await store.stream_lines(kind.prefix, after, _PAGE):
        after = (page[-1].stream, page[-1].version)
        lines = begun + page
        begun = [line for line in lines if line.stream == page[-1].stream]
        if whole := lines[: len(lines) - len(begun)]:
            yield whole, whole[-1].stream.removeprefix(kind.prefix)
    yield begun, _END


def _recorded(line: JournalLine, event: AnyEvent) -> Recorded:
    return Recorded(
        seq=line.seq,
        stream=line.stream,
        version=line.version,
        at=line.at,
        actor=line.actor,
        cause=line.cause,
        event=event,
    )


class ChainBroken(Exception):
    """A line that is not what was appended."""


class _Chain:
    """Checks lines one after the other."""

    def __init__(self) -> None:
        self._seq = 0
        self._hash = GENESIS

    def check(self, line: JournalLine) -> None:
        """Raises `ChainBroken`, or what decoding raises."""
        self._seq += 1
        if line.seq != self._seq:
            raise ChainBroken(f"event {self._seq} is missing before it")
        place = (line.seq, line.stream, line.version, line.at, line.actor, line.cause)
        self._hash = link(self._hash, *place, line.data.encode(), line.schema)
        if line.hash != self._hash:
            raise ChainBroken("its hash does not match: it, or the line before it, was changed")
        event = decode(line.data, line.schema)
        if line.type != event_type(event):
            raise ChainBroken(f"its type is {event_type(event)}, not {line.type}")


async def _compare(
    store: Store, kind: _Kind, state: FleetState, after: str, last: str
) -> list[Problem]:
    """Of the rows that follow from the streams with keys behind `after` up to `last`."""
    problems: list[Problem] = []
    for view, column, values in kind.views:
        rows = await store.model_rows(view.table, column, after, last)
        problems += _differences(view, values(state), rows)
    return problems


def _differences(
    view: View, values: Mapping[Any, Any], rows: Iterable[tuple[object, ...]]
) -> Iterator[Problem]:
    missing = set(values)
    for row in rows:
        key = row[0]
        missing.discard(key)
        if key not in values:
            yield Problem(f"{view.table} {key}", "no event tells of it")
        elif view.row(values[key]) != row:
            yield Problem(f"{view.table} {key}", "differs from what its events say")
    for key in sorted(missing):
        yield Problem(f"{view.table} {key}", "is missing")
