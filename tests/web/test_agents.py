"""Agents register, give signs of life, sign off, and are listed."""

from __future__ import annotations

import asyncio

import pytest

from fleetbot.domain.commands import Conclude
from fleetbot.domain.errors import Forbidden
from fleetbot.domain.model import AgentName, ReceiptId
from fleetbot.domain.receipts import Verified
from fleetbot.services import agents
from fleetbot.services.agents import Agents, Rhythm
from fleetbot.services.fleet import Context
from fleetbot.services.timers import Timers
from fleetbot.store.audit import examine
from fleetbot.wire import RegisterRequest
from tests.web.site import ENROL, Caller, Site, a_receipt, claim, file

REGISTER = "/api/v1/agents/register"
HEARTBEAT = "/api/v1/agents/heartbeat"
DEREGISTER = "/api/v1/agents/deregister"
LAST_WORDS = {"offset": 0, "lines": [{"at": 1_700_000_000_000, "text": "bye"}]}
CLAUDE = {"name": "claude-1", "adapter": "claude-code", "capabilities": ["python"]}


async def test_a_capability_with_a_plus_can_be_asked_for(site: Site) -> None:
    """maubot passes a query on in another spelling than it came in."""
    await site.agent("claude-1", capabilities=["c++"])
    await site.agent("codex-1", capabilities=["python"])

    for spelling in ("c%2B%2B", "c%2b%2b", "c++"):
        answer = await site.reader.get(f"/api/v1/agents?capability={spelling}")
        assert [agent["name"] for agent in answer.body["agents"]] == ["claude-1"], spelling


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


async def test_a_heartbeat_tells_where_the_agent_works(site: Site) -> None:
    agent = await site.agent()
    journal = await site.journal()
    on = {"fleetbot": "0.1.0", "git": "2.43.0", "sandbox": "bubblewrap", "disk_free": 5_000_000_000}

    await agent.post(HEARTBEAT, {"runs": [], "machine": on})

    (listed,) = (await site.reader.get("/api/v1/agents")).body["agents"]
    assert {name: listed["machine"][name] for name in on} == on
    assert await site.journal() == journal  # a disk fills by the minute

    await agent.post(HEARTBEAT, {"runs": []})

    (listed,) = (await site.reader.get("/api/v1/agents")).body["agents"]
    assert listed["machine"] is None  # its runner was put back to an older one


async def test_a_heartbeat_tells_which_files_a_run_has_changed(site: Site) -> None:
    agent = await site.agent()
    await site.task()
    run = await site.running(agent)
    many = [f"{n}.py" for n in range(501)]

    await agent.post(HEARTBEAT, {"runs": [run], "files": {run: ["door.py"]}})

    answer = await agent.post(HEARTBEAT, {"runs": [run], "files": {run: many}})
    answer.refuses(422, "invalid", "files[...]")


async def test_what_is_wrong_with_an_agent_is_listed_with_what_to_do(site: Site) -> None:
    agent = await site.agent()
    git = {"name": "git", "ok": False, "detail": "2.20", "remedy": "install git 2.34 or newer"}
    well = {"name": "disk", "ok": True, "detail": "80 GB free", "remedy": "free some space"}

    await agent.post(REGISTER, {**CLAUDE, "health": [well, git]})

    (listed,) = (await site.reader.get("/api/v1/agents")).body["agents"]
    assert (listed["health"], listed["remedies"]) == (["git: 2.20"], ["install git 2.34 or newer"])


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


async def test_a_drained_agent_is_told_so_and_gets_nothing_until_it_is_resumed(site: Site) -> None:
    agent = await site.agent()
    await site.task()

    drained = await site.operator.post("/api/v1/agents/claude-1/drain")

    assert drained.body["draining"] is True
    assert (await agent.post(HEARTBEAT, {"runs": []})).body["drain"] is True
    assert (await claim(agent)).status == 204
    resumed = await site.operator.post("/api/v1/agents/claude-1/resume")
    assert resumed.body["draining"] is False
    assert (await agent.post(HEARTBEAT, {"runs": []})).body["drain"] is False
    assert (await claim(agent, "again")).status == 200


async def test_only_operators_drain_and_only_agents_that_exist(site: Site) -> None:
    agent = await site.agent()
    for path in ("drain", "resume"):
        url = f"/api/v1/agents/claude-1/{path}"
        (await agent.post(url)).refuses(403, "forbidden")
        (await site.reader.post(url)).refuses(403, "forbidden")
        nobody = await site.operator.post(f"/api/v1/agents/claude-9/{path}")
        assert "did you mean claude-1?" in nobody.refuses(404, "not_found", "agent")


