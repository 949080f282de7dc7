"""Durable POSTs against a trivial one, on the same server; and how soon a waiting claim gets a run.

The server is the plugin's own interface below maubot's dispatcher, in a process of its own; 64
connections ask as fast as they are answered. Each durable POST is answered when it is on disk: a
signed webhook of a new issue ("create"; "long" with 2 KB of text), an agent's heartbeat, and a
transition of a task (a person chooses its agent). The trivial POST has the same body and reads it.
The assignment is measured from sending the request that queues a task to the answer that the
waiting agent gets; in between the forge is asked whether it may go out.

    python -m benchmarks.http [--rounds 7] [--seconds 1] [--assignments 300]
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import itertools
import json
import secrets
import statistics
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import aiohttp
import msgspec

from benchmarks.http_server import BOT, ENROL, OPERATOR, READER, REPO, SECRET, Ready, task
from benchmarks.pairs import in_turn
from benchmarks.table import Line, against, alone, arguments, show
from fleetbot_devkit.forge import DevForge

CONNECTIONS = 64
AGENTS = 16
TARGETS = {"create": 0.5, "heartbeat": 0.35}
WARM_UP = 20
_API = "/api/v1"

Requests = Callable[[int], Iterator[bytes]]

HEARTBEAT: dict[str, list[str]] = {"runs": []}


def delivery(text: str) -> bytes:
    """What Forgejo sends for a new issue with this text, as far as it is read."""
    user = {"id": 1, "login": "alice"}
    issue = {"id": 70, "number": 7, "title": "The greeting is misspelled", "body": text}
    event = {
        "action": "opened",
        "issue": {**issue, "state": "open", "user": user, "labels": [{"id": 1, "name": "fleet"}]},
        "repository": {"id": 1, "name": "shop", "full_name": REPO, "owner": user},
        "sender": user,
    }
    return json.dumps(event).encode()


SHORT, LONG = delivery(""), delivery("It says Helo where it should say Hello.\n" * 50)


class Caller(asyncio.Protocol):
    """One connection, one request at a time, with as little work of our own as can be."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._buffer = b""
        self._answer: asyncio.Future[bytes] | None = None
        self._next: Callable[[], bytes | None] | None = None
        self.answered = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, found, body = self._buffer.partition(b"\r\n\r\n")
        if not found or len(body) < _content_length(head):
            return
        self._buffer = b""
        if head[9:10] != b"2":
            raise RuntimeError(f"refused: {head[:40]!r} {body[:300]!r}")
        self.answered += 1
        request = self._next() if self._next else None
        if request is not None:
            self._send(request)
        elif self._answer is not None:
            self._answer.set_result(body)

    def connection_lost(self, error: Exception | None) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error or ConnectionError("the server hung up"))

    async def call(self, request: bytes, then: Callable[[], bytes | None] | None = None) -> bytes:
        """Send, and go on with what `then` gives until it gives nothing; the last answer's body."""
        self._next = then
        self._answer = asyncio.get_running_loop().create_future()
        self._send(request)
        return await self._answer

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def _send(self, request: bytes) -> None:
        assert self._transport is not None
        self._transport.write(request)


def _content_length(head: bytes) -> int:
    _, found, rest = head.lower().partition(b"content-length:")
    return int(rest.partition(b"\r\n")[0]) if found else 0


def post(path: str, body: object, headers: Mapping[str, str]) -> bytes:
    """The bytes of a request."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [f"POST {path} HTTP/1.1", "Host: 127.0.0.1", f"Content-Length: {len(data)}"]
    lines += ["Content-Type: application/json", *(f"{key}: {headers[key]}" for key in headers)]
    return "\r\n".join([*lines, "", ""]).encode() + data


def bearer(token: str, **headers: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}", **headers}


@asynccontextmanager
async def forge() -> AsyncIterator[tuple[str, str]]:
    """One with an issue, which is looked at before a run is given; its address, the bot's token."""
    with TemporaryDirectory(prefix="fleetbot-benchmark-") as folder:
        async with DevForge.start(Path(folder)) as there:
            owner, _, name = REPO.partition("/")
            there.add_org(owner)
            token = there.add_user(BOT)
            await there.create_repo(owner, name, {"README.md": "# Shop\n"}, labels=("fleet",))
            there.add_collaborator(REPO, BOT, "admin")
            headers = {"Authorization": f"token {token}"}
            issue = {"title": "The greeting is misspelled", "labels": [1]}
            async with aiohttp.ClientSession(headers=headers, raise_for_status=True) as http:
                await http.post(f"{there.url}/api/v1/repos/{REPO}/issues", json=issue)
            yield there.url, token


class Site:
    """A server, as the process `pid`, and the connections to it."""

    def __init__(self, port: int, pid: int) -> None:
        self.port = port
        self.pid = pid
        self._callers: list[Caller] = []

    @classmethod
    @asynccontextmanager
    async def start(cls, tasks: int) -> AsyncIterator[Site]:
        async with forge() as (url, token):
            with TemporaryDirectory(prefix="fleetbot-benchmark-") as folder:
                argv = ("-m", "benchmarks.http_server", folder, str(tasks), url, token)
                child = await asyncio.create_subprocess_exec(
                    sys.executable,
                    *argv,
                    stdin=asyncio.subprocess.PIPE,
                    stdout=asyncio.subprocess.PIPE,
                )
                assert child.stdin is not None
                assert child.stdout is not None
                ready = msgspec.json.decode(await child.stdout.readline(), type=Ready)
                site = cls(ready.port, child.pid)
                try:
                    yield site
                finally:
                    for caller in site._callers:
                        caller.close()
                    child.stdin.close()
                    await child.wait()

    async def connect(self) -> Caller:
        loop = asyncio.get_running_loop()
        _, caller = await loop.create_connection(Caller, "127.0.0.1", self.port)
        self._callers.append(caller)
        return caller

    async def agent(self, name: str) -> str:
        """Register an agent; its token."""
        caller = await self.connect()
        body = {"name": name, "adapter": "command"}
        answer = await caller.call(post(f"{_API}/agents/register", body, bearer(ENROL)))
        return str(json.loads(answer)["token"])


