"""Claims that wait are answered the moment there is a task for them, and never twice."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from fleetbot.domain import commands as cmd
from fleetbot.domain.errors import Busy
from fleetbot.domain.events import AgentRegistered
from fleetbot.domain.model import AgentName, Policy, Priority, RunId, TaskId, Traits
from fleetbot.services.dispatcher import Dispatcher, claim_key
from fleetbot.services.fleet import Context, Fleet
from fleetbot.store.interface import Store, StoreUnavailable
from tests.store.backend import SqliteBackend

ANN, BEN = AgentName("ann"), AgentName("ben")
TEST = Context(actor="test")
LONG = 30.0
DISK_FULL = """
CREATE TRIGGER disk_full BEFORE INSERT ON events BEGIN SELECT RAISE(ABORT, 'disk full'); END
"""
DISK_FREE = "DROP TRIGGER disk_full"


class Bench:
    """A fleet on a real database, its dispatcher, and two agents."""

    def __init__(self, backend: SqliteBackend, store: Store) -> None:
        self.backend, self.now = backend, 1_000_000
        self.fleet = Fleet(store, Policy(), lambda: self.now, lambda notice: ())
        self._runs = (RunId(f"r{n}") for n in itertools.count(1))
        self.dispatcher = Dispatcher(self.fleet, lambda: next(self._runs))

    async def register(
        self, *agents: AgentName, room: int = 1, skills: tuple[str, ...] = ()
    ) -> None:
        for agent in agents:
            registration = AgentRegistered(
                adapter="command", max_concurrency=room, capabilities=skills
            )
            await self.fleet.commit(cmd.RegisterAgent(agent, registration), TEST)

    async def task(self, issue: int = 1, *, repo: str = "a/b", **traits: Any) -> TaskId:
        task, url = TaskId(f"t{issue}"), f"https://forge.example/{repo}/issues/{issue}"
        command = cmd.CreateTask(
            task=task,
            repo=repo,
            issue=issue,
            url=url,
            author="x",
            traits=Traits(title=f"Issue {issue}", **traits),
        )
        await self.fleet.commit(command, TEST)
        return task

    def claim(
        self,
        agent: AgentName = ANN,
        key: str = "k",
        wait: float = LONG,
        alive: Callable[[], bool] = lambda: True,
    ) -> asyncio.Task[RunId | None]:
        return asyncio.create_task(self.dispatcher.claim(agent, key, wait, alive))

    async def waiting(self, count: int) -> None:
        """Until so many claims wait; they begin to with the next turn of the event loop."""
        async with asyncio.timeout(10):
            while self.dispatcher.waiting != count:  # noqa: ASYNC110 - it tells nobody
                await asyncio.sleep(0)

    def assigned(self) -> dict[str, str]:
        """Which agent has which task."""
        return {run.task: run.agent for run in self.fleet.state.live_runs()}


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    backend = SqliteBackend(tmp_path)
    async with backend.open() as store:
        bench = Bench(backend, store)
        await bench.fleet.start()
        await bench.register(ANN, BEN)
        yield bench
        bench.dispatcher.close()
        await bench.fleet.close()


async def test_a_waiting_claim_gets_the_task_that_comes(bench: Bench) -> None:
    claim = bench.claim()
    await bench.waiting(1)
    task = await bench.task()

    run = await claim

    assert run is not None
    assert bench.assigned() == {task: ANN}
    assert (await bench.fleet.store.run(run)) is not None  # it is on disk already
    assert bench.dispatcher.waiting == 0


async def test_a_claim_gets_the_task_that_waits(bench: Bench) -> None:
    await bench.task()
    assert await bench.dispatcher.claim(ANN, "k", 0, lambda: True) == "r1"


async def test_a_claim_goes_home_when_its_time_is_up(bench: Bench) -> None:
    assert await bench.dispatcher.claim(ANN, "k", 0, lambda: True) is None
    assert await bench.dispatcher.claim(ANN, "k", 0.01, lambda: True) is None
    await bench.task()
    assert bench.assigned() == {}


async def test_an_unknown_agent_waits_in_vain(bench: Bench) -> None:
    await bench.task()
    assert await bench.dispatcher.claim(AgentName("nobody"), "k", 0, lambda: True) is None


async def test_the_oldest_claim_is_served_first(bench: Bench) -> None:
    first = bench.claim(BEN)
    await bench.waiting(1)
    second = bench.claim(ANN)
    await bench.waiting(2)

    task = await bench.task(1)

    assert await first is not None
    assert bench.assigned() == {task: BEN}
    assert not second.done()


async def test_a_task_goes_to_the_oldest_claim_of_those_who_can_do_it(bench: Bench) -> None:
    await bench.register(BEN, skills=("go", "python"))
    eve = AgentName("eve")
    await bench.register(eve, skills=("python",))
    claims = []
    for number, agent in enumerate((ANN, eve, BEN), start=1):
        claims.append(bench.claim(agent))
        await bench.waiting(number)

    python = await bench.task(1, needs=("python",))
    assert await claims[1] is not None
    go = await bench.task(2, needs=("go",))
    assert await claims[2] is not None

    assert bench.assigned() == {python: eve, go: BEN}
    assert not claims[0].done()


async def test_a_claim_that_waits_is_found_by_what_its_agent_learns_and_by_its_name(
    bench: Bench,
) -> None:
    claims = [bench.claim(agent) for agent in (ANN, BEN)]
    await bench.waiting(2)
    skilled, named = await bench.task(1, needs=("python",)), await bench.task(2, agent=BEN)
    assert await claims[1] is not None
    assert bench.assigned() == {named: BEN}

    await bench.register(ANN, skills=("python",))

    assert await claims[0] is not None
    assert bench.assigned() == {named: BEN, skilled: ANN}


async def test_what_goes_first_is_given_first_whatever_came_first(bench: Bench) -> None:
    """Several tasks come in one burst, and there is a claim for one of them only."""
    claim = bench.claim()
    await bench.waiting(1)
    await asyncio.gather(
        bench.task(1),
        bench.task(2, repo="a/c", priority=Priority.URGENT),
        bench.task(3, priority=Priority.HIGH),
    )
    await claim
    assert bench.assigned() == {"t2": ANN}


async def test_a_run_that_ends_makes_room_in_its_repository(bench: Bench) -> None:
    bench.fleet.policy = Policy(repo_limit=1)
    first = await bench.task(1)
    await bench.dispatcher.claim(BEN, "k", 0, lambda: True)
    second = await bench.task(2)
    claim = bench.claim()
    await bench.waiting(1)
    assert bench.assigned() == {first: BEN}

    await bench.fleet.commit(cmd.CancelTask(first), TEST)

    assert await claim is not None
    assert bench.assigned() == {second: ANN}


async def test_a_run_that_ends_makes_room_with_its_agent(bench: Bench) -> None:
    first = await bench.task(1)
    await bench.dispatcher.claim(ANN, "k1", 0, lambda: True)
    second = await bench.task(2, agent=ANN)
    claim = bench.claim(key="k2")
    await bench.waiting(1)

    await bench.fleet.commit(cmd.CancelTask(first), TEST)

    assert await claim is not None
    assert bench.assigned() == {second: ANN}


async def test_what_time_alone_opens_is_found_when_it_is_looked_for(bench: Bench) -> None:
    """ann has lost the task, which waits for ben; he has room and does not ask for work."""
    task = await bench.task()
    await bench.dispatcher.claim(ANN, "k", 0, lambda: True)
    await bench.fleet.commit(cmd.StartRun(RunId("r1"), ANN), TEST)
    await bench.fleet.commit(cmd.DeregisterAgent(ANN), TEST)
    await bench.register(ANN)
    claim = bench.claim(key="again")
    await bench.waiting(1)
    assert bench.assigned() == {}

    bench.now += bench.fleet.policy.ack_ms + 1
    bench.dispatcher.wake()

    assert await claim is not None
    assert bench.assigned() == {task: ANN}


async def test_one_task_is_given_to_one_of_many(bench: Bench) -> None:
    agents = [AgentName(f"agent-{n}") for n in range(20)]
    await bench.register(*agents)
    claims = [bench.claim(agent) for agent in agents]
    await bench.waiting(20)

    await bench.task()
    await asyncio.wait(claims, return_when=asyncio.FIRST_COMPLETED)
    bench.dispatcher.close()

    served = [run for run in await asyncio.gather(*claims) if run]
    assert len(served) == 1
    assert len(bench.assigned()) == 1


async def test_an_agent_gets_no_more_than_it_has_room_for(bench: Bench) -> None:
    for issue in range(1, 4):
        await bench.task(issue)
    assert await bench.dispatcher.claim(ANN, "k1", 0, lambda: True) is not None
    assert await bench.dispatcher.claim(ANN, "k2", 0, lambda: True) is None
    await bench.register(BEN, room=2)
    served = [await bench.dispatcher.claim(BEN, f"k{n}", 0, lambda: True) for n in range(3)]
    assert [run is not None for run in served] == [True, True, False]


async def test_two_claims_with_one_key_get_one_run(bench: Bench) -> None:
    await bench.register(ANN, room=5)
    first = bench.claim(key="same")
    await bench.waiting(1)
    second = bench.claim(key="same")
    assert await first is None  # the second has taken its place

    for issue in (1, 2):
        await bench.task(issue)

    assert await second is not None
    assert len(bench.assigned()) == 1


async def test_a_repeated_claim_shares_what_the_first_was_given(bench: Bench) -> None:
    """The answer to the first is on its way to disk when the second comes."""
    await bench.register(ANN, room=5)
    for issue in (1, 2):
        await bench.task(issue)
    async with bench.backend.held():  # nothing gets to disk meanwhile
        first = bench.claim(key="same")
        await bench.waiting(1)
        second = bench.claim(key="same")
        await asyncio.sleep(0)
        assert not first.done()
        assert not second.done()
    assert await first == await second == "r1"
    assert len(bench.assigned()) == 1


async def test_a_claim_is_remembered_with_what_it_was_given(bench: Bench) -> None:
    await bench.task()
    run = await bench.dispatcher.claim(ANN, "k", 0, lambda: True)

    known = await bench.fleet.store.arrival(claim_key(ANN, "k"))

    assert known is not None
    assert known.answer == str(run).encode()
    assert await bench.fleet.store.arrival(claim_key(BEN, "k")) is None


async def test_a_claim_whose_caller_has_gone_gets_nothing(bench: Bench) -> None:
    there = [True]
    gone = bench.claim(ANN, alive=lambda: there[0])
    await bench.waiting(1)
    there[0] = False
    heir = bench.claim(BEN)
    await bench.waiting(2)

    task = await bench.task()

    assert await heir is not None
    assert bench.assigned() == {task: BEN}
    assert not gone.done()


async def test_an_agent_may_have_so_many_claims_waiting_and_no_more(bench: Bench) -> None:
    """A claim takes the place of its own key's, and those whose caller has gone do not count."""
    heard = True
    claims = [bench.claim(key=key, alive=lambda: heard) for key in "ab"]
    claims += [bench.claim(BEN, key) for key in "ab"]
    await bench.waiting(4)
    with pytest.raises(Busy, match="2 claims of ann wait already"):
        await bench.dispatcher.claim(ANN, "c", LONG, lambda: True)
    claims.append(bench.claim(key="b"))
    assert await claims[1] is None

    heard = False
    claims.append(bench.claim(key="c"))
    await bench.waiting(5)

    bench.dispatcher.close()
    await asyncio.gather(*claims)


