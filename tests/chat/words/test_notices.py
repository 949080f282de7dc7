"""What a room hears of a task, word for word: as text and as HTML."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from fleetbot.chat.words.notices import again, task_notice
from fleetbot.chat.words.post import Post
from fleetbot.chat.words.rich import mention, say
from fleetbot.chat.words.wording import ago, dated, duration, until
from fleetbot.domain import commands as cmd
from fleetbot.domain.announce import task_name
from fleetbot.domain.effects import NoticeKind, RunName, TaskNotice
from fleetbot.domain.model import OverlapMode, Policy
from fleetbot.domain.pulls import PullState
from fleetbot.domain.reasons import ReasonCode
from fleetbot.domain.receipts import Verified
from fleetbot.domain.wording import span
from fleetbot.store.records import PostKind
from tests.chat.markup import Markup, mentions
from tests.domain import builders as a
from tests.domain.builders import HOUR, MINUTE, SECOND, START, World

LOCK_SCREEN = 110  # characters
ADA = mention("@ada:hs")


@pytest.fixture
def running() -> World:
    """team/app#1 is at work with claude-1, since a minute."""
    world = World().given(a.an_agent(), a.a_task(), a.dispatch(), a.start())
    return world.later(MINUTE)


def heard(world: World, command: cmd.Command) -> Post:
    (effect,) = (x for x in world.told(command) if isinstance(x, TaskNotice))
    return task_notice(effect, ADA)


def lines(message: Post) -> list[str]:
    return message.body.text.split("\n")


def test_a_completion_begins_with_the_outcome_and_its_proof(running: World) -> None:
    running.given(cmd.FileReceipt(a.R1, a.A1, a.a_receipt(summary="The door\ncloses again.")))
    running.later(11 * MINUTE)

    message = heard(running, cmd.Conclude(a.C1, Verified()))

    assert message.urgent
    assert lines(message) == [
        "✅ Done: team/app#1 Mend the door · PR #7",
        "By claude-1 in 12 min.",
        "> The door",
        "> closes again.",
    ]
    assert message.body.html == (
        '✅ Done: <b><a href="https://forge.example/team/app/issues/1">team/app#1</a></b>'
        ' Mend the door · <a href="https://forge.example/team/app/pulls/7">PR #7</a>'
        "<br>By <b>claude-1</b> in 12 min."
        "<blockquote>The door<br>closes again.</blockquote>"
    )


def test_a_failure_for_good_says_what_a_person_can_do(running: World) -> None:
    message = heard(running, a.fail(ReasonCode.NO_CHANGES, detail="Nothing to mend."))

    assert lines(message) == [
        "❌ Failed: team/app#1 Mend the door",
        "claude-1, attempt 1: the agent ended without changing anything.",
        "> Nothing to mend.",
        "Say in the issue what should change, then retry.",
        "🙋 ada: !fleet retry team/app#1 tries it again.",
    ]
    assert message.body.html == (
        '❌ Failed: <b><a href="https://forge.example/team/app/issues/1">team/app#1</a></b>'
        " Mend the door"
        "<br><b>claude-1</b>, attempt 1: the agent ended without changing anything."
        "<blockquote>Nothing to mend.</blockquote>"
        "<i>Say in the issue what should change, then retry.</i>"
        '<br>🙋 <a href="https://matrix.to/#/@ada:hs">ada</a>:'
        " <code>!fleet retry team/app#1</code> tries it again."
    )
    assert message.body.mentions == ("@ada:hs",)
    assert message.about == (PostKind.NOTICE, a.T1)


def test_a_branch_that_is_gone_is_told_with_what_to_do() -> None:
    gone = cmd.SetBase(task=a.T1, base="trunk", problem="There is no branch trunk.")

    message = heard(a.created(), gone)

    assert lines(message)[:2] == [
        "⏸️ Cannot start: team/app#1 Mend the door",
        "> There is no branch trunk.",
    ]
    assert lines(message)[2].startswith("🙋 ada: ")


def test_a_long_title_leaves_room_for_why() -> None:
    world = World().given(a.an_agent(), a.a_task(title="Mend " + "the very old door " * 9))
    world.given(a.dispatch(), a.start())

    message = heard(world, a.fail(ReasonCode.NO_CHANGES))

    assert message.body.text.startswith("❌ Failed: team/app#1 Mend the very old door")
    assert "without changing" in message.body.text[: LOCK_SCREEN + 30]


def test_the_same_again_is_counted() -> None:
    said = again(say("❌ Failed"), 3, START, START + 12 * MINUTE)
    assert said.text == f"❌ Failed\n🔂 3 times in 12 min, last on {dated(START + 12 * MINUTE)}."
    assert again(say("❌ Failed"), 1, START, START) == say("❌ Failed")


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

    message = task_notice(effect)

    assert not mentions(Markup(message.body.html).text)
    assert not mentions(message.body.text)
    assert message.body.mentions == ()


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
    assert dated(START) == "14 Nov, 22:13 UTC"


