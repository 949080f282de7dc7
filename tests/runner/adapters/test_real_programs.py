"""What Claude Code and Codex have in common, on the real programs."""

from __future__ import annotations

import contextlib
import os
import signal

import pytest

from fleetbot.domain.reasons import ReasonCode
from fleetbot.runner.adapters import (
    Answer,
    LimitReached,
    LogLine,
    Question,
    SessionStarted,
    Usage,
)
from fleetbot.runner.sandbox.process import survivors
from fleetbot_devkit.model import Reply, ScriptedModel
from tests.runner.adapters.agents import COMMIT, RISKY_COMMIT, Agent
from tests.runner.adapters.harness import (
    KEY,
    RUN,
    Fifo,
    Place,
    collect,
    end,
    git,
    of,
    rest,
    until,
    used,
)

ALL = ("claude-code live", "claude-code plain", "codex live", "codex plain")
LIVE = ("claude-code live", "codex live")
PLAIN = ("claude-code plain", "codex plain")
DONE = Reply(text="Done: added hello.txt.")
LASTING = {
    "claude-code": "Bash(python3 -m this), Bash(git add *), Bash(git commit *)",
    "codex": "this same command",
}


@pytest.fixture
def agent(request: pytest.FixtureRequest, model: ScriptedModel) -> Agent:
    kind, mode = request.param.split()
    program = request.getfixturevalue("claude" if kind == "claude-code" else "codex")
    return Agent(kind, mode, program, model)


everywhere = pytest.mark.parametrize("agent", ALL, indirect=True)
where_live = pytest.mark.parametrize("agent", LIVE, indirect=True)
where_plain = pytest.mark.parametrize("agent", PLAIN, indirect=True)


@everywhere
async def test_a_linked_worktree_can_be_committed_to(agent: Agent, place: Place) -> None:
    tree = place.repo.parent / "tree"
    git(place.repo, "worktree", "add", "-q", "-b", "fleet/1", str(tree))
    agent.model.then(agent.shell(COMMIT), DONE)
    dirs = (place.repo / ".git", place.repo / ".git" / "worktrees" / "tree")
    allowed = {"allowed_tools": ["Bash(echo:*)", "Bash(git:*)"]}

    spec = place.spec(env=agent.env, permissions="deny", git_dirs=dirs, workdir=tree)
    settings = allowed if agent.kind == "claude-code" else {}
    events = await collect(await agent.adapter(**settings).launch(spec))

    assert end(events).outcome == "done"
    assert git(tree, "log", "--format=%s").splitlines() == ["Add hello", "init"]


@where_plain
async def test_a_prompt_of_a_megabyte_arrives_whole(agent: Agent, place: Place) -> None:
    """In live mode too: the contract has one that is longer than a pipe."""
    agent.model.always(DONE)
    prompt = "begin " + "word " * 200_000 + "finish"

    events = await collect(await agent.adapter().launch(place.spec(prompt, env=agent.env)))

    assert end(events).outcome == "done"
    said = agent.model.requests[0].text
    assert said.count("word ") >= 200_000
    assert "finish" in said


@everywhere
async def test_the_program_edits_and_commits_and_a_retry_resumes_its_session(
    agent: Agent, place: Place
) -> None:
    agent.model.then(agent.shell(COMMIT), DONE)
    spec = place.spec("first prompt", env=agent.env, permissions="bypass")
    first = await collect(await agent.adapter().launch(spec))
    session = of(first, SessionStarted)[0].session

    assert (end(first).outcome, end(first).summary) == ("done", "Done: added hello.txt.")
    assert place.log() == ["Add hello", "init"]
    assert (used(first).input_tokens, used(first).output_tokens) == (2000, 50)
    assert "first prompt" in agent.model.requests[0].text

    agent.model.then(Reply(text="and again"))
    spec = place.spec("second prompt", env=agent.env, session=session, baseline=used(first))
    second = await collect(await agent.adapter().launch(spec))

    assert of(second, SessionStarted)[0].session == session
    assert "first prompt" in agent.model.requests[-1].text
    assert "second prompt" in agent.model.requests[-1].text
    # It counts only itself.
    assert (used(second).input_tokens, used(second).output_tokens) == (1000, 25)
    if agent.kind == "claude-code":
        assert used(second).cost_usd == pytest.approx(0.0045)


