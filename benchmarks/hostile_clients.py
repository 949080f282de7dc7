"""Heartbeats' latency while thousands of clients mean no good, against the same without them.

The server is that of `benchmarks.http`. The clients that mean no good hold their connections and do
nothing useful: most say nothing, some have sent half a head, some send their body byte by byte (of
an agent, and of deliveries with a signature of the right shape), some ask for a run and never read.

    python -m benchmarks.hostile_clients [--rounds 5] [--seconds 3] [--idle 10000]
"""

from __future__ import annotations

import asyncio
import os
import resource
import socket
import statistics
import struct
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from benchmarks.http import HEARTBEAT, Caller, Site, bearer, post
from benchmarks.pairs import compare
from benchmarks.table import Line, against, alone, arguments, show

GOOD, HALF, TRICKLING, POLLING = 8, 1000, 400, 200
AT_ONCE = 250  # connections that are made side by side
TRICKLE_SECONDS = 1.0
SETTLING = 2.0  # until the server has taken up, or cleared away, what has come or gone
TARGET = 1.5
_API = "/api/v1"
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: hang up at once, so that no port stays behind

MOST_OF_A_CORE = 10.0  # per cent
Measured = tuple[float, float]
KINDS = ("p50", "p99")
"""Of a heartbeat, in milliseconds."""


class Crowd:
    """Connections that are held; `trickle` of them are fed a byte now and then."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._all: list[socket.socket] = []
        self._slow: list[socket.socket] = []

    def __len__(self) -> int:
        return len(self._all)

    async def join(self, number: int, begins: bytes, *, slow: bool = False) -> None:
        loop = asyncio.get_running_loop()
        for start in range(0, number, AT_ONCE):
            made = [await self._connected(loop) for _ in range(min(AT_ONCE, number - start))]
            for one in made:
                if begins:
                    await loop.sock_sendall(one, begins)
            self._all += made
            self._slow += made if slow else []

    async def _connected(self, loop: asyncio.AbstractEventLoop) -> socket.socket:
        one = socket.socket()
        one.setblocking(False)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        await loop.sock_connect(one, ("127.0.0.1", self._port))
        return one

    async def trickle(self) -> None:
        while True:
            for one in self._slow:
                try:
                    one.send(b" ")
                except OSError:  # it was refused, or had its time
                    continue
            await asyncio.sleep(TRICKLE_SECONDS)

    def leave(self) -> None:
        for one in self._all:
            one.close()


@asynccontextmanager
async def hostile(port: int, idle: int, token: str) -> AsyncIterator[Crowd]:
    crowd = Crowd(port)
    half = b"POST /api/v1/agents/heartbeat HTTP/1.1\r\nHost: x\r\n"
    await crowd.join(idle, b"")
    await crowd.join(HALF, half)
    signed = {"X-Forgejo-Signature": "0" * 64}
    for headers, path in ((bearer(token), "agents/heartbeat"), (signed, "webhooks/forgejo")):
        whole = post(f"{_API}/{path}", b" " * 100_000, headers)
        await crowd.join(TRICKLING // 2, whole[:-99_999], slow=True)
    claim = post(f"{_API}/agents/claim", {"wait": 60}, bearer(token, **{"Idempotency-Key": "k"}))
    await crowd.join(POLLING, claim)
    trickling = asyncio.create_task(crowd.trickle())
    try:
        yield crowd
    finally:
        trickling.cancel()
        crowd.leave()


class Good:
    """The agents whose heartbeats are measured, each on a connection of its own."""

    def __init__(self, site: Site, callers: Sequence[Caller], tokens: Sequence[str]) -> None:
        self._site = site
        self._callers = callers
        self._requests = [post(f"{_API}/agents/heartbeat", HEARTBEAT, bearer(t)) for t in tokens]

    @classmethod
    async def of(cls, site: Site) -> Good:
        tokens = [await site.agent(f"agent-{number}") for number in range(GOOD)]
        return cls(site, [await site.connect() for _ in tokens], tokens)

    async def measured(self, seconds: float) -> Measured:
        """What it costs when each beats again as soon as it is answered."""
        await self._beat(SETTLING)
        cuts = statistics.quantiles(await self._beat(seconds), n=100)
        return cuts[49], cuts[98]

    async def _beat(self, seconds: float) -> list[float]:
        """How long each took, in milliseconds."""
        taken: list[float] = []
        end = time.perf_counter() + seconds

        async def beat(caller: Caller, request: bytes) -> None:
            while (started := time.perf_counter()) < end:
                await caller.call(request)
                taken.append(1000 * (time.perf_counter() - started))

        await asyncio.gather(*map(beat, self._callers, self._requests))
        return taken


async def taken_of_a_core(pid: int, seconds: float) -> float:
    """Per cent, by a process that only the hostile clients keep busy: whatever else the machine
    does."""
    before = _cpu_seconds(pid)
    began = time.perf_counter()
    await asyncio.sleep(seconds)
    return 100 * (_cpu_seconds(pid) - before) / (time.perf_counter() - began)


def _cpu_seconds(pid: int) -> float:
    """What a process has used so far (Linux)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def measure(rounds: int, seconds: float, idle: int) -> list[Line]:
    async with Site.start(tasks=1) as site:
        good, bad = await Good.of(site), await site.agent("bad")
        among: list[Measured] = []
        quiet: list[Measured] = []
        taken: list[float] = []
        held = 0
        for _ in range(rounds):
            quiet.append(await good.measured(seconds))
            async with hostile(site.port, idle, bad) as crowd:
                among.append(await good.measured(seconds))
                taken.append(await taken_of_a_core(site.pid, seconds))
                held = len(crowd)
    lines = [
        alone("connections held by those who mean no good", held),
        alone("of a core, for them", statistics.median(taken), "%", at_most=MOST_OF_A_CORE),
    ]
    for place, name in enumerate(KINDS):
        result = compare([its[place] for its in among], [its[place] for its in quiet])
        lines.append(against(f"heartbeat among them, {name}", result, "ms", at_most=TARGET))
    return lines


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--idle", type=int, default=10_000)
    chosen = parser.parse_args()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # the server's as well
    lines = asyncio.run(measure(chosen.rounds, chosen.seconds, chosen.idle))
    show(lines, chosen.json, f"{chosen.rounds} rounds of {chosen.seconds:g} s, {GOOD} agents")


if __name__ == "__main__":
    main()
