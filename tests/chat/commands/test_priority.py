"""How urgent a task is: a person says it, and its issue's labels follow."""

from __future__ import annotations

import pytest

from fleetbot.domain.model import Priority
from fleetbot.services.labels import LabelMaps, priority_labels_after
from tests.chat.dialogue import Dialogue
from tests.services.stage import BOT, REPO


async def labels(chat: Dialogue) -> frozenset[str]:
    return frozenset((await chat.stage.client.issue(REPO, 1)).label_names)


async def test_a_person_has_it_go_first(chat: Dialogue) -> None:
    await chat.says("mod", "!fleet priority #1 high")

    chat.answers("🎚️ ann/app#1 Add a greeting\nhas high priority now.\n…")
    assert (await chat.stage.task()).traits.priority is Priority.HIGH
    assert await labels(chat) == {"fleet", "priority:high"}
    assert (await chat.stage.journal())[-1].actor == "matrix:@mod:localhost"


async def test_one_priority_takes_the_place_of_another(chat: Dialogue) -> None:
    await chat.says("mod", "!fleet priority urgent #1")
    await chat.says("mod", "!fleet priority #1 low")
    assert await labels(chat) == {"fleet", "priority:low"}

    await chat.says("mod", "!fleet priority #1 normal")
    assert await labels(chat) == {"fleet"}
    assert (await chat.stage.task()).traits.priority is Priority.NORMAL


async def test_it_holds_until_a_label_says_something_else(chat: Dialogue) -> None:
    await chat.says("mod", "!fleet priority #1 high")
    await chat.stage.hear()
    assert (await chat.stage.task()).traits.priority is Priority.HIGH

    await chat.stage.ann.remove_issue_label(REPO, 1, "priority:high")
    await chat.stage.hear()

    assert (await chat.stage.task()).traits.priority is Priority.NORMAL


async def test_what_is_so_already_is_said(chat: Dialogue) -> None:
    await chat.says("mod", "!fleet priority #1 normal")
    chat.answers("🎚️ ann/app#1 Add a greeting\nhas normal priority already.\n…")


async def test_what_is_over_waits_for_nothing(chat: Dialogue) -> None:
    await chat.says("mod", "!fleet cancel #1")
    await chat.says("mod", "!fleet priority #1 high")
    chat.answers("⚠️ ann/app#1 is cancelled: it waits for nothing.")


async def test_a_bot_that_may_not_label_says_so(chat: Dialogue) -> None:
    chat.stage.forge.add_collaborator(REPO, BOT, "read")
    await chat.says("mod", "!fleet priority #1 high")
    chat.answers("⚠️ The bot may not label issues of ann/app: give it write access there.")


async def test_while_forgejo_is_away_nothing_changes(chat: Dialogue) -> None:
    chat.stage.forge.fail_next("GET", f"/repos/{REPO}/issues/1$", 503)
    await chat.says("mod", "!fleet priority #1 high")
    chat.answers("⚠️ Forgejo did not go along; nothing has changed: …")
    assert (await chat.stage.task()).traits.priority is Priority.NORMAL


@pytest.mark.parametrize(
    ("body", "answer"),
    [
        ("!fleet priority #1", "🤔 Which priority?…"),
        ("!fleet priority high", "⚠️ Which issue? …"),
        ("!fleet priority #1 highest", "🤔 …"),
    ],
)
async def test_what_is_missing_is_asked_for(chat: Dialogue, body: str, answer: str) -> None:
    await chat.says("mod", body)
    chat.answers(answer)


def test_a_priority_without_a_label_cannot_be_said() -> None:
    maps = LabelMaps(priorities={"rush": "urgent", "asap": "urgent"})
    assert priority_labels_after({"fleet"}, Priority.HIGH, maps) == (None, set())
    assert priority_labels_after({"fleet"}, Priority.URGENT, maps) == ("rush", set())
    assert priority_labels_after({"asap"}, Priority.URGENT, maps) == ("", set())
    assert priority_labels_after({"asap"}, Priority.NORMAL, maps) == ("", {"asap"})
