"""A signal that ends maubot breaks no task in the middle, so that what awaits it can still end."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator

import pytest

from fleetbot.interrupts import Interrupts


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    """An event loop below mautrix's own handling of signals."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()
    signal.signal(signal.SIGTERM, before)


async def step(steps: list[str]) -> str:
    os.kill(os.getpid(), signal.SIGTERM)
    steps.append("went on")
    await asyncio.sleep(0)
    return "done"


def test_a_task_that_is_at_work_goes_on_while_maubot_stops(
    loop: asyncio.AbstractEventLoop,
) -> None:
    steps: list[str] = []
    interrupts = Interrupts()

    async def start() -> asyncio.Task[str]:
        interrupts.take()
        return asyncio.create_task(step(steps))

    work = loop.run_until_complete(start())
    with pytest.raises(KeyboardInterrupt):
        loop.run_until_complete(asyncio.sleep(10))

    assert steps == ["went on"]
    assert loop.run_until_complete(work) == "done"
    loop.run_until_complete(give_back(interrupts))
    assert signal.getsignal(signal.SIGTERM) is signal.default_int_handler


def test_what_another_handles_is_left_to_it(loop: asyncio.AbstractEventLoop) -> None:
    """Another instance in the same maubot, for one."""

    def theirs(*args: object) -> None:
        raise AssertionError

    signal.signal(signal.SIGTERM, theirs)
    interrupts = Interrupts()

    async def take() -> None:
        interrupts.take()

    loop.run_until_complete(take())
    assert signal.getsignal(signal.SIGTERM) is theirs
    loop.run_until_complete(give_back(interrupts))
    assert signal.getsignal(signal.SIGTERM) is theirs


async def give_back(interrupts: Interrupts) -> None:
    interrupts.give_back()
