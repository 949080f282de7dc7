"""Which task is meant: by a link, by its pull request, or by what is replied to."""

from __future__ import annotations

import pytest

from fleetbot.chat.speaking.runs import begins
from fleetbot.domain import commands as cmd
from fleetbot.domain.events import AgentRegistered
from fleetbot.domain.model import RunId
from fleetbot.store.records import Change, Posted, PostKind
from tests.chat.dialogue import ROOM, Dialogue
from tests.services.stage import BOT, CLAUDE, REPO, TEST


async def posted(chat: Dialogue, event: str, kind: PostKind, subject: str) -> str:
    """A message of ours that is about something."""
    its = Posted(room=ROOM, event=event, kind=kind, subject=subject, at=chat.stage.clock())
    await chat.stage.store.append(Change(posted=(its,)))
    return event


async def test_a_link_is_understood_as_it_is_copied(chat: Dialogue) -> None:
    url = (await chat.stage.task()).url
    for link in (f"{url}#issuecomment-7", f"<{url}/>", f"[Add a greeting]({url}?x=1)"):
        await chat.says("bob", f"!fleet why {link}")
        chat.answers(f"⏳ {REPO}#1 Add a greeting…")


async def test_another_forges_link_is_refused(chat: Dialogue) -> None:
    await chat.says("mod", f"/cancel https://github.com/{REPO}/issues/1")
    chat.answers("⚠️ That link leads to github.com, and the fleet works on 127.0.0.1.")


async def test_a_pull_request_of_a_task_means_the_task(chat: Dialogue) -> None:
    stage = chat.stage
    pull = await stage.pull_request(await stage.given_running())

    for said in (f"{stage.forge.url}/{REPO}/pulls/{pull.number}/files", f"#{pull.number}"):
        await chat.says("bob", f"!fleet why {said}")
        chat.answers(f"⚙️ {REPO}#1 Add a greeting…")


@pytest.mark.parametrize("branch", ["theirs", f"fleet/{'9' * 30}-mine"])
async def test_a_pull_request_of_others_is_refused(chat: Dialogue, branch: str) -> None:
    stage = chat.stage
    await stage.forge.commit(REPO, branch, {"x.txt": "x\n"}, "Mine", by=BOT)
    pull = await stage.client.create_pull(REPO, head=branch, base="main", title="Mine", body="")

    await chat.says("mod", f"!fleet retry #{pull.number}")
    chat.answers(
        f"⚠️ {REPO}#{pull.number} is a pull request, and none of the fleet's: name its issue."
    )


async def test_a_reply_to_a_message_about_a_task_needs_no_issue(chat: Dialogue) -> None:
    card = await posted(chat, "$card", PostKind.CARD, (await chat.stage.task()).id)

    await chat.says("mod", "/cancel", to=card)

    chat.answers(f"✖️ {REPO}#1 Add a greeting\nis cancelled.")


async def test_a_reaction_in_a_thread_is_answered_there(chat: Dialogue) -> None:
    await chat.says("bob", "!fleet why #1", thread="$root")
    shown = chat.answers("⏳ …")
    await posted(chat, shown.event, PostKind.CARD, (await chat.stage.task()).id)

    await chat.presses("bob", "✖️", on=shown.event)

    assert chat.answers("⚠️ Sorry, cancel takes power level 50 …").thread == "$root"


async def test_a_command_in_a_thread_means_the_task_that_is_worked_on_there(
    chat: Dialogue,
) -> None:
    stage = chat.stage
    run = await stage.given_running()
    await stage.store.append(Change(anchors=begins(ROOM, run.id, "$page", "$root")))

    await chat.says("bob", "!fleet why", thread="$root")
    assert chat.answers(f"⚙️ {REPO}#1 Add a greeting…").thread == "$root"

    await stage.issue("Say goodbye")
    await stage.hear()
    two_at_once = AgentRegistered(adapter="command", max_concurrency=2)
    await stage.fleet.commit(cmd.RegisterAgent(CLAUDE, two_at_once), TEST)
    await stage.fleet.commit(cmd.Dispatch(CLAUDE, RunId("second")), TEST)
    await chat.says("mod", "!fleet cancel", thread="$root")
    chat.answers("⚠️ Which issue? Name it, or reply to a message about it.")
