"""Whether the orchestrator is reached: which of its addresses leads, and which stand by."""

from __future__ import annotations

import aiohttp
import msgspec

from fleetbot.network import hindrance, proxy_of
from fleetbot.runner.config import Config
from fleetbot.runner.link import read_token
from fleetbot.runner.session.contract import HealthLine
from fleetbot.runner.tokens import Tokens

_TIMEOUT = aiohttp.ClientTimeout(total=10)


async def orchestrator_lines(
    config: Config, tokens: Tokens, http: aiohttp.ClientSession
) -> list[HealthLine]:
    """Of each address whether it can be used; one has to lead."""
    urls = config.orchestrator.urls
    lines, leading = [], 0
    for url in urls:
        line, leads = await _address_line(url, http)
        lines.append(line)
        leading += leads
    if not leading and all(line.ok for line in lines):
        remedy = "wait for as long as a lease lasts, then see maubot's log of each"
        return [*lines, HealthLine("orchestrator", False, "none of them leads", remedy)]
    enrolled = [read_token(config.root.token(agent.name)) for agent in config.agents]
    if leading and not all(enrolled) and not tokens.enrolment():
        remedy = "set orchestrator.enrolment_token to one of the plugin's auth.enrolment_tokens"
        return [HealthLine("orchestrator", False, "an agent has no token yet", remedy)]
    return lines


async def _address_line(url: str, http: aiohttp.ClientSession) -> tuple[HealthLine, bool]:
    """What was found, and whether it leads."""
    remedy = "correct orchestrator.url: the plugin's address as maubot shows it; is it running?"
    try:
        async with http.get(f"{url}/healthz", timeout=_TIMEOUT, proxy=proxy_of(url)) as response:
            status = response.status
            is_ours = response.content_type == "application/json"
            health = await response.read()
    except (aiohttp.ClientError, TimeoutError) as problem:
        way = hindrance(problem, "orchestrator.ca_file")
        said = way or str(problem) or type(problem).__name__
        return HealthLine("orchestrator", False, f"{url}: {said}", remedy), False
    if not is_ours or status not in (200, 503):
        said = f"{url}/healthz answered {status}"
        return HealthLine("orchestrator", False, said, remedy), False
    if waits := _standby(health):
        return HealthLine("orchestrator", True, f"{url} stands by: {waits}"), False
    return HealthLine("orchestrator", True, url), True


class _Health(msgspec.Struct):
    checks: dict[str, str] = msgspec.field(default_factory=dict)


def _standby(health: bytes) -> str:
    """Why it does not lead; empty where it does. An older one says nothing of it."""
    try:
        found = msgspec.json.decode(health, type=_Health)
    except msgspec.DecodeError:
        return ""
    told = found.checks.get("leadership", "ok")
    return "" if told == "ok" else told
