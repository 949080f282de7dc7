"""Whole lives of tasks, as fast as they can be led; and jobs of queues on SQLite, beside them.

A life is five durable commits of the fleet: created, assigned, started, receipt filed, verified.
It has its effects for the issue, the commit and one room. A job of a peer is put, taken and
acknowledged by one thread, which is what suits it best; it is as durable as SQLite can be.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.fleets import Yard
from fleetbot.domain import commands as cmd
from fleetbot.domain.model import AgentName, Receipt, ReceiptId, RunId
from fleetbot.domain.receipts import Verified

Rate = Callable[[int], float]


async def lives(
    count: int, callers: int, each: Callable[[Yard], None] = lambda yard: None
) -> float:
    """Lives per second, so many at once, `synchronous=FULL`; `each` is called after each."""
    async with Yard.open() as yard:
        numbers = iter(range(1, count + 1))
        agents = await yard.register(callers)
        started = time.perf_counter()
        await asyncio.gather(*(_live(yard, agent, numbers, each) for agent in agents))
        return count / (time.perf_counter() - started)


async def _live(
    yard: Yard, agent: AgentName, numbers: Iterator[int], each: Callable[[Yard], None]
) -> None:
    for number in numbers:
        await yard.create(number, agent=agent)
        await settle_next(yard, agent)
        each(yard)


async def settle_next(yard: Yard, agent: AgentName) -> bool:
    """Take what is next for the agent, to its verdict; whether there was anything."""
    run = RunId(f"run-{secrets.token_hex(8)}")
    await yard.commit(cmd.Dispatch(agent, run), agent)
    taken = yard.fleet.state.runs.get(run)
    if taken is None:
        return False
    await yard.commit(cmd.StartRun(run, agent), agent)
    receipt = _receipt(yard.fleet.state.tasks[taken.task].issue)
    await yard.commit(cmd.FileReceipt(run, agent, receipt), agent)
    await yard.commit(cmd.Conclude(receipt.id, Verified()))
    return True


def _receipt(number: int) -> Receipt:
    return Receipt(
        id=ReceiptId(f"receipt-{number}"),
        pull_request=number,
        branch=f"fleet/{number}-the-greeting-is-misspelled",
        head=f"{number:040x}",
        files=("shop/greeting.py",),
        summary="Corrects the greeting.",
    )


def peers() -> Mapping[str, Rate]:
    """Those that are installed: `pip install persist-queue huey`."""
    known = {"persistqueue": ("persist-queue", _persist_queue), "huey": ("huey", _huey)}
    return {name: rate for module, (name, rate) in known.items() if find_spec(module)}


def _persist_queue(count: int) -> float:
    from persistqueue import SQLiteAckQueue

    with TemporaryDirectory(prefix="fleetbot-benchmark-") as folder:
        queue = SQLiteAckQueue(folder, multithreading=True)  # WAL; SQLite's default is FULL
        started = time.perf_counter()
        for number in range(count):
            queue.put({"issue": number, "title": "The greeting is misspelled"})
            queue.ack(queue.get())
        elapsed = time.perf_counter() - started
        queue.close()
    return count / elapsed


def _huey(count: int) -> float:
    from huey.storage import SqliteStorage

    with TemporaryDirectory(prefix="fleetbot-benchmark-") as folder:
        storage = SqliteStorage("jobs", str(Path(folder) / "huey.db"), fsync=True)
        started = time.perf_counter()
        for number in range(count):
            storage.enqueue(b'{"issue": 1, "title": "The greeting is misspelled"}')
            storage.dequeue()
            storage.put_data(str(number), b"done")
        elapsed = time.perf_counter() - started
        storage.close()
    return count / elapsed
