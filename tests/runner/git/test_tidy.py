"""What is old or too much is removed, and nothing that the forge has not got."""

from __future__ import annotations

import os
import time
from pathlib import Path

from fleetbot.runner.config import Hook, HooksConfig
from tests.runner.git.scenery import (
    REPO,
    Forge,
    agent,
    commit,
    hand_over,
    immovable,
    keep,
    opened,
    order,
    workspaces,
)


async def test_old_worktrees_are_removed_after_their_hook_and_those_in_use_are_not(
    root: Path, forge: Forge, tmp_path: Path
) -> None:
    said = tmp_path / "said"
    hooks = HooksConfig(before_remove=Hook(run=f"basename $PWD >> {said}"))
    spaces = workspaces(root, forge, keep_days=1, hooks=hooks)
    async with opened(spaces, order(1)) as old:
        pass
    tomorrow = time.time() + 2 * 86_400

    async with opened(spaces, order(2)) as used:
        removed = await spaces.remove_old(tomorrow)
        assert used.path.is_dir()

    assert removed.removed == (old.path.parent,)
    assert not old.path.parent.exists()
    assert said.read_text() == "widgets\n"
    async with opened(spaces, order(1)) as again:
        assert again.path.is_dir()


async def test_beyond_the_size_the_oldest_go_first(root: Path, forge: Forge) -> None:
    spaces = workspaces(root, forge, max_gb=0.003)
    for number, age in ((1, 300), (2, 200), (3, 100)):
        async with opened(spaces, order(number)) as tree:
            commit(tree, forge, "big", os.urandom(400_000))
            await hand_over(tree)
        stamp = time.time() - age
        os.utime(tree.path.parent / "+used", (stamp, stamp))

    tidied = await spaces.remove_old()

    assert [slot.name for slot in tidied.removed] == ["fleet+1-say-hello"]


async def test_work_that_the_forge_has_not_got_is_kept_however_old_it_is(
    root: Path, forge: Forge
) -> None:
    spaces = workspaces(root, forge, keep_days=1, max_gb=0.000001)
    for number in (1, 2, 3):
        async with opened(spaces, order(number)) as tree:
            match number:
                case 1:
                    commit(tree, forge, "committed.txt")
                case 2:
                    (tree.path / "uncommitted.txt").write_text("half")
                case _:
                    agent(tree, "commit", "-q", "--allow-empty", "-m", "On the forge")
                    await hand_over(tree)

    tidied = await spaces.remove_old(time.time() + 30 * 86_400)

    assert [slot.name for slot in tidied.removed] == ["fleet+3-say-hello"]


async def test_work_that_was_kept_on_the_forge_may_go(root: Path, forge: Forge) -> None:
    spaces = workspaces(root, forge, keep_days=1)
    async with opened(spaces, order()) as tree:
        (tree.path / "half.txt").write_text("half")
        assert await keep(tree)

    tidied = await spaces.remove_old(time.time() + 30 * 86_400)

    assert tidied.removed == (tree.path.parent,)
    async with opened(spaces, order(attempt=2)) as tree:
        assert (tree.path / "half.txt").read_text() == "half"


async def test_without_room_there_is_none_for_another_run_and_what_is_done_with_goes(
    root: Path, forge: Forge
) -> None:
    async with opened(workspaces(root, forge), order()) as tree:
        pass
    full = workspaces(root, forge, min_free_gb=10**6)

    assert workspaces(root, forge, min_free_gb=0).room()
    assert not full.room()
    assert (await full.remove_old()).removed == (tree.path.parent,)


async def test_a_cache_that_nothing_uses_any_more_is_removed(root: Path, forge: Forge) -> None:
    spaces = workspaces(root, forge, keep_days=1)
    async with opened(spaces, order()) as tree:
        (cache,) = tree.readable
    old = root / "repositories" / REPO / "mirror.git"
    old.mkdir()

    await spaces.remove_old(time.time() + 30 * 86_400)

    assert not cache.exists()
    assert not old.exists()


async def test_a_read_only_folder_is_cleared_and_removed(root: Path, forge: Forge) -> None:
    spaces = workspaces(root, forge, keep_days=1)
    async with opened(spaces, order()) as tree:
        agent(tree, "commit", "-q", "--allow-empty", "-m", "Nothing")
        await hand_over(tree)
        module = tree.path / "pkg" / "mod"
        module.mkdir(parents=True)
        (module / "code.go").write_text("package x")
        module.chmod(0o555)

    async with opened(spaces, order()) as tree:
        assert not (tree.path / "pkg").exists()
        agent(tree, "commit", "-q", "--allow-empty", "-m", "Nothing")
        await hand_over(tree)
        module.mkdir(parents=True)
        (module / "code.go").write_text("package x")
        module.chmod(0o555)

    tidied = await spaces.remove_old(time.time() + 30 * 86_400)
    assert (tidied.removed, tidied.stuck) == ((tree.path.parent,), ())


async def test_what_cannot_be_removed_is_said_and_not_in_the_way(root: Path, forge: Forge) -> None:
    """A mount point stands for the files of a container's root: nobody here can remove it."""
    spaces = workspaces(root, forge, keep_days=1)
    async with opened(spaces, order()) as tree:
        stuck = tree.path / "vendor"
        stuck.mkdir()
    with immovable(stuck):
        (tree.git_dirs[0] / "index.lock").touch()
        async with opened(spaces, order()) as tree:
            assert (tree.path / "README.md").is_file()

        later = time.time() + 30 * 86_400
        tidied, again = [await spaces.remove_old(later) for _ in range(2)]

    assert tidied.stuck == again.stuck != ()


async def test_transcripts_too_old_to_go_on_with_are_removed_from_the_homes(
    root: Path, forge: Forge, tmp_path: Path
) -> None:
    home = root / "homes" / "claude-1"
    old = [
        ".claude/projects/p/old.jsonl",
        ".codex/sessions/2026/01/02/rollout.jsonl",
        "tmp/run-1/x",
    ]
    kept = [".claude/projects/p/new.jsonl", ".claude/.credentials.json", "tmp/run-2/x"]
    for name in (*old, *kept):
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text("x")
    (outside := tmp_path / "outside").mkdir()
    (outside / "theirs.jsonl").write_text("x")
    (home / ".claude/projects/link").symlink_to(outside)
    long_ago = time.time() - 10 * 86_400
    for place in (*(home / name for name in old), home / "tmp/run-1", outside / "theirs.jsonl"):
        os.utime(place, (long_ago, long_ago))
    os.utime(home / ".claude/.credentials.json", (long_ago, long_ago))

    await workspaces(root, forge, keep_days=7).remove_old()

    assert [name for name in (*old, *kept) if (home / name).exists()] == kept
    assert (outside / "theirs.jsonl").exists()


async def test_homes_count_as_room_too(root: Path, forge: Forge) -> None:
    spaces = workspaces(root, forge, max_gb=0.003)
    async with opened(spaces, order(1)) as tree:
        commit(tree, forge, "small")
        await hand_over(tree)
    assert not (await spaces.remove_old()).removed
    (home := root / "homes" / "claude-1").mkdir(parents=True)
    (home / "cache").write_bytes(os.urandom(4_000_000))

    assert (await spaces.remove_old()).removed == (tree.path.parent,)
