"""What a person must say yes to, before it happens: new issues, and work that is done already."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing

import msgspec
import pytest

from fleetbot.chat.commands.desk import Desk
from fleetbot.chat.commands.drafts import Drafts
from fleetbot.chat.commands.rights import Rights
from fleetbot.chat.commands.said import Said
from fleetbot.chat.commands.spec import New
from fleetbot.chat.words.post import Post
from fleetbot.domain.errors import Conflict, Forbidden
from fleetbot.domain.events import TaskCreated
from fleetbot.domain.model import TaskState
from fleetbot.forge.errors import ForgeUnavailable
from fleetbot.forge.models import Issue
from fleetbot.services.wishes import NewIssue, Wishes
from fleetbot.settings import RoomSettings
from tests.chat.dialogue import ROOM, Dialogue, dialogue
from tests.services.stage import REPO, Stage

WISH = "!fleet new Greet in French\nWe have readers there."


def drafts_of(chat: Dialogue) -> Drafts:
    """As after a restart: nothing of them is in memory."""
    stage = chat.stage
    desk = Desk(stage.fleet, stage.tasks, stage.references)
    admit = Rights(chat._level).admit
    return Drafts(desk, Wishes(stage.fleet), admit, chat.bots.link.message, stage.labels.trigger)


async def decides(chat: Dialogue, who: str, draft: str, yes: bool = True) -> str:
    """Somebody says yes or no to the draft that a message led to."""
    room = RoomSettings(default_repo=REPO)
    event = f"$yes-of-{who}-{chat.stage.clock.now}"
    said = Said(f"@{who}:localhost", event, ROOM, ROOM, room, "yes")
    answer = await drafts_of(chat).decide(said, draft, yes)
    assert isinstance(answer, Post)
    return answer.body.text


async def opened(chat: Dialogue) -> list[Issue]:
    """The issues there are but for the first, which is on the stage from the beginning."""
    found = [i async for i in chat.stage.client.iter_issues(REPO, state="all", sort="oldest")]
    return [issue for issue in found if issue.number > 1]


async def test_a_person_sees_what_would_be_opened(chat: Dialogue) -> None:
    await chat.says("mod", WISH)

    draft = chat.answers(
        "📝 Open this issue in ann/app?\n"
        "Greet in French\n"
        "> We have readers there.\n"
        "Label: fleet. The issue says who asked for it.\n"
        "✅ or the reply yes opens it; ❌ or no does not. It lapses in 10 min, at … UTC."
    )
    assert chat.server.reactions(draft.event) == ["✅", "❌"]
    posted = await chat.stage.store.posted(ROOM, draft.event)
    assert posted
    assert (posted.kind, posted.subject) == ("draft", chat.last)
    assert await opened(chat) == []


async def test_a_yes_opens_it_once(chat: Dialogue) -> None:
    wish = await chat.says("mod", WISH)

    said = await decides(chat, "ann", wish)

    assert said.startswith("🆕 ann/app#2 Greet in French\nis opened.")
    (issue,) = await opened(chat)
    assert issue.title == "Greet in French"
    assert issue.label_names == {"fleet"}
    assert issue.body.startswith("We have readers there.\n\n---\nAsked for in Matrix by `@")
    assert (await chat.stage.task(2)).state is TaskState.CREATED
    created = [x for x in await chat.stage.journal() if isinstance(x.event, TaskCreated)]
    assert created[-1].actor == "matrix:@ann:localhost"

    again = await decides(chat, "mod", wish)
    assert again.startswith("⏳ ann/app#2 Greet in French\nwaiting")
    assert len(await opened(chat)) == 1


async def test_the_issue_mentions_nobody_on_the_forge(chat: Dialogue) -> None:
    wish = await chat.says("ann", WISH)
    await decides(chat, "ann", wish)

    (issue,) = await opened(chat)
    assert "@ann" not in issue.body
    assert "@\u200bann:localhost" in issue.body


async def test_people_who_say_yes_at_once_open_it_once(chat: Dialogue) -> None:
    wish = await chat.says("mod", WISH)
    drafts, room = drafts_of(chat), RoomSettings(default_repo=REPO)
    people = [Said(f"@{who}:localhost", f"$y{who}", ROOM, ROOM, room, "") for who in ("ann", "mod")]

    await asyncio.gather(*(drafts.decide(said, wish, True) for said in people))

    assert len(await opened(chat)) == 1


async def test_a_no_is_a_no(chat: Dialogue) -> None:
    wish = await chat.says("mod", WISH)

    assert await decides(chat, "mod", wish, yes=False) == "🗑️ Let go of; nothing was done."

    said = await decides(chat, "ann", wish)
    assert said == "🗑️ mod has said no to this; nothing was done."
    assert await opened(chat) == []


@pytest.mark.parametrize("yes", [True, False])
async def test_who_may_not_open_issues_may_not_decide(chat: Dialogue, yes: bool) -> None:
    wish = await chat.says("mod", WISH)

    with pytest.raises(Forbidden, match="`new` takes power level 50"):
        await decides(chat, "bob", wish, yes)

    assert (await decides(chat, "mod", wish)).startswith("🆕")


async def test_a_draft_lapses(chat: Dialogue) -> None:
    wish = await chat.says("mod", WISH)
    chat.stage.clock.advance(600)

    said = await decides(chat, "mod", wish)

    assert said == "⌛ This has lapsed; nothing was done. Say it again if it is still wanted."
    assert await opened(chat) == []
    assert await decides(chat, "mod", wish, yes=False) == said


async def test_a_draft_is_not_kept_for_ever(chat: Dialogue) -> None:
    await chat.says("mod", WISH)
    chat.stage.clock.advance(601)
    await chat.says("mod", "!fleet new Another")

    due = await chat.stage.store.arrivals_due("draft", chat.stage.clock.now + 600_000)

    assert len(due) == 1


async def test_a_draft_that_nobody_knows_opens_nothing(chat: Dialogue) -> None:
    said = await decides(chat, "mod", "$unheard-of")
    assert said == "🤷 I know nothing of this any more; nothing was done. Say it again."


async def test_while_forgejo_is_away_a_yes_may_be_said_again(chat: Dialogue) -> None:
    wish = await chat.says("mod", WISH)
    chat.stage.forge.fail_next("POST", f"/repos/{REPO}/issues$", 503)
    with pytest.raises(ForgeUnavailable):
        await decides(chat, "mod", wish)

    assert (await decides(chat, "mod", wish)).startswith("🆕")
    assert len(await opened(chat)) == 1


async def test_a_kill_after_the_issue_was_opened_leaves_one_issue(chat: Dialogue) -> None:
    wish = await chat.says("mod", WISH)
    await decides(chat, "mod", wish)
    forgets = "UPDATE arrivals SET body = ?, answer = NULL WHERE key = ?"
    what = NewIssue(REPO, "Greet in French", "We have readers there.", "@mod:localhost")
    with closing(sqlite3.connect(chat.stage.root / "fleet.db")) as database, database:
        database.execute(forgets, (msgspec.json.encode(what), f"draft:{wish}"))

    assert (await decides(chat, "mod", wish)).startswith("🆕 ann/app#2")

    assert len(await opened(chat)) == 1


async def test_the_same_message_asks_for_the_same_draft(chat: Dialogue) -> None:
    content = {"msgtype": "m.text", "body": WISH}
    await chat.sends("mod", "m.room.message", content, event="$wish")
    handlers = drafts_of(chat)
    await decides(chat, "mod", "$wish", yes=False)

    said = Said("@mod:localhost", "$wish", ROOM, ROOM, RoomSettings(default_repo=REPO), WISH)
    again = await handlers.new(New("Greet in French"), said)

    assert again.body.text == "🗑️ mod has said no to this; nothing was done."


# what an issue is made of


async def test_the_text_of_a_reply_is_what_it_replies_to(chat: Dialogue) -> None:
    words = await chat.says("bob", "The door @ann squeaks,\nsince <b>Monday</b>. Closes #1")
    wish = await chat.says("mod", "!fleet new Oil the door", to=words)

    await decides(chat, "mod", wish)

    (issue,) = await opened(chat)
    text = issue.body.replace("\u200b", "")
    assert text.startswith("`@bob:localhost` said:\n\n> The door @ann squeaks,\n> since &lt;b&gt;")
    assert "#1" not in issue.body, "it refers to nothing"
    assert "@ann" not in issue.body


async def test_own_words_go_before_those_that_are_replied_to(chat: Dialogue) -> None:
    words = await chat.says("bob", "The door squeaks.")
    wish = await chat.says("mod", "!fleet new Oil the door\nAll of it.", to=words)

    await decides(chat, "mod", wish)

    assert (await opened(chat))[0].body.startswith("All of it.\n\n---")


async def test_what_is_replied_to_and_cannot_be_read_is_asked_for(chat: Dialogue) -> None:
    await chat.says("mod", "!fleet new Oil the door", to="$gone")
    chat.answers("⚠️ What you reply to cannot be read: write the text below the title.")


async def test_a_repository_is_named_or_the_rooms_own(stage: Stage) -> None:
    async with dialogue(stage, RoomSettings()) as chat:
        await chat.says("mod", "!fleet new ann/app Greet in French")
        chat.answers("📝 Open this issue in ann/app?\nGreet in French\n…")
        await chat.says("mod", "!fleet new Greet in French")
        chat.answers("📝 Open this issue in ann/app?\nGreet in French\n…")
        await chat.says("mod", "!fleet new ann/other Greet in French")
        chat.answers("⚠️ The fleet does not work on ann/other; it does on: ann/app.")


async def test_a_repository_of_another_room_is_refused(stage: Stage) -> None:
    async with dialogue(stage, RoomSettings(repos=("team/web",))) as chat:
        await chat.says("mod", "!fleet new ann/app Greet in French")
        chat.answers("⚠️ ann/app is not a repository of this room.")


async def test_a_title_is_one_line_that_forgejo_takes(chat: Dialogue) -> None:
    await chat.says("mod", f"!fleet new {'long ' * 60}")
    chat.answers("⚠️ The first line is the title, and Forgejo takes 255 letters: …")

    await chat.says("mod", f"!fleet new Greet\n{'long ' * 5000}")
    chat.answers("⚠️ An issue takes 20000 letters here: shorten it.")


# work that is done


async def given_done(chat: Dialogue) -> None:
    stage = chat.stage
    run = await stage.given_running()
    await stage.given_receipt(run, await stage.pull_request(run))
    await stage.verifier.tick()
    assert (await stage.task()).state is TaskState.COMPLETED


async def test_what_is_done_is_begun_anew_only_after_a_yes(chat: Dialogue) -> None:
    await given_done(chat)
    wish = await chat.says("mod", "!fleet retry #1")
    chat.answers(
        "✅ This is done already. Do it again?\n"
        "ann/app#1 Add a greeting\n"
        "A new run costs anew, and goes on from what the forge shows now.\n"
        "✅ or the reply yes begins it anew; ❌ or no does not. It lapses in 10 min, at … UTC."
    )
    assert (await chat.stage.task()).state is TaskState.COMPLETED

    said = await decides(chat, "mod", wish)
    assert said.startswith("🔁 ann/app#1 Add a greeting\nis begun anew.")
    assert (await chat.stage.task()).state is TaskState.CREATED


async def test_a_yes_begins_it_anew_once(chat: Dialogue) -> None:
    await given_done(chat)
    wish = await chat.says("mod", "!fleet retry #1")
    await decides(chat, "mod", wish)
    await chat.says("mod", "!fleet cancel #1")

    said = await decides(chat, "ann", wish)

    assert said.startswith("✖️ ann/app#1 Add a greeting\ncancelled")
    assert (await chat.stage.task()).state is TaskState.CANCELLED


async def test_what_is_merged_and_closed_is_not_even_asked_about(chat: Dialogue) -> None:
    await given_done(chat)
    await chat.stage.ann.edit_issue(REPO, 1, state="closed")

    await chat.says("mod", "!fleet retry #1")

    chat.answers("⚠️ ann/app#1 is completed, and its issue is closed. Reopen the issue: that has …")


async def test_an_issue_that_is_closed_meanwhile_is_not_begun_anew(chat: Dialogue) -> None:
    await given_done(chat)
    wish = await chat.says("mod", "!fleet retry #1")
    await chat.stage.ann.edit_issue(REPO, 1, state="closed")

    with pytest.raises(Conflict, match="Reopen the issue"):
        await decides(chat, "mod", wish)