@pytest.mark.parametrize("agent", ["claude-code live", "codex plain"], indirect=True)
async def test_a_session_this_home_does_not_know_starts_anew(agent: Agent, place: Place) -> None:
    agent.model.then(DONE)
    gone = "01a206f4-ff07-7c63-8c23-0dcb66184757"

    spec = place.spec(env=agent.env, session=gone, baseline=Usage(input_tokens=900))
    events = await collect(await agent.adapter().launch(spec))

    assert end(events).outcome == "done"
    assert of(events, SessionStarted)[0].session != gone
    assert used(events).input_tokens == 1000


@everywhere
async def test_a_cancelled_run_leaves_nothing_behind(
    agent: Agent, place: Place, fifo: Fifo
) -> None:
    agent.model.then(agent.shell(f"setsid sh -c 'echo > {fifo.path}; exec tail -f /dev/null'"))
    spec = place.spec(env=agent.env, permissions="bypass")
    session = await agent.adapter().launch(spec)
    await fifo.heard()

    await session.stop(ReasonCode.CANCELLED_BY_USER)

    assert end(await collect(session)).outcome == "cancelled"
    assert survivors(RUN) == []


@where_live
async def test_a_killed_program_can_be_resumed(agent: Agent, place: Place, fifo: Fifo) -> None:
    agent.model.then(agent.shell(f"echo > {fifo.path}; tail -f /dev/null"))
    agent.model.always(Reply(text="carried on"))
    spec = place.spec("first prompt", env=agent.env, permissions="bypass")
    session = await agent.adapter().launch(spec)
    events = session.events()
    started = await until(events, SessionStarted)
    await fifo.heard()
    for pid in survivors(RUN):
        with contextlib.suppress(ProcessLookupError):  # its keeper may have been quicker
            os.kill(pid, signal.SIGKILL)
    killed = end(await rest(events))

    spec = place.spec("go on", env=agent.env, session=started.session)
    again = await collect(await agent.adapter().launch(spec))

    assert killed.reason is ReasonCode.AGENT_FAILED
    assert "SIGKILL" in killed.detail
    assert end(again).summary == "carried on"
    assert "first prompt" in agent.model.requests[-1].text


@where_live
async def test_an_allowed_permission_lets_the_work_go_on(agent: Agent, place: Place) -> None:
    escalate = {} if agent.kind == "claude-code" else {"sandbox_permissions": "require_escalated"}
    agent.model.then(agent.shell(RISKY_COMMIT, **escalate), DONE)
    session = await agent.adapter().launch(place.spec(env=agent.env))
    events = session.events()
    question = await until(events, Question)

    assert await session.answer(question.id, Answer("allow"))
    last = end(await rest(events))

    assert question.kind == "permission"
    assert "git commit" in question.title
    assert last.permission_denials == ()
    assert place.log() == ["Add hello", "init"]
    # An echoed suggestion would have put the program's own settings into the commit.
    assert git(place.repo, "ls-files").split() == ["README.md", "hello.txt"]


@where_live
async def test_what_is_always_allowed_is_asked_once_in_a_run_and_written_nowhere(
    agent: Agent, place: Place
) -> None:
    escalate = {} if agent.kind == "claude-code" else {"sandbox_permissions": "require_escalated"}
    risky = agent.shell(
        "python3 -m this && git add -A && git commit -qm x --allow-empty", **escalate
    )
    agent.model.then(risky, risky, DONE)
    session = await agent.adapter().launch(place.spec(env=agent.env))
    events = session.events()
    question = await until(events, Question)

    assert await session.answer(question.id, Answer("always"))
    after = await rest(events)

    assert question.always == LASTING[agent.kind]
    assert of(after, Question) == []
    assert place.log() == ["x", "x", "init"]
    assert git(place.repo, "ls-files").split() == ["README.md"]


@where_live
async def test_a_denied_permission_is_told_to_the_model_and_reported(
    agent: Agent, place: Place
) -> None:
    escalate = {} if agent.kind == "claude-code" else {"sandbox_permissions": "require_escalated"}
    agent.model.then(agent.shell(RISKY_COMMIT, **escalate), Reply(text="I could not."))
    session = await agent.adapter().launch(place.spec(env=agent.env))
    events = session.events()
    question = await until(events, Question)

    assert await session.answer(question.id, Answer("deny", "not today"))
    last = end(await rest(events))

    assert last.outcome == "done"
    assert "not today" in agent.model.requests[-1].text
    assert "git commit" in last.permission_denials[0].summary
    assert place.log() == ["init"]


