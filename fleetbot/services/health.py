"""Whether all is well: what `healthz` and the start of the plugin tell."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence

from fleetbot import wire
from fleetbot.forge.client import ForgeClient
from fleetbot.forge.errors import ForgeError
from fleetbot.services.fleet import Fleet
from fleetbot.services.repositories import Repositories
from fleetbot.store.records import Backlog


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
        """`degraded` where something needs a look; the checks say what."""
        stuck = [b for b in await self._fleet.store.outbox_stats() if b.attempts > 0]
        now = self._fleet.clock()
        checks = {
            "journal": self._journal(),
            "forge": self._probe.problem or "ok",
            "repositories": self._repositories.problem() or "ok",
            "outbox": "; ".join(_told(b, now) for b in stuck[:5]) or "ok",
        }
        checks["rooms"] = "; ".join(await self._rooms()) or "ok"
        checks["loops"] = self._loops()
        well = set(checks.values()) == {"ok"}
        return wire.Health(
            status="ok" if well else "degraded", checks=checks, version=self._version
        )

    def _journal(self) -> str:
        if not self._fleet.ready:
            return "the journal cannot be written"
        lost = "; ".join(map(str, self._fleet.bad[:5]))
        return f"{lost}: left out; restore a backup" if lost else "ok"


def _told(backlog: Backlog, now: int) -> str:
    wait = max(0, backlog.deferred_until - now) / 1000
    return f"{backlog.destination}: {backlog.error}; tried again in {wait:.0f} s"
