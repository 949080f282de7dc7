"""Whether accounts of the fleet could bring anything to the branches that work goes to, alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from fleetbot.domain import effects as fx
from fleetbot.domain.model import OPEN_STATES
from fleetbot.forge.client import ForgeClient
from fleetbot.forge.errors import ForgeError, ForgeForbidden
from fleetbot.forge.exposure import exposed, remedy
from fleetbot.forge.git_models import Branch
from fleetbot.forge.keeping_calls import Protection
from fleetbot.forge.models import Repository
from fleetbot.logs import log_of
from fleetbot.services.entries import entry_of
from fleetbot.services.fleet import Fleet
from fleetbot.store.records import Anchor, Change

log = log_of("fleetbot.protection")

_HOLDS_MS = 300_000  # what was read of a repository is good for so long
_MOST = 10  # branches of a repository


class _Seen(NamedTuple):
    name: str
    found: str
    at: int


class Guard:
    """`refuses`: nothing of a repository is given out where they could; else people are told.
    `accounts`: the fleet's beside the bot's; `lands_itself` as of `Landings`."""

    def __init__(
        self,
        fleet: Fleet,
        client: ForgeClient,
        *,
        refuses: bool = False,
        accounts: Sequence[str] = (),
        lands_itself: Callable[[Iterable[str]], bool] = lambda names: False,
    ) -> None:
        self._fleet = fleet
        self._client = client
        self._refuses = refuses
        self._accounts = accounts
        self._lands_itself = lands_itself
        self._seen: dict[int, _Seen] = {}

    async def refusal(self, shown: Repository) -> str:
        """Why nothing of it is given out, with the clicks that mend it; "" where all is well, or
        people are only warned. What cannot be read now is as it was. Raises `StoreUnavailable`."""
        known, now = self._seen.get(shown.id), self._fleet.clock()
        if known is None or not 0 <= now - known.at < _HOLDS_MS:
            try:
                found = await self._look(shown)
            except ForgeError as error:
                log.info("the branches of %s could not be read: %s", shown.full_name, error)
                return known.found if known and self._refuses else ""
            known = self._seen[shown.id] = _Seen(shown.full_name, found, now)
            if not self._refuses:
                await self._tell(shown, found)
        return known.found if self._refuses else ""

    def problem(self) -> str:
        """What people are warned of; "" if nothing, or it is refused anyway."""
        if self._refuses:
            return ""
        return "; ".join(f"{one.name}: {one.found}" for one in self._seen.values() if one.found)

    async def _look(self, shown: Repository) -> str:
        found = []
        known = self._fleet.state.places.repos.get(shown.id)
        lands = self._lands_itself(known.names if known else [shown.full_name])
        bot = await self._client.login()
        for name in self._branches(shown):
            branch = await self._client.branch(shown.full_name, name)
            if branch is None:
                continue
            rule = await self._rule(shown, branch)
            if says := exposed(branch, rule, bot, self._accounts, lands=lands):
                clicks = remedy(self._client.url, shown.full_name, branch.name)
                found.append(f"{'; '.join(says)}. {clicks}.")
        return " ".join(found)

    async def _rule(self, shown: Repository, branch: Branch) -> Protection | None:
        """As far as the bot may see it."""
        name = branch.effective_branch_protection_name
        try:
            return await self._client.protection(shown.full_name, name) if name else None
        except ForgeForbidden:
            return None

    def _branches(self, shown: Repository) -> Iterable[str]:
        """The default one, and those that open tasks start from."""
        tasks = self._fleet.state.tasks.values()
        bases = (t.base for t in tasks if t.repo_id == shown.id and t.state in OPEN_STATES)
        return list(dict.fromkeys(filter(None, (shown.default_branch, *bases))))[:_MOST]

    async def _tell(self, shown: Repository, found: str) -> None:
        """Once, however often it is seen, and once when it is over."""
        key = f"unprotected:{shown.id}"
        told = bool(await self._fleet.store.anchor(key))
        if told == bool(found):
            return
        kind = fx.NoticeKind.REPO_UNPROTECTED if found else fx.NoticeKind.REPO_PROTECTED
        notice = fx.RepoNotice(notice=kind, repo=shown.full_name, detail=found)
        now = self._fleet.clock()
        entries = tuple(
            entry_of(notice, room, id=f"{kind}/{shown.id}/{now}/{room}", at=now)
            for room in self._fleet.route(notice)
        )
        anchor = Anchor(key=key, value="told" if found else "")
        await self._fleet.post(Change(outbox=entries, anchors=(anchor,)))
