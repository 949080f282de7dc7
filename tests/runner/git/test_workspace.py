"""Worktrees: made, reused, repaired, removed, and never outside their root."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import time
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest

from fleetbot.domain.model import branch_name
from fleetbot.domain.reasons import ReasonCode
from fleetbot.runner.config import Hook, HooksConfig, WorkspaceConfig
from fleetbot.runner.failure import RunFailed
from fleetbot.runner.git.command import Git, Identity
from fleetbot.runner.git.slot import check_names
from fleetbot.runner.git.workspace import Workspaces
from fleetbot.runner.git.worktree import Worktree
from fleetbot.runner.root import Root
from fleetbot.runner.secret import Secret
from fleetbot.wire import Assignment

AUTHOR = Identity("fleetbot", "fleet@example.org")
ENV = {"PATH": os.environ["PATH"], **AUTHOR.env()}
REPO = "ada/widgets"


class Forge:
    """Bare repositories in a folder; git reaches them by file:// as it would by https://."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.url = f"file://{root}"

    def git(self, *args: str, cwd: Path | None = None) -> str:
        people = {"GIT_AUTHOR_NAME": "ada", "GIT_AUTHOR_EMAIL": "ada@example.org"}
        people |= {"GIT_COMMITTER_NAME": "ada", "GIT_COMMITTER_EMAIL": "ada@example.org"}
        done = subprocess.run(
            ["git", "-c", "protocol.file.allow=always", *args],
            cwd=cwd or self.root,
            env=ENV | people,
            check=True,
            capture_output=True,
            text=True,
        )
        return done.stdout.strip()

    def create(self, repo: str, files: dict[str, str]) -> None:
        path = self.root / f"{repo}.git"
        self.git("init", "-q", "--bare", "-b", "main", str(path))
        self.commit(repo, files)

    def commit(self, repo: str, files: dict[str, str], branch: str = "main", onto: str = "") -> str:
        """A commit by ada on a branch."""
        work = self.root / "work"
        shutil.rmtree(work, ignore_errors=True)
        self.git("clone", "-q", f"{self.root}/{repo}.git", str(work))
        if onto:
            self.git("checkout", "-q", onto, cwd=work)
        if self.git("branch", "--show-current", cwd=work) != branch:
            self.git("checkout", "-q", "-B", branch, cwd=work)
        for name, text in files.items():
            (work / name).parent.mkdir(parents=True, exist_ok=True)
            (work / name).write_text(text)
        self.git("add", "-A", cwd=work)
        self.git("commit", "-q", "-m", "By ada", cwd=work)
        self.git("push", "-q", "origin", f"HEAD:{branch}", cwd=work)
        return self.git("rev-parse", "HEAD", cwd=work)


@pytest.fixture
def forge(tmp_path: Path) -> Forge:
    (tmp_path / "forge").mkdir()
    forge = Forge(tmp_path / "forge")
    forge.create(REPO, {"README.md": "# Widgets\n", "src/code.py": "x = 1\n"})
    return forge


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "state"


def workspaces(root: Path, forge: Forge, **settings: Any) -> Workspaces:
    git = Git(forge.url, "fleet", Secret("secret-token"))
    return Workspaces(Root(root), WorkspaceConfig(**settings), git, forge.url, AUTHOR)


def order(number: int = 7, title: str = "Say hello", **fields: Any) -> Assignment:
    given: dict[str, Any] = {
        "run": f"run-of-{number}",
        "task": f"task-{number}",
        "attempt": 1,
        "repo": REPO,
        "issue": number,
        "title": title,
        "kind": "task",
        "priority": "normal",
        "branch": branch_name(number, title),
        "ack_seconds": 30,
        "lease_seconds": 60,
        "timeout_seconds": 60,
    }
    return Assignment(**(given | fields))


def opened(
    spaces: Workspaces, assignment: Assignment, *, keep: bool = False
) -> AbstractAsyncContextManager[Worktree]:
    return spaces.open(assignment, ENV, keep_changes=keep)


def commit(tree: Worktree, forge: Forge, name: str, content: bytes = b"x") -> str:
    """A commit by the agent in its worktree."""
    (tree.path / name).write_bytes(content)
    for args in (["add", "-A"], ["commit", "-q", "-m", f"Add {name}"]):
        subprocess.run(["git", *args], cwd=tree.path, env=ENV, check=True)
    return forge.git("rev-parse", "HEAD", cwd=tree.path)


async def hand_over(tree: Worktree) -> None:
    await tree.push(await tree.collect(None))


async def refusal(spaces: Workspaces, assignment: Assignment) -> RunFailed:
    with pytest.raises(RunFailed) as refused:
        async with opened(spaces, assignment):
            pass
    return refused.value


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


async def test_a_retry_finds_what_the_earlier_attempt_committed_and_no_litter(
    root: Path, forge: Forge
) -> None:
    spaces = workspaces(root, forge)
    async with opened(spaces, order()) as tree:
        done = commit(tree, forge, "done.txt")
        (tree.path / "litter.txt").write_text("half")
        (tree.path / "README.md").write_text("half")

    async with opened(spaces, order()) as tree:
        assert tree.start.commit == done
        assert tree.earlier == ("Add done.txt",)
        assert not (tree.path / "litter.txt").exists()
        assert (tree.path / "README.md").read_text() == "# Widgets\n"


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


async def test_another_repository_put_in_the_mirrors_place_is_not_followed(
    root: Path, forge: Forge, tmp_path: Path
) -> None:
    spaces = workspaces(root, forge)
    spy, evil = tmp_path / "spy", tmp_path / "evil"
    async with opened(spaces, order()) as tree:
        mirror = tree.git_dirs[1]
        shutil.copytree(mirror, evil, symlinks=True)
        forge.git("config", "filter.spy.smudge", f"touch {spy}; cat", cwd=evil)
        for place in (mirror, evil):
            (place / "info").mkdir(exist_ok=True)
            (place / "info" / "attributes").write_text("* filter=spy\n")
        (mirror / "commondir").write_text(f"{evil}\n")

    async with opened(spaces, order(8)) as tree:
        assert (tree.path / "README.md").is_file()

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


