"""Under which name the forge has a run's repository now: people rename and transfer them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

import msgspec

from fleetbot.runner.failure import NotFound
from fleetbot.runner.git.slot import check_names
from fleetbot.runner.run.setup import Machine
from fleetbot.wire import Assignment

_T = TypeVar("_T")


class Whereabouts:
    """`order` is the run's, with the name that was last seen."""

    def __init__(self, machine: Machine, order: Assignment, say: Callable[[str], None]) -> None:
        self.order = order
        self._machine = machine
        self._say = say

    async def look(self) -> bool:
        """Whether it has another name than was thought. Asks once; raises RunFailed, also where
        nothing can be pushed to the repository.

        To be done before anything is pushed: somebody else's may have the old name by now.
        """
        order = self.order
        check_names(order)
        found = await self._machine.quick_forge.repository(order.repo, order.repo_id)
        self.order = msgspec.structs.replace(order, repo=found.full_name, repo_id=found.id)
        check_names(self.order)
        self._machine.workspaces.follow(self.order)
        if found.full_name.lower() == order.repo.lower():
            return False
        self._say(f"{order.repo} is called {found.full_name} now")
        return True

    async def follow(self, step: Callable[[], Awaitable[_T]]) -> _T:
        """Take the step, and once more where the repository was renamed meanwhile."""
        try:
            return await step()
        except NotFound:
            if not await self.look():
                raise
            return await step()
