"""What the doctor looks at beyond health: each gives findings, and changes nothing."""

from __future__ import annotations

import asyncio
import platform
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from fleetbot import __version__
from fleetbot.domain.model import Agent, AgentStatus, Repo, ills
from fleetbot.domain.reasons import REASONS
from fleetbot.domain.wording import span
from fleetbot.forge.client import ForgeClient
from fleetbot.services.findings import Finding, Mark
from fleetbot.services.fleet import Fleet
from fleetbot.services.repositories import Repositories
from fleetbot.services.setup.facts import Survey
from fleetbot.services.setup.steps import Step, check
from fleetbot.services.webhooks import Webhooks
from fleetbot.store.interface import Store

_MOST = 10  # repositories that are looked at on Forgejo, and things that are named
_SILENT_MS = 7 * 86_400_000  # without a webhook; it may be that nothing happened
_LOW = 1 << 30  # bytes
_MEBIBYTE = 1 << 20
_ASK_ITS_MACHINE = "`fleetbot check` on its machine says what to do"
_OF_FORGEJO = (Step.ACCOUNT, Step.LABELS, Step.BRANCH)


class OfRepositories:
    """What Forgejo shows of the repositories: the bot's rights and scopes, labels, the base's
    protection; and when their webhooks last came."""

    def __init__(
        self, fleet: Fleet, repositories: Repositories, webhooks: Webhooks, survey: Survey
    ) -> None:
        self._fleet = fleet
        self._repositories = repositories
        self._webhooks = webhooks
        self._survey = survey

    async def on_forgejo(self) -> Sequence[Finding]:
        names = self._repositories.names()
        told = await asyncio.gather(*(self._of(name) for name in names[:_MOST]))
        found = [finding for findings in told for finding in findings]
        if len(names) > _MOST:
            more = f"{len(names) - _MOST} more of the repositories not looked at"
            found.append(Finding("branch", Mark.WELL, more))
        return found

    async def _of(self, name: str) -> list[Finding]:
        facts = await self._survey.facts("", name)
        told = [finding for finding in check(facts) if finding.name in _OF_FORGEJO]
        return [
            replace(one, name=f"{one.name} {facts.name}", remedy=_remedy(one, facts.name))
            for one in told
        ]

    async def webhooks(self) -> Sequence[Finding]:
        """Those that are silent though something happened are told of by health."""
        now, seen = self._fleet.clock(), []
        for repo in self._fleet.state.places.repos.values():
            if self._repositories.lists(repo):
                seen.append(_last(repo, self._webhooks.heard_at(repo.id), now))
        if refused := self._webhooks.refused_at:
            seen.append(_refused(refused, now))
        return seen


def _last(repo: Repo, at: int, now: int) -> Finding:
    name = f"webhook {repo.name}"
    if at and now - at < _SILENT_MS:
        return Finding(name, Mark.WELL, f"the last came {span(now - at)} ago")
    says = f"the last came {span(now - at)} ago" if at else "none has come yet"
    remedy = "It may be that nothing happened; `!fleet setup` in its room can try it"
    return Finding(name, Mark.WARN, says, (remedy,))


def _refused(at: int, now: int) -> Finding:
    says = f"the last delivery was refused {span(now - at)} ago: it has no right signature"
    remedy = (
        "`forge.webhook_secret` is to be the webhook's; if it was not Forgejo, nothing is wrong"
    )
    return Finding("webhook secret", Mark.WARN, says, (remedy,))


class OfAgents:
    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet

    async def examine(self) -> Sequence[Finding]:
        known = self._fleet.state.agents.values()
        here = [agent for agent in known if agent.status is not AgentStatus.DEREGISTERED]
        if not here:
            remedy = "Start a runner: docs/howto/add-a-runner.md"
            return [Finding("agents", Mark.WARN, "there are none", (remedy,))]
        wrong = list(self._wrong(here))
        online = sum(agent.status is AgentStatus.ONLINE for agent in here)
        return wrong or [Finding("agents", Mark.WELL, f"{online} online")]

    def _wrong(self, agents: Sequence[Agent]) -> Iterator[Finding]:
        now = self._fleet.clock()
        away = [agent.name for agent in agents if agent.status is AgentStatus.OFFLINE]
        if away:
            names = ", ".join(f"`{name}`" for name in away[:_MOST])
            more = f" and {len(away) - _MOST} more" if len(away) > _MOST else ""
            remedy = "Look at the runner's log on their machines, or `!fleet revoke` who is gone"
            yield Finding("agents", Mark.WARN, f"offline: {names}{more}", (remedy,))
        for agent in [agent for agent in agents if agent.unwell][:_MOST]:
            assert agent.unwell is not None  # of those that are
            reason = REASONS[agent.unwell]
            says = f"{reason.text}, for {span(now - agent.unwell_since)}: {agent.unwell_detail}"
            yield Finding(f"agent {agent.name}", Mark.WARN, says.rstrip(": "), (reason.advice,))
        for agent in agents[:_MOST]:
            for line, remedy in ills(agent) if agent.status is AgentStatus.ONLINE else ():
                yield Finding(f"agent {agent.name}", Mark.WARN, line, (remedy or _ASK_ITS_MACHINE,))


class OfTheHost:
    """The disk that the journal is on, and what runs here.

    `database` is the journal's file, None where it is on a server; `programs` are others' versions
    by their names.
    """

    def __init__(
        self,
        database: Path | None,
        store: Store,
        client: ForgeClient,
        programs: dict[str, str],
    ) -> None:
        self._database = database
        self._store = store
        self._client = client
        self._programs = programs

    async def disk(self) -> Sequence[Finding]:
        journal = f"journal {await self._store.size() / _MEBIBYTE:.0f} MiB"
        if self._database is None:
            return [Finding("disk", Mark.WELL, f"{journal}, on Postgres: see to its disk there")]
        return [await asyncio.to_thread(self._disk, self._database.parent, journal)]

    def _disk(self, folder: Path, journal: str) -> Finding:
        free = shutil.disk_usage(folder).free
        says = f"{journal}, {free / _LOW:.1f} GiB free"
        if free >= _LOW:
            return Finding("disk", Mark.WELL, says)
        remedy = "Make room: a full disk stops the journal. Old logs go by `keep.log_days`"
        return Finding("disk", Mark.BAD, says, (remedy,))

    async def versions(self) -> Sequence[Finding]:
        forgejo = await self._client.version()
        known = {
            "fleetbot": __version__,
            "Forgejo": forgejo.version.partition("+")[0],
            "Python": platform.python_version(),
            **self._programs,
        }
        says = ", ".join(f"{name} {version}" for name, version in known.items())
        if forgejo.is_before(11):
            return [Finding("versions", Mark.WARN, says, ("fleetbot is made for Forgejo 11 on",))]
        return [Finding("versions", Mark.WELL, says)]


def _remedy(finding: Finding, repo: str) -> tuple[str, ...]:
    if finding.mark is Mark.WELL or finding.remedy:
        return finding.remedy
    return (f"`!fleet setup {repo}`, said in its room, does it with you",)
