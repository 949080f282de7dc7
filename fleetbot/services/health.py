"""Whether all is well: what `healthz` and the start of the plugin tell."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from fleetbot import wire
from fleetbot.domain.model import TaskId
from fleetbot.domain.wording import span
from fleetbot.fence import Leads, always
from fleetbot.services.dead_letters import COUNTED
from fleetbot.services.fleet import Fleet
from fleetbot.services.followups import Followups
from fleetbot.services.probe import ForgeProbe
from fleetbot.services.repositories import Repositories
from fleetbot.services.webhooks import Webhooks
from fleetbot.store.causes import why
from fleetbot.store.interface import StoreUnavailable
from fleetbot.store.records import QueueTrouble

_SHOWN = 5
_SECONDS = 8.0  # a database that hangs is to be said before whoever asks gives up
_UNREAD = "not known: it is in the database, which cannot be read"
_SILENT = f"not known: the database has not answered within {_SECONDS:g} s"
_READ = ("outbox", "rooms", "dead_letters")


class HealthReport:
    """`rooms` says what is wrong with each of them, apart from what could not be delivered; `loops`
    what is wrong with any of them, or `ok`; `leads`, whether no other can lead by now."""

    def __init__(
        self,
        fleet: Fleet,
        probe: ForgeProbe,
        webhooks: Webhooks,
        repositories: Repositories,
        version: str,
        followups: Followups,
        rooms: Callable[[], Awaitable[Sequence[str]]],
        loops: Callable[[], str],
        leads: Leads = always,
    ) -> None:
        self._followups = followups
        self._rooms = rooms
        self._loops = loops
        self._leads = leads
        self._fleet = fleet
        self._probe = probe
        self._webhooks = webhooks
        self._repositories = repositories
        self._version = version

    async def check(self) -> wire.Health:
        """`degraded` where something needs a look; the checks say what. Costs the same however
        much waits: anybody may ask. Answers while the database does not, too."""
        checks = {
            "leadership": self._leadership(),
            "journal": self._journal(),
            "forge": self._forge(),
            "webhooks": self._webhooks.problem() or "ok",
            **dict.fromkeys(_READ, _UNREAD),
            "repositories": self._repositories.problem() or "ok",
            "pull_requests": self._followups.problem() or "ok",
            "loops": self._loops(),
        } | await self._read()
        well = set(checks.values()) == {"ok"}
        if warnings := self._repositories.warnings():
            checks["branches"] = warnings  # the fleet works all the same
        return wire.Health(
            status="ok" if well else "degraded", checks=checks, version=self._version
        )

    async def _read(self) -> dict[str, str]:
        """What the database knows; where it cannot be read, that."""
        try:
            async with asyncio.timeout(_SECONDS):
                return {
                    "outbox": "; ".join(await self._troubles("forgejo")) or "ok",
                    "rooms": "; ".join([*await self._rooms(), *await self._unsaid()]) or "ok",
                    "dead_letters": await self._dead_letters(),
                }
        except TimeoutError:
            return dict.fromkeys(_READ, _SILENT)
        except StoreUnavailable as error:
            return {"journal": self._journal(unread=why(error))}

    async def _unsaid(self) -> list[str]:
        senders = ("urgent", "matrix", "cards")
        return [trouble for sender in senders for trouble in await self._troubles(sender)]

    async def _troubles(self, sender: str) -> list[str]:
        """What could not be delivered; what fails longest comes first."""
        troubles = await self._fleet.store.troubles(sender, _SHOWN + 1)
        said = [self._told(trouble) for trouble in troubles[:_SHOWN]]
        return [*said, *(["and more"] if len(troubles) > _SHOWN else [])]

    def _forge(self) -> str:
        probe = self._probe
        lasting = f"; for {span(self._fleet.clock() - probe.since)}" if probe.since else ""
        return f"{probe.problem}{lasting}" if probe.problem else "ok"

    def _leadership(self) -> str:
        return "ok" if self._leads() else "the lease has run out: another may lead by now"

    def _journal(self, unread: str = "") -> str:
        """`unread`: why it cannot be read, be it that nobody has come to write meanwhile."""
        if self._fleet.trouble or not self._fleet.ready:
            reason = self._fleet.trouble or unread
            return f"the journal cannot be written{f': {reason}' if reason else ''}"
        if unread:
            return f"the journal cannot be read: {unread}"
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
