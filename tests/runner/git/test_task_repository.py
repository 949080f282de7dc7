"""What an agent leaves in its repository leads the runner nowhere."""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path

import pytest

from fleetbot.runner.failure import RunFailed
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


async def test_what_an_agent_writes_into_gits_settings_does_not_reach_the_forges_git(
    root: Path, forge: Forge, tmp_path: Path
) -> None:
    spaces = workspaces(root, forge)
    spy = tmp_path / "spy"
    async with opened(spaces, order()) as tree:
        common = tree.git_dirs[1]
        forge.git("config", "core.fsmonitor", f"touch {spy}", cwd=tree.path)
        forge.git("config", "core.sshCommand", f"touch {spy}", cwd=tree.path)
        forge.git("config", f"url.{tmp_path}/evil.insteadOf", forge.url, cwd=tree.path)
        forge.git("config", "filter.spy.smudge", f"touch {spy}", cwd=tree.path)
        (common / "hooks").mkdir(exist_ok=True)
        for hook in ("pre-push", "post-checkout", "reference-transaction"):
            (common / "hooks" / hook).write_text(f"#!/bin/sh\ntouch {spy}\n")
            (common / "hooks" / hook).chmod(0o755)
        (tree.path / ".gitattributes").write_text("* filter=spy\n")
        commit(tree, forge, "one.txt")
        spy.unlink(missing_ok=True)
        await hand_over(tree)

    async with opened(spaces, order()) as tree:
        assert (tree.path / "one.txt").is_file()
    async with opened(spaces, order(8)):
        pass

    assert not spy.exists()


async def test_what_an_agent_put_in_an_objects_place_is_not_checked_out(
    root: Path, forge: Forge, tmp_path: Path
) -> None:
    spaces = workspaces(root, forge)
    (tmp_path / "evil").write_text("# Evil\n")
    async with opened(spaces, order()) as tree:
        other = forge.git("hash-object", "-w", str(tmp_path / "evil"), cwd=tree.path)
        forge.git("replace", "HEAD:README.md", other, cwd=tree.path)

    async with opened(spaces, order(8)) as tree:
        assert (tree.path / "README.md").read_text() == "# Widgets\n"


async def test_a_pipe_left_in_place_of_a_file_does_not_stop_the_runner(
    root: Path, forge: Forge
) -> None:
    spaces = workspaces(root, forge)
    async with opened(spaces, order()) as tree:
        (tree.path / ".git").unlink()
        os.mkfifo(tree.path / ".git")

    async with opened(spaces, order()) as tree:
        assert forge.git("status", "--porcelain", cwd=tree.path) == ""


async def test_what_it_hooks_filters_and_attributes_is_not_run_when_its_work_is_collected(
    root: Path, forge: Forge, tmp_path: Path
) -> None:
    spy = tmp_path / "spy"
    async with opened(workspaces(root, forge), order()) as tree:
        for key in ("core.fsmonitor", "filter.spy.clean", "filter.spy.process", "gpg.program"):
            agent(tree, "config", key, f"touch {spy}; cat")
        agent(tree, "config", "commit.gpgSign", "true")
        for place in tree.git_dirs:
            (place / "info").mkdir(exist_ok=True)
            (place / "info" / "attributes").write_text("* filter=spy\n")
        for hook in ("pre-commit", "post-commit", "post-index-change", "reference-transaction"):
            path = tree.git_dirs[1] / "hooks" / hook
            path.parent.mkdir(exist_ok=True)
            path.write_text(f"#!/bin/sh\ntouch {spy}\n")
            path.chmod(0o755)
        (tree.path / ".gitattributes").write_text("* filter=spy\n")
        (tree.path / "new.txt").write_text("new")

        work = await tree.collect("Say hello")
        await tree.push(work)

    assert work.files == (".gitattributes", "new.txt")
    assert not spy.exists()


async def test_a_link_in_place_of_a_log_is_not_written_through(
    root: Path, forge: Forge, tmp_path: Path
) -> None:
    victim = tmp_path / "bashrc"
    victim.write_text("mine\n")
    spaces = workspaces(root, forge)
    async with opened(spaces, order()) as tree:
        agent(tree, "checkout", "-q", "-b", "x;touch${IFS}pwned")
        for place in tree.git_dirs:
            shutil.rmtree(place / "logs", ignore_errors=True)
            (place / "logs").mkdir()
            (place / "logs" / "HEAD").symlink_to(victim)
        (tree.path / "new.txt").write_text("new")
        await tree.collect("Say hello")

    async with opened(spaces, order()):
        pass

    assert victim.read_text() == "mine\n"


async def test_another_tasks_branch_set_by_an_agent_is_not_where_that_task_starts(
    root: Path, forge: Forge
) -> None:
    spaces = workspaces(root, forge)
    async with opened(spaces, order(7)) as tree:
        planted = commit(tree, forge, "planted.txt")
        agent(tree, "update-ref", f"refs/heads/{order(8).branch}", planted)

        async with opened(spaces, order(8)) as other:
            assert other.start.commit == other.start.base_commit
            assert not (other.path / "planted.txt").exists()


