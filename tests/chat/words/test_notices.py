"""What a room hears of tasks and agents, word for word."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from fleetbot.chat.words.notices import notice
from fleetbot.chat.words.post import Post
from fleetbot.chat.words.wording import ago, duration, until
from fleetbot.domain import commands as cmd
from fleetbot.domain.announce import task_name
from fleetbot.domain.effects import (
    AgentNotice,
    FleetNotice,
    NoticeKind,
    RunName,
    TaskNotice,
    Telling,
)
from fleetbot.domain.model import AgentName, Policy
from fleetbot.domain.reasons import ReasonCode
from fleetbot.domain.receipts import Refuted, Verified
from fleetbot.domain.usage import Budget, Usage
from fleetbot.domain.wording import span
from tests.chat.markup import Markup, mentions
from tests.domain import builders as a
from tests.domain.builders import HOUR, MINUTE, SECOND, START, World


@pytest.fixture
def running() -> World:
    """team/app#1 is at work with claude-1, since a minute."""
    world = World().given(a.an_agent(), a.a_task(), a.dispatch(), a.start())
    return world.later(MINUTE)


def heard(world: World, command: cmd.Command) -> list[Post]:
    told = [x for x in world.told(command) if isinstance(x, Telling)]
    return [notice(effect, world.now) for effect in told]


def only(messages: list[Post]) -> Post:
    (message,) = messages
    return message


def lines(message: Post) -> list[str]:
    return message.body.text.split("\n")


def test_an_assignment_is_told_in_passing() -> None:
    world = World().given(a.an_agent(), a.a_task(title="Mend <the> door"))

    message = only(heard(world, a.dispatch()))

    assert not message.urgent
    assert lines(message) == ["📋 team/app#1 Mend <the> door", "goes to claude-1"]
    assert message.body.html == (
        '📋 <b><a href="https://forge.example/team/app/issues/1">team/app#1</a></b>'
        " Mend &lt;the&gt; door<br>goes to <b>claude-1</b>"
    )


def test_a_completion_comes_with_the_proof(running: World) -> None:
    running.given(cmd.FileReceipt(a.R1, a.A1, a.a_receipt(summary="The door\ncloses again.")))
    running.later(11 * MINUTE)

    message = only(heard(running, cmd.Conclude(a.C1, Verified())))

    assert message.urgent
    assert lines(message) == [
        "✅ team/app#1 Mend the door",
        "done by claude-1 in 12 min · PR #7",
        "> The door",
        "> closes again.",
    ]
    assert Markup(message.body.html).links == [
        "https://forge.example/team/app/issues/1",
        "https://forge.example/team/app/pulls/7",
    ]


def test_a_failure_that_is_tried_again_says_when(running: World) -> None:
    failure = a.fail(ReasonCode.TIMEOUT, detail="It was still compiling.")

    message = only(heard(running, failure))

    assert message.urgent
    first, reason, detail, advice, next_try = lines(message)
    assert first == "❌ team/app#1 Mend the door"
    assert reason == "claude-1, attempt 1: the run took longer than it may"
    assert detail == "> It was still compiling."
    assert advice == "Split the issue, or raise runs.timeout_seconds."
    assert next_try.startswith("🔁 It is tried again in 2")


def test_a_failure_for_good_says_what_a_person_can_do(running: World) -> None:
    message = only(heard(running, a.fail(ReasonCode.NO_CHANGES)))

    assert lines(message)[-2:] == [
        "Say in the issue what should change, then retry.",
        "🙋 To try again: !fleet retry team/app#1",
    ]


def test_a_refuted_receipt_is_told_with_its_reasons(running: World) -> None:
    running.given(a.file())

    message = only(heard(running, cmd.Conclude(a.C1, Refuted(("The diff is empty.",)))))

    assert not message.urgent
    assert lines(message) == [
        "🔎 team/app#1 Mend the door",
        "Forgejo does not bear out the receipt of claude-1 (PR #7):",
        "> The diff is empty.",
        "It knows the reasons and may mend it.",
    ]


