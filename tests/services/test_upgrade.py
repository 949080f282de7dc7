"""What an old version left in the outbox is delivered by this one."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import msgspec
import pytest
import yoyo

import fleetbot
from fleetbot.domain import effects as fx
from fleetbot.domain.model import TaskId, TaskState
from fleetbot.store.audit import examine
from fleetbot.store.migrate import migrate_sqlite
from fleetbot.store.sqlite import SqliteStore
from tests.services.stage import REPO, Stage, open_stage

MIGRATIONS = Path(fleetbot.__file__).parent / "store/migrations/sqlite"
DATA = Path(__file__).parents[1] / "data"
EVERYBODY = {"forgejo": 100, "matrix": 100}


def old_database(path: Path, left_behind: str) -> None:
    """As fleetbot 0.1 left it."""
    backend = yoyo.get_backend(f"sqlite:///{quote(str(path))}")
    known = list(backend.to_apply(yoyo.read_migrations(str(MIGRATIONS))))
    with backend.transaction():
        for migration in known[:2]:
            migration.process_steps(backend, "apply")
            backend.mark_one(migration, log=False)
    backend.connection.close()
    with closing(sqlite3.connect(path)) as database:
        database.executescript((DATA / left_behind).read_text())


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    """A completed task of ann/app#1, and nothing of it delivered; two effects were given up, as
    delivered."""
    old_database(path := tmp_path / "fleet.db", "outbox-0.1.sql")
    migrate_sqlite(path)
    async with open_stage(tmp_path) as opened:
        opened.forge.lose_webhooks(100)
        await opened.issue()
        yield opened


async def test_effects_name_their_task_now(stage: Stage) -> None:
    found = await stage.store.due(stage.clock(), EVERYBODY)
    waiting = {due.entry.destination: due.entry for due in found}
    show = waiting["forgejo:task/t-old"]
    assert msgspec.json.decode(show.payload, type=fx.ShowOnIssue) == fx.ShowOnIssue(
        task=TaskId("t-old")
    )
    assert show.seq == 7  # the older ones have been superseded


async def test_a_notice_to_a_room_still_says_what_it_was_to_say(stage: Stage) -> None:
    [due] = await stage.store.due(stage.clock(), {"matrix": 100})
    notice = msgspec.json.decode(due.entry.payload, type=fx.Notice)
    assert isinstance(notice, fx.TaskNotice)
    assert (notice.notice, notice.task.ref) == (fx.NoticeKind.ASSIGNED, f"{REPO}#1")
    assert notice.task.title == "Add a greeting"
    assert notice.run is not None
    assert (notice.run.agent, notice.run.attempt) == ("claude-1", 1)


async def test_what_waited_is_delivered(stage: Stage) -> None:
    await stage.courier.tick()
    [comment] = await stage.comments()
    assert "Done by `claude-1`" in comment.body
    assert (await stage.ann.issue(REPO, 1)).label_names == {"fleet", "status:done"}


async def test_what_was_given_up_silently_is_a_dead_letter_that_can_be_sent(stage: Stage) -> None:
    [letter] = await stage.store.dead_letters()
    assert (letter.kind, letter.error) == ("receipt_comment", "GET /issues/1 -> 404")
    await stage.dead_letters.retry(letter.number)
    await stage.courier.tick()
    receipt, _ = await stage.comments()
    assert receipt.body.startswith("✅ **Receipt of `claude-1`: verified**")


async def test_what_something_newer_has_replaced_is_no_dead_letter(stage: Stage) -> None:
    """The pending status was given up; the success behind it still waits."""
    found = await stage.store.due(stage.clock(), EVERYBODY)
    [status] = [due.entry for due in found if due.entry.kind == "commit_status"]
    effect = msgspec.json.decode(status.payload, type=fx.CommitStatus)
    assert (effect.repo, effect.task, effect.state) == (REPO, None, "success")


async def test_tasks_in_every_state_are_as_their_events_say(tmp_path: Path) -> None:
    old_database(path := tmp_path / "fleet.db", "fleet-0.1.sql")
    migrate_sqlite(path)
    store = SqliteStore(path)
    await store.load()
    assert await examine(store) == []
    done, *_ = await store.tasks(states=[TaskState.COMPLETED])
    assert done.entered_at == done.updated_at, "and not in 1970"
    await store.close()
