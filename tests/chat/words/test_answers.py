"""What a person reads who asks about the fleet."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from fleetbot.chat.commands import hints
from fleetbot.chat.commands.grammar import Misspelt, Misused
from fleetbot.chat.words import answers, overview, roster
from fleetbot.chat.words.answers import Particulars
from fleetbot.chat.words.rich import Rich
from fleetbot.domain import commands as cmd
from fleetbot.domain.model import Policy, Priority, TaskId
from fleetbot.domain.reasons import ReasonCode
from fleetbot.domain.state import task_stream
from fleetbot.domain.usage import Budget, Usage
from tests.chat.markup import Markup, mentions
from tests.domain import builders as a
from tests.domain.builders import HOUR, MINUTE, World


def everything(repo: str) -> bool:
    return True


def busy_fleet() -> World:
    """Task 1 failed for good, task 2 runs with codex-1, tasks 3 and 4 wait; codex-2 is away."""
    world = World().given(a.an_agent(a.A3))
    world.later(2 * HOUR).given(cmd.Expire(), a.an_agent(), a.an_agent(a.A2, max_concurrency=2))
    world.given(a.a_task(a.T1, agent=a.A1), a.dispatch(), a.start())
    world.given(a.fail(ReasonCode.NO_CHANGES), a.a_task(a.T2), a.dispatch(a.A2, a.R2))
    world.given(a.start(a.R2, a.A2), a.a_task(a.T3, needs=("rust",)))
    return world.later(12 * MINUTE).given(a.a_task(TaskId("t4")))


def status_of(world: World, hears: roster.Hears = everything) -> list[str]:
    return overview.status(world.state, hears, world.now, world.policy).text.splitlines()


def test_the_status_says_first_what_waits_for_a_person() -> None:
    assert status_of(busy_fleet()) == [
        "🚦 Waiting for a person: 3",
        "• ❌ team/app#1 Mend the door: the agent ended without changing anything, "
        "12 min ago (00:13 UTC)",
        "  👉 Say in the issue what should change, then retry. To try again: "
        "!fleet retry team/app#1.",
        "• ⏳ team/app#2 Mend the door: codex-1 has been silent for long, and no tool of it is at "
        "work. For 12 min.",
        "  👉 Nothing ends it for that. Look at its thread; what is said there reaches it. "
        "To end it: !fleet cancel team/app#2.",
        "• ⏳ team/app#3 Mend the door: No agent can do all it needs: rust. For 12 min.",
        "  👉 Add an agent that can, or change its labels.",
        "🤖 2 of 3 agents online",
        "• ⚙️ codex-1 (1 of 2): team/app#2 Mend the door, 12 min",
        "• 🔌 codex-2 is offline",
        "• 🟢 claude-1 is free",
        "📥 2 in the queue",
        "Oldest: team/app#3 Mend the door, 12 min",
    ]


def test_the_status_of_an_empty_fleet_is_short() -> None:
    assert status_of(World()) == ["🚦 Nothing waits for a person", "🤖 No agents yet"]


def test_a_task_for_an_agent_that_is_away_waits_for_a_person() -> None:
    world = World().given(a.an_agent(a.A3), a.a_task(agent=a.A3), a.a_task(a.T2, agent=a.A3))
    world.later(2 * HOUR).given(cmd.Expire(), a.an_agent())

    assert status_of(world)[:3] == [
        "🚦 Waiting for a person: 2",
        "• ⏳ 2 tasks: codex-2 is offline. For 2 h.",
        "  👉 Start its runner, or look at what it says: it tells when it lost the plugin.",
    ]


def test_what_goes_on_by_itself_waits_for_nobody() -> None:
    """A retry, a check, a busy agent."""
    world = World().given(a.an_agent(), a.a_task(), a.dispatch(), a.start())
    world.given(a.fail(ReasonCode.IDLE_TIMEOUT), a.a_task(a.T2), a.dispatch(run=a.R2))
    world.given(a.start(a.R2), a.file(run=a.R2), a.a_task(a.T3))

    assert status_of(world)[0] == "🚦 Nothing waits for a person"


def test_the_longest_waiting_speaks_for_those_that_wait_for_the_same() -> None:
    world = World()
    for number in range(1, 300):
        world.given(a.a_task(TaskId(f"t{number}"), repo=f"team/app-{number % 7}", needs=("rust",)))

    assert status_of(world)[:2] == [
        "🚦 Waiting for a person: 299",
        "• ⏳ 299 tasks: No agent can do all it needs: rust. For 0 s.",
    ]


def test_a_room_hears_of_its_own_repositories_only() -> None:
    world = busy_fleet().given(a.a_task(TaskId("t9"), repo="other/secret", title="Hush"))

    assert status_of(world, lambda repo: repo == "other/secret") == [
        "🚦 Nothing waits for a person",
        "🤖 2 of 3 agents online",
        "• ⚙️ codex-1 (1 of 2): a task of another room, 12 min",
        "• 🔌 codex-2 is offline",
        "• 🟢 claude-1 is free",
        "📥 1 in the queue",
        "Oldest: other/secret#9 Hush, 0 s",
    ]


def test_the_agents_are_told_with_what_they_can_do() -> None:
    world = World().given(
        a.an_agent(
            program="/srv/agents/.venv/bin/claude 2.1",
            host="attic",
            capabilities=("python", "rust"),
            health=("disk is nearly full",),
        )
    )

    assert roster.agents(world.state, everything, world.now).text.splitlines() == [
        "🤖 1 of 1 agent online",
        "• 🤒 claude-1 is unwell and takes nothing new: the agent does not pass its own check, "
        "found just now (22:13 UTC)",
        "  claude 2.1 · on attic · can python, rust",
        "  ⚠️ disk is nearly full",
        "  👉 Run fleetbot check on the agent's machine: it says what to do. "
        "It takes tasks again by itself once its check passes.",
    ]


def test_tasks_are_listed_the_newest_first_and_no_more_than_a_phone_shows() -> None:
    world = busy_fleet()
    found = [world.task(a.T2)] * (answers.AT_MOST + 1)

    said = answers.tasks(found, "open tasks", world.state, world.now).text.splitlines()

    assert said[0] == "📋 Open tasks: the newest 15"
    assert said[1] == "• ⚙️ team/app#2 Mend the door, codex-1, 12 min ago (00:13 UTC)"
    assert len(said) == 1 + answers.AT_MOST
    assert answers.tasks([], "failed tasks", world.state, world.now).text == "No failed tasks."


def test_one_task_is_told_with_its_history() -> None:
    world = World().given(a.an_agent(), a.a_task(priority=Priority.HIGH, kind="bug"))
    world.given(a.dispatch(), a.start()).later(MINUTE)
    world.given(a.fail(ReasonCode.RATE_LIMITED), cmd.RetryTask(a.T1)).later(MINUTE)
    world.given(a.dispatch(run=a.R2), a.start(a.R2), a.file(run=a.R2))
    runs = [world.run(), world.run(a.R2)]

    known = Particulars(runs=runs, receipt=world.state.receipts[a.C1])
    said = answers.task(world.task(), known, world.state, world.now, world.policy)

    assert said.text.splitlines() == [
        "⚙️ team/app#1 Mend the door",
        "running · bug, high priority · opened by ada",
        "🔗 PR #7, being checked, handed in just now (22:15 UTC)",
        "🧮 attempt 1 of 3, 2 runs",
        "Its receipt is being checked against Forgejo.",
        "Since just now. The wait is over at the latest in 24 h, on 15 Nov at 22:15 UTC.",
        "That takes a moment.",
        "• attempt 1, claude-1: the model's provider is limiting requests, in 60 s; "
        "60 s ago (22:14 UTC)",
        "• attempt 1, claude-1: at work for 0 s",
    ]


def test_a_slip_is_answered_with_the_way_out() -> None:
    near = hints.misspelt(Misspelt("statsu", "status"))
    assert near.text == "🤔 There is no statsu. Did you mean !fleet status?"
    far = hints.misspelt(Misspelt("xyzzy", None))
    assert far.text == "🤔 There is no xyzzy. !fleet help tells what there is."
    short = hints.misused(Misused("retry", "Which issue?"))
    assert short.text.splitlines() == [
        "🤔 Which issue?",
        "!fleet retry <issue>: try it again",
        "For example: !fleet retry #12",
    ]


@given(st.text(max_size=200))
def test_no_text_of_an_issue_or_person_becomes_a_tag_or_mention(hostile: str) -> None:
    bait = f"{hostile}</li><script>@room @ann:example.org {hostile}"
    world = World().given(a.an_agent(), a.a_task(title=bait, kind=bait), a.dispatch(), a.start())
    world.given(a.an_agent(host=bait, program=bait, health=(bait,)))
    task, state, now = world.task(), world.state, world.now
    of_task = [line for line in world.journal if line.stream == task_stream(task.id)]
    said: list[Rich] = [
        overview.status(state, everything, now, world.policy),
        roster.agents(state, everything, now),
        answers.tasks([task], bait, state, now),
        answers.task(task, Particulars(runs=[world.run()], lines=[bait]), state, now, world.policy),
        answers.told_why(task, of_task, state, now, world.policy),
        hints.misspelt(Misspelt(bait, None)),
        hints.misused(Misused("retry", bait)),
        hints.refused(bait),
    ]

    for piece in said:
        assert not mentions(Markup(piece.html).text)
        assert not mentions(piece.text)


def test_a_fleet_that_rests_and_an_agent_that_is_drained_are_seen_at_a_glance() -> None:
    world = World(policy=Policy(day_budget=Budget(usd=1)))
    world.given(a.an_agent(), a.a_task(), a.dispatch(), a.start()).uses(a.R1, Usage(cost_usd=1))
    world.given(cmd.Expire(), cmd.DrainAgent(a.A1))

    assert status_of(world)[1:4] == [
        "🌙 The fleet rests: the fleet's budget for the day is used up."
        " It goes on in 1 h 47 min, at 00:00 UTC.",
        "🤖 1 of 1 agent online",
        "• 💤 claude-1 is drained and takes nothing new",
    ]


def test_a_task_is_told_with_what_it_has_cost_so_far() -> None:
    world = World().given(a.an_agent(), a.a_task(), a.dispatch(), a.start())
    world.given(a.fail(usage=Usage(output_tokens=10, cost_usd=0.5))).later(HOUR)
    world.given(a.dispatch(run=a.R2), a.start(a.R2)).uses(a.R2, Usage(cost_usd=0.25))

    said = answers.task(world.task(), Particulars(), world.state, world.now, world.policy)

    assert "🧮 attempt 2 of 3, $0.75, 10 tokens" in said.text.splitlines()


def test_an_unwell_agent_says_since_when_why_and_what_to_do() -> None:
    world = World().given(a.an_agent(program="claude 2.1"), a.a_task(), a.dispatch(), a.start())
    world.given(a.fail(ReasonCode.AUTH_FAILED, detail="Invalid API key")).later(5 * MINUTE)

    agents = roster.agents(world.state, everything, world.now).text.splitlines()

    unwell = "the agent program is not logged in, found 5 min ago (22:13 UTC)"
    told = f"• 🤒 claude-1 is unwell and takes nothing new: {unwell}"
    assert status_of(world)[4] == agents[1] == told
    assert [line.strip() for line in agents[2:]] == [
        "claude 2.1",
        "> Invalid API key",
        "👉 Log in on the agent's machine; fleetbot check there says whether that was all. "
        "It takes tasks again by itself once its check passes.",
    ]


def test_an_agent_that_rests_says_why_and_until_when() -> None:
    world = World().given(a.an_agent(), a.a_task(), a.dispatch(), a.start())
    world.given(a.fail(ReasonCode.RATE_LIMITED, until=world.now + 2 * MINUTE))

    says = "rests: the model's provider is limiting requests; again in 2 min"
    assert status_of(world)[2] == f"• 💤 claude-1 {says}"
