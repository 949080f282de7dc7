"""A repository's steps, the same as `!fleet setup` has, done by an administrator."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

import msgspec

from fleetbot.forge.errors import ForgeNotFound
from fleetbot.forge.models import Repository
from fleetbot.installing.servers import Refused
from fleetbot.installing.site import Site
from fleetbot.installing.stage import Stage
from fleetbot.services.findings import Finding
from fleetbot.services.labels import LabelMaps
from fleetbot.services.setup.deeds import Deeds, Made
from fleetbot.services.setup.facts import Facts, Heard, Place, Survey
from fleetbot.services.setup.mapping import Written
from fleetbot.services.setup.steps import Step, check
from fleetbot.settings import Settings

_FOUND_WITHIN = 20.0  # seconds; the plugin looks for its repositories at once
_WANTED_BY = {Step.BRANCH: "--protect", Step.RECEIPT: "--require-receipt"}
_MEANS = {
    Step.BRANCH: "nobody pushes to it any more, people neither: all goes through pull requests",
    Step.RECEIPT: "people's own pull requests cannot be merged then, but by an administrator",
}


class RepositoryStep(Stage):
    """One step for one repository. Those that bind people are done only where it was asked for."""

    def __init__(self, site: Site, repo: str, step: Step) -> None:
        self._site = site
        self._repo = repo
        self._step = step
        self.is_needed = step in (Step.ACCOUNT, Step.ROOM)

    async def look(self) -> Sequence[Finding]:
        facts = await self._facts()
        if self._step is not Step.ACCOUNT:  # that is its own step's to tell
            facts = replace(facts, strangers=())
        found = next((one for one in check(facts) if one.name == self._step), None)
        if found is None:  # the repository cannot be used, and that was told
            return []
        return [replace(self._asked_for(found), name=f"{self._step} {self._repo}")]

    def _asked_for(self, found: Finding) -> Finding:
        flag = _WANTED_BY.get(self._step)
        answers = self._site.answers
        wanted = {Step.BRANCH: answers.protect, Step.RECEIPT: answers.require_receipt}
        if not flag or not found.offer or wanted[self._step]:
            return found
        remedy = f"`{flag}` has setup {found.offer}; {_MEANS[self._step]}"
        return replace(found, offer="", remedy=(*found.remedy, remedy))

    async def do(self) -> None:
        facts, deeds = await self._facts(), await self._deeds()
        made = await deeds.do(self._step, facts, self._room, self._made, self._keep)
        await self._keep(made)

    def made(self) -> str:
        made = self._made.of(self._step)
        return f"{self._repo}: {made}" if made else ""

    async def undo(self) -> None:
        site = self._site
        try:
            name = (await site.forge.repo(self._repo)).full_name
        except ForgeNotFound:  # and all that was made in it is gone
            await self._keep(Made(written=self._made.written))
            name = self._repo
        if self._step is Step.ROOM and site.kept.state.instance:  # which goes as a whole
            await self._keep(msgspec.structs.replace(self._made, written=Written()))
        elif self.made():
            deeds = await self._deeds()
            bare = Facts(
                name=name,
                site=site.answers.forge,
                bot=site.answers.forge_bot,
                now=0,
                hook_url="",
                place=Place(False, False),
                accounts=(),
            )
            made = await deeds.undo(self._step, bare, self._room, self._made, self._keep)
            await self._keep(made)

    # what it stands on

    @property
    def _room(self) -> str:
        return self._site.kept.state.room

    @property
    def _made(self) -> Made:
        return self._site.kept.state.repos.get(self._repo, Made())

    async def _keep(self, made: Made) -> None:
        known = {**self._site.kept.state.repos, self._repo: made}
        self._site.kept.keep(repos={repo: its for repo, its in known.items() if its != Made()})

    async def _facts(self) -> Facts:
        site, settings = self._site, await self._site.settings()
        answers, token = site.answers, site.tokens.get(site.answers.forge_bot, "")
        bot = site.forge_as(token or site.given.get("forge-token"), answers.forge_bot)
        survey = Survey(
            bot,
            settings.labels if settings else LabelMaps(),
            lambda room, repo: self._place(settings, room, repo),
            self._hear,
            lambda: int(time.time() * 1000),
            hook_url=await self._hook_url(),
            accounts=[answers.forge_runner] if answers.folder else [],
            token_end=token[-8:],
            actor=site.forge,
            members=[answers.forge_runner] if answers.folder else [],
        )
        return await survey.facts(self._room, self._repo)

    def _place(self, settings: Settings | None, room: str, repo: str) -> Place:
        """Before there is an instance, what follows is shown as it will be with one."""
        if settings is None:
            is_there = self._step is not Step.ROOM
            return Place(is_there, is_there)
        return settings.place(room, repo)

    async def _deeds(self) -> Deeds:
        settings: Settings | None = await self._site.settings()
        secret = settings.forge.webhook_secret if settings else ""
        site = self._site
        return Deeds(site.forge, self._arrives, site.amend, await self._hook_url(), secret)

    async def _hook_url(self) -> str:
        return f"{await self._site.address()}/api/v1/webhooks/forgejo"

    async def _hear(self, repo: Repository, is_listed: bool) -> Heard:
        """What the plugin has heard of it; it may have been told of the repository just now."""
        self._heard_at = 0
        is_asked = is_listed and self._step is Step.WEBHOOK
        if not is_asked or await self._site.settings() is None:
            return Heard()
        orchestrator = await self._site.orchestrator()
        view = await orchestrator.knows(repo.id, _FOUND_WITHIN)
        if view is None:
            says = f"fleetbot does not find {repo.full_name}"
            raise Refused(says, 0, "", "`fleetbot check --orchestrator` says what is not well")
        self._heard_at = view.heard_at
        return Heard(view.heard_at, (await orchestrator.webhooks()).refusing)

    async def _arrives(self, repo_id: int, seconds: float) -> bool:
        orchestrator = await self._site.orchestrator()
        return await orchestrator.hears(repo_id, self._heard_at, seconds)


def steps_of(site: Site, repo: str) -> list[RepositoryStep]:
    return [RepositoryStep(site, repo, step) for step in Step]
