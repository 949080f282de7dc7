"""Many busy agents and a homeserver that limits what we send: a real Synapse with its defaults.

A whole fleet on loopback. In *logs* agents that have their threads write to their logs for two
minutes, five lines a second each, while some ask questions and a person asks for the status; then
they fall silent, then all runs end, and every line is looked for in the threads, in their files,
and in the answers to `log`. In *burst* a few tasks change a thousand times in ten seconds, which
their cards show.

    python -m benchmarks.delivery [logs] [burst] [--agents 20] [--seconds 120] [--times 1]
"""

from __future__ import annotations

import asyncio
import math
import re
import statistics
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.table import Line, alone, arguments, show
from fleetbot_devkit.homeserver import MESSAGES_LIMITED, Homeserver
from fleetbot_devkit.matrix_user import MatrixUser, RoomEvent
from fleetbot_devkit.rest import call
from fleetbot_devkit.world import World

LINES_A_SECOND = 5
ASK_EVERY, STATUS_EVERY = 30, 40  # seconds
LOOK_EVERY = 10  # seconds
RATE = 0.2  # messages a second, Synapse's default
BURST_TASKS, BURST_CHANGES, BURST_SECONDS = 8, 1000, 10
BURST_AGENTS = ("claude-1", "codex-1")
_END_SECONDS = 1800
# Nobody runs these agents: they must not be missed, and what fails must not begin anew.
_CONFIG = {
    "runs": {"heartbeat_seconds": 3600, "lease_seconds": 7200, "ack_seconds": 3600},
    "retry": {"max_attempts": 1},
}


class Worker:
    """An agent with one run, whose log it writes."""

    def __init__(self, world: World, name: str) -> None:
        self.world, self.name = world, name
        self.said: list[str] = []
        self.said_at: list[float] = []
        self.run = self._token = ""
        self.issue = 0

    async def begin(self) -> None:
        answer = await self._post("/agents/register", {"name": self.name, "adapter": "command"})
        self._token = answer["token"]
        key = {"Idempotency-Key": f"claim-{self.name}"}
        claimed = await self._post("/agents/claim", {"wait": 30}, key)
        self.run, self.issue = claimed["run"], claimed["issue"]
        await self._post(f"/runs/{self.run}/start")

    async def write(self, second: int) -> None:
        offset = len(self.said)
        words = f"{self.name} works in second {second}, on something that takes a line to say"
        texts = [f"{words} ({offset + n})" for n in range(LINES_A_SECOND)]
        at = time.time_ns() // 1_000_000
        lines = [{"at": at, "kind": "assistant", "text": text} for text in texts]
        await self._post(f"/runs/{self.run}/log", {"offset": offset, "lines": lines})
        self.said += texts
        self.said_at += [time.perf_counter()] * len(texts)

    def lag(self, shown: str, now: float) -> float:
        """Seconds since it wrote the first line that is newer than what is shown of it."""
        seen = [int(n) for n in re.findall(rf"{self.name} works in .*\((\d+)\)", shown)]
        unseen = max(seen, default=-1) + 1
        return now - self.said_at[unseen] if unseen < len(self.said) else 0.0

    async def ask(self, number: int) -> float:
        """Seconds until the question is in the room."""
        title, listener = f"May I do {number}?", self.world.alice
        heard = asyncio.create_task(listener.wait_for(lambda e: title in e.text, timeout=120))
        await asyncio.sleep(0)
        started = time.perf_counter()
        question = {"id": f"q{number}", "kind": "question", "title": title}
        await self._post(f"/runs/{self.run}/ask", question)
        await heard
        return time.perf_counter() - started

    async def end(self) -> None:
        await self._post(f"/runs/{self.run}/fail", {"reason": "agent_failed"})

    async def _post(
        self, path: str, body: object = None, headers: Mapping[str, str] | None = None
    ) -> Any:
        token = self._token or self.world.enrolment_token
        url = f"{self.world.api}{path}"
        return await call("POST", url, token=token, json=body or {}, headers=headers)


@asynccontextmanager
async def limited_world() -> AsyncIterator[World]:
    with TemporaryDirectory(prefix="fleetbot-benchmark-") as folder:
        root = Path(folder)
        async with (
            Homeserver.start(root / "homeserver", rate_limits=MESSAGES_LIMITED) as homeserver,
            World.start(root / "world", homeserver=homeserver, config=_CONFIG) as world,
        ):
            yield world


async def tasks_of(world: World, count: int) -> list[dict[str, Any]]:
    for number in range(count):
        await world.open_issue(f"The greeting is misspelled, place {number}")
    async with asyncio.timeout(60):
        while len(tasks := (await world.get(f"/tasks?limit={count}"))["tasks"]) < count:  # noqa: ASYNC110
            await asyncio.sleep(0.2)  # another process: no event to wait for
    return list(tasks)


