"""What runs use: told while they go on, bounded by budgets, summed up afterwards."""

from __future__ import annotations

from typing import Any

from fleetbot.domain.commands import Expire
from fleetbot.domain.model import Policy
from fleetbot.domain.usage import Budget
from fleetbot.services.fleet import Context, Fleet
from fleetbot.store.audit import examine
from tests.web.site import Caller, Site, claim

HEARTBEAT = "/api/v1/agents/heartbeat"
USAGE = "/api/v1/usage"
DAY = 24 * 3_600_000
TIMER = Context(actor="timer")


def used(dollars: float, tokens: int = 0) -> dict[str, Any]:
    return {"input_tokens": tokens, "output_tokens": 10, "cost_usd": dollars}


async def beat(agent: Caller, run: str, usage: dict[str, Any]) -> list[dict[str, str]]:
    """The runs that the agent is told to stop."""
    answer = await agent.post(HEARTBEAT, {"runs": [run], "usage": {run: usage}})
    assert answer.status == 200, answer.body
    orders: list[dict[str, str]] = answer.body["cancel"]
    return orders


async def failed(site: Site, agent: Caller, dollars: float, key: str) -> None:
    """A run that fails for good after it has used so much."""
    run = await site.running(agent, key)
    request = {"reason": "no_changes", "usage": used(dollars)}
    assert (await agent.post(f"/api/v1/runs/{run}/fail", request)).status == 200


# budgets


async def test_a_run_that_passes_its_tasks_budget_is_told_to_stop(site: Site) -> None:
    site.fleet.policy = Policy(task_budget=Budget(usd=1))
    agent, task = await site.agent(), await site.task()
    run = await site.running(agent)
    assert await beat(agent, run, used(0.9)) == []

    assert await beat(agent, run, used(1.5)) == [{"run": run, "reason": "budget_exceeded"}]

    view = (await site.reader.get(f"/api/v1/tasks/{task}")).body
    assert (view["state"], view["reason"]) == ("failed", "budget_exceeded")
    assert (view["spent"]["output_tokens"], view["spent"]["cost_usd"]) == (10, 1.5)
    late = await agent.post(f"/api/v1/runs/{run}/fail", {"reason": "agent_failed"})
    assert "budget is used up" in str(late.body["replaced_by"])


async def test_a_retry_by_a_person_has_a_fresh_budget(site: Site) -> None:
    site.fleet.policy = Policy(task_budget=Budget(usd=1))
    agent, task = await site.agent(), await site.task()
    await beat(agent, await site.running(agent), used(1.5))
    assert (await claim(agent, "none yet")).status == 204

    await site.operator.post(f"/api/v1/tasks/{task}/retry")

    run = await site.running(agent, "again")
    assert await beat(agent, run, used(0.9)) == []
    assert len(await beat(agent, run, used(1.0))) == 1


async def test_an_assignment_says_what_is_left_of_its_budget(site: Site) -> None:
    agent = await site.agent()
    await site.task()
    first = (await claim(agent, "a")).body
    assert first["budget_usd"] is None
    request = {"reason": "rate_limited", "usage": used(0.25)}
    assert (await agent.post(f"/api/v1/runs/{first['run']}/fail", request)).status == 200

    site.fleet.policy = Policy(task_budget=Budget(usd=1))
    site.now += 3_600_000
    site.fleet.state.queue.ripen(site.fleet.state.tasks, site.now)

    assert (await claim(agent, "b")).body["budget_usd"] == 0.75


async def test_no_agent_can_speak_of_anothers_usage_or_take_its_own_back(site: Site) -> None:
    site.fleet.policy = Policy(task_budget=Budget(usd=1))
    agent, other = await site.agent(), await site.agent("codex-1")
    await site.task()
    run = await site.running(agent)

    await beat(other, run, used(5))
    assert await beat(agent, run, used(0.9)) == []
    await beat(agent, run, used(0))
    request = {"reason": "no_changes", "usage": used(0.1)}
    await agent.post(f"/api/v1/runs/{run}/fail", request)

    total = (await site.reader.get(USAGE)).body["total"]
    assert total["cost_usd"] == 0.9