async def test_a_cancelled_claim_leaves_no_trace(bench: Bench) -> None:
    claim = bench.claim()
    await bench.waiting(1)
    claim.cancel()
    with pytest.raises(asyncio.CancelledError):
        await claim
    assert bench.dispatcher.waiting == 0

    await bench.task()

    assert bench.assigned() == {}


async def test_a_claim_that_is_cancelled_while_it_is_written_keeps_its_run(bench: Bench) -> None:
    """The run stands; nobody starts it, so it goes back when its time is up."""
    await bench.task()
    async with bench.backend.held():
        claim = bench.claim()
        await bench.waiting(1)
        claim.cancel()
        with pytest.raises(asyncio.CancelledError):
            await claim
    await bench.fleet.close()
    assert len(bench.assigned()) == 1
    assert await bench.fleet.store.run(RunId("r1")) is not None


async def test_when_it_closes_everybody_is_sent_home(bench: Bench) -> None:
    claims = [bench.claim(agent) for agent in (ANN, BEN)]
    await bench.waiting(2)

    bench.dispatcher.close()

    assert await asyncio.gather(*claims) == [None, None]
    assert await bench.dispatcher.claim(ANN, "later", LONG, lambda: True) is None


async def test_what_was_given_away_when_it_closed_is_still_answered(bench: Bench) -> None:
    await bench.task()
    async with bench.backend.held():
        claim = bench.claim()
        await bench.waiting(1)
        bench.dispatcher.close()
        await asyncio.sleep(0)
        assert not claim.done()
    assert await claim == "r1"


