"""The link to the orchestrator: patience where it helps, typed refusals where it does not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import islice
from pathlib import Path

import aiohttp
import msgspec
import pytest
from aiohttp import web
from aiohttp.typedefs import Handler

from fleetbot.client.errors import Refused, Superseded, Unauthorized, Unreachable
from fleetbot.domain.machine import MachineFacts
from fleetbot.domain.model import Verdict
from fleetbot.domain.patience import Patience
from fleetbot.domain.usage import Usage
from fleetbot.runner.link import Link, delays, read_token, save_token
from fleetbot.runner.ring import Ring
from fleetbot.wire import (
    HeartbeatRequest,
    LogRequest,
    Problem,
    ReceiptRequest,
    RegisterRequest,
)
from tests.runner.orchestrator import ENROLMENT, Orchestrator

HOUR = 3_600_000  # milliseconds
AGENT = RegisterRequest(name="worker-1", adapter="command")
RECEIPT = ReceiptRequest(run="run-1", pull_request=1, branch="b", head="a" * 40)


@pytest.fixture
async def orchestrator() -> AsyncIterator[Orchestrator]:
    async with Orchestrator.start() as orchestrator:
        yield orchestrator


@pytest.fixture
def notices() -> asyncio.Queue[str]:
    return asyncio.Queue()


@asynccontextmanager
async def linked(
    orchestrator: Orchestrator, notices: asyncio.Queue[str], patience: Patience
) -> AsyncIterator[Link]:
    """Of an agent that has registered."""
    async with aiohttp.ClientSession() as http:
        link = Link(http, Ring(orchestrator.url), notice=notices.put_nowait, patience=patience)
        link.token = (await link.register(AGENT, ENROLMENT)).token or ""
        yield link


@pytest.fixture
async def link(orchestrator: Orchestrator, notices: asyncio.Queue[str]) -> AsyncIterator[Link]:
    async with linked(orchestrator, notices, Patience(10, 50)) as link:
        yield link


async def test_an_outage_is_waited_out_and_told_once(
    link: Link, orchestrator: Orchestrator, notices: asyncio.Queue[str]
) -> None:
    await orchestrator.down()
    calling = asyncio.create_task(link.persist(lambda: link.start("run-1")))
    assert "not reached" in await notices.get()
    await orchestrator.up()

    assert (await calling).state == "running"
    assert await notices.get() == "orchestrator reached again"
    assert notices.empty()


async def test_a_heartbeat_is_tried_again_in_its_own_time_however_long_the_outage_lasted(
    orchestrator: Orchestrator, notices: asyncio.Queue[str]
) -> None:
    async with asyncio.timeout(20), linked(orchestrator, notices, Patience(HOUR, HOUR)) as link:
        await orchestrator.down()
        beating = asyncio.create_task(link.persist(lambda: link.heartbeat({}), within=0.05))
        assert "not reached" in await notices.get()
        await orchestrator.up()

        await beating

    assert orchestrator.heartbeats == [()]


async def test_whoever_waits_out_an_outage_goes_on_when_another_call_gets_through(
    orchestrator: Orchestrator, notices: asyncio.Queue[str]
) -> None:
    """An agent that was online and idle was given nothing for as long as its claim rested."""
    async with asyncio.timeout(20), linked(orchestrator, notices, Patience(HOUR, HOUR)) as link:
        await orchestrator.down()
        claiming = asyncio.create_task(link.persist(lambda: link.claim("key", 0)))
        assert "not reached" in await notices.get()
        await orchestrator.up()

        await link.persist(lambda: link.heartbeat({}))

        assert await claiming is None
    assert orchestrator.claims == ["key"]


async def test_a_run_that_is_somebody_elses_is_told_with_what_replaced_it(
    link: Link, orchestrator: Orchestrator
) -> None:
    orchestrator.superseded.add("run-1")

    with pytest.raises(Superseded) as lost:
        await link.persist(lambda: link.start("run-1"))

    assert lost.value.replaced_by == "run-of-another"


async def test_an_unknown_token_is_not_tried_again(link: Link) -> None:
    link.token = "guessed"

    with pytest.raises(Unauthorized):
        await link.persist(lambda: link.heartbeat({}))


async def test_a_heartbeat_tells_what_each_run_has_used_if_that_is_known(
    link: Link, orchestrator: Orchestrator
) -> None:
    used = Usage(input_tokens=5, cost_usd=0.5)

    await link.persist(lambda: link.heartbeat({"run-1": used, "run-2": Usage()}))

    assert orchestrator.heartbeats == [("run-1", "run-2")]
    assert orchestrator.used == {"run-1": used}


@pytest.mark.parametrize("wants", [True, False])
async def test_a_machine_is_told_only_to_an_orchestrator_that_would_understand(
    link: Link, orchestrator: Orchestrator, wants: bool
) -> None:
    """An older one refuses a heartbeat with a word that it does not know."""
    link.wants_machine = wants

    await link.persist(lambda: link.heartbeat({}, MachineFacts(fleetbot="0.1.0")))

    assert [its.fleetbot for its in orchestrator.machines] == (["0.1.0"] if wants else [])
    sent = msgspec.json.encode(HeartbeatRequest(runs=("run-1",)))
    assert sent == b'{"runs":["run-1"]}'


@pytest.mark.parametrize("wants", [True, False])
async def test_so_are_the_files_that_runs_have_changed(
    link: Link, orchestrator: Orchestrator, wants: bool
) -> None:
    link.wants_files = wants

    await link.persist(lambda: link.heartbeat({"r1": Usage()}, files={"r1": ("door.py",)}))

    assert orchestrator.files_of == ({"r1": ("door.py",)} if wants else {})


async def test_what_the_orchestrator_refuses_names_the_field(link: Link) -> None:
    wrong = LogRequest(offset=-1, lines=())

    with pytest.raises(Refused, match="offset"):
        await link.persist(lambda: link.log("run-1", wrong))


async def test_a_claim_with_the_same_key_gets_the_same_answer(
    link: Link, orchestrator: Orchestrator
) -> None:
    assert await link.claim("key", 0) is None
    assert await link.claim("key", 5) is None
    assert orchestrator.claims == ["key", "key"]


async def test_a_receipt_filed_twice_is_filed_once(link: Link, orchestrator: Orchestrator) -> None:
    first = await link.file(RECEIPT, "key")
    second = await link.file(RECEIPT, "key")

    assert first == second
    assert first.verdict is Verdict.VERIFIED
    assert len(orchestrator.receipts) == 1


@pytest.mark.parametrize(
    ("status", "content_type", "body"),
    [
        (404, "text/plain", "404: Not Found"),  # maubot, while the plugin is reloaded
        (502, "text/html", "<h1>Bad Gateway</h1>"),
        (200, "text/html", "<h1>Welcome</h1>"),
        (503, "application/problem+json", "{}"),
        (302, "text/html", ""),
    ],
)
async def test_an_answer_that_is_not_fleetbots_counts_as_none(
    status: int, content_type: str, body: str
) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=status, text=body, content_type=content_type)

    async with serving(answer) as url, aiohttp.ClientSession() as http:
        link = Link(http, Ring(url), token="t", notice=lambda text: None)

        with pytest.raises(Unreachable):
            await link.start("run-1")


async def test_run_ids_cannot_leave_their_place_in_the_address() -> None:
    paths: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        paths.append(request.raw_path)
        return web.json_response({"run": "x", "state": "running"})

    async with serving(answer) as url, aiohttp.ClientSession() as http:
        await Link(http, Ring(url), token="t", notice=lambda text: None).start("../../x?y=1#z")

    assert paths == ["/api/v1/runs/..%2F..%2Fx%3Fy=1%23z/start"]


class serving:
    """A server with one answer to everything; its address."""

    def __init__(self, handler: Handler) -> None:
        app = web.Application()
        app.router.add_route("*", "/{rest:.*}", handler)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)

    async def __aenter__(self) -> str:
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        return f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def __aexit__(self, *problem: object) -> None:
        await self._runner.cleanup()


def test_a_token_is_kept_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "tokens" / "worker-1"
    assert read_token(path) == ""

    save_token(path, "first")
    save_token(path, "second")

    assert read_token(path) == "second"
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_waiting_times_grow_to_their_limit_and_never_agree() -> None:
    first = list(islice(delays(Patience(1_000, 8_000)), 6))

    for delay, most in zip(first, (1, 2, 4, 8, 8, 8), strict=True):
        assert most / 2 <= delay <= most
    assert len(set(first)) == 6


def test_refusals_say_where_and_why() -> None:
    problem = Problem(
        type="t", title="A value is wrong", status=422, detail="is too long", code="invalid"
    )

    assert str(Refused(problem)) == "is too long (422)"


async def test_a_run_outlasts_that_its_agents_token_is_forgotten(
    link: Link, orchestrator: Orchestrator
) -> None:
    link.lease_seconds = 30
    orchestrator.tokens.clear()
    start = asyncio.create_task(link.outlast(lambda: link.start("run-1")))
    await orchestrator.until(lambda o: o.turned_away != [])

    link.token = (await link.register(AGENT, ENROLMENT)).token or ""

    assert (await start).run == "run-1"


async def test_but_not_for_longer_than_its_lease(link: Link, orchestrator: Orchestrator) -> None:
    link.lease_seconds = 0.05
    orchestrator.tokens.clear()

    with pytest.raises(Unauthorized):
        await link.outlast(lambda: link.start("run-1"))

    assert len(orchestrator.turned_away) > 1
