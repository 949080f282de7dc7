"""Who could take a task, and why nobody does now."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from fleetbot.domain.blockers import Circles
from fleetbot.domain.dispatch import is_busy
from fleetbot.domain.model import Agent, AgentName, AgentStatus, Task
from fleetbot.domain.reasons import REASONS, ReasonCode
from fleetbot.domain.state import FleetState
from fleetbot.domain.waits import WaitReason
from fleetbot.domain.wording import count

_SHOWN = 5


class Absence(NamedTuple):
    """Why an agent, or nobody, takes a task now. `until` (epoch ms): when that ends by itself."""

    reason: WaitReason
    text: str
    remedy: str
    subject: str
    until: int | None = None
    details: tuple[str, ...] = ()


class Availability(NamedTuple):
    """Of the agents that could ever take a task: how many there are, the names of those that may
    now, and why none may."""

    able: int
    free: tuple[str, ...]
    absence: Absence | None


Wish = tuple[AgentName | None, tuple[str, ...]]


class Looks:
    """What was found at one moment: of agents, for tasks with the same wish; and of circles."""

    def __init__(self) -> None:
        self.agents: dict[Wish, Availability] = {}
        self.circles: Circles = {}


def availability(state: FleetState, task: Task, now: int, looks: Looks) -> Availability:
    wish = task.wanted_agent, task.traits.needs
    if wish not in looks.agents:
        able = able_agents(state, task)
        free = tuple(agent.name for agent in able if not absence(state, agent, now))
        away = absence_of_all(state, able, now) if able and not free else None
        looks.agents[wish] = Availability(len(able), free, away)
    return looks.agents[wish]


def able_agents(state: FleetState, task: Task) -> list[Agent]:
    """Those that could ever take the task, by name."""
    wanted, needs = task.wanted_agent, set(task.traits.needs)
    one = state.agents.get(wanted) if wanted else None
    able = (
        agent
        for agent in ([one] if one else [] if wanted else state.agents.values())
        if agent.status is not AgentStatus.DEREGISTERED and needs <= set(agent.capabilities)
    )
    return sorted(able, key=lambda agent: agent.name)


def absence(state: FleetState, agent: Agent, now: int) -> Absence | None:
    """Why the agent takes nothing now; None where `dispatch.has_room`, the fleet's pause apart."""
    name, why = agent.name, WaitReason
    if agent.status is not AgentStatus.ONLINE:
        says = "Start its runner, or look at what it says: it tells when it lost the plugin."
        return Absence(why.AGENT_OFFLINE, f"{name} is offline.", says, name)
    if agent.unwell:
        its = REASONS[agent.unwell]
        text = f"{name} is unwell: {its.text}."
        remedy = f"{its.advice} It takes tasks again once its check passes."
        details = (agent.unwell_detail,) if agent.unwell_detail else ()
        return Absence(why.AGENT_UNWELL, text, remedy, name, None, details)
    if agent.rests(now):
        its = REASONS[agent.parked_for or ReasonCode.USAGE_LIMIT]
        text = f"{name} rests: {its.text}."
        return Absence(why.AGENT_RESTS, text, its.advice, name, agent.parked_until)
    if agent.draining:
        text = f"{name} is drained: it takes nothing new until somebody resumes it."
        remedy = f"Resume it: `!fleet resume {name}`."
        return Absence(why.AGENT_DRAINED, text, remedy, name)
    return _busy(state, agent)


def _busy(state: FleetState, agent: Agent) -> Absence | None:
    if not is_busy(state, agent):
        return None
    name, why = agent.name, WaitReason.AGENTS_BUSY
    if (runs := state.at_work(name)) >= agent.max_concurrency:
        text = f"{name} is busy with {count(runs, 'task')}."
        return Absence(why, text, "Wait, or raise its `max_concurrency`.", name)
    runs = len(state.runs_of_agent(name))
    text = f"{name} has {count(runs, 'run')}, most of them with a receipt that is being checked."
    return Absence(why, text, "See with `!fleet why` what the checks wait for.", name)


def absence_of_all(state: FleetState, able: Sequence[Agent], now: int) -> Absence:
    """Of agents that all take nothing now: one that is only busy will be the first to."""
    each = [its for agent in able if (its := absence(state, agent, now))]
    if len(each) == 1:
        return each[0]
    details = tuple(its.text for its in each[:_SHOWN])
    ends = [its.until for its in each if its.until]
    if any(its.reason is WaitReason.AGENTS_BUSY for its in each):
        text = f"None of the {len(each)} agents that can do it is free."
        remedy = "Wait, or add an agent."
        return Absence(WaitReason.AGENTS_BUSY, text, remedy, "agents", None, details)
    text = f"None of the {len(each)} agents that can do it takes tasks now."
    remedy = "Look at what is said of each, or add an agent."
    return Absence(WaitReason.AGENTS_AWAY, text, remedy, "agents", min(ends, default=None), details)


def nobody(state: FleetState, task: Task) -> Absence:
    """Why no registered agent could ever take it."""
    if task.wanted_agent:
        return _not_the_one(state, task, task.wanted_agent)
    if task.traits.needs:
        needs = ", ".join(task.traits.needs)
        text = f"No agent can do all it needs: {needs}."
        return Absence(
            WaitReason.NOBODY_CAN, text, "Add an agent that can, or change its labels.", needs
        )
    text = "All agents have signed off." if state.agents else "No agent is registered yet."
    return Absence(WaitReason.NO_AGENTS, text, "Start a runner.", "agents")


def _not_the_one(state: FleetState, task: Task, name: AgentName) -> Absence:
    agent = state.agents.get(name)
    free = (
        f"`!fleet retry {task.ref}` lets others have it"
        if task.pinned
        else "take the label for it off the issue"
    )
    if agent is None:
        gone = "was forgotten" if name in state.forgotten else "never registered"
        text = f"It is for {name}, which {gone}."
        return Absence(WaitReason.AGENT_UNKNOWN, text, f"Start its runner, or {free}.", name)
    if agent.status is AgentStatus.DEREGISTERED:
        gone, back = "has signed off", "Start its runner"
        if agent.revoked:
            gone, back = "was revoked", "Enrol it again"
        text = f"It is for {name}, which {gone}."
        return Absence(WaitReason.AGENT_SIGNED_OFF, text, f"{back}, or {free}.", name)
    lacking = ", ".join(sorted(set(task.traits.needs) - set(agent.capabilities)))
    text = f"It is for {name}, which lacks {lacking}."
    remedy = f"Add that to its `capabilities`, or {free}."
    return Absence(WaitReason.AGENT_LACKS, text, remedy, name)
