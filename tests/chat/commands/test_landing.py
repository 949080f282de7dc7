"""People have verified work merged, by a command or by 🚀 on its card."""

from __future__ import annotations

from fleetbot.chat.words.notices import task_notice
from fleetbot.domain.effects import NoticeKind, TaskName, TaskNotice
from fleetbot.domain.model import TaskId
from fleetbot.domain.pulls import PullState
from fleetbot.store.records import Change, Posted, PostKind
from tests.chat.dialogue import ROOM, dialogue
from tests.services.stage import ANN, REPO, Stage
from tests.services.test_followups import given_done

MOD = "@mod:localhost"


async def given_card(stage: Stage, *, known: bool = True) -> str:
    """Verified work with a card in the room, and whose account Ann's is."""
    await stage.change(listed={ANN: MOD} if known else {})
    await given_done(stage)
    task = await stage.task()
    posted = Posted(room=ROOM, event="$card", kind=PostKind.CARD, subject=task.id, at=stage.clock())
    await stage.store.append(Change(posted=(posted,)))
    return "$card"


async def is_merged(stage: Stage) -> bool:
    await stage.settle()
    task = await stage.task()
    return task.pull is not None and task.pull.state is PullState.MERGED


async def test_it_is_merged_and_the_commit_is_named(stage: Stage) -> None:
    await given_card(stage)
    async with dialogue(stage) as chat:
        await chat.says("mod", "!fleet land #1")
        head = (await stage.ann.pull(REPO, 2)).head.sha
        chat.answers(
            "🚀 ann/app#1 Add a greeting\n"
            "is being merged.\n"
            f"Exactly commit {head[:12]}, which was verified."
        )
        assert await is_merged(stage)


async def test_a_rocket_on_its_card_does_the_same_once(stage: Stage) -> None:
    card = await given_card(stage)
    async with dialogue(stage) as chat:
        await chat.presses("mod", "🚀", on=card)
        chat.answers("🚀 ann/app#1 …is being merged.…")
        await chat.presses("mod", "🚀", on=card)
        chat.answers("🚀 ann/app#1 …is being merged already.…")
        assert await is_merged(stage)


async def test_who_has_no_account_that_we_know_of_is_told_how(stage: Stage) -> None:
    await given_card(stage, known=False)
    async with dialogue(stage) as chat:
        await chat.says("mod", "!fleet land #1")
        chat.answers("⚠️ Which account on Forgejo is yours, mod? Prove it once, with !fleet iam …")
        assert not await is_merged(stage)


async def test_it_takes_the_power_level_as_well(stage: Stage) -> None:
    await given_card(stage)
    async with dialogue(stage) as chat:
        await chat.says("bob", "!fleet land #1")
        chat.answers("⚠️ Sorry, land takes power level 50 …")


async def test_what_keeps_it_is_the_answer(stage: Stage) -> None:
    await given_card(stage)
    pull = await stage.ann.pull(REPO, 2)
    await stage.ann.edit_pull(REPO, 2, title=f"WIP: {pull.title}")
    async with dialogue(stage) as chat:
        await chat.says("mod", "!fleet land #1")
        chat.answers("⚠️ It is a draft: mark it as ready for review on Forgejo.")


def test_what_came_to_nothing_is_told_with_why_and_what_to_do() -> None:
    name = TaskName(id=TaskId("t1"), repo=REPO, issue=1, url="", title="Add a greeting")
    why = "Branch protection wants more: Does not have enough approvals."
    post = task_notice(TaskNotice(notice=NoticeKind.NOT_LANDED, task=name, detail=why))
    assert post.urgent
    assert post.body.text == (
        f"🛬 Not merged: ann/app#1 Add a greeting\n{why}\n🙋 !fleet land ann/app#1 tries it again."
    )
