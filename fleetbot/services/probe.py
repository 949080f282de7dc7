"""Whether Forgejo answers, since when it does not, and the rooms' notice of it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from fleetbot.domain.effects import FleetNotice, NoticeKind
from fleetbot.forge.client import ForgeClient
from fleetbot.forge.errors import ForgeError, ForgeUnavailable, Unauthorized
from fleetbot.logs import Log
from fleetbot.services.fleet import Fleet
from fleetbot.services.notices import tell_trouble

_TOLD = "forge:away_told"
_TELL_AFTER_MS = 300_000
_AWAY = frozenset({0, 502, 503, 504})  # a 500 is Forgejo's answer to many a single question
_RENEW = "give `forge.token` a new one (docs/howto/connect-forgejo.md)"
_WAIT = "what is to be written there waits, in order; nothing is lost"


class ForgeProbe:
    """Looks with every `tick`, and hears meanwhile how others fare with `heard`.

    `problem` is why Forgejo cannot be used, since `since` (epoch ms). `on_doubt` hears of trouble
    that others had; only a look of our own says that it is over.
    """

    def __init__(
        self,
        fleet: Fleet,
        client: ForgeClient,
        repositories: Sequence[str],
        log: logging.Logger,
        on_doubt: Callable[[], None] = lambda: None,
    ) -> None:
        self._fleet = fleet
        self._client = client
        self._repositories = repositories
        self._log = Log(log, {})
        self._on_doubt = on_doubt
        self._reported: str | None = "not asked yet"
        self.login: str | None = None
        self.problem: str | None = "not asked yet"
        self.since = 0

    def heard(self, error: ForgeError) -> None:
        """Some call of the client has failed for good."""
        away = isinstance(error, ForgeUnavailable) and error.status in _AWAY
        if away or isinstance(error, Unauthorized):
            self._note(error)
            self._on_doubt()

    def _note(self, error: ForgeError) -> None:
        self.since = self.since or self._fleet.clock()
        what = _RENEW if isinstance(error, Unauthorized) else _WAIT
        self.problem = f"{error}; {what}"

    async def tick(self) -> float | None:
        """Seconds until the next look: sooner while Forgejo is away."""
        try:
            self.login = await self._client.login(anew=True)
            await self._look()
        except ForgeError as error:
            self._note(error)
        else:
            self.problem, self.since = None, 0
        if self.problem != self._reported:
            self._report()
        await self._tell()
        return 5 if self.problem else None

    async def _look(self) -> None:
        """At a repository: all that a token restricted to some may be asked for."""
        if self._repositories:
            await self._client.repo(self._repositories[0])
        else:
            await self._client.version()

    def _report(self) -> None:
        self._reported = self.problem
        if self.problem:
            self._log.warning("Forgejo cannot be used: %s. It is tried again.", self.problem)
        else:
            self._log.info("Forgejo answers; the bot is %s there", self.login)

    async def _tell(self) -> None:
        """The rooms hear of what has lasted for minutes, once, and of its end."""
        trouble = None
        if self.problem:
            trouble = FleetNotice(
                notice=NoticeKind.FORGE_AWAY, since=self.since, detail=self.problem
            )
        await tell_trouble(self._fleet, _TOLD, trouble, NoticeKind.FORGE_BACK, _TELL_AFTER_MS)
