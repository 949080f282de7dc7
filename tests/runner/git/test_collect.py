"""What an agent made is handed over whole, or refused with what to do about it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from fleetbot.domain.reasons import ReasonCode
from fleetbot.runner.failure import RunFailed
from fleetbot.runner.git.worktree import Worktree
from tests.runner.git.scenery import (
    ENV,
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


async def test_what_is_uncommitted_becomes_one_commit_that_the_agent_sees(
    root: Path, forge: Forge
) -> None:
    async with opened(workspaces(root, forge), order()) as tree:
        commit(tree, forge, "one.txt")
        (tree.path / "two.txt").write_text("2")
        (tree.path / "README.md").unlink()
        (tree.path / ".gitignore").write_text("*.log\n")
        (tree.path / "much.log").write_text("noise")

        work = await tree.collect("Say hello (#7)")

        assert agent(tree, "status", "--porcelain") == ""
        assert agent(tree, "rev-parse", "HEAD") == work.head
    assert work.files == (".gitignore", "README.md", "one.txt", "two.txt")
    assert work.subjects == ("Add one.txt", "Say hello (#7)")
    assert work.notes == ("committed what the agent left uncommitted",)


async def test_without_a_message_leftovers_stay_where_they_are(root: Path, forge: Forge) -> None:
    async with opened(workspaces(root, forge), order()) as tree:
        head = commit(tree, forge, "one.txt")
        (tree.path / "two.txt").write_text("2")

        work = await tree.collect(None)

        assert (tree.path / "two.txt").exists()
    assert (work.head, work.files, work.notes) == (head, ("one.txt",), ())


async def test_a_worktree_in_which_nothing_happened_has_no_work(root: Path, forge: Forge) -> None:
    async with opened(workspaces(root, forge), order()) as tree:
        work = await tree.collect("Say hello")

    assert (work.head, work.files, work.subjects) == (tree.start.commit, (), ())


async def test_a_base_that_moved_and_was_merged_leaves_only_the_agents_files(
    root: Path, forge: Forge
) -> None:
    async with opened(workspaces(root, forge), order()) as tree:
        commit(tree, forge, "mine.txt")
        newest = forge.commit(REPO, {"colleagues.txt": "x"})
        agent(tree, "fetch", "-q", str(forge.root / f"{REPO}.git"), "main")
        agent(tree, "merge", "-q", "-m", "Merge main", "FETCH_HEAD")

        work = await tree.collect(None)

    assert work.files == ("mine.txt",)
    assert work.base_commit == newest
    assert work.subjects == ("Add mine.txt", "Merge main")


async def test_a_base_onto_which_the_agent_rebased_is_not_its_work(
    root: Path, forge: Forge
) -> None:
    async with opened(workspaces(root, forge), order()) as tree:
        commit(tree, forge, "mine.txt")
        forge.commit(REPO, {"colleagues.txt": "x"})
        agent(tree, "fetch", "-q", str(forge.root / f"{REPO}.git"), "main")
        agent(tree, "rebase", "-q", "FETCH_HEAD")

        work = await tree.collect(None)

    assert (work.files, work.subjects) == (("mine.txt",), ("Add mine.txt",))


def in_conflict(tree: Worktree, command: str) -> None:
    """Two commits that change the same line, and a command that stops between them."""
    base = tree.start.commit
    for branch, text in (("theirs", "theirs\n"), ("ours", "ours\n")):
        agent(tree, "checkout", "-q", "-B", branch, base)
        (tree.path / "README.md").write_text(text)
        agent(tree, "commit", "-qam", f"Say {branch}")
    subprocess.run(["git", *command.split()], cwd=tree.path, env=ENV, check=False)


@pytest.mark.parametrize(
    ("command", "name"),
    [
        ("merge theirs", "merge"),
        ("rebase theirs", "rebase"),
        ("cherry-pick theirs", "cherry-pick"),
        ("revert HEAD~1", "revert"),
        ("bisect start HEAD HEAD~1", "bisect"),
    ],
)
async def test_an_operation_that_was_not_finished_is_refused_by_name(
    root: Path, forge: Forge, command: str, name: str
) -> None:
    forge.commit(REPO, {"README.md": "second\n"})
    async with opened(workspaces(root, forge), order()) as tree:
        in_conflict(tree, command)

        refused = await unfit(tree, "Say hello")

    assert f"a {name} was begun and not finished" in refused.detail


async def test_a_conflict_that_a_stash_left_is_refused_by_its_path(
    root: Path, forge: Forge
) -> None:
    async with opened(workspaces(root, forge), order()) as tree:
        (tree.path / "README.md").write_text("stashed\n")
        agent(tree, "stash", "-q")
        (tree.path / "README.md").write_text("committed\n")
        agent(tree, "commit", "-qam", "Say it otherwise")
        subprocess.run(["git", "stash", "pop", "-q"], cwd=tree.path, env=ENV, check=False)

        refused = await unfit(tree, "Say hello")

    assert "`README.md`: the conflict is not resolved" in refused.detail


async def test_a_repository_within_the_worktree_is_refused(root: Path, forge: Forge) -> None:
    async with opened(workspaces(root, forge), order()) as tree:
        agent(tree, "init", "-q", "vendor/library")
        (tree.path / "vendor" / "library" / "code.c").write_text("int x;")

        refused = await unfit(tree, "Say hello")

    assert "`vendor/library` in the worktree is a repository of its own" in refused.detail


async def test_a_repository_that_is_ignored_is_nobodys_business(root: Path, forge: Forge) -> None:
    async with opened(workspaces(root, forge), order()) as tree:
        (tree.path / ".gitignore").write_text("node_modules/\n")
        agent(tree, "init", "-q", "node_modules/library")

        work = await tree.collect("Say hello")

    assert work.files == (".gitignore",)


async def test_a_committed_link_to_a_repository_is_refused(root: Path, forge: Forge) -> None:
    async with opened(workspaces(root, forge), order()) as tree:
        agent(tree, "init", "-q", "library")
        git_in(tree.path / "library", "commit", "-q", "--allow-empty", "-m", "Begin")
        agent(tree, "add", "library")
        agent(tree, "commit", "-qm", "Add a library")

        refused = await unfit(tree)

    assert "`library` is committed as a link to another repository" in refused.detail


async def test_a_submodule_moved_to_a_commit_that_is_nowhere_is_refused(
    root: Path, forge: Forge
) -> None:
    forge.link(REPO, forge.create_part(), "part")
    async with opened(workspaces(root, forge, submodules="off"), order()) as tree:
        agent(tree, "update-index", "--cacheinfo", f"160000,{'1' * 40},part")
        agent(tree, "commit", "-qm", "Move the part")

        refused = await unfit(tree)

    assert "the submodule `part` is moved to the commit 1111111111" in refused.detail


async def test_too_many_files_are_refused_before_they_are_even_read(
    root: Path, forge: Forge
) -> None:
    async with opened(workspaces(root, forge, max_files=10), order()) as tree:
        (tree.path / "node_modules").mkdir()
        for number in range(11):
            (tree.path / "node_modules" / f"{number}.js").write_text("x")

        left = await unfit(tree, "Say hello")
        agent(tree, "add", "-A")
        agent(tree, "commit", "-qm", "Add everything")
        committed = await unfit(tree)

    assert "11 files are untracked and at most 10 may be" in left.detail
    assert ".gitignore" in left.detail
    assert "11 files are changed and at most 10 may be" in committed.detail


async def test_a_large_file_is_refused_also_where_a_later_commit_deletes_it(
    root: Path, forge: Forge
) -> None:
    async with opened(workspaces(root, forge, max_mb=1), order()) as tree:
        (tree.path / "dump.sql").write_bytes(bytes(2_000_000))
        left = await unfit(tree, "Say hello")
        agent(tree, "add", "-A")
        agent(tree, "commit", "-qm", "Add a dump")
        agent(tree, "rm", "-q", "dump.sql")
        agent(tree, "commit", "-qm", "Remove it")
        committed = await unfit(tree)

    assert "untracked files have 2 MB" in left.detail
    assert "the largest is `dump.sql`" in committed.detail


@pytest.mark.parametrize(
    "words",
    ["[skip ci]", "[CI skip]", "[no ci]", "[skip actions]", "[actions skip]", "skip-checks: true"],
)
async def test_words_that_switch_ci_off_are_refused(root: Path, forge: Forge, words: str) -> None:
    async with opened(workspaces(root, forge), order()) as tree:
        agent(tree, "commit", "-q", "--allow-empty", "-m", "Say hello", "-m", words)

        refused = await unfit(tree)

    assert f"`{words}`, which switch CI off" in refused.detail


async def test_what_people_wrote_on_the_branch_is_not_the_agents_to_mend(
    root: Path, forge: Forge
) -> None:
    forge.git("clone", "-q", f"{forge.root}/{REPO}.git", str(forge.root / "w"))
    forge.git("commit", "-q", "--allow-empty", "-m", "Mine [skip ci]", cwd=forge.root / "w")
    forge.git("push", "-q", "origin", f"HEAD:{order().branch}", cwd=forge.root / "w")
    async with opened(workspaces(root, forge), order()) as tree:
        commit(tree, forge, "one.txt")

        work = await tree.collect(None)

    assert work.files == ("one.txt",)


async def test_work_on_another_branch_is_handed_over_and_said(root: Path, forge: Forge) -> None:
    async with opened(workspaces(root, forge), order()) as tree:
        agent(tree, "checkout", "-q", "-b", "idea")
        idea = commit(tree, forge, "idea.txt")
        agent(tree, "checkout", "-q", "-b", "better", tree.start.commit)
        better = commit(tree, forge, "better.txt")
        (tree.path / "README.md").write_text("stashed\n")
        agent(tree, "stash", "-q")

        work = await tree.collect("Say hello")

        assert agent(tree, "rev-parse", "idea") == idea
    assert work.head == better
    assert work.notes == (
        "the branch better was checked out; its commit is handed over all the same",
        "what the agent stashed is not handed over",
        "commits on other branches were not handed over: idea",
    )


async def test_a_detached_head_is_handed_over_and_said(root: Path, forge: Forge) -> None:
    async with opened(workspaces(root, forge), order()) as tree:
        agent(tree, "checkout", "-q", "--detach")
        head = commit(tree, forge, "one.txt")
        work = await tree.collect("Say hello")

    assert work.head == head
    assert "HEAD was on no branch" in work.notes[0]


async def test_a_history_of_its_own_is_refused(root: Path, forge: Forge) -> None:
    async with opened(workspaces(root, forge), order()) as tree:
        agent(tree, "checkout", "-q", "--orphan", "anew")
        agent(tree, "commit", "-qm", "Begin anew")

        refused = await unfit(tree)

    assert "do not descend from main" in refused.detail


@pytest.mark.parametrize("harm", ["gone", "no .git", "another", "a link"])
async def test_a_worktree_that_is_none_any_more_is_told_so(
    root: Path, forge: Forge, tmp_path: Path, harm: str
) -> None:
    async with opened(workspaces(root, forge), order()) as tree:
        match harm:
            case "gone":
                shutil.rmtree(tree.path)
            case "no .git":
                (tree.path / ".git").unlink()
            case "another":
                (tree.path / ".git").write_text("gitdir: /elsewhere\n")
            case _:
                tree.path.rename(tmp_path / "moved")
                tree.path.symlink_to(tmp_path / "moved")
        with pytest.raises(RunFailed) as refused:
            await tree.collect("Say hello")

    assert refused.value.reason is ReasonCode.WORKSPACE_FAILED
    assert "destroyed its worktree" in refused.value.detail


async def test_names_that_are_no_text_are_handed_over(root: Path, forge: Forge) -> None:
    names = [b"caf\xe9.txt", b"-rf.txt", b":(exclude)x", b"line\nbreak.txt"]
    async with opened(workspaces(root, forge), order()) as tree:
        for name in names:
            (Path(bytes(tree.path).decode()) / name.decode("utf-8", "surrogateescape")).touch()
        work = await tree.collect("Say hello")
        await hand_over(tree)

    assert len(work.files) == len(names)


async def test_secrets_are_found_in_what_was_collected(root: Path, forge: Forge) -> None:
    async with opened(workspaces(root, forge), order()) as tree:
        (tree.path / "env.txt").write_text("KEY=k-3f9a0d51c7\n")
        work = await tree.collect("Say hello")

        assert await work.leaks({"KEY": "k-3f9a0d51c7", "OTHER": "nowhere"}) == ["KEY"]


async def test_an_index_lock_that_was_left_is_not_in_the_way(root: Path, forge: Forge) -> None:
    async with opened(workspaces(root, forge), order()) as tree:
        (tree.git_dirs[0] / "index.lock").touch()
        (tree.path / "new.txt").write_text("new")

        work = await tree.collect("Say hello")

    assert work.files == ("new.txt",)
