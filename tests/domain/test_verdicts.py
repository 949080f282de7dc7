"""What a verification leads to, and how a receipt that is being verified outlives its agent."""

from __future__ import annotations

import pytest

from fleetbot.domain import commands as cmd
from fleetbot.domain import events as ev
from fleetbot.domain.model import Policy, TaskState, Verdict
from fleetbot.domain.reasons import ReasonCode
from fleetbot.domain.receipts import Unknown
from tests.domain.builders import (
    A1,
    C1,
    C2,
    C3,
    HOUR,
    R1,
    R2,
    R3,
    T1,
    T2,
    T3,
    World,
    a_task,
    completed,
    dispatch,
    file,
    names,
    only,
    refuted,
    running,
    start,
    unknown,
    verified,
    verifying,
)


def test_a_verified_receipt_completes_the_task() -> None:
    world = verifying()
    assert names(world.when(verified())) == ["receipt.verified", "task.completed"]
    assert world.task().state is TaskState.COMPLETED
    assert world.task().receipt == C1
    assert world.state.receipts[C1].verdict is Verdict.VERIFIED
    assert world.state.runs_of_agent(A1) == ()


def test_a_refuted_receipt_lets_the_agent_file_again() -> None:
    world = verifying().given(refuted(C1, "Empty diff.", "Wrong base."))
    assert world.task().state is TaskState.RUNNING
    assert world.task().refuted == ("Empty diff.", "Wrong base.")
    assert world.state.receipts[C1].reasons == ("Empty diff.", "Wrong base.")
    assert names(world.given(file(C2)).when(verified(C2))) == ["receipt.verified", "task.completed"]
    assert world.task().refuted == ()


@pytest.mark.parametrize("most", [0, 1, 2])
def test_refutations_end(most: int) -> None:
    world = running(World(policy=Policy(max_refutations=most, max_attempts=1)))
    for n in range(most):
        event = only(world.given(file(C1 + str(n))).when(refuted(C1 + str(n))), ev.ReceiptRefuted)  # type: ignore[arg-type]  # ids are strings
        assert not event.final
    events = world.given(file(C3)).when(refuted(C3, "Empty diff.", "Wrong base."))
    assert names(events) == ["receipt.refuted", "task.failed"]
    assert only(events, ev.ReceiptRefuted).final
    assert world.task().state is TaskState.FAILED
    assert world.task().reason is ReasonCode.RECEIPT_REFUTED
    assert world.task().detail == "Empty diff. Wrong base."


def test_a_task_refuted_for_good_is_tried_again_while_attempts_are_left() -> None:
    world = running(World(policy=Policy(max_refutations=0))).given(file())
    assert names(world.when(refuted())) == ["receipt.refuted", "task.failed", "task.requeued"]
    assert world.task().not_before > world.now
    assert world.task().refuted == ("Empty diff.",)  # the next attempt should know


def test_an_unknown_finding_changes_nothing_but_the_next_look() -> None:
    world = verifying()
    event = only(world.when(unknown(C1, "Forgejo is away.")), ev.ReceiptUnknown)
    filed = world.state.receipts[C1]
    assert world.task().state is TaskState.RUNNING
    assert (filed.verdict, filed.unread) == (Verdict.PENDING, ("Forgejo is away.",))
    assert filed.check_at == event.check_at > world.now


def test_what_forgejo_is_about_to_show_is_looked_at_within_a_second() -> None:
    world = verifying()
    world.given(cmd.Conclude(receipt=C1, finding=Unknown(unread=("Not yet.",), soon=True)))
    assert 0 < world.state.receipts[C1].check_at - world.now <= 1_000


def test_unknown_is_looked_at_ever_more_rarely_up_to_a_cap() -> None:
    world = verifying(World(policy=Policy(recheck_base_ms=1_000, recheck_cap_ms=60_000)))
    waits = []
    for _ in range(40):
        world.given(unknown())
        waits.append(world.state.receipts[C1].check_at - world.now)
        world.later(waits[-1])
    assert waits[:6] == sorted(set(waits[:6]))
    assert len(set(waits[7:])) == 1
    assert 45_000 <= waits[-1] <= 60_000
    assert names(world.when(verified())) == ["receipt.verified", "task.completed"]
    assert world.state.receipts[C1].unread == ()


def a_day_of_not_knowing(world: World) -> list[str]:
    """What is recorded of the receipt while nobody can decide it, until that ends."""
    said: list[str] = []
    while not said or said[-1] == "receipt.unknown":
        world.later(max(0, world.state.receipts[C1].check_at - world.now)).heard(A1)
        said += names(world.when(unknown(C1, "The CI has not finished."))) + names(
            world.when(cmd.Expire())
        )
    return said


