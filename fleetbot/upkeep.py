"""Setup and the doctor, put together for the settings in force."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from maubot import __version__ as maubot_version

from fleetbot.advice import advice
from fleetbot.domain.errors import Invalid
from fleetbot.forge.client import ForgeClient
from fleetbot.forge.models import Repository
from fleetbot.services.doctor import CheckHealth, Doctor, Examine
from fleetbot.services.examinations import OfAgents, OfRepositories, OfTheHost
from fleetbot.services.findings import Finding
from fleetbot.services.fleet import Fleet
from fleetbot.services.machines import OfMachines
from fleetbot.services.repositories import Repositories
from fleetbot.services.setup.deeds import Deeds
from fleetbot.services.setup.facts import Heard, Place, Survey
from fleetbot.services.setup.mapping import Edit
from fleetbot.services.setup.walks import Walks
from fleetbot.services.webhooks import Webhooks
from fleetbot.settings import Settings, SettingsError


def leave(edit: Edit) -> object:
    """Where nobody can change the configuration."""
    raise SettingsError("nobody here can change it.")


@dataclass(frozen=True, slots=True)
class Upkeep:
    """`amend` has the configuration changed soon, or raises `SettingsError`. `address`: where we
    are found over HTTP, and `hook_url`, where Forgejo delivers to."""

    settings: Settings
    fleet: Fleet
    forge: ForgeClient
    repositories: Repositories
    webhooks: Webhooks
    amend: Callable[[Edit], object]
    address: str
    hook_url: str

    def walks(self) -> Walks:
        secret = self.settings.forge.webhook_secret
        deeds = Deeds(self.forge, self.webhooks.next_of, self._amend, self.hook_url, secret)
        return Walks(self.fleet.store, self._survey(), deeds)

    def doctor(
        self, health: CheckHealth, database: Path | None, exams: Mapping[str, Examine]
    ) -> Doctor:
        """`exams` are further ones; `database` is the journal's file, if it is one."""
        of_repositories = OfRepositories(
            self.fleet, self.repositories, self.webhooks, self._survey()
        )
        programs = {"maubot": maubot_version}
        host = OfTheHost(database, self.fleet.store, self.forge, programs)
        own: Mapping[str, Examine] = {
            "forgejo": of_repositories.on_forgejo,
            "webhooks": of_repositories.webhooks,
            "agents": OfAgents(self.fleet).examine,
            "runners": OfMachines(self.fleet).examine,
            "disk": host.disk,
            "versions": host.versions,
            "settings": self._advice,
        }
        return Doctor(health, {**exams, **own})

    def _survey(self) -> Survey:
        forge, verify = self.settings.forge, self.settings.verify
        return Survey(
            self.forge,
            self.settings.labels,
            self._place,
            self._hear,
            self.fleet.clock,
            hook_url=self.hook_url,
            accounts=[*forge.accounts.values(), *verify.authors],
            token_end=forge.token[-8:],
        )

    def _place(self, room: str, repo: str) -> Place:
        return self.settings.place(room, repo, self.fleet.state.places.same)

    async def _hear(self, repo: Repository, is_listed: bool) -> Heard:
        if is_listed:
            await self.repositories.look(repo.full_name)  # so that its deliveries count
        return Heard(self.webhooks.heard_at(repo.id), self.webhooks.is_refusing)

    async def _amend(self, edit: Edit) -> None:
        try:
            self.amend(edit)
        except SettingsError as error:
            raise Invalid(f"The configuration would not be valid: {error}") from error

    async def _advice(self) -> Sequence[Finding]:
        return advice(self.settings, self.address)
