"""Prove that the journal is whole and that the read models follow from it, or make them anew.

Nothing may be appended meanwhile.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any

import msgspec

from fleetbot.domain.events import AnyEvent, Recorded, decode, event_type
from fleetbot.domain.state import FleetState
from fleetbot.store.interface import Store
from fleetbot.store.records import GENESIS, JournalLine, Models, link
from fleetbot.store.views import AGENTS, RECEIPTS, REPOS, RUNS, TASKS, View

_PAGE = 5000
_ENOUGH = 50


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
    state = FleetState()
    problems = await _fold(store, state)
    if problems:
        return problems
    for view, values in _models(state):
        problems += await _compare(store, view, values, _ENOUGH - len(problems))
    return problems


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
        repos=state.repos.values(),
    )
    await store.replace_models(models)
    return state.seq


def _models(state: FleetState) -> Iterator[tuple[View, Mapping[Any, Any]]]:
    yield TASKS, state.tasks
    yield RUNS, state.runs
    yield RECEIPTS, state.receipts
    yield AGENTS, state.agents | state.forgotten
    yield REPOS, {str(repo.id): repo for repo in state.repos.values()}


async def _fold(store: Store, state: FleetState) -> list[Problem]:
    """Folds the journal into `state`, up to the first line that is wrong."""
    chain = _Chain()
    async for line in _lines(store):
        try:
            event = chain.check(line)
            state.apply(_recorded(line, event))
        except Exception as error:  # whatever a line makes go wrong is a finding about that line
            return [Problem(f"event {line.seq}", f"{type(error).__name__}: {error}")]
    return []


async def _lines(store: Store) -> AsyncIterator[JournalLine]:
    after = 0
    while page := await store.journal_lines(after, _PAGE):
        for line in page:
            yield line
        after = page[-1].seq


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
        self._versions: dict[str, int] = {}

    def check(self, line: JournalLine) -> AnyEvent:
        """The line's event. Raises `ChainBroken`, or what decoding raises."""
        self._seq += 1
        if line.seq != self._seq:
            raise ChainBroken(f"event {self._seq} is missing before it")
        version = self._versions.get(line.stream, 0) + 1
        if line.version != version:
            raise ChainBroken(f"version {line.version} of {line.stream}, not {version}")
        self._versions[line.stream] = version
        place = (line.seq, line.stream, line.version, line.at, line.actor, line.cause)
        self._hash = link(self._hash, *place, line.data.encode(), line.schema)
        if line.hash != self._hash:
            raise ChainBroken("its hash does not match: it, or the line before it, was changed")
        event = decode(line.data, line.schema)
        if line.type != event_type(event):
            raise ChainBroken(f"its type is {event_type(event)}, not {line.type}")
        return event


async def _compare(
    store: Store, view: View, values: Mapping[Any, Any], enough: int
) -> list[Problem]:
    problems: list[Problem] = []
    missing = set(values)
    async for row in _rows(store, view):
        key = row[0]
        missing.discard(key)
        if key not in values:
            problems.append(Problem(f"{view.table} {key}", "no event tells of it"))
        elif view.row(values[key]) != row:
            problems.append(Problem(f"{view.table} {key}", "differs from what its events say"))
    problems += [Problem(f"{view.table} {key}", "is missing") for key in sorted(missing)[:enough]]
    return problems[:enough]


async def _rows(store: Store, view: View) -> AsyncIterator[tuple[object, ...]]:
    after = ""
    while page := await store.model_rows(view.table, after, _PAGE):
        for row in page:
            yield row
        after = str(page[-1][0])
