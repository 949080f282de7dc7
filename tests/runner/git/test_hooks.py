"""The hooks of the person who runs the runner."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from fleetbot.domain.reasons import ReasonCode
from fleetbot.runner.config import Hook, HooksConfig
from tests.runner.git.scenery import (
    ENV,
    REPO,
    Forge,
    agent,
    git_in,
    opened,
    order,
    refusal,
    workspaces,
)


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


async def test_after_create_runs_until_it_has_succeeded_once(
    root: Path, forge: Forge, tmp_path: Path
) -> None:
    registry, said = tmp_path / "registry", tmp_path / "said"
    hook = Hook(run=f"echo again >> {said}; test -e {registry}")
    spaces = workspaces(root, forge, hooks=HooksConfig(after_create=hook))
    assert (await refusal(spaces, order())).reason is ReasonCode.HOOK_FAILED

    registry.touch()
    for _ in range(2):
        async with opened(spaces, order()):
            pass

    assert said.read_text() == "again\nagain\n"


async def test_a_hook_obeys_no_settings_of_the_agents_home_or_repository(
    root: Path, forge: Forge, tmp_path: Path
) -> None:
    spy, said = tmp_path / "spy", tmp_path / "said"
    home = tmp_path / "home"
    home.mkdir()
    (home / ".gitconfig").write_text(f"[core]\n\tfsmonitor = touch {spy} #\n")
    hook = Hook(run=f'git status --short > {said}; echo "$HOME $TMPDIR" >> {said}')
    spaces = workspaces(root, forge, hooks=HooksConfig(after_run=hook))
    env = ENV | {"HOME": str(home), "TMPDIR": str(home / "tmp")}
    async with spaces.open(order(), env, keep_changes=False) as tree:
        agent(tree, "config", "core.fsmonitor", f"touch {spy} #")
        (tree.path / "new.txt").write_text("new")

        await tree.run_hook("after_run", env)
        work = await tree.collect("Say hello")

    status, where = said.read_text().splitlines()
    assert status == "?? new.txt"
    assert str(home) not in where
    assert not spy.exists()
    assert work.files == ("new.txt",)


async def test_a_hook_runs_inside_the_agents_sandbox_where_it_has_one(
    root: Path, forge: Forge, tmp_path: Path
) -> None:
    said = tmp_path / "said"
    homes: list[Path] = []

    async def wrap(argv: Sequence[str], home: Path) -> Sequence[str]:
        homes.append(home)
        return ["/usr/bin/env", "INSIDE=yes", *argv]

    hook = Hook(run=f"echo $INSIDE >> {said}")
    hooks = HooksConfig(after_create=hook, before_run=hook, after_run=hook)
    spaces = workspaces(root, forge, hooks=hooks)
    async with spaces.open(order(), ENV, keep_changes=False, wrap=wrap) as tree:
        await tree.run_hook("after_run", ENV, wrap)

    assert said.read_text() == "yes\nyes\nyes\n"
    assert set(homes) == {tree.path.parent / "+hooks-sandboxed"}


async def test_after_create_runs_again_for_a_worktree_that_was_made_anew(
    root: Path, forge: Forge, tmp_path: Path
) -> None:
    said = tmp_path / "said"
    hooks = HooksConfig(after_create=Hook(run=f"echo again >> {said}"))
    spaces = workspaces(root, forge, hooks=hooks)
    for _ in range(2):
        async with opened(spaces, order()) as tree:
            shutil.rmtree(tree.path)

    assert said.read_text() == "again\nagain\n"


async def test_a_hook_that_leaves_a_service_ends_when_it_ends(root: Path, forge: Forge) -> None:
    hook = Hook(run="sleep 600 & echo started", timeout_seconds=60)
    spaces = workspaces(root, forge, hooks=HooksConfig(before_run=hook))

    async with asyncio.timeout(30), opened(spaces, order()):
        pass


async def test_a_submodules_own_settings_do_not_reach_a_hook(
    root: Path, forge: Forge, tmp_path: Path
) -> None:
    """`git status` looks into each submodule, with the settings that an agent wrote there."""
    forge.link(REPO, forge.create_part(), "part")
    hooks = HooksConfig(after_run=Hook(run="git status --short && ls -A part"))
    out = tmp_path / "out"
    async with opened(workspaces(root, forge, hooks=hooks, submodules="off"), order()) as tree:
        git_in(tree.path / "part", "init", "-q")
        agent(tree, "-C", "part", "commit", "-q", "--allow-empty", "-m", "x")
        agent(tree, "-C", "part", "config", "core.fsmonitor", f"touch {out} #")
        agent(tree, "config", "-f", ".gitmodules", "submodule.part.ignore", "none")
        out.unlink(missing_ok=True)

        await tree.run_hook("after_run", ENV)

        assert not out.exists()
        assert (tree.path / "part" / ".git").is_dir()


async def test_what_a_hook_leaves_in_its_home_is_for_hooks_of_the_same_task_only(
    root: Path, forge: Forge, tmp_path: Path
) -> None:
    """`npm ci` and its like run what the repository says, which an agent may have written."""
    said = tmp_path / "said"
    leave = Hook(run='rm -rf "$TMPDIR"; touch "$TMPDIR"; echo trap > ~/.npmrc')
    look = Hook(run=f'cat ~/.npmrc >> {said}; test -d "$TMPDIR" && echo fine >> {said} || true')
    first = workspaces(root, forge, hooks=HooksConfig(after_create=leave))
    async with opened(first, order(7)):
        pass

    spaces = workspaces(root, forge, hooks=HooksConfig(before_run=look))
    for number in (8, 7):
        async with opened(spaces, order(number)):
            pass

    assert said.read_text() == "fine\ntrap\nfine\n"
