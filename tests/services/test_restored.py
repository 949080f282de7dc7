"""A backup is put back, and the fleet goes on from there: nothing stands twice on Forgejo."""

from __future__ import annotations

import itertools
from pathlib import Path

from fleetbot.domain import commands as cmd
from fleetbot.domain.model import Run, RunId, TaskState
from fleetbot.forge.models import PullRequest
from fleetbot.services.dispatcher import Dispatcher
from fleetbot.services.timers import Timers
from fleetbot.store.audit import examine
from fleetbot.store.backup import back_up
from fleetbot.store.place import SqlitePlace
from fleetbot.store.restoring import restore
from tests.services.stage import BOT, CLAUDE, REPO, TEST, Stage
from tests.store.test_backup import now


async def begun(stage: Stage, title: str) -> tuple[int, Run]:
    """The number of the issue, and who is at it."""
    issue = await stage.issue(title)
    await stage.hear()
    run = await stage.given_running(at_once=5)
    await stage.settle()
    return issue.number, run


async def done(stage: Stage, issue: int, run: Run) -> PullRequest:
    pull = await stage.pull_request(run, path=f"{issue}.txt", body=f"Closes #{issue}")
    await claimed(stage, run, pull, issue)
    return pull


async def claimed(stage: Stage, run: Run, pull: PullRequest, issue: int) -> None:
    """Its receipt is filed, and holds."""
    await stage.given_receipt(run, pull, path=f"{issue}.txt")
    await stage.verifier.tick()
    await stage.settle()
    assert (await stage.task(issue)).state is TaskState.COMPLETED


async def back_to(stage: Stage, file: Path) -> None:
    """The instance is disabled, the backup put back, the instance enabled."""
    path = stage.root / "fleet.db"
    await stage.store.close()
    await restore(file, SqlitePlace(path), now, replace=True)
    stage._ids = itertools.count(100)  # no id is given twice
    stage.clock.advance(60)
    stage.restart()
    await stage.fleet.start()


async def passing(stage: Stage, seconds: int) -> None:
    """The agent is heard and names none of the old runs: its runner ended them."""
    timers = Timers(stage.fleet, Dispatcher(stage.fleet, lambda: RunId("none")))
    for _ in range(0, seconds, 10):
        stage.clock.advance(10)
        stage.fleet.saw(CLAUDE, ())
        await timers.tick()


async def shown(stage: Stage, issue: int) -> tuple[list[str], list[str]]:
    """Of the issue: its labels of a state, and the kinds of comments of ours."""
    found = await stage.client.issue(REPO, issue)
    labels = [label.name for label in found.labels if label.name.startswith("status:")]
    marks = [
        comment.body.rpartition("<!-- fleetbot ")[2] for comment in await stage.comments(issue)
    ]
    return labels, sorted(mark.partition(":")[0] for mark in marks)


async def count_pulls(stage: Stage) -> int:
    return len([pull async for pull in stage.client.iter_pulls(REPO, state="all")])


async def again(stage: Stage, number: int) -> Run:
    run = RunId(f"again-{number}")
    await stage.fleet.commit(cmd.Dispatch(CLAUDE, run), TEST)
    await stage.fleet.commit(cmd.StartRun(run, CLAUDE), TEST)
    assert stage.fleet.state.runs[run].task == (await stage.task(number)).id
    return stage.fleet.state.runs[run]


async def test_what_a_backup_does_not_know_is_made_up_for_and_nothing_stands_twice(
    stage: Stage, tmp_path: Path
) -> None:
    file = tmp_path / "backup.db"
    first, run = await begun(stage, "Done before")
    await done(stage, first, run)
    second, run = await begun(stage, "Begun before")
    await back_up(SqlitePlace(tmp_path / "fleet.db"), file)
    pulls = {second: await done(stage, second, run)}
    third, run = await begun(stage, "Done after")
    pulls[third] = await done(stage, third, run)
    closed, _ = await begun(stage, "Closed since")
    await stage.ann.edit_issue(REPO, closed, state="closed")
    await stage.settle()
    numbers = await count_pulls(stage)

    await back_to(stage, file)
    assert await stage.fleet.task_of_issue(REPO, third) is None
    await stage.reconciler.tick()
    await stage.settle()
    await passing(stage, 200)
    await stage.settle()

    # Whose issue is closed is over, whatever the journal has missed.
    assert await stage.fleet.task_of_issue(REPO, closed) is None
    assert await shown(stage, first) == (["status:done"], ["receipt", "task"])
    for number in pulls:
        assert (await stage.task(number)).state is TaskState.CREATED
        assert await shown(stage, number) == (["status:todo"], ["receipt", "task"])

    # What is still open is done again, on the same branch and in the same pull request.
    for number, old in pulls.items():
        its = await again(stage, number)
        assert its.branch == old.head.ref
        await stage.forge.commit(REPO, its.branch, {f"{number}.txt": "again\n"}, "Again", by=BOT)
        await claimed(stage, its, await stage.client.pull(REPO, old.number), number)
        assert await shown(stage, number) == (["status:done"], ["receipt", "receipt", "task"])
    assert await count_pulls(stage) == numbers
    assert await examine(stage.store) == []


async def test_what_was_delivered_since_the_backup_is_not_said_again(
    stage: Stage, tmp_path: Path
) -> None:
    file = tmp_path / "backup.db"
    _, run = await begun(stage, "Done")
    pull = await stage.pull_request(run)
    await stage.given_receipt(run, pull)
    await stage.verifier.tick()
    await back_up(SqlitePlace(tmp_path / "fleet.db"), file)  # before it could be told
    await stage.settle()
    told = [(c.id, c.body) for c in await stage.comments()]

    await back_to(stage, file)
    assert await stage.courier.next_due() is not None
    await stage.settle()
    await stage.reconciler.tick()
    await stage.settle()

    assert [(c.id, c.body) for c in await stage.comments()] == told
    assert await shown(stage, 1) == (["status:done"], ["receipt", "task"])
