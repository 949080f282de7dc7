"""What a worktree has changed is told while a program is at work in it, which disturbs nothing."""

from __future__ import annotations

import os
from pathlib import Path

from tests.runner.git.scenery import Forge, agent, commit, opened, order, workspaces


async def test_files_are_told_whether_committed_or_not(root: Path, forge: Forge) -> None:
    async with opened(workspaces(root, forge), order()) as tree:
        assert await tree.changed() == ()

        commit(tree, forge, "one.txt")
        (tree.path / "two.txt").write_text("2")
        (tree.path / "README.md").write_text("other")
        (tree.path / ".gitignore").write_text("*.log\n")
        (tree.path / "much.log").write_text("noise")

        found = await tree.changed()
    assert sorted(found) == [".gitignore", "README.md", "one.txt", "two.txt"]


async def test_of_a_renamed_file_both_names_are_told(root: Path, forge: Forge) -> None:
    async with opened(workspaces(root, forge), order()) as tree:
        agent(tree, "mv", "README.md", "LIESMICH.md")
        assert sorted(await tree.changed()) == ["LIESMICH.md", "README.md"]


async def test_the_agents_index_and_work_stay_as_they_are(root: Path, forge: Forge) -> None:
    async with opened(workspaces(root, forge), order()) as tree:
        (tree.path / "two.txt").write_text("2")
        agent(tree, "add", "two.txt")
        before = agent(tree, "status", "--porcelain")

        await tree.changed()

        assert agent(tree, "status", "--porcelain") == before
        work = await tree.collect("Say hello (#7)")
    assert work.files == ("two.txt",)


async def test_what_an_agent_makes_of_its_repository_runs_nothing(root: Path, forge: Forge) -> None:
    async with opened(workspaces(root, forge), order()) as tree:
        trap = f"touch {root / 'sprung'}"
        agent(tree, "config", "core.fsmonitor", trap)
        agent(tree, "config", "filter.evil.clean", trap)
        (tree.path / ".gitattributes").write_text("* filter=evil\n")
        (tree.path / "README.md").write_text("other")
        nested = tree.path / "nested"
        nested.mkdir()
        agent(tree, "init", "--quiet", str(nested))
        (nested / "in.txt").write_text("1")

        assert sorted(await tree.changed()) == [".gitattributes", "README.md"]
    assert not (root / "sprung").exists()


async def test_a_pipe_in_the_worktree_is_not_waited_at(root: Path, forge: Forge) -> None:
    async with opened(workspaces(root, forge), order()) as tree:
        os.mkfifo(tree.path / "pipe")
        (tree.path / "two.txt").write_text("2")
        assert "two.txt" in await tree.changed()
