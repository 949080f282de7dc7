"""What a large fleet costs: each figure beside what it is held against, in one run.

    python -m benchmarks.scale [--rounds 5] [--small] [CASE ...]

Without CASE all of them. The lives of tasks are compared with other queues on SQLite where those
are installed (`pip install persist-queue huey`). `--small` takes a tenth of the tasks and runs.
"""

from __future__ import annotations

import asyncio
import gc
import itertools
import logging
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from math import inf

from benchmarks.fleets import Yard, now_ms, on_sqlite
from benchmarks.lives import lives, peers
from benchmarks.pairs import Comparison, in_turn
from benchmarks.table import Line, against, alone, arguments, show
from fleetbot.domain import commands as cmd
from fleetbot.domain.model import AgentName, Blocker, ReceiptId, Run, RunId, RunState, TaskId
from fleetbot.domain.patience import with_outbox
from fleetbot.domain.usage import Usage
from fleetbot.forge.client import ForgeClient
from fleetbot.services.dispatcher import Dispatcher
from fleetbot.services.outbox import Courier
from fleetbot.services.probe import ForgeProbe
from fleetbot.services.repositories import Repositories
from fleetbot.services.runs import Runs
from fleetbot.services.timers import Timers
from fleetbot.services.wakeups import Wakeups
from fleetbot.services.webhooks import Webhooks
from fleetbot.store.figures import UsageBy
from fleetbot.store.records import Change, Due, OutboxEntry
from fleetbot.web.metrics import Metrics, Sources

CALLERS = 64


@dataclass(frozen=True)
class Size:
    rounds: int
    part: float  # of the full number of tasks, runs and destinations

    def of(self, count: int) -> int:
        return int(count * self.part)


Case = Callable[[Size], Awaitable[list[Line]]]


# matching


class TimedDispatcher(Dispatcher):
    """Notes how long each match takes, in milliseconds."""

    def __init__(self, yard: Yard) -> None:
        numbers = itertools.count(1)
        super().__init__(yard.fleet, lambda: RunId(f"run-{next(numbers)}"))
        self.times: list[float] = []

    def match(self) -> None:
        started = time.perf_counter()
        super().match()
        self.times.append(1000 * (time.perf_counter() - started))


@asynccontextmanager
async def waiting_claims(yard: Yard, count: int) -> AsyncIterator[TimedDispatcher]:
    """So many claims wait, each of an agent of its own."""
    dispatcher = TimedDispatcher(yard)
    agents = await yard.register(count)
    claims = [
        asyncio.create_task(dispatcher.claim(agent, "key", 3600, lambda: True)) for agent in agents
    ]
    while dispatcher.waiting < count:  # noqa: ASYNC110 - it tells nobody
        await asyncio.sleep(0)
    yield dispatcher
    dispatcher.close()
    await asyncio.gather(*claims)


async def match(size: Size) -> list[Line]:
    """1,000 claims wait; of 1,000 lanes nobody may take any."""
    idle, busy = [await _matches(lanes, size.rounds) for lanes in (0, 1000)]
    return [
        _beside("match after a commit: 1,000 lanes, none", busy[0], idle[0], "ms", at_most=2),
        _beside("match of everything, each second", busy[1], idle[1], "ms"),
    ]


async def _matches(lanes: int, rounds: int) -> tuple[float, float]:
    """Milliseconds: after a commit that concerns one agent, and of everything."""
    async with Yard.open() as yard, waiting_claims(yard, 1000) as dispatcher:
        for number in range(1, lanes + 1):
            await yard.create(number, needs=(f"skill-{number}",))
        times = []
        for everything in (False, True):
            dispatcher.times.clear()
            for number in range(10 * rounds):
                agent = AgentName(f"agent-{number + 1}")
                await yard.commit((cmd.ResumeAgent if everything else cmd.DrainAgent)(agent))
                if everything:
                    dispatcher.wake()
                await asyncio.sleep(0)
            times.append(statistics.median(dispatcher.times))
        return times[0], times[1]


# the outbox


async def outbox(size: Size) -> list[Line]:
    """Effects for an infinitely fast forge, one for each of so many destinations."""
    many = size.of(100_000)
    rates = {count: await _drained(count) for count in (100, many)}
    return [
        alone(f"deliveries/s, {count:,} destinations pending", rate, at_least=300)
        for count, rate in rates.items()
    ]


async def _drained(count: int) -> float:
    """Deliveries per second, of up to 2,000."""
    async with Yard.open() as yard:
        for first in range(0, count, 1000):
            numbers = range(first, min(first + 1000, count))
            await yard.store.append(Change(outbox=tuple(map(_effect, numbers))))
        sent = 0
        enough = asyncio.Event()

        async def send(due: Due) -> str:
            nonlocal sent
            sent += 1
            if sent == min(count, 2000):
                enough.set()
            return ""

        courier = Courier(yard.store, {"forgejo": send}, now_ms, with_outbox(14))
        started = time.perf_counter()
        delivering = asyncio.create_task(courier.tick())
        await enough.wait()
        elapsed = time.perf_counter() - started
        delivering.cancel()
        with suppress(asyncio.CancelledError):
            await delivering
        return sent / elapsed