def test_a_question_reaches_a_person(running: World) -> None:
    task, run = running.task(), running.run()
    named = RunName(id=run.id, agent=run.agent, attempt=run.attempt)
    effect = TaskNotice(  # of an outbox from before
        notice=NoticeKind.ASKED, task=task_name(task), run=named, detail="Run `make`?"
    )

    message = notice(effect, running.now)

    assert message.urgent
    assert lines(message) == [
        "❓ team/app#1 Mend the door",
        "🙋 claude-1 asks, and waits for an answer:",
        "> Run `make`?",
    ]


def test_a_lost_agent_is_told_and_so_is_what_becomes_of_its_task(running: World) -> None:
    running.later(HOUR)

    offline, lost = heard(running, cmd.Expire())

    assert offline.urgent
    assert lines(offline)[0] == "🔌 claude-1 is offline"
    assert not lost.urgent
    assert lines(lost) == [
        "📡 team/app#1 Mend the door",
        "claude-1, attempt 1: the agent missed its heartbeats",
        "Look at the runner on the agent's machine.",
        "🔁 It is tried again at once.",
    ]


def test_a_cancelled_run_is_told(running: World) -> None:
    message = only(heard(running, cmd.CancelTask(a.T1)))

    assert not message.urgent
    assert lines(message) == [
        "✖️ team/app#1 Mend the door",
        "cancelled by a person; claude-1 is told to stop",
    ]


def test_an_agent_that_is_back_or_at_its_limit_is_told_in_passing() -> None:
    back = AgentNotice(notice=NoticeKind.AGENT_ONLINE, agent=AgentName("claude-1"))
    parked = AgentNotice(
        notice=NoticeKind.AGENT_PARKED, agent=AgentName("claude-1"), until=START + 2 * HOUR
    )

    assert notice(back, START) == Post(notice(back, START).body, urgent=False)
    assert lines(notice(back, START)) == ["🟢 claude-1 is back online"]
    assert lines(notice(parked, START)) == [
        "💤 claude-1 has reached its usage limit",
        "It takes tasks again in 2 h, at 00:13 UTC.",
    ]


def test_an_unwell_agent_is_told_with_what_to_do(running: World) -> None:
    message = only(heard(running, a.fail(ReasonCode.AUTH_FAILED, detail="Invalid API key")))

    assert message.urgent
    assert lines(message) == [
        "🤒 claude-1 is unwell: the agent program is not logged in",
        "> Invalid API key",
        "Log in on the agent's machine; fleetbot check there says whether that was all.",
        "It takes nothing until its check passes; its task goes back to the queue uncounted.",
    ]
    assert lines(only(heard(running, a.an_agent()))) == [
        "🟢 claude-1 is well again and takes tasks"
    ]


def test_an_account_without_credit_is_told_once_with_what_to_do(running: World) -> None:
    message = only(heard(running, a.fail(ReasonCode.BILLING)))

    assert message.urgent
    assert lines(message)[0] == "💤 claude-1 rests: the provider refuses for want of credit"
    assert lines(message)[1] == "Top up the account, or add another."


def test_a_forge_that_stays_away_is_told_in_passing() -> None:
    away = AgentNotice(
        notice=NoticeKind.AGENT_PARKED,
        agent=AgentName("claude-1"),
        until=START + MINUTE,
        reason=ReasonCode.FORGE_UNAVAILABLE,
        faults=3,
    )

    assert not notice(away, START).urgent
    assert lines(notice(away, START)) == [
        "💤 claude-1 rests: Forgejo could not be reached from the runner, 3 times in a row",
        "It is tried again in 60 s, and each time after a longer pause. No attempt is counted.",
    ]


def test_a_bug_of_the_runner_is_told_with_its_run(running: World) -> None:
    told = lines(only(heard(running, a.fail(ReasonCode.RUNNER_FAILED, detail="KeyError: 'x'"))))

    assert "Its run: r1" in told
    assert "Report the runner's log with this run's id." in told


def test_what_was_given_up_is_told_with_the_way_out() -> None:
    message = notice(FleetNotice(notice=NoticeKind.GIVEN_UP, letters=2), START)

    assert message.urgent
    first, second = lines(message)
    assert first == "📪 2 messages to Forgejo or a room could not be delivered"
    assert "GET /api/v1/outbox/dead" in second