async def test_hooks_and_settings_do_not_outlive_the_run_in_which_they_were_made(
    root: Path, forge: Forge, tmp_path: Path
) -> None:
    spy = tmp_path / "spy"
    spaces = workspaces(root, forge)
    async with opened(spaces, order()) as tree:
        hook = tree.git_dirs[1] / "hooks" / "post-commit"
        hook.parent.mkdir()
        hook.write_text(f"#!/bin/sh\ntouch {spy}\n")
        hook.chmod(0o755)
        agent(tree, "config", "core.fsmonitor", f"touch {spy} #")

    async with opened(spaces, order(), keep=True) as tree:
        commit(tree, forge, "two.txt")

    assert not spy.exists()


async def test_a_nested_repositorys_settings_are_not_obeyed(
    root: Path, forge: Forge, tmp_path: Path
) -> None:
    """A status that descends into a submodule obeys what is configured there."""
    spy = tmp_path / "spy"
    part = forge.create_part()
    forge.link(REPO, part, "part")
    spaces = workspaces(root, forge, submodules="off")
    async with opened(spaces, order()) as tree:
        agent(tree, "clone", "-q", str(forge.root / "ada" / "part.git"), "part")
        git_in(tree.path / "part", "config", "core.fsmonitor", f"touch {spy} #")
        (tree.path / "part" / "part.txt").write_text("changed")
        (tree.path / "new.txt").write_text("new")

        work = await tree.collect("Say hello")

    assert work.files == ("new.txt",)
    assert not spy.exists()


@pytest.mark.parametrize("name", ["HEAD", "packed-refs", "objects", "index", "refs/heads"])
async def test_a_pipe_in_the_place_of_anything_ends_in_a_reason_or_in_nothing(
    root: Path, forge: Forge, name: str
) -> None:
    spaces = workspaces(root, forge)
    async with opened(spaces, order()) as tree:
        commit(tree, forge, "one.txt")
        own, common = tree.git_dirs
        path = (own if name in ("HEAD", "index") else common) / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
        os.mkfifo(path)
        with contextlib.suppress(RunFailed):
            await tree.collect("Say hello")

    async with opened(spaces, order()) as tree:
        assert (tree.path / "README.md").is_file()
    async with opened(spaces, order(8)):
        pass


async def test_objects_are_taken_from_no_place_that_an_agent_names(
    root: Path, forge: Forge, tmp_path: Path
) -> None:
    """Of a private repository beside it, readable for the runner's account, it knows a commit."""
    private = tmp_path / "private"
    forge.git("init", "-q", str(private))
    (private / "secret.txt").write_text("secret")
    forge.git("add", "-A", cwd=private)
    forge.git("commit", "-qm", "Private", cwd=private)
    secret = forge.git("rev-parse", "HEAD", cwd=private)
    async with opened(workspaces(root, forge), order()) as tree:
        common = tree.git_dirs[1]
        with (common / "objects" / "info" / "alternates").open("a") as file:
            file.write(f"{private}/.git/objects\n")
        shutil.rmtree(common / "objects" / "pack")
        (common / "objects" / "pack").symlink_to(private / ".git" / "objects" / "pack")
        first = private / ".git" / "objects" / secret[:2]
        shutil.rmtree(common / "objects" / secret[:2], ignore_errors=True)
        (common / "objects" / secret[:2]).symlink_to(first)
        (common / "refs" / "heads" / tree.branch).write_text(f"{secret}\n")

        refused = await unfit(tree)

    assert "cannot be read whole" in refused.detail


async def test_an_object_with_anothers_name_is_not_taken_for_it(root: Path, forge: Forge) -> None:
    async with opened(workspaces(root, forge), order()) as tree:
        head = commit(tree, forge, "one.txt")
        other = forge.git("hash-object", "-w", "--stdin", cwd=tree.path)
        blob = forge.git("rev-parse", "HEAD:one.txt", cwd=tree.path)
        objects = tree.git_dirs[1] / "objects"
        place = objects / blob[:2] / blob[2:]
        place.unlink()
        shutil.copyfile(objects / other[:2] / other[2:], place)
        assert head

        refused = await unfit(tree)

    assert "missing or broken" in refused.detail


async def test_a_missing_object_is_said_with_what_to_do(root: Path, forge: Forge) -> None:
    async with opened(workspaces(root, forge), order()) as tree:
        commit(tree, forge, "one.txt")
        blob = forge.git("rev-parse", "HEAD:one.txt", cwd=tree.path)
        (tree.git_dirs[1] / "objects" / blob[:2] / blob[2:]).unlink()

        refused = await unfit(tree)

    assert "missing or broken" in refused.detail
    assert "git reset --soft" in refused.detail


async def test_what_an_agent_packed_is_handed_over_all_the_same(root: Path, forge: Forge) -> None:
    async with opened(workspaces(root, forge), order()) as tree:
        head = commit(tree, forge, "one.txt")
        agent(tree, "gc", "-q", "--prune=now")
        agent(tree, "pack-refs", "--all")
        work = await tree.collect(None)

    assert (work.head, work.files) == (head, ("one.txt",))
