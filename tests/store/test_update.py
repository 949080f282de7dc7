"""A database of before lines had a schema, brought up to date."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest

from fleetbot.domain import events as ev
from fleetbot.domain.state import FleetState
from fleetbot.store import outcomes
from fleetbot.store.audit import examine
from fleetbot.store.chain import GENESIS, link
from fleetbot.store.migrate import migrate_sqlite
from fleetbot.store.sqlite import SqliteStore
from fleetbot.store.views import VIEWS
from tests.store.history import History

JOURNAL = Path(__file__).parents[1] / "data" / "journal-0.1.txt"
TALKS = (
    '{"type":"run.asked","run":"r3","ask":"a2","kind":"question","title":"Which é?",'
    '"expires_at":9000,"request":"{\\"command\\":\\"say \\\\\\"é\\\\\\"\\"}","options":["a","b"]}',
    '{"type":"run.asked","run":"r3","ask":"a3","kind":"permission","title":"And this?",'
    '"expires_at":9000}',
    '{"type":"run.answered","run":"r3","ask":"a2","behavior":"allow","text":"a\\nb"}',
    '{"type":"run.messaged","run":"r3","message":"m2","text":"Nobody heard \\"this\\""}',
)


def old_lines() -> Iterator[tuple[str, str]]:
    """Streams and events as 0.1 wrote them, with some more words between a run and people."""
    for line in JOURNAL.read_text().splitlines():
        stream, _, data = line.partition(" ")
        yield stream, data
        if '"run.message_taken"' in data:
            yield from ((stream, talk) for talk in TALKS)


def row_of_before(run: dict[str, Any], events: list[Any]) -> dict[str, Any]:
    """A run as it was kept then: with all that was asked, said and answered."""
    asked = {e.ask: e for e in events if isinstance(e, ev.RunAsked)}
    answered = {e.ask: e for e in events if isinstance(e, ev.RunAnswered)}
    said = {e.message: e for e in events if isinstance(e, ev.RunMessaged)}
    for ask in run.get("asks", ()):
        of = asked[ask["id"]]
        kept = {
            "id": of.ask,
            "kind": of.kind,
            "title": of.title,
            "request": json.dumps(of.request, ensure_ascii=False),
            "options": of.options,
            "asked_at": ask["asked_at"],
            "expires_at": ask["expires_at"],
        }
        ask.clear()
        ask |= kept
        if answer := answered.get(of.ask):
            ask |= {"behavior": answer.behavior}
            ask |= {"text": answer.text} if answer.text else {}
            ask |= {"expired": True} if answer.expired else {}
    for message in run.get("messages", ()):
        taken = {"taken": message["taken"]} if "taken" in message else {}
        kept = {"id": message["id"], "text": said[message["id"]].text, **taken}
        message.clear()
        message |= kept
    return run


def write_as_before(database: sqlite3.Connection) -> None:
    state, hash, events = FleetState(), GENESIS, []
    for seq, (stream, data) in enumerate(old_lines(), 1):
        event = ev.decode(data, schema=1)
        events.append(event)
        line = ev.Recorded(
            seq=seq,
            stream=stream,
            version=state.version(stream) + 1,
            at=1_000 + seq,
            actor="timer",
            cause="",
            event=event,
        )
        state.apply(line)
        place = (seq, stream, line.version, line.at, line.actor, line.cause)
        hash = link(hash, *place, data.encode(), 1)
        row = (*place[:3], ev.event_type(event), *place[3:], data, hash)
        database.execute("INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", row)
    models: dict[str, Mapping[Any, Any]] = {
        "tasks": state.tasks,
        "runs": state.runs,
        "receipts": state.receipts,
        "agents": state.agents,
    }
    for table, values in models.items():
        view = VIEWS[table]
        for value in values.values():
            fields = dict(zip(view.columns, view.row(value), strict=True))
            if table == "agents":
                before = json.loads(str(fields["data"]))
                del before["signed_off_at"]
                fields["data"] = msgspec.json.encode(before).decode()
            if table == "runs":
                before = row_of_before(json.loads(str(fields["data"])), events)
                fields["data"] = msgspec.json.encode(before).decode()
            marks = ", ".join("?" * len(fields))
            database.execute(
                f"INSERT INTO {table} ({', '.join(fields)}) VALUES ({marks})",
                tuple(fields.values()),
            )
    database.execute(outcomes.TOOK)


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "fleet.db"
    migrate_sqlite(path)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("ALTER TABLE events DROP COLUMN schema")
        connection.execute("DELETE FROM _yoyo_migration WHERE migration_id = '0005-schema'")
        write_as_before(connection)
    return path


async def test_the_journal_and_its_rows_are_whole_afterwards(database: Path) -> None:
    assert migrate_sqlite(database) == ["0005-schema"]

    store = SqliteStore(database)
    await store.load()
    assert await examine(store) == []
    questions = [line.event for line in await store.events() if type(line.event) is ev.RunAsked]
    assert [question.request for question in questions] == [{}, {"command": 'say "é"'}, {}]
    await store.close()


async def test_lines_with_a_number_follow_those_without(database: Path) -> None:
    migrate_sqlite(database)
    store = SqliteStore(database)
    await store.load()
    history = History()
    for line in await store.events():
        history.state.apply(line)

    await store.append(history.registered())

    lines = await store.journal_lines(0, 1000)
    assert [line.schema for line in lines] == [*[1] * (len(lines) - 1), 2]
    assert await examine(store) == []
    await store.close()
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("UPDATE events SET schema = 1")
    await store.load()
    (problem,) = await examine(store)
    assert "its hash does not match" in problem.text, "the number is part of what is chained"
    await store.close()
