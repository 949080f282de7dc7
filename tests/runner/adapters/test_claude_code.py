"""What is special about Claude Code."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from fleetbot.domain.reasons import ReasonCode
from fleetbot.runner.adapters import HealthLine, Limits, LogLine, Question, SessionStarted, build
from fleetbot.runner.adapters.claude_live import LiveDriver
from fleetbot.runner.sandbox.process import survivors
from fleetbot.runner.session.contract import Answer, LaunchSpec
from fleetbot.runner.session.driver import Send
from fleetbot_devkit.model import Reply, ScriptedModel
from tests.runner.adapters.agents import RISKY_COMMIT, Agent, stand_in
from tests.runner.adapters.harness import KEY, RUN, Fifo, Place, collect, end, of, rest, until, used

DONE = Reply(text="Done.")


@pytest.fixture
def agent(claude: str, model: ScriptedModel) -> Agent:
    return Agent("claude-code", "live", claude, model)


async def test_a_message_during_the_last_answer_gets_a_turn_of_its_own(
    agent: Agent, place: Place
) -> None:
    hold = asyncio.Event()
    agent.model.then(Reply(text="first answer", hold=hold), Reply(text="second answer"))
    session = await agent.adapter().launch(place.spec(env=agent.env))
    await agent.model.request(1)

    assert await session.steer("one more thing") == "delivered"
    hold.set()
    events = await collect(session)

    assert end(events).summary == "second answer"
    assert "one more thing" in agent.model.requests[1].text
    assert used(events).input_tokens == 2000


async def test_the_turn_is_not_over_while_background_work_goes_on(
    agent: Agent, place: Place, fifo: Fifo
) -> None:
    # It is silent for longer than a program that is done may be.
    work = agent.shell(f"read x < {fifo.path}; echo end > end.txt", run_in_background=True)
    agent.model.then(work, Reply(text="I wait for it."), Reply(text="It has ended."))
    limits = Limits(wall_seconds=40, grace_seconds=0.5)
    spec = place.spec(env=agent.env, permissions="bypass", limits=limits)
    session = await agent.adapter().launch(spec)
    events = session.events()
    async for event in events:
        if isinstance(event, LogLine) and event.text == "I wait for it.":
            break

    asyncio.get_running_loop().call_later(3 * limits.grace_seconds, fifo.tell)
    last = end(await rest(events))

    assert (last.outcome, last.summary) == ("done", "It has ended.")
    assert (place.repo / "end.txt").exists()


async def test_a_person_can_speak_to_a_program_that_waits_for_its_background_work(
    agent: Agent, place: Place
) -> None:
    server = agent.shell("tail -f /dev/null", run_in_background=True)
    agent.model.then(server, Reply(text="It is up."), Reply(text="Heard."))
    limits = Limits(wall_seconds=40, idle_seconds=3, grace_seconds=1)
    spec = place.spec(env=agent.env, permissions="bypass", limits=limits)
    session = await agent.adapter().launch(spec)
    events = session.events()
    async for event in events:
        if isinstance(event, LogLine) and event.text == "It is up.":
            break

    assert await session.steer("one more thing") == "delivered"
    last = end(await rest(events))

    assert (last.outcome, last.summary) == ("done", "Heard.")


async def test_in_plain_mode_a_server_left_running_keeps_nothing(
    claude: str, model: ScriptedModel, place: Place
) -> None:
    agent = Agent("claude-code", "plain", claude, model)
    server = agent.shell("tail -f /dev/null", run_in_background=True)
    agent.model.then(server, agent.shell("tail -f /dev/null & echo up"), DONE)

    spec = place.spec(env=agent.env, permissions="bypass", limits=Limits(wall_seconds=20))
    last = end(await collect(await agent.adapter().launch(spec)))

    assert (last.outcome, last.summary) == ("done", "Done.")
    assert survivors(RUN) == []


@pytest.mark.parametrize("mode", ["live", "plain"])
async def test_a_prompt_that_looks_like_a_command_is_words(
    claude: str, model: ScriptedModel, place: Place, mode: str
) -> None:
    agent = Agent("claude-code", mode, claude, model)
    model.then(DONE)

    spec = place.spec("/clear the cache of the server", env=agent.env)
    last = end(await collect(await agent.adapter().launch(spec)))

    assert last.summary == "Done."
    assert "/clear the cache of the server" in model.requests[0].text
    assert "Co-Authored-By" not in json.dumps(model.requests[0].body)  # nor does it advertise


@pytest.mark.parametrize(
    ("mode", "stop", "reason"),
    [
        ("live", "refusal", ReasonCode.MODEL_REFUSED),
        ("live", "max_tokens", ReasonCode.CONTEXT_TOO_LONG),
        ("live", "model_context_window_exceeded", ReasonCode.CONTEXT_TOO_LONG),
        ("plain", "refusal", ReasonCode.MODEL_REFUSED),
    ],
)
async def test_an_answer_that_ends_before_its_end_is_not_the_providers_fault(
    agent: Agent, place: Place, mode: str, stop: str, reason: ReasonCode
) -> None:
    agent.model.always(Reply(text="half", stop=stop))

    spec = place.spec(env=agent.env)
    last = end(await collect(await agent.adapter(mode=mode).launch(spec)))

    assert (last.outcome, last.reason, last.resumable) == ("failed", reason, False)


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        (Limits(max_turns=1), ReasonCode.MAX_TURNS),
        (Limits(max_budget_usd=0.001), ReasonCode.BUDGET_EXCEEDED),
    ],
)
async def test_turns_and_money_end_a_run(
    agent: Agent, place: Place, limits: Limits, reason: ReasonCode
) -> None:
    agent.model.always(agent.shell("true"))

    spec = place.spec(env=agent.env, permissions="bypass", limits=limits)
    events = await collect(await agent.adapter().launch(spec))

    assert (end(events).outcome, end(events).reason) == ("failed", reason)
    assert used(events).cost_usd == pytest.approx(0.0045)


async def test_where_nobody_may_be_asked_the_model_is_told(agent: Agent, place: Place) -> None:
    agent.model.then(agent.shell(RISKY_COMMIT), agent.asks(), DONE)

    spec = place.spec(env=agent.env, permissions="deny")
    last = end(await collect(await agent.adapter().launch(spec)))

    assert last.outcome == "done"
    assert [denial.tool for denial in last.permission_denials] == ["Bash", "AskUserQuestion"]
    assert "may not ask for permissions" in agent.model.requests[1].text
    assert "Nobody can be asked" in agent.model.requests[2].text
    assert place.log() == ["init"]


@pytest.mark.parametrize(
    ("version", "reason", "advice"),
    [
        ("1.0.128 (Claude Code)", ReasonCode.PROGRAM_UNSUPPORTED, "install a version from 2.1"),
        ("no version at all", ReasonCode.PROGRAM_UNSUPPORTED, "install Claude Code"),
        (None, ReasonCode.PROGRAM_MISSING, "install Claude Code"),
    ],
)
async def test_a_program_that_will_not_do_is_refused_with_what_to_do(
    place: Place, tmp_path: Path, version: str | None, reason: ReasonCode, advice: str
) -> None:
    program = stand_in(tmp_path / "claude", version, "exit 0") if version else "/nonexistent/claude"
    adapter = build("claude-code", {"program": program})
    spec = place.spec(env={"ANTHROPIC_API_KEY": KEY})

    last = end(await collect(await adapter.launch(spec)))
    health = await adapter.check(spec.env, spec.home)

    assert (last.outcome, last.reason) == ("failed", reason)
    assert advice in last.detail
    assert [(line.name, line.ok) for line in health] == [("program", False), ("login", True)]
    assert advice in health[0].remedy


async def test_a_program_that_updated_itself_works_and_is_remarked_on(
    place: Place, tmp_path: Path
) -> None:
    done = """echo '{"type": "result", "subtype": "success", "result": "Done."}'"""
    program = stand_in(tmp_path / "claude", "3.0.1 (Claude Code)", done)
    adapter = build("claude-code", {"program": program, "mode": "plain"})
    spec = place.spec(env={"ANTHROPIC_API_KEY": KEY})

    last = end(await collect(await adapter.launch(spec)))
    health = await adapter.check(spec.env, spec.home)

    assert last.outcome == "done"
    assert health[0].ok
    assert "3.0.1, newer than this adapter was tested with" in health[0].detail


async def test_a_missing_login_is_found_without_asking_a_model(agent: Agent, place: Place) -> None:
    spec = place.spec()

    without = await agent.adapter().check(spec.env, spec.home)
    (spec.home / ".claude").mkdir()
    (spec.home / ".claude" / ".credentials.json").touch()
    logged_in = await agent.adapter().check(spec.env, spec.home)

    assert [(line.name, line.ok) for line in without] == [("program", True), ("login", False)]
    assert "log in" in without[1].remedy
    assert logged_in[1] == HealthLine("login", True, "logged in")
    assert agent.model.requests == []


@pytest.mark.parametrize("mode", ["live", "plain"])
async def test_a_run_without_a_login_fails_for_that_reason(
    agent: Agent, place: Place, mode: str
) -> None:
    last = end(await collect(await agent.adapter(mode=mode).launch(place.spec())))

    assert (last.outcome, last.reason) == ("failed", ReasonCode.AUTH_FAILED)
    assert "Not logged in" in last.detail


@pytest.mark.parametrize(
    ("mode", "message", "reason"),
    [
        ("live", "Your credit balance is too low to access the Anthropic API.", ReasonCode.BILLING),
        ("live", "prompt is too long: 300000 tokens > 200000 maximum", ReasonCode.CONTEXT_TOO_LONG),
        ("live", "messages.1: `tool_use` ids without `tool_result`", ReasonCode.AGENT_FAILED),
        ("plain", "Your credit balance is too low to use the API.", ReasonCode.BILLING),
    ],
)
async def test_a_bad_request_has_the_reason_of_its_words(
    agent: Agent, place: Place, mode: str, message: str, reason: ReasonCode
) -> None:
    error = {"type": "invalid_request_error", "message": message}
    agent.model.always(Reply(status=400, body={"type": "error", "error": error}))

    spec = place.spec(env=agent.env)
    last = end(await collect(await agent.adapter(mode=mode).launch(spec)))

    assert (last.outcome, last.reason, last.resumable) == ("failed", reason, False)


async def test_a_worktree_that_somebody_deleted_is_said_to_be_gone(
    agent: Agent, place: Place
) -> None:
    spec = place.spec(env=agent.env, workdir=place.repo / "gone")

    last = end(await collect(await agent.adapter().launch(spec)))

    assert last.reason is ReasonCode.WORKSPACE_FAILED
    assert "gone" in last.detail


async def test_a_session_is_known_before_anything_can_go_wrong(agent: Agent, place: Place) -> None:
    hold = asyncio.Event()
    agent.model.then(Reply(text="x", hold=hold))
    session = await agent.adapter().launch(place.spec(env=agent.env))
    events = session.events()

    started = await until(events, SessionStarted)
    await session.stop(ReasonCode.CANCELLED_BY_USER)

    assert started.session
    assert of([event async for event in events], SessionStarted) == []


# The driver alone


def driver(permissions: str = "ask") -> LiveDriver:
    spec = LaunchSpec(
        run="r",
        prompt="p",
        workdir=Path("/"),
        home=Path("/"),
        env={},
        permissions=permissions,  # type: ignore[arg-type]  # a parameter of the tests
    )
    return LiveDriver([], spec)


def request(request_id: str, **fields: object) -> str:
    return json.dumps({"type": "control_request", "request_id": request_id, "request": fields})


def sent(steps: object) -> list[dict[str, object]]:
    assert isinstance(steps, list)
    return [json.loads(step.line)["response"] for step in steps if isinstance(step, Send)]


RULE: dict[str, object] = {
    "type": "addRules",
    "rules": [{"toolName": "Bash", "ruleContent": "ls *"}, {"toolName": "Read"}],
    "behavior": "allow",
    "destination": "localSettings",
}
SUGGESTED: Mapping[str, list[dict[str, object]]] = {
    "Bash(ls *), Read": [RULE],
    "all edits of files": [{"type": "setMode", "mode": "acceptEdits", "destination": "session"}],
    "work in /srv": [{"type": "addDirectories", "directories": ["/srv"], "destination": "session"}],
}


def permission(live: LiveDriver, suggestions: object) -> Question:
    fields = {"tool_name": "Bash", "input": {"command": "ls"}}
    asked = {**fields, "permission_suggestions": suggestions}
    [question] = live.line(request("1", subtype="can_use_tool", **asked))
    assert isinstance(question, Question)
    return question


def test_what_is_allowed_once_has_no_permission_with_it() -> None:
    live = driver()
    permission(live, [RULE])

    [response] = sent(live.answer("1", Answer("allow")))

    assert response["response"] == {"behavior": "allow", "updatedInput": {"command": "ls"}}


@pytest.mark.parametrize("words", SUGGESTED)
def test_what_is_always_allowed_is_allowed_for_the_session_only(words: str) -> None:
    live = driver()
    suggested = SUGGESTED[words]

    assert permission(live, suggested).always == words
    [response] = sent(live.answer("1", Answer("always")))

    lasting = [{**one, "destination": "session"} for one in suggested]
    assert response["response"] == {
        "behavior": "allow",
        "updatedInput": {"command": "ls"},
        "updatedPermissions": lasting,
    }


@pytest.mark.parametrize(
    "suggestions",
    [
        None,
        [],
        ["?"],
        [{"type": "setMode", "mode": "bypassPermissions", "destination": "session"}],
        [{"type": "addRules", "behavior": "deny", "rules": [{"toolName": "Bash"}]}],
        [{**RULE, "rules": [{"toolName": "Bash"}, {"pattern": "?"}]}],
        [{"type": "something new"}],
    ],
)
def test_what_nobody_can_be_told_in_words_is_not_offered(suggestions: object) -> None:
    assert permission(driver(), suggestions).always == ""


def test_several_questions_are_answered_together() -> None:
    live = driver()
    questions = [{"question": "Color?"}, {"question": "Size?"}]
    asked = {"subtype": "can_use_tool", "tool_name": "AskUserQuestion"}
    first, second = live.line(request("7", **asked, input={"questions": questions}))

    assert live.answer("7:0", Answer("allow", "Blue")) == []
    [response] = sent(live.answer("7:1", Answer("allow", "L")))

    assert (first.id, second.id) == ("7:0", "7:1")  # type: ignore[union-attr]  # both are questions
    answers = {"questions": questions, "answers": {"Color?": "Blue", "Size?": "L"}}
    assert response["response"] == {"behavior": "allow", "updatedInput": answers}


def test_a_request_of_an_unknown_kind_is_refused_and_not_left_waiting() -> None:
    [response] = sent(list(driver().line(request("9", subtype="hook_callback"))))

    assert response["subtype"] == "error"
