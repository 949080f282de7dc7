"""What people and CI may do to a pull request at any moment, and what becomes of it."""

from __future__ import annotations

from fleetbot.domain import events as ev
from fleetbot.domain.model import TaskState
from fleetbot.domain.pulls import Answer, PullState, Reply, RoundKind
from fleetbot.forge.review_calls import LineComment
from fleetbot.store.audit import examine
from fleetbot_devkit.forge.state import Comment
from fleetbot_devkit.forge_user import ForgeUser
from tests.services.stage import ANN, BOT, REPO, Stage
from tests.services.test_followups import brief, given_done, kinds, look, served
from tests.store.looking_after import rebuilt

BEN, NEW = "ben", "ann/store"
LATER = 3700.0


async def asked(stage: Stage) -> list[str]:
    """What people were asked."""
    journal = await stage.journal()
    return [line.event.text for line in journal if isinstance(line.event, ev.PullAsked)]


async def test_a_review_of_an_account_that_is_gone_is_a_report(stage: Stage) -> None:
    _, pull = await given_done(stage)
    token = stage.forge.add_user(BEN)
    stage.forge.add_collaborator(REPO, BEN)
    async with ForgeUser(stage.forge.url, token) as ben:
        line = LineComment("hello.txt", 1, "Whom?")
        await ben.create_review(REPO, pull.number, "REQUEST_CHANGES", "No.", comments=[line])
    stage.forge.delete_user(BEN)
    for _ in range(2):
        assert (await look(stage)).state is TaskState.COMPLETED
        stage.clock.advance(LATER)
    [question] = await asked(stage)
    assert "may not write" in question


async def test_a_thread_of_an_account_that_is_gone_is_answered(stage: Stage) -> None:
    run, pull = await given_done(stage)
    token = stage.forge.add_user(BEN)
    stage.forge.add_collaborator(REPO, BEN)
    async with ForgeUser(stage.forge.url, token) as ben:
        line = LineComment("hello.txt", 1, "Whom?")
        await ben.create_review(REPO, pull.number, "COMMENT", "Hm.", comments=[line])
    await look(stage)
    (thread,) = (await brief(stage)).threads
    stage.forge.delete_user(BEN)

    await served(stage, run, [Reply(thread=thread.id, answer=Answer.FIXED)])

    (said,) = await stage.ann.threads(REPO, pull.number)
    assert [one.author for one in said.comments] == ["", BOT]
    assert (await look(stage)).state is TaskState.COMPLETED


async def test_a_review_that_is_edited_after_its_round_asks_for_nothing_anew(stage: Stage) -> None:
    """It is known by its number; who wants more says more."""
    run, pull = await given_done(stage)
    await stage.ann.create_review(REPO, pull.number, "COMMENT", "Greet her.")
    await look(stage)
    await served(stage, run)
    ticket = stage.forge.repo(REPO).tickets[pull.number]
    assert ticket.pull is not None
    ticket.pull.reviews[0].body = "Greet him."
    stage.clock.advance(LATER)
    assert (await look(stage)).state is TaskState.COMPLETED


async def test_a_review_that_is_dismissed_in_mid_round_ends_nothing(stage: Stage) -> None:
    run, pull = await given_done(stage)
    review = await stage.ann.create_review(REPO, pull.number, "REQUEST_CHANGES", "No.")
    await look(stage)
    await stage.ann.dismiss_review(REPO, pull.number, review.id, "A mistake.")
    await served(stage, run)
    task = await look(stage)
    assert (task.state, task.pull and task.pull.rounds) == (TaskState.COMPLETED, 1)


async def test_a_comment_on_a_line_that_is_gone_is_served_and_answered(stage: Stage) -> None:
    run, pull = await given_done(stage)
    line = LineComment("hello.txt", 1, "Whom?")
    await stage.ann.create_review(REPO, pull.number, "COMMENT", comments=[line])
    await stage.forge.commit(REPO, run.branch, {"hello.txt": "bye\n"}, "Mine", by=ANN)
    await look(stage)
    (thread,) = (await brief(stage)).threads
    assert (thread.path, [one.text for one in thread.words]) == ("hello.txt", ["Whom?"])

    await served(stage, run, [Reply(thread=thread.id, answer=Answer.ANSWERED, text="Ann.")])

    (said,) = await stage.ann.threads(REPO, pull.number)
    assert [one.author for one in said.comments] == [ANN, BOT]


async def test_of_500_comments_those_count_that_speak_to_the_bot(stage: Stage) -> None:
    _, pull = await given_done(stage)
    ticket = stage.forge.repo(REPO).tickets[pull.number]
    said = await stage.ann.create_comment(REPO, pull.number, f"@{BOT} the last word.")
    (row,) = [one for one in ticket.comments if one.id == said.id]
    talk = [
        Comment(10_000 + n, row.author, f"Talk {n}", row.created, row.created) for n in range(500)
    ]
    ticket.comments[:0] = talk
    assert (await look(stage)).state is TaskState.CREATED
    assert [one.text for one in (await brief(stage)).words] == [f"@{BOT} the last word."]


