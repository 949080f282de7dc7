"""Whether all is well: what `healthz` and the start of the plugin tell."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence

from fleetbot import wire
from fleetbot.domain.model import TaskId
from fleetbot.forge.client import ForgeClient
from fleetbot.forge.errors import ForgeError
from fleetbot.services.dead_letters import COUNTED
from fleetbot.services.fleet import Fleet
from fleetbot.services.repositories import Repositories
from fleetbot.store.records import QueueTrouble

_SHOWN = 5


class ForgeProbe:
    """Knows whether Forgejo answers, and as whom; looks again with every `tick`."""

    def __init__(
        self, client: ForgeClient, repositories: Sequence[str], log: logging.Logger
    ) -> None:
        self._client = client
        self._repositories = repositories
        self._log = log
        self.login: str | None = None
        self.problem: str | None = "not asked yet"

    async def tick(self) -> float | None:
        """Seconds until the next look: sooner while Forgejo is away."""
        before = self.problem
        try:
            self.login = await self._client.login()
            await self._look()
            self.problem = None
        except ForgeError as error:
            self.problem = str(error)
        if self.problem != before:
            self._report()
        return 5 if self.problem else None

    async def _look(self) -> None:
        """At a repository: all that a token restricted to some may be asked for."""
        if self._repositories:
            await self._client.repo(self._repositories[0])
        else:
            await self._client.version()

    def _report(self) -> None:
        if self.problem:
            self._log.warning("Forgejo cannot be used: %s. It is tried again.", self.problem)
        else:
            self._log.info("Forgejo answers; the bot is %s there", self.login)


class HealthReport:
    """`rooms` says what is wrong with each of them, apart from what could not be delivered; `loops`
    what is wrong with any of them, or `ok`."""

    def __init__(
        self,
        fleet: Fleet,
        probe: ForgeProbe,
        repositories: Repositories,
        version: str,
        rooms: Callable[[], Awaitable[Sequence[str]]],
        loops: Callable[[], str],
    ) -> None:
        self._rooms = rooms
        self._loops = loops
        self._fleet = fleet
        self._probe = probe
        self._repositories = repositories
        self._version = version

    async def check(self) -> wire.Health:
        """`degraded` where something needs a look; the checks say what. Costs the same however
        much waits: anybody may ask."""
        checks = {
            "journal": self._journal(),
            "forge": self._probe.problem or "ok",
            "outbox": "; ".join(await self._troubles("forgejo")) or "ok",
            "rooms": "; ".join([*await self._rooms(), *await self._troubles("matrix")]) or "ok",
            "dead_letters": await self._dead_letters(),
            "repositories": self._repositories.problem() or "ok",
            "loops": self._loops(),
        }
        well = set(checks.values()) == {"ok"}
        return wire.Health(
            status="ok" if well else "degraded", checks=checks, version=self._version
        )

    async def _troubles(self, sender: str) -> list[str]:
        """What could not be delivered; what fails longest comes first."""
        troubles = await self._fleet.store.troubles(sender, _SHOWN + 1)
        said = [self._told(trouble) for trouble in troubles[:_SHOWN]]
        return [*said, *(["and more"] if len(troubles) > _SHOWN else [])]

    def _journal(self) -> str:
        if not self._fleet.ready:
            return "the journal cannot be written"
        lost = "; ".join(map(str, self._fleet.bad[:5]))
        return f"{lost}: left out; restore a backup" if lost else "ok"

    def _told(self, trouble: QueueTrouble) -> str:
        now = self._fleet.clock()
        since, wait = span(now - trouble.since), span(trouble.held_until - now)
        where = self._named(trouble.destination)
        return f"{where}: {trouble.error}; it has failed for {since}, tried again in {wait}"

    def _named(self, destination: str) -> str:
        """A task's issue as people write it, where it is known without a look at the disk."""
        _, _, id = destination.partition("/")
        task = self._fleet.state.tasks.get(TaskId(id.partition("/")[0]))
        return task.ref if task else destination

    async def _dead_letters(self) -> str:
        graveyard = await self._fleet.store.graveyard(COUNTED)
        if graveyard.oldest is None:
            return "ok"
        more = " or more" if graveyard.letters == COUNTED else ""
        since = span(self._fleet.clock() - graveyard.oldest)
        return (
            f"{graveyard.letters}{more} given up, the first {since} ago: see GET"
            f" /{wire.API}/outbox/dead"
        )


def span(milliseconds: int) -> str:
    """`40 s`, `3 min`, `2 h`, `4 d`: the largest unit of which there are two."""
    seconds = max(0, milliseconds) // 1000
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"