# logs


async def logs(agents: int, seconds: int, times: int) -> list[Line]:
    async with limited_world() as world:
        limit = await Limit.of(world)
        async with limit.lifted():
            await tasks_of(world, agents)
            workers = [Worker(world, f"agent-{number:02}") for number in range(agents)]
            await asyncio.gather(*(worker.begin() for worker in workers))
            await until(lambda: threads(world), agents)
        first = len(await sent(world))
        seen, asked, answered = await work(world, workers, seconds, times)
        events = await sent(world)
        meanwhile, threads_of = events[first:], pages(events)
        logged = per_thread(meanwhile, threads_of)
        busiest = max(logged.values(), default=0) / (seconds / 5)
        silent = await until(lambda: in_time(world, workers), agents)
        await asyncio.gather(*(worker.end() for worker in workers))
        drained = await until(lambda: ended(world), agents)
        async with limit.lifted():
            lost = sum([await missing(world, worker) for worker in workers])
        written = sum(len(worker.said) for worker in workers)
    of_all = f"{agents} agents, {seconds} s"
    return [
        alone(f"{of_all}: messages of the busiest agent, of one each 5 s", busiest, at_most=1),
        *spread("question in the room", asked, 3),
        *spread("status answered", answered),
        *spread("what is seen of a log is behind", seen, agents / RATE),
        alone("the last line of each log is seen after", silent, "s"),
        alone("each log has its end after all runs ended", drained, "s"),
        alone(f"lines lost, of {written:,}", lost, at_most=0),
    ]


class Limit:
    """What the homeserver grants the bot and Bob: its default, or everything."""

    def __init__(self, world: World, admin: MatrixUser) -> None:
        self._world, self._admin = world, admin

    @classmethod
    async def of(cls, world: World) -> Limit:
        return cls(world, await world.homeserver.register("root", "password", admin=True))

    @asynccontextmanager
    async def lifted(self) -> AsyncIterator[None]:
        await self._set("POST")
        yield
        await self._set("DELETE")

    async def _set(self, method: str) -> None:
        users = f"{self._world.homeserver.url}/_synapse/admin/v1/users"
        for user in (self._world.bot, self._world.bob):
            url = f"{users}/{user.user_id}/override_ratelimit"
            await call(method, url, token=self._admin.access_token, json={})


