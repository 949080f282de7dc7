"""Agents claim runs, start them, hand in their logs, and give up."""

from __future__ import annotations

import asyncio

from fleetbot.domain.model import Policy
from tests.web.site import Site, claim

BEAT = "/api/v1/agents/heartbeat"


def lines(*texts: str) -> list[dict[str, object]]:
    return [{"at": 1_700_000_000_000, "text": text} for text in texts]


# claim


async def test_a_waiting_claim_is_answered_when_there_is_a_task(site: Site) -> None:
    agent = await site.agent()
    waiting = asyncio.create_task(claim(agent, wait=30))
    await site.dispatcher.claimed()

    await site.task(title="Mend the door")

    answer = await waiting
    assert answer.status == 200
    assert answer.body["title"] == "Mend the door"
    assert answer.body["branch"] == "fleet/1-mend-the-door"


async def test_an_assignment_says_what_may_not_be_changed(site: Site) -> None:
    site.fleet.policy = Policy(forbidden_paths=("*.lock",))
    agent = await site.agent()
    await site.task()

    assert (await claim(agent)).body["forbidden_paths"] == ["*.lock"]


async def test_a_claim_without_a_task_ends_empty(site: Site) -> None:
    agent = await site.agent()

    answer = await claim(agent, wait=0)

    assert (answer.status, answer.body) == (204, "")


async def test_the_same_key_gets_the_same_run_and_another_key_another_task(site: Site) -> None:
    agent = await site.agent(max_concurrency=2)
    await site.task(1)
    await site.task(2)

    first, again, second = await claim(agent, "a"), await claim(agent, "a"), await claim(agent, "b")

    assert again.body == first.body
    assert second.body["issue"] != first.body["issue"]


async def test_keys_of_two_agents_do_not_meet(site: Site) -> None:
    claude, codex = await site.agent("claude-1"), await site.agent("codex-1")
    await site.task(1)
    await site.task(2)

    first, second = await claim(claude, "same"), await claim(codex, "same")

    assert first.body["run"] != second.body["run"]


async def test_a_claim_whose_caller_has_gone_gets_nothing(site: Site) -> None:
    claude, codex = await site.agent("claude-1"), await site.agent("codex-1")
    gone = asyncio.create_task(claim(claude, wait=30))
    await site.dispatcher.claimed()
    gone.cancel()
    await asyncio.wait([gone])

    other = asyncio.create_task(claim(codex, wait=30))
    await site.dispatcher.claimed()
    await site.task()

    assert (await other).status == 200


async def test_one_agent_cannot_have_claims_without_number_waiting(site: Site) -> None:
    agent = await site.agent()
    waiting = [asyncio.create_task(claim(agent, key, wait=30)) for key in "ab"]
    for _ in waiting:
        await site.dispatcher.claimed()

    answer = await claim(agent, "c", wait=30)

    assert "it may have 2" in answer.refuses(503, "busy")
    assert answer.headers["Retry-After"]
    site.close()
    assert [(await one).status for one in waiting] == [204, 204]


async def test_a_claim_needs_a_key(site: Site) -> None:
    agent = await site.agent()
    for headers in ({}, {"Idempotency-Key": ""}, {"Idempotency-Key": "x" * 201}):
        answer = await agent.post("/api/v1/agents/claim", {"wait": 0}, headers=headers)
        detail = answer.refuses(422, "invalid", "Idempotency-Key")
        assert "1 to 200 printable ASCII characters" in detail


async def test_a_claim_waits_a_minute_at_most(site: Site) -> None:
    agent = await site.agent()
    for wait in (61, -1, "long", None):
        answer = await agent.post(
            "/api/v1/agents/claim", {"wait": wait}, headers={"Idempotency-Key": "k"}
        )
        answer.refuses(422, "invalid", "wait")


async def test_waiting_claims_are_sent_home_when_the_plugin_stops(site: Site) -> None:
    agent = await site.agent()
    waiting = asyncio.create_task(claim(agent, wait=30))
    await site.dispatcher.claimed()

    site.close()

    assert (await waiting).status == 204


# start


async def test_starting_twice_changes_nothing_the_second_time(site: Site) -> None:
    agent = await site.agent()
    task = await site.task()
    run = await site.claimed(agent)

    first = await agent.post(f"/api/v1/runs/{run}/start", {})
    second = await agent.post(f"/api/v1/runs/{run}/start")

    assert first.body == second.body == {"run": run, "state": "running"}
    assert (await site.reader.get(f"/api/v1/tasks/{task}")).body["state"] == "running"


async def test_a_run_that_is_no_longer_current_says_what_replaced_it(site: Site) -> None:
    agent = await site.agent()
    task = await site.task()
    run = await site.running(agent)
    await site.operator.post(f"/api/v1/tasks/{task}/cancel")

    answer = await agent.post(f"/api/v1/runs/{run}/start", {})

    answer.refuses(409, "superseded", "run")
    assert "cancelled" in answer.body["replaced_by"]


# what is another's


