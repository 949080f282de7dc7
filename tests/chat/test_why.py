"""Why a task is where it is, in words that lead on."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from fleetbot.chat.rich import rows
from fleetbot.chat.why import why
from fleetbot.domain import commands as cmd
from fleetbot.domain.model import Budget, Policy, Priority, TaskId, Usage
from fleetbot.domain.reasons import ReasonCode
from fleetbot.domain.receipts import Refuted, Unknown, Verified
from tests.domain import builders as a
from tests.domain.builders import HOUR, MINUTE, World


def said(world: World, task: TaskId = a.T1) -> str:
    return rows(*why(world.state, world.task(task), world.now, world.policy)).text


def test_no_agent_at_all() -> None:
    world = World().given(a.a_task())

    assert said(world) == "No agent is registered yet: start a runner."


def test_no_agent_can_do_what_it_needs() -> None:
    world = World().given(a.an_agent(), a.a_task(needs=("rust",)))

    assert said(world).startswith("No agent can do all it needs: rust.")


def test_its_agent_is_not_there() -> None:
    world = World().given(a.an_agent(), a.a_task(agent=a.A2))

    assert said(world) == "It is for codex-1, which is not registered: start its runner."


def test_its_agent_cannot_do_it() -> None:
    world = World().given(a.an_agent(), a.a_task(agent=a.A1, needs=("rust",)))

    assert said(world) == "It is for claude-1, which lacks rust."


def test_every_agent_is_unavailable_for_a_reason_of_its_own() -> None:
    world = World().given(a.an_agent(), a.an_agent(a.A2), a.an_agent(a.A3, account="x"))
    world.given(a.a_task(), a.dispatch(), a.start())
    world.given(a.a_task(a.T2), a.dispatch(a.A3, a.R2), a.start(a.R2, a.A3))
    world.given(a.fail(ReasonCode.USAGE_LIMIT, a.R2, a.A3, until=world.now + HOUR))
    world.later(50_000).heard(a.A1, a.A3).later(50_000).given(cmd.Expire())

    assert said(world, a.T2).splitlines() == [
        "claude-1 is busy with 1 task.",
        "codex-1 is offline.",
        "codex-2 rests: the account's usage limit is reached. Again in 61 min, at 23:15 UTC.",
    ]


def test_it_waits_for_its_next_try() -> None:
    world = World().given(a.an_agent(), a.a_task(), a.dispatch(), a.start())
    world.given(a.fail(ReasonCode.IDLE_TIMEOUT))

    first, second = said(world).splitlines()
    assert first.startswith("It is tried again in ")
    assert first.endswith("because the agent program was silent for too long.")
    assert second == "Sooner: !fleet retry team/app#1"


def test_its_agent_is_unwell_and_what_helps() -> None:
    world = World().given(a.an_agent(), a.a_task(), a.dispatch(), a.start())
    world.given(a.fail(ReasonCode.DISK_FULL)).later(MINUTE)

    assert said(world) == (
        "claude-1 is unwell since 60 s ago (the agent's machine has no room left): "
        "Free some of its disk, or move runner.root."
    )


def test_the_forge_is_away() -> None:
    world = World().given(a.an_agent(), a.a_task(), a.dispatch(), a.start())
    world.given(a.fail(ReasonCode.FORGE_UNAVAILABLE))

    assert said(world).startswith("It is tried again in ")
    assert "because Forgejo could not be reached from the runner." in said(world)


def test_others_come_first() -> None:
    world = World().given(a.an_agent(), a.a_task())
    world.given(a.a_task(a.T2, priority=Priority.URGENT))
    world.given(a.a_task(a.T3, priority=Priority.URGENT, needs=("rust",)))

    assert said(world) == "1 task before it; next for claude-1."
    assert said(world, a.T2) == "Nothing: claude-1 can take it at the next claim."


def test_the_repository_is_at_its_limit() -> None:
    world = World().given(a.an_agent(), a.an_agent(a.A2), a.a_task(), a.a_task(a.T2))
    world.given(a.dispatch())
    world.policy = replace(world.policy, repo_limit=1)

    assert said(world, a.T2) == "team/app has 1 task running already, which is its limit."


def test_it_is_at_work() -> None:
    world = World().given(a.an_agent(), a.a_task(), a.dispatch())
    assert said(world) == "claude-1 has been given it just now and must acknowledge it."

    world.given(a.start()).later(3 * MINUTE)
    assert said(world) == "claude-1 started 3 min ago and is at it."


def test_its_receipt_is_being_checked_and_what_is_missing() -> None:
    world = World().given(a.an_agent(), a.a_task(), a.dispatch(), a.start(), a.file())
    world.given(cmd.Conclude(a.C1, Unknown(("the commit status",))))

    assert said(world).splitlines()[:3] == [
        "Its receipt was filed just now and is being checked.",
        "Checked 1 time; what could not be read yet:",
        "> the commit status",
    ]


def test_its_receipt_did_not_hold() -> None:
    world = World().given(a.an_agent(), a.a_task(), a.dispatch(), a.start(), a.file())
    world.given(cmd.Conclude(a.C1, Refuted(("The diff is empty.",))))

    assert said(world).splitlines()[1:] == [
        "Its receipt did not hold 1 time; it is mending it.",
        "> The diff is empty.",
    ]


def test_it_failed_and_what_helps() -> None:
    world = World().given(a.an_agent(), a.a_task(), a.dispatch(), a.start())
    world.given(a.fail(ReasonCode.NO_CHANGES, detail="All is well.")).later(MINUTE)

    assert said(world).splitlines() == [
        "It ended 60 s ago: the agent ended without changing anything.",
        "> All is well.",
        "Say in the issue what should change, then retry.",
        "🙋 To try again: !fleet retry team/app#1",
    ]


@pytest.mark.parametrize("command", [cmd.CancelTask(a.T1), None])
def test_it_is_over(command: cmd.CancelTask | None) -> None:
    world = World().given(a.an_agent(), a.a_task(), a.dispatch(), a.start(), a.file())
    world.given(command or cmd.Conclude(a.C1, Verified()))

    holds = "Its receipt was checked against Forgejo and holds."
    assert said(world).startswith("It ended just now: cancelled" if command else holds)


def test_the_days_budget_is_used_up() -> None:
    world = World(policy=Policy(day_budget=Budget(usd=1)))
    world.given(a.an_agent(), a.a_task(), a.dispatch(), a.start()).uses(a.R1, Usage(cost_usd=1))
    world.given(cmd.Expire(), a.a_task(a.T2))

    for task in (a.T1, a.T2):
        assert said(world, task) == (
            "🌙 The fleet rests: the fleet's budget for the day is used up."
            " It goes on in 1 h 47 min, at 00:00 UTC."
        )


def test_its_agent_is_drained() -> None:
    world = World().given(a.an_agent(), cmd.DrainAgent(a.A1), a.a_task())

    assert said(world) == ("claude-1 is drained: it takes nothing new until somebody resumes it.")


def test_a_task_that_used_up_its_budget_says_how_to_go_on() -> None:
    world = World(policy=Policy(task_budget=Budget(usd=1)))
    world.given(a.an_agent(), a.a_task(), a.dispatch(), a.start()).uses(a.R1, Usage(cost_usd=1.5))
    world.given(cmd.Expire())

    assert said(world).splitlines() == [
        "It ended just now: the task's budget is used up.",
        "> $1.50 of $1.00",
        "Retry: that gives it the budget once more. Or raise the budget, or split the issue.",
        "🙋 To try again: !fleet retry team/app#1",
    ]