async def test_of_many_reviews_the_last_page_is_read_too(stage: Stage) -> None:
    run, pull = await given_done(stage)
    for number in range(55):
        await stage.ann.create_review(REPO, pull.number, "COMMENT", f"Point {number}.")
    await look(stage)
    assert len((await brief(stage)).words) == 50
    await served(stage, run)
    await look(stage)
    assert [one.text for one in (await brief(stage)).words] == [
        f"Point {n}." for n in range(50, 55)
    ]


async def test_a_review_of_the_bot_itself_asks_for_nothing(stage: Stage) -> None:
    _, pull = await given_done(stage)
    line = LineComment("hello.txt", 1, "Whom?")
    await stage.client.create_review(REPO, pull.number, "COMMENT", "Hm.", comments=[line])
    assert (await look(stage)).state is TaskState.COMPLETED
    assert await asked(stage) == []


async def test_what_a_person_pushes_by_force_is_built_upon(stage: Stage) -> None:
    """What was reviewed before that is talked about, as the branch has it no more."""
    run, pull = await given_done(stage)
    pushed = await stage.forge.force(REPO, run.branch, {"hello.txt": "mine\n"}, by=ANN)
    await stage.ann.create_review(REPO, pull.number, "COMMENT", "On top of this, please.")
    task = await look(stage)
    assert task.pull is not None
    assert (task.state, task.pull.standing.head) == (TaskState.CREATED, pushed)
    assert (await brief(stage)).head == pushed

    receipt = await served(stage, run)

    commit = await stage.ann.commit(REPO, receipt.head)
    assert [parent.sha for parent in commit.parents] == [pushed]


async def test_those_of_a_repository_out_of_sight_are_asked_for_once_it_is_back(
    stage: Stage,
) -> None:
    await given_done(stage)
    row = stage.forge.repo(REPO)
    row.private, row.collaborators = True, {}
    await stage.reconciler.tick()
    before = len(stage.forge.requests)
    for _ in range(3):
        stage.clock.advance(LATER)
        await stage.followups.tick()
    assert len(stage.forge.requests) == before
    assert stage.followups.problem() == ""

    row.private = False
    stage.forge.add_collaborator(REPO, BOT)
    await stage.reconciler.tick()
    assert stage.followups.next_due() == 0


async def test_one_that_an_administrator_has_deleted_is_closed(stage: Stage) -> None:
    _, pull = await given_done(stage)
    del stage.forge.repo(REPO).tickets[pull.number]
    stage.clock.advance(LATER)
    task = await look(stage)
    assert (task.state, task.pull and task.pull.state) == (TaskState.COMPLETED, PullState.CLOSED)
    assert stage.followups.problem() == ""


async def test_one_of_a_repository_that_has_taken_the_name_says_nothing_of_it(
    stage: Stage,
) -> None:
    _, pull = await given_done(stage)
    await stage.ann.edit_repo(REPO, name="store")
    await stage.forge.create_repo(ANN, "app", {"README.md": "Another\n"})
    stage.forge.add_collaborator(REPO, BOT)
    await stage.ann.create_issue(REPO, "One")
    head = await stage.forge.commit(REPO, "side", {"a.txt": "a\n"}, "Side", by=ANN)
    other = await stage.ann.create_pull(REPO, head="side", base="main", title="Side")
    assert other.number == pull.number
    await stage.ann.merge_pull(REPO, other.number, head_sha=head)
    stage.clock.advance(LATER)
    assert not (await look(stage)).is_merged
    assert "another repository" in stage.followups.problem()

    await stage.change(repositories=[NEW])
    await stage.reconciler.tick()
    stage.clock.advance(LATER)
    await stage.followups.tick()
    assert stage.followups.problem() == ""


async def test_a_draft_is_left_alone_until_it_is_none(stage: Stage) -> None:
    _, pull = await given_done(stage)
    await stage.ann.edit_pull(REPO, pull.number, title=f"WIP: {pull.title}")
    await stage.ann.create_review(REPO, pull.number, "COMMENT", "One more thing.")
    assert (await look(stage)).state is TaskState.COMPLETED
    await stage.ann.edit_pull(REPO, pull.number, title=pull.title)
    assert (await look(stage)).state is TaskState.CREATED


