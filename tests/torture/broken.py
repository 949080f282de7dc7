"""Plugs that cannot play, for `--system`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from torture.outcome import Unreadable
from torture.story import Act, Line, Story
from torture.system import Refused, System


class Broken:
    acts = frozenset({Act.HONEST})
    workers = ("w1",)
    lines = (Line.WORKER_FORGE,)
    takes_orders = False

    def __init__(self, how: str) -> None:
        self._how = how

    @asynccontextmanager
    async def __call__(self, story: Story) -> AsyncIterator[System]:
        yield self._start()

    def _start(self) -> System:
        match self._how:
            case "together":
                raise ExceptionGroup("all of it", [Unreadable("the forge is gone")])
            case "bug":
                raise ExceptionGroup("all of it", [ZeroDivisionError("a bug of the plug")])
            case _:
                raise Refused("there is no such machine")


@asynccontextmanager
async def open_plug(options: Mapping[str, str]) -> AsyncIterator[Broken]:
    yield Broken(options.get("how", ""))
