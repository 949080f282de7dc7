"""Agents register, give signs of life, sign off, and are listed."""

from __future__ import annotations

from tests.web.site import ENROL, Site

REGISTER = "/api/v1/agents/register"
HEARTBEAT = "/api/v1/agents/heartbeat"
DEREGISTER = "/api/v1/agents/deregister"
CLAUDE = {"name": "claude-1", "adapter": "claude-code", "capabilities": ["python"]}


async def test_an_enrolment_token_makes_an_agent_with_a_token_of_its_own(site: Site) -> None:
    answer = await site.caller(ENROL).post(REGISTER, CLAUDE)

    assert answer.status == 200
    assert answer.body["agent"] == "claude-1"
    assert answer.body["heartbeat_seconds"] == 20
    agent = site.caller(answer.body["token"])
    assert (await agent.post(HEARTBEAT, {"runs": []})).status == 200


async def test_an_agent_updates_itself_and_is_given_no_second_token(site: Site) -> None:
    agent = await site.agent()

    answer = await agent.post(REGISTER, {**CLAUDE, "capabilities": ["rust"]})

    assert answer.body["token"] is None
    listed = await site.reader.get("/api/v1/agents")
    assert listed.body["agents"][0]["capabilities"] == ["rust"]


async def test_an_agent_cannot_register_under_another_name(site: Site) -> None:
    agent = await site.agent("claude-1")

    answer = await agent.post(REGISTER, {**CLAUDE, "name": "codex-1"})

    assert "claude-1's" in answer.refuses(403, "forbidden", "name")


async def test_an_enrolment_token_cannot_take_over_an_online_agent(site: Site) -> None:
    await site.agent("claude-1")

    answer = await site.caller(ENROL).post(REGISTER, CLAUDE)

    assert "choose another name" in answer.refuses(409, "conflict", "name")


async def test_a_bad_name_is_refused_with_what_a_name_is(site: Site) -> None:
    for name in ("Claude", "", "-a", "a b", "a/b", "a\n", "x" * 41, "ü"):
        answer = await site.caller(ENROL).post(REGISTER, {**CLAUDE, "name": name})
        assert "1 to 40 of a-z 0-9" in answer.refuses(422, "invalid", "name"), name
    assert await site.journal() == []


async def test_a_heartbeat_says_which_runs_must_stop(site: Site) -> None:
    agent = await site.agent()
    task = await site.task()
    run = await site.running(agent)
    assert (await agent.post(HEARTBEAT, {"runs": [run]})).body["cancel"] == []

    await site.operator.post(f"/api/v1/tasks/{task}/cancel", {})

    answer = await agent.post(HEARTBEAT, {"runs": [run]})
    assert answer.body["cancel"] == [{"run": run, "reason": "cancelled_by_user"}]


async def test_the_heartbeat_of_an_unknown_agent_is_refused(site: Site) -> None:
    answer = await site.caller("fba_unknown").post(HEARTBEAT, {"runs": []})

    answer.refuses(401, "unauthorized")
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert await site.journal() == []


async def test_signing_off_gives_the_runs_back_and_may_be_repeated(site: Site) -> None:
    agent = await site.agent()
    task = await site.task()
    await site.running(agent)

    assert (await agent.post(DEREGISTER, {})).status == 204
    assert (await agent.post(DEREGISTER)).status == 204

    assert (await site.reader.get(f"/api/v1/tasks/{task}")).body["state"] == "created"
    answer = await agent.post(HEARTBEAT, {"runs": []})
    answer.refuses(409, "conflict", "agent")


async def test_agents_are_listed_by_capability_and_status(site: Site) -> None:
    await site.agent("claude-1", capabilities=["python"])
    codex = await site.agent("codex-1", capabilities=["rust"], max_concurrency=3)
    await codex.post(DEREGISTER)

    async def names(**query: str) -> list[str]:
        answer = await site.reader.get("/api/v1/agents", **query)
        return [agent["name"] for agent in answer.body["agents"]]

    assert await names() == ["claude-1", "codex-1"]
    assert await names(capability="python") == ["claude-1"]
    assert await names(status="deregistered") == ["codex-1"]
    assert await names(capability="rust", status="online") == []


async def test_a_status_that_does_not_exist_is_refused_with_those_that_do(site: Site) -> None:
    answer = await site.reader.get("/api/v1/agents", status="asleep")

    assert "deregistered, offline, online" in answer.refuses(422, "invalid", "status")
