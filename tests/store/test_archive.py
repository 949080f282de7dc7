"""The events of tasks that are long over go to an archive, and the journal stays provable."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from fleetbot.domain import events as ev
from fleetbot.domain.model import ReceiptId, RunId, TaskId, TaskState
from fleetbot.domain.pulls import Brief
from fleetbot.domain.reasons import ReasonCode
from fleetbot.domain.state import task_stream
from fleetbot.store.archive.archiving import Archived, archive
from fleetbot.store.archive.segments import ArchiveRefused, Folder, Segment
from fleetbot.store.archive.whole import whole
from fleetbot.store.audit import examine, rebuild
from fleetbot.store.backup import back_up
from fleetbot.store.base import JournalStore
from fleetbot.store.chain import Head, JournalLine
from fleetbot.store.damage import Damage, JournalDamaged, Problem
from fleetbot.store.database import Statement
from fleetbot.store.existing import reading, writing
from fleetbot.store.interface import Store
from fleetbot.store.place import Place
from fleetbot.store.records import Change, OutboxEntry
from fleetbot.store.restoring import restore
from fleetbot.store.vault import Vault
from tests.store.backend import Backend, SqliteBackend
from tests.store.disk import largest_file
from tests.store.history import ISSUE_CLOSED, History

NEW = 1_012
"""From when on what happens is new: event 13."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "archive"
    path.mkdir()
    return path


def verified(history: History, task: str) -> Iterator[Change]:
    """Six events, to a pull request that is watched."""
    yield from islice(history.story(task), 5)
    run, receipt = RunId(f"{task}-run"), ReceiptId(f"{task}-receipt")
    done = ev.TaskCompleted(run=run, receipt=receipt, pull_request=7, head="a" * 40)
    yield history.task_event(task, done)


def merged(history: History, task: str) -> Iterator[Change]:
    yield from verified(history, task)
    yield history.task_event(task, ev.PullMerged(commit="b" * 40))


@pytest.fixture
async def story(store: Store, history: History) -> None:
    """Events 1 to 12 are old: of an agent, of two tasks that are over (3 to 9, and 10 to 11), of
    one that is open, and of one that is over only by event 18."""
    changes = [history.registered(), history.created("open"), *merged(history, "t1")]
    changes += [history.created("shut"), history.task_event("shut", ISSUE_CLOSED)]
    changes += [*merged(history, "late"), history.created("new")]
    await asyncio.gather(*map(store.submit, changes))


async def archived(store: Store, folder: Path, before: int = NEW) -> Archived:
    return await store.archive(folder, before, now=99, least=1)


async def problems(
    place: Place, folder: Path | None = None, noted: Head | None = None
) -> list[Problem]:
    async with reading(place) as vault, _source(vault, folder) as source:
        return await examine(source, noted)


@asynccontextmanager
async def _source(vault: Vault, folder: Path | None) -> AsyncIterator[Any]:
    if folder is None:
        yield vault
    else:
        async with whole(vault, folder) as source:
            yield source


async def seqs(store: Store) -> list[int]:
    return [line.seq for line in await store.journal_lines(0, 100)]


@pytest.mark.usefixtures("story")
async def test_events_of_tasks_that_are_long_over_move_to_a_file(
    store: Store, backend: Backend, folder: Path
) -> None:
    used, known = await store.usage(), await store.tasks()
    head = await store.head()

    done = await archived(store, folder)

    assert (done.tasks, done.lines, done.segments, done.head.seq) == (2, 9, 1, 11)
    assert await seqs(store) == [1, 2, *range(12, 20)]
    assert (await store.usage(), await store.tasks(), await store.head()) == (used, known, head)
    assert await store.events(task_stream(TaskId("t1"))) == []
    shelved = await store.shelved(task_stream(TaskId("t1")))
    assert shelved
    assert (shelved.lines, shelved.file) == (7, "journal-000000000001.jsonl.gz")
    assert await store.shelved(task_stream(TaskId("open"))) is None
    assert await problems(backend.place) == []
    assert await problems(backend.place, folder) == []


@pytest.mark.usefixtures("story")
async def test_the_file_has_every_line_as_it_was(store: Store, folder: Path) -> None:
    before = await store.journal_lines(0, 11)
    await archived(store, folder)

    files = Folder(folder)
    (segment,) = files.manifest()
    assert list(files.read(segment)) == before
    first = gzip.decompress((folder / segment.name).read_bytes()).splitlines()[0]
    assert first.startswith(
        b'{"seq":1,"stream":"agent:claude-1","version":1,"type":"agent.registered"'
    )
    assert (folder / segment.name).stat().st_mode & 0o077 == 0, "titles and names are in it"


