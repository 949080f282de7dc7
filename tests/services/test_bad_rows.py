"""One row that cannot be read does not keep the fleet from starting."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import islice
from pathlib import Path

import pytest

from fleetbot.domain import commands as cmd
from fleetbot.domain.events import FleetPaused
from fleetbot.domain.model import Policy, RunId, TaskId
from fleetbot.domain.reasons import ReasonCode
from fleetbot.services.fleet import Context, Fleet
from fleetbot.store.audit import examine
from fleetbot.store.interface import Store, Unreadable
from tests.domain.builders import a_task, an_agent
from tests.store.backend import SqliteBackend
from tests.store.history import AGENT, History

TEST = Context(actor="test")
BROKEN_LINE = "UPDATE events SET data = '{}' WHERE seq = (SELECT max(seq) FROM events WHERE stream"


@pytest.fixture
async def database(tmp_path: Path) -> SqliteBackend:
    """An agent at work on one task, with its receipt filed; another task waits."""
    backend, history = SqliteBackend(tmp_path), History()
    async with backend.open() as store:
        await store.append(history.registered())
        for change in islice(history.story("doing"), 4):
            await store.append(change)
        await store.append(history.created("waiting"))
    return backend


@asynccontextmanager
async def started(database: SqliteBackend) -> AsyncIterator[tuple[Fleet, Store]]:
    async with database.open() as store:
        fleet = Fleet(store, Policy(), lambda: 2_000, lambda notice: ())
        await fleet.start()
        yield fleet, store


@pytest.mark.parametrize("table", ["tasks", "runs", "receipts", "agents"])
async def test_rows_that_cannot_be_read_are_made_again_from_their_events(
    database: SqliteBackend, table: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with started(database) as (fleet, _):
        whole = fleet.state
    database.tamper(f"UPDATE {table} SET data = '{{\"attempt\": true}}'")

    with caplog.at_level(logging.WARNING):
        async with started(database) as (fleet, store):
            assert (fleet.state.tasks, fleet.state.runs) == (whole.tasks, whole.runs)
            assert (fleet.state.receipts, fleet.state.agents) == (whole.receipts, whole.agents)
            assert fleet.bad == ()
            assert await examine(store) == []
    assert f"{table} " in caplog.text
    assert "was made again from its events" in caplog.text


async def test_a_task_whose_events_cannot_be_read_either_is_left_out_and_said(
    database: SqliteBackend, caplog: pytest.LogCaptureFixture
) -> None:
    database.tamper("UPDATE runs SET data = 'x'")
    database.tamper(f"{BROKEN_LINE} = 'task:doing')")

    async with started(database) as (fleet, _):
        assert set(fleet.state.tasks) == {"waiting"}
        assert fleet.state.runs_of_agent(AGENT) == ()
        (row,) = fleet.bad
        assert str(row).startswith("runs doing-run cannot be read")
        assert "restore a backup" in caplog.text
        with pytest.raises(Unreadable):
            await fleet.task(TaskId("doing"))
        await fleet.commit(cmd.Dispatch(AGENT, RunId("new")), TEST)
        assert fleet.state.runs[RunId("new")].task == "waiting"


async def test_an_agent_whose_events_cannot_be_read_is_not_taken_for_a_new_one(
    database: SqliteBackend,
) -> None:
    database.tamper("UPDATE agents SET data = 'x'")
    database.tamper(f"{BROKEN_LINE} = 'agent:{AGENT}')")

    async with started(database) as (fleet, _):
        assert set(fleet.state.tasks) == {"waiting"}, "nobody would look after the other"
        (row,) = fleet.bad
        assert str(row).endswith("and with it what it is at: octo/hello-world#1")
        with pytest.raises(Unreadable, match=f"agents {AGENT} cannot be read"):
            await fleet.commit(an_agent(AGENT), TEST)
        await fleet.commit(cmd.Expire(), TEST)
        await fleet.commit(a_task(TaskId("t9"), repo="octo/other"), TEST)


async def test_a_pause_that_cannot_be_read_holds_nobody(database: SqliteBackend) -> None:
    async with started(database) as (fleet, store):
        history = History()
        for line in await store.events():
            history.state.apply(line)
        event = FleetPaused(reason=ReasonCode.DAY_BUDGET_EXCEEDED, until=9_000)
        await store.append(history.fleet_event(event))
    database.tamper(f"{BROKEN_LINE} = 'fleet')")

    async with started(database) as (fleet, _):
        assert fleet.state.paused_until == 0
        assert fleet.state.version("fleet") == 1
        assert "nothing else tells of it" in str(fleet.bad[0])
        await fleet.commit(cmd.Expire(), TEST)
