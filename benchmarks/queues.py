"""Tasks given out and settled, against no-op jobs of other queues; and how soon a job begins.

The product leads each task from its claim to its verdict: four durable commits, with effects for
the issue, the commit and a room. A peer's job is taken and acknowledged, in one process, as durably
as its database can: SQLite with `synchronous=FULL`, Postgres with `synchronous_commit=on`. All that
is worked off was put there before. Peers that are not installed are left out:

    pip install persist-queue huey litequeue procrastinate pgqueuer

    python -m benchmarks.queues [--rounds 5] [--jobs 2000]
"""

from __future__ import annotations

import asyncio
import secrets
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import asyncpg

from benchmarks import http
from benchmarks.fleets import Database, Yard, on_postgres, on_sqlite
from benchmarks.lives import settle_next
from benchmarks.pairs import Comparison, in_turn
from benchmarks.table import Line, against, arguments, show
from fleetbot.domain.model import AgentName
from tests.postgres import DURABLE, PostgresServer, postgres_server

if TYPE_CHECKING:
    from pgqueuer import PgQueuer

WARM_UP = 20
_JOB = b'{"issue": 1, "title": "The greeting is misspelled"}'


async def process(count: int, workers: int, database: Database) -> float:
    """Tasks per second that so many agents settle, of those that wait."""
    async with Yard.open(database) as yard:
        await yard.create_many(count)
        agents = await yard.register(workers)
        started = time.perf_counter()
        settled = await asyncio.gather(*(_settle_all(yard, agent) for agent in agents))
        elapsed = time.perf_counter() - started
    if sum(settled) != count:
        raise RuntimeError(f"{sum(settled)} of {count} tasks were settled")
    return count / elapsed


async def _settle_all(yard: Yard, agent: AgentName) -> int:
    settled = 0
    while await settle_next(yard, agent):
        settled += 1
    return settled


# peers on SQLite, where one thread suits each best


def persist_queue(count: int) -> float:
    from persistqueue import SQLiteAckQueue

    with TemporaryDirectory(prefix="fleetbot-benchmark-") as folder:
        queue = SQLiteAckQueue(folder, multithreading=True)  # WAL; SQLite's default is FULL
        for _ in range(count):
            queue.put(_JOB)
        started = time.perf_counter()
        for _ in range(count):
            queue.ack(queue.get())
        elapsed = time.perf_counter() - started
        queue.close()
    return count / elapsed


def huey(count: int) -> float:
    from huey.storage import SqliteStorage

    with TemporaryDirectory(prefix="fleetbot-benchmark-") as folder:
        storage = SqliteStorage("jobs", str(Path(folder) / "huey.db"), fsync=True)
        for _ in range(count):
            storage.enqueue(_JOB)
        started = time.perf_counter()
        for number in range(count):
            storage.dequeue()
            storage.put_data(str(number), b"done")
        elapsed = time.perf_counter() - started
        storage.close()
    return count / elapsed


def litequeue(count: int) -> float:
    from litequeue import LiteQueue

    with TemporaryDirectory(prefix="fleetbot-benchmark-") as folder:
        queue = LiteQueue(str(Path(folder) / "lite.db"))
        queue.conn.execute("PRAGMA synchronous = FULL")
        for _ in range(count):
            queue.put(_JOB.decode())
        started = time.perf_counter()
        for _ in range(count):
            queue.done(queue.pop().message_id)
        elapsed = time.perf_counter() - started
        queue.close()
    return count / elapsed


_ON_SQLITE: dict[str, tuple[str, Callable[[int], float], float]] = {
    "persistqueue": ("persist-queue", persist_queue, 4),
    "huey": ("huey", huey, 0),
    "litequeue": ("litequeue", litequeue, 0),
}


# peers on Postgres


async def procrastinate(url: str, count: int) -> float:
    from procrastinate import App, PsycopgConnector

    app = App(connector=PsycopgConnector(conninfo=url))

    async def work(issue: int) -> None:
        pass

    job = app.task(work)
    async with app.open_async():
        await app.schema_manager.apply_schema_async()
        jobs: list[dict[str, Any]] = [{"issue": number} for number in range(count)]
        await job.batch_defer_async(*jobs)
        started = time.perf_counter()
        await app.run_worker_async(
            wait=False, concurrency=16, install_signal_handlers=False, listen_notify=False
        )
        return count / (time.perf_counter() - started)


async def pgqueuer(url: str, count: int, batch: int) -> float:
    from pgqueuer.types import QueueExecutionMode

    async with _pgqueuer(url) as queuer:

        async def work(job: object) -> None:
            pass

        queuer.entrypoint("job")(work)
        await queuer.qm.queries.enqueue(["job"] * count, [_JOB] * count, [0] * count)
        started = time.perf_counter()
        await queuer.run(mode=QueueExecutionMode.drain, batch_size=batch)
        return count / (time.perf_counter() - started)