@pytest.mark.usefixtures("story")
async def test_what_is_archived_later_follows_in_files_of_their_own(
    store: Store, backend: Backend, history: History, folder: Path
) -> None:
    await archived(store, folder)
    assert await archived(store, folder) == Archived(head=(await store.segments())[0].head)
    for change in (history.task_event("open", ISSUE_CLOSED), history.created("last")):
        await store.append(change)

    done = await archived(store, folder, before=5_000)

    assert (done.tasks, done.lines, done.segments, done.head.seq) == (2, 9, 1, 20)
    assert await seqs(store) == [1, 19, 21]
    assert [(one.first, one.last) for one in Folder(folder).manifest()] == [(1, 11), (12, 20)]
    assert await problems(backend.place) == []
    assert await problems(backend.place, folder) == []


@pytest.mark.usefixtures("story")
async def test_a_long_journal_becomes_many_files_in_little_memory(
    store: Store, backend: Backend, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fleetbot.store.archive.archiving._PAGE", 2)
    monkeypatch.setattr("fleetbot.store.archive.archiving._SEGMENT", 5)
    monkeypatch.setattr("fleetbot.store.archive.archiving._TASKS", 1)
    monkeypatch.setattr("fleetbot.store.archive.whole._PAGE", 2)
    monkeypatch.setattr("fleetbot.store.audit._PAGE", 2)

    done = await archived(store, folder)

    assert (done.tasks, done.lines, done.segments, done.head.seq) == (2, 9, 3, 11)
    assert await problems(backend.place) == []
    assert await problems(backend.place, folder) == []


@pytest.mark.usefixtures("story")
async def test_few_events_begin_no_file(store: Store, folder: Path) -> None:
    assert await store.archive(folder, NEW, now=99, least=12) == Archived()
    assert list(folder.iterdir()) == []


async def test_what_somebody_still_needs_stays(
    store: Store, history: History, folder: Path
) -> None:
    """A pull request that is watched, a round that a retry would take up, an effect to be sent."""
    for change in verified(history, "watched"):
        await store.append(change)
    for change in verified(history, "in-round"):
        await store.append(change)
    for event in (
        ev.TaskRequeued(reason=ReasonCode.RETRY_BY_USER, brief=Brief(head="a" * 40)),
        ISSUE_CLOSED,
        ev.PullClosed(),
        ev.PullLeft(),
    ):
        await store.append(history.task_event("in-round", event))
    its = await store.task(TaskId("in-round"))
    assert its
    assert (its.state, its.is_watched) == (TaskState.CANCELLED, False)
    await store.append(history.created("told"))
    effect = OutboxEntry(
        id="1", destination="forgejo:1", kind="x", payload=b"", due_at=0, seq=history.state.seq + 1
    )
    ended = history.task_event("told", ISSUE_CLOSED)
    await store.append(Change(events=ended.events, tasks=ended.tasks, outbox=(effect,)))
    await store.append(history.created("last"))

    assert await archived(store, folder, before=5_000) == Archived()


@pytest.mark.usefixtures("story")
async def test_an_archived_task_that_a_person_takes_up_goes_on(
    store: Store, backend: Backend, history: History, folder: Path
) -> None:
    await archived(store, folder)
    again = ev.TaskRequeued(reason=ReasonCode.RETRY_BY_USER)
    await store.append(history.task_event("shut", again))

    (line,) = await store.events(task_stream(TaskId("shut")))
    assert line.version == 3
    assert await problems(backend.place) == []
    assert await problems(backend.place, folder) == []

    for change in (history.task_event("shut", ISSUE_CLOSED), history.created("last")):
        await store.append(change)
    await archived(store, folder, before=5_000)
    shelved = await store.shelved(task_stream(TaskId("shut")))
    assert shelved
    assert (shelved.lines, shelved.file) == (4, "journal-000000000012.jsonl.gz")
    assert await problems(backend.place) == []
    assert await problems(backend.place, folder) == []


# -- what is wrong is found


@pytest.mark.usefixtures("story")
@pytest.mark.parametrize(
    ("change", "where"),
    [
        ("UPDATE events SET actor = 'x' WHERE seq = 2", "event 2"),
        ("UPDATE events SET actor = 'x' WHERE seq = 12", "event 12"),
        ("DELETE FROM events WHERE seq = 2", "the journal"),
        ("DELETE FROM events WHERE seq = 14", "event 15"),
        ("DELETE FROM gaps", "event 12"),
        ("UPDATE gaps SET hash = (SELECT hash FROM events WHERE seq = 2)", "event 11"),
        ("UPDATE segments SET hash = previous", "event 11"),
        ("DELETE FROM archived WHERE stream = 'task:t1'", "the journal"),
        ("DELETE FROM tasks WHERE id = 'open'", "tasks open"),
        ("DELETE FROM runs WHERE task = 'late'", "runs late-run"),
    ],
)
async def test_without_the_archive_what_is_there_is_proven(
    store: Store, backend: Backend, folder: Path, change: str, where: str
) -> None:
    await archived(store, folder)
    backend.tamper(change)

    assert [one.where for one in await problems(backend.place)][:1] == [where]


@pytest.mark.usefixtures("story")
async def test_with_the_archive_also_what_follows_from_it(
    store: Store, backend: Backend, folder: Path
) -> None:
    await archived(store, folder)
    backend.tamper("DELETE FROM receipts WHERE task = 't1'")

    assert await problems(backend.place) == []
    assert await problems(backend.place, folder) == [Problem("receipts t1-receipt", "is missing")]
    await store.close()
    async with writing(backend.place) as vault:
        assert await rebuild(vault) == 19, "what it spares, it cannot make"
    assert await problems(backend.place) == []
    async with writing(backend.place) as vault, whole(vault, folder) as source:
        assert await rebuild(vault, whole=source) == 19
    assert await problems(backend.place, folder) == []
    await store.load()
    assert len(await store.receipts_of(TaskId("t1"))) == 1


@pytest.mark.usefixtures("story")
async def test_a_noted_head_is_compared_wherever_its_line_is(
    store: Store, backend: Backend, folder: Path
) -> None:
    heads = {line.seq: Head(line.seq, line.hash) for line in await store.journal_lines(0, 99)}
    await archived(store, folder)

    for seq in (2, 11, 12, 19):
        assert await problems(backend.place, noted=heads[seq]) == []
    for seq in (5, 11):
        assert await problems(backend.place, folder, heads[seq]) == []
        other = Head(seq, heads[1].hash)
        assert (await problems(backend.place, folder, other))[0].where == f"event {seq}"
    (away,) = await problems(backend.place, noted=heads[5])
    assert (away.where, away.damage) == ("event 5", Damage.ARCHIVE)
    (changed,) = await problems(backend.place, noted=Head(11, heads[1].hash))
    assert (changed.where, changed.damage) == ("event 11", Damage.JOURNAL)


@pytest.mark.usefixtures("story")
async def test_a_damaged_archive_is_refused(store: Store, backend: Backend, folder: Path) -> None:
    await archived(store, folder)
    file = folder / "journal-000000000001.jsonl.gz"
    content = file.read_bytes()

    file.write_bytes(content[:-9] + bytes(9))
    with pytest.raises(ArchiveRefused, match="is damaged: take it from a backup"):
        await problems(backend.place, folder)
    file.write_bytes(content[:-9])
    with pytest.raises(ArchiveRefused, match="missing or damaged"):
        await problems(backend.place, folder)
    file.unlink()
    with pytest.raises(ArchiveRefused, match="missing or damaged"):
        await problems(backend.place, folder)
    with pytest.raises(ArchiveRefused, match="give the folder with all files"):
        await problems(backend.place, folder.parent)


@pytest.mark.usefixtures("story")
async def test_a_kept_line_that_differs_from_the_archive_is_found(
    store: Store, backend: Backend, folder: Path
) -> None:
    await archived(store, folder)
    backend.tamper("UPDATE events SET actor = 'x' WHERE seq = 2")

    with pytest.raises(JournalDamaged, match="event 2: it is another in the database"):
        await problems(backend.place, folder)


@pytest.mark.usefixtures("story")
async def test_a_damaged_journal_is_not_archived(
    store: Store, backend: Backend, folder: Path
) -> None:
    backend.tamper("UPDATE events SET actor = 'x' WHERE seq = 5")

    with pytest.raises(JournalDamaged, match="event 5"):
        await archived(store, folder)
    assert list(folder.iterdir()) == []
    assert len(await seqs(store)) == 19


@pytest.mark.usefixtures("story")
async def test_a_disk_that_is_full_is_told_and_nothing_is_moved(
    store: Store, backend: Backend, folder: Path
) -> None:
    await store.close()
    async with writing(backend.place) as vault:
        with largest_file(99), pytest.raises(ArchiveRefused, match="archive cannot be written: "):
            await archive(vault, folder, NEW, 99)
    assert list(folder.iterdir()) == []
    await store.load()
    assert len(await seqs(store)) == 19

    await archived(store, folder)
    async with reading(backend.place) as vault:
        with largest_file(99), pytest.raises(ArchiveRefused, match="TMPDIR names another folder"):
            async with whole(vault, folder):
                pass


# -- whatever happens meanwhile


class Killed(Exception):
    pass


class Dying:
    """A store whose process ends before, or right after, its change number `at`."""

    def __init__(self, store: Store, at: int, *, before: bool) -> None:
        assert isinstance(store, JournalStore)
        self._its = store
        self._store, self._left, self._before = store, at, before

    async def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        found: list[tuple[Any, ...]] = await self._its.rows(query, *values)
        return found

    async def journal_lines(self, after: int, limit: int) -> list[JournalLine]:
        return await self._store.journal_lines(after, limit)

    async def segments(self) -> list[Segment]:
        return await self._store.segments()

    async def head(self) -> Head:
        return await self._store.head()

    async def change(self, statements: Sequence[Statement]) -> list[int]:
        self._left -= 1
        if not self._left and self._before:
            raise Killed
        done: list[int] = await self._its.change(statements)
        if not self._left:
            raise Killed
        return done


@pytest.mark.usefixtures("story")
@pytest.mark.parametrize(
    ("at", "before"), [(1, True), (1, False), (2, True), (3, True), (4, True), (5, True)]
)
async def test_a_kill_at_any_moment_loses_nothing_and_doubles_nothing(
    store: Store,
    backend: Backend,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    at: int,
    before: bool,
) -> None:
    monkeypatch.setattr("fleetbot.store.archive.archiving._SEGMENT", 4)
    monkeypatch.setattr("fleetbot.store.archive.archiving._TASKS", 1)
    with pytest.raises(Killed):
        await archive(Dying(store, at, before=before), folder, NEW, 99)
    assert await problems(backend.place) == []
    assert await problems(backend.place, folder) == []

    monkeypatch.setattr("fleetbot.store.archive.archiving._SEGMENT", 3)
    await archived(store, folder)

    assert await seqs(store) == [1, 2, *range(12, 20)]
    files = Folder(folder)
    assert [line.seq for one in files.manifest() for line in files.read(one)] == [*range(1, 12)]
    assert await problems(backend.place, folder) == []


@pytest.mark.usefixtures("story")
async def test_events_are_appended_while_it_goes_on(
    store: Store, backend: Backend, history: History, folder: Path
) -> None:
    class Busy(Dying):
        async def change(self, statements: Sequence[Statement]) -> list[int]:
            number = len(history.state.tasks)
            await self._store.append(history.created(f"task-{number}"))
            if number == 6:  # a person takes up what is about to be deleted
                again = ev.TaskRequeued(reason=ReasonCode.RETRY_BY_USER)
                await self._store.append(history.task_event("shut", again))
            return await super().change(statements)

    await archive(Busy(store, 99, before=True), folder, NEW, 99)

    assert [line.version for line in await store.events(task_stream(TaskId("shut")))] == [3]
    assert await problems(backend.place) == []
    assert await problems(backend.place, folder) == []


@pytest.mark.usefixtures("story")
async def test_what_another_fleet_or_time_has_archived_is_not_touched(
    store: Store, backend: Backend, folder: Path, tmp_path: Path
) -> None:
    other, history = SqliteBackend(tmp_path, "other.db"), History()
    async with other.open() as theirs:
        for change in (history.created("x"), history.task_event("x", ISSUE_CLOSED)):
            await theirs.append(change)
        await theirs.append(history.created("y"))
        await archived(theirs, folder, before=5_000)
    there = {file.name: file.read_bytes() for file in folder.iterdir()}

    with pytest.raises(ArchiveRefused, match="events that this database has never known"):
        await archived(store, folder)

    assert {file.name: file.read_bytes() for file in folder.iterdir()} == there
    assert len(await seqs(store)) == 19
    with pytest.raises(ArchiveRefused, match="there is no folder"):
        await archived(store, folder / "nowhere")


# -- looking after it


@pytest.mark.usefixtures("story")
async def test_a_backup_and_its_archive_are_a_whole_fleet_again(
    store: Store, backend: Backend, history: History, folder: Path, tmp_path: Path
) -> None:
    await archived(store, folder)
    file = tmp_path / "backup.db"
    made = await back_up(backend.place, file)
    assert made.head == await store.head()

    there = SqliteBackend(tmp_path, "there.db")
    await restore(file, there.place, lambda: datetime(2026, 11, 26, tzinfo=UTC))

    assert await problems(there.place) == []
    assert await problems(there.place, folder) == []
    async with there.open() as again:
        for change in (history.task_event("open", ISSUE_CLOSED), history.created("last")):
            await again.append(change)
        assert (await archived(again, folder, before=5_000)).head.seq == 20
    assert await problems(there.place, folder) == []
    with pytest.raises(ArchiveRefused, match="events that this database has never known"):
        await archived(store, folder)


@pytest.mark.usefixtures("story")
async def test_by_hand_it_is_the_same(store: Store, backend: Backend, folder: Path) -> None:
    await store.close()
    async with writing(backend.place) as vault:
        done = await archive(vault, folder, NEW, 99)
    assert (done.tasks, done.lines, done.segments, done.head.seq) == (2, 9, 1, 11)
    assert await problems(backend.place) == []
    assert await problems(backend.place, folder) == []

    await store.load()
    assert await seqs(store) == [1, 2, *range(12, 20)]