def test_a_forgejo_that_is_away_is_told_with_what_to_do() -> None:
    problem = "GET /user -> 401; give `forge.token` a new one"
    away = FleetNotice(notice=NoticeKind.FORGE_AWAY, since=START - 5 * MINUTE, detail=problem)

    message = notice(away, START)

    assert message.urgent
    assert lines(message) == ["🔌 Forgejo cannot be used, for 5 min", f"> {problem}"]


def test_webhooks_that_do_not_arrive_are_told_counted_and_with_what_to_do() -> None:
    message = notice(FleetNotice(notice=NoticeKind.WEBHOOKS_SILENT, missed=3), START)

    assert message.urgent
    headline, says, *ways = lines(message)
    assert headline == "🪝 Forgejo's webhooks do not arrive"
    assert says.startswith("3 changes found only by looking")
    assert ways == [
        "Of which repositories: !fleet status",
        "What to do: docs/howto/connect-forgejo.md",
    ]


@given(hostile=st.text(max_size=300), kind=st.sampled_from(NoticeKind))
def test_no_text_of_an_issue_or_agent_becomes_a_tag_or_mention(
    hostile: str, kind: NoticeKind
) -> None:
    world = World().given(a.an_agent(), a.a_task(), a.dispatch(), a.start())
    task = world.task()
    bait = f"{hostile}</blockquote><img src=x>@room @ann:example.org {hostile}"
    run = world.run()
    effect = TaskNotice(
        notice=kind,
        task=replace(task_name(task), title=bait, url=f"javascript:{hostile}"),
        run=RunName(id=run.id, agent=run.agent, attempt=run.attempt),
        summary=bait,
        detail=bait,
        reason=ReasonCode.AGENT_FAILED,
        pull_request=7,
    )

    message = notice(effect, world.now)

    assert not mentions(Markup(message.body.html).text)
    assert not mentions(message.body.text)


@pytest.mark.parametrize(
    ("milliseconds", "words"),
    [
        (0, "0 s"),
        (40 * SECOND, "40 s"),
        (90 * SECOND, "2 min"),
        (59 * MINUTE, "59 min"),
        (125 * MINUTE, "2 h 5 min"),
        (12 * HOUR, "12 h"),
        (96 * HOUR, "4 d"),
        (-5, "0 s"),
    ],
)
def test_spans_of_time_are_short(milliseconds: int, words: str) -> None:
    assert span(milliseconds) == words


def test_moments_are_told_from_now() -> None:
    assert ago(START - 3 * MINUTE, START) == "3 min ago"
    assert ago(START, START) == "just now"
    assert until(START + 40 * SECOND, START) == "in 40 s"
    assert until(START - 1, START) == "at once"
    assert until(START + HOUR, START) == "in 60 min, at 23:13 UTC"
    assert until(START + 49 * HOUR, START) == "in 2 d, on 16 Nov at 23:13 UTC"


def test_a_spent_day_is_told_once_with_when_it_goes_on() -> None:
    world = World(policy=Policy(day_budget=Budget(usd=1)))
    world.given(a.an_agent(), a.a_task(), a.dispatch(), a.start())
    world.uses(a.R1, Usage(output_tokens=1200, cost_usd=1.5))

    rests, stopped = heard(world, cmd.Expire())

    assert rests.urgent
    assert lines(rests) == [
        "🌙 The fleet rests: the fleet's budget for the day is used up",
        "Spent today: 1.2k out, $1.50.",
        "It goes on in 1 h 47 min, at 00:00 UTC.",
        "Wait for the next day (UTC), or raise budget.day_usd or budget.day_tokens.",
    ]
    assert "🔁 It is tried again in 1 h 47 min, at 00:00 UTC." in lines(stopped)
    world.policy = Policy()
    assert lines(only(heard(world, cmd.Expire()))) == ["▶️ The fleet goes on"]


@pytest.mark.parametrize(("took", "words"), [(3, "1 s"), (SECOND, "1 s"), (5 * MINUTE, "5 min")])
def test_nothing_is_done_in_no_time(took: int, words: str) -> None:
    run = a.running().run()
    assert duration(replace(run, ended_at=run.started_at + took)) == words
    assert duration(run) == ""
