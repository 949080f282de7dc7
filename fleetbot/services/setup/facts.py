"""What there is to know of a repository before it can be said what is missing. Read, not judged."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import NamedTuple

from fleetbot.domain.model import TaskState
from fleetbot.forge import errors as forge
from fleetbot.forge.client import ForgeClient
from fleetbot.forge.keeping_calls import AccessToken, Hook, Protection
from fleetbot.forge.label_calls import LabelSpec
from fleetbot.forge.models import Branch, Repository
from fleetbot.services.labels import LabelMaps, priority_label, state_label, trigger_label
from fleetbot.services.repositories import Repositories
from fleetbot.services.webhooks import Webhooks


class Place(NamedTuple):
    """What the settings say: whether the fleet works on the repository, whether the room hears of
    it, and which one `#12` is of there."""

    is_listed: bool
    is_heard: bool
    default_repo: str | None = None


PlaceOf = Callable[[str, str], Place]  # of a room and a repository


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """`repo` None: Forgejo does not show it, for the reason `denied`; nothing else is known then.

    `scopes` None: not told. `hooks` None: only an administrator may see them; so is `rule`.
    `has_run_events`: its hooks can tell of runs of Actions. `labels` are those that are wanted and
    missing. `heard_at`: when the last delivery came (epoch
    ms), 0 if none has. `accounts`: the fleet's own.
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

    @property
    def is_admin(self) -> bool:
        return bool(self.repo and self.repo.permissions and self.repo.permissions.admin)


class Survey:
    """`place` says what the settings in force have; `accounts` are the logins of the fleet beside
    the bot's; `token_end`: the last eight characters of the bot's token."""

    def __init__(
        self,
        client: ForgeClient,
        repositories: Repositories,
        webhooks: Webhooks,
        labels: LabelMaps,
        place: PlaceOf,
        clock: Callable[[], int],
        *,
        hook_url: str,
        accounts: Sequence[str],
        token_end: str,
    ) -> None:
        self._client = client
        self._repositories = repositories
        self._webhooks = webhooks
        self._labels = labels
        self._place = place
        self._clock = clock
        self._hook_url = hook_url
        self._accounts = accounts
        self._token_end = token_end

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
            repo = await self._client.repo(name)
        except (forge.Unauthorized, forge.ForgeForbidden, forge.ForgeNotFound) as error:
            return replace(facts, denied=error)
        if facts.place.is_listed:
            await self._repositories.look(name)  # so that its deliveries count
        facts = replace(facts, name=repo.full_name, repo=repo, scopes=await self._scopes(facts.bot))
        try:
            return await self._rest(facts, repo)
        except forge.ForgeForbidden as error:
            return replace(facts, denied=error)

    async def is_of_others(self, room: str, name: str) -> bool:
        """Whether the fleet works on the repository, by whatever name, and the room does not hear
        of it. Raises `ForgeUnavailable`."""
        with suppress(forge.Unauthorized, forge.ForgeForbidden, forge.ForgeNotFound):
            name = (await self._client.repo(name)).full_name
        place = self._place(room, name)
        return place.is_listed and not place.is_heard

    async def _rest(self, facts: Facts, repo: Repository) -> Facts:
        name = repo.full_name
        branch = await self._client.branch(name, repo.default_branch)
        rule = branch.effective_branch_protection_name if branch else ""
        return replace(
            facts,
            labels=await self._missing(name),
            hooks=await self._hooks(name) if facts.is_admin else None,
            has_run_events=facts.is_admin and (await self._client.version()).has_run_events,
            heard_at=self._webhooks.heard_at(repo.id),
            is_refusing=self._webhooks.is_refusing,
            branch=branch,
            rule=await self._client.protection(name, rule) if rule else None,
        )

    async def _hooks(self, name: str) -> Sequence[Hook] | None:
        """A token that is restricted to repositories may not see them, whoever it is of."""
        try:
            return await self._client.hooks(name)
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
        there = await self._client.repo_labels(name)
        known = {label.name for label in [*there, *await self._client.org_labels(name)]}
        return [spec for spec in wanted_labels(self._labels) if spec.name not in known]


def wanted_labels(maps: LabelMaps) -> list[LabelSpec]:
    """Those that people need, and those that the fleet sets."""
    states = [state_label(state, maps) for state in TaskState if maps.states.get(state)]
    priorities = [priority_label(name, maps) for name in maps.priorities]
    specs = [trigger_label(maps), *states, *priorities]
    return list({spec.name: spec for spec in specs}.values())