async def test_a_usage_limit_parks_the_account_and_gives_the_task_to_another(site: Site) -> None:
    limited = await site.agent("claude-1", account="team")
    same, other = await site.agent("claude-2", account="team"), await site.agent("codex-1")
    await site.task()
    run, reset = await site.running(limited), site.now + 3_600_000

    request = {"reason": "usage_limit", "until": reset}
    assert (await limited.post(f"/api/v1/runs/{run}/fail", request)).status == 200

    listed = (await site.reader.get("/api/v1/agents")).body["agents"]
    parked = {a["name"]: a["parked_until"] for a in listed}
    assert parked.pop("codex-1") == 0
    assert all(60_000 <= until - reset <= 180_000 for until in parked.values())
    assert {a["parked_for"] for a in listed} == {"usage_limit", None}
    assert (await claim(same)).status == 204
    assert (await claim(other)).status == 200


async def test_a_task_that_only_a_parked_agent_can_do_is_given_to_it_after_the_reset(
    site: Site,
) -> None:
    agent = await site.agent()
    await site.task()
    run, reset = await site.running(agent), site.now + 60_000
    request = {"reason": "usage_limit", "until": reset}
    await agent.post(f"/api/v1/runs/{run}/fail", request)
    timers = Timers(site.fleet, site.dispatcher)
    waiting = asyncio.create_task(claim(agent, "after", wait=30))
    await site.dispatcher.claimed()
    await site.dispatcher.claimed()

    site.now = reset + 180_000
    site.fleet.saw(AgentName("claude-1"), ())
    await timers.tick()

    assert (await waiting).status == 200


# runs that ended, and the rest of their logs


async def verified(site: Site, agent: Caller, run: str) -> None:
    filed = await file(agent, a_receipt(run))
    command = Conclude(ReceiptId(filed.body["receipt"]), Verified())
    await site.fleet.commit(command, Context(actor="timer"))


async def test_a_run_that_was_verified_is_not_told_to_stop_and_hands_in_its_log(site: Site) -> None:
    agent = await site.agent()
    await site.task()
    run = await site.running(agent)
    await verified(site, agent, run)

    assert (await agent.post(HEARTBEAT, {"runs": [run]})).body["cancel"] == []
    assert (await agent.post(f"/api/v1/runs/{run}/log", LAST_WORDS)).body == {"acked": 1}


async def test_nor_is_one_that_said_itself_that_it_failed(site: Site) -> None:
    agent = await site.agent()
    await site.task()
    run = await site.running(agent)
    await agent.post(f"/api/v1/runs/{run}/fail", {"reason": "no_changes"})

    assert (await agent.post(HEARTBEAT, {"runs": [run]})).body["cancel"] == []


async def test_the_log_of_a_cancelled_and_of_a_replaced_run_arrives_whole(site: Site) -> None:
    slow, other = await site.agent("claude-1"), await site.agent("codex-1")
    task = await site.task()
    replaced = await site.running(slow)
    site.now += 91_000
    site.fleet.saw(AgentName("claude-1"), ())
    site.fleet.saw(AgentName("codex-1"), ())
    await Timers(site.fleet, site.dispatcher).tick()
    cancelled = await site.running(other)
    await site.operator.post(f"/api/v1/tasks/{task}/cancel", {})

    for agent, run, reason in (
        (slow, replaced, "lease_expired"),
        (other, cancelled, "cancelled_by_user"),
    ):
        told = (await agent.post(HEARTBEAT, {"runs": [run]})).body["cancel"]
        assert told == [{"run": run, "reason": reason}]
        assert (await agent.post(f"/api/v1/runs/{run}/log", LAST_WORDS)).body == {"acked": 1}
        (await agent.post(f"/api/v1/runs/{run}/fail", {"reason": "no_result"})).refuses(
            409, "superseded", "run"
        )


async def test_the_log_of_a_run_whose_task_is_long_closed_is_taken_from_its_own_agent_only(
    site: Site,
) -> None:
    agent, other = await site.agent("claude-1"), await site.agent("codex-1")
    await site.task()
    run = await site.running(agent)
    await verified(site, agent, run)
    site.now += 12 * 3_600_000
    site.fleet.forget_closed(site.now)

    assert (await agent.post(f"/api/v1/runs/{run}/log", LAST_WORDS)).body == {"acked": 1}
    (await other.post(f"/api/v1/runs/{run}/log", LAST_WORDS)).refuses(403, "forbidden", "run")


async def test_a_heartbeat_tells_nothing_of_anothers_run(site: Site) -> None:
    agent, nosy = await site.agent("claude-1"), await site.agent("codex-1")
    await site.task()
    run = await site.running(agent)
    await agent.post(f"/api/v1/runs/{run}/fail", {"reason": "no_changes"})

    told = (await nosy.post(HEARTBEAT, {"runs": [run]})).body["cancel"]

    assert told == [{"run": run, "reason": "superseded"}]


