"""The cache heals: what is wrong with it is made anew, and who borrows from it goes on."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from fleetbot.domain.reasons import ReasonCode
from fleetbot.runner.git.command import Git
from fleetbot.runner.git.workspace import Workspaces
from tests.runner.git.scenery import (
    REPO,
    Forge,
    agent,
    commit,
    hand_over,
    opened,
    order,
    refusal,
    workspaces,
)


async def made(spaces: Workspaces) -> Path:
    """The cache, after a first task."""
    async with opened(spaces, order(1)) as tree:
        (cache,) = tree.readable
    return cache


def stale_locks(cache: Path) -> None:
    for name in ("packed-refs.lock", "HEAD.lock", "config.lock", "refs/heads/main.lock"):
        (cache / name).parent.mkdir(parents=True, exist_ok=True)
        (cache / name).touch()
    (cache / "objects" / "pack" / "tmp_pack_x").write_bytes(b"half")


def empty_object(cache: Path) -> None:
    (cache / "objects" / "ab").mkdir(exist_ok=True)
    (cache / "objects" / "ab" / ("c" * 38)).touch()


def bad_pack(cache: Path) -> None:
    for pack in (cache / "objects" / "pack").glob("*.pack"):
        pack.chmod(0o600)
        pack.write_bytes(pack.read_bytes()[:100] + bytes(200))


def lost_pack(cache: Path) -> None:
    for pack in (cache / "objects" / "pack").iterdir():
        pack.unlink()


def empty_ref(cache: Path) -> None:
    (cache / "refs" / "heads").mkdir(parents=True, exist_ok=True)
    (cache / "refs" / "heads" / "main").write_text("")


def pipe(cache: Path) -> None:
    (cache / "packed-refs").unlink(missing_ok=True)
    os.mkfifo(cache / "packed-refs")


def no_config(cache: Path) -> None:
    (cache / "config").write_text("[core\n")


def garbage(cache: Path) -> None:
    (cache / "packed-refs").write_text("what\nis this\n")


def no_folder(cache: Path) -> None:
    shutil.rmtree(cache)
    cache.write_text("?")


@pytest.mark.parametrize(
    "harm",
    [
        stale_locks,
        empty_object,
        bad_pack,
        lost_pack,
        empty_ref,
        pipe,
        garbage,
        no_config,
        no_folder,
    ],
)
@pytest.mark.parametrize("moved", [True, False])
async def test_a_broken_cache_is_mended_before_it_is_used(
    root: Path, forge: Forge, harm: Callable[[Path], None], moved: bool
) -> None:
    cache = await made(workspaces(root, forge))
    harm(cache)
    if moved:
        forge.commit(REPO, {"new.txt": "new"})

    async with opened(workspaces(root, forge), order(2)) as tree:
        assert (tree.path / "README.md").read_text() == "# Widgets\n"
        assert agent(tree, "fsck", "--connectivity-only") == ""
        assert (tree.path / "new.txt").exists() == moved


async def test_a_task_that_borrows_from_a_cache_that_was_replaced_goes_on(
    root: Path, forge: Forge
) -> None:
    spaces = workspaces(root, forge)
    async with opened(spaces, order(1)) as tree:
        commit(tree, forge, "one.txt")
        empty_object(*tree.readable)
        forge.commit(REPO, {"new.txt": "new"})
        async with opened(spaces, order(2)) as other:
            assert other.readable != tree.readable

        assert agent(tree, "log", "--format=%s", "-1") == "Add one.txt"
        await hand_over(tree)


async def test_a_repository_made_anew_under_the_same_name_is_followed(
    root: Path, forge: Forge
) -> None:
    spaces = workspaces(root, forge)
    async with opened(spaces, order()) as tree:
        commit(tree, forge, "one.txt")
        await hand_over(tree)
    shutil.rmtree(forge.root / f"{REPO}.git")
    forge.create(REPO, {"OTHER.md": "another"})

    async with opened(spaces, order()) as tree:
        assert (tree.path / "OTHER.md").is_file()
        assert not (tree.path / "one.txt").exists()
        assert tree.start.source == "base"


async def test_a_repository_of_sha256_is_worked_on(root: Path, forge: Forge) -> None:
    forge.create("ada/new", {"README.md": "# New\n"}, format="sha256")
    spaces = workspaces(root, forge)
    async with opened(spaces, order(repo="ada/new")) as tree:
        assert len(tree.start.commit) == 64
        agent(tree, "commit", "-q", "--allow-empty", "-m", "One")
        (tree.path / "two.txt").write_text("2")
        work = await tree.collect("Two")
        await tree.push(work)

    assert work.files == ("two.txt",)
    assert forge.git("rev-parse", tree.branch, cwd=forge.root / "ada/new.git") == work.head


async def test_a_repository_that_changed_its_object_format_is_followed(
    root: Path, forge: Forge
) -> None:
    spaces = workspaces(root, forge)
    async with opened(spaces, order()) as tree:
        commit(tree, forge, "one.txt")
    shutil.rmtree(forge.root / f"{REPO}.git")
    forge.create(REPO, {"README.md": "# New\n"}, format="sha256")

    async with opened(spaces, order()) as tree:
        assert len(tree.start.commit) == 64
        assert (tree.path / "README.md").read_text() == "# New\n"


async def test_a_branch_in_anothers_folder_is_no_obstacle(root: Path, forge: Forge) -> None:
    forge.commit(REPO, {"x.txt": "x"}, branch="release")
    await made(workspaces(root, forge))
    forge.git("update-ref", "-d", "refs/heads/release", cwd=forge.root / f"{REPO}.git")
    newest = forge.commit(REPO, {"y.txt": "y"}, branch="release/1.0")

    async with opened(workspaces(root, forge), order(2, base="release/1.0")) as tree:
        assert tree.start.commit == newest


class GitCutOff(Git):
    """Its first fetches of a whole branch are cut off, as on a bad line."""

    cuts = 1

    async def __call__(self, *args: str, **options: object) -> str:
        whole = args[0] == "fetch" and not any(arg.startswith("--de") for arg in args)
        if whole and self.cuts:
            self.cuts -= 1
            args = (
                "fetch",
                "--upload-pack=false",
                *args[1:],
            )
        return await super().__call__(*args, **options)  # type: ignore[arg-type]  # passed on


async def test_a_clone_that_was_cut_goes_on_in_steps_of_which_each_stays(
    root: Path, forge: Forge
) -> None:
    for number in range(12):
        newest = forge.commit(REPO, {"count.txt": str(number)})
    git = GitCutOff(forge.url, "fleet", lambda: "secret-token")

    async with opened(workspaces(root, forge, git=git), order()) as tree:
        assert tree.start.commit == newest
        assert agent(tree, "rev-list", "--count", "HEAD") == "13"
        assert not (tree.readable[0] / "shallow").exists()


async def test_many_tasks_at_once_share_one_cache(root: Path, forge: Forge) -> None:
    spaces = workspaces(root, forge)

    async def work(number: int) -> Path:
        async with opened(spaces, order(number)) as tree:
            commit(tree, forge, f"{number}.txt")
            await hand_over(tree)
            return tree.readable[0]

    caches = await asyncio.gather(*map(work, range(1, 7)))

    assert len(set(caches)) == 1
    branches = forge.git("branch", "--list", "fleet/*", cwd=forge.root / f"{REPO}.git")
    assert len(branches.splitlines()) == 6


async def test_packs_do_not_grow_without_bound(
    root: Path, forge: Forge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fleetbot.runner.git.cache._MOST_PACKS", 3)
    spaces = workspaces(root, forge)
    for number in range(1, 8):
        forge.commit(REPO, {"count.txt": str(number)})
        async with opened(spaces, order(1)) as tree:
            pass

    assert len(list((tree.readable[0] / "objects" / "pack").glob("*.pack"))) <= 4
    assert agent(tree, "fsck", "--connectivity-only") == ""


async def test_a_missing_base_branch_is_a_reason_of_its_own(root: Path, forge: Forge) -> None:
    refused = await refusal(workspaces(root, forge), order(base="develop"))

    assert refused.reason is ReasonCode.BASE_MISSING
