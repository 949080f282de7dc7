"""What holds on Postgres: a server that goes away, comes back as a standby, has another leader."""

from __future__ import annotations

import asyncio
import signal
import socket
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager

import pytest

from fleetbot.domain.model import TaskId
from fleetbot.store.audit import examine
from fleetbot.store.interface import Deposed, Store, StoreUnavailable, Unwritable
from fleetbot.store.lock import DatabaseInUse
from fleetbot.store.migrate import MigrationError, migrate_postgres
from fleetbot.store.postgres.leadership import Candidate
from fleetbot.store.postgres.store import PostgresStore
from fleetbot.store.records import Anchor, Change
from fleetbot_devkit.process import free_port
from tests.postgres import PASSWORD, PostgresServer
from tests.store.backend import PostgresBackend
from tests.store.history import History

CALLERS = 16


@pytest.fixture
def backend(postgres_backend: PostgresBackend) -> PostgresBackend:
    return postgres_backend


async def history_of(store: Store) -> History:
    """As whoever starts reads it."""
    history = History()
    for line in await store.events(limit=100_000):
        history.state.apply(line)
    return history


class Fleet:
    """Callers that append without end, and what they were told has been kept."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.history = History()
        self.acknowledged: list[int] = []
        self._enough = asyncio.Event()

    async def works_until(self, fault: Callable[[], object]) -> None:
        """Appends until all callers are refused, because of a `fault` in the midst of it."""
        callers = [asyncio.create_task(self._append()) for _ in range(CALLERS)]
        await self._enough.wait()
        fault()
        refusals = await asyncio.gather(*callers, return_exceptions=True)
        assert {type(refusal) for refusal in refusals} == {StoreUnavailable}

    async def _append(self) -> None:
        while True:
            change = self.history.created(f"t{self.history.state.seq + 1}")
            await self.store.append(change)
            self.acknowledged.append(change.events[0].seq)
            if len(self.acknowledged) > 10 * CALLERS:
                self._enough.set()

    async def lost_nothing(self) -> None:
        """What was acknowledged is there, once; and the store goes on from there."""
        snapshot = await self.store.load()
        assert snapshot.seq >= max(self.acknowledged)
        assert len(snapshot.tasks) == snapshot.seq
        again = await history_of(self.store)
        await self.store.append(again.created("after"))
        assert await examine(self.store) == []


def end_sessions(backend: PostgresBackend) -> None:
    backend.ask(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE application_name LIKE 'fleetbot %'"
    )


def until_waiting(backend: PostgresBackend, sessions: int) -> None:
    """Until so many wait for a lock."""
    while backend.ask("SELECT count(*) FROM pg_locks WHERE NOT granted") != [(sessions,)]:
        time.sleep(0.01)  # another process: no event to wait for


async def test_a_server_that_crashes_in_the_midst_of_appends_loses_nothing(
    backend: PostgresBackend, store: Store, postgres: PostgresServer
) -> None:
    fleet = Fleet(store)

    await fleet.works_until(lambda: postgres.stop(signal.SIGQUIT))

    with pytest.raises(StoreUnavailable, match="schema mbp_fleet-bot"):
        await store.load()
    with pytest.raises(StoreUnavailable, match="cannot be read"):
        await store.task(TaskId("t1"))
    postgres.start()

    assert await store.task(TaskId("t1")) is not None
    await fleet.lost_nothing()


async def test_sessions_that_an_administrator_ends_are_made_anew(
    backend: PostgresBackend, store: Store
) -> None:
    fleet = Fleet(store)

    await fleet.works_until(lambda: end_sessions(backend))

    assert await store.task(TaskId("t1")) is not None, "a reader asks again by itself"
    await fleet.lost_nothing()


async def test_a_standby_is_refused_until_it_is_promoted(
    backend: PostgresBackend, store: Store, history: History, postgres: PostgresServer
) -> None:
    await store.append(history.created("t1"))
    postgres.stop(signal.SIGINT)
    postgres.become_standby()
    postgres.start()
    with pytest.raises(StoreUnavailable):
        await store.append(history.created("t2"))

    with pytest.raises(StoreUnavailable, match="it is read-only, as a standby is"):
        await store.load()
    backend.ask("SELECT pg_promote()")

    assert (await store.load()).seq == 1
    await store.append((await history_of(store)).created("t2"))
    assert await examine(store) == []


DISK_FULL = """
CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = '53100';
END $$;
CREATE TRIGGER full_disk BEFORE INSERT ON anchors EXECUTE FUNCTION full_disk()
"""


async def test_a_full_disk_fails_appends_and_nothing_else(
    backend: PostgresBackend, store: Store, history: History
) -> None:
    await store.append(history.created("t1"))
    backend.tamper(DISK_FULL)
    try:
        with pytest.raises(StoreUnavailable, match=r"No space left on device \(53100\)"):
            await store.append(Change(anchors=(Anchor(key="k", value="v"),)))
    finally:
        backend.tamper("DROP FUNCTION full_disk CASCADE")

    assert (await store.load()).seq == 1
    await store.append(history.created("t2"))
    assert await store.anchor("k") is None
    assert await examine(store) == []


async def test_what_no_index_can_hold_is_refused_alone(store: Store, history: History) -> None:
    key = "".join(chr(0x4E00 + number * 7919 % 20_000) for number in range(4_000))
    wrong, right = Change(anchors=(Anchor(key=key, value="v"),)), history.created("t1")

    outcomes = await asyncio.gather(
        store.append(wrong), store.append(right), return_exceptions=True
    )

    assert [type(outcome) for outcome in outcomes] == [Unwritable, type(None)]


async def test_what_is_refused_is_not_told_to_the_log(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(Unwritable):
        await store.append(Change(anchors=(Anchor(key="k", value="s3cret\ud800"),)))

    assert "a value is none that Postgres can hold (22000)" in caplog.text
    assert "s3cret" not in caplog.text


# who leads


async def test_a_second_process_is_refused_by_the_name_of_the_first(
    backend: PostgresBackend,
) -> None:
    first = PostgresStore(backend.url, backend.schema, Candidate("fleet-a on alpha", "http://a/"))
    second = PostgresStore(backend.url, backend.schema, Candidate("fleet-b", patience_ms=50))
    await first.load()
    try:
        with pytest.raises(
            DatabaseInUse, match="fleet-a on alpha at http://a/, epoch 1"
        ) as refused:
            await second.load()
    finally:
        await first.close()

    assert (refused.value.name, refused.value.address) == ("fleet-a on alpha", "http://a/")
    await second.load()
    await second.close()


async def test_a_schema_of_another_instance_has_a_leader_of_its_own(
    backend: PostgresBackend, store: Store
) -> None:
    other = PostgresStore(backend.url, "mbp_other", Candidate("other", patience_ms=50))

    with pytest.raises(StoreUnavailable, match='relation "leader" does not exist'):
        await other.load()

    await other.close()


async def test_a_deposed_leader_writes_nothing(
    backend: PostgresBackend, store: Store, history: History
) -> None:
    await store.append(history.created("t1"))
    backend.tamper("UPDATE leader SET epoch = epoch + 1, name = 'fleet-b'")

    together = [store.append(history.created(f"t{number}")) for number in range(2, 9)]
    outcomes = await asyncio.gather(*together, return_exceptions=True)

    assert {type(outcome) for outcome in outcomes} == {Deposed}
    assert "another leads since: fleet-b" in str(outcomes[0])
    assert [line.seq for line in await store.events()] == [1]


async def test_whoever_deposes_a_leader_waits_for_what_it_is_writing(
    backend: PostgresBackend, store: Store, history: History
) -> None:
    """So that the new leader reads where the journal ends when nothing can be added any more."""
    with backend.connected() as other, other.transaction():
        other.execute("LOCK TABLE events IN EXCLUSIVE MODE")  # the append is held up within
        append = asyncio.ensure_future(store.append(history.created("t1")))
        await asyncio.to_thread(until_waiting, backend, 1)
        depose = "UPDATE leader SET epoch = epoch + 1"
        deposing = asyncio.create_task(asyncio.to_thread(backend.tamper, depose))
        await asyncio.to_thread(until_waiting, backend, 2)
        assert not deposing.done()
    await append
    await deposing
    with pytest.raises(Deposed):
        await store.append(history.created("t2"))


# the network


class Wire:
    """Between a store and the server. Once it is `cut_at` a word that the store says, the server
    still gets that word; the store hears nothing more, and the server is told of nothing."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.cut_at: bytes | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._ends: list[asyncio.StreamWriter] = []

    @asynccontextmanager
    async def laid(self) -> AsyncIterator[int]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        try:
            yield server.sockets[0].getsockname()[1]
        finally:
            server.close()
            for end in self._ends:
                end.close()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from_server, to_server = await asyncio.open_connection("127.0.0.1", self._port)
        self._ends += [to_server, writer]
        answers = self._start(self._pass_on(from_server, writer))
        self._start(self._pass_on_until_cut(reader, to_server, from_server, writer, answers))

    def _start(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        return task

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while said := await reader.read(65536):
            writer.write(said)
        writer.close()

    async def _pass_on_until_cut(
        self,
        reader: asyncio.StreamReader,
        to_server: asyncio.StreamWriter,
        from_server: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        answers: asyncio.Task[None],
    ) -> None:
        while said := await reader.read(65536):
            if self.cut_at and self.cut_at in said:
                answers.cancel()
                await asyncio.wait([answers])
                to_server.write(said)
                await from_server.read(1)  # it has done as it was told
                writer.close()
                return
            to_server.write(said)
        to_server.close()


async def test_a_commit_whose_answer_was_lost_counts_once(
    backend: PostgresBackend, history: History, postgres: PostgresServer
) -> None:
    """The server has it, and has not noticed that the session is over: memory is read anew."""
    wire = Wire(postgres.port)
    async with wire.laid() as port:
        url = postgres.tcp_url().replace(str(postgres.port), str(port))
        store = PostgresStore(url, backend.schema)
        await store.load()
        await store.append(history.created("t1"))
        wire.cut_at = b"COMMIT"
        with pytest.raises(StoreUnavailable):
            await store.append(history.created("t2"))
        wire.cut_at = None

        snapshot = await store.load()

        assert [task.id for task in snapshot.tasks] == ["t1", "t2"]
        await store.append(history.created("t3"))
        assert await examine(store) == []
        await store.close()


def sessions(backend: PostgresBackend) -> set[object]:
    ours = "SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'fleetbot %'"
    return {pid for (pid,) in backend.ask(ours)}


def until_gone(backend: PostgresBackend, former: set[object]) -> None:
    while sessions(backend) & former:
        time.sleep(0.01)  # another process: no event to wait for


async def test_a_load_leaves_no_session_where_the_address_led_before(
    backend: PostgresBackend, store: Store
) -> None:
    """Another server may lead by now, while the former still answers."""
    await store.cards()
    former = sessions(backend)

    await store.load()
    await store.cards()

    await asyncio.to_thread(until_gone, backend, former)
    assert len(sessions(backend)) == len(former) == 3


async def test_of_several_hosts_it_is_the_one_that_writes(
    backend: PostgresBackend, history: History, postgres: PostgresServer
) -> None:
    nobody = f"@127.0.0.1:{free_port()},127.0.0.1:{postgres.port}/"
    url = postgres.tcp_url().replace(f"@127.0.0.1:{postgres.port}/", nobody)
    assert await asyncio.to_thread(migrate_postgres, url, backend.schema) == []
    store = PostgresStore(url, backend.schema)
    await store.load()

    await store.append(history.created("t1"))

    assert await store.task(TaskId("t1")) is not None
    await store.close()


async def test_who_never_answers_is_given_up(
    backend: PostgresBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fleetbot.store.postgres.connection._CONNECT_SECONDS", 0.05)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        store = PostgresStore(f"postgresql://u@127.0.0.1:{silent.getsockname()[1]}/db", "s")
        with pytest.raises(StoreUnavailable, match="no answer in time"):
            await store.load()
        await store.close()


# what people read


async def test_a_password_is_told_to_nobody(
    postgres: PostgresServer, caplog: pytest.LogCaptureFixture
) -> None:
    url = postgres.tcp_url().replace("fleetbot:", "fleetbot:wr0ng")
    store = PostgresStore(url, "mbp_x")

    with pytest.raises(StoreUnavailable, match="password authentication failed") as refused:
        await store.load()
    with pytest.raises(MigrationError, match="password authentication failed") as unmigrated:
        await asyncio.to_thread(migrate_postgres, url, "mbp_x")
    await store.close()

    told = f"{refused.value!r} {unmigrated.value!r} {caplog.text} {store.address!r}"
    assert f"Postgres 127.0.0.1:{postgres.port}/postgres, schema mbp_x" in told
    for secret in (PASSWORD, "wr0ng", "s3cret"):
        assert secret not in told
