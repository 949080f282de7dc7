"""What is special about Codex."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from fleetbot.domain.reasons import ReasonCode
from fleetbot.runner.adapters import Answer, Limits, LogLine, Question, SessionStarted, build
from fleetbot.runner.adapters.codex_errors import is_resumable, reason_of
from fleetbot.runner.adapters.codex_items import command_summary
from fleetbot_devkit.model import Reply, ScriptedModel
from tests.runner.adapters.agents import Agent, stand_in
from tests.runner.adapters.harness import KEY, Fifo, Place, collect, end, of, rest, until, used

DONE = Reply(text="Done.")


@pytest.fixture
def agent(codex: str, model: ScriptedModel) -> Agent:
    return Agent("codex", "live", codex, model)


async def test_a_message_during_the_last_answer_is_answered_too(agent: Agent, place: Place) -> None:
    hold = asyncio.Event()
    agent.model.then(Reply(text="first answer", hold=hold), Reply(text="second answer"))
    session = await agent.adapter().launch(place.spec(env=agent.env))
    events = session.events()
    await until(events, SessionStarted)
    await agent.model.request(1)

    assert await session.steer("one more thing") == "delivered"
    hold.set()

    assert end(await rest(events)).summary == "second answer"
    assert "one more thing" in agent.model.requests[1].text


async def test_the_end_of_a_sub_agent_is_not_the_end_and_its_tokens_count(
    agent: Agent, place: Place
) -> None:
    agent.model.always(agent.with_helper(Reply(text="helper", input_tokens=500)))

    events = await collect(await agent.adapter().launch(place.spec(env=agent.env)))

    assert (end(events).outcome, end(events).summary) == ("done", "main")
    assert used(events).input_tokens == sum((1000, 500, 1000, 1000))
    assert "helper" in [line.text for line in of(events, LogLine)]


@pytest.mark.parametrize(("mode", "offered"), [("live", True), ("plain", False)])
async def test_sub_agents_are_offered_only_where_their_tokens_are_told(
    codex: str, model: ScriptedModel, place: Place, mode: str, offered: bool
) -> None:
    agent = Agent("codex", mode, codex, model)
    model.then(DONE)

    await collect(await agent.adapter().launch(place.spec(env=agent.env)))

    tools = [tool.get("name") for tool in model.requests[0].body["tools"]]
    assert ("multi_agent_v1" in tools) == offered
    assert not [name for name in tools if "goal" in str(name)]


async def test_an_approval_for_a_sub_agent_is_asked_for_and_answered(
    agent: Agent, place: Place
) -> None:
    command = agent.shell("echo hi > hello.txt", sandbox_permissions="require_escalated")
    asked = iter((command, Reply(text="helper")))
    agent.model.always(agent.with_helper(lambda _request: next(asked)))
    session = await agent.adapter().launch(place.spec(env=agent.env))
    events = session.events()

    question = await until(events, Question)
    assert await session.answer(question.id, Answer("allow"))

    assert end(await rest(events)).summary == "main"
    assert (place.repo / "hello.txt").exists()


async def test_a_sub_agent_at_work_keeps_the_run_open(
    agent: Agent, place: Place, fifo: Fifo
) -> None:
    work = iter((agent.shell(f"read x < {fifo.path}; echo end > end.txt"), Reply(text="helper")))
    agent.model.always(agent.with_helper(lambda _request: next(work), background=True))
    limits = Limits(wall_seconds=40, grace_seconds=0.5)
    spec = place.spec(env=agent.env, permissions="bypass", limits=limits)
    session = await agent.adapter().launch(spec)
    events = session.events()
    async for event in events:
        if isinstance(event, LogLine) and event.text == "main":
            break

    asyncio.get_running_loop().call_later(3 * limits.grace_seconds, fifo.tell)
    last = end(await rest(events))

    assert (last.outcome, last.summary) == ("done", "main")
    assert (place.repo / "end.txt").exists()


async def test_a_message_before_the_first_turn_is_not_lost(agent: Agent, place: Place) -> None:
    agent.model.then(agent.shell("sleep 0.3"), DONE)
    session = await agent.adapter().launch(place.spec(env=agent.env, permissions="bypass"))

    assert await session.steer("early words") == "delivered"
    await collect(session)

    assert "early words" in agent.model.requests[-1].text


async def test_the_sandbox_keeps_a_run_inside_its_worktree(agent: Agent, place: Place) -> None:
    # /tmp is left writable, so nothing there would prove anything.
    agent.model.then(agent.shell("touch inside; touch /usr/outside; touch .git/x"), DONE)

    await collect(await agent.adapter().launch(place.spec(env=agent.env, permissions="deny")))

    assert (place.repo / "inside").exists()
    assert not Path("/usr/outside").exists()
    assert not (place.repo / ".git" / "x").exists()


@pytest.mark.parametrize("mode", ["live", "plain"])
async def test_reconnecting_without_end_is_ended_by_our_clock(
    codex: str, model: ScriptedModel, place: Place, mode: str
) -> None:
    agent = Agent("codex", mode, codex, model)
    settings = agent.adapter_settings()
    settings["config"]["model_providers"]["scripted"]["base_url"] = "http://127.0.0.1:9/v1"
    limits = Limits(provider_seconds=0.5, grace_seconds=3)

    spec = place.spec(env=agent.env, limits=limits)
    last = end(await collect(await agent.adapter(**settings).launch(spec)))

    assert (last.outcome, last.reason) == ("failed", ReasonCode.PROVIDER_UNAVAILABLE)
    assert "retrying" in last.detail


@pytest.mark.parametrize("mode", ["live", "plain"])
async def test_a_key_logs_in_for_this_run_and_is_not_written_down(
    codex: str, model: ScriptedModel, place: Place, mode: str
) -> None:
    agent = Agent("codex", mode, codex, model)
    model.always(DONE)
    settings = agent.adapter_settings()
    provider = settings["config"]["model_providers"]["scripted"]
    del provider["env_key"]
    provider["requires_openai_auth"] = True

    spec = place.spec(env={"CODEX_API_KEY": KEY})
    last = end(await collect(await agent.adapter(**settings).launch(spec)))

    assert last.outcome == "done"
    assert model.requests[0].authorization == f"Bearer {KEY}"
    written = [p for p in (place.home / ".codex").rglob("*") if p.is_file()]
    assert not [path for path in written if KEY.encode() in path.read_bytes()]
    assert not list((place.home / ".codex").glob("shell_snapshots/*"))


async def test_a_file_change_is_asked_about_with_its_diff(agent: Agent, place: Place) -> None:
    patch = (
        "apply_patch <<'EOF'\n*** Begin Patch\n*** Add File: new.txt\n+hello\n*** End Patch\nEOF"
    )
    agent.model.then(agent.shell(patch), DONE)
    adapter = agent.adapter(approval_policy="untrusted")
    session = await adapter.launch(place.spec(env=agent.env))
    events = session.events()

    question = await until(events, Question)
    assert await session.answer(question.id, Answer("allow"))
    await rest(events)

    assert question.title.startswith("edit: ")
    assert "hello" in json.dumps(question.request["changes"])
    assert (place.repo / "new.txt").read_text() == "hello\n"


async def test_health_names_what_is_missing(agent: Agent, place: Place, tmp_path: Path) -> None:
    spec = place.spec()
    old = build("codex", {"program": stand_in(tmp_path / "codex", "codex-cli 0.42.0", "exit")})

    here = await agent.adapter().check(spec.env, spec.home)
    outdated = await old.check(spec.env, spec.home)

    assert [(line.name, line.ok) for line in here] == [("program", True), ("login", False)]
    assert "codex login" in here[1].remedy
    assert "pass SCRIPT_KEY in the agent's env settings" in here[1].remedy
    assert not outdated[0].ok
    assert "install a version from 0.160 on" in outdated[0].remedy
    assert (await agent.adapter().check({**spec.env, "SCRIPT_KEY": KEY}, spec.home))[1].ok


@pytest.mark.parametrize(
    ("info", "message", "reason"),
    [
        ("usageLimitExceeded", "You've hit your usage limit", ReasonCode.USAGE_LIMIT),
        ("usageLimitExceeded", "Quota exceeded. Check your plan", ReasonCode.BILLING),
        ("contextWindowExceeded", "", ReasonCode.CONTEXT_TOO_LONG),
        ({"httpConnectionFailed": {"httpStatusCode": 403}}, "", ReasonCode.AUTH_FAILED),
        (
            {"httpConnectionFailed": {"httpStatusCode": None}},
            "502",
            ReasonCode.PROVIDER_UNAVAILABLE,
        ),
        ({"responseTooManyFailedAttempts": {"httpStatusCode": 429}}, "", ReasonCode.RATE_LIMITED),
        ("something new", "who knows", ReasonCode.AGENT_FAILED),
        (None, "exceeded retry limit, last status: 429", ReasonCode.RATE_LIMITED),
        (None, "unexpected status 503 Service Unavailable: 401", ReasonCode.PROVIDER_UNAVAILABLE),
        ("cyberPolicy", "flagged", ReasonCode.MODEL_REFUSED),
        ("other", "Incomplete response returned, reason: content_filter", ReasonCode.MODEL_REFUSED),
        (
            "other",
            "Incomplete response returned, reason: max_output_tokens",
            ReasonCode.CONTEXT_TOO_LONG,
        ),
        ("other", '{"error": {"code": "context_length_exceeded"}}', ReasonCode.CONTEXT_TOO_LONG),
        ("other", '{"error": {"type": "invalid_request_error"}}', ReasonCode.AGENT_FAILED),
        # Words of a tool or of a server are no reason.
        ("other", "the tests say: 429 rate limit, usage limit, billing", ReasonCode.AGENT_FAILED),
        ("other", "Missing environment variable: `SCRIPT_KEY`.", ReasonCode.AUTH_FAILED),
    ],
)
def test_an_error_has_the_reason_of_its_type_or_text(
    info: object, message: str, reason: ReasonCode
) -> None:
    assert reason_of({"codexErrorInfo": info, "message": message}) is reason


@pytest.mark.parametrize(
    ("info", "message", "resumable"),
    [
        ("serverOverloaded", "", True),
        ({"httpConnectionFailed": {"httpStatusCode": 401}}, "", True),
        ("badRequest", "", False),
        ("contextWindowExceeded", "", False),
        ("other", '{"error": {"type": "invalid_request_error", "code": "invalid_value"}}', False),
        (None, "unexpected status 400 Bad Request: no tool output", False),
    ],
)
def test_a_thread_whose_history_is_refused_is_not_gone_on_with(
    info: object, message: str, resumable: bool
) -> None:
    assert is_resumable({"codexErrorInfo": info, "message": message}) is resumable


@pytest.mark.parametrize(
    ("command", "summary"),
    [
        ("/bin/bash -lc 'git status'", "git status"),
        ('bash -c "ls -l"', "ls -l"),
        ("git log", "git log"),
        ("/bin/sh -c ls", "ls"),
    ],
)
def test_a_command_is_shown_without_its_shell(command: str, summary: str) -> None:
    assert command_summary(command) == summary
