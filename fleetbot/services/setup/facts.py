"""What there is to know of a repository before it can be said what is missing. Read, not judged."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from fleetbot.domain.model import TaskState
from fleetbot.forge import errors as forge
from fleetbot.forge.client import ForgeClient
from fleetbot.forge.git_models import Branch
from fleetbot.forge.keeping_calls import AccessToken, Hook, Protection
from fleetbot.forge.label_calls import LabelSpec
from fleetbot.forge.models import Repository
from fleetbot.services.labels import LabelMaps, priority_label, state_label, trigger_label


class Place(NamedTuple):
    """What the settings say: whether the fleet works on the repository, whether the room hears of
    it, and which one `#12` is of there."""

    is_listed: bool
    is_heard: bool
    default_repo: str | None = None


PlaceOf = Callable[[str, str], Place]  # of a room and a repository


class Heard(NamedTuple):
    """When the last delivery of a repository came (epoch ms), 0 if none has; and whether the last
    that came at all had no right signature."""

    at: int = 0
    is_refusing: bool = False


Hear = Callable[[Repository, bool], Awaitable[Heard]]
"""Of a repository, and whether the fleet works on it, so that its deliveries count."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """`repo` None: Forgejo does not show it, for the reason `denied`; nothing else is known then.

    `scopes` None: not told. `hooks` None: only an administrator may see them; so is `rule`.
    `has_run_events`: its hooks can tell of runs of Actions. `labels` are those that are wanted and
    missing. `heard_at`: when the last delivery came (epoch
    ms), 0 if none has. `accounts`: the fleet's own. `is_admin`: whoever does the steps administers
    the repository. `strangers`: the accounts that must write there and may not, as far as it is
    told.
    """

    name: str
    site: str
    bot: str
    now: int
    hook_url: str
    place: Place
    accounts: Sequence[str]
    denied: forge.ForgeError | None = None
    repo: Repository | None = None
    scopes: frozenset[str] | None = None
    labels: Sequence[LabelSpec] = ()
    hooks: Sequence[Hook] | None = None
    has_run_events: bool = False
    heard_at: int = 0
    is_refusing: bool = False
    branch: Branch | None = None
    rule: Protection | None = None
    is_admin: bool = False
    strangers: Sequence[str] = ()


class Survey:
    """`place` says what the settings in force have; `accounts` are the logins of the fleet beside
    the bot's; `token_end`: the last eight characters of the bot's token. `actor` does the steps:
    the bot itself, unless an administrator does them. `members` beside the bot must write."""

    def __init__(
        self,
        client: ForgeClient,
        labels: LabelMaps,
        place: PlaceOf,
        hear: Hear,
        clock: Callable[[], int],
        *,
        hook_url: str,
        accounts: Sequence[str],
        token_end: str,
        actor: ForgeClient | None = None,
        members: Sequence[str] = (),
    ) -> None:
        self._client = client
        self._actor = actor or client
        self._labels = labels
        self._place = place
        self._hear = hear
        self._clock = clock
        self._hook_url = hook_url
        self._accounts = accounts
        self._token_end = token_end
        self._members = members

    async def facts(self, room: str, name: str) -> Facts:
        """Raises `ForgeUnavailable`, and `StoreUnavailable`."""
        facts = Facts(
            name=name,
            site=self._client.url,
            bot="the bot",
            now=self._clock(),
            hook_url=self._hook_url,
            place=self._place(room, name),
            accounts=self._accounts,
        )
        try:
            facts = replace(facts, bot=await self._client.login())
            facts = replace(facts, **await self._shown(facts, name))
            repo = facts.repo
            assert repo is not None  # it was shown
        except (forge.Unauthorized, forge.ForgeForbidden, forge.ForgeNotFound) as error:
            return replace(facts, denied=error)
        heard = await self._hear(repo, facts.place.is_listed)
        facts = replace(facts, heard_at=heard.at, is_refusing=heard.is_refusing)
        facts = replace(facts, name=repo.full_name, scopes=await self._scopes(facts.bot))
        try:
            return await self._rest(facts, repo)
        except forge.ForgeForbidden as error:
            return replace(facts, denied=error)

    async def _shown(self, facts: Facts, name: str) -> dict[str, Any]:
        """The repository as the bot sees it, or where it does not, as an administrator does."""
        if self._actor is self._client:
            repo = await self._client.repo(name)
            return {"repo": repo, "is_admin": _administers(repo)}
        theirs = await self._actor.repo(name)
        strangers = []
        if _administers(theirs):
            wanted = list(dict.fromkeys([facts.bot, *self._members]))
            writers = await self._actor.writers(theirs.full_name, wanted)
            strangers = [login for login in wanted if not writers.may_write(login)]
        seen = theirs if strangers else await self._client.repo(name)
        return {"repo": seen, "is_admin": _administers(theirs), "strangers": strangers}

    async def is_of_others(self, room: str, name: str) -> bool:
        """Whether the fleet works on the repository, by whatever name, and the room does not hear
        of it. Raises `ForgeUnavailable`."""
        with suppress(forge.Unauthorized, forge.ForgeForbidden, forge.ForgeNotFound):
            name = (await self._client.repo(name)).full_name
        place = self._place(room, name)
        return place.is_listed and not place.is_heard

    async def _rest(self, facts: Facts, repo: Repository) -> Facts:
        name = repo.full_name
        branch = await self._actor.branch(name, repo.default_branch)
        rule = branch.effective_branch_protection_name if branch else ""
        return replace(
            facts,
            labels=await self._missing(name),
            hooks=await self._hooks(name) if facts.is_admin else None,
            has_run_events=facts.is_admin and (await self._actor.version()).has_run_events,
            branch=branch,
            rule=await self._actor.protection(name, rule) if rule else None,
        )

    async def _hooks(self, name: str) -> Sequence[Hook] | None:
        """A token that is restricted to repositories may not see them, whoever it is of."""
        try:
            return await self._actor.hooks(name)
        except forge.ForgeForbidden:
            return None

    async def _scopes(self, bot: str) -> frozenset[str] | None:
        """Those of our token; None where it may not ask, or it cannot be told which is ours."""
        try:
            tokens = await self._client.tokens(bot)
        except (forge.ForgeForbidden, forge.ForgeNotFound):
            return None
        own: list[AccessToken] = [t for t in tokens if t.token_last_eight == self._token_end]
        return frozenset(own[0].scopes) if len(own) == 1 else None

    async def _missing(self, name: str) -> Sequence[LabelSpec]:
        there = await self._actor.repo_labels(name)
        known = {label.name for label in [*there, *await self._actor.org_labels(name)]}
        return [spec for spec in wanted_labels(self._labels) if spec.name not in known]


def _administers(repo: Repository) -> bool:
    return bool(repo.permissions and repo.permissions.admin)


def wanted_labels(maps: LabelMaps) -> list[LabelSpec]:
    """Those that people need, and those that the fleet sets."""
    states = [state_label(state, maps) for state in TaskState if maps.states.get(state)]
    priorities = [priority_label(name, maps) for name in maps.priorities]
    specs = [trigger_label(maps), *states, *priorities]
    return list({spec.name: spec for spec in specs}.values())
