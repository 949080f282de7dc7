"""Whom the demo's prompt speaks to, when nobody says which message is meant."""

from __future__ import annotations

from fleetbot_devkit.chat_prompt import Shown
from fleetbot_devkit.matrix_user import RoomEvent


def message(id: str, *, edits: str = "", thread: str = "") -> RoomEvent:
    related = {"rel_type": "m.replace", "event_id": edits} if edits else {}
    related = {"rel_type": "m.thread", "event_id": thread} if thread else related
    content = {"body": id, "m.relates_to": related}
    return RoomEvent(id, "!room", "@fleetbot:hs", "m.room.message", content)


def meant(shown: Shown, rest: str, *, in_thread: bool = False) -> tuple[str | None, str]:
    event, words = shown.meant(rest, in_thread=in_thread)
    return (event.event_id if event else None), words


def test_a_reply_is_to_the_newest_question_until_it_is_decided() -> None:
    shown = Shown()
    shown.note(message("$old"))
    shown.note_button("$old", "❌")
    shown.note(message("$draft"))
    shown.note_button("$draft", "❌")
    shown.note(message("$card"))
    assert meant(shown, "yes") == ("$draft", "yes")

    shown.note(message("$edit", edits="$draft"))
    assert meant(shown, "yes") == ("$old", "yes")

    shown.note(message("$edit2", edits="$old"))
    assert meant(shown, "yes") == ("$card", "yes"), "nothing is asked: the newest message"


def test_messages_have_numbers_and_an_edit_that_of_its_message() -> None:
    shown = Shown()
    numbers = [
        shown.note(event)
        for event in (message("$1"), message("$2"), message("$3", edits="$1"), message("$4"))
    ]
    assert numbers == [1, 2, 1, 3]
    assert meant(shown, "2 no, use tabs") == ("$2", "no, use tabs")
    assert meant(shown, "2024 was better") == ("$4", "2024 was better")


def test_what_is_said_in_a_thread_is_said_in_the_newest_one() -> None:
    shown = Shown()
    shown.note(message("$1", thread="$0"))
    shown.note(message("$2"))
    assert meant(shown, "leave the tests alone", in_thread=True) == ("$1", "leave the tests alone")
    assert meant(shown, "", in_thread=True) == (None, "")
