"""Tasks and agents as the board shows them: values out of what the fleet knows."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from fleetbot import wire
from fleetbot.domain.attention import may_need
from fleetbot.domain.available import Looks, absence
from fleetbot.domain.model import (
    OPEN_STATES,
    Agent,
    AgentName,
    AgentStatus,
    Run,
    Task,
    TaskState,
    ills,
)
from fleetbot.domain.pulls import Watch
from fleetbot.domain.reasons import REASONS
from fleetbot.domain.standing import in_short
from fleetbot.domain.state import FleetState
from fleetbot.domain.waiting import Waiting, flags, waiting_in_turn
from fleetbot.domain.waits import WaitReason
from fleetbot.services.fleet import Fleet
from fleetbot.services.tasks import waiting_view

Sees = Callable[[str], bool]  # whether a repository, by its name, is shown

_AGENTS = 100
_STANDING: Mapping[WaitReason, str] = {
    WaitReason.AGENT_OFFLINE: "offline",
    WaitReason.AGENT_UNWELL: "unwell",
    WaitReason.AGENT_RESTS: "rests",
    WaitReason.AGENT_DRAINED: "drained",
    WaitReason.AGENTS_BUSY: "busy",
}


class Forge:
    """Addresses on Forgejo, and none that lead elsewhere, whatever somebody has written."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")

    def link(self, url: str) -> str:
        """The address, or "" where it is not on Forgejo."""
        is_web = self.url.lower().startswith(("http://", "https://"))
        return url if is_web and url.startswith(f"{self.url}/") else ""

    def pull(self, task: Task, number: int) -> str:
        return self.link(f"{_home(task)}/pulls/{number}")

    def commit(self, task: Task, sha: str) -> str:
        return self.link(f"{_home(task)}/commit/{sha}")


def _home(task: Task) -> str:
    """The repository's address."""
    return task.url.rpartition("/issues/")[0]


class Views:
    def __init__(self, fleet: Fleet, forge: Forge) -> None:
        self._fleet = fleet
        self._forge = forge

    async def task(self, task: Task, looks: Looks | None = None) -> wire.BoardTask:
        """`looks` as of `waiting`."""
        known = self._fleet.state.tasks.get(task.id, task)
        return self.shown(known, await self._agent(known), self.waits(known, looks))

    def waits(self, task: Task, looks: Looks | None = None) -> Waiting | None:
        """Why it does not move: the very sentence of `why`."""
        fleet = self._fleet
        if task.id not in fleet.state.tasks or not may_need(task):
            return None
        return waiting_in_turn(fleet.state, task, fleet.clock(), fleet.policy, looks)

    async def _agent(self, task: Task) -> AgentName | None:
        if not task.run:
            return task.wanted_agent
        run = self._fleet.state.run_of(task) or await self._fleet.store.run(task.run)
        return run.agent if run else None

    def shown(self, task: Task, agent: AgentName | None, its: Waiting | None) -> wire.BoardTask:
        fleet = self._fleet
        signs = flags(fleet.state, task, its, fleet.clock(), fleet.policy) if its else ()
        return wire.BoardTask(
            id=task.id,
            repo=task.repo,
            issue=task.issue,
            url=self._forge.link(task.url),
            title=task.traits.title,
            kind=task.traits.kind,
            priority=wire.priority_name(task.traits.priority),
            state=task.state,
            since=task.entered_at or task.updated_at,
            created_at=task.created_at,
            updated_at=task.updated_at,
            agent=agent,
            attempt=task.attempt,
            reason=_ended(task),
            waiting=waiting_view(its) if its else None,
            flags=signs,
            pull=self._pull(task, task.pull) if task.pull else None,
        )

    def _pull(self, task: Task, pull: Watch) -> wire.BoardPull:
        url = self._forge.pull(task, pull.number)
        return wire.BoardPull(number=pull.number, state=pull.state, url=url, says=in_short(task))

    # agents

    def agents(self, sees: Sees) -> tuple[tuple[wire.BoardAgent, ...], int]:
        """Those that are online first, then by name, and how many more there are; who has signed
        off is left out."""
        here = [
            agent
            for agent in self._fleet.state.agents.values()
            if agent.status is not AgentStatus.DEREGISTERED
        ]
        here.sort(key=lambda agent: (agent.status is not AgentStatus.ONLINE, agent.name))
        shown = tuple(self._agent_view(agent, sees) for agent in here[:_AGENTS])
        return shown, len(here) - len(shown)

    def _agent_view(self, agent: Agent, sees: Sees) -> wire.BoardAgent:
        state = self._fleet.state
        its = absence(state, agent, self._fleet.clock())
        runs = state.runs_of_agent(agent.name)
        busy = its is not None and its.reason is WaitReason.AGENTS_BUSY
        found = [f"{ill}{f': {remedy}' if remedy else ''}" for ill, remedy in ills(agent)]
        if its and not busy:
            found += its.details
        return wire.BoardAgent(
            name=agent.name,
            standing=_standing(its.reason if its else None, at_work=bool(runs)),
            adapter=agent.adapter,
            says="" if its is None or busy else its.text,
            remedy="" if its is None or busy else its.remedy,
            until=its.until if its else None,
            host=agent.host,
            account=agent.account,
            capabilities=agent.capabilities,
            max_concurrency=agent.max_concurrency,
            runs=tuple(_run(state, run, sees) for run in runs),
            ills=tuple(found),
        )


def _standing(reason: WaitReason | None, *, at_work: bool) -> str:
    if reason is None:
        return "busy" if at_work else "free"
    return _STANDING.get(reason, "away")


def _run(state: FleetState, run: Run, sees: Sees) -> wire.BoardRun:
    task, since = state.tasks[run.task], run.started_at or run.assigned_at
    if not sees(task.repo):
        return wire.BoardRun(since=since)
    return wire.BoardRun(
        since=since,
        task=task.id,
        ref=task.ref,
        title=task.traits.title,
        is_checked=run.receipt is not None,
    )


def _ended(task: Task) -> str:
    """Why it is where it is, of one that is over or has failed."""
    told = task.state not in OPEN_STATES or task.state in (TaskState.FAILED, TaskState.AGENT_LOST)
    return REASONS[task.reason].text if told and task.reason else ""
