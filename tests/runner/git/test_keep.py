"""Work of a run that was not verified is kept on the forge, and the next attempt starts from it."""

from __future__ import annotations

from pathlib import Path

import pytest

from fleetbot.domain.reasons import ReasonCode
from fleetbot.runner.failure import RunFailed
from fleetbot.runner.git.kept import ref_safe
from tests.runner.git.scenery import REPO, agent, hand_over, keep, opened, order
from tests.runner.git.site import Site
from tests.runner.git.test_push import BRANCH, write

RECEIVE = f"{REPO}.git/git-receive-pack$"


async def test_what_was_committed_and_what_was_left_is_there_for_another_machine(
    site: Site,
) -> None:
    async with opened(site.workspaces("one"), order()) as tree:
        committed = write(tree, "one.txt")
        (tree.path / "half.txt").write_text("half")

        kept = await keep(tree)

    assert kept is not None
    assert site.refs("refs/fleet") == {"refs/fleet/task-7/1": kept.commit}
    assert site.git("log", "-1", "--format=%s|%ce", kept.commit) == (
        "WIP: what the agent left|fleet@example.org"
    )
    assert "Fleet-Kept: run-of-7" in site.git("log", "-1", "--format=%B", kept.commit)
    async with opened(site.workspaces("two"), order(attempt=2)) as tree:
        assert (tree.start.commit, tree.start.source) == (kept.commit, "kept")
        assert tree.earlier == ("Add one.txt", "WIP: what the agent left")
        assert (tree.path / "half.txt").read_text() == "half"
        assert agent(tree, "merge-base", "--is-ancestor", committed, "HEAD") == ""


async def test_the_newest_attempt_is_started_from(site: Site) -> None:
    for attempt in (1, 2, 10):
        machine = f"machine-{attempt}"
        async with opened(site.workspaces(machine), order(attempt=attempt)) as tree:
            head = write(tree, f"{attempt}.txt")
            await keep(tree)

    async with opened(site.workspaces("last"), order(attempt=11)) as tree:
        assert tree.start.commit == head
        assert tree.earlier == ("Add 1.txt", "Add 2.txt", "Add 10.txt")


async def test_runs_that_count_as_no_attempt_are_kept_in_their_order_too(site: Site) -> None:
    """A person's retry counts attempts from one again; an excused run has the number before it."""
    for number, attempt in ((1, 1), (2, 1), (3, 2), (4, 1)):
        machine = f"machine-{number}"
        this = order(attempt=attempt, number=number)
        async with opened(site.workspaces(machine), this) as tree:
            head = write(tree, f"{number}.txt")
            await keep(tree)

    async with opened(site.workspaces("last"), order(attempt=1, number=5)) as tree:
        assert tree.start.commit == head
        assert tree.earlier == ("Add 1.txt", "Add 2.txt", "Add 3.txt", "Add 4.txt")
    assert sorted(site.refs("refs/fleet")) == [f"refs/fleet/task-7/{n}" for n in (1, 2, 3, 4)]


async def test_what_is_kept_goes_on_from_the_branch(site: Site) -> None:
    async with opened(site.workspaces("one"), order()) as tree:
        write(tree, "pushed.txt")
        await hand_over(tree)
        kept = write(tree, "after.txt")
        await keep(tree)

    async with opened(site.workspaces("two"), order(attempt=2)) as tree:
        assert tree.start.commit == kept
        await hand_over(tree)

    assert site.git("rev-parse", BRANCH) == kept


async def test_commits_of_people_come_before_what_was_kept_without_them(site: Site) -> None:
    async with opened(site.workspaces("one"), order()) as tree:
        write(tree, "pushed.txt")
        await hand_over(tree)
        kept = write(tree, "after.txt")
        await keep(tree)
    theirs = await site.forge.commit(REPO, BRANCH, {"mine.txt": "x"}, "Mine", by="ada")

    async with opened(site.workspaces("two"), order(attempt=2)) as tree:
        assert tree.start.commit == theirs
        assert tree.start.notes == (f"not built upon: {kept[:10]}, which left the branch",)


async def test_nothing_is_kept_of_which_the_forge_has_all(site: Site) -> None:
    async with opened(site.workspaces(), order()) as tree:
        assert await keep(tree) is None
        write(tree, "one.txt")
        await hand_over(tree)
        assert await keep(tree) is None

    assert site.refs("refs/fleet") == {}


