"""While a program works, the orchestrator hears which files its worktree has changed."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from fleetbot.runner.run import changed
from tests.runner.adapters.harness import Fifo
from tests.runner.orchestrator import Orchestrator
from tests.runner.run.test_restart import at_work
from tests.runner.scene import WRITES_A_FILE, Scene


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a minute is long for a test."""
    monkeypatch.setattr(changed, "SECONDS", 0.01)


def heard(*files: str) -> Callable[[Orchestrator], bool]:
    return lambda orchestrator: list(files) in map(sorted, orchestrator.files_of.values())


async def test_what_is_changed_is_told_with_the_heartbeats(scene: Scene, fifo: Fifo) -> None:
    await scene.orchestrator.assign(await scene.order())
    draft = f"{WRITES_A_FILE}; echo draft > draft.txt; echo at work; read x < {fifo.path}"

    async with scene.runner(draft):
        await scene.orchestrator.until(heard("draft.txt", "hello.txt"))


async def test_but_not_to_one_that_does_not_want_to_know(scene: Scene, fifo: Fifo) -> None:
    """An older one refuses a heartbeat with a word that it does not know."""
    scene.orchestrator.wants_files = False
    order = await scene.order()
    await scene.orchestrator.assign(order)

    async with scene.runner(f"{WRITES_A_FILE}; echo at work; read x < {fifo.path}"):
        await scene.orchestrator.until(at_work(order.run))
        await scene.orchestrator.until_beat(count=4)

    assert scene.orchestrator.files_of == {}