OnPostgres = Callable[[str, int], Awaitable[float]]

# Name, jobs per second, agents of ours beside it, and what is wanted of us.
_ON_POSTGRES: tuple[tuple[str, OnPostgres, int, float], ...] = (
    ("procrastinate", procrastinate, 16, 10),
    ("pgqueuer, batches of 10", partial(pgqueuer, batch=10), 16, 0),
    ("pgqueuer, batches of 100", partial(pgqueuer, batch=100), 100, 1.5),
)


async def starts_of_pgqueuer(url: str, count: int) -> list[float]:
    """Seconds from putting a job to its begin, one after the other, in one process."""
    began: asyncio.Queue[float] = asyncio.Queue()
    async with _pgqueuer(url) as queuer:

        async def work(job: object) -> None:
            began.put_nowait(time.perf_counter())

        queuer.entrypoint("job")(work)
        running = asyncio.create_task(queuer.run())
        times = []
        for _ in range(count + WARM_UP):
            put = time.perf_counter()
            await queuer.qm.queries.enqueue("job", _JOB)
            times.append(await began.get() - put)
        queuer.shutdown.set()
        await running
    return times[WARM_UP:]


@asynccontextmanager
async def _pgqueuer(url: str) -> AsyncIterator[PgQueuer]:
    from pgqueuer import PgQueuer

    connection = await asyncpg.connect(url)
    try:
        queuer = PgQueuer.from_asyncpg_connection(connection)
        await queuer.qm.queries.install()
        yield queuer
    finally:
        await connection.close()


# the figures


async def on_files(rounds: int, jobs: int) -> list[Line]:
    """The product on SQLite against its peers there."""
    lines: list[Line] = []
    for module, (name, rate, target) in _ON_SQLITE.items():
        if find_spec(module):
            anchor = partial(asyncio.to_thread, rate, jobs)
            (result,) = await in_turn(rounds, partial(process, jobs, 16, on_sqlite), anchor)
            case = f"settled/s, SQLite, 16 agents: {name}"
            lines.append(against(case, result, at_least=target))
    return lines


async def on_a_server(rounds: int, jobs: int, server: PostgresServer) -> list[Line]:
    """The product on Postgres against its peers there, each on a database of its own."""
    lines: list[Line] = []
    product = partial(on_postgres, server.url())
    for name, rate, workers, target in _ON_POSTGRES:
        if find_spec(name.partition(",")[0]):
            anchor = partial(_on_database, server, rate, jobs)
            measure = partial(process, jobs, workers, product)
            (result,) = await in_turn(rounds, measure, anchor)
            case = f"settled/s, Postgres, {workers} agents: {name}"
            lines.append(against(case, result, at_least=target))
    return lines


async def _on_database(server: PostgresServer, rate: OnPostgres, jobs: int) -> float:
    async with _database(server) as url:
        return await rate(url, jobs)


@asynccontextmanager
async def _database(server: PostgresServer) -> AsyncIterator[str]:
    """A new one, dropped in the end."""
    name = f"peer_{secrets.token_hex(4)}"
    connection = await asyncpg.connect(server.url())
    await connection.execute(f"CREATE DATABASE {name}")
    try:
        yield server.url(name)
    finally:
        await connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
        await connection.close()


async def beginnings(count: int, server: PostgresServer) -> list[Line]:
    """From putting to beginning: ours by HTTP and a long poll, with a look at the forge."""
    ours = await http.assignments(count)
    async with _database(server) as url:
        theirs = await starts_of_pgqueuer(url, count)
    lines = []
    for percent, target in ((50, 0.8), (99, 1.0)):
        product, anchor = (
            1000 * statistics.quantiles(times, n=100)[percent - 1] for times in (ours, theirs)
        )
        result = Comparison(product, anchor, product / anchor)
        case = f"queued to begun, p{percent}: pgqueuer in process"
        lines.append(against(case, result, "ms", at_most=target))
    return lines


async def measure(rounds: int, jobs: int) -> list[Line]:
    lines = await on_files(rounds, jobs)
    with postgres_server(DURABLE) as server:
        lines += await on_a_server(rounds, jobs, server)
        if find_spec("pgqueuer"):
            lines += await beginnings(min(jobs, 300), server)
    return lines


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=2000)
    chosen = parser.parse_args()
    lines = asyncio.run(measure(chosen.rounds, chosen.jobs))
    show(lines, chosen.json, f"{chosen.rounds} rounds of {chosen.jobs:,}")


if __name__ == "__main__":
    main()
