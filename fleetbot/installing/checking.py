"""What the orchestrator says of itself and of all around it, for who checks it from outside."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from fleetbot.installing.fleet import Orchestrator
from fleetbot.installing.servers import Refused, Server
from fleetbot.installing.stage import Stage
from fleetbot.network import open_session
from fleetbot.services.findings import Finding, Mark

if TYPE_CHECKING:
    from fleetbot.installing.site import Site  # with what reads YAML, which a runner has not

_NEEDS = "An operator's token shows all: one of `auth.operator_tokens` of the plugin's settings"
_TOLD_BEFORE = ("account", "labels", "branch", "webhook")  # of each repository


async def look_at(url: str, token: str, ca_file: str = "") -> Sequence[Finding]:
    """The same of a plugin's address; `token` may be empty. `ca_file`: as `open_session` has it."""
    async with open_session(ca_file, url) as session:
        server = Server("fleetbot", url, session, f"Bearer {token}" if token else "")
        return await examine(Orchestrator(server))


async def examine(orchestrator: Orchestrator) -> Sequence[Finding]:
    """All there is, the worst first; or what can be seen with this token."""
    try:
        health = await orchestrator.health()
        if problem := health.checks.get("configuration"):
            remedy = "Fill it in, in maubot, or with `fleetbot setup`"
            return [Finding("configuration", Mark.BAD, problem, (remedy,))]
    except Refused as refused:
        return [Finding("orchestrator", Mark.BAD, str(refused), refused.remedy)]
    try:
        told = (await orchestrator.doctor()).findings
    except Refused as refused:
        return [*_of_health(health.checks), Finding("token", Mark.WARN, str(refused), (_NEEDS,))]
    return [Finding(one.name, Mark(one.mark), one.says, one.remedy) for one in told]


def _of_health(checks: dict[str, str]) -> list[Finding]:
    return [
        Finding(name, Mark.WELL if says == "ok" else Mark.WARN, says)
        for name, says in checks.items()
    ]


class Wellbeing(Stage):
    """The last one: what the doctor finds besides what was told before."""

    is_needed = False

    def __init__(self, site: Site) -> None:
        self._site = site

    async def look(self) -> Sequence[Finding]:
        if await self._site.settings() is None:
            return []
        findings = await examine(await self._site.orchestrator())
        known = {f"{name} {repo}" for repo in self._site.answers.repos for name in _TOLD_BEFORE}
        wrong = [one for one in findings if one.mark is not Mark.WELL and one.name not in known]
        well = sum(one.mark is Mark.WELL for one in findings)
        summary = Finding("fleet", Mark.WELL, f"{well} things examined are well")
        return [summary, *(one for one in wrong if one.name != "branches")]
