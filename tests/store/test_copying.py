"""A fleet moves between the two kinds of database, by copy or backup, and nothing is lost."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from fleetbot.domain.model import RunId
from fleetbot.store.audit import examine
from fleetbot.store.auditable import Row
from fleetbot.store.backup import BackupRefused, back_up
from fleetbot.store.chain import Head
from fleetbot.store.copying import CopyRefused, NotProven, copy
from fleetbot.store.damage import JournalDamaged
from fleetbot.store.existing import Bare, make, reading, writing
from fleetbot.store.identities import Claim, Enrolment, Person
from fleetbot.store.interface import Store, StoreUnavailable
from fleetbot.store.lock import DatabaseInUse
from fleetbot.store.place import Place, PostgresPlace
from fleetbot.store.records import (
    AgentToken,
    Anchor,
    Arrival,
    Change,
    LogChunk,
    LogLine,
    OutboxEntry,
    Posted,
    PostKind,
)
from fleetbot.store.restoring import restore
from tests.postgres import PostgresServer
from tests.store.backend import Backend, PostgresBackend, SqliteBackend
from tests.store.history import AGENT, History
from tests.store.test_backup import now


@pytest.fixture
def sqlite(tmp_path: Path) -> SqliteBackend:
    return SqliteBackend(tmp_path)


@pytest.fixture
def schema(postgres_backend: PostgresBackend) -> PostgresBackend:
    return postgres_backend


async def begin(store: Store, history: History) -> None:
    """Something in every table."""
    await store.append(history.registered())
    for task in ("t1", "t2"):
        for change in history.story(task):
            await store.append(change)
    await store.append(
        Change(
            tokens=(AgentToken(agent=AGENT, hash=b"\x00\xff" * 16),),
            anchors=(Anchor(key="k", value="v"),),
            people=(Person(login="Ann", mxid="@ann:hs", proven_at=1),),
            claims=(Claim(mxid="@b:hs", login="b", code="c", room="r", asked_at=1, expires_at=2),),
            enrolments=(
                Enrolment(id="e", agent=AGENT, hash=b"h" * 32, actor="a", made_at=1, expires_at=2),
            ),
            posted=(Posted(room="r", event="e", kind=PostKind.CARD, subject="t1", at=1),),
            outbox=tuple(map(an_effect, range(3))),
        )
    )
    await store.keep(Arrival(key="a", kind="webhook", at=1, body=b"\x00\x01", meta="issues"))
    said = (LogLine(1, "assistant", "¡🦊!"), LogLine(2, "tool", "two"))
    await store.append_log(LogChunk(run=RunId("t1-run"), offset=0, lines=said))


def an_effect(number: int) -> OutboxEntry:
    to = "matrix:r"
    return OutboxEntry(
        id=f"{number}", destination=to, kind="words", payload=b"\x00{}", due_at=number
    )


async def held(place: Place) -> Mapping[str, list[Row]]:
    """All that the database holds."""
    async with reading(place) as vault:
        assert await examine(vault) == []
        tables = await vault.tables()
        found = {}
        for name, table in tables.items():
            columns = sorted(table.columns)
            rows = [
                tuple(row[table.columns.index(column)] for column in columns)
                async for page in vault.pages(table)
                for row in page
            ]
            found[name] = sorted(rows, key=repr)
    return found


async def moved(source: Place, target: Place) -> Head:
    async with writing(source) as old:
        await make(target)
        async with writing(target) as new:
            return await copy(old, new)


async def test_a_fleet_moves_to_postgres_and_back(
    sqlite: SqliteBackend, schema: PostgresBackend, history: History, tmp_path: Path
) -> None:
    async with sqlite.open() as store:
        await begin(store, history)
    (tmp_path / "back").mkdir()
    back = SqliteBackend(tmp_path / "back")

    await moved(sqlite.place, schema.place)
    async with schema.open() as store:
        assert await store.log_length(RunId("t1-run")) == 2
        assert store.people == {"ann": "@ann:hs"}
        await store.append(history.created("t3"))
    head = await moved(schema.place, back.place)

    assert head.seq == 14
    assert await held(back.place) == await held(schema.place)
    bare = {name for name, rows in (await held(back.place)).items() if not rows}
    assert bare == {"repos", "segments", "archived", "gaps"}
    async with back.open() as store:
        assert len(await store.tasks()) == 3
        await store.append(history.created("t4"))


async def test_nothing_is_copied_over_something_and_nobody_may_be_at_work(
    sqlite: SqliteBackend, schema: PostgresBackend, history: History
) -> None:
    async with sqlite.open() as store:
        await begin(store, history)
        with pytest.raises(DatabaseInUse, match="stop it first"):
            await moved(sqlite.place, schema.place)
    async with schema.open():
        with pytest.raises(DatabaseInUse, match="stop it first"):
            await moved(sqlite.place, schema.place)
    await moved(sqlite.place, schema.place)

    with pytest.raises(CopyRefused, match="holds a journal of 13 events: give an empty one"):
        await moved(sqlite.place, schema.place)
    async with sqlite.open(), schema.open() as store:
        assert await store.anchor("k") == "v"


@pytest.mark.parametrize(
    ("change", "kind", "words"),
    [
        ("DELETE FROM runs", NotProven, "runs t1-run: is missing; make .* anew first"),
        ("UPDATE events SET actor = 'x' WHERE seq = 3", JournalDamaged, "event 3: its hash"),
    ],
)
async def test_what_cannot_be_proven_does_not_stay(
    sqlite: SqliteBackend,
    schema: PostgresBackend,
    history: History,
    change: str,
    kind: type[Exception],
    words: str,
) -> None:
    async with sqlite.open() as store:
        await begin(store, history)
    sqlite.tamper(change)

    with pytest.raises(kind, match=words):
        await moved(sqlite.place, schema.place)

    async with reading(schema.place) as vault:
        assert not any([await vault.count(name) for name in await vault.tables()])


async def test_a_zero_byte_of_a_log_arrives_as_its_symbol(
    sqlite: SqliteBackend, schema: PostgresBackend, history: History
) -> None:
    async with sqlite.open() as store:
        await begin(store, history)
        said = (LogLine(1, "assistant", "a\0b"),)
        await store.append_log(LogChunk(run=RunId("t1-run"), offset=2, lines=said))

    await moved(sqlite.place, schema.place)

    async with schema.open() as store:
        assert [line.text for line in await store.log_lines(RunId("t1-run"), 2)] == ["a␀b"]


async def test_a_backup_of_postgres_is_made_while_the_fleet_works_and_put_back_into_either(
    sqlite: SqliteBackend, schema: PostgresBackend, history: History, tmp_path: Path
) -> None:
    file = tmp_path / "backup.db"
    async with schema.open() as store:
        await begin(store, history)
        made = await back_up(schema.place, file)
        await store.append(history.created("t3"))
        with pytest.raises(DatabaseInUse):
            await restore(file, schema.place, now, replace=True)
    assert made.head.seq == 13
    with pytest.raises(BackupRefused, match="a journal of 14 events: with --replace"):
        await restore(file, schema.place, now)

    done = await restore(file, schema.place, now, replace=True)
    aside = replace(schema.place, schema=done.aside)
    try:
        assert done.aside == "mbp_fleet-bot.replaced-20261126T183000Z"
        async with reading(aside) as vault:
            assert (await vault.head()).seq == 14
        await restore(file, sqlite.place, now)
        assert await held(sqlite.place) == await held(schema.place) != await held(aside)
    finally:
        schema.ask(f"DROP SCHEMA {aside.address.quoted_schema} CASCADE")


async def test_a_damaged_backup_changes_nothing_on_postgres(
    sqlite: SqliteBackend, schema: PostgresBackend, history: History, tmp_path: Path
) -> None:
    file = tmp_path / "backup.db"
    async with sqlite.open() as store:
        await begin(store, history)
        await back_up(sqlite.place, file)
    with closing(sqlite3.connect(file)) as database, database:
        database.execute("DELETE FROM events WHERE seq = 5")
    schemas = "SELECT nspname FROM pg_namespace WHERE nspname LIKE 'mbp%' ORDER BY nspname"
    before = schema.ask(schemas)

    with pytest.raises(JournalDamaged, match="event 6"):
        await restore(file, schema.place, now, replace=True)

    async with schema.open() as store:
        assert await store.tasks() == []
    assert schema.ask(schemas) == before


async def test_a_schema_that_is_not_there_is_made_by_who_fills_it_alone(
    sqlite: SqliteBackend, schema: PostgresBackend, history: History
) -> None:
    place = PostgresPlace(schema.url, "mbp_new")
    async with sqlite.open() as store:
        await begin(store, history)
    with pytest.raises(Bare, match=r"Postgres .*, schema mbp_new holds no journal"):
        await held(place)
    try:
        await moved(sqlite.place, place)
        assert len((await held(place))["events"]) == 13
    finally:
        schema.ask("DROP SCHEMA mbp_new CASCADE")


async def test_a_password_that_is_wrong_is_told_without_it(postgres: PostgresServer) -> None:
    wrong = postgres.tcp_url().replace("s3cret", "wr0ng")
    with pytest.raises(StoreUnavailable, match="give the password with --password-file") as told:
        await held(PostgresPlace(wrong, "mbp_x"))
    assert "wr0ng" not in str(told.value)


async def test_who_looks_sees_one_moment_while_the_fleet_goes_on(
    backend: Backend, history: History
) -> None:
    async with backend.open() as store:
        await begin(store, history)
        async with reading(backend.place) as vault:
            await store.append(history.created("t3"))
            assert (await vault.head()).seq == 13
            assert await examine(vault) == []
        async with reading(backend.place) as vault:
            assert (await vault.head()).seq == 14
