"""Prove that the journal is whole and that the read models follow from it, or make them anew.

Nothing may be appended meanwhile, unless all is read in one transaction. Both go twice through the
journal: for the chain in the order of its lines, and for the read models stream by stream, so that
they hold a page of either at a time, however many tasks there are.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

import msgspec

from fleetbot.domain.events import AnyEvent, Recorded, decode, event_type
from fleetbot.domain.model import Run
from fleetbot.domain.state import FleetState
from fleetbot.domain.upcasts import SCHEMA
from fleetbot.store.archive.segments import Segment
from fleetbot.store.auditable import Row
from fleetbot.store.chain import Chain, ChainBroken, Head, JournalLine
from fleetbot.store.damage import Damage, JournalDamaged, Problem, Progress, in_silence
from fleetbot.store.vault import Vault
from fleetbot.store.views import AGENTS, RECEIPTS, REPOS, RUNS, TASKS, View

_PAGE = 5000
_ENOUGH = 50
_END = "\U0010ffff"  # behind all keys


class Audited(Protocol):
    """What a proof asks for; see `interface.Store`."""

    async def journal_lines(self, after: int, limit: int) -> list[JournalLine]: ...

    async def stream_lines(
        self, prefix: str, after: tuple[str, int], limit: int
    ) -> list[JournalLine]: ...

    async def model_rows(
        self, view: str, columns: Sequence[str], by: str, after: str, last: str
    ) -> list[Row]: ...

    async def segments(self) -> list[Segment]: ...

    async def gaps(self, after: int, last: int) -> Mapping[int, Head]: ...

    async def archived(self, first: str, last: str) -> Mapping[str, int]: ...

    async def away(self) -> int: ...


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
    """The last line of a journal that is whole; raises `JournalDamaged`.

    Lines may be missing that are in the archive, if one that is noted is not among them.
    """
    walk = _Walk(await source.segments(), noted)
    while page := await source.journal_lines(walk.seq, _PAGE):
        gaps = await source.gaps(walk.seq, page[-1].seq)
        for line in page:
            _checked(line, partial(walk.step, gaps.get(line.seq - 1)))
        tell("lines of the journal checked", walk.seq)
    walk.end(await source.away())
    return walk.chain.head


class _Walk:
    """From line to line, over gaps where lines are in the archive."""

    def __init__(self, segments: Sequence[Segment], noted: Head | None) -> None:
        self.chain = Chain()
        self._noted = noted
        self._known = {segment.last: segment.head for segment in segments}
        self._away = 0
        if noted:
            self._known[noted.seq] = noted

    @property
    def seq(self) -> int:
        return self.chain.head.seq

    def step(self, gap: Head | None, line: JournalLine) -> None:
        """Raises `ChainBroken`, `JournalDamaged`."""
        if gap:
            self._refuse_hidden(gap)
            self._away += self.chain.leap(gap)
            self._compare()
        self.chain.follow(line)
        check_type(line)
        self._compare()

    def _refuse_hidden(self, gap: Head) -> None:
        if self._noted and self.seq < self._noted.seq < gap.seq:
            text = "it is in the archive, without which it cannot be compared"
            raise JournalDamaged(Problem(f"event {self._noted.seq}", text, Damage.ARCHIVE))

    def _compare(self) -> None:
        known = self._known.get(self.seq)
        if known and known != self.chain.head:
            raise JournalDamaged(_not_as_noted(known))

    def end(self, away: int) -> None:
        """`away`: how many lines the archive has that are not here."""
        if self._noted and self._noted.seq > self.seq:
            raise JournalDamaged(_not_as_noted(self._noted))
        if self._away != away:
            text = f"{self._away} lines are missing, of which {away} were put in the archive"
            raise JournalDamaged(Problem("the journal", text, Damage.JOURNAL))


def _not_as_noted(noted: Head) -> Problem:
    text = "it is missing, or it or a line before it is another than when its hash was noted"
    return Problem(f"event {noted.seq}", text, Damage.JOURNAL)


async def rebuild(vault: Vault, tell: Progress = in_silence, whole: Audited | None = None) -> int:
    """Makes the read models again; returns the number of the last event.

    What follows from lines in the archive stays as it is, unless the journal is at hand as a
    `whole`. Raises `JournalDamaged`: then the transaction must be given up.
    """
    source = whole or vault
    head = await check_chain(source, tell=tell)
    for kind in _KINDS:
        for kept in kind.kept:
            archived = f"'{kind.prefix}' || {kept.by} IN (SELECT stream FROM archived)"
            spared = "" if whole else f" WHERE NOT {archived}"
            await vault.execute(f"DELETE FROM {kept.view.table}{spared}")
    for kind in _KINDS:
        async for portion in _portions(source, kind, tell):
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
    """Stream by stream, each folded by itself; the last portion reaches to the end of all keys.

    Streams whose beginning is in the archive are left out.
    """
    portion, fold = _Portion(kind, ""), _Fold("")
    after, lines = (kind.prefix, 0), 0
    while page := await source.stream_lines(kind.prefix, after, _PAGE):
        archived = await source.archived(page[0].stream, page[-1].stream)
        for line in page:
            if line.stream != fold.stream:
                portion.states.append(fold.state)
                portion.last = fold.stream.removeprefix(kind.prefix)
                fold = _Fold(line.stream, archived.get(line.stream, 0))
            _checked(line, fold.take)
        after, lines = (page[-1].stream, page[-1].version), lines + len(page)
        tell(f"lines of {kind.prefix.rstrip(':')}s folded", lines)
        if portion.last:
            yield portion
            portion = _Portion(kind, portion.last)
    portion.states.append(fold.state)
    portion.last = _END
    yield portion


class _Fold:
    """One stream: what follows from it, or nothing where so many of its lines are `archived`."""

    def __init__(self, stream: str, archived: int = 0) -> None:
        self.stream = stream
        self.state = FleetState()
        self._archived = archived
        self._version = archived

    def take(self, line: JournalLine) -> None:
        """Raises `ChainBroken` if lines are missing, or what folding raises."""
        self._version += 1
        if line.version != self._version:
            raise ChainBroken(f"version {line.version} of {line.stream}, not {self._version}")
        if not self._archived:
            self.state.apply(_recorded(line, decode(line.data, line.schema)))


def _checked(line: JournalLine, check: Callable[[JournalLine], object]) -> None:
    try:
        check(line)
    except JournalDamaged:
        raise
    except Exception as error:  # whatever a line makes go wrong is a finding about that line
        damage = Damage.NEWER if isinstance(error, _Newer) else Damage.JOURNAL
        name = "" if isinstance(error, ChainBroken) else f"{type(error).__name__}: "
        raise JournalDamaged(Problem(f"event {line.seq}", f"{name}{error}", damage)) from error


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


class _Newer(ChainBroken):
    """A line that nobody has changed, and that is not for this fleetbot to read."""


def check_type(line: JournalLine) -> None:
    """Raises `ChainBroken`."""
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
    prefix = portion.kind.prefix
    archived = await source.archived(prefix + portion.after, prefix + portion.last)
    for kept, rows in portion.rows():
        there = await source.model_rows(
            kept.view.table, kept.columns, kept.by, portion.after, portion.last
        )
        stream = kept.columns.index(kept.by)
        proven = [row for row in there if f"{prefix}{row[stream]}" not in archived]
        problems += _differences(kept.view.table, rows, proven)
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
