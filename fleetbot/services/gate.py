"""What is looked at before a run is given: repository, issue and base, as Forgejo shows them."""

from __future__ import annotations

import asyncio

from fleetbot.domain.commands import TakeBack
from fleetbot.domain.model import Run, RunId, RunState, Task
from fleetbot.forge.errors import ForgeError, ForgeNotFound
from fleetbot.logs import log_of
from fleetbot.services.fleet import Context, Fleet
from fleetbot.services.issues import Issues
from fleetbot.services.overlaps import Overlaps
from fleetbot.services.repositories import Repositories
from fleetbot.store.interface import Unreadable

log = log_of("fleetbot.gate")

_SECONDS = 5.0  # an agent must acknowledge soon after it was chosen
_CONTEXT = Context(actor="gate", cause="claim")


class Gate:
    """Nobody is sent to work on what is gone. Where Forgejo cannot be asked, what was last
    known counts: the agent will find out."""

    def __init__(
        self,
        fleet: Fleet,
        repositories: Repositories,
        issues: Issues,
        overlaps: Overlaps,
        *,
        seconds: float = _SECONDS,
    ) -> None:
        self._fleet = fleet
        self._repositories = repositories
        self._issues = issues
        self._overlaps = overlaps
        self._seconds = seconds

    async def admits(self, run_id: RunId) -> bool:
        """Whether the run may be given to its agent; if not, it has been taken back."""
        run = self._fleet.state.runs[run_id]
        if run.state is not RunState.ASSIGNED:
            return run.state is RunState.RUNNING
        try:
            async with asyncio.timeout(self._seconds):
                await self._look(run, self._fleet.state.tasks[run.task])
        except (ForgeError, Unreadable, TimeoutError) as error:
            log.info("%s is given by what was known before: %s", run_id, str(error) or "no answer")
        if self._fleet.state.runs[run_id].state is RunState.ASSIGNED:
            await self._overlaps.admits(run.task)
        return self._fleet.state.runs[run_id].state is not RunState.ENDED

    async def _look(self, run: Run, task: Task) -> None:
        repo = self._fleet.state.places.of(task)
        try:
            repo = await self._repositories.refresh(repo)
        except ForgeNotFound:
            repo = self._fleet.state.places.of(task)  # it is held now
            if not repo.held:
                raise
        if repo.held:
            await self._fleet.commit(TakeBack(run.id, repo.held), _CONTEXT)
        else:
            await self._issues.look(repo.id, task.issue, _CONTEXT, starting=True)