class GitBesideAnAgent(Git):
    """While the runner's git works, an agent of another task writes into the mirror."""

    mirror: Path
    spy: Path

    async def __call__(self, *args: str, **options: Any) -> str:
        if self.mirror.is_dir():
            (self.mirror / "info").mkdir(exist_ok=True)
            (self.mirror / "info" / "attributes").write_text("* filter=spy\n")
            (self.mirror / "config").write_text(
                "[core]\n\tbare = true\n"
                f'[filter "spy"]\n\tsmudge = "touch {self.spy}; cat"\n'
                f'[submodule "part"]\n\tupdate = "!touch {self.spy}"\n'
            )
        return await super().__call__(*args, **options)


async def test_what_another_agent_writes_meanwhile_is_not_obeyed(
    root: Path, forge: Forge, tmp_path: Path
) -> None:
    git = GitBesideAnAgent(forge.url, "fleet", Secret("secret-token"))
    git.mirror, git.spy = root / "repositories" / REPO / "mirror.git", tmp_path / "spy"
    spaces = Workspaces(Root(root), WorkspaceConfig(), git, forge.url, AUTHOR)

    for name in ("made", "used again"):
        async with opened(spaces, order()) as tree:
            assert (tree.path / "README.md").is_file(), name
            commit(tree, forge, name)

    assert not git.spy.exists()


async def test_a_link_left_where_the_settings_are_written_is_not_written_through(
    root: Path, forge: Forge, tmp_path: Path
) -> None:
    spaces = workspaces(root, forge)
    victim = tmp_path / "victim"
    victim.write_text("mine\n")
    async with opened(spaces, order()) as tree:
        mirror = tree.git_dirs[1]
        (mirror / "config.new").symlink_to(victim)
        (mirror / "config").unlink()
        (mirror / "config").symlink_to(victim)

    async with opened(spaces, order(8)):
        pass

    assert victim.read_text() == "mine\n"


async def test_a_pipe_left_in_place_of_a_file_does_not_stop_the_runner(
    root: Path, forge: Forge
) -> None:
    spaces = workspaces(root, forge)
    async with opened(spaces, order()) as tree:
        (tree.path / ".git").unlink()
        os.mkfifo(tree.path / ".git")

    async with opened(spaces, order()) as tree:
        assert forge.git("status", "--porcelain", cwd=tree.path) == ""


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


async def test_hooks_run_at_their_moments_with_the_runs_environment(
    root: Path, forge: Forge, tmp_path: Path
) -> None:
    said = tmp_path / "said"

    def hook(name: str) -> Hook:
        return Hook(run=f'echo "{name} $GIT_AUTHOR_NAME $(basename $PWD)" >> {said}')

    hooks = HooksConfig(after_create=hook("create"), before_run=hook("run"))
    spaces = workspaces(root, forge, hooks=hooks)
    for _ in range(2):
        async with opened(spaces, order()):
            pass

    assert said.read_text().splitlines() == [
        "create fleetbot widgets",
        "run fleetbot widgets",
        "run fleetbot widgets",
    ]


@pytest.mark.parametrize(
    ("hook", "said"),
    [
        (Hook(run="echo broken >&2; exit 3"), "exit status 3: broken"),
        (Hook(run="sleep 60", timeout_seconds=0.1), "took longer than 0.1 s"),
    ],
)
async def test_a_hook_that_fails_fails_the_run(
    root: Path, forge: Forge, hook: Hook, said: str
) -> None:
    refused = await refusal(workspaces(root, forge, hooks=HooksConfig(before_run=hook)), order())

    assert refused.reason is ReasonCode.HOOK_FAILED
    assert "before_run" in refused.detail
    assert said in refused.detail


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
        os.utime(tree.path.parent / "used", (stamp, stamp))

    tidied = await spaces.remove_old()

    assert [slot.name for slot in tidied.removed] == ["fleet+1-say-hello"]


@pytest.mark.skipif(shutil.which("git-lfs") is not None, reason="git-lfs is installed here")
async def test_a_repository_with_lfs_files_says_that_git_lfs_is_missing(
    root: Path, forge: Forge
) -> None:
    forge.commit(REPO, {".gitattributes": "*.bin filter=lfs diff=lfs merge=lfs -text\n"})

    refused = await refusal(workspaces(root, forge), order())

    assert refused.reason is ReasonCode.WORKSPACE_FAILED
    assert "install it, or set workspace.lfs to 'off'" in refused.detail


async def test_a_forge_that_is_away_is_told_apart_from_one_that_refuses(
    root: Path, forge: Forge
) -> None:
    git = Git("http://127.0.0.1:9", "fleet", Secret("secret-token"))
    away = Workspaces(Root(root), WorkspaceConfig(), git, "http://127.0.0.1:9", AUTHOR)

    assert (await refusal(away, order())).reason is ReasonCode.FORGE_UNAVAILABLE


async def test_a_missing_base_branch_is_named(root: Path, forge: Forge) -> None:
    refused = await refusal(workspaces(root, forge), order(base="develop"))

    assert "'develop' is not on the forge" in refused.detail


async def test_an_empty_repository_says_what_to_do(root: Path, forge: Forge) -> None:
    forge.git("init", "-q", "--bare", str(forge.root / "ada" / "empty.git"))

    refused = await refusal(workspaces(root, forge), order(repo="ada/empty"))

    assert "push a first commit" in refused.detail


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
