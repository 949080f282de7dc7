"""Work on many things abreast, so that one that hangs holds up nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Coroutine, Sequence
from typing import Any, NamedTuple

from fleetbot.loops import progress

_LOOK_AGAIN = 1.0  # seconds after which more is begun, while somebody is slow


class Piece(NamedTuple):
    """Something to do; `let_go` is called once, when it is through or was cancelled."""

    work: Coroutine[Any, Any, None]
    let_go: Callable[[], object]


async def abreast(take: Callable[[], Awaitable[Sequence[Piece]]], news: asyncio.Event) -> None:
    """Do what `take` finds, until it finds nothing and nothing is in hand.

    It is asked again whenever something is through, `news` is set, or a moment has passed; what it
    gives counts as taken. To cancel this cancels what is in hand, and so does the first error,
    which is raised.
    """
    in_hand: dict[asyncio.Task[None], Callable[[], object]] = {}
    try:
        while True:
            news.clear()
            for piece in await take():
                in_hand[asyncio.create_task(piece.work)] = piece.let_go
            if not in_hand:
                return
            progress()
            for done in await _until_news(in_hand, news):
                in_hand.pop(done)()
                done.result()
    finally:
        for task in in_hand:
            task.cancel()
        await asyncio.gather(*in_hand, return_exceptions=True)
        for let_go in in_hand.values():
            let_go()


async def _until_news(
    in_hand: Collection[asyncio.Task[None]], news: asyncio.Event
) -> list[asyncio.Task[None]]:
    """Wait for one of them to be through, for news, or a moment; answers what is through."""
    told = asyncio.create_task(news.wait())
    try:
        await asyncio.wait(
            {*in_hand, told}, timeout=_LOOK_AGAIN, return_when=asyncio.FIRST_COMPLETED
        )
    finally:
        told.cancel()
    return [task for task in in_hand if task.done()]
