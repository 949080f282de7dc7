"""Other queues: no-op jobs taken and acknowledged, in one process, as durably as each can be.

On SQLite with `synchronous=FULL`, where one thread suits each best; on Postgres with
`synchronous_commit=on`; on Redis with its log written through for each command. All that is worked
off was put there before. Those that are not installed are left out:

    pip install persist-queue huey litequeue procrastinate pgqueuer awa-pg taskiq-redis
"""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import asyncpg

from fleetbot_devkit.process import free_port

if TYPE_CHECKING:
    from pgqueuer import PgQueuer

_WARM_UP = 20
_JOB = b'{"issue": 1, "title": "The greeting is misspelled"}'

# on SQLite


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


# on Postgres


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


async def awa(url: str, count: int) -> float:
    from awa import AsyncClient

    @dataclass
    class Correct:
        issue: int

    left, done = count, asyncio.Event()
    client = AsyncClient(url.replace("@/", "@localhost/"))  # it wants a name beside the socket
    await client.migrate()

    async def work(job: object) -> None:
        nonlocal left
        left -= 1
        if not left:
            done.set()

    client.task(Correct, queue="job")(work)
    await client.insert_many_copy([Correct(number) for number in range(count)], queue="job")
    started = time.perf_counter()
    await client.start([("job", 16)])
    await done.wait()
    elapsed = time.perf_counter() - started
    await client.shutdown()
    await client.close()
    return count / elapsed


async def starts_of_pgqueuer(url: str, count: int) -> list[float]:
    """Seconds from putting a job to its begin, one after the other, in one process."""
    began: asyncio.Queue[float] = asyncio.Queue()
    async with _pgqueuer(url) as queuer:

        async def work(job: object) -> None:
            began.put_nowait(time.perf_counter())

        queuer.entrypoint("job")(work)
        running = asyncio.create_task(queuer.run())
        times = []
        for _ in range(count + _WARM_UP):
            put = time.perf_counter()
            await queuer.qm.queries.enqueue("job", _JOB)
            times.append(await began.get() - put)
        queuer.shutdown.set()
        await running
    return times[_WARM_UP:]


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


# on Redis


@contextmanager
def _redis() -> Iterator[str]:
    """A server of its own on loopback that writes each command through; its address."""
    with TemporaryDirectory(prefix="fleetbot-benchmark-") as folder:
        port = str(free_port())
        durable = ("--appendonly", "yes", "--appendfsync", "always", "--save", "")
        command = ("redis-server", "--bind", "127.0.0.1", "--port", port, "--dir", folder, *durable)
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
            assert server.stdout is not None
            ready = any("Ready to accept" in line for line in server.stdout)
            try:
                if not ready:
                    raise RuntimeError("redis-server ended before it was ready")
                yield f"redis://127.0.0.1:{port}"
            finally:
                server.terminate()


async def taskiq(count: int) -> float:
    from taskiq.api import run_receiver_task
    from taskiq_redis import RedisStreamBroker

    left, done = count, asyncio.Event()
    with _redis() as url:
        broker = RedisStreamBroker(url)

        async def work(issue: int) -> None:
            nonlocal left
            left -= 1
            if not left:
                done.set()

        job = broker.task(work)
        await broker.startup()
        for number in range(count):
            await job.kiq(number)
        started = time.perf_counter()
        receiving = asyncio.create_task(run_receiver_task(broker, max_async_tasks=16))
        await done.wait()
        elapsed = time.perf_counter() - started
        receiving.cancel()
        await asyncio.wait({receiving}, timeout=1)  # it may wait for its server first
        await broker.shutdown()
    return count / elapsed