# unwell


async def test_an_unwell_agent_gets_nothing_until_it_registers_with_a_check_that_passes(
    site: Site,
) -> None:
    agent = await site.agent()
    await site.task()
    run = await site.running(agent)
    login = {"reason": "auth_failed", "detail": "Invalid API key"}
    assert (await agent.post(f"/api/v1/runs/{run}/fail", login)).status == 200

    (listed,) = (await site.reader.get("/api/v1/agents")).body["agents"]
    assert listed["unwell"] == {
        "reason": "auth_failed",
        "since": site.now,
        "detail": "Invalid API key",
        "advice": "Log in on the agent's machine; "
        "`fleetbot check` there says whether that was all.",
    }
    assert (await agent.post(HEARTBEAT, {"runs": []})).body["check"] is True
    assert (await claim(agent, "in vain")).status == 204

    sick = [{"name": "program", "ok": False, "detail": "not logged in"}]
    await agent.post(REGISTER, {"name": "claude-1", "adapter": "command", "health": sick})
    assert (await claim(agent, "in vain")).status == 204
    well = [{"name": "program", "ok": True}]
    await agent.post(REGISTER, {"name": "claude-1", "adapter": "command", "health": well})

    assert (await agent.post(HEARTBEAT, {"runs": []})).body["check"] is False
    again = await claim(agent, "at last")
    assert (again.status, again.body["attempt"], again.body["number"]) == (200, 1, 2)


async def test_registering_as_before_is_enough_to_be_well_again(site: Site) -> None:
    """Its check had passed before the fault too, so that nothing of it is new."""
    agent = await site.agent()
    await site.task()
    run = await site.running(agent)
    await agent.post(f"/api/v1/runs/{run}/fail", {"reason": "disk_full"})
    (before,) = (await site.reader.get("/api/v1/agents")).body["agents"]

    await agent.post(REGISTER, {"name": "claude-1", "adapter": before["adapter"]})

    (after,) = (await site.reader.get("/api/v1/agents")).body["agents"]
    assert (before["unwell"]["reason"], after["unwell"]) == ("disk_full", None)


async def test_an_operator_overrules_that_it_is_unwell(site: Site) -> None:
    agent = await site.agent()
    await site.task()
    run = await site.running(agent)
    await agent.post(f"/api/v1/runs/{run}/fail", {"reason": "program_unsupported"})

    resumed = await site.operator.post("/api/v1/agents/claude-1/resume")

    assert (resumed.body["unwell"], resumed.body["faults"]) == (None, 0)
    assert (await claim(agent, "again")).status == 200


async def test_a_claim_that_waits_is_answered_when_the_agent_is_well_again(site: Site) -> None:
    agent = await site.agent()
    await site.task()
    run = await site.running(agent)
    await agent.post(f"/api/v1/runs/{run}/fail", {"reason": "auth_failed"})
    waiting = asyncio.create_task(claim(agent, "waits", wait=30))
    await site.dispatcher.claimed()
    await site.dispatcher.claimed()

    await agent.post(REGISTER, {"name": "claude-1", "adapter": "command"})

    assert (await waiting).status == 200


async def test_a_check_that_finds_the_same_again_is_not_written_down_again(site: Site) -> None:
    agent = await site.agent()
    await site.task()
    run = await site.running(agent)
    await agent.post(f"/api/v1/runs/{run}/fail", {"reason": "disk_full"})
    sick = {
        "name": "claude-1",
        "adapter": "command",
        "health": [{"name": "disk", "ok": False, "detail": "full"}],
    }
    await agent.post(REGISTER, sick)
    before = await site.journal()

    for _ in range(3):
        assert (await agent.post(REGISTER, sick)).status == 200

    assert await site.journal() == before


async def test_a_forge_that_is_away_for_an_hour_costs_no_attempt(site: Site) -> None:
    agent = await site.agent()
    task = await site.task()
    timers = Timers(site.fleet, site.dispatcher)
    tries = 0
    for second in range(0, 3600, 10):
        site.now += 10_000
        await agent.post(HEARTBEAT, {"runs": []})
        await timers.tick()
        answer = await claim(agent, f"at {second}")
        if answer.status == 200:
            tries += 1
            assert answer.body["attempt"] == 1
            assert answer.body["number"] == tries
            run = answer.body["run"]
            await agent.post(f"/api/v1/runs/{run}/start", {})
            await agent.post(f"/api/v1/runs/{run}/fail", {"reason": "forge_unavailable"})

    view = (await site.reader.get(f"/api/v1/tasks/{task}")).body
    assert (view["state"], view["attempt"]) == ("created", 0)
    assert 20 < tries < 50


