"""A push whose answer is lost is asked about; what moved meanwhile is respected."""

from __future__ import annotations

from pathlib import Path

import pytest

from fleetbot.domain.reasons import ReasonCode
from fleetbot.runner.failure import RunFailed
from fleetbot.runner.git.worktree import Worktree
from tests.runner.git.scenery import (
    AUTHOR,
    ENV,
    REPO,
    Forge,
    agent,
    hand_over,
    opened,
    order,
    refusal,
    unfit,
    workspaces,
)
from tests.runner.git.site import Site

RECEIVE = f"{REPO}.git/git-receive-pack$"
BRANCH = order().branch


def write(tree: Worktree, name: str) -> str:
    """A commit by the agent."""
    (tree.path / name).write_text(name)
    agent(tree, "add", "-A")
    agent(tree, "commit", "-qm", f"Add {name}")
    return agent(tree, "rev-parse", "HEAD")


async def failure(tree: Worktree) -> RunFailed:
    with pytest.raises(RunFailed) as failed:
        await hand_over(tree)
    return failed.value


@pytest.mark.parametrize("status", [0, 502])
async def test_a_push_whose_answer_is_lost_is_done(site: Site, status: int) -> None:
    async with opened(site.workspaces(), order()) as tree:
        head = write(tree, "one.txt")
        site.forge.fail_next("POST", RECEIVE, status, applied=True)

        await hand_over(tree)

    assert site.git("rev-parse", BRANCH) == head


@pytest.mark.parametrize(("status", "times"), [(0, 2), (502, 1), (503, 1)])
async def test_a_push_that_was_cut_is_the_forges_absence_and_can_be_made_again(
    site: Site, status: int, times: int
) -> None:
    """git tries one whose connection breaks once more by itself."""
    async with opened(site.workspaces(), order()) as tree:
        head = write(tree, "one.txt")
        site.forge.fail_next("POST", RECEIVE, status, times=times)

        assert (await failure(tree)).reason is ReasonCode.FORGE_UNAVAILABLE
        await hand_over(tree)

    assert site.git("rev-parse", BRANCH) == head


async def test_what_could_not_be_asked_is_not_taken_for_a_no(site: Site) -> None:
    async with opened(site.workspaces(), order()) as tree:
        head = write(tree, "one.txt")
        work = await tree.collect(None)
        site.forge.fail_next("POST", RECEIVE, 0, applied=True)
        site.forge.fail_next("GET", f"{REPO}.git/info/refs", 502, times=2)
        with pytest.raises(RunFailed) as failed:
            await tree.push(work)
        await tree.push(work)

    assert failed.value.reason is ReasonCode.FORGE_UNAVAILABLE
    assert site.git("rev-parse", BRANCH) == head


async def test_a_push_is_made_twice_without_harm(site: Site) -> None:
    async with opened(site.workspaces(), order()) as tree:
        head = write(tree, "one.txt")
        await hand_over(tree)
        await hand_over(tree)

    assert site.git("rev-parse", BRANCH) == head


async def test_what_an_agent_pushed_by_itself_is_no_conflict(site: Site) -> None:
    async with opened(site.workspaces(), order()) as tree:
        write(tree, "one.txt")
        agent(tree, "push", "-q", str(site.forge.repo(REPO).git.path), f"HEAD:refs/heads/{BRANCH}")
        head = write(tree, "two.txt")

        await hand_over(tree)

    assert site.git("rev-parse", BRANCH) == head


async def test_what_a_fenced_run_of_the_fleet_pushed_late_gives_way(site: Site) -> None:
    async with opened(site.workspaces("fenced"), order()) as late:
        write(late, "late.txt")
        async with opened(site.workspaces("rightful"), order(attempt=2)) as tree:
            head = write(tree, "one.txt")
            await hand_over(late)

            await hand_over(tree)

    assert site.git("rev-parse", BRANCH) == head


async def test_what_a_person_pushed_meanwhile_is_not_overwritten(site: Site) -> None:
    async with opened(site.workspaces(), order()) as tree:
        write(tree, "one.txt")
        theirs = await site.forge.commit(REPO, BRANCH, {"mine.txt": "x"}, "Mine", by="ada")

        conflict = await failure(tree)

    assert conflict.reason is ReasonCode.BRANCH_CONFLICT
    assert "goes on from them" in conflict.detail
    assert site.git("rev-parse", BRANCH) == theirs


async def test_the_next_attempt_goes_on_from_what_a_person_pushed(site: Site) -> None:
    spaces = site.workspaces()
    async with opened(spaces, order()) as tree:
        write(tree, "one.txt")
        await hand_over(tree)
    theirs = await site.forge.commit(REPO, BRANCH, {"mine.txt": "x"}, "Mine", by="ada")

    async with opened(spaces, order(attempt=2)) as tree:
        assert tree.start.commit == theirs
        head = write(tree, "two.txt")
        await hand_over(tree)

    assert site.git("rev-parse", BRANCH) == head


async def test_a_branch_deleted_on_the_forge_means_begin_at_the_base(site: Site) -> None:
    spaces = site.workspaces()
    async with opened(spaces, order()) as tree:
        write(tree, "one.txt")
        await hand_over(tree)
    site.git("update-ref", "-d", f"refs/heads/{BRANCH}")

    async with opened(spaces, order(attempt=2)) as tree:
        assert tree.start.source == "base"
        assert not (tree.path / "one.txt").exists()
        head = write(tree, "two.txt")
        await hand_over(tree)

    assert site.git("rev-parse", BRANCH) == head


