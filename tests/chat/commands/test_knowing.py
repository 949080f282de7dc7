"""People say who they are on Forgejo, and prove it by a comment from there."""

from __future__ import annotations

import pytest

from fleetbot.services.proofs import MOST_CODES, MOST_LOOKS
from fleetbot.settings import RoomSettings
from tests.chat.dialogue import ROOM, Dialogue, dialogue
from tests.services.stage import REPO, Stage

BOB = "@bob:localhost"


async def code(chat: Dialogue, who: str = "bob", login: str = "ann") -> str:
    """What the person has to comment with, as they are told."""
    await chat.says(who, f"!fleet iam {login}")
    said = chat.answers(
        f"🪪 To show that {login} on Forgejo is you, comment from there\n"
        "on any issue of ann/app, with nothing but: fleet-…\n"
        f"I notice by myself; else say !fleet iam {login} again.\n"
        "The code lapses in 15 min, at … UTC."
    )
    return said.text.partition("with nothing but: ")[2].splitlines()[0]


async def comments(chat: Dialogue, body: str, number: int = 1) -> None:
    """Ann comments, and Forgejo tells of it."""
    await chat.stage.ann.create_comment(REPO, number, body)
    await chat.stage.hear()


@pytest.mark.parametrize("form", ["{}", "  {}\n", "`{}`", "**{}**"])
async def test_a_comment_with_the_code_proves_it(chat: Dialogue, form: str) -> None:
    await comments(chat, form.format(await code(chat)))

    assert chat.stage.people.mxid_of("Ann") == BOB
    assert chat.stage.people.login_of(BOB) == "ann"
    (due,) = await chat.stage.store.due(chat.stage.clock.now, {"matrix": 5})
    assert (due.entry.id, due.entry.destination) == (f"{BOB} is ann", f"matrix:{ROOM}")


async def test_who_is_known_is_told_so(chat: Dialogue) -> None:
    await comments(chat, await code(chat))

    await chat.says("bob", "!fleet iam @ANN")

    chat.answers("🪪 I know you as ANN on Forgejo already.")


async def test_a_comment_of_somebody_else_proves_nothing(chat: Dialogue) -> None:
    await comments(chat, await code(chat, login="carl"))
    assert chat.stage.store.people == {}


@pytest.mark.parametrize("form", ["> {}", "look: {}", "{} {}", "{}\n\nhello", "x{}"])
async def test_a_code_among_other_words_proves_nothing(chat: Dialogue, form: str) -> None:
    secret = await code(chat)
    await comments(chat, form.format(secret, secret))
    assert chat.stage.store.people == {}


async def test_what_only_looks_like_a_code_is_passed_over(chat: Dialogue) -> None:
    """The long s is an s to whoever does not look at the case."""
    secret = await code(chat)
    chat.stage.clock.advance(60)
    chat.stage.forge.lose_webhooks(9)
    await comments(chat, "fleet-" + 8 * "\u017f")
    await comments(chat, secret)

    await chat.says("bob", "!fleet iam ann")

    chat.answers("🪪 ann on Forgejo is bob here.\n…")


async def test_a_comment_that_was_changed_proves_nothing(chat: Dialogue) -> None:
    secret = await code(chat)
    comment = await chat.stage.ann.create_comment(REPO, 1, "hello")
    chat.stage.clock.advance(2)
    await chat.stage.ann.edit_comment(REPO, comment.id, secret)
    await chat.stage.hear()
    assert chat.stage.store.people == {}

    await chat.says("bob", "!fleet iam ann")
    chat.answers("🪪 To show that ann …")


async def test_a_code_lapses(chat: Dialogue) -> None:
    secret = await code(chat)
    chat.stage.clock.advance(900)
    await comments(chat, secret)
    assert chat.stage.store.people == {}

    assert await code(chat) != secret


async def test_the_same_code_is_told_while_it_is_good(chat: Dialogue) -> None:
    secret = await code(chat)
    chat.stage.clock.advance(60)
    await chat.says("bob", "!fleet iam ann")
    assert secret in chat.new[0].text


async def test_a_lost_webhook_costs_a_word(chat: Dialogue) -> None:
    secret = await code(chat)
    chat.stage.clock.advance(60)
    chat.stage.forge.lose_webhooks(9)
    await comments(chat, secret)
    assert chat.stage.store.people == {}

    await chat.says("bob", "!fleet iam ann")

    chat.answers(
        "🪪 ann on Forgejo is bob here.\nFrom now on you are the one who is told of what is yours."
    )
    assert chat.stage.people.mxid_of("ann") == BOB
    assert await chat.stage.store.due(chat.stage.clock.now, {"matrix": 5}) == []


async def test_forgejo_is_asked_a_few_times_an_hour_for_one_person(chat: Dialogue) -> None:
    await code(chat)
    chat.stage.clock.advance(60)
    for _ in range(MOST_LOOKS):
        await chat.says("bob", "!fleet iam ann")
        chat.answers("🪪 To show that ann …")
    asked = len(chat.stage.forge.requests)

    await chat.says("bob", "!fleet iam ann")

    chat.answers(
        "⚠️ I have looked for your comment 4 times within an hour. I notice it by myself where"
        " Forgejo's webhook tells of it, and look again in 60 min if you ask then."
    )
    assert len(chat.stage.forge.requests) == asked
    assert "To show that carl" in await asked_of(chat, "mod", "carl")  # others are not kept waiting
    chat.stage.clock.advance(3600)
    assert "To show that ann" in await asked_of(chat, "bob", "ann")


async def test_a_person_has_one_open_claim_and_a_few_codes_an_hour(chat: Dialogue) -> None:
    first = await code(chat, login="login0")
    for number in range(1, MOST_CODES):
        await code(chat, login=f"login{number}")

    assert "You have had 6 codes within an hour" in await asked_of(chat, "bob", "ann")

    await comments(chat, first)
    assert chat.stage.store.people == {}  # only the newest can still be proven
    last = f"login{MOST_CODES - 1}"
    assert "To show that" in await asked_of(chat, "bob", last)


async def asked_of(chat: Dialogue, who: str, login: str) -> str:
    await chat.says(who, f"!fleet iam {login}")
    return chat.answers("…").text


async def test_a_proof_is_known_after_a_restart_and_for_one_person(chat: Dialogue) -> None:
    await comments(chat, await code(chat))
    await comments(chat, await code(chat, who="mod"))

    assert chat.stage.people.mxid_of("ann") == "@mod:localhost"
    assert chat.stage.people.login_of(BOB) is None


async def test_what_the_settings_say_is_not_proven_away(stage: Stage) -> None:
    await stage.issue()
    await stage.change(listed={"Ann": "@boss:localhost"})
    async with dialogue(stage, RoomSettings(default_repo=REPO)) as chat:
        await chat.says("bob", "!fleet iam ann")
        chat.answers("⚠️ The settings say that ann is @\u2060boss:localhost; chat.people would …")


@pytest.mark.parametrize("login", ["a/b", "-ann", "x" * 41, "https://forge.example/ann"])
async def test_what_is_no_login_is_refused(chat: Dialogue, login: str) -> None:
    await chat.says("bob", f"!fleet iam {login}")
    chat.answers("⚠️ … is no account's name on Forgejo.")


async def test_other_comments_are_not_even_kept(chat: Dialogue) -> None:
    await code(chat)
    await chat.stage.ann.create_comment(REPO, 1, "An ordinary comment")
    await chat.stage.forge.delivered()

    assert await chat.stage.store.arrivals_due("webhook", chat.stage.clock.now) == []
