"""Why a task is where it is, in words that lead on."""

from __future__ import annotations

from fleetbot.chat.words.rich import rows
from fleetbot.chat.words.why import why
from fleetbot.domain import commands as cmd
from fleetbot.domain.model import ContextState, Evidence, Policy, TaskId
from fleetbot.domain.reasons import ReasonCode
from fleetbot.domain.receipts import Refuted, Unknown, Verified
from fleetbot.domain.usage import Budget, Usage
from tests.domain import builders as a
from tests.domain.builders import HOUR, MINUTE, World


def said(world: World, task: TaskId = a.T1) -> str:
    return rows(*why(world.state, world.task(task), world.now, world.policy)).text


def test_a_wait_says_why_since_when_and_what_helps() -> None:
    world = World().given(a.a_task()).later(5 * MINUTE)

    assert said(world).splitlines() == [
        "No agent is registered yet.",
        "For 5 min so far.",
        "Start a runner.",
    ]


def test_no_agent_can_do_what_it_needs() -> None:
    world = World().given(a.an_agent(), a.a_task(needs=("rust",)))

    assert said(world).startswith("No agent can do all it needs: rust.")


def test_every_agent_is_unavailable_for_a_reason_of_its_own() -> None:
    world = World().given(a.an_agent(), a.an_agent(a.A2), a.an_agent(a.A3, account="x"))
    world.given(a.a_task(), a.dispatch(), a.start())
    world.given(a.a_task(a.T2), a.dispatch(a.A3, a.R2), a.start(a.R2, a.A3))
    world.given(a.fail(ReasonCode.USAGE_LIMIT, a.R2, a.A3, until=world.now + HOUR))
    world.later(50_000).heard(a.A1, a.A3).later(50_000).given(cmd.Expire())

    assert said(world, a.T2).splitlines()[:4] == [
        "None of the 3 agents that can do it is free.",
        "> claude-1 is busy with 1 task.",
        "> codex-1 is offline.",
        "> codex-2 rests: the account's usage limit is reached.",
    ]


def test_it_waits_for_its_next_try() -> None:
    world = World().given(a.an_agent(), a.a_task(), a.dispatch(), a.start())
    world.given(a.fail(ReasonCode.IDLE_TIMEOUT))

    because, until, sooner = said(world).splitlines()
    assert because.endswith("because the agent program was silent for too long.")
    assert until.startswith("Since just now. The wait is over at the latest in ")
    assert sooner == "Nothing. Sooner: !fleet retry team/app#1."


def test_it_was_cancelled_and_one_line_says_how_it_goes_on() -> None:
    assert said(a.cancelled()).splitlines()[1:] == [
        "Retry to take it up again. To try again: !fleet retry team/app#1.",
    ]


def test_it_is_at_work() -> None:
    world = World().given(a.an_agent(), a.a_task(), a.dispatch(), a.start()).later(3 * MINUTE)

    assert said(world) == "claude-1 started 3 min ago (22:13 UTC) and is at it."


def test_its_receipt_is_being_checked_and_what_is_missing() -> None:
    world = World().given(a.an_agent(), a.a_task(), a.dispatch(), a.start(), a.file())
    world.given(cmd.Conclude(a.C1, Unknown(("the commit status",))))

    assert said(world).splitlines()[:3] == [
        "Its receipt cannot be decided; checked 1 time, and again until it can.",
        "> the commit status",
        "Since just now. The wait is over at the latest in 24 h, on 15 Nov at 22:13 UTC.",
    ]


def test_its_receipt_did_not_hold() -> None:
    world = World().given(a.an_agent(), a.a_task(), a.dispatch(), a.start(), a.file())
    world.given(cmd.Conclude(a.C1, Refuted(("The diff is empty.",))))

    assert said(world).splitlines()[1:] == [
        "What it handed in did not hold, 1 time; it is mending it.",
        "> The diff is empty.",
    ]


def test_it_failed_and_what_helps() -> None:
    world = World().given(a.an_agent(), a.a_task(), a.dispatch(), a.start())
    world.given(a.fail(ReasonCode.NO_CHANGES, detail="All is well.")).later(MINUTE)

    assert said(world).splitlines() == [
        "It failed: the agent ended without changing anything.",
        "> All is well.",
        "For 60 s so far.",
        "Say in the issue what should change, then retry. To try again: !fleet retry team/app#1.",
    ]


def test_it_was_cancelled() -> None:
    world = a.cancelled()

    assert said(world).startswith("It ended just now (22:13 UTC): cancelled")


def test_what_was_verified_says_when() -> None:
    """Nobody looks again: the branch may be gone by now."""
    world = a.completed().later(3 * HOUR)

    when = "3 h ago (14 Nov 22:13 UTC)"
    assert said(world) == f"What was handed in was checked against Forgejo {when}, and held then."


def test_a_completed_task_tells_what_was_seen_of_it() -> None:
    seen = Evidence(
        head="5eb63bbbe01eeed093cb22bb8f5acdc3a5cfa1d0",
        base="main",
        author="fleet-claude",
        files=3,
        commits=1,
        approved_by=("ada",),
        ci="green",
        contexts=(ContextState(name="CI / test", state="success"),),
        context_count=3,
        notes=("A note.",),
    )
    world = a.verifying().given(cmd.Conclude(a.C1, Verified(evidence=seen)))

    assert said(world).splitlines()[1:] == [
        "• PR #7 was open, and no draft",
        "• Head: 5eb63bbbe01e, the commit that was handed in",
        "• Changes: 3 files in 1 commit",
        "• Into: main",
        "• By: fleet-claude",
        "• Approved by: ada",
        "• CI: was green",
        "  CI / test success and 2 more",
        "• A note.",
    ]


def test_the_days_budget_is_used_up() -> None:
    world = World(policy=Policy(day_budget=Budget(usd=1)))
    world.given(a.an_agent(), a.a_task(), a.dispatch(), a.start()).uses(a.R1, Usage(cost_usd=1))
    world.given(cmd.Expire(), a.a_task(a.T2))

    for task in (a.T1, a.T2):
        assert said(world, task).splitlines()[:2] == [
            "The fleet rests: the fleet's budget for the day is used up.",
            "Since just now. The wait is over at the latest in 1 h 47 min, at 00:00 UTC.",
        ]


def test_it_waits_for_another_issue() -> None:
    world = World().given(a.an_agent(), a.a_task(), a.a_task(a.T2), a.depends(a.T2, a.T1))
    world.heard(a.A1).given(a.dispatch()).later(5 * MINUTE)

    assert said(world, a.T2).splitlines() == [
        "It waits for team/app#1, which claude-1 is working on since 14 Nov, 22:13 UTC.",
        "For 5 min so far.",
        "It goes on by itself once that issue is closed."
        " To have it not wait: remove the dependency on its issue.",
    ]


def test_what_was_found_while_it_is_at_work_holds_up_another_try_only() -> None:
    world = a.running().given(a.depends(a.T1, a.T2, unseen=1)).later(MINUTE)

    assert said(world).splitlines()[1:] == [
        "It depends on team/app#2: this run goes on, and another would wait for that.",
        "It depends on 1 issue that Forgejo does not show the bot: not waited for.",
    ]