async def test_after_a_verified_end_nothing_is_left_of_it_on_the_forge(site: Site) -> None:
    async with opened(site.workspaces("one"), order()) as tree:
        write(tree, "one.txt")
        await keep(tree)
    async with opened(site.workspaces("two"), order(8)) as other:
        write(other, "other.txt")
        await keep(other)

    async with opened(site.workspaces("one"), order(attempt=2)) as tree:
        write(tree, "two.txt")
        await hand_over(tree)
        await tree.forget_kept()

    assert list(site.refs("refs/fleet")) == ["refs/fleet/task-8/1"]


async def test_a_half_merged_worktree_is_kept_as_it_is(site: Site) -> None:
    async with opened(site.workspaces(), order()) as tree:
        write(tree, "one.txt")
        (tree.git_dirs[0] / "MERGE_HEAD").write_text(tree.start.commit)
        (tree.path / "README.md").write_text("<<<<<<< ours\n")
        agent(tree, "init", "-q", "nested")

        kept = await keep(tree)

    assert kept is not None
    assert site.git("show", f"{kept.commit}:README.md") == "<<<<<<< ours"
    assert "nested" not in site.git("ls-tree", "-r", "--name-only", kept.commit)


@pytest.mark.parametrize(
    ("rules", "why"),
    [
        ({"secrets": {"KEY": "k-3f9a0d51c7"}}, "it contains the value of KEY"),
        ({"forbidden": (".forgejo/workflows/",)}, "may not be changed by an agent"),
    ],
)
async def test_what_others_must_not_get_stays_on_this_machine(
    site: Site, rules: dict[str, object], why: str
) -> None:
    spaces = site.workspaces()
    async with opened(spaces, order()) as tree:
        workflow = tree.path / ".forgejo" / "workflows" / "ci.yml"
        workflow.parent.mkdir(parents=True)
        workflow.write_text("run: echo k-3f9a0d51c7\n")

        kept = await keep(tree, **rules)

    assert kept is not None
    assert kept.ref == ""
    assert why in kept.notes[0]
    assert site.refs("refs/fleet") == {}
    async with opened(spaces, order(attempt=2)) as tree:
        assert tree.start.commit == kept.commit
    assert (await spaces.remove_old(9e9)).removed == ()


async def test_too_much_that_is_uncommitted_leaves_the_commits_to_be_kept(site: Site) -> None:
    spaces = site.workspaces(max_files=2)
    async with opened(spaces, order()) as tree:
        head = write(tree, "one.txt")
        for number in range(3):
            (tree.path / f"{number}.log").write_text("noise")

        kept = await keep(tree)

    assert kept is not None
    assert (kept.commit, kept.ref) == (head, "refs/fleet/task-7/1")
    assert "3 files are untracked" in kept.notes[0]
    assert (await spaces.remove_old(9e9)).removed == ()


async def test_commits_that_are_too_large_stay_on_this_machine(site: Site) -> None:
    async with opened(site.workspaces(max_mb=1), order()) as tree:
        (tree.path / "dump.sql").write_bytes(bytes(2_000_000))
        write(tree, "one.txt")

        kept = await keep(tree)

    assert kept is not None
    assert kept.ref == ""
    assert "the largest is `dump.sql`" in kept.notes[0]


async def test_where_the_forge_refuses_such_refs_a_branch_is_used(site: Site) -> None:
    site.hook("update", 'case "$1" in refs/fleet/*) echo "no such refs here"; exit 1;; esac')
    settings = {"keep_branch": "fleet-kept/{task}/{attempt}"}
    async with opened(site.workspaces("one", **settings), order()) as tree:
        head = write(tree, "one.txt")
        kept = await keep(tree)

    assert kept is not None
    assert kept.ref == "refs/heads/fleet-kept/task-7/1"
    async with opened(site.workspaces("two", **settings), order(attempt=2)) as tree:
        assert tree.start.commit == head
        await hand_over(tree)
        await tree.forget_kept()
    assert site.refs("refs/heads/fleet-kept") == {}


async def test_without_such_a_branch_it_is_kept_here_and_said(site: Site) -> None:
    site.hook("update", 'case "$1" in refs/fleet/*) echo "no such refs here"; exit 1;; esac')
    spaces = site.workspaces()
    async with opened(spaces, order()) as tree:
        head = write(tree, "one.txt")
        kept = await keep(tree)

    assert kept is not None
    assert (kept.commit, kept.ref) == (head, "")
    assert "no such refs here" in kept.notes[0]
    async with opened(spaces, order(attempt=2)) as tree:
        assert tree.start.commit == head


