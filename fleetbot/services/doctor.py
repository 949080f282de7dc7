"""Whether everything around the fleet is well, and what to do where it is not."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence

from fleetbot import wire
from fleetbot.domain.errors import FleetError
from fleetbot.forge.errors import ForgeError
from fleetbot.logs import log_of
from fleetbot.services.findings import Finding, Mark
from fleetbot.services.outbox import Refused, RetryLater
from fleetbot.store.interface import StoreUnavailable

log = log_of("fleetbot.doctor")

CheckHealth = Callable[[], Awaitable[wire.Health]]
Examine = Callable[[], Awaitable[Sequence[Finding]]]

_SECONDS = 4.0  # for each examination; they go on side by side
_WELL = "ok"
_BOOK = "docs/howto/when-something-is-stuck.md"
_REMEDIES: Mapping[str, str] = {
    "leadership": "docs/howto/two-orchestrators.md: whether it reaches the database, and who leads",
    "journal": "Look at maubot's log and at the disk; `fleetbot db verify` says what is damaged",
    "forge": "docs/howto/connect-forgejo.md, Accounts and tokens",
    "webhooks": "`!fleet setup again` looks at the webhook, step by step",
    "outbox": f"It is tried again by itself; what to look at: {_BOOK}",
    "rooms": "docs/howto/install-the-plugin.md, Rooms; of encrypted ones"
    " docs/howto/encrypted-rooms.md",
    "dead_letters": "`!fleet doctor retry` sends them again, in order",
    "repositories": "docs/howto/connect-forgejo.md, Renamed, transferred, archived, deleted",
    "branches": "docs/howto/landing.md, Branch protection",
    "pull_requests": "They are looked at again by themselves; meanwhile nothing is done for them:"
    " docs/howto/after-the-pull-request.md",
    "loops": "maubot's log has the error; restart the instance if it does not pass",
}
_EXPECTED = (FleetError, ForgeError, Refused, RetryLater, StoreUnavailable)
_GRAVITY = {"branches": Mark.WARN}


class Doctor:
    """`exams` by their names; one that does not answer in `seconds`, or fails, is told so itself.

    What `healthz` says is always among the findings.
    """

    def __init__(
        self, health: CheckHealth, exams: Mapping[str, Examine], *, seconds: float = _SECONDS
    ) -> None:
        self._exams = {"health": self._healthy, **exams}
        self._health = health
        self._seconds = seconds

    async def examine(self) -> list[Finding]:
        """The worst first; the rest in the order of the examinations."""
        told = await asyncio.gather(*(self._told(name) for name in self._exams))
        found = [finding for findings in told for finding in findings]
        return sorted(found, key=lambda finding: list(Mark).index(finding.mark), reverse=True)

    async def _told(self, name: str) -> Sequence[Finding]:
        try:
            async with asyncio.timeout(self._seconds):
                return await self._exams[name]()
        except TimeoutError:
            says = f"no answer within {self._seconds:g} s"
        except _EXPECTED as error:
            log.info("%s cannot be examined: %s", name, error)
            says = f"could not be examined: {error}"
        except Exception as error:  # a bug, which must not hide what the others have found
            log.exception("the examination of %s broke", name)
            says = f"could not be examined, and the log says why: {error}"
        return [Finding(name, Mark.WARN, says)]

    async def _healthy(self) -> list[Finding]:
        checks = (await self._health()).checks
        return [
            Finding(name, Mark.WELL, says)
            if says == _WELL
            else Finding(name, _GRAVITY.get(name, Mark.BAD), says, (_REMEDIES.get(name, _BOOK),))
            for name, says in checks.items()
        ]