async def test_a_revoked_token_is_good_for_nothing_and_its_run_goes_to_another(site: Site) -> None:
    thief, other = await site.agent("claude-1"), await site.agent("codex-1")
    await site.task()
    run = await site.running(thief)

    revoked = await site.operator.post("/api/v1/agents/claude-1/revoke")

    assert (revoked.body["status"], revoked.body["revoked"]) == ("deregistered", True)
    for path in ("agents/heartbeat", "agents/register", f"runs/{run}/start", "agents/deregister"):
        (await thief.post(f"/api/v1/{path}", {"runs": []})).refuses(401, "unauthorized")
    assert (await claim(other)).status == 200
    assert (await site.operator.post("/api/v1/agents/claude-1/revoke")).status == 200


async def test_a_revoked_token_stays_revoked_after_a_restart(site: Site) -> None:
    thief = await site.agent("claude-1")
    await site.operator.post("/api/v1/agents/claude-1/revoke")

    await site.store.load()

    (await thief.post("/api/v1/agents/heartbeat", {"runs": []})).refuses(401, "unauthorized")


async def test_the_name_of_a_revoked_agent_can_be_enrolled_anew(site: Site) -> None:
    thief = await site.agent("claude-1")
    await site.operator.post("/api/v1/agents/claude-1/revoke")

    honest = await site.agent("claude-1")

    assert honest.token != thief.token
    assert (await honest.post("/api/v1/agents/heartbeat", {"runs": []})).status == 200
    (await thief.post("/api/v1/agents/heartbeat", {"runs": []})).refuses(401, "unauthorized")


async def test_an_agent_that_is_gone_is_forgotten_with_its_token(site: Site) -> None:
    agent = await site.agent("claude-1")
    (await site.operator.post("/api/v1/agents/claude-1/forget")).refuses(409, "conflict", "agent")
    await agent.post("/api/v1/agents/deregister", {})

    assert (await site.operator.post("/api/v1/agents/claude-1/forget")).status == 204

    assert (await site.reader.get("/api/v1/agents")).body["agents"] == []
    (await agent.post("/api/v1/agents/heartbeat", {"runs": []})).refuses(401, "unauthorized")
    assert (await site.agent("claude-1")).token != agent.token
    assert await examine(site.store) == []


async def test_only_operators_revoke_and_forget_and_only_agents_that_exist(site: Site) -> None:
    agent = await site.agent("claude-1")
    for action in ("revoke", "forget"):
        path = f"/api/v1/agents/claude-1/{action}"
        (await agent.post(path)).refuses(403, "forbidden")
        (await site.reader.post(path)).refuses(403, "forbidden")
        unknown = await site.operator.post(f"/api/v1/agents/nobody/{action}")
        assert "claude-1" in unknown.refuses(404, "not_found", "agent")


async def test_a_registration_that_was_under_way_does_not_undo_a_revocation(site: Site) -> None:
    """The token was good when it was shown, and is no more when it counts."""
    await site.agent("claude-1")
    agents = Agents(site.fleet, Rhythm(heartbeat=20, lease=90, claim_wait=25), site.overlaps)
    await agents.revoke(AgentName("claude-1"), "api:operator")

    again = RegisterRequest(name="claude-1", adapter="command")
    with pytest.raises(Forbidden, match="was revoked"):
        await agents.register(again, agent=AgentName("claude-1"))


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Registrations, before the site is made."""
    monkeypatch.setattr(agents, "MOST_REGISTRATIONS", 3)


async def test_an_agent_that_registers_anew_without_end_fills_no_disk(
    few: None, site: Site
) -> None:
    agent = await site.agent("restless")
    body = {"name": "restless", "adapter": "command"}
    for number in range(2):
        assert (await agent.post(REGISTER, body | {"host": f"h{number}"})).status == 200
    written = await site.journal()

    answer = await agent.post(REGISTER, body | {"host": "another"})

    assert "restless has registered" in answer.refuses(503, "busy")
    assert await site.journal() == written
    assert (await agent.post(REGISTER, body | {"host": "h1"})).status == 200, "not new"
    site.now += 3_600_000
    assert (await agent.post(REGISTER, body | {"host": "later"})).status == 200


async def test_there_are_so_many_agents_and_no_more(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agents, "MOST_AGENTS", 2)
    first = await site.agent("one")
    await site.agent("two")
    third = {"name": "three", "adapter": "command"}

    answer = await site.caller(ENROL).post(REGISTER, third)

    assert "forget those that are gone" in answer.refuses(409, "conflict")
    await first.post(DEREGISTER)
    await site.operator.post("/api/v1/agents/one/forget")
    assert (await site.caller(ENROL).post(REGISTER, third)).status == 200