async def work(
    world: World, workers: Sequence[Worker], seconds: int, times: int
) -> tuple[list[float], list[float], list[float]]:
    """Write the logs; seconds that what is seen was behind, and until questions and answers, so
    many times as usual, were heard."""
    seen: list[float] = []
    asking: list[asyncio.Task[float]] = []
    telling: list[asyncio.Task[float]] = []
    ask_every, status_every = ASK_EVERY // times, STATUS_EVERY // times
    begun = time.perf_counter()
    for second in range(seconds):
        if second % ask_every == ask_every - 1:
            asker = workers[second // ask_every % len(workers)]
            asking.append(asyncio.create_task(asker.ask(second)))
        if second % status_every == status_every - 1:
            telling.append(asyncio.create_task(status(world)))
        if second % LOOK_EVERY == LOOK_EVERY - 1:
            seen += await lags(world, workers)
        await asyncio.gather(*(worker.write(second) for worker in workers))
        await asyncio.sleep(max(0.0, begun + second + 1 - time.perf_counter()))
    return seen, await asyncio.gather(*asking), await asyncio.gather(*telling)


async def lags(world: World, workers: Sequence[Worker]) -> list[float]:
    shown = "\n".join(newest(await sent(world)).values())
    return [worker.lag(shown, time.perf_counter()) for worker in workers]


async def in_time(world: World, workers: Sequence[Worker]) -> int:
    """How many of the logs are shown up to their last line."""
    return (await lags(world, workers)).count(0.0)


async def until(told: Callable[[], Awaitable[int]], count: int) -> float:
    """Seconds until so many are told."""
    started = time.perf_counter()
    async with asyncio.timeout(_END_SECONDS):
        while await told() < count:  # noqa: ASYNC110
            await asyncio.sleep(2)  # another process: no event to wait for
    return time.perf_counter() - started


async def status(world: World) -> float:
    """Seconds until a person has the answer; another one listens, as each is limited, too."""
    started = time.perf_counter()
    event = await world.bob.send(world.room, "!fleet status")
    await world.alice.wait_for(lambda heard: answers(heard, event), timeout=120)
    return time.perf_counter() - started


def answers(heard: RoomEvent, event: str) -> bool:
    relation = heard.content.get("m.relates_to", {})
    return bool(relation.get("m.in_reply_to", {}).get("event_id") == event)


async def sent(world: World) -> list[RoomEvent]:
    events = await world.alice.messages(world.room, limit=1000)
    return [event for event in events if event.sender == world.bot.user_id]


def pages(events: Sequence[RoomEvent]) -> dict[str, str]:
    """The thread that each message is in, by event."""
    return {event.event_id: event.thread for event in events if event.thread}


def per_thread(events: Sequence[RoomEvent], threads: Mapping[str, str]) -> Counter[str]:
    """Messages and edits of each thread."""
    places = [event.thread or threads.get(event.replaces or "", "") for event in events]
    return Counter(filter(None, places))


async def threads(world: World) -> int:
    return len(set(pages(await sent(world)).values()))


async def ended(world: World) -> int:
    """How many messages tell the end of a run."""
    return sum("\n■ " in text for text in newest(await sent(world)).values())


def newest(events: Sequence[RoomEvent]) -> dict[str, str]:
    """What each message says, once edited."""
    return {event.replaces or event.event_id: event.text for event in events}


async def missing(world: World, worker: Worker) -> int:
    """How many of the agent's lines are in none of its messages, nor in the file, which a person
    asks for."""
    seen = "\n".join(event.text for event in await sent(world)).splitlines()
    event = await world.bob.send(world.room, f"!fleet log #{worker.issue}")
    file = await world.alice.wait_for(
        lambda heard: bool(heard.content.get("url")) and answers(heard, event), timeout=120
    )
    seen += (await world.alice.download(str(file.content["url"]))).decode().splitlines()
    return len(set(worker.said) - set(seen))


def spread(what: str, times: Sequence[float], at_most: float = math.inf) -> list[Line]:
    """Seconds: in the middle, and at worst; the bound is the middle's."""
    if not times:
        return [Line(case=f"{what}: none was there", product="", holds=False)]
    return [
        alone(f"{what}, median", statistics.median(times), "s", at_most=at_most),
        alone(f"{what}, worst of {len(times)}", max(times), "s"),
    ]


# burst


async def burst() -> list[Line]:
    async with limited_world() as world:
        for agent in BURST_AGENTS:
            body = {"name": agent, "adapter": "command"}
            url = f"{world.api}/agents/register"
            await call("POST", url, token=world.enrolment_token, json=body)
        tasks = await tasks_of(world, BURST_TASKS)
        await quiet(world)
        first = len(await sent(world))
        begun = time.perf_counter()
        changing = [change(world, task["id"], n) for n, task in enumerate(tasks)]
        await asyncio.gather(*changing)
        took = time.perf_counter() - begun
        messages = len(await sent(world)) - first
        right = await until(lambda: up_to_date(world), BURST_TASKS)
        await quiet(world)
        stale = BURST_TASKS - await up_to_date(world)
    return [
        alone(f"messages for {BURST_CHANGES:,} changes in {took:.0f} s", messages, at_most=12),
        alone("each card is right after", right, "s"),
        alone(f"cards out of date at the end, of {BURST_TASKS}", stale, at_most=0),
    ]


async def change(world: World, task: str, place: int) -> None:
    """Give the task to one agent and to the other again and again; `place` tells with which of them
    that ends."""
    url, changes = f"{world.api}/tasks/{task}/assign", BURST_CHANGES // BURST_TASKS
    begun = time.perf_counter()
    for number in range(changes):
        agent = BURST_AGENTS[(place + number) % len(BURST_AGENTS)]
        await call("POST", url, token=world.operator_token, json={"agent": agent})
        due = begun + (number + 1) * BURST_SECONDS / changes
        await asyncio.sleep(max(0.0, due - time.perf_counter()))


async def quiet(world: World) -> None:
    """Nothing has been sent for longer than the limit makes anything wait."""
    async with asyncio.timeout(_END_SECONDS):
        before, now = -1, len(await sent(world))
        while now != before:
            await asyncio.sleep(75)
            before, now = now, len(await sent(world))


async def up_to_date(world: World) -> int:
    """How many tasks have a card that names the agent which they are for now."""
    shown = newest(await sent(world)).values()
    tasks = (await world.get(f"/tasks?limit={BURST_TASKS}"))["tasks"]
    return sum(any(_shows(text, task) for text in shown) for task in tasks)


def _shows(text: str, task: Mapping[str, Any]) -> bool:
    return f"#{task['issue']} " in text and str(task["wanted_agent"]) in text


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("cases", nargs="*", default=["logs", "burst"])
    parser.add_argument("--agents", type=int, default=20)
    parser.add_argument("--seconds", type=int, default=120)
    parser.add_argument("--times", type=int, default=1, help="as many questions and commands")
    chosen = parser.parse_args()
    lines: list[Line] = []
    if "logs" in chosen.cases:
        lines += asyncio.run(logs(chosen.agents, chosen.seconds, chosen.times))
    if "burst" in chosen.cases:
        lines += asyncio.run(burst())
    show(lines, chosen.json)


if __name__ == "__main__":
    main()
