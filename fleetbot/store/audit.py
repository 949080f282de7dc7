"""Prove that the journal is whole and that the read models follow from it, or make them anew.

Nothing may be appended meanwhile, unless all is read in one transaction. Both go twice through the
journal: for the chain in the order of its lines, and for the read models stream by stream, so that
they hold a page of either at a time, however many tasks there are.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from typing import Any, Protocol

import msgspec

from fleetbot.domain.events import AnyEvent, Recorded, decode, event_type
from fleetbot.domain.model import Run
from fleetbot.domain.state import FleetState
from fleetbot.domain.upcasts import SCHEMA
from fleetbot.store.auditable import Row
from fleetbot.store.records import GENESIS, Head, JournalLine, link
from fleetbot.store.vault import Vault
from fleetbot.store.views import AGENTS, RECEIPTS, REPOS, RUNS, TASKS, View

_PAGE = 5000
_ENOUGH = 50
_END = "\U0010ffff"  # behind all keys

Progress = Callable[[str, int], None]
"""Called now and then with what is being done, and how many lines that has come to."""


def in_silence(doing: str, lines: int) -> None:
    pass


class Damage(StrEnum):
    """What is wrong, and so what helps."""

    FILE = "file"  # a backup
    JOURNAL = "journal"  # a backup
    NEWER = "newer"  # the fleetbot that wrote it
    MODELS = "models"  # a rebuild


WAYS_OUT = {
    Damage.FILE: "restore a backup",
    Damage.JOURNAL: "restore a backup",
    Damage.NEWER: "use the fleetbot that wrote it",
    Damage.MODELS: "make the read models anew (fleetbot db rebuild)",
}


class Problem(msgspec.Struct, frozen=True):
    """`where` is `event <seq>`, `<table> <key>`, or what is wrong as a whole."""

    where: str
    text: str
    damage: Damage = Damage.MODELS


class JournalDamaged(Exception):
    """The journal cannot be trusted, or not be read by this fleetbot."""

    def __init__(self, problem: Problem) -> None:
        what = "cannot be read" if problem.damage is Damage.NEWER else "is damaged"
        found, helps = f"{problem.where}: {problem.text}", WAYS_OUT[problem.damage]
        super().__init__(f"the journal {what}: {found}; {helps}")
        self.problem = problem


class Audited(Protocol):
    """What a proof asks for; see `interface.Store`."""

    async def journal_lines(self, after: int, limit: int) -> list[JournalLine]: ...

    async def stream_lines(
        self, prefix: str, after: tuple[str, int], limit: int
    ) -> list[JournalLine]: ...

    async def model_rows(
        self, view: str, columns: Sequence[str], by: str, after: str, last: str
    ) -> list[Row]: ...


async def examine(
    source: Audited, noted: Head | None = None, tell: Progress = in_silence
) -> list[Problem]:
    """What is wrong with the journal, or else with the read models: the first fifty findings.

    `noted`: the head that the journal once had, as it was written down elsewhere.
    """
    found: list[Problem] = []
    try:
        await check_chain(source, noted, tell)
        for kind in _KINDS:
            async for portion in _portions(source, kind, tell):
                found += await _compare(source, portion)
                if len(found) >= _ENOUGH:
                    return found[:_ENOUGH]
    except JournalDamaged as damage:
        return [damage.problem]
    return found


async def check_chain(
    source: Audited, noted: Head | None = None, tell: Progress = in_silence
) -> Head:
    """The last line of a journal that is whole; raises `JournalDamaged`."""
    chain, after = _Chain(), 0
    while page := await source.journal_lines(after, _PAGE):
        for line in page:
            _checked(line, chain.check)
            if noted and line.seq == noted.seq and line.hash != noted.hash:
                raise JournalDamaged(_not_as_noted(noted))
        after = page[-1].seq
        tell("lines of the journal checked", after)
    if noted and noted.seq > after:
        raise JournalDamaged(_not_as_noted(noted))
    return chain.head


def _not_as_noted(noted: Head) -> Problem:
    text = "it is missing, or it or a line before it is another than when its hash was noted"
    return Problem(f"event {noted.seq}", text, Damage.JOURNAL)


async def rebuild(vault: Vault, tell: Progress = in_silence) -> int:
    """Makes the read models again; returns the number of the last event.

    Raises `JournalDamaged`: then the transaction must be given up.
    """
    head = await check_chain(vault, tell=tell)
    for kept in (kept for kind in _KINDS for kept in kind.kept):
        await vault.execute(f"DELETE FROM {kept.view.table}")
    for kind in _KINDS:
        async for portion in _portions(vault, kind, tell):
            for kept, rows in portion.rows():
                await vault.insert(kept.view.table, kept.columns, list(rows.values()))
    return head.seq


@dataclass(frozen=True)
class _Kept:
    """A view, the column `by` that names the stream it follows from, and its values by key.

    `beside`: what the row has that the value does not know.
    """

    view: View
    by: str
    values: Callable[[FleetState], Mapping[Any, Any]]
    more: tuple[str, ...] = ()
    beside: Callable[[FleetState, Any], Row] = lambda state, value: ()

    @property
    def columns(self) -> tuple[str, ...]:
        return (*self.view.columns, *self.more)

    def rows(self, state: FleetState) -> dict[str, Row]:
        return {
            key: (*self.view.row(value), *self.beside(state, value))
            for key, value in self.values(state).items()
        }


def _took(state: FleetState, run: Run) -> Row:
    """How long its task had taken when it ended."""
    return (run.ended_at - state.tasks[run.task].created_at if run.ended_at else None,)


@dataclass(frozen=True)
class _Kind:
    """Streams that begin with `prefix`, and what is kept of them."""

    prefix: str
    kept: tuple[_Kept, ...] = ()


_KINDS = (
    _Kind("fleet"),
    _Kind("agent:", (_Kept(AGENTS, "name", lambda state: state.agents | state.forgotten),)),
    _Kind(
        "repo:",
        (_Kept(REPOS, "id", lambda state: {str(k): v for k, v in state.places.repos.items()}),),
    ),
    _Kind(
        "task:",
        (
            _Kept(TASKS, "id", lambda state: state.tasks),
            _Kept(RUNS, "task", lambda state: state.runs, ("took",), _took),
            _Kept(RECEIPTS, "task", lambda state: state.receipts),
        ),
    ),
)


@dataclass
class _Portion:
    """What follows from whole streams with keys behind `after` up to `last`."""

    kind: _Kind
    after: str
    last: str = ""
    states: list[FleetState] = field(default_factory=list)

    def rows(self) -> Iterator[tuple[_Kept, dict[str, Row]]]:
        for kept in self.kind.kept:
            rows: dict[str, Row] = {}
            for state in self.states:
                rows |= kept.rows(state)
            yield kept, rows


async def _portions(source: Audited, kind: _Kind, tell: Progress) -> AsyncIterator[_Portion]:
    """Stream by stream, each folded by itself; the last portion reaches to the end of all keys."""
    portion, state, stream = _Portion(kind, ""), FleetState(), ""
    after, lines = (kind.prefix, 0), 0
    while page := await source.stream_lines(kind.prefix, after, _PAGE):
        for line in page:
            if line.stream != stream:
                portion.states.append(state)
                portion.last = stream.removeprefix(kind.prefix)
                state, stream = FleetState(), line.stream
            _checked(line, partial(_apply, state))
        after, lines = (page[-1].stream, page[-1].version), lines + len(page)
        tell(f"lines of {kind.prefix.rstrip(':')}s folded", lines)
        if portion.last:
            yield portion
            portion = _Portion(kind, portion.last)
    portion.states.append(state)
    portion.last = _END
    yield portion


def _checked(line: JournalLine, check: Callable[[JournalLine], object]) -> None:
    try:
        check(line)
    except Exception as error:  # whatever a line makes go wrong is a finding about that line
        damage = Damage.NEWER if isinstance(error, _Newer) else Damage.JOURNAL
        name = "" if isinstance(error, ChainBroken) else f"{type(error).__name__}: "
        raise JournalDamaged(Problem(f"event {line.seq}", f"{name}{error}", damage)) from error


def _apply(state: FleetState, line: JournalLine) -> None:
    """Folds the line. Raises `ChainBroken` if lines are missing, or what folding raises."""
    version = state.version(line.stream) + 1
    if line.version != version:
        raise ChainBroken(f"version {line.version} of {line.stream}, not {version}")
    state.apply(_recorded(line, decode(line.data, line.schema)))


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


class _Newer(ChainBroken):
    """A line that nobody has changed, and that is not for this fleetbot to read."""


class _Chain:
    """Checks lines one after the other."""

    def __init__(self) -> None:
        self._seq = 0
        self._hash = GENESIS

    @property
    def head(self) -> Head:
        return Head(self._seq, self._hash)

    def check(self, line: JournalLine) -> None:
        """Raises `ChainBroken`."""
        self._seq += 1
        if line.seq != self._seq:
            raise ChainBroken(f"event {self._seq} is missing before it")
        place = (line.seq, line.stream, line.version, line.at, line.actor, line.cause)
        self._hash = link(self._hash, *place, line.data.encode(), line.schema)
        if line.hash != self._hash:
            raise ChainBroken("its hash does not match: it, or the line before it, was changed")
        event = _decoded(line)
        if line.type != event_type(event):
            raise ChainBroken(f"its type is {event_type(event)}, not {line.type}")


def _decoded(line: JournalLine) -> AnyEvent:
    """Of a line whose hash is right: whoever wrote it could read it."""
    if line.schema > SCHEMA:
        raise _Newer(
            f"a newer fleetbot wrote it, with schema {line.schema};"
            f" this one knows schemas up to {SCHEMA}"
        )
    try:
        return decode(line.data, line.schema)
    except msgspec.DecodeError as error:
        raise _Newer(f"nobody has changed it, but this fleetbot cannot read it: {error}") from error


async def _compare(source: Audited, portion: _Portion) -> list[Problem]:
    problems: list[Problem] = []
    for kept, rows in portion.rows():
        there = await source.model_rows(
            kept.view.table, kept.columns, kept.by, portion.after, portion.last
        )
        problems += _differences(kept.view.table, rows, there)
    return problems


def _differences(table: str, rows: Mapping[str, Row], there: Iterable[Row]) -> Iterator[Problem]:
    missing = set(rows)
    for row in there:
        key = row[0]
        missing.discard(key)
        if key not in rows:
            yield Problem(f"{table} {key}", "no event tells of it")
        elif rows[key] != row:
            yield Problem(f"{table} {key}", "differs from what its events say")
    for key in sorted(missing):
        yield Problem(f"{table} {key}", "is missing")
