"""Where it is wanted, the events of tasks that are long over go to the archive by themselves."""

from __future__ import annotations

from pathlib import Path

import pytest

from fleetbot.domain import commands as cmd
from fleetbot.domain.state import task_stream
from fleetbot.services.archiving import Archiving, NowhereToArchive
from tests.services.stage import TEST, Stage

DAY = 24 * 3600


@pytest.fixture
async def over(stage: Stage) -> None:
    """One task is over, and another goes on; all of it has been told."""
    stage.told = []
    await stage.issue("Over")
    await stage.hear()
    await stage.fleet.commit(cmd.CancelTask((await stage.task(1)).id), TEST)
    await stage.issue("Goes on")
    await stage.settle()


@pytest.mark.usefixtures("over")
async def test_tasks_that_are_over_for_so_long_are_archived(
    stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fleetbot.services.archiving._LEAST", 1)
    folder, stream = tmp_path / "archive", task_stream((await stage.task(1)).id)
    archiving = Archiving(stage.fleet, 30 * DAY * 1000, folder)

    await archiving.tick()
    assert await stage.store.events(stream)

    stage.clock.advance(31 * DAY)
    await archiving.tick()

    assert await stage.store.events(stream) == []
    assert await stage.store.events(task_stream((await stage.task(2)).id))
    assert len(list(folder.glob("journal-*.jsonl.gz"))) == 1


@pytest.mark.usefixtures("over")
async def test_nothing_is_archived_unless_it_is_wanted_and_there_is_a_place(stage: Stage) -> None:
    stage.clock.advance(31 * DAY)
    await Archiving(stage.fleet, 0, None).tick()
    assert await stage.store.segments() == []

    with pytest.raises(NowhereToArchive, match=r"journal\.archive_folder is needed"):
        await Archiving(stage.fleet, 1, None).tick()
