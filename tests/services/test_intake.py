"""An issue becomes a task, and the task follows it, whatever order the news comes in."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence

import msgspec
import pytest

from fleetbot.domain import commands as cmd
from fleetbot.domain.errors import Conflict, Invalid, NotFound
from fleetbot.domain.events import AgentRegistered, Recorded, TaskCreated
from fleetbot.domain.model import AgentName, Priority, Run, RunId, TaskState
from fleetbot.domain.patience import WITH_DELIVERY
from fleetbot.domain.reasons import ReasonCode
from fleetbot.forge.errors import ForgeUnavailable
from fleetbot.forge.models import Issue, PullRequest, Repository
from fleetbot.forge.payloads import Delivery, IssueEvent, UnknownEvent, parse_delivery
from fleetbot.services.dispatcher import Dispatcher
from fleetbot.store.records import Arrival
from tests.services.stage import BOT, CLAUDE, REPO, TEST, Stage

CODEX = AgentName("codex-1")
HOUR = 3_600_000
_numbers = itertools.count(1)


async def receive(stage: Stage, event_type: str, body: bytes) -> str:
    """Keep a delivery with a body of any kind, as a version with other payloads would; its key."""
    name = f"made-{next(_numbers)}"
    repository = Repository(full_name=REPO)
    payload = IssueEvent(action="opened", issue=Issue(number=1), repository=repository)
    assert await stage.intake.receive(Delivery(name, event_type, payload), body)
    return f"delivery:{name}"


async def arrival(stage: Stage, key: str) -> Arrival:
    found = await stage.store.arrival(key)
    assert found is not None
    return found


async def waiting(stage: Stage) -> int:
    return len(await stage.store.arrivals_due("webhook", stage.clock() + HOUR, 1000))


# -- receiving


async def test_a_delivery_is_kept_before_anything_is_done(stage: Stage) -> None:
    await stage.issue()
    await stage.forge.delivered()
    assert await waiting(stage) > 0
    assert await stage.fleet.task_of_issue(REPO, 1) is None
    await stage.intake.tick()
    assert await waiting(stage) == 0
    assert (await stage.task()).state is TaskState.CREATED


async def test_a_replayed_delivery_is_known(stage: Stage) -> None:
    await stage.issue()
    await stage.forge.delivered()
    sent = stage.forge.deliveries[0]
    again = parse_delivery(sent.headers, sent.body)
    assert not await stage.intake.receive(again, sent.body)
    await stage.intake.tick()
    assert not await stage.intake.receive(again, sent.body)
    assert await waiting(stage) == 0


async def test_what_was_received_before_a_crash_is_acted_on_after_it(stage: Stage) -> None:
    await stage.issue()
    await stage.forge.delivered()
    stage.restart()
    await stage.intake.tick()
    assert (await stage.task()).state is TaskState.CREATED


# -- becoming a task


async def test_several_deliveries_for_a_new_issue_make_one_task(stage: Stage) -> None:
    await stage.issue("Add a greeting", assignees=[BOT])
    await stage.hear()
    assert len(stage.forge.deliveries) > 1
    task = await stage.task()
    lines = await stage.store.events(f"task:{task.id}")
    assert [line.actor for line in lines] == ["forgejo:ann"]
    assert lines[0].cause.startswith("delivery:")
    assert task.traits.title == "Add a greeting"
    assert (task.author, task.base) == ("ann", "main")
    assert task.url == f"{stage.forge.url}/{REPO}/issues/1"


async def test_labels_shape_the_task(stage: Stage) -> None:
    for label in ("type:feature", "priority:high", "needs:python", "whatever"):
        stage.forge.add_label(REPO, label)
    await stage.issue(labels=["fleet", "type:feature", "priority:high", "needs:python", "whatever"])
    await stage.hear()
    traits = (await stage.task()).traits
    assert (traits.kind, traits.priority, traits.needs) == ("feature", Priority.HIGH, ("python",))


async def test_assignment_to_the_bot_is_enough(stage: Stage) -> None:
    await stage.issue(labels=[], assignees=[BOT])
    await stage.hear()
    assert (await stage.task()).state is TaskState.CREATED


async def test_an_issue_that_does_not_ask_for_the_fleet_is_left_alone(stage: Stage) -> None:
    await stage.issue(labels=[])
    await stage.hear()
    assert await stage.fleet.task_of_issue(REPO, 1) is None


async def test_a_labelled_pull_request_is_no_task(stage: Stage) -> None:
    await stage.forge.commit(REPO, "work", {"a": "b"}, "Work", by="ann")
    await stage.ann.create_pull(REPO, head="work", base="main", title="Work")
    await stage.ann.add_issue_labels(REPO, 1, ["fleet"])
    await stage.hear()
    assert await stage.look(1) is None


async def test_the_payload_is_a_hint_and_forgejo_is_asked(stage: Stage) -> None:
    """The label was taken off again before the news of it arrived."""
    await stage.issue()
    await stage.ann.remove_issue_label(REPO, 1, "fleet")
    await stage.hear()
    assert await stage.fleet.task_of_issue(REPO, 1) is None


async def test_an_unlisted_repository_is_none_of_our_business(stage: Stage) -> None:
    await stage.change(repositories=[])
    await stage.issue()
    await stage.hear()
    assert await waiting(stage) == 0
    assert await stage.store.tasks() == []


async def test_a_repository_is_found_however_it_is_spelt(stage: Stage) -> None:
    await stage.change(repositories=["Ann/App"])
    await stage.issue()
    await stage.hear()
    assert await stage.fleet.task_of_issue("Ann/App", 1) is not None


async def test_many_who_consider_an_issue_at_once_make_one_task(stage: Stage) -> None:
    issue, repo = await stage.issue(), await stage.known.look(REPO)
    found = await asyncio.gather(
        *(stage.issues.consider(repo, issue, TEST) for _ in range(5)),
        *(stage.look(1) for _ in range(5)),
    )
    assert {task.id for task in found if task} == {(await stage.task()).id}
    assert len(await stage.journal()) == 1


# -- following the issue


async def test_a_changed_label_changes_the_task(stage: Stage) -> None:
    stage.forge.add_label(REPO, "priority:urgent")
    await stage.issue()
    await stage.hear()
    await stage.ann.add_issue_labels(REPO, 1, ["priority:urgent"])
    await stage.hear()
    assert (await stage.task()).traits.priority is Priority.URGENT


async def test_closing_the_issue_cancels_and_reopening_takes_it_up_again(stage: Stage) -> None:
    await stage.issue()
    await stage.hear()
    await stage.ann.edit_issue(REPO, 1, state="closed")
    await stage.hear()
    task = await stage.task()
    assert (task.state, task.reason) == (TaskState.CANCELLED, ReasonCode.ISSUE_CLOSED)
    await stage.ann.edit_issue(REPO, 1, state="open", title="Add two greetings")
    await stage.hear()
    task = await stage.task()
    assert (task.state, task.reason) == (TaskState.CREATED, ReasonCode.ISSUE_REOPENED)
    assert task.traits.title == "Add two greetings"


async def test_taking_the_label_off_cancels_and_putting_it_back_retries(stage: Stage) -> None:
    await stage.issue()
    await stage.hear()
    await stage.ann.remove_issue_label(REPO, 1, "fleet")
    await stage.hear()
    task = await stage.task()
    assert (task.state, task.reason) == (TaskState.CANCELLED, ReasonCode.TRIGGER_REMOVED)
    await stage.ann.add_issue_labels(REPO, 1, ["fleet"])
    await stage.hear()
    assert (await stage.task()).state is TaskState.CREATED


async def test_taking_the_label_off_stops_a_running_task_and_our_assignment_is_no_wish(
    stage: Stage,
) -> None:
    await stage.issue()
    await stage.hear()
    await stage.given_running()
    await stage.settle()
    assert "fleetbot" in (await stage.ann.issue(REPO, 1)).assignee_logins
    await stage.ann.remove_issue_label(REPO, 1, "fleet")
    await stage.hear()
    await stage.reconciler.tick()
    task = await stage.task()
    assert (task.state, task.reason) == (TaskState.CANCELLED, ReasonCode.TRIGGER_REMOVED)


async def test_a_task_asked_for_by_assignment_runs_until_that_is_taken_back(stage: Stage) -> None:
    await stage.issue(labels=(), assignees=("fleetbot",))
    await stage.hear()
    await stage.given_running()
    await stage.settle()
    assert (await stage.task()).state is TaskState.RUNNING
    await stage.ann.edit_issue(REPO, 1, assignees=[])
    await stage.hear()
    assert (await stage.task()).state is TaskState.CANCELLED


async def test_a_bot_that_is_renamed_is_the_same(stage: Stage) -> None:
    await stage.issue(labels=(), assignees=[BOT])
    await stage.hear()
    await stage.settle()
    stage.forge.rename_user(BOT, "fleet-bot")
    await stage.look()
    assert (await stage.task()).state is TaskState.CREATED
    await stage.probe.tick()
    assert stage.probe.login == "fleet-bot"
    await stage.issue("Another", labels=(), assignees=["fleet-bot"])
    await stage.settle()
    assert (await stage.task(2)).state is TaskState.CREATED


async def test_a_task_that_a_person_cancelled_stays_so_until_the_issue_is_reopened(
    stage: Stage,
) -> None:
    await stage.issue()
    await stage.hear()
    await stage.fleet.commit(cmd.CancelTask((await stage.task()).id), TEST)
    await stage.ann.edit_issue(REPO, 1, title="Add a nicer greeting")
    await stage.hear()
    assert (await stage.task()).state is TaskState.CANCELLED
    await stage.ann.edit_issue(REPO, 1, state="closed")
    await stage.ann.edit_issue(REPO, 1, state="open")
    await stage.hear()
    assert (await stage.task()).state is TaskState.CREATED


async def test_a_task_that_a_person_cancelled_is_taken_up_when_its_label_is_given_back(
    stage: Stage,
) -> None:
    await stage.issue()
    await stage.hear()
    cancel = cmd.CancelTask((await stage.task()).id, ReasonCode.CANCELLED_BY_USER)
    await stage.fleet.commit(cancel, TEST)
    stage.clock.advance(60)
    await stage.ann.add_issue_labels(REPO, 1, ["fleet"])  # it is there: that says nothing
    await stage.look()
    assert (await stage.task()).state is TaskState.CANCELLED
    await stage.ann.remove_issue_label(REPO, 1, "fleet")
    stage.clock.advance(60)
    await stage.ann.add_issue_labels(REPO, 1, ["fleet"])
    await stage.hear()
    assert (await stage.task()).state is TaskState.CREATED
    await stage.fleet.commit(cancel, TEST)
    stage.clock.advance(60)
    await stage.look()
    assert (await stage.task()).state is TaskState.CANCELLED


async def test_an_issue_that_is_there_again_is_taken_up_again(stage: Stage) -> None:
    """A proxy has said that it is not, while Forgejo was being restarted behind it."""
    await stage.issue()
    await stage.hear()
    stage.forge.fail_next("GET", "/issues/1$", 404)
    await stage.look()
    assert (await stage.task()).state is TaskState.CANCELLED
    await stage.look()
    assert (await stage.task()).state is TaskState.CREATED


async def test_a_proxy_that_finds_nothing_cancels_no_task(stage: Stage) -> None:
    await stage.issue()
    await stage.hear()
    stage.forge.fail_next("GET", "/issues/1$", 404, text="404 page not found\n")
    with pytest.raises(ForgeUnavailable):
        await stage.look()
    assert (await stage.task()).state is TaskState.CREATED


async def test_a_completed_task_is_done_again_when_a_person_reopens_its_issue(
    stage: Stage,
) -> None:
    await stage.given_filed()
    await stage.verifier.tick()
    assert (await stage.task()).state is TaskState.COMPLETED
    await stage.ann.edit_issue(REPO, 1, state="closed")
    await stage.hear()
    assert (await stage.task()).state is TaskState.COMPLETED
    await stage.ann.edit_issue(REPO, 1, state="open")
    await stage.hear()
    assert (await stage.task()).state is TaskState.CREATED


async def test_a_closed_task_is_recognised_after_a_restart(stage: Stage) -> None:
    await stage.issue()
    await stage.hear()
    await stage.ann.edit_issue(REPO, 1, state="closed")
    await stage.hear()
    stage.restart()
    await stage.ann.edit_issue(REPO, 1, state="open")
    await stage.hear()
    assert (await stage.task()).state is TaskState.CREATED
    assert len(await stage.store.tasks()) == 1


async def test_a_merge_that_closes_the_issue_does_not_cancel_what_is_being_verified(
    stage: Stage,
) -> None:
    _, pull, _ = await stage.given_filed()
    await stage.ann.merge_pull(REPO, pull.number, head_sha=pull.head.sha)
    await stage.ann.edit_issue(REPO, 1, state="closed")
    await stage.hear()
    assert (await stage.task()).state is TaskState.RUNNING
    await stage.verifier.tick()
    await stage.intake.tick()
    assert (await stage.task()).state is TaskState.COMPLETED


async def given_merged(stage: Stage) -> tuple[Run, PullRequest]:
    """Before its agent has filed a receipt, somebody merges its pull request, which closes the
    issue."""
    await stage.issue()
    await stage.hear()
    run = await stage.given_running()
    pull = await stage.pull_request(run)
    await stage.ann.merge_pull(REPO, pull.number, head_sha=pull.head.sha)
    await stage.hear()
    return run, pull


async def test_a_merge_before_the_receipt_waits_for_it(stage: Stage) -> None:
    run, pull = await given_merged(stage)
    await stage.reconciler.tick()
    assert (await stage.ann.issue(REPO, 1)).state == "closed"
    assert (await stage.task()).state is TaskState.RUNNING
    await stage.given_receipt(run, pull)
    await stage.verifier.tick()
    await stage.intake.tick()
    assert (await stage.task()).state is TaskState.COMPLETED


async def test_a_merge_whose_run_ends_without_a_receipt_cancels_after_all(stage: Stage) -> None:
    run, _ = await given_merged(stage)
    await stage.reconciler.tick()
    assert (await stage.task()).state is TaskState.RUNNING
    await stage.fleet.commit(cmd.FailRun(run.id, run.agent, ReasonCode.AGENT_FAILED), TEST)
    task = await stage.task()
    assert (task.state, task.reason) == (TaskState.CANCELLED, ReasonCode.ISSUE_CLOSED)


async def test_a_merge_that_waits_for_its_receipt_outlives_a_restart(stage: Stage) -> None:
    run, _ = await given_merged(stage)
    stage.restart()
    assert (await stage.task()).closing is ReasonCode.ISSUE_CLOSED
    await stage.fleet.commit(cmd.FailRun(run.id, run.agent, ReasonCode.AGENT_FAILED), TEST)
    assert (await stage.task()).state is TaskState.CANCELLED


async def test_an_issue_reopened_after_the_merge_is_not_closing_any_more(stage: Stage) -> None:
    run, _ = await given_merged(stage)
    await stage.ann.edit_issue(REPO, 1, state="open")
    await stage.hear()
    assert (await stage.task()).closing is None
    await stage.fleet.commit(cmd.FailRun(run.id, run.agent, ReasonCode.AGENT_FAILED), TEST)
    assert (await stage.task()).state is TaskState.CREATED


async def test_a_merge_of_long_ago_does_not_hold_up_a_later_close(stage: Stage) -> None:
    run, pull, _ = await stage.given_filed()
    await stage.ann.merge_pull(REPO, pull.number, head_sha=pull.head.sha)
    await stage.verifier.tick()
    stage.clock.advance(600)
    await stage.ann.edit_issue(REPO, 1, state="open")
    await stage.hear()
    again = await stage.given_running()
    assert again.branch == run.branch
    await stage.ann.edit_issue(REPO, 1, state="closed")
    await stage.hear()
    assert (await stage.task()).state is TaskState.CANCELLED


async def test_a_merged_receipt_that_is_refuted_is_cancelled_after_all(stage: Stage) -> None:
    _, pull, _ = await stage.given_filed(head="0" * 40)
    await stage.ann.merge_pull(REPO, pull.number, head_sha=pull.head.sha)
    await stage.ann.edit_issue(REPO, 1, state="closed")
    await stage.hear()
    assert (await stage.task()).state is TaskState.RUNNING
    await stage.verifier.tick()
    assert (await stage.task()).state is TaskState.CANCELLED


async def test_a_person_who_closes_the_issue_wins_while_the_receipt_cannot_be_decided(
    stage: Stage,
) -> None:
    await stage.has_ci()
    await stage.change(rules=msgspec.structs.replace(stage.rules, require_ci=True))
    await stage.given_filed()
    await stage.verifier.tick()
    await stage.ann.edit_issue(REPO, 1, state="closed")
    await stage.hear()
    task = await stage.task()
    assert (task.state, task.reason) == (TaskState.CANCELLED, ReasonCode.ISSUE_CLOSED)


async def test_a_person_who_takes_the_label_off_wins_as_well(stage: Stage) -> None:
    await stage.given_filed()
    await stage.ann.remove_issue_label(REPO, 1, "fleet")
    await stage.hear()
    assert (await stage.task()).reason is ReasonCode.TRIGGER_REMOVED


async def test_pull_requests_that_nobody_may_read_do_not_keep_an_issue_from_being_closed(
    stage: Stage,
) -> None:
    await stage.given_filed()
    await stage.ann.edit_issue(REPO, 1, state="closed")
    stage.forge.fail_next("GET", "/pulls$", 403, times=100)
    await stage.hear()
    assert (await stage.task()).state is TaskState.CANCELLED


async def test_an_issue_that_is_gone_cancels_its_task(stage: Stage) -> None:
    await stage.issue()
    await stage.hear()
    del stage.forge.repo(REPO).tickets[1]
    await stage.look(1)
    assert (await stage.task()).state is TaskState.CANCELLED


async def test_a_pull_request_that_moves_has_its_receipt_checked_again(stage: Stage) -> None:
    await stage.has_ci()
    await stage.change(rules=msgspec.structs.replace(stage.rules, require_ci=True))
    _, pull, _ = await stage.given_filed()
    await stage.hear()
    await stage.verifier.tick()
    assert (stage.verifier.next_due() or 0) > stage.clock()
    await stage.ann.edit_pull(REPO, pull.number, body="Closes #1, really")
    await stage.hear()
    assert (stage.verifier.next_due() or 0) <= stage.clock()


# -- what must not stop the others


async def test_our_own_writes_come_back_and_change_nothing(stage: Stage) -> None:
    await stage.issue()
    await stage.settle()
    before = len(await stage.journal())
    asked = len(stage.forge.requests)
    await stage.client.edit_issue(REPO, 1, body="from the bot")
    await stage.hear()
    assert await waiting(stage) == 0
    assert len(await stage.journal()) == before
    assert [seen.method for seen in stage.forge.requests[asked:]] == ["PATCH"]


async def test_while_forgejo_is_away_deliveries_wait(stage: Stage) -> None:
    await stage.issue()
    await stage.forge.delivered()
    stage.forge.fail_next("GET", "/issues/1$", 503)
    await stage.intake.tick()
    assert await waiting(stage) > 0
    await stage.intake.tick()  # too early
    assert await waiting(stage) > 0
    due = await stage.intake.next_due() or 0
    assert stage.clock() < due <= stage.clock() + 2_000
    stage.clock.advance(2)
    await stage.intake.tick()
    assert await waiting(stage) == 0
    assert (await stage.task()).state is TaskState.CREATED


async def test_one_issue_that_cannot_be_read_does_not_hold_up_another(stage: Stage) -> None:
    stage.forge.fail_next("GET", "/issues/1$", 503, times=100)
    await stage.issue()
    await stage.issue("Add a farewell")
    await stage.hear()
    assert (await stage.task(2)).state is TaskState.CREATED
    assert await stage.fleet.task_of_issue(REPO, 1) is None


@pytest.mark.parametrize("body", [b"[]", b"\xff", b'{"action": 1}', b"{}"])
async def test_a_delivery_that_cannot_be_understood_is_answered_and_done_with(
    stage: Stage, body: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    key = await receive(stage, "issues", body)
    await stage.issue()
    await stage.hear()
    answer = (await arrival(stage, key)).answer
    assert answer is not None
    assert "error" in msgspec.json.decode(answer)
    assert len([line for line in caplog.messages if key in line]) == 1
    assert await waiting(stage) == 0
    assert (await stage.task()).state is TaskState.CREATED


async def test_an_unknown_event_is_done_with(stage: Stage) -> None:
    key = await receive(stage, "solar_eclipse", b"{}")
    await stage.intake.tick()
    assert (await arrival(stage, key)).body is None


async def test_of_news_without_consequences_only_the_id_is_kept(stage: Stage) -> None:
    push = Delivery("p1", "push", UnknownEvent(event_type="push"))
    assert await stage.intake.receive(push, b"{}" * 1000)
    assert (await arrival(stage, "delivery:p1")).body is None
    assert not await stage.intake.receive(push, b"{}" * 1000)


async def test_a_repository_that_cannot_be_seen_cancels_nothing(stage: Stage) -> None:
    await stage.issue()
    await stage.hear()
    stage.forge.repo(REPO).private = True
    stage.forge.repo(REPO).collaborators.clear()
    await stage.ann.edit_issue(REPO, 1, title="Add a nicer greeting")
    await stage.hear()
    task = await stage.task()
    assert task.state is TaskState.CREATED
    assert stage.fleet.state.places.hold_of(task) is ReasonCode.REPO_GONE
    assert await waiting(stage) == 0, "reconciliation comes back to it"


# -- a person asks


async def test_taking_an_issue_puts_the_label_on_it(stage: Stage) -> None:
    await stage.issue(labels=[])
    task = await stage.take("ANN/app", 1, "matrix:@ann:hs")
    assert task.state is TaskState.CREATED
    assert (await stage.ann.issue(REPO, 1)).label_names == {"fleet"}
    [line] = await stage.journal()
    assert line.actor == "matrix:@ann:hs"


async def test_an_issue_is_taken_for_an_agent_before_any_other_can_have_it(stage: Stage) -> None:
    for name in (CLAUDE, CODEX):
        registration = AgentRegistered(adapter="command")
        await stage.fleet.commit(cmd.RegisterAgent(name, registration), TEST)
    await stage.issue(labels=[])
    dispatcher = Dispatcher(stage.fleet, lambda: RunId("r1"))
    waiting = asyncio.create_task(dispatcher.claim(CODEX, "k", 10, lambda: True))

    task = await stage.take(REPO, 1, "matrix:@ann:hs", CLAUDE)
    await stage.hear()

    assert task.pinned == CLAUDE
    assert (await stage.task()).state is TaskState.CREATED
    dispatcher.close()
    assert await waiting is None


async def test_an_issue_is_not_taken_for_an_agent_that_could_not_do_it(stage: Stage) -> None:
    await stage.issue(labels=[])
    with pytest.raises(NotFound, match="There is no agent claude-1"):
        await stage.take(REPO, 1, "matrix:@ann:hs", CLAUDE)
    assert (await stage.ann.issue(REPO, 1)).label_names == set()
    assert await stage.journal() == []


async def test_opening_an_issue_makes_it_a_task_once(stage: Stage) -> None:
    task = await stage.open("Say hello", "Please.")
    await stage.hear()
    issue = await stage.ann.issue(REPO, task.issue)
    assert (issue.title, issue.body.partition("\n\n<!--")[0]) == ("Say hello", "Please.")
    assert len(await stage.store.tasks()) == 1


async def test_what_cannot_be_taken_is_refused_with_the_way_out(stage: Stage) -> None:
    await stage.issue(labels=[])
    await stage.ann.edit_issue(REPO, 1, state="closed")
    with pytest.raises(Conflict, match="reopen it first"):
        await stage.take(REPO, 1, "matrix:@ann:hs")
    with pytest.raises(NotFound, match="There is no issue ann/app#7"):
        await stage.take(REPO, 7, "matrix:@ann:hs")
    with pytest.raises(Invalid, match="it does on: ann/app"):
        await stage.take("ann/other", 1, "matrix:@ann:hs")
    with pytest.raises(Invalid, match="title"):
        await stage.open(" ")
    assert await stage.journal() == []


async def test_what_caused_a_change_is_done_with_in_the_same_change(stage: Stage) -> None:
    """A crash right after the change finds nothing left to do."""
    await stage.issue()
    await stage.forge.delivered()
    tick = asyncio.create_task(stage.intake.tick())

    def crash(lines: Sequence[Recorded]) -> None:
        if any(isinstance(line.event, TaskCreated) for line in lines):
            tick.cancel()

    stage.fleet.listen(crash)
    with pytest.raises(asyncio.CancelledError):
        await tick
    assert (await stage.task()).state is TaskState.CREATED
    assert await waiting(stage) == 0


# -- old news


async def test_a_reopening_that_is_told_again_starts_nothing_again(stage: Stage) -> None:
    await stage.given_filed()
    await stage.ann.edit_issue(REPO, 1, state="closed")
    await stage.hear()
    stage.clock.advance(60)
    await stage.ann.edit_issue(REPO, 1, state="open")
    await stage.hear()
    run = await stage.given_running()
    pull = await stage.ann.pull(REPO, 2)
    await stage.forge.commit(REPO, run.branch, {"more.txt": "more\n"}, "More", by=BOT)
    head = (await stage.ann.pull(REPO, 2)).head.sha
    await stage.given_receipt(run, pull, head=head)
    await stage.verifier.tick()
    assert (await stage.task()).state is TaskState.COMPLETED
    for delivery in [one for one in stage.forge.deliveries if one.payload["action"] == "reopened"]:
        stage.forge.redeliver(delivery)
    await stage.hear()
    await stage.reconciler.tick()
    assert (await stage.task()).state is TaskState.COMPLETED


async def test_a_reopening_from_before_it_was_a_task_starts_nothing_again(stage: Stage) -> None:
    await stage.issue(labels=[])
    await stage.ann.edit_issue(REPO, 1, state="closed")
    await stage.ann.edit_issue(REPO, 1, state="open")
    stage.clock.advance(60)
    await stage.ann.add_issue_labels(REPO, 1, ["fleet"])
    await stage.hear()
    run = await stage.given_running()
    await stage.given_receipt(run, await stage.pull_request(run))
    await stage.verifier.tick()
    [old] = [one for one in stage.forge.deliveries if one.payload["action"] == "reopened"]
    stage.forge.redeliver(old)
    await stage.hear()
    assert (await stage.task()).state is TaskState.COMPLETED


async def test_a_completed_task_whose_issue_is_reopened_is_tried_again_once(stage: Stage) -> None:
    await stage.given_filed()
    await stage.verifier.tick()
    stage.clock.advance(60)
    await stage.ann.edit_issue(REPO, 1, state="closed")
    await stage.hear()
    stage.clock.advance(60)
    await stage.ann.edit_issue(REPO, 1, state="open")
    await stage.hear()
    await stage.hear()
    task = await stage.task()
    assert (task.state, task.reason) == (TaskState.CREATED, ReasonCode.ISSUE_REOPENED)
    assert task.reopened_at == stage.clock()


async def test_what_a_person_cancelled_stays_cancelled_until_the_issue_is_reopened(
    stage: Stage,
) -> None:
    await stage.issue()
    await stage.hear()
    await stage.fleet.commit(cmd.CancelTask((await stage.task()).id), TEST)
    stage.clock.advance(60)
    await stage.ann.edit_issue(REPO, 1, title="Add a nicer greeting")
    await stage.hear()
    await stage.reconciler.tick()
    assert (await stage.task()).state is TaskState.CANCELLED


# -- what cannot be acted on


async def test_deliveries_that_wait_hide_none_of_those_that_come_later(stage: Stage) -> None:
    """However many: they stand behind what has come in meanwhile."""
    issue = Issue(number=1)
    for number in range(700):
        repository = Repository(full_name=REPO, id=stage.repo_id)
        event = IssueEvent(action="edited", issue=issue, repository=repository)
        body = msgspec.json.encode(event)
        await stage.intake.receive(Delivery(f"waits-{number}", "issues", event), body)
    stage.forge.fail_next("GET", "/issues/1$", 503, times=10)
    await stage.intake.tick()
    assert await waiting(stage) == 700
    await stage.issue()
    await stage.issue("Add a farewell")
    await stage.hear()
    assert (await stage.task(2)).state is TaskState.CREATED


async def test_a_delivery_that_forgejo_never_answers_is_left_to_reconciliation(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    await stage.issue()
    await stage.forge.delivered()
    stage.forge.fail_next("GET", "/issues/1$", 503, times=10_000)
    tries = 0
    while await waiting(stage):
        await stage.intake.tick()
        stage.clock.advance(3600)
        tries += 1
    assert tries == WITH_DELIVERY.give_up + 1
    assert "left to reconciliation" in caplog.text


async def test_an_issue_that_forgejo_is_slow_to_show_holds_up_no_other(stage: Stage) -> None:
    slow, asked = asyncio.Event(), asyncio.Event()
    read = stage.client.issue

    async def issue(repo: str, number: int) -> Issue:
        if number == 1:
            asked.set()
            await slow.wait()
        return await read(repo, number)

    stage.client.issue = issue  # type: ignore[method-assign]  # a call that hangs
    await stage.issue()
    await stage.forge.delivered()
    tick = asyncio.create_task(stage.intake.tick())
    await asked.wait()
    second = stage.fleet_hears_of(2)
    await stage.issue("Add a farewell")
    await stage.forge.delivered()
    await second
    assert await stage.fleet.task_of_issue(REPO, 1) is None
    slow.set()
    await tick
    assert (await stage.task()).state is TaskState.CREATED


# -- a program asks


async def test_the_same_key_gets_the_same_task(stage: Stage) -> None:
    first = await stage.open("Say hello", "Please.", key="k1")
    await stage.change()
    again = await stage.open("Say hello", "Please.", key="k1")
    other = await stage.open("Say hello", "Please.", key="k2")
    assert (again.id, again.issue, other.issue) == (first.id, 1, 2)
    with pytest.raises(Conflict, match="another request"):
        await stage.open("Say goodbye", key="k1")


async def test_many_with_the_same_key_at_once_make_one_issue(stage: Stage) -> None:
    made = await asyncio.gather(*(stage.open("Say hello", key="k1") for _ in range(5)))
    assert len({task.id for task in made}) == 1
    assert len(stage.forge.repo(REPO).tickets) == 1


@pytest.mark.parametrize("key", ["", "k1"])
async def test_an_answer_that_is_lost_makes_no_second_issue(stage: Stage, key: str) -> None:
    stage.forge.fail_next("POST", "/issues$", 502, applied=True)
    task = await stage.open("Say hello", key=key)
    assert (task.issue, len(stage.forge.repo(REPO).tickets)) == (1, 1)


async def test_what_was_begun_is_finished_under_the_same_key(stage: Stage) -> None:
    """The answer is lost, and Forgejo is away for the look as well."""
    stage.forge.fail_next("POST", "/issues$", 502, applied=True)
    stage.forge.fail_next("GET", "/issues$", 503, times=3)
    with pytest.raises(ForgeUnavailable):
        await stage.open("Say hello", key="k1")
    stage.forge._failures.clear()
    task = await stage.open("Say hello", key="k1")
    assert (task.issue, len(stage.forge.repo(REPO).tickets)) == (1, 1)


async def test_an_issue_is_made_with_its_label(stage: Stage) -> None:
    """Whatever happens next, it is a task."""
    stage.forge.fail_next("POST", "/labels$", 503, times=10)
    task = await stage.open("Say hello")
    assert (await stage.ann.issue(REPO, task.issue)).label_names == {"fleet"}


async def test_where_the_bot_may_not_label_the_issue_is_named(stage: Stage) -> None:
    stage.forge.add_collaborator(REPO, BOT, "read")
    with pytest.raises(Conflict, match="ann/app#1 was opened, but"):
        await stage.open("Say hello")
