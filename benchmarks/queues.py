"""Tasks given out and settled, against no-op jobs of other queues; and how soon a job begins.

The product leads each task from its claim to its verdict: four durable commits, with effects for
the issue, the commit and a room. A peer's job is taken and acknowledged, in one process, as durably
as its database can: SQLite with `synchronous=FULL`, Postgres with `synchronous_commit=on`. All that
is worked off was put there before. Peers that are not installed are left out:

    pip install persist-queue huey litequeue procrastinate pgqueuer awa-pg taskiq-redis

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
from shutil import which

import asyncpg

from benchmarks import http, peers
from benchmarks.fleets import Database, Yard, on_postgres, on_sqlite
from benchmarks.lives import settle_next
from benchmarks.pairs import Comparison, in_turn
from benchmarks.table import Line, against, arguments, show
from fleetbot.domain.model import AgentName
from tests.postgres import DURABLE, PostgresServer, postgres_server

OnPostgres = Callable[[str, int], Awaitable[float]]

# Module, name, jobs per second, agents of ours beside it, and what is wanted of us.
_ON_SQLITE: tuple[tuple[str, str, Callable[[int], float], float], ...] = (
    ("persistqueue", "persist-queue", peers.persist_queue, 4),
    ("huey", "huey", peers.huey, 0),
    ("litequeue", "litequeue", peers.litequeue, 0),
)
_ON_POSTGRES: tuple[tuple[str, str, OnPostgres, int, float], ...] = (
    ("procrastinate", "procrastinate", peers.procrastinate, 16, 10),
    ("awa", "awa", peers.awa, 16, 2),
    ("pgqueuer", "pgqueuer, batches of 10", partial(peers.pgqueuer, batch=10), 16, 0),
    ("pgqueuer", "pgqueuer, batches of 100", partial(peers.pgqueuer, batch=100), 100, 1.5),
)


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


# the figures


async def on_files(rounds: int, jobs: int) -> list[Line]:
    """The product on SQLite against what needs no other server than Redis."""
    lines: list[Line] = []
    product = partial(process, jobs, 16, on_sqlite)
    for module, name, rate, target in _ON_SQLITE:
        if find_spec(module):
            anchor = partial(asyncio.to_thread, rate, jobs)
            (result,) = await in_turn(rounds, product, anchor)
            case = f"settled/s, SQLite, 16 agents: {name}"
            lines.append(against(case, result, at_least=target))
    if find_spec("taskiq_redis") and which("redis-server"):
        (result,) = await in_turn(rounds, product, partial(peers.taskiq, jobs))
        lines.append(against("settled/s, SQLite, 16 agents: taskiq on Redis", result, at_least=2.5))
    return lines


async def on_a_server(rounds: int, jobs: int, server: PostgresServer) -> list[Line]:
    """The product on Postgres against its peers there, each on a database of its own."""
    lines: list[Line] = []
    product = partial(on_postgres, server.url())
    for module, name, rate, workers, target in _ON_POSTGRES:
        if find_spec(module):
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
        theirs = await peers.starts_of_pgqueuer(url, count)
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