def test_a_receipt_that_cannot_be_decided_fails_at_its_deadline() -> None:
    world = verifying(World(policy=Policy(verify_ms=24 * HOUR)))
    filed_at = world.now
    assert a_day_of_not_knowing(world)[-2:] == ["receipt.unknown", "task.failed"]
    assert world.now == filed_at + 24 * HOUR
    task = world.task()
    assert (task.state, task.reason) == (TaskState.FAILED, ReasonCode.RECEIPT_UNREAD)
    assert task.detail == "The CI has not finished."
    assert world.state.live_runs() == []


def test_time_that_we_were_down_decides_nothing() -> None:
    """The first check after it does."""
    world = verifying().given(unknown()).later(30 * HOUR).heard(A1)
    assert names(world.when(cmd.Expire())) == []
    assert names(world.when(verified())) == ["receipt.verified", "task.completed"]


def test_a_receipt_that_is_checked_holds_no_slot() -> None:
    world = World(policy=Policy(repo_limit=1)).given(a_task(T2))
    verifying(world)
    assert (world.state.at_work(A1), world.state.runs_in_repo("team/app")) == (0, 0)
    assert names(world.when(dispatch(run=R2))) == ["task.assigned"]


def test_a_refuted_run_holds_one_again_and_may_mend_beside_the_next() -> None:
    world = verifying(World(policy=Policy(repo_limit=1)).given(a_task(T2), a_task(T3)))
    world.given(dispatch(run=R2), start(R2), refuted())
    assert (world.state.at_work(A1), world.state.runs_in_repo("team/app")) == (2, 2)
    assert names(world.when(file(C2))) == ["receipt.filed"]
    assert world.when(dispatch(run=R3)) == (), "the other run has the slot"


def test_the_time_of_the_check_is_not_the_agents() -> None:
    world = verifying().later(10 * HOUR).heard(A1).given(refuted()).heard(A1)
    assert world.when(cmd.Expire()) == ()
    world.later(world.policy.run_timeout_ms + 1).heard(A1)
    assert only(world.when(cmd.Expire()), ev.TaskFailed).reason is ReasonCode.TIMEOUT


def test_a_receipt_outlives_its_agent() -> None:
    """The agent has done its part: silence, sign-off, lease and time no longer matter."""
    world = verifying().later(10 * HOUR)
    assert names(world.when(cmd.Expire())) == ["agent.offline"]
    assert names(world.when(cmd.DeregisterAgent(agent=A1))) == ["agent.deregistered"]
    assert world.task().state is TaskState.RUNNING
    assert names(world.when(verified())) == ["receipt.verified", "task.completed"]


def test_a_refuted_receipt_of_a_lost_agent_sends_the_task_elsewhere() -> None:
    world = verifying().later(10 * HOUR).given(cmd.Expire())
    said = world.when(refuted())
    assert names(said) == ["receipt.refuted", "task.agent_lost", "task.requeued"]
    assert only(said, ev.TaskAgentLost).reason is ReasonCode.AGENT_LOST
    assert world.task().avoid == A1


def test_one_of_an_agent_that_signed_off_says_so() -> None:
    world = verifying().given(cmd.DeregisterAgent(agent=A1))
    said = world.when(refuted())
    assert only(said, ev.TaskAgentLost).reason is ReasonCode.AGENT_DEREGISTERED


def test_an_agent_that_is_back_without_the_run_does_not_mend_it() -> None:
    world = verifying().later(10 * HOUR).given(refuted())
    world.state.seen[A1] = world.now
    assert names(world.when(cmd.Expire())) == ["task.agent_lost", "task.requeued"]


def test_a_finding_about_a_cancelled_task_means_nothing() -> None:
    world = verifying().given(cmd.CancelTask(task=T1))
    for finding in (verified(), refuted(), unknown()):
        assert world.when(finding) == ()


def test_a_finding_about_an_earlier_run_means_nothing() -> None:
    world = verifying().given(cmd.CancelTask(task=T1), cmd.RetryTask(task=T1), dispatch(run=R2))
    assert world.when(verified()) == ()
    assert world.task().run == R2


def test_the_same_finding_twice_is_one_event() -> None:
    assert completed().when(verified()) == ()
    again = verifying().given(refuted())
    assert again.when(refuted()) == ()
    assert again.when(verified()) == ()
    assert again.run(R1).refutations == 1


def test_a_revoked_agents_refuted_receipt_says_why_nobody_mends_it() -> None:
    world = verifying().given(cmd.RevokeAgent(A1))
    lost = only(world.when(refuted()), ev.TaskAgentLost)
    assert lost.reason is ReasonCode.AGENT_REVOKED
    assert world.task().state is TaskState.CREATED