@pytest.mark.parametrize("status", [0, 502])
async def test_a_kept_commit_whose_push_lost_its_answer_is_kept(site: Site, status: int) -> None:
    async with opened(site.workspaces(), order()) as tree:
        head = write(tree, "one.txt")
        site.forge.fail_next("POST", RECEIVE, status, applied=True)

        kept = await keep(tree)

    assert kept is not None
    assert kept.ref == "refs/fleet/task-7/1"
    assert site.refs("refs/fleet") == {kept.ref: head}


async def test_while_the_forge_is_away_it_stays_here_for_the_next_attempt(site: Site) -> None:
    spaces = site.workspaces()
    async with opened(spaces, order()) as tree:
        (tree.path / "half.txt").write_text("half")
        site.forge.fail_next("GET", f"{REPO}.git/info/refs", 502)
        with pytest.raises(RunFailed) as failed:
            await keep(tree)

    assert failed.value.reason is ReasonCode.FORGE_UNAVAILABLE
    assert (await spaces.remove_old(9e9)).removed == ()
    async with opened(spaces, order(attempt=2)) as tree:
        assert tree.start.source == "kept"
        assert (tree.path / "half.txt").read_text() == "half"


async def test_a_session_that_goes_on_after_keeping_finds_its_files(site: Site) -> None:
    spaces = site.workspaces()
    async with opened(spaces, order()) as tree:
        (tree.path / "half.txt").write_text("half")
        await keep(tree)

    async with opened(spaces, order(attempt=2), keep=True) as tree:
        assert tree.as_left
        assert (tree.path / "half.txt").read_text() == "half"


def test_any_tasks_name_is_a_safe_part_of_a_ref() -> None:
    names = ["task-7", "1:7", "a/b", "../x", "x.lock", "a b", "", "-x", "x" * 500]

    refs = [ref_safe(name) for name in names]

    assert refs[0] == "task-7"
    assert len(set(refs)) == len(names)
    assert all(Path(ref).name == ref and ".." not in ref and "." not in ref for ref in refs)


@pytest.mark.parametrize("machine", ["one", "two"])
async def test_what_a_deleted_branch_had_is_not_begun_from_again(site: Site, machine: str) -> None:
    """Whoever deletes a branch wants none of it, also not what was kept before it was pushed."""
    async with opened(site.workspaces("one"), order()) as tree:
        write(tree, "one.txt")
        await keep(tree)
    async with opened(site.workspaces("one"), order(attempt=2)) as tree:
        write(tree, "two.txt")
        await hand_over(tree)
    site.git("update-ref", "-d", f"refs/heads/{BRANCH}")

    async with opened(site.workspaces(machine), order(attempt=3)) as tree:
        assert tree.start.source == "base"
        assert sorted(path.name for path in tree.path.iterdir()) == [".git", "README.md"]


async def test_what_nobody_could_keep_is_there_for_the_next_attempt(site: Site) -> None:
    """The runner was killed, or the run was another's by then."""
    spaces = site.workspaces()
    async with opened(spaces, order()) as tree:
        write(tree, "one.txt")
        (tree.path / "half.txt").write_text("half")

    async with opened(spaces, order(attempt=2)) as tree:
        assert (tree.path / "half.txt").read_text() == "half"
        assert tree.start.source == "kept"


async def test_an_unfinished_merge_is_no_reason_to_lose_what_is_uncommitted(site: Site) -> None:
    spaces = site.workspaces()
    async with opened(spaces, order()) as tree:
        write(tree, "one.txt")
        (tree.git_dirs[0] / "MERGE_HEAD").write_text(tree.start.commit)
        (tree.path / "half.txt").write_text("half")

    async with opened(spaces, order(attempt=2), keep=True) as tree:
        assert (tree.path / "half.txt").read_text() == "half"
        assert "Keep what was left uncommitted" in tree.earlier


async def test_litter_of_finished_work_is_not_kept(site: Site) -> None:
    spaces = site.workspaces()
    async with opened(spaces, order()) as tree:
        write(tree, "one.txt")
        (tree.path / "litter.txt").write_text("x")
        await hand_over(tree)
        await tree.forget_kept()

    async with opened(spaces, order(attempt=2)) as tree:
        assert not (tree.path / "litter.txt").exists()


async def test_what_is_made_after_a_push_is_kept_as_what_came_before(site: Site) -> None:
    """A receipt was refuted, the agent mends it, and the runner is killed."""
    spaces = site.workspaces()
    async with opened(spaces, order()) as tree:
        write(tree, "one.txt")
        await hand_over(tree)
        tree.lend()
        (tree.path / "half.txt").write_text("half")

    assert (await spaces.remove_old(9e9)).removed == ()
    async with opened(spaces, order(attempt=2)) as tree:
        assert (tree.path / "half.txt").read_text() == "half"
