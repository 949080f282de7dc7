"""A pull request that conflicts with its base: the merge is begun for the agent, and ends whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from fleetbot.domain.pulls import RoundKind
from fleetbot.runner.git.worktree import Worktree
from fleetbot.wire import Assignment, RoundBrief
from tests.runner.git.scenery import (
    REPO,
    Forge,
    agent,
    commit,
    git_in,
    hand_over,
    opened,
    order,
    unfit,
    workspaces,
)

OURS, THEIRS = "x = 'ours'\n", "x = 'theirs'\n"
BOTH = "x = 'both'\n"


def conflicting(base: str = "main") -> Assignment:
    brief = RoundBrief(
        number=1, kinds=(RoundKind.CONFLICT,), pull_request=8, head="a" * 40, base=base
    )
    return order(run="run-of-round", number=2, round=brief)


@pytest.fixture
async def theirs(root: Path, forge: Forge) -> str:
    """The task's branch changed a line, and then the base did, in another way; the base's head."""
    async with opened(workspaces(root, forge), order()) as tree:
        (tree.path / "src" / "code.py").write_text(OURS)
        (tree.path / "README.md").unlink()
        commit(tree, forge, "ours.txt")
        await hand_over(tree)
    files = {"src/code.py": THEIRS, "theirs.txt": "theirs", "README.md": "# More\n"}
    return forge.commit(REPO, files)


def parents(tree: Worktree, head: str) -> list[str]:
    return git_in(tree.path, "log", "-1", "--format=%P", head).split()


def resolve(tree: Worktree) -> None:
    (tree.path / "src" / "code.py").write_text(BOTH)
    agent(tree, "rm", "-q", "README.md")


async def test_the_agent_finds_the_merge_in_progress(root: Path, forge: Forge, theirs: str) -> None:
    async with opened(workspaces(root, forge), conflicting()) as tree:
        state = agent(tree, "status", "--porcelain")

        assert tree.merge is not None
        assert tree.merge.marked == ("src/code.py",)
        assert tree.merge.others == ("README.md",)
        assert set(state.splitlines()) == {"DU README.md", "UU src/code.py", "A  theirs.txt"}
        assert agent(tree, "rev-parse", "MERGE_HEAD") == theirs
        assert "<<<<<<< " in (tree.path / "src" / "code.py").read_text()


async def test_a_merge_that_the_agent_commits_is_handed_over(
    root: Path, forge: Forge, theirs: str
) -> None:
    async with opened(workspaces(root, forge), conflicting()) as tree:
        resolve(tree)
        agent(tree, "commit", "-qam", "Merge main, and keep both")

        work = await tree.collect("Say hello (#7)")

        assert parents(tree, work.head) == [tree.start.commit, theirs]
        assert work.files == ("README.md", "ours.txt", "src/code.py")
        await tree.push(work)


@pytest.mark.parametrize("adds", [True, False])
async def test_one_that_is_resolved_and_not_committed_is_committed_with_both_parents(
    root: Path, forge: Forge, theirs: str, adds: bool
) -> None:
    async with opened(workspaces(root, forge), conflicting()) as tree:
        resolve(tree)
        if adds:
            agent(tree, "add", "-A")

        work = await tree.collect("Say hello (#7)")

        assert parents(tree, work.head) == [tree.start.commit, theirs]
        assert agent(tree, "show", f"{work.head}:src/code.py") == BOTH.strip()
        assert work.subjects[-1] == "Merge main"
        assert work.notes == ("committed the merge",)
        assert agent(tree, "status", "--porcelain") == ""
        await tree.push(work)


async def test_conflicts_that_are_left_are_named_and_can_still_be_resolved(
    root: Path, forge: Forge, theirs: str
) -> None:
    async with opened(workspaces(root, forge), conflicting()) as tree:
        refused = await unfit(tree, "Say hello")
        assert "`src/code.py`, `README.md`: the conflict with main is not resolved" in (
            refused.detail
        )

        resolve(tree)
        work = await tree.collect("Say hello")

    assert work.subjects[-1] == "Merge main"


async def test_markers_that_were_committed_are_refused(
    root: Path, forge: Forge, theirs: str
) -> None:
    async with opened(workspaces(root, forge), conflicting()) as tree:
        agent(tree, "rm", "-q", "README.md")
        agent(tree, "commit", "-qam", "Done")

        refused = await unfit(tree, "Say hello")

    assert "`src/code.py`: the conflict with main is not resolved" in refused.detail


async def test_markers_that_an_earlier_attempt_committed_are_refused_as_well(
    root: Path, forge: Forge, theirs: str
) -> None:
    async with opened(workspaces(root, forge), conflicting()) as tree:
        agent(tree, "rm", "-q", "README.md")
        agent(tree, "commit", "-qam", "Done")
        await tree.keep("Say hello", secrets={}, forbidden=())

    async with opened(workspaces(root, forge), conflicting(), keep=True) as tree:
        assert tree.start.source == "kept"
        refused = await unfit(tree, "Say hello")

    assert "`src/code.py`: the conflict with main is not resolved" in refused.detail


async def test_a_file_about_markers_may_have_some(root: Path, forge: Forge) -> None:
    async with opened(workspaces(root, forge), order()) as tree:
        commit(tree, forge, "guide.md", b"<<<<<<< ours\n")
        await hand_over(tree)
    forge.commit(REPO, {"howto.md": "so ends one:\n>>>>>>> theirs\n"})

    async with opened(workspaces(root, forge), conflicting()) as tree:
        work = await tree.collect("Say hello")

    assert work.files == ("guide.md",)


async def test_a_merge_that_was_given_up_is_refused(root: Path, forge: Forge, theirs: str) -> None:
    async with opened(workspaces(root, forge), conflicting()) as tree:
        agent(tree, "merge", "--abort")
        commit(tree, forge, "more.txt")

        refused = await unfit(tree, "Say hello")

    assert (
        f"main is not merged, which the pull request conflicts with: git merge {theirs[:12]}"
        in (refused.detail)
    )


async def test_a_program_that_commits_by_itself_has_to_end_the_merge(
    root: Path, forge: Forge, theirs: str
) -> None:
    async with opened(workspaces(root, forge), conflicting()) as tree:
        resolve(tree)

        refused = await unfit(tree, None)

    assert "a merge was begun and not finished" in refused.detail


async def test_a_base_that_does_not_conflict_any_more_is_merged(root: Path, forge: Forge) -> None:
    async with opened(workspaces(root, forge), order()) as tree:
        commit(tree, forge, "ours.txt")
        await hand_over(tree)
    newest = forge.commit(REPO, {"theirs.txt": "theirs"})

    async with opened(workspaces(root, forge), conflicting()) as tree:
        assert tree.merge is not None
        assert tree.merge.conflicts == ()
        work = await tree.collect("Say hello")

        assert parents(tree, work.head) == [tree.start.commit, newest]
    assert work.files == ("ours.txt",)


async def test_a_base_that_somebody_has_merged_meanwhile_is_built_upon(
    root: Path, forge: Forge, theirs: str
) -> None:
    branch = conflicting().branch
    work = root.parent / "person"
    forge.git("clone", "-q", "-b", branch, str(forge.root / f"{REPO}.git"), str(work))
    forge.git("merge", "-q", "-X", "ours", "-s", "ours", "origin/main", cwd=work)
    forge.git("push", "-q", "origin", branch, cwd=work)
    merged = forge.git("rev-parse", "HEAD", cwd=work)

    async with opened(workspaces(root, forge), conflicting()) as tree:
        assert tree.merge is not None
        assert not tree.merge.draft
        assert tree.start.commit == merged


@pytest.mark.parametrize("is_killed", [True, False])
async def test_a_merge_that_was_cut_off_goes_on_where_it_was(
    root: Path, forge: Forge, theirs: str, is_killed: bool
) -> None:
    async with opened(workspaces(root, forge), conflicting()) as tree:
        tree.lend()
        (tree.path / "src" / "code.py").write_text(BOTH)
        (tree.path / "theirs.txt").unlink()
        (tree.path / "more.txt").write_text("more\n")
        if not is_killed:
            assert await tree.keep("Say hello", secrets={}, forbidden=()) is None

    async with opened(workspaces(root, forge), conflicting(), keep=True) as tree:
        assert tree.start.source == "branch"
        assert "the merge goes on where it was left" in tree.start.notes
        assert agent(tree, "rev-parse", "MERGE_HEAD") == theirs
        assert (tree.path / "src" / "code.py").read_text() == BOTH
        assert not (tree.path / "theirs.txt").exists()
        assert (tree.path / "more.txt").read_text() == "more\n"
        refused = await unfit(tree, "Say hello")
        assert "`README.md`: the conflict with main is not resolved" in refused.detail
        agent(tree, "rm", "-q", "README.md")

        work = await tree.collect("Say hello (#7)")

        assert parents(tree, work.head) == [tree.start.commit, theirs]
        assert agent(tree, "show", f"{work.head}:src/code.py") == BOTH.strip()


async def test_a_merge_of_another_base_is_begun_anew(root: Path, forge: Forge, theirs: str) -> None:
    async with opened(workspaces(root, forge), conflicting()) as tree:
        tree.lend()
        (tree.path / "src" / "code.py").write_text("half")
    newest = forge.commit(REPO, {"src/code.py": "x = 'newest'\n"})

    async with opened(workspaces(root, forge), conflicting(), keep=True) as tree:
        assert agent(tree, "rev-parse", "MERGE_HEAD") == newest
        assert "<<<<<<< " in (tree.path / "src" / "code.py").read_text()


async def test_the_base_is_the_one_that_the_pull_request_is_for(root: Path, forge: Forge) -> None:
    forge.commit(REPO, {"theirs.txt": "theirs"}, branch="release")

    async with opened(workspaces(root, forge), conflicting("release")) as tree:
        assert tree.start.base == "release"