def _effect(number: int) -> OutboxEntry:
    return OutboxEntry(
        id=f"{number}",
        destination=f"forgejo:task/{number}",
        kind="issue_state",
        payload=b"{}",
        due_at=1,
    )


# the start


async def start(size: Size) -> list[Line]:
    count = size.of(100_000)
    async with on_sqlite() as new_store:
        yard = Yard(new_store())
        await yard.fleet.start()
        await yard.create_many(count)
        await yard.close()
        gc.collect()
        again = Yard(new_store())
        stalls = asyncio.create_task(_longest_stall())
        started = time.perf_counter()
        await again.fleet.start()
        elapsed = time.perf_counter() - started
        stalls.cancel()
        longest = await stalls
        await again.close()
    return [
        alone(f"start with {count:,} open tasks", elapsed, "s", at_most=3),
        alone("its longest stall of the event loop", 1000 * longest, "ms", at_most=100),
    ]


async def _longest_stall() -> float:
    """Seconds between two turns of the event loop, until it is cancelled."""
    longest, last = 0.0, time.perf_counter()
    with suppress(asyncio.CancelledError):
        while True:
            await asyncio.sleep(0.001)
            last, before = time.perf_counter(), last
            longest = max(longest, last - before)
    return longest


# claims beside reports


async def claims(size: Size) -> list[Line]:
    """The 99th percentile of a claim, while somebody asks for the usage again and again."""
    runs = size.of(200_000)
    async with Yard.open() as yard:
        for first in range(0, runs, 5000):
            await yard.store.append(Change(runs=tuple(map(_ended, range(first, first + 5000)))))
        await yard.create_many(4000)
        claimants = itertools.cycle(await yard.register(100, max_concurrency=40))
        service = _service(yard)
        keys = map(str, itertools.count())
        alone, beside = [], []
        for _ in range(size.rounds):
            alone += await _claimed(service, claimants, keys, 200)
            reports = asyncio.create_task(_report(yard))
            beside += await _claimed(service, claimants, keys, 200)
            reports.cancel()
            with suppress(asyncio.CancelledError):
                await reports
    product, anchor = (1000 * statistics.quantiles(times, n=100)[98] for times in (beside, alone))
    what = f"p99 of a claim: usage of {runs:,} runs, alone"
    return [_beside(what, product, anchor, "ms", at_most=3)]


def _service(yard: Yard) -> Runs:
    wakeups, dispatcher = Wakeups(yard.fleet), TimedDispatcher(yard)
    return Runs(yard.fleet, dispatcher, wakeups, lambda: ReceiptId(""), _heard, _admitted)


async def depth(size: Size) -> list[Line]:
    """The median of a claim where 1,000,000 tasks are ready, and where 1,000 are."""
    many = size.of(1_000_000)
    deep, shallow = [await _median_claim(ready, 40 * size.rounds) for ready in (many, 1000)]
    return [_beside(f"p50 of a claim: {many:,} ready, 1,000", deep, shallow, "ms", at_most=1.2)]


async def _median_claim(ready: int, claims: int) -> float:
    """Milliseconds."""
    async with Yard.open() as yard:
        await yard.create_many(ready)
        agents = itertools.cycle(await yard.register(20, max_concurrency=20))
        service = _service(yard)
        times = await _claimed(service, agents, map(str, itertools.count()), claims)
    return 1000 * statistics.median(times)


async def _heard(run: RunId) -> None:
    pass


async def _admitted(run: RunId) -> bool:
    return True


def _ended(number: int) -> Run:
    return Run(
        id=RunId(f"old-{number}"),
        task=TaskId(f"task-{number}"),
        agent=AgentName(f"agent-{number % 50}"),
        attempt=1,
        branch="fleet/1",
        state=RunState.ENDED,
        assigned_at=number,
        ended_at=number + 1,
        usage=Usage(input_tokens=number, output_tokens=7, cost_usd=0.1),
    )


async def _claimed(
    service: Runs, agents: Iterator[AgentName], keys: Iterator[str], count: int
) -> list[float]:
    """Seconds of each claim, one after the other."""
    times = []
    for _ in range(count):
        started = time.perf_counter()
        assert await service.claim(next(agents), next(keys), 0, lambda: True)
        times.append(time.perf_counter() - started)
    return times


async def _report(yard: Yard) -> None:
    while True:
        await yard.store.usage_by(UsageBy.TASK)
        await yard.store.usage()


# metrics