async def test_an_agent_cannot_touch_anothers_run(site: Site) -> None:
    claude, codex = await site.agent("claude-1"), await site.agent("codex-1")
    task = await site.task()
    run = await site.running(claude)
    before = await site.journal()
    receipt = {"run": run, "pull_request": 1, "branch": "b", "head": "a" * 40}

    for path, body in {
        f"runs/{run}/start": {},
        f"runs/{run}/log": {"offset": 0, "lines": lines("mine")},
        f"runs/{run}/fail": {"reason": "agent_failed"},
        f"runs/{run}/ask": {"id": "q", "kind": "question", "title": "May I?"},
        f"runs/{run}/messages/m/taken": {"taken": "kept"},
        "receipts": receipt,
    }.items():
        answer = await codex.post(f"/api/v1/{path}", body, headers={"Idempotency-Key": "k"})
        assert "another agent" in answer.refuses(403, "forbidden", "run"), path
    for path in (f"runs/{run}/messages", f"runs/{run}/asks/q"):
        (await codex.get(f"/api/v1/{path}")).refuses(403, "forbidden", "run")

    assert await site.journal() == before
    assert (await site.reader.get(f"/api/v1/tasks/{task}")).body["state"] == "running"


async def test_a_heartbeat_does_not_extend_anothers_lease(site: Site) -> None:
    claude, codex = await site.agent("claude-1"), await site.agent("codex-1")
    await site.task()
    run = await site.running(claude)
    lease = dict(site.fleet.state.leases)
    site.now += 1000

    await codex.post(BEAT, {"runs": [run]})

    assert site.fleet.state.leases == lease


# log


async def test_log_lines_are_taken_once_however_often_they_are_sent(site: Site) -> None:
    agent = await site.agent()
    await site.task()
    run = await site.running(agent)
    log = f"/api/v1/runs/{run}/log"

    assert (await agent.post(log, {"offset": 0, "lines": lines("a", "b")})).body == {"acked": 2}
    assert (await agent.post(log, {"offset": 1, "lines": lines("b", "c")})).body == {"acked": 3}

    assert [line.text for line in await site.store.log_lines(site.run_id(run))] == ["a", "b", "c"]


async def test_a_gap_in_the_log_is_refused_with_where_to_go_on(site: Site) -> None:
    agent = await site.agent()
    await site.task()
    run = await site.running(agent)
    await agent.post(f"/api/v1/runs/{run}/log", {"offset": 0, "lines": lines("a", "b")})

    answer = await agent.post(f"/api/v1/runs/{run}/log", {"offset": 5, "lines": lines("f")})

    assert "send again from 2" in answer.refuses(409, "log_gap", "offset")
    assert answer.body["acked"] == 2


async def test_the_rest_of_the_log_of_a_run_that_ended_is_taken(site: Site) -> None:
    agent = await site.agent()
    await site.task()
    run = await site.running(agent)
    await agent.post(f"/api/v1/runs/{run}/fail", {"reason": "agent_failed"})

    answer = await agent.post(f"/api/v1/runs/{run}/log", {"offset": 0, "lines": lines("bye")})

    assert answer.body == {"acked": 1}


async def test_a_wrong_line_is_named_by_its_place(site: Site) -> None:
    agent = await site.agent()
    await site.task()
    run = await site.running(agent)
    wrong = {"offset": 0, "lines": [*lines("fine"), {"at": "noon", "text": "x"}]}

    answer = await agent.post(f"/api/v1/runs/{run}/log", wrong)

    answer.refuses(422, "invalid", "lines[1].at")
    assert await site.store.log_length(site.run_id(run)) == 0


# fail


async def test_an_agent_that_gives_up_says_why(site: Site) -> None:
    agent = await site.agent()
    task = await site.task()
    run = await site.running(agent)

    answer = await agent.post(
        f"/api/v1/runs/{run}/fail", {"reason": "no_changes", "detail": "Nothing to do."}
    )

    assert answer.body == {"run": run, "state": "ended"}
    seen = (await site.reader.get(f"/api/v1/tasks/{task}")).body
    assert (seen["state"], seen["reason"], seen["detail"]) == (
        "failed",
        "no_changes",
        "Nothing to do.",
    )


async def test_a_reason_that_does_not_exist_is_refused_with_those_that_do(site: Site) -> None:
    agent = await site.agent()
    await site.task()
    run = await site.running(agent)

    answer = await agent.post(f"/api/v1/runs/{run}/fail", {"reason": "bored"})

    assert "agent_failed" in answer.refuses(422, "invalid", "reason")


async def test_numbers_out_of_range_are_refused(site: Site) -> None:
    agent = await site.agent()
    await site.task()
    run = await site.running(agent)
    for field, value in {"until": 10**30, "usage.input_tokens": -1, "usage.cost_usd": -0.5}.items():
        name, _, inner = field.partition(".")
        body = {"reason": "usage_limit", name: {inner: value} if inner else value}
        answer = await agent.post(f"/api/v1/runs/{run}/fail", body)
        answer.refuses(422, "invalid", field)