async def test_retargeted_it_is_looked_at_with_its_new_base(stage: Stage) -> None:
    _, pull = await given_done(stage)
    await stage.forge.commit(REPO, "next", {"hello.txt": "bonjour\n"}, "Mine", by=ANN)
    await stage.ann.retarget_pull(REPO, pull.number, "next")
    for seconds in (LATER, 9.0, 9.0):
        stage.clock.advance(seconds)
        await look(stage)
    its = await brief(stage)
    assert (its.kinds, its.base) == ((RoundKind.CONFLICT,), "next")


async def test_ci_that_reports_twice_is_one_round(stage: Stage) -> None:
    run, pull = await given_done(stage)
    for _ in range(2):
        await stage.ann.create_status(REPO, pull.head.sha, state="failure", context="test")
        stage.clock.advance(LATER)
        await look(stage)
    assert kinds(await stage.journal()).count("task.requeued") == 1
    await served(stage, run)
    assert (await look(stage)).state is TaskState.COMPLETED


async def test_ci_that_changes_its_mind_in_mid_round_costs_that_round(stage: Stage) -> None:
    run, pull = await given_done(stage)
    await stage.ann.create_status(REPO, pull.head.sha, state="failure", context="test")
    stage.clock.advance(LATER)
    await look(stage)
    await stage.ann.create_status(REPO, pull.head.sha, state="success", context="test")
    stage.clock.advance(LATER)
    task = await look(stage)
    assert (task.state, task.pull and task.pull.standing.ci) == (TaskState.CREATED, "green")
    receipt = await served(stage, run)
    await stage.ann.create_status(REPO, receipt.head, state="success", context="test")
    stage.clock.advance(LATER)
    task = await look(stage)
    assert (task.state, task.pull and task.pull.rounds) == (TaskState.COMPLETED, 1)


async def test_ci_that_never_reports_is_pending_and_costs_nothing(stage: Stage) -> None:
    await stage.has_ci()
    await given_done(stage)
    for _ in range(3):
        stage.clock.advance(24 * LATER)
        task = await look(stage)
    assert (task.state, task.pull and task.pull.standing.ci) == (TaskState.COMPLETED, "pending")
    assert await asked(stage) == []


async def test_a_repository_that_is_renamed_takes_its_pull_requests_along(stage: Stage) -> None:
    run, pull = await given_done(stage)
    line = LineComment("hello.txt", 1, "Whom?")
    await stage.ann.create_review(REPO, pull.number, "COMMENT", comments=[line])
    await look(stage)
    (thread,) = (await brief(stage)).threads
    await stage.ann.edit_repo(REPO, name="store")
    await stage.reconciler.tick()

    await served(stage, run, [Reply(thread=thread.id, answer=Answer.FIXED)], repo=NEW)
    (said,) = await stage.ann.threads(NEW, pull.number)
    assert [one.author for one in said.comments] == [ANN, BOT]

    await stage.tasks.land((await stage.task()).id, ANN, "api:operator")
    await stage.settle()
    assert (await stage.ann.pull(NEW, pull.number)).merged
    assert (await stage.task()).is_merged


async def test_all_that_happens_to_a_pull_request_is_proved_by_the_journal(stage: Stage) -> None:
    """Its tables follow from its lines, whatever they are."""
    stage.forge.run_jobs_again()
    run, pull = await given_done(stage)
    stage.forge.ran(REPO, pull.merge_base, "success", by=ANN)
    flaky = stage.forge.ran(REPO, pull.head.sha, "failure", by=ANN, log="a time-out\n")
    stage.clock.advance(LATER)
    await look(stage)
    await stage.settle()
    stage.forge.ran_again(REPO, flaky, "success")
    await stage.ann.create_review(REPO, pull.number, "REQUEST_CHANGES", "No.")
    stage.clock.advance(LATER)
    await look(stage)
    receipt = await served(stage, run)
    stage.forge.ran(REPO, receipt.head, "success", by=ANN)
    await stage.ann.close_pull(REPO, pull.number)
    await look(stage)
    stage.clock.advance(31 * 86_400)
    await look(stage)
    await stage.ann.reopen_pull(REPO, pull.number)
    await look(stage)
    await stage.ann.create_review(REPO, pull.number, "APPROVED", "Yes.")
    stage.forge.fail_next("POST", r"/merge$", 403)
    await look(stage)
    await stage.tasks.land((await stage.task()).id, ANN, "api:operator")
    await stage.settle()
    await stage.tasks.land((await stage.task()).id, ANN, "api:operator")
    await stage.settle()

    happened = set(kinds(await stage.journal()))
    pulls = {x for x in map(ev.event_type, ev.TASK_EVENTS) if x.startswith("pull.")}
    assert pulls - happened == {"pull.asked", "pull.updated"}
    assert await examine(stage.store) == []
    before = await stage.store.task((await stage.task()).id)
    await rebuilt(stage.store)
    assert await stage.store.task((await stage.task()).id) == before
