"""A journal is exported, and makes the same fleet in an empty database; rows can be counted."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec
import pytest

from fleetbot.domain import events as ev
from fleetbot.domain.model import ReceiptId, RunId, TaskId
from fleetbot.store import flat
from fleetbot.store.archive.whole import whole
from fleetbot.store.audit import examine
from fleetbot.store.chain import Head
from fleetbot.store.copying import CopyRefused
from fleetbot.store.existing import make, reading, writing
from fleetbot.store.interface import Store
from fleetbot.store.portable import ExportRefused, ImportRefused, check, journal, put_in
from fleetbot.store.records import AgentToken
from tests.store.backend import Backend, SqliteBackend
from tests.store.history import AGENT, ISSUE_CLOSED, REPO, History

SECRET = b"the hash of a token, 32 bytes in"


@pytest.fixture
async def story(store: Store, history: History) -> None:
    """Eleven events: a repository, an agent with a token, a task that is verified, another that was
    closed, and one elsewhere."""
    changes = [history.repo_event(5, ev.RepoKnown(name=REPO)), history.registered()]
    changes += [*history.story("t1"), history.created("t2")]
    changes += [history.task_event("t2", ISSUE_CLOSED), history.created("t3", repo="ann/other")]
    changes[1] = msgspec.structs.replace(changes[1], tokens=(AgentToken(agent=AGENT, hash=SECRET),))
    await asyncio.gather(*map(store.submit, changes))


async def exported(backend: Backend, file: Path, archive: Path | None = None) -> list[bytes]:
    async with reading(backend.place) as vault:
        if archive:
            async with whole(vault, archive) as source:
                lines = [line async for line in journal(source)]
        else:
            lines = [line async for line in journal(vault)]
    file.write_bytes(b"".join(lines))
    return lines


async def imported(file: Path, backend: Backend) -> Head:
    check(file)
    await make(backend.place)
    async with writing(backend.place) as vault:
        return await put_in(file, vault)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "journal.jsonl"


@pytest.mark.usefixtures("story")
async def test_a_journal_makes_the_same_fleet_elsewhere(
    store: Store, backend: Backend, file: Path, tmp_path: Path
) -> None:
    lines = await exported(backend, file)
    assert len(lines) == 12
    assert lines[-1] == b'{"head":"%s"}\n' % str(await store.head()).encode()
    assert SECRET.hex().encode() not in file.read_bytes()

    there = SqliteBackend(tmp_path, "there.db")
    assert await imported(file, there) == await store.head()

    async with reading(there.place) as vault:
        assert await examine(vault) == []
    async with there.open() as other:
        assert await other.tasks() == await store.tasks()
        assert await other.runs_of(TaskId("t1")) == await store.runs_of(TaskId("t1"))
        assert await other.usage() == await store.usage()
        assert await other.token_hash(AGENT) is None
    with pytest.raises(CopyRefused, match="holds a journal of 11 events: give an empty one"):
        await imported(file, there)


async def test_an_empty_database_of_either_kind_is_filled(
    backend: Backend, store: Store, tmp_path: Path, file: Path
) -> None:
    await store.close()
    source, history = SqliteBackend(tmp_path, "source.db"), History()
    async with source.open() as other:
        for change in history.story("t1"):
            await other.append(change)
        head, tasks = await other.head(), await other.tasks()
    await exported(source, file)
    file.write_bytes(gzip.compress(file.read_bytes()))

    assert await imported(file, backend) == head

    await store.load()
    assert await store.tasks() == tasks
    assert await examine(store) == []


def changed(number: int, old: bytes, new: bytes) -> Callable[[list[bytes]], Iterable[bytes]]:
    def change(lines: list[bytes]) -> Iterable[bytes]:
        assert old in lines[number - 1]
        return [*lines[: number - 1], lines[number - 1].replace(old, new), *lines[number:]]

    return change


Change = Callable[[list[bytes]], Iterable[bytes]]

BROKEN: dict[str, Change] = {
    "line 3: event 3: its hash does not match": changed(3, b"alice", b"mallory"),
    "line 4: event 4: its hash does not match": changed(4, b'"version":2', b'"version":3'),
    "line 2: no line of a journal: .*seq": changed(2, b'"seq":2', b'"seq":"x"'),
    "line 5: no line of a journal": changed(5, b"{", b""),
    "line 4: event 5: event 4 is missing before it": lambda lines: [*lines[:3], *lines[4:]],
    "line 1: the journal begins with event 6": lambda lines: lines[5:],
    "line 12: it ends before its last line": lambda lines: lines[:-1],
    "line 11: the journal ended at 11:": lambda lines: [*lines[:-2], lines[-1]],
    "line 12: there is more behind": lambda lines: [*lines, lines[0]],
    "line 1: it ends before its last line": lambda lines: [],
}


@pytest.mark.usefixtures("story")
async def test_what_is_not_whole_is_refused_with_its_line(backend: Backend, file: Path) -> None:
    lines = await exported(backend, file)
    for words, change in BROKEN.items():
        file.write_bytes(b"".join(change(lines)))
        with pytest.raises(ImportRefused, match=words):
            check(file)


@pytest.mark.usefixtures("story")
async def test_a_packed_file_that_is_damaged_is_refused(backend: Backend, file: Path) -> None:
    await exported(backend, file)
    packed = gzip.compress(file.read_bytes())
    for damaged in (packed[:12] + b"\xff" * 8 + packed[20:], packed[:-4] + bytes(4), packed[:99]):
        file.write_bytes(damaged)
        with pytest.raises(ImportRefused, match=r"journal\.jsonl cannot be read"):
            check(file)


@pytest.mark.usefixtures("story")
async def test_what_is_archived_is_exported_with_the_archive(
    store: Store, backend: Backend, file: Path, tmp_path: Path
) -> None:
    before = await exported(backend, file)
    folder = tmp_path / "archive"
    folder.mkdir()
    assert (await store.archive(folder, 5_000, 99, 1)).tasks == 2

    with pytest.raises(ExportRefused, match="8 events are in the archive: give it with --archive"):
        await exported(backend, file)
    assert await exported(backend, file, folder) == before


@pytest.mark.usefixtures("story")
async def test_a_part_of_a_journal_can_be_exported_and_not_be_put_back(
    backend: Backend, file: Path
) -> None:
    async with reading(backend.place) as vault:
        repos = await flat.repos_called(vault, REPO.upper())
        streams = await flat.streams_of(vault, repos)
        some = [line async for line in journal(vault, since=1_008, streams=streams)]
    assert [msgspec.json.decode(line)["seq"] for line in some] == [9, 10]
    file.write_bytes(b"".join(some))
    with pytest.raises(ImportRefused, match="without --since and --repo"):
        check(file)


@pytest.mark.usefixtures("story")
async def test_tasks_runs_and_receipts_are_rows(backend: Backend) -> None:
    async with reading(backend.place) as vault:
        repos = await flat.repos_called(vault, REPO)
        tasks = [row async for row in flat.tasks(vault, 0, None)]
        own = [row.id async for row in flat.tasks(vault, 0, repos)]
        late = [row.id async for row in flat.tasks(vault, 1_010, None)]
        runs = [row async for row in flat.runs(vault, 0, repos)]
        receipts = [row async for row in flat.receipts(vault, 0, None)]
        with pytest.raises(flat.NoSuchRepository, match=f"no repository x/y; it knows: {REPO}"):
            await flat.repos_called(vault, "x/y")

    assert [(row.id, row.state, row.reason) for row in tasks] == [
        ("t1", "completed", None),
        ("t2", "cancelled", "issue_closed"),
        ("t3", "created", None),
    ]
    assert own == ["t1", "t2"]
    assert late == ["t3"]
    (run,), (receipt,) = runs, receipts
    assert (run.id, run.task, run.verified, run.issue) == (RunId("t1-run"), "t1", True, 1)
    assert (receipt.id, receipt.verdict) == (ReceiptId("t1-receipt"), "verified")