async def scrape(size: Size) -> list[Line]:
    """Of many open tasks, a tenth of them blocked, in a thousand lanes, and of many runs."""
    tasks, runs = size.of(100_000), size.of(200_000)
    async with Yard.open() as yard:
        for first in range(0, runs, 5000):
            await yard.store.append(Change(runs=tuple(map(_ended, range(first, first + 5000)))))
        await yard.create_many(tasks // 10 * 9, needs=("skill",))
        blocked = Blocker(repo="acme/shop", issue=1)
        for number in range(tasks // 10 * 9, tasks):
            await yard.create(number + 1, needs=(f"skill-{number % 1000}",))
            await yard.commit(cmd.SetBlockers(TaskId(f"task-{number + 1}"), (blocked,)))
        gc.collect()
        metrics = Metrics(_sources(yard))
        cold, warm, stall = await _scraped(metrics, size.rounds)
        text = await metrics.expose()
    what = f"{tasks:,} open tasks, {runs:,} runs"
    return [
        alone(f"first scrape, {what}", cold, "ms", at_most=3000),
        alone("a scrape after that", warm, "ms", at_most=1000),
        alone("its longest stall of the event loop", stall, "ms", at_most=100),
        alone("its size", len(text) / 1024, "KiB"),
    ]


def _sources(yard: Yard) -> Sources:
    client = ForgeClient("http://forge.example", "token")
    webhooks = Webhooks(yard.fleet, Repositories(yard.fleet, client, ()))
    probe = ForgeProbe(yard.fleet, client, (), logging.getLogger("benchmark"))
    return Sources(
        fleet=yard.fleet,
        probe=probe,
        webhooks=webhooks,
        version="0",
        claims_waiting=lambda: 0,
        loops=lambda: (),
    )


async def _scraped(metrics: Metrics, rounds: int) -> tuple[float, float, float]:
    """Milliseconds: of the first, the median of later ones, the longest stall of these."""
    times = []
    for _ in range(rounds + 1):
        stalls = asyncio.create_task(_longest_stall())
        started = time.perf_counter()
        await metrics.expose()
        took = 1000 * (time.perf_counter() - started)
        stalls.cancel()
        times.append((took, 1000 * await stalls))
    first, *later = times
    return first[0], statistics.median(t for t, _ in later), max(s for _, s in times)


# whole lives


async def life(size: Size) -> list[Line]:
    """Lives of tasks, 64 at once, against jobs of other queues; and what they leave in memory."""
    count = size.of(5000)
    others = peers()
    results = await in_turn(
        size.rounds,
        partial(lives, count, CALLERS),
        *(partial(asyncio.to_thread, rate, count // 2) for rate in others.values()),
    )
    return [
        against(f"lives/s, 64 at once: {name}, FULL", result, at_least=2)
        for name, result in zip(others, results, strict=True)
    ]


async def memory(size: Size) -> list[Line]:
    """The most closed tasks in memory, where each may be forgotten as soon as it is closed."""
    most = 0

    def look(yard: Yard) -> None:
        nonlocal most
        yard.fleet.forget_closed(now_ms() + 1)
        most = max(most, len(yard.fleet.state.tasks))

    count = size.of(5000)
    await lives(count, CALLERS, look)
    return [alone(f"tasks in memory after {count:,} lives", most, "", at_most=3 * CALLERS)]


# time passing


async def tick(size: Size) -> list[Line]:
    """What happens every second, with 1,000 agents online, and with 10,000 that signed off."""
    times = []
    for signed_off in (0, size.of(10_000)):
        async with Yard.open() as yard:
            for agent in await yard.register(signed_off):
                await yard.commit(cmd.DeregisterAgent(agent))
            await yard.register(1000)
            timers = Timers(yard.fleet, TimedDispatcher(yard))
            taken = []
            for _ in range(10 * size.rounds):
                began = time.perf_counter()
                await timers.tick()
                taken.append(time.perf_counter() - began)
            times.append(1000 * statistics.median(taken))
    return [_beside("tick, 1,000 agents: 10,000 signed off, none", times[1], times[0], "ms")]


# the table


def _beside(case: str, product: float, anchor: float, unit: str, *, at_most: float = inf) -> Line:
    """Two figures that were taken one after the other."""
    return against(case, Comparison(product, anchor, product / anchor), unit, at_most=at_most)


CASES: Mapping[str, Case] = {
    "match": match,
    "outbox": outbox,
    "start": start,
    "claims": claims,
    "depth": depth,
    "scrape": scrape,
    "life": life,
    "memory": memory,
    "tick": tick,
}


async def measure(names: Sequence[str], size: Size) -> list[Line]:
    return [line for name in names or CASES for line in await CASES[name](size)]


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--small", action="store_true", help="a tenth of the tasks and runs")
    parser.add_argument("case", nargs="*", choices=[*CASES, []])
    chosen = parser.parse_args()
    size = Size(chosen.rounds, 0.1 if chosen.small else 1)
    lines = asyncio.run(measure(chosen.case, size))
    show(lines, chosen.json, f"{size.rounds} rounds")


if __name__ == "__main__":
    main()