async def test_a_claim_whose_run_cannot_be_written_says_so_and_can_be_repeated(
    bench: Bench,
) -> None:
    await bench.task()
    bench.backend.tamper(DISK_FULL)
    with pytest.raises(StoreUnavailable):
        await bench.dispatcher.claim(ANN, "k", LONG, lambda: True)
    assert bench.dispatcher.waiting == 0
    bench.backend.tamper(DISK_FREE)
    await bench.fleet.start()

    assert await bench.dispatcher.claim(ANN, "k", LONG, lambda: True) == "r2"
    assert len(bench.assigned()) == 1


async def test_a_claim_outlives_a_store_that_is_away_for_a_while(bench: Bench) -> None:
    claim = bench.claim()
    await bench.waiting(1)
    bench.backend.tamper(DISK_FULL)
    with pytest.raises(StoreUnavailable):
        await bench.task()
    bench.dispatcher.match()
    assert not claim.done()
    bench.backend.tamper(DISK_FREE)

    await bench.task()

    assert await claim == "r1"


async def test_a_claim_that_had_its_run_just_now_gets_no_other(bench: Bench) -> None:
    """It looked for what its key was given before that was on disk."""
    await bench.register(ANN, room=2)
    await bench.task(1)
    first = await bench.claim()
    await bench.task(2)
    assert await bench.claim() is None
    assert len(bench.fleet.state.live_runs()) == 1
    assert first in bench.fleet.state.runs
    assert await bench.claim(key="another") is not None


async def test_a_claim_of_a_revoked_agent_takes_nothing_from_the_next_of_that_name(
    bench: Bench,
) -> None:
    """Whoever made it had shown the old token."""
    stolen = bench.claim()
    await bench.waiting(1)
    await bench.fleet.commit(cmd.RevokeAgent(ANN), TEST)
    await bench.register(ANN)
    await bench.task()
    assert await stolen is None
    assert bench.assigned() == {}
    assert await bench.claim(key="new") is not None
