"""Whether Forgejo's webhooks arrive. Without them the fleet works, and only seems slow.

The proof that they do not is a change that reconciliation found, and after which no delivery of
that repository has come. A delivery with a wrong signature proves nothing by itself, as anybody can
send one; it only says what may be wrong.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime

import msgspec

from fleetbot.domain.effects import FleetNotice, NoticeKind
from fleetbot.domain.model import Repo
from fleetbot.domain.wording import count
from fleetbot.services.fleet import Fleet
from fleetbot.services.notices import tell_trouble
from fleetbot.services.repositories import Repositories
from fleetbot.store.records import Anchor, Change

_REFUSED = "webhooks:refused"
_TOLD = "webhooks:told"
_TELL_AFTER_MS = 900_000
_CLOCKS_DIFFER_MS = 120_000  # Forgejo's and ours
_ON_ITS_WAY_MS = 60_000  # Forgejo delivers from a queue
_ADVICE = "see docs/howto/connect-forgejo.md, The webhook"


class Heard(msgspec.Struct, frozen=True):
    """Of a repository: when its last delivery came (epoch ms, 0: none has), and how many changes
    were missed since then, the first at `since`."""

    at: int = 0
    missed: int = 0
    since: int = 0


class Webhooks:
    """Remembered durably by `tick`, never with each delivery."""

    def __init__(self, fleet: Fleet, repositories: Repositories) -> None:
        self._fleet = fleet
        self._repositories = repositories
        self._started = fleet.clock()
        self._heard: dict[int, Heard] = {}
        self._awaited: dict[int, list[asyncio.Future[None]]] = {}
        self._refused = 0
        self._kept = {_REFUSED: "0"}  # by the anchors' keys
        self._is_read = False

    # -- what happens

    def came(self, repo_id: int) -> None:
        """A delivery was taken."""
        if repo_id in self._fleet.state.places.repos:
            self._heard[repo_id] = Heard(at=self._fleet.clock())
            for waiting in self._awaited.pop(repo_id, ()):
                if not waiting.done():
                    waiting.set_result(None)

    def refused(self) -> None:
        """A delivery had no signature, or a wrong one."""
        self._refused = self._fleet.clock()

    async def found(self, repo: Repo, changed: datetime | None) -> None:
        """Reconciliation came upon a change that nothing had told of yet.

        Not what is from before the start, as nobody was there to be told; nor what is so new that
        its delivery may be on its way. Raises `StoreUnavailable`.
        """
        await self._read()
        heard, now = self._heard.get(repo.id, Heard()), self._fleet.clock()
        at = int(changed.timestamp() * 1000) if changed else 0
        is_told = max(heard.at, self._started) > at - _CLOCKS_DIFFER_MS
        if not is_told and at < now - _ON_ITS_WAY_MS:
            self._heard[repo.id] = Heard(heard.at, heard.missed + 1, heard.since or now)

    async def next_of(self, repo_id: int, seconds: float) -> bool:
        """Wait for a delivery of the repository; False if none comes in that time."""
        coming = asyncio.get_running_loop().create_future()
        self._awaited.setdefault(repo_id, []).append(coming)
        try:
            async with asyncio.timeout(seconds):
                await coming
        except TimeoutError:
            return False
        return True

    # -- what is known

    def heard_at(self, repo_id: int) -> int:
        """When the last delivery of a repository came (epoch ms), 0 if none has."""
        return self._heard.get(repo_id, Heard()).at

    def known(self) -> list[tuple[Repo, Heard]]:
        """Of each repository that the settings name and Forgejo has shown."""
        repos = self._fleet.state.places.repos
        listed = [repo for id, repo in sorted(repos.items()) if self._repositories.lists(repo)]
        return [(repo, self._heard.get(repo.id, Heard())) for repo in listed]

    def silent(self, hears: Callable[[str], bool] = lambda repo: True) -> dict[str, Heard]:
        """The repositories whose webhooks do not arrive, by name."""
        repos = self._fleet.state.places.repos
        return {
            repos[id].name: heard
            for id, heard in sorted(self._heard.items())
            if heard.missed and id in repos and self._repositories.lists(repos[id])
            if hears(repos[id].name)
        }

    def last(self, hears: Callable[[str], bool]) -> int | None:
        """When the last delivery came from any of these (epoch ms), 0 if none ever has; None where
        there is no such repository."""
        repos = self._fleet.state.places.repos.values()
        here = [repo for repo in repos if hears(repo.name) and self._repositories.lists(repo)]
        return max((self._heard.get(repo.id, Heard()).at for repo in here), default=None)

    @property
    def is_refusing(self) -> bool:
        """Whether the last that came had no right signature."""
        return self.refused_at > 0

    @property
    def refused_at(self) -> int:
        """When that came (epoch ms); 0 where the last had a right one."""
        taken = max((heard.at for heard in self._heard.values()), default=0)
        return self._refused if self._refused > taken else 0

    def problem(self) -> str:
        """ "" where nothing shows that they do not arrive."""
        silent = self.silent()
        if not silent:
            return ""
        told = [f"{repo}: {_missed(heard)}" for repo, heard in silent.items()]
        wrong = " deliveries come with a wrong signature;" if self.is_refusing else ""
        return f"{'; '.join(told)}: no webhook told of it;{wrong} {_ADVICE}"

    # -- what is kept, and told

    async def tick(self) -> None:
        """Keep what was heard, and have the rooms hear. Raises `StoreUnavailable`."""
        await self._read()
        if anchors := self._news():
            await self._fleet.store.append(Change(anchors=anchors))
            self._kept |= {anchor.key: anchor.value for anchor in anchors}
        await self._tell()

    def _news(self) -> tuple[Anchor, ...]:
        """What is not kept yet."""
        known = {_key(id): _text(heard) for id, heard in self._heard.items()}
        known[_REFUSED] = str(self._refused)
        changed = known.items() - self._kept.items()
        return tuple(Anchor(key=key, value=value) for key, value in sorted(changed))

    async def _read(self) -> None:
        if self._is_read:
            return
        await self._fleet.start()
        store = self._fleet.store
        self._refused = max(self._refused, int(await store.anchor(_REFUSED) or 0))
        for id in list(self._fleet.state.places.repos):
            if kept := await store.anchor(_key(id)):
                self._heard.setdefault(id, msgspec.json.decode(kept, type=Heard))
        self._is_read = True

    async def _tell(self) -> None:
        """Once, when it has lasted, however many repositories it is about; and once when over."""
        trouble, silent = None, self.silent().values()
        if silent:
            trouble = FleetNotice(
                notice=NoticeKind.WEBHOOKS_SILENT,
                since=min(heard.since for heard in silent),
                missed=sum(heard.missed for heard in silent),
                detail="wrong signature" if self.is_refusing else "",
            )
        await tell_trouble(self._fleet, _TOLD, trouble, NoticeKind.WEBHOOKS_BACK, _TELL_AFTER_MS)


def _missed(heard: Heard) -> str:
    return f"{count(heard.missed, 'change')} found only by looking"


def _key(repo_id: int) -> str:
    return f"webhooks:{repo_id}"


def _text(heard: Heard) -> str:
    return msgspec.json.encode(heard).decode()
