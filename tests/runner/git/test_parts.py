"""Submodules and LFS files: fetched, and never by an agent's settings."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from fleetbot.domain.reasons import ReasonCode
from tests.runner.git.scenery import (
    REPO,
    Forge,
    commit,
    hand_over,
    opened,
    order,
    refusal,
    workspaces,
)


async def test_a_submodules_settings_do_not_outlive_the_run(root: Path, forge: Forge) -> None:
    spaces = workspaces(root, forge)
    async with opened(spaces, order()) as tree:
        done = commit(tree, forge, "done.txt")
        planted = tree.git_dirs[0] / "modules" / "part" / "config"
        planted.parent.mkdir(parents=True)
        planted.write_text("[core]\n\tsshCommand = evil\n")

    async with opened(spaces, order()) as tree:
        assert forge.git("rev-parse", "HEAD", cwd=tree.path) == done
        assert not planted.exists()
        assert not (tree.git_dirs[0] / "modules").exists()


@pytest.mark.parametrize(
    "scheme", ["file://{here}", "ssh://127.0.0.1/p", "ext::touch {here}/spy; false"]
)
async def test_a_submodule_is_fetched_over_http_only(
    root: Path, forge: Forge, tmp_path: Path, scheme: str
) -> None:
    url = scheme.format(here=tmp_path)
    head = forge.commit(REPO, {".gitmodules": f'[submodule "p"]\n\tpath = p\n\turl = "{url}"\n'})
    work = forge.root / "work"
    forge.git("update-index", "--add", "--cacheinfo", f"160000,{head},p", cwd=work)
    forge.git("commit", "-qm", "Add a part", cwd=work)
    forge.git("push", "-q", cwd=work)

    refused = await refusal(workspaces(root, forge), order())

    assert f"transport '{url.partition(':')[0]}' not allowed" in refused.detail
    assert not (tmp_path / "spy").exists()


@pytest.mark.skipif(shutil.which("git-lfs") is not None, reason="git-lfs is installed here")
async def test_a_repository_with_lfs_files_says_that_git_lfs_is_missing(
    root: Path, forge: Forge
) -> None:
    forge.commit(REPO, {".gitattributes": "*.bin filter=lfs diff=lfs merge=lfs -text\n"})

    refused = await refusal(workspaces(root, forge), order())

    assert refused.reason is ReasonCode.WORKSPACE_FAILED
    assert "install it, or set workspace.lfs to 'off'" in refused.detail


@pytest.mark.skipif(shutil.which("git-lfs") is None, reason="git-lfs is not installed here")
async def test_lfs_files_are_fetched_and_pushed(root: Path, forge: Forge, tmp_path: Path) -> None:
    lfs = ("-c", "filter.lfs.clean=git-lfs clean -- %f", "-c", "filter.lfs.required=true")
    work = forge.root / "with-lfs"
    forge.git("clone", "-q", f"{forge.url}/{REPO}.git", str(work))
    (work / ".gitattributes").write_text("*.bin filter=lfs diff=lfs merge=lfs -text\n")
    (work / "a.bin").write_text("large as it is")
    forge.git(*lfs, "add", "-A", cwd=work)
    forge.git("commit", "-qm", "Add a large file", cwd=work)
    forge.git("lfs", "push", "origin", "main", cwd=work)
    forge.git("push", "-q", cwd=work)

    async with opened(workspaces(root, forge), order()) as tree:
        assert (tree.path / "a.bin").read_text() == "large as it is"
        (tree.path / "b.bin").write_text("made by the agent")
        commit(tree, forge, "c.txt")
        await hand_over(tree)

    async with opened(workspaces(tmp_path / "other", forge), order()) as tree:
        assert (tree.path / "b.bin").read_text() == "made by the agent"


@pytest.mark.skipif(shutil.which("git-lfs") is None, reason="git-lfs is not installed here")
async def test_a_secret_is_found_in_an_lfs_file_too(root: Path, forge: Forge) -> None:
    async with opened(workspaces(root, forge), order()) as tree:
        (tree.path / ".gitattributes").write_text("*.bin filter=lfs diff=lfs merge=lfs -text\n")
        (tree.path / "env.bin").write_text("KEY=k-3f9a0d51c7\n")

        work = await tree.collect("Say hello")

    assert forge.git("show", f"{work.head}:env.bin", cwd=work.desk.path).startswith("version")
    assert await work.leaks({"KEY": "k-3f9a0d51c7"}) == ["KEY"]
