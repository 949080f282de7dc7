"""What runners tell of their machines, as the doctor examines it: versions, disk, sandbox."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence

from fleetbot import __version__
from fleetbot.domain.machine import NO_SANDBOX, MachineFacts
from fleetbot.domain.model import Agent, AgentStatus
from fleetbot.domain.wording import count
from fleetbot.services.findings import Finding, Mark
from fleetbot.services.fleet import Fleet

_MOST = 10  # machines, and agents that are named
_UPGRADE = "docs/howto/upgrade-and-backup.md"
_MAKE_ROOM = "Free some space there, or lower `workspace.max_gb`: docs/howto/add-a-runner.md"
_SHUT_IN = "Set `sandbox`, or run it as a user of its own: docs/howto/sandboxing.md"


class OfMachines:
    """Agents that are online, by the machine that they share; `version` is the plugin's."""

    def __init__(self, fleet: Fleet, version: str = __version__) -> None:
        self._fleet = fleet
        self._version = version

    async def examine(self) -> Sequence[Finding]:
        places = list(self._places())
        found = [finding for agents in places[:_MOST] for finding in self._of(agents)]
        if len(places) > _MOST:
            says = f"{count(len(places) - _MOST, 'machine')} more not looked at"
            found.append(Finding("runners", Mark.WELL, says))
        return found

    def _places(self) -> Collection[list[Agent]]:
        """Agents of one machine measure its disk at different moments: the first one's counts."""
        state, places = self._fleet.state, dict[tuple[str, MachineFacts | None], list[Agent]]()
        for agent in state.agents.values():
            if agent.status is AgentStatus.ONLINE:
                its = state.machines.get(agent.name)
                alike = agent.host, its.apart_from_disk() if its else None
                places.setdefault(alike, []).append(agent)
        return places.values()

    def _of(self, agents: Sequence[Agent]) -> Iterator[Finding]:
        name = f"runner {agents[0].host or agents[0].name}"
        facts = self._fleet.state.machines.get(agents[0].name)
        if facts is None:
            yield self._untold(name, agents)
            return
        wrong = [*self._versions(name, facts), *_disk(name, facts, agents), *_sandbox(name, facts)]
        yield from wrong or [Finding(name, Mark.WELL, f"{described(facts)}; {_names(agents)}")]

    def _untold(self, name: str, agents: Sequence[Agent]) -> Finding:
        """Not told is not well; who has not been heard may still tell."""
        if not any(agent.name in self._fleet.state.seen for agent in agents):
            says = "not heard since fleetbot started, so its versions and disk are not told"
            remedy = "It tells them with its next heartbeat: ask again in a minute"
        else:
            says = "its versions, disk and sandbox are not told"
            remedy = f"Its runner is older than fleetbot {self._version}: {_UPGRADE}"
        return Finding(name, Mark.WARN, f"{says} ({_names(agents)})", (remedy,))

    def _versions(self, name: str, facts: MachineFacts) -> Iterator[Finding]:
        its, ours = _release(facts.fleetbot), _release(self._version)
        if not its or its == ours:
            return
        apart = f"fleetbot {facts.fleetbot}, the plugin is {self._version}"
        which = "the runner" if its < ours else "the plugin"
        yield Finding(name, Mark.WARN, apart, (f"Upgrade {which}: {_UPGRADE}",))


def _disk(name: str, facts: MachineFacts, agents: Sequence[Agent]) -> Iterator[Finding]:
    """Where a check has found it already, that is told with the agent."""
    if facts.has_room or any(_is_known(agent.health) for agent in agents):
        return
    yield Finding(name, Mark.BAD, f"{disk(facts)}: it takes nothing", (_MAKE_ROOM,))


def _is_known(health: Sequence[str]) -> bool:
    return any(line.startswith("disk:") for line in health)


def _sandbox(name: str, facts: MachineFacts) -> Iterator[Finding]:
    if facts.is_open:
        says = "root and without a sandbox: its programs may read and change everything there"
        yield Finding(name, Mark.WARN, says, (_SHUT_IN,))


def remedies(facts: MachineFacts, health: Sequence[str]) -> Iterator[str]:
    """What to do about a machine, beyond what its agent's own check says."""
    if not facts.has_room and not _is_known(health):
        yield _MAKE_ROOM
    if facts.is_open:
        yield _SHUT_IN


def described(facts: MachineFacts) -> str:
    """`fleetbot 0.1.0, Python 3.11.9, git 2.43.0, Linux 6.1, bubblewrap, 12.3 GB free`."""
    sandbox = "no sandbox" if facts.sandbox == NO_SANDBOX else facts.sandbox
    sandbox = f"{sandbox}, as root" if facts.is_open else sandbox
    versions = (("fleetbot", facts.fleetbot), ("Python", facts.python), ("git", facts.git))
    told = [f"{name} {version or 'not told'}" for name, version in versions]
    return ", ".join([*told, facts.system or "system not told", sandbox, disk(facts)])


def disk(facts: MachineFacts) -> str:
    """`1.2 GB free, 2 GB are the least`; the least only where there is less."""
    if facts.disk_free is None:
        return "disk not told"
    free = f"{facts.disk_free / 10**9:.1f} GB free"
    if facts.has_room or facts.least_free is None:
        return free
    return f"{free}, {facts.least_free / 10**9:g} GB are the least"


def _names(agents: Sequence[Agent]) -> str:
    names = ", ".join(f"`{agent.name}`" for agent in agents[:_MOST])
    return f"{names} and {len(agents) - _MOST} more" if len(agents) > _MOST else names


def _release(version: str) -> tuple[int, ...]:
    """`(0, 1, 0)` of `0.1.0.dev3`; empty for what is no version."""
    found = re.match(r"\d+(?:\.\d+)*", version)
    return tuple(map(int, found[0].split("."))) if found else ()
