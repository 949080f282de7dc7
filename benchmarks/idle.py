"""What waiting costs: a fleet with nothing to do, and agents that only say that they are there.

Real Synapse, real maubot with the plugin, the forge; each agent has a claim waiting and sends its
heartbeats at the default times. Processor time and memory are those of maubot's process.

    python -m benchmarks.idle [--agents 1000] [--seconds 60]
"""

from __future__ import annotations

import asyncio
import os
import random
import resource
import statistics
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import aiohttp

from benchmarks.table import Line, alone, arguments, show
from fleetbot_devkit.world import World

CLAIM_SECONDS = 25
_AT_ONCE = 50
_TICKS = os.sysconf("SC_CLK_TCK")


class Agent:
    """One that has nothing to do, and says so; `times` are those of its heartbeats, in seconds."""

    def __init__(self, http: aiohttp.ClientSession, api: str, name: str) -> None:
        self._http, self._api, self._name = http, api, name
        self._headers: dict[str, str] = {}
        self._every = 0.0
        self.times: list[float] = []

    async def register(self, enrolment_token: str) -> None:
        body = {"name": self._name, "adapter": "command"}
        headers = {"Authorization": f"Bearer {enrolment_token}"}
        url = f"{self._api}/agents/register"
        async with self._http.post(url, json=body, headers=headers) as response:
            answer = await response.json()
        self._headers = {"Authorization": f"Bearer {answer['token']}"}
        self._every = answer["heartbeat_seconds"]

    async def wait_for_work(self) -> None:
        number = 0
        while True:
            number += 1
            headers = self._headers | {"Idempotency-Key": f"{self._name}-{number}"}
            await self._post("claim", {"wait": CLAIM_SECONDS}, headers)

    async def beat(self) -> None:
        await asyncio.sleep(random.uniform(0, self._every))
        while True:
            began = time.perf_counter()
            await self._post("heartbeat", {"runs": []}, self._headers)
            self.times.append(time.perf_counter() - began)
            await asyncio.sleep(self._every)

    async def _post(self, call: str, body: object, headers: dict[str, str]) -> None:
        url = f"{self._api}/agents/{call}"
        async with self._http.post(url, json=body, headers=headers) as response:
            await response.read()


async def measure(count: int, seconds: float) -> list[Line]:
    _allow_files(2 * count + 500)
    with TemporaryDirectory(prefix="fleetbot-benchmark-") as folder:
        async with World.start(Path(folder), config={"runs": {}}) as world:
            assert world.bots.process.pid is not None
            lines = await _cost("no agents", world.bots.process.pid, seconds)
            connector = aiohttp.TCPConnector(limit=0)
            async with aiohttp.ClientSession(connector=connector, raise_for_status=True) as http:
                agents = [Agent(http, world.api, f"agent-{n}") for n in range(count)]
                await _register(agents, world.enrolment_token)
                work = [asyncio.create_task(a.wait_for_work()) for a in agents]
                work += [asyncio.create_task(a.beat()) for a in agents]
                lines += await _cost(f"{count:,} agents", world.bots.process.pid, seconds)
                await _end(work)
    return [*lines, *_heartbeats([1000 * t for agent in agents for t in agent.times])]


async def _register(agents: Sequence[Agent], token: str) -> None:
    for first in range(0, len(agents), _AT_ONCE):
        some = agents[first : first + _AT_ONCE]
        await asyncio.gather(*(agent.register(token) for agent in some))


async def _end(work: Sequence[asyncio.Task[None]]) -> None:
    """Raises what one of them ended with before."""
    failed = [task for task in work if task.done()]
    for task in work:
        task.cancel()
    await asyncio.gather(*work, return_exceptions=True)
    for task in failed:
        task.result()


async def _cost(case: str, pid: int, seconds: float) -> list[Line]:
    before, began = _processor(pid), time.perf_counter()
    await asyncio.sleep(seconds)
    busy = (_processor(pid) - before) / (time.perf_counter() - began)
    return [
        alone(f"{case}: of one processor", 100 * busy, "%"),
        alone(f"{case}: memory", _memory(pid), "MiB"),
    ]


def _processor(pid: int) -> float:
    """Seconds of processor time so far (proc(5), `stat`: utime and stime)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def _memory(pid: int) -> float:
    """MiB that are resident (proc(5), `statm`)."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * resource.getpagesize() / (1 << 20)


def _heartbeats(times: Sequence[float]) -> list[Line]:
    if len(times) < 2:
        return []
    cuts = statistics.quantiles(times, n=100)
    return [alone("heartbeat, p50", cuts[49], "ms"), alone("heartbeat, p99", cuts[98], "ms")]


def _allow_files(count: int) -> None:
    """A connection is a file, here and in maubot, which has our limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(count, hard)), hard))


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--agents", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=60)
    chosen = parser.parse_args()
    lines = asyncio.run(measure(chosen.agents, chosen.seconds))
    show(lines, chosen.json, f"{chosen.seconds:g} s each")


if __name__ == "__main__":
    main()
