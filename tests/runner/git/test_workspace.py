"""Worktrees: made, reused, repaired, and never outside their root."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fleetbot.domain.reasons import ReasonCode
from fleetbot.runner.config import Hook, HooksConfig, WorkspaceConfig
from fleetbot.runner.failure import RunFailed
from fleetbot.runner.git.command import Git
from fleetbot.runner.git.slot import check_names, cut_off_depths
from fleetbot.runner.git.workspace import Workspaces
from fleetbot.runner.root import Root
from tests.runner.git.scenery import (
    AUTHOR,
    REPO,
    Forge,
    commit,
    hand_over,
    opened,
    order,
    refusal,
    workspaces,
)


async def test_a_task_starts_on_its_branch_at_the_bases_newest_commit(
    root: Path, forge: Forge
) -> None:
    spaces = workspaces(root, forge)
    async with opened(spaces, order(1)):
        pass
    newest = forge.commit(REPO, {"new.txt": "new"})

    async with opened(spaces, order(2)) as tree:
        assert forge.git("rev-parse", "HEAD", cwd=tree.path) == newest
        assert forge.git("branch", "--show-current", cwd=tree.path) == "fleet/2-say-hello"
        assert (tree.path / "src" / "code.py").is_file()
        assert tree.earlier == ()
        assert all(path.is_dir() for path in tree.git_dirs)


async def test_a_base_other_than_the_default_branch_is_used_where_it_is_named(
    root: Path, forge: Forge
) -> None:
    release = forge.commit(REPO, {"v1.txt": "1"}, branch="release/1.0")

    async with opened(workspaces(root, forge), order(base="release/1.0")) as tree:
        assert tree.start.commit == release
        assert tree.start.base == "release/1.0"


@pytest.mark.parametrize(
    "title",
    [
        "../../../etc/passwd",
        "-rf / --force",
        "$(touch pwned) `id` ; rm -rf ~",
        "日本語の題名だけ",
        "a" * 255,
        "..",
        "nul\tand\nnewline",
        "HEAD",
        "@{-1}",
        "x.lock",
    ],
)
async def test_any_title_gives_a_worktree_inside_the_root(
    root: Path, forge: Forge, title: str
) -> None:
    async with opened(workspaces(root, forge), order(title=title)) as tree:
        assert tree.path.resolve().is_relative_to(root.resolve())
        assert tree.branch == forge.git("branch", "--show-current", cwd=tree.path)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("repo", "../evil"),
        ("repo", "ada/.."),
        ("repo", "ada/."),
        ("repo", "ada"),
        ("repo", "ada/widgets/../../x"),
        ("repo", "-u/x"),
        ("branch", "fleet/../../x"),
        ("branch", "/etc"),
        ("branch", "-f"),
        ("branch", "fleet/.git"),
        ("branch", "refs/heads/x"),
        ("branch", "x.lock/y"),
        ("branch", "a b"),
        ("branch", "x" * 201),
        ("branch", "x/"),
        ("branch", ""),
        ("base", "--upload-pack=x"),
        ("base", "a..b"),
        ("base", "a:b"),
    ],
)
def test_a_name_that_could_leave_the_root_is_refused(field: str, value: str) -> None:
    names: dict[str, Any] = {field: value}

    with pytest.raises(RunFailed) as refused:
        check_names(order(**names))

    assert refused.value.reason is ReasonCode.WORKSPACE_FAILED


async def test_the_base_branch_itself_is_never_the_tasks_branch(root: Path, forge: Forge) -> None:
    refused = await refusal(workspaces(root, forge), order(branch="main"))

    assert "is its base branch" in refused.detail


async def test_a_retry_finds_what_the_earlier_attempt_handed_over_and_no_litter(
    root: Path, forge: Forge
) -> None:
    spaces = workspaces(root, forge)
    async with opened(spaces, order()) as tree:
        done = commit(tree, forge, "done.txt")
        await hand_over(tree)
        (tree.path / "litter.txt").write_text("half")
        (tree.path / "README.md").write_text("half")

    async with opened(spaces, order()) as tree:
        assert tree.start.commit == done
        assert tree.earlier == ("Add done.txt",)
        assert not (tree.path / "litter.txt").exists()
        assert (tree.path / "README.md").read_text() == "# Widgets\n"


async def test_a_retry_finds_what_is_ignored_and_no_litter_however_deep(
    root: Path, forge: Forge
) -> None:
    spaces = workspaces(root, forge)
    async with opened(spaces, order()) as tree:
        commit(tree, forge, ".gitignore", b"kept/\n")
        await hand_over(tree)
        for names in (["kept"], ["litter", "kept"], ["litter", *["d"] * 300], ["d"] * 300):
            tree.path.joinpath(*names).mkdir(parents=True)
            tree.path.joinpath(*names, "file").write_text("x")

    async with opened(spaces, order()) as tree:
        assert (tree.path / "kept" / "file").exists()
        assert (tree.path / "litter" / "kept" / "file").exists()
        assert not (tree.path / "litter" / "d").exists()
        assert not (tree.path / "d").exists()


def test_only_what_is_nested_deeper_than_people_do_is_cut_off(tmp_path: Path) -> None:
    deep, usual = tmp_path.joinpath(*["d"] * 300), tmp_path.joinpath("d", *["e"] * 90)
    deep.mkdir(parents=True)
    usual.mkdir(parents=True)
    (tmp_path / "d" / "link").symlink_to(tmp_path)

    cut_off_depths(tmp_path, ["d/"])

    assert usual.is_dir()
    assert not tmp_path.joinpath(*["d"] * 110).exists()


async def test_a_session_that_goes_on_finds_its_uncommitted_changes(
    root: Path, forge: Forge
) -> None:
    spaces = workspaces(root, forge)
    async with opened(spaces, order()) as tree:
        (tree.path / "draft.txt").write_text("half")

    async with opened(spaces, order(), keep=True) as tree:
        assert (tree.path / "draft.txt").read_text() == "half"


async def test_a_retry_on_another_machine_goes_on_from_the_forges_branch(
    root: Path, forge: Forge, tmp_path: Path
) -> None:
    async with opened(workspaces(root, forge), order()) as tree:
        pushed = commit(tree, forge, "one.txt")
        await hand_over(tree)

    async with opened(workspaces(tmp_path / "other", forge), order()) as tree:
        assert tree.start.commit == tree.start.remote == pushed
        assert tree.earlier == ("Add one.txt",)


async def test_a_branch_that_was_merged_starts_afresh_from_the_base(
    root: Path, forge: Forge
) -> None:
    spaces = workspaces(root, forge)
    async with opened(spaces, order()) as tree:
        pushed = commit(tree, forge, "one.txt")
        await hand_over(tree)
    forge.git("update-ref", "refs/heads/main", pushed, cwd=forge.root / f"{REPO}.git")
    newest = forge.commit(REPO, {"two.txt": "two"})

    async with opened(spaces, order()) as tree:
        assert tree.start.commit == newest


async def test_an_agents_rewritten_history_replaces_its_own_on_the_forge(
    root: Path, forge: Forge
) -> None:
    async with opened(workspaces(root, forge), order()) as tree:
        commit(tree, forge, "one.txt")
        await hand_over(tree)
        forge.git("reset", "-q", "--hard", tree.start.base_commit, cwd=tree.path)
        second = commit(tree, forge, "two.txt")
        work = await tree.collect(None)
        await tree.push(work)

    assert work.files == ("two.txt",)
    assert forge.git("rev-parse", tree.branch, cwd=forge.root / f"{REPO}.git") == second


async def test_commits_of_somebody_else_on_the_branch_are_built_upon(
    root: Path, forge: Forge
) -> None:
    theirs = forge.commit(REPO, {"mine.txt": "x"}, branch="fleet/7-say-hello")

    async with opened(workspaces(root, forge), order()) as tree:
        assert tree.start.commit == tree.start.remote == theirs
        assert tree.start.source == "branch"


async def test_commits_of_somebody_else_after_ours_are_built_upon_too(
    root: Path, forge: Forge
) -> None:
    spaces = workspaces(root, forge)
    async with opened(spaces, order()) as tree:
        commit(tree, forge, "one.txt")
        await hand_over(tree)
    theirs = forge.commit(REPO, {"mine.txt": "x"}, branch=tree.branch, onto=tree.branch)

    async with opened(spaces, order()) as tree:
        assert tree.start.commit == theirs
        assert tree.earlier == ("Add one.txt", "By ada")


@pytest.mark.parametrize("harm", ["deleted", "no .git", "locked", "in mid-merge", "a file"])
async def test_a_broken_worktree_is_made_anew_with_its_commits(
    root: Path, forge: Forge, harm: str
) -> None:
    spaces = workspaces(root, forge)
    async with opened(spaces, order()) as tree:
        done = commit(tree, forge, "done.txt")
    match harm:
        case "deleted":
            shutil.rmtree(tree.path)
        case "no .git":
            (tree.path / ".git").unlink()
        case "locked":
            (tree.git_dirs[0] / "index.lock").touch()
        case "in mid-merge":
            (tree.git_dirs[0] / "MERGE_HEAD").write_text(done)
        case _:
            shutil.rmtree(tree.path)
            tree.path.write_text("?")

    async with opened(spaces, order()) as tree:
        assert (tree.path / "done.txt").is_file()
        assert forge.git("status", "--porcelain", cwd=tree.path) == ""
        assert forge.git("rev-parse", "HEAD", cwd=tree.path) == done


async def test_an_agent_that_strayed_onto_another_tasks_branch_does_not_block_it(
    root: Path, forge: Forge
) -> None:
    spaces = workspaces(root, forge)
    async with opened(spaces, order(7)) as tree:
        forge.git("checkout", "-q", "-b", order(8).branch, cwd=tree.path)

        async with opened(spaces, order(8)) as other:
            assert forge.git("branch", "--show-current", cwd=other.path) == order(8).branch


async def test_a_detached_head_is_put_back_on_the_branch(root: Path, forge: Forge) -> None:
    spaces = workspaces(root, forge)
    async with opened(spaces, order()) as tree:
        forge.git("checkout", "-q", "--detach", cwd=tree.path)

    async with opened(spaces, order()) as tree:
        assert forge.git("branch", "--show-current", cwd=tree.path) == tree.branch


async def test_tasks_of_one_repository_are_prepared_at_the_same_time(
    root: Path, forge: Forge
) -> None:
    spaces = workspaces(root, forge)
    inside: set[int] = set()
    everybody = asyncio.Event()

    async def work(number: int) -> str:
        async with opened(spaces, order(number)) as tree:
            inside.add(number)
            if len(inside) == 4:
                everybody.set()
            await everybody.wait()
            return commit(tree, forge, f"{number}.txt")

    assert len(set(await asyncio.gather(*map(work, range(1, 5))))) == 4


async def test_two_runs_of_one_task_never_share_the_worktree(root: Path, forge: Forge) -> None:
    spaces = workspaces(root, forge)
    steps: list[str] = []

    async def later() -> None:
        async with opened(spaces, order()):
            steps.append("second")

    async with opened(spaces, order()):
        second = asyncio.create_task(later())
        async with opened(spaces, order(8)):  # the second had all the time to go ahead
            steps.append("first")
    await second

    assert steps == ["first", "second"]


async def test_a_forge_that_is_away_is_told_apart_from_one_that_refuses(
    root: Path, forge: Forge
) -> None:
    git = Git("http://127.0.0.1:9", "fleet", lambda: "secret-token")
    away = Workspaces(Root(root), WorkspaceConfig(), git, "http://127.0.0.1:9", AUTHOR)

    assert (await refusal(away, order())).reason is ReasonCode.FORGE_UNAVAILABLE


async def test_a_missing_base_branch_is_named(root: Path, forge: Forge) -> None:
    refused = await refusal(workspaces(root, forge), order(base="develop"))

    assert "'develop' is not on the forge" in refused.detail


async def test_an_empty_repository_says_what_to_do(root: Path, forge: Forge) -> None:
    forge.git("init", "-q", "--bare", str(forge.root / "ada" / "empty.git"))

    refused = await refusal(workspaces(root, forge), order(repo="ada/empty"))

    assert "push a first commit" in refused.detail


def no_objects(desk: Path) -> None:
    shutil.rmtree(desk / "objects")


def bad_refs(desk: Path) -> None:
    (desk / "packed-refs").write_text("what\nis this\n")


def bad_index(desk: Path) -> None:
    (desk / "index").write_bytes(b"DIRC")


def empty_head(desk: Path) -> None:
    (desk / "HEAD").write_text("")


def stale_lock(desk: Path) -> None:
    (desk / "index.lock").touch()
    (desk / "HEAD.lock").touch()


@pytest.mark.parametrize("harm", [no_objects, bad_refs, bad_index, empty_head, stale_lock])
async def test_the_runners_own_repository_of_a_task_is_mended_and_no_work_lost(
    root: Path, forge: Forge, harm: Callable[[Path], None]
) -> None:
    spaces = workspaces(root, forge)
    async with opened(spaces, order()) as tree:
        head = commit(tree, forge, "one.txt")
    (desk,) = (root / "repositories" / REPO / "tasks").glob("*.git")
    harm(desk)

    async with opened(spaces, order(attempt=2)) as tree:
        assert tree.start.commit == head
        await hand_over(tree)


async def test_a_link_in_the_worktrees_place_is_not_gone_on_with(
    root: Path, forge: Forge, tmp_path: Path
) -> None:
    """What it leads to may be a repository of somebody's, whose .git is not the runner's."""
    victim = tmp_path / "victim"
    (victim / ".git").mkdir(parents=True)
    spaces = workspaces(root, forge)
    async with opened(spaces, order()) as tree:
        tree.path.rename(tree.path.with_name("aside"))
        tree.path.symlink_to(victim)

    async with opened(spaces, order(), keep=True) as again:
        assert not again.path.is_symlink()

    assert (victim / ".git").is_dir()


@pytest.mark.parametrize("name", ["used", "owed", "created", "task.git"])
async def test_a_repository_may_be_called_as_what_is_noted_of_its_tasks(
    root: Path, forge: Forge, tmp_path: Path, name: str
) -> None:
    forge.create(f"ada/{name}", {"README.md": "x"})
    hooks = HooksConfig(after_create=Hook(run=f"echo made >> {tmp_path}/said"))
    spaces = workspaces(root, forge, hooks=hooks)
    assignment = order(repo=f"ada/{name}")
    for _ in range(2):
        async with opened(spaces, assignment) as tree:
            assert (tree.path / "README.md").is_file()

    assert (tmp_path / "said").read_text() == "made\n"
    (removed,) = (await spaces.remove_old(time.time() + 30 * 86_400)).removed
    assert removed == tree.path.parent
