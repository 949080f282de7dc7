"""Many things at once: what hangs holds up nothing, and whatever is taken is let go of."""

from __future__ import annotations

import asyncio
from functools import partial

import pytest

from fleetbot.services.abreast import Piece, abreast


class Bench:
    """Pieces by name, each at work until it is told to end; `held` are those in hand, `empty` is
    set when nothing more is to be taken."""

    def __init__(self, *names: str) -> None:
        self.to_do = list(names)
        self.held: list[str] = []
        self.done: list[str] = []
        self.news = asyncio.Event()
        self.ends = {name: asyncio.Event() for name in "abc"}
        self.errors: dict[str, Exception] = {}
        self.empty = asyncio.Event()

    async def take(self) -> list[Piece]:
        taken, self.to_do = self.to_do, []
        self.held += taken
        if not taken:
            self.empty.set()
        return [Piece(self._work(name), partial(self.held.remove, name)) for name in taken]

    async def _work(self, name: str) -> None:
        await self.ends[name].wait()
        if name in self.errors:
            raise self.errors[name]
        self.done.append(name)

    def end(self, *names: str) -> None:
        for name in names:
            self.ends[name].set()


async def test_it_ends_when_there_is_nothing_to_do() -> None:
    bench = Bench()
    await abreast(bench.take, bench.news)
    assert bench.done == []


async def test_what_hangs_holds_up_nothing_that_comes_later() -> None:
    bench = Bench("a", "b")
    bench.end("b")
    work = asyncio.create_task(abreast(bench.take, bench.news))
    await bench.empty.wait()
    assert bench.held == ["a"]
    bench.to_do = ["c"]
    bench.news.set()
    bench.end("c")
    while "c" not in bench.done:
        bench.empty.clear()
        await bench.empty.wait()
    assert bench.held == ["a"]
    bench.end("a")
    await work
    assert sorted(bench.done) == ["a", "b", "c"]
    assert bench.held == []


async def test_the_first_error_ends_it_and_all_is_let_go_of() -> None:
    bench = Bench("a", "b")
    bench.errors["b"] = OSError("the disk is full")
    bench.end("b")
    with pytest.raises(OSError, match="the disk is full"):
        await abreast(bench.take, bench.news)
    assert (bench.held, bench.done) == ([], [])


async def test_to_cancel_it_cancels_what_is_in_hand() -> None:
    bench = Bench("a", "b")
    bench.end("b")
    work = asyncio.create_task(abreast(bench.take, bench.news))
    await bench.empty.wait()
    assert bench.held == ["a"]
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    assert (bench.held, bench.done) == ([], ["b"])
