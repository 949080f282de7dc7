"""People have more done on a pull request that is open, and hear what comes of it."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from fleetbot.chat.speaking.destinations import destination
from fleetbot.domain import commands as cmd
from fleetbot.domain.model import ReceiptId, Run, TaskState
from fleetbot.domain.pulls import Check, PullState, PullView, Words
from fleetbot.domain.receipts import Verified
from fleetbot.services.briefs import brief_at
from tests.chat.dialogue import ROOM, Dialogue
from tests.domain.builders import a_pull, a_receipt, a_review
from tests.services.stage import REPO, TEST, Stage

FAILING = a_pull(ci="red", failing=(Check(context="test / unit", state="failure"),))


async def follow(stage: Stage, view: PullView | None = None) -> None:
    task = await stage.task()
    await stage.fleet.commit(cmd.FollowPull(task.id, view or a_pull()), TEST)


async def given_done(chat: Dialogue, receipt: str = "c-1") -> Run:
    """Task 1 is done, with pull request 7."""
    run = await chat.stage.given_running()
    filed = a_receipt(ReceiptId(receipt))
    await chat.stage.fleet.commit(cmd.FileReceipt(run.id, run.agent, filed), TEST)
    await chat.stage.fleet.commit(cmd.Conclude(filed.id, Verified()), TEST)
    return run


async def given_asking(chat: Dialogue) -> None:
    """Its CI is red, and no round may mend that."""
    fleet = chat.stage.fleet
    fleet.policy = replace(fleet.policy, max_ci_rounds=0)
    await given_done(chat)
    await follow(chat.stage, FAILING)


async def asked(stage: Stage) -> tuple[Words, ...]:
    """What the round that begins is told."""
    task = await stage.task()
    assert task.round is not None
    return (await brief_at(stage.store, task.id, task.round.said)).words


async def test_words_for_an_open_pull_request_begin_a_round(chat: Dialogue) -> None:
    await given_done(chat)

    await chat.says("mod", "!fleet again #1 Use the other library.\nIt is smaller.")

    chat.answers("💬 ann/app#1 …\nbegins round 1, for a person's wish.\n…")
    (words,) = await asked(chat.stage)
    assert words.text == "Use the other library.\nIt is smaller."
    assert (words.author, words.key) == ("mod", f"room:{chat.last}")
    assert (await chat.stage.task()).state is TaskState.CREATED


async def test_the_question_itself_is_tried_again_where_nothing_is_said(chat: Dialogue) -> None:
    await given_asking(chat)

    await chat.says("mod", "!fleet again #1")

    (words,) = await asked(chat.stage)
    assert words.text.startswith("Try it once more. There are to be no rounds for CI.")


async def test_what_was_counted_out_is_taken_up_by_a_persons_word(chat: Dialogue) -> None:
    stage = chat.stage
    stage.fleet.policy = replace(stage.fleet.policy, max_review_rounds=0)
    run = await stage.given_running()
    pull = await stage.pull_request(run)
    receipt = await stage.given_receipt(run, pull)
    await stage.fleet.commit(cmd.Conclude(receipt, Verified()), TEST)
    await stage.ann.create_review(REPO, pull.number, "REQUEST_CHANGES", "Use tabs.")
    await stage.followups.tick()
    assert (await stage.task()).is_asking

    await chat.says("mod", "!fleet again #1 Do as ann says.")

    texts = [words.text for words in await asked(stage)]
    assert texts == ["Do as ann says.", "Use tabs."]


async def test_in_reply_to_its_card_the_issue_is_left_out(chat: Dialogue) -> None:
    await given_done(chat)
    await chat.says("mod", "!fleet why #1")

    await chat.says("mod", "!fleet again in French", to=chat.new[0].event)

    (words,) = await asked(chat.stage)
    assert words.text == "in French"


async def test_said_twice_it_is_done_once(chat: Dialogue) -> None:
    await given_done(chat)
    said = await chat.says("mod", "!fleet again #1 Paint it.")

    await chat.says("mod", "!fleet again #1 Paint it.", event=said)

    task = await chat.stage.task()
    assert task.round is not None
    assert task.round.number == 1


async def test_in_a_round_that_is_on_its_agent_is_told(chat: Dialogue) -> None:
    await given_done(chat)
    await follow(chat.stage, a_review())
    run = await chat.stage.given_running()

    await chat.says("mod", "!fleet again #1 Leave the tests alone.")

    chat.answers(
        "💬 ann/app#1 …\nis in round 1, for review, already.\nclaude-1, which is at it, is told."
    )
    (message,) = chat.stage.fleet.state.runs[run.id].messages
    assert message.text == "Leave the tests alone."


async def test_of_a_round_that_waits_for_its_turn_the_next_run_is_told(chat: Dialogue) -> None:
    """Another round would lose what this one is for."""
    await given_done(chat)
    await follow(chat.stage, a_review())

    await chat.says("mod", "!fleet again #1 Leave the tests alone.")

    chat.answers("…\nis in round 1, for review, already.\nIts next run is told.")
    assert (await chat.stage.task()).notes == ("Leave the tests alone.",)


async def test_without_words_a_round_that_is_on_is_only_told_of(chat: Dialogue) -> None:
    await given_done(chat)
    await follow(chat.stage, a_review())

    await chat.says("mod", "!fleet again #1")

    chat.answers("…\nis in round 1, for review, already.\n…")
    assert (await chat.stage.task()).notes == ()


@pytest.mark.parametrize(
    ("state", "way"),
    [
        (PullState.CLOSED, "has a closed pull request: reopen that on Forgejo, or !fleet retry …"),
        (PullState.MERGED, "is merged: open an issue for what is missing, or !fleet retry …"),
    ],
)
async def test_without_an_open_pull_request_it_says_what_else_to_do(
    chat: Dialogue, state: PullState, way: str
) -> None:
    await given_done(chat)
    await follow(chat.stage, a_pull(state=state))

    await chat.says("mod", "!fleet again #1 Paint it.")

    chat.answers(f"⚠️ ann/app#1 {way}")


async def test_it_takes_a_moderator(chat: Dialogue) -> None:
    await given_done(chat)
    await chat.says("bob", "!fleet again #1 Paint it.")
    chat.answers("⚠️ Sorry, again takes power level 50 …")


async def test_today_counts_what_was_merged(chat: Dialogue) -> None:
    await given_done(chat)
    await follow(chat.stage, a_pull(state=PullState.MERGED))

    await chat.says("bob", "!fleet status")

    chat.answers("…\n📅 Today: 1 verified, 1 merged, 0 failed…")


async def test_a_list_says_where_each_pull_request_stands(chat: Dialogue) -> None:
    await given_done(chat)
    await follow(chat.stage, a_pull(approved_by=("eve",)))

    await chat.says("bob", "!fleet tasks done")
    chat.answers("📋 …\n• ✅ ann/app#1 Add a greeting, claude-1, approved by eve, …")

    await follow(chat.stage, a_pull(state=PullState.MERGED))
    await chat.says("bob", "!fleet tasks done")
    chat.answers("📋 …\n• 🎉 ann/app#1 Add a greeting, claude-1, merged, …")


# what waits for a person


async def test_a_question_stands_in_the_status_until_somebody_answers(chat: Dialogue) -> None:
    await given_asking(chat)
    await chat.says("bob", "!fleet status")
    chat.answers("🚦 Waiting for a person: 1\n…It is still red: test / unit.…!fleet again …")

    await chat.says("mod", "!fleet again #1 Skip that test.")
    await chat.says("bob", "!fleet status")

    chat.answers("🚦 Nothing waits for a person\n…")


async def test_a_question_outlives_the_memory_of_what_is_done(chat: Dialogue) -> None:
    await given_asking(chat)
    stage = chat.stage
    stage.fleet.forget_closed(stage.clock() + 1)
    assert (await stage.task()).is_asking
    assert len(stage.fleet.state.tasks) == 1

    await stage.fleet.close()
    stage.restart()
    await stage.fleet.start()

    assert [task.is_asking for task in stage.fleet.state.tasks.values()] == [True]


async def test_the_room_is_asked_once_and_told_of_the_merge(chat: Dialogue) -> None:
    chat.stage.told = [destination(ROOM)]
    await given_asking(chat)
    await follow(chat.stage, FAILING)
    asked = sorted(message.text for message in await chat.tells("…", "…", "…"))
    assert asked[-1].startswith("🤔 How does it go on? ann/app#1")

    await follow(chat.stage, a_pull(state=PullState.MERGED, merged_by="ann"))

    await chat.tells("🎉 Merged: ann/app#1 …\nBy ann.")
