"""Verification finds what was changed behind the fleet's back; a rebuild mends read models."""

from __future__ import annotations

import pytest

from fleetbot.domain.events import RepoKnown
from fleetbot.store.audit import examine
from fleetbot.store.damage import Damage, JournalDamaged, Problem
from fleetbot.store.interface import Store, Unreadable
from tests.store.backend import Backend
from tests.store.history import AGENT, REPO, History
from tests.store.looking_after import rebuilt


@pytest.fixture
async def story(store: Store, history: History) -> None:
    """Events 1 to 9: an agent, a task from beginning to end, a waiting one, and a repository."""
    for change in (history.registered(), *history.story("t1"), history.created("t2")):
        await store.append(change)
    await store.append(history.repo_event(7, RepoKnown(name=REPO)))


@pytest.mark.usefixtures("story")
async def test_an_untouched_store_has_no_problems(store: Store) -> None:
    assert await examine(store) == []


@pytest.mark.usefixtures("story")
@pytest.mark.parametrize(
    ("change", "where"),
    [
        ("UPDATE events SET data = replace(data, 'alice', 'mallory') WHERE seq = 2", "event 2"),
        ("UPDATE events SET actor = 'matrix:@mallory:hs' WHERE seq = 3", "event 3"),
        ("UPDATE events SET at = at + 1 WHERE seq = 8", "event 8"),
        ("UPDATE events SET type = 'task.cancelled' WHERE seq = 7", "event 7"),
        (
            "UPDATE events SET hash = (SELECT hash FROM events WHERE seq = 2) WHERE seq = 1",
            "event 1",
        ),
        ("UPDATE events SET version = 9 WHERE seq = 7", "event 7"),
        ("DELETE FROM events WHERE seq = 4", "event 5"),
    ],
)
async def test_a_changed_line_is_found_and_a_rebuild_refused(
    backend: Backend, store: Store, change: str, where: str
) -> None:
    backend.tamper(change)

    (problem,) = await examine(store)
    assert problem.where == where
    with pytest.raises(JournalDamaged, match=f"{where}: .*restore a backup"):
        await rebuilt(store)


def renumbered(*moves: tuple[int, int]) -> list[str]:
    return [f"UPDATE events SET seq = {new} WHERE seq = {old}" for old, new in moves]


PUT_IN = """
INSERT INTO events (seq, stream, version, type, at, actor, cause, data, hash, schema)
SELECT 7, 'fleet', 1, 'fleet.resumed', at, actor, cause, '{"type":"fleet.resumed"}', hash, schema
FROM events WHERE seq = 6
"""


@pytest.mark.usefixtures("story")
@pytest.mark.parametrize(
    ("changes", "where"),
    [
        (renumbered((4, 99), (5, 4), (99, 5)), "event 4"),
        ([*renumbered((9, 10), (8, 9), (7, 8)), PUT_IN], "event 7"),
    ],
    ids=["moved", "put in"],
)
async def test_lines_that_were_moved_or_put_in_are_found(
    backend: Backend, store: Store, changes: list[str], where: str
) -> None:
    for change in changes:
        backend.tamper(change)

    (problem,) = await examine(store)
    assert (problem.where, problem.damage) == (where, Damage.JOURNAL)


@pytest.mark.usefixtures("story")
@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ("DELETE FROM runs", Problem("runs t1-run", "is missing")),
        (
            "UPDATE tasks SET state = 'created' WHERE id = 't1'",
            Problem("tasks t1", "differs from what its events say"),
        ),
        (
            "UPDATE receipts SET data = replace(data, 'verified', 'refuted')",
            Problem("receipts t1-receipt", "differs from what its events say"),
        ),
        (
            "INSERT INTO agents (name, data) VALUES ('ghost', '{}')",
            Problem("agents ghost", "no event tells of it"),
        ),
        ("DELETE FROM repos", Problem("repos 7", "is missing")),
        (
            "DELETE FROM events WHERE seq = 9",
            Problem("repos 7", "no event tells of it"),
        ),
    ],
)
async def test_a_changed_read_model_is_found_and_made_again(
    backend: Backend, store: Store, change: str, problem: Problem
) -> None:
    backend.tamper(change)
    assert await examine(store) == [problem]

    await rebuilt(store)

    assert await examine(store) == []


@pytest.mark.usefixtures("story")
async def test_an_unreadable_read_model_is_told_with_the_way_out(
    backend: Backend, store: Store
) -> None:
    backend.tamper("UPDATE agents SET data = '{}'")

    with pytest.raises(Unreadable, match="fleetbot db rebuild"):
        await store.agent(AGENT)

    await rebuilt(store)
    assert await store.agent(AGENT) is not None


@pytest.mark.usefixtures("story")
async def test_a_journal_of_many_pages_is_held_against_all_rows(
    backend: Backend, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fleetbot.store.audit._PAGE", 3)
    assert await examine(store) == []

    backend.tamper(
        "INSERT INTO tasks (id, repo, issue, state, created_at, data)"
        " VALUES ('t0', 'a/b', 99, 'failed', 1, '{}')"
    )
    backend.tamper(
        "INSERT INTO runs (id, task, agent, assigned_at, data) VALUES ('r', 't9', 'a', 1, '{}')"
    )
    backend.tamper("DELETE FROM receipts")

    found = {problem.where: problem.text for problem in await examine(store)}
    assert found == {
        "tasks t0": "no event tells of it",
        "runs r": "no event tells of it",
        "receipts t1-receipt": "is missing",
    }


async def test_findings_are_limited(backend: Backend, store: Store, history: History) -> None:
    for number in range(80):
        await store.append(history.created(f"t{number}"))
    backend.tamper("DELETE FROM tasks")

    assert len(await examine(store)) == 50
