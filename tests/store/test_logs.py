"""Logs of runs: by offset, so that a runner may send again what it is not sure of."""

from __future__ import annotations

import asyncio

import pytest

from fleetbot.domain.model import RunId
from fleetbot.store.interface import LogGap, Store
from fleetbot.store.records import Anchor, Change, LogChunk, LogLine
from tests.store.backend import Backend

RUN = RunId("run-1")


def lines(*numbers: int) -> tuple[LogLine, ...]:
    return tuple(LogLine(at=n, kind="out", text=f"line {n}") for n in numbers)


def chunk(*numbers: int, run: RunId = RUN) -> LogChunk:
    return LogChunk(run=run, offset=numbers[0], lines=lines(*numbers))


async def test_lines_come_back_in_order_by_offset(store: Store) -> None:
    assert await store.append_log(chunk(0, 1, 2)) == 3
    assert await store.append_log(chunk(3)) == 4

    assert await store.log_lines(RUN) == list(lines(0, 1, 2, 3))
    assert await store.log_lines(RUN, offset=1, limit=2) == list(lines(1, 2))
    assert await store.log_length(RUN) == 4


async def test_lines_sent_again_are_not_stored_again(store: Store) -> None:
    await store.append_log(chunk(0, 1, 2))

    assert await store.append_log(chunk(0, 1)) == 3
    assert await store.append_log(chunk(1, 2, 3)) == 4
    assert await store.log_lines(RUN) == list(lines(0, 1, 2, 3))


async def test_a_gap_is_refused_with_what_is_there(store: Store) -> None:
    await store.append_log(chunk(0, 1))

    with pytest.raises(LogGap, match="send again from 2") as refused:
        await store.append_log(chunk(3, 4))

    assert refused.value.length == 2
    assert refused.value.field == "offset"
    assert await store.log_length(RUN) == 2


async def test_a_gap_disturbs_nobody_else(store: Store) -> None:
    refused, length, _ = await asyncio.gather(
        store.append_log(chunk(5)),
        store.append_log(chunk(0, run=RunId("run-2"))),
        store.append(Change(anchors=(Anchor(key="k", value="v"),))),
        return_exceptions=True,
    )

    assert isinstance(refused, LogGap)
    assert length == 1
    assert await store.anchor("k") == "v"


async def test_runs_have_logs_of_their_own(store: Store) -> None:
    await store.append_log(chunk(0, 1))

    assert await store.log_length(RunId("run-2")) == 0
    assert await store.log_lines(RunId("run-2")) == []


async def test_a_chunk_without_lines_tells_the_length(store: Store) -> None:
    await store.append_log(chunk(0, 1))

    assert await store.append_log(LogChunk(run=RUN, offset=2, lines=())) == 2


def long_lines(offset: int, number: int) -> LogChunk:
    """Lines of a megabyte each, and of some more on the disk than in characters."""
    text = "ä" * 512 * 1024
    return LogChunk(run=RUN, offset=offset, lines=(LogLine(at=7, kind="out", text=text),) * number)


async def test_a_log_that_is_too_long_is_cut_off_and_its_runner_goes_on(store: Store) -> None:
    assert await store.append_log(long_lines(0, 10)) == 10
    assert await store.append_log(long_lines(10, 10)) == 20
    assert await store.append_log(long_lines(20, 1)) == 21
    assert await store.append_log(long_lines(10, 10)) == 20

    assert await store.log_length(RUN) == 17
    (last,) = await store.log_lines(RUN, offset=16)
    assert (last.at, last.kind) == (7, "system")
    assert "longer than 16 MiB" in last.text


async def test_a_full_log_stays_full_after_a_restart(backend: Backend) -> None:
    async with backend.open() as store:
        await store.append_log(long_lines(0, 16))
        full = await store.log_length(RUN)
    async with backend.open() as store:
        assert await store.append_log(long_lines(16, 1)) == 17
        assert await store.log_length(RUN) == full


async def test_empty_lines_without_number_fill_a_log_too(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fleetbot.store.journal.LOG_BYTES", 32 * 5_000)
    empty = (LogLine(at=0, kind="out", text=""),) * 3_000
    for offset in (0, 3_000):
        chunk = LogChunk(run=RUN, offset=offset, lines=empty)
        assert await store.append_log(chunk) == offset + 3_000
    assert await store.log_length(RUN) == 5_000 + 1


async def test_a_character_that_not_every_database_takes_is_shown_instead(store: Store) -> None:
    lines = (LogLine(at=0, kind="out", text="PK\0\0 is binary"),)
    await store.append_log(LogChunk(run=RUN, offset=0, lines=lines))

    assert [line.text for line in await store.log_lines(RUN)] == ["PK␀␀ is binary"]