class Load:
    """Requests by all connections for so many seconds, each as soon as the last is answered."""

    def __init__(self, callers: Sequence[Caller], seconds: float) -> None:
        self._callers = callers
        self._seconds = seconds

    async def rate(self, requests: Requests) -> float:
        """Requests per second; `requests` gives those of a connection, by its number."""
        before = sum(caller.answered for caller in self._callers)
        started = time.perf_counter()
        end = started + self._seconds
        await asyncio.gather(
            *(
                caller.call(next(own := requests(number)), partial(_until, end, own))
                for number, caller in enumerate(self._callers)
            )
        )
        answered = sum(caller.answered for caller in self._callers) - before
        return answered / (time.perf_counter() - started)


def _until(end: float, requests: Iterator[bytes]) -> bytes | None:
    return next(requests) if time.perf_counter() < end else None


def trivial(body: object) -> Requests:
    request = post("/trivial", body, bearer(READER))
    return lambda number: itertools.repeat(request)


def creates(body: bytes, connection: int) -> Iterator[bytes]:
    """Deliveries with an id of their own each."""
    signature = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
    headers = {"X-Forgejo-Event-Type": "issues", "X-Forgejo-Signature": signature}
    mark = "X-Forgejo-Delivery"
    begin, end = post(f"{_API}/webhooks/forgejo", body, {**headers, mark: "{id}"}).split(b"{id}", 1)
    while True:
        yield begin + secrets.token_hex(16).encode() + end


def heartbeats(tokens: Sequence[str], connection: int) -> Iterator[bytes]:
    headers = bearer(tokens[connection % len(tokens)])
    return itertools.repeat(post(f"{_API}/agents/heartbeat", HEARTBEAT, headers))


def transitions(connection: int) -> Iterator[bytes]:
    """Give the connection's own task to one agent and another in turn."""
    path = f"{_API}/tasks/{task(connection + 1)}/assign"
    return itertools.cycle(
        post(path, {"agent": agent}, bearer(OPERATOR)) for agent in (_name(0), _name(1))
    )


def _name(number: int) -> str:
    return f"agent-{number}"


async def throughput(rounds: int, seconds: float) -> list[Line]:
    async with Site.start(tasks=CONNECTIONS) as site:
        tokens = [await site.agent(_name(number)) for number in range(AGENTS)]
        load = Load([await site.connect() for _ in range(CONNECTIONS)], seconds)
        kinds: dict[str, tuple[Requests, object]] = {
            "create": (partial(creates, SHORT), SHORT),
            "create, long": (partial(creates, LONG), LONG),
            "heartbeat": (partial(heartbeats, tokens), HEARTBEAT),
            "transition": (transitions, {"agent": _name(0)}),
        }
        lines: list[Line] = []
        for name, (requests, body) in kinds.items():
            durable, plain = partial(load.rate, requests), partial(load.rate, trivial(body))
            await durable()  # the first requests of a kind warm the process up
            (result,) = await in_turn(rounds, durable, plain)
            target = TARGETS.get(name, 0)
            lines.append(against(f"POST/s, {name}: a trivial one", result, at_least=target))
        return lines


async def assignment(count: int) -> list[Line]:
    cuts = statistics.quantiles((1000 * delay for delay in await assignments(count)), n=100)
    return [
        alone("queued to assigned, p50", cuts[49], "ms"),
        alone("queued to assigned, p99", cuts[98], "ms"),
    ]


async def assignments(count: int) -> list[float]:
    """Seconds: one task is queued again and again, with one agent waiting."""
    async with Site.start(tasks=1) as site:
        agent, operator = await site.connect(), await site.connect()
        token = await site.agent(_name(0))
        change = partial(_change, operator)
        await change("cancel")
        delays = []
        for number in range(count + WARM_UP):
            headers = bearer(token, **{"Idempotency-Key": f"claim-{number}"})
            claim = post(f"{_API}/agents/claim", {"wait": 30}, headers)
            waiting = asyncio.create_task(_timed(agent.call(claim)))
            await _until_waiting(operator)
            started = time.perf_counter()
            await change("retry")
            delays.append(await waiting - started)
            await change("cancel")
    return delays[WARM_UP:]


async def _change(operator: Caller, verb: str) -> None:
    await operator.call(post(f"{_API}/tasks/{task(1)}/{verb}", {}, bearer(OPERATOR)))


async def _timed(answer: Awaitable[bytes]) -> float:
    """When the answer came."""
    await answer
    return time.perf_counter()


async def _until_waiting(reader: Caller) -> None:
    request = f"GET /metrics HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {READER}\r\n\r\n"
    while b"fleetbot_claims_waiting 1" not in await reader.call(request.encode()):
        pass  # asking takes milliseconds, and so does a claim until it waits


async def measure(rounds: int, seconds: float, assignments: int) -> list[Line]:
    return [*await throughput(rounds, seconds), *await assignment(assignments)]


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--assignments", type=int, default=300)
    chosen = parser.parse_args()
    lines = asyncio.run(measure(chosen.rounds, chosen.seconds, chosen.assignments))
    note = f"{chosen.rounds} rounds of {chosen.seconds:g} s, {CONNECTIONS} connections"
    show(lines, chosen.json, note)


if __name__ == "__main__":
    main()