async def test_a_day_that_is_spent_stops_all_until_the_next_even_over_a_restart(
    site: Site,
) -> None:
    site.fleet.policy = Policy(day_budget=Budget(usd=1), heartbeat_ms=2 * DAY)
    agent, other = await site.agent(), await site.agent("codex-1")
    await site.task(1)
    await site.task(2)
    await failed(site, other, 0.5, "first")
    run = await site.running(agent)
    await beat(agent, run, used(0.5))

    assert (await claim(other, "second")).status == 204
    await site.fleet.commit(Expire(), TIMER)

    assert await beat(agent, run, used(0.5)) == [{"run": run, "reason": "day_budget_exceeded"}]
    again = Fleet(site.store, site.fleet.policy, lambda: site.now, lambda notice: ())
    await again.start()
    assert again.state.paused_until == site.fleet.state.paused_until > site.now
    assert again.state.spent_today(site.now).cost_usd == 1
    assert await again.commit(Expire(), TIMER) == ()
    assert await examine(site.store) == []


async def test_work_goes_on_when_the_next_day_begins(site: Site) -> None:
    site.fleet.policy = Policy(day_budget=Budget(usd=1), heartbeat_ms=2 * DAY)
    agent, task = await site.agent(), await site.task()
    await beat(agent, await site.running(agent), used(1))
    await site.fleet.commit(Expire(), TIMER)
    view = (await site.reader.get(f"/api/v1/tasks/{task}")).body
    assert (view["state"], view["attempt"]) == ("created", 0)

    site.now = view["waiting"]["until"]

    assert site.now % DAY == 0
    assert (await claim(agent, "next day")).status == 200


# sums


async def test_usage_is_summed_up_by_agent_task_repository_and_day(site: Site) -> None:
    claude, codex = await site.agent(), await site.agent("codex-1")
    first, second = await site.task(1), await site.task(2)
    await failed(site, claude, 0.25, "a")
    site.now += DAY
    await failed(site, codex, 1.5, "b")

    async def parts(by: str) -> dict[str, float]:
        answer = await site.reader.get(USAGE, by=by)
        assert answer.body["total"]["runs"] == 2
        assert answer.body["total"]["cost_usd"] == 1.75
        assert answer.body["total"]["output_tokens"] == 20
        return {part["key"]: part["cost_usd"] for part in answer.body["parts"]}

    assert await parts("agent") == {"codex-1": 1.5, "claude-1": 0.25}
    assert await parts("task") == {second: 1.5, first: 0.25}
    assert await parts("repo") == {"team/app": 1.75}
    assert list((await parts("day")).items()) == [("2023-11-15", 1.5), ("2023-11-14", 0.25)]


async def test_usage_may_be_asked_for_within_bounds(site: Site) -> None:
    agent = await site.agent()
    await site.task(1)
    await site.task(2)
    await failed(site, agent, 0.25, "a")
    site.now += 1000
    await failed(site, agent, 1.5, "b")

    async def total(**bounds: int) -> float | None:
        cost: float | None = (await site.reader.get(USAGE, **bounds)).body["total"]["cost_usd"]
        return cost

    assert await total(since=site.now) == 1.5
    assert await total(until=site.now) == 0.25
    assert await total(since=site.now + 1) is None
    few = (await site.reader.get(USAGE, by="task", limit=1)).body
    assert (len(few["parts"]), few["total"]["runs"]) == (1, 2)


async def test_an_unknown_sum_is_refused_with_what_there_is(site: Site) -> None:
    answer = await site.reader.get(USAGE, by="week")
    assert "one of agent, day, repo, task" in answer.refuses(422, "invalid", "by")
    (await site.nobody.get(USAGE)).refuses(401, "unauthorized")
