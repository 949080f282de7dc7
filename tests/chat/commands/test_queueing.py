"""Two tasks change the same files: the room hears once, and one may be queued behind the other."""

from __future__ import annotations

import pytest

from fleetbot.chat.commands.grammar import place_in_queue
from fleetbot.domain import commands as cmd
from fleetbot.domain.model import Run, TaskState
from tests.chat.dialogue import Dialogue
from tests.services.stage import TEST


async def given_one_at_work(chat: Dialogue) -> Run:
    """ann/app#1 is at work, and ann/app#2 waits in the queue."""
    run = await chat.stage.given_running()
    await chat.stage.issue("Greet in French")
    await chat.stage.hear()
    return run


async def meet(chat: Dialogue) -> None:
    one, other = await chat.stage.task(1), await chat.stage.task(2)
    files = ("hello.txt", "<b>door</b>.py")
    await chat.stage.fleet.commit(cmd.NoteOverlap(one.id, other.id, files), TEST)


async def test_the_room_is_offered_to_queue_one_and_a_person_does(chat: Dialogue) -> None:
    await given_one_at_work(chat)
    await chat.bots.courier.tick()

    await meet(chat)
    await chat.tells(
        "🔀 Same files: ann/app#2 Greet in French\n2 files that ann/app#1 changes too.\n"
        "> hello.txt, <b>door</b>.py\n"
        "🙋 To have it wait until that is merged or closed: "
        "!fleet queue ann/app#2 after ann/app#1.",
    )
    await chat.says("mod", "!fleet queue #2 after #1")

    chat.answers("🔀 ann/app#2 Greet in French\nis queued behind ann/app#1 now.\n…")
    assert (await chat.stage.task(2)).behind is not None
    assert (await chat.stage.journal())[-1].actor == "matrix:@mod:localhost"
    await chat.says("bob", "!fleet why #2")
    chat.answers("…It is queued behind ann/app#1, which claude-1 is working on since …")


async def test_it_goes_on_at_a_persons_word(chat: Dialogue) -> None:
    await given_one_at_work(chat)
    await chat.says("mod", "!fleet queue #2 behind #1")
    await chat.says("mod", "!fleet queue #2 after #1")
    chat.answers("🔀 ann/app#2 Greet in French\nis queued behind ann/app#1 already.\n…")

    await chat.says("mod", "!fleet queue #2 now")

    chat.answers("🔀 ann/app#2 Greet in French\nwaits behind no other any more.\n…")
    assert (await chat.stage.task(2)).is_ready
    await chat.says("mod", "!fleet queue #2 now")
    chat.answers("🔀 ann/app#2 Greet in French\nwaits behind no other.\n…")


async def test_what_has_begun_is_not_interrupted_and_it_says_so(chat: Dialogue) -> None:
    await given_one_at_work(chat)
    await chat.says("mod", "!fleet queue #1 after #2")
    chat.answers(
        "⚠️ ann/app#1 is not in the queue but running: only what waits there can wait behind "
        "another. One of the two will have to merge the other."
    )
    assert (await chat.stage.task(1)).state is TaskState.RUNNING


async def test_of_what_has_ended_nobody_will_have_to_merge_anything(chat: Dialogue) -> None:
    await given_one_at_work(chat)
    await chat.says("mod", "!fleet cancel #1")
    await chat.says("mod", "!fleet queue #1 after #2")
    chat.answers(
        "⚠️ ann/app#1 is not in the queue but cancelled: only what waits there can wait behind "
        "another."
    )


async def test_who_may_not_move_tasks_may_not_queue_them(chat: Dialogue) -> None:
    await given_one_at_work(chat)
    await chat.says("bob", "!fleet queue #2 after #1")
    chat.answers("⚠️ Sorry, queue takes power level 50 …")


async def test_an_order_without_a_place_is_explained(chat: Dialogue) -> None:
    await given_one_at_work(chat)
    await chat.says("mod", "!fleet queue #2 last")
    chat.answers("⚠️ Say behind which: !fleet queue #12 after #7. Or !fleet queue #12 now.")


@pytest.mark.parametrize(
    ("said", "place"),
    [
        ("after #7", "#7"),
        ("behind 7", "#7"),
        ("After `acme/app#7`.", "acme/app#7"),
        (
            "after [acme/app#7](https://forge.example/acme/app/issues/7)",
            "https://forge.example/acme/app/issues/7",
        ),
        ("now", ""),
        ("NOW", ""),
        ("after", None),
        ("after #7 and #8", None),
        ("#7", None),
        ("now #7", None),
        ("later", None),
    ],
)
def test_a_place_in_the_queue(said: str, place: str | None) -> None:
    assert place_in_queue(said) == place
