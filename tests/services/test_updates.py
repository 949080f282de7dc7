"""A branch that people bring up to date is the work that was verified, and is merged as that."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

import pytest

from fleetbot.domain.ci import OWN_CONTEXT
from fleetbot.domain.errors import Conflict
from fleetbot.domain.pulls import PullState
from fleetbot.forge.errors import ForgeUnavailable
from fleetbot.forge.models import PullRequest
from fleetbot.services.updates import is_update
from tests.services.stage import ANN, BOT, REPO, TEST, Stage
from tests.services.test_followups import kinds, look
from tests.services.test_landing import ANN_HERE, given_ready, landed, told

LIST = "one\ntwo\nthree\nfour\nfive\n"
MOVED = LIST.replace("one", "uno")


async def head_of(stage: Stage, number: int) -> str:
    return (await stage.ann.pull(REPO, number)).head.sha


async def given_behind(stage: Stage) -> PullRequest:
    """Verified work, and a base that has moved on."""
    _, pull = await given_ready(stage)
    await stage.forge.commit(REPO, "main", {"other.txt": "x\n"}, "Other", by=ANN)
    return pull


# the story


async def test_what_a_person_has_brought_up_to_date_is_merged(stage: Stage) -> None:
    pull = await given_behind(stage)
    await stage.ann.update_branch(REPO, pull.number)
    updated = await head_of(stage, pull.number)
    await look(stage)
    await stage.settle()
    states = {one.context: one.status for one in await stage.ann.contexts(REPO, updated)}
    assert states[OWN_CONTEXT] == "success", "what branch protection may want"

    await landed(stage)

    merged = await stage.ann.pull(REPO, pull.number)
    assert (merged.merged, merged.head.sha) == (True, updated)
    assert kinds(await stage.journal()).count("pull.updated") == 1


async def test_a_wish_outlives_an_update_at_the_last_moment_and_waits_for_its_ci(
    stage: Stage,
) -> None:
    pull = await given_behind(stage)
    await stage.has_ci()
    await stage.ann.create_status(REPO, pull.head.sha, state="success", context="test")
    await stage.landings.wish(await stage.task(), ANN_HERE, TEST)
    await stage.ann.update_branch(REPO, pull.number)
    await stage.settle()
    assert not (await stage.ann.pull(REPO, pull.number)).merged

    updated = await head_of(stage, pull.number)
    await stage.ann.create_status(REPO, updated, state="success", context="test")
    stage.clock.advance(3700)
    await look(stage)
    await stage.settle()

    assert (await stage.ann.pull(REPO, pull.number)).merged
    watch = (await look(stage)).pull
    assert watch is not None
    assert (watch.state, watch.head) == (PullState.MERGED, updated)
    assert told(stage) == []


async def test_what_is_written_on_top_of_an_update_is_not(stage: Stage) -> None:
    pull = await given_behind(stage)
    await stage.ann.update_branch(REPO, pull.number)
    await stage.forge.commit(REPO, pull.head.ref, {"hello.txt": "hi\n"}, "Mine", by=ANN)
    with pytest.raises(Conflict, match="what was verified is"):
        await landed(stage)
    assert "pull.updated" not in kinds(await stage.journal())


async def test_a_round_on_top_of_an_update_is_verified_as_ever(stage: Stage) -> None:
    pull = await given_behind(stage)
    await stage.ann.create_review(REPO, pull.number, "REQUEST_CHANGES", "Greet me.")
    await look(stage)
    await stage.ann.update_branch(REPO, pull.number)
    await look(stage)
    assert "pull.updated" not in kinds(await stage.journal()), "a round is on: that is verified"


# what counts as the same work


async def pulled(stage: Stage, files: Mapping[str, str]) -> PullRequest:
    await stage.forge.commit(REPO, "work", files, "Work", by=BOT)
    return await stage.client.create_pull(REPO, head="work", base="main", title="Work")


Step = Callable[[Stage, int], Awaitable[object]]


async def test_what_a_proxy_does_not_find_is_not_taken_for_other_work(stage: Stage) -> None:
    stage.forge.fail_next("GET", "/compare/", 404, text="404 page not found\n")
    with pytest.raises(ForgeUnavailable):
        await is_update(stage.client, REPO, "main", "0" * 40, "1" * 40)


async def by_merge(stage: Stage, number: int) -> None:
    await stage.ann.update_branch(REPO, number)


async def by_rebase(stage: Stage, number: int) -> None:
    await stage.ann.update_branch(REPO, number, "rebase")


async def by_merge_twice(stage: Stage, number: int) -> None:
    await by_merge(stage, number)
    await stage.forge.commit(REPO, "main", {"more.txt": "y\n"}, "More", by=ANN)
    await by_merge(stage, number)


async def by_nothing_new(stage: Stage, number: int) -> None:
    await stage.forge.commit(REPO, "work", {}, "Run CI again", by=ANN)


@pytest.mark.parametrize("step", [by_merge, by_rebase, by_merge_twice, by_nothing_new])
async def test_however_it_was_brought_up_to_date(stage: Stage, step: Step) -> None:
    await stage.forge.commit(REPO, "main", {"list.txt": LIST, "a/b.txt": LIST}, "Base", by=ANN)
    pull = await pulled(stage, {"list.txt": MOVED, "a/b.txt": MOVED, "a/new.txt": "n\n"})
    theirs = {"list.txt": LIST + "six\n", "a/b.txt": LIST + "six\n", "a/c.txt": "c\n"}
    await stage.forge.commit(REPO, "main", theirs, "Both", by=ANN)
    await step(stage, pull.number)
    assert await is_same(stage, pull)


async def with_a_word_for_ci(stage: Stage, number: int) -> None:
    await stage.forge.commit(REPO, "work", {}, "Nothing [skip ci]", by=ANN)


async def with_a_line_of_the_base_lost(stage: Stage, number: int) -> None:
    await by_merge(stage, number)
    await stage.forge.commit(REPO, "work", {"list.txt": MOVED}, "Without six", by=ANN)


async def with_a_file_more(stage: Stage, number: int) -> None:
    await by_merge(stage, number)
    await stage.forge.commit(REPO, "work", {"a/more.txt": "x\n"}, "One more", by=ANN)


async def with_a_conflict_solved(stage: Stage, number: int) -> None:
    await stage.forge.commit(REPO, "main", {"list.txt": "new\n" + LIST}, "Near", by=ANN)
    await stage.forge.force(REPO, "work", {"list.txt": "new\n" + MOVED}, by=ANN)


async def with_none_of_it_left(stage: Stage, number: int) -> None:
    await stage.forge.force(REPO, "work", {"list.txt": "another\n"}, by=ANN)


@pytest.mark.parametrize(
    "step",
    [
        with_a_word_for_ci,
        with_a_line_of_the_base_lost,
        with_a_file_more,
        with_a_conflict_solved,
        with_none_of_it_left,
    ],
)
async def test_what_is_other_work_is_not(stage: Stage, step: Step) -> None:
    await stage.forge.commit(REPO, "main", {"list.txt": LIST}, "Base", by=ANN)
    pull = await pulled(stage, {"list.txt": MOVED})
    await stage.forge.commit(REPO, "main", {"list.txt": LIST + "six\n"}, "Both", by=ANN)
    await step(stage, pull.number)
    assert not await is_same(stage, pull)


async def is_same(stage: Stage, pull: PullRequest) -> bool:
    head = await head_of(stage, pull.number)
    return await is_update(stage.client, REPO, "main", pull.head.sha, head)
