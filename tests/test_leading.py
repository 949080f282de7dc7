"""Looking after the seat: what goes wrong is tried again soon, and told once."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from fleetbot.domain.leadership import Holder
from fleetbot.leading import Leading
from fleetbot.store.interface import Deposed
from fleetbot.store.seat import FileSeat

LOG = logging.getLogger("leading")
LEASE = 20.0


class Plugin:
    """What leads, and fails at it as often as it is told to."""

    def __init__(self, folder: Path) -> None:
        self.seat = FileSeat(folder / "fleet.db", lambda: Holder("a"))
        self.leading = Leading(self.seat, LOG, self.attempt, self.step_down)
        self.failures: list[Exception] = []
        self.stepped_down: list[Exception] = []

    async def attempt(self) -> None:
        if self.failures:
            raise self.failures.pop()
        await self.leading.take(LEASE)
        self.leading.leads()

    def leads(self) -> bool:
        return self.seat.leads

    async def step_down(self, why: Exception) -> None:
        self.stepped_down.append(why)
        self.leading.stands_by(why)
        await self.leading.leave()


@pytest.fixture
async def plugin(tmp_path: Path) -> Plugin:
    return Plugin(tmp_path)


async def test_whatever_an_attempt_fails_with_the_next_one_is_soon(
    plugin: Plugin, caplog: pytest.LogCaptureFixture
) -> None:
    plugin.failures = [OSError("no room"), OSError("no room")]

    delays = [await plugin.leading.tick() for _ in range(2)]

    assert max(delays) <= LEASE
    assert caplog.text.count("fleetbot cannot lead") == 1
    await plugin.leading.tick()
    assert plugin.leads()
    await plugin.leading.leave()


async def test_that_another_leads_is_acted_on_once_and_then_waited_for(
    plugin: Plugin, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    await plugin.leading.tick()
    lost = Deposed("another leads")
    plugin.leading.lost(lost)

    await plugin.leading.tick()
    assert plugin.stepped_down == [lost]
    assert not plugin.leads()

    await plugin.leading.tick()
    assert plugin.leads()
    assert plugin.stepped_down == [lost]
    assert [line.message for line in caplog.records if line.name == "leading"] == [
        "fleetbot stands by: another fleetbot leads on this database",
        "fleetbot leads now",
    ]
    await plugin.leading.leave()