@pytest.mark.parametrize(("took", "words"), [(3, "1 s"), (SECOND, "1 s"), (5 * MINUTE, "5 min")])
def test_nothing_is_done_in_no_time(took: int, words: str) -> None:
    run = a.running().run()
    assert duration(replace(run, ended_at=run.started_at + took)) == words
    assert duration(run) == ""


def test_same_files_begin_with_whose_and_say_what_can_be_done(running: World) -> None:
    running.given(a.a_task(a.T2, title="Oil the hinge"))
    message = heard(running, a.overlap(a.T1, a.T2, *(f"{n}.py" for n in range(9))))
    assert message.urgent
    assert lines(message) == [
        "🔀 Same files: team/app#2 Oil the hinge",
        "9 files that team/app#1 changes too.",
        "> 0.py, 1.py, 2.py, 3.py, 4.py and 4 more",
        "🙋 ada: To have it wait until that is merged or closed: "
        "!fleet queue team/app#2 after team/app#1.",
    ]


def test_of_two_that_have_begun_nobody_can_do_anything(running: World) -> None:
    running.given(a.an_agent(a.A2), a.a_task(a.T2), a.dispatch(a.A2, a.R2), a.start(a.R2, a.A2))
    message = heard(running, a.overlap(a.T1, a.T2))
    assert not message.urgent
    assert lines(message) == [
        "🔀 Same files: team/app#2 Mend the door",
        "1 file that team/app#1 changes too.",
        "> door.py",
        "Both have begun: whichever is merged second will have to merge the other.",
    ]


def test_what_waits_by_itself_says_how_it_need_not(running: World) -> None:
    running.policy = Policy(overlap=OverlapMode.QUEUE)
    message = heard(running.given(a.a_task(a.T2)), a.overlap(a.T1, a.T2))
    assert not message.urgent
    assert lines(message)[-1] == (
        "It waits until that is merged or closed. Sooner: !fleet queue team/app#2 now."
    )


def test_names_of_files_are_escaped(running: World) -> None:
    running.given(a.a_task(a.T2))
    message = heard(running, a.overlap(a.T1, a.T2, "<b>@room</b>\n.py"))
    assert "<b>@room" not in message.body.html
    assert "&lt;b&gt;" in message.body.html


# of a pull request


def test_a_round_is_no_second_completion() -> None:
    world = a.answered()
    world.given(a.follow(a.red()), a.dispatch(run=a.R3), a.start(a.R3)).later(6 * MINUTE)
    world.given(cmd.FileReceipt(a.R3, a.A1, a.a_receipt(a.C3, summary="It was the clock.")))

    message = heard(world, a.verified(a.C3))

    assert lines(message) == [
        "✅ Answered: team/app#1 Mend the door · PR #7",
        "Round 2, for CI.",
        "By claude-1 in 6 min.",
        "> It was the clock.",
    ]


def test_a_round_tells_what_became_of_the_threads() -> None:
    world = a.completed().given(a.follow(a.a_review(threads=(a.a_thread(31), a.a_thread(32)))))
    world.given(a.dispatch(run=a.R2), a.start(a.R2), a.replied())

    told = lines(heard(world, a.verified(a.C2)))

    assert told[1] == "Round 1, for review; threads: 1 fixed, 1 disagreed."


def test_a_merge_is_told_with_who_did_it_and_rings_for_nobody() -> None:
    merged = a.a_pull(state=PullState.MERGED, merged_by="bob")

    message = heard(a.completed(), a.follow(merged))

    assert lines(message) == ["🎉 Merged: team/app#1 Mend the door · PR #7", "By bob."]
    assert not message.urgent


def test_one_that_is_closed_is_told_with_what_moves_it() -> None:
    message = heard(a.completed(), a.follow(a.a_pull(state=PullState.CLOSED)))

    assert lines(message) == [
        "🚪 Closed without being merged: team/app#1 Mend the door · PR #7",
        "Reopen it on Forgejo, and it goes on. To have it done anew: !fleet retry team/app#1.",
    ]


def test_a_question_about_a_pull_request_says_how_to_answer_it() -> None:
    world = a.completed(World(policy=Policy(max_ci_rounds=0)))

    message = heard(world, a.follow(a.red()))

    assert lines(message) == [
        "🤔 How does it go on? team/app#1 Mend the door · PR #7",
        "There are to be no rounds for CI. It is still red: test / unit.",
        "🙋 ada: say what to do, !fleet again team/app#1 …, or !fleet land team/app#1,"
        " or close it on Forgejo.",
    ]
    assert message.body.mentions == ("@ada:hs",)
