"""Several things at once."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from fleetbot.runner.failure import first_error


async def together(*work: Coroutine[Any, Any, Any]) -> list[Any]:
    """All at once; the first failure cancels the others and is raised as it is."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(each) for each in work]
    except BaseExceptionGroup as problems:
        raise first_error(problems) from None
    return [task.result() for task in tasks]


async def cancelled(*tasks: asyncio.Task[Any]) -> None:
    """Cancel the tasks and wait for their end, whatever it is."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def is_being_cancelled() -> bool:
    """Whether this task itself is to end, not only something it waited for."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