@where_live
async def test_the_model_hears_the_answer_to_its_question(agent: Agent, place: Place) -> None:
    agent.model.then(agent.asks(), DONE)
    session = await agent.adapter().launch(place.spec(env=agent.env))
    events = session.events()
    question = await until(events, Question)

    assert await session.answer(question.id, Answer("allow", "Blue"))
    assert not await session.answer(question.id, Answer("allow", "Red"))
    await rest(events)

    assert (question.kind, question.title) == ("question", "Which color?")
    assert question.options == ("Red", "Blue")
    assert "Blue" in agent.model.requests[1].text.rpartition("Which color?")[2]


@where_plain
async def test_in_plain_mode_a_message_is_kept(agent: Agent, place: Place) -> None:
    agent.model.then(DONE)
    session = await agent.adapter().launch(place.spec(env=agent.env))

    assert await session.steer("use tabs, please") == "kept"
    assert end(await collect(session)).outcome == "done"


@where_live
@pytest.mark.parametrize(
    ("status", "message", "reason"),
    [
        (401, "invalid x-api-key", ReasonCode.AUTH_FAILED),
        (404, "model: not found", ReasonCode.MODEL_NOT_FOUND),
        (429, "slow down", ReasonCode.RATE_LIMITED),
        (500, "boom", ReasonCode.PROVIDER_UNAVAILABLE),
    ],
)
async def test_an_error_of_the_provider_has_its_reason(
    agent: Agent, place: Place, status: int, message: str, reason: ReasonCode
) -> None:
    agent.model.always(agent.error(status, message))

    last = end(await collect(await agent.adapter().launch(place.spec(env=agent.env))))

    assert (last.outcome, last.reason) == ("failed", reason)
    assert last.detail
    assert KEY not in last.detail


@where_plain
async def test_plain_mode_knows_a_usage_limit_without_its_time(agent: Agent, place: Place) -> None:
    agent.model.always(agent.usage_limit(2_000_000_000))
    subscription = {"ANTHROPIC_API_KEY": "", "CLAUDE_CODE_OAUTH_TOKEN": KEY}

    spec = place.spec(env={**agent.env, **subscription})
    events = await collect(await agent.adapter().launch(spec))

    assert [limit.resets_at for limit in of(events, LimitReached)] == [None]
    assert end(events).reason is ReasonCode.USAGE_LIMIT


@where_plain
async def test_plain_mode_knows_the_reasons_too(agent: Agent, place: Place) -> None:
    agent.model.always(agent.error(401, "invalid x-api-key"))

    last = end(await collect(await agent.adapter().launch(place.spec(env=agent.env))))

    assert (last.outcome, last.reason) == ("failed", ReasonCode.AUTH_FAILED)


@where_live
@pytest.mark.parametrize(
    "broken",
    [
        Reply(text="half of an ans", cut=True),
        Reply(raw="event: message_start\ndata: {not json\n\n"),
    ],
    ids=["cut", "garbage"],
)
async def test_a_broken_answer_is_the_providers_fault(
    agent: Agent, place: Place, broken: Reply
) -> None:
    # Claude asks once more without streaming; that request gets an error.
    agent.model.always(lambda request: broken if request.streams else agent.error(500))

    last = end(await collect(await agent.adapter().launch(place.spec(env=agent.env))))

    assert (last.outcome, last.reason) == ("failed", ReasonCode.PROVIDER_UNAVAILABLE)


async def test_a_secret_of_the_run_is_masked_in_the_log(
    claude: str, model: ScriptedModel, place: Place
) -> None:
    agent = Agent("claude-code", "live", claude, model)
    model.then(agent.shell("echo key is $ANTHROPIC_API_KEY"), DONE)

    spec = place.spec(env=agent.env, permissions="bypass")
    events = await collect(await agent.adapter().launch(spec))

    assert "key is [masked]" in [line.text for line in of(events, LogLine)]
