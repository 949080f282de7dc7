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