async def test_what_was_begun_after_that_is_gone_on_with(site: Site) -> None:
    spaces = site.workspaces()
    async with opened(spaces, order()) as tree:
        write(tree, "one.txt")
        await hand_over(tree)
    site.git("update-ref", "-d", f"refs/heads/{BRANCH}")
    async with opened(spaces, order(attempt=2)) as tree:
        head = write(tree, "two.txt")

    async with opened(spaces, order(attempt=3)) as tree:
        assert tree.start.commit == head


async def test_a_branch_that_was_squashed_and_deleted_means_begin_at_the_base(
    root: Path, forge: Forge
) -> None:
    spaces = workspaces(root, forge)
    async with opened(spaces, order()) as tree:
        write(tree, "one.txt")
        await hand_over(tree)
    newest = forge.commit(REPO, {"one.txt": "one.txt"})
    forge.git("update-ref", "-d", f"refs/heads/{BRANCH}", cwd=forge.root / f"{REPO}.git")

    async with opened(spaces, order(attempt=2)) as tree:
        assert (tree.start.commit, tree.earlier) == (newest, ())


async def test_what_the_forge_says_of_a_refusal_is_told_and_decides_nothing(site: Site) -> None:
    site.hook("pre-receive", "echo 'not found: connection refused, returned error: 502'; exit 1")
    async with opened(site.workspaces(), order()) as tree:
        write(tree, "one.txt")

        refused = await failure(tree)

    assert refused.reason is ReasonCode.PUSH_REJECTED
    assert "not found: connection refused" in refused.detail
    assert "branch protection" in refused.detail


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (301, ReasonCode.FORGE_REFUSED),
        (401, ReasonCode.FORGE_LOGIN_FAILED),
        (403, ReasonCode.FORGE_REFUSED),
        (404, ReasonCode.FORGE_REFUSED),
        (429, ReasonCode.FORGE_UNAVAILABLE),
        (500, ReasonCode.FORGE_UNAVAILABLE),
        (503, ReasonCode.FORGE_UNAVAILABLE),
        (0, ReasonCode.FORGE_UNAVAILABLE),
    ],
)
async def test_the_forges_answer_is_told_by_its_status(
    site: Site, status: int, reason: ReasonCode
) -> None:
    site.forge.fail_next("GET", f"{REPO}.git/info/refs", status, times=2)

    assert (await refusal(site.workspaces(), order())).reason is reason


async def test_a_fetch_that_was_cut_is_the_forges_absence(site: Site) -> None:
    site.forge.fail_next("POST", f"{REPO}.git/git-upload-pack", 502)

    refused = await refusal(site.workspaces(), order())

    assert refused.reason is ReasonCode.FORGE_UNAVAILABLE
    async with opened(site.workspaces(), order()) as tree:
        assert (tree.path / "README.md").is_file()


async def test_a_wrong_token_is_said_as_that(site: Site) -> None:
    site.forge.repo(REPO).private = True

    refused = await refusal(site.workspaces(token="wrong"), order())

    assert refused.reason is ReasonCode.FORGE_LOGIN_FAILED


async def test_the_token_is_in_nothing_that_is_kept(site: Site, tmp_path: Path) -> None:
    async with opened(site.workspaces(), order()) as tree:
        write(tree, "one.txt")
        await hand_over(tree)

    for path in (tmp_path / "state").rglob("*"):
        if path.is_file():
            assert site.token.encode() not in path.read_bytes()
    assert AUTHOR.email in ENV.values()


async def test_commits_of_people_that_an_agent_dropped_are_not_dropped_on_the_forge(
    site: Site,
) -> None:
    """It began with them; a push in their place would take them from the branch."""
    spaces = site.workspaces()
    theirs = await site.forge.commit(REPO, BRANCH, {"mine.txt": "x"}, "Mine", by="ada")
    async with opened(spaces, order()) as tree:
        agent(tree, "reset", "-q", "--hard", "origin/main")
        write(tree, "one.txt")

        refused = await unfit(tree)

        assert theirs[:7] in refused.detail
        agent(tree, "merge", "-q", "--no-edit", theirs)
        await hand_over(tree)
    assert site.git("merge-base", "--is-ancestor", theirs, BRANCH) == ""


async def test_an_agent_may_rebase_what_people_did_and_rewrite_what_the_fleet_did(
    site: Site,
) -> None:
    spaces = site.workspaces()
    async with opened(spaces, order()) as tree:
        write(tree, "one.txt")
        await hand_over(tree)
    await site.forge.commit(REPO, BRANCH, {"mine.txt": "x"}, "Mine", by="ada")
    await site.forge.commit(REPO, "main", {"base.txt": "x"}, "Base", by="ada")
    async with opened(spaces, order(attempt=2)) as tree:
        agent(tree, "reset", "-q", "--hard", "origin/main")
        agent(tree, "cherry-pick", f"origin/{BRANCH}")
        head = agent(tree, "rev-parse", "HEAD")

        await hand_over(tree)

    assert site.git("rev-parse", BRANCH) == head
