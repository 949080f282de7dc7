"""The agents, as people are told of them: pure. Times are epoch milliseconds."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence

from fleetbot.chat.words.notices import reason_text
from fleetbot.chat.words.rich import (
    Part,
    Rich,
    bold,
    bullets,
    bullets_that_fit,
    code,
    italic,
    one_line,
    prose,
    quote,
    rows,
    say,
)
from fleetbot.chat.words.wording import left_out, moment, named, until
from fleetbot.domain.available import absence
from fleetbot.domain.machine import MachineFacts
from fleetbot.domain.model import Agent, AgentStatus, Run, Task, ills
from fleetbot.domain.reasons import REASONS, ReasonCode
from fleetbot.domain.state import FleetState
from fleetbot.domain.waits import SIGNS, WaitReason
from fleetbot.domain.wording import count, span
from fleetbot.services.machines import described, remedies

Hears = Callable[[str], bool]  # whether a repository is this room's business

_AT_MOST = 15
_TITLE = 50
_NAMED = 5
_FOLDERS = re.compile(r"(?<!\S)/(?:[^\s/]+/)+(?=[^\s/])")
_WELL_AGAIN = " It takes tasks again by itself once its check passes."


def agents(state: FleetState, hears: Hears, now: int) -> Rich:
    here = registered(state)
    if not here:
        return say("No agent is registered yet: start a runner with ", code("fleetbot runner"))
    told, number = bullets_that_fit(
        rows(_line(state, agent, hears, now), *_particulars(state, agent, now)) for agent in here
    )
    return rows(say("🤖 ", bold(_headline(here))), told, left_out(len(here) - number, "agent"))


def at_length(state: FleetState, agent: Agent, hears: Hears, now: int) -> Rich:
    """One agent, with the machine that it works on."""
    seen = state.seen.get(agent.name)
    heard = say("Last heard ", moment(seen, now)) if seen else "Not heard since I started"
    return rows(
        _line(state, agent, hears, now),
        *_particulars(state, agent, now),
        *_machine(state.machines.get(agent.name), agent),
        heard,
    )


def _machine(facts: MachineFacts | None, agent: Agent) -> Iterator[Part]:
    if facts is None:
        yield f"🖥️ {agent.host or 'Its machine'}: versions, disk and sandbox not told by its runner"
        return
    lamp = "🖥️" if facts.has_room and not facts.is_open else "⚠️"
    yield one_line(f"{lamp} {agent.host or 'Its machine'}: {described(facts)}", 400)
    for remedy in remedies(facts, agent.health):
        yield say("👉 ", prose(remedy))


def in_short(state: FleetState, hears: Hears, now: int) -> list[Part | None]:
    """Who is at work or cannot be, each on a line; the others together."""
    here = registered(state)
    free = [agent for agent in here if _is_free(state, agent, now)]
    others = [agent for agent in here if agent not in free]
    others.sort(key=lambda agent: not state.runs_of_agent(agent.name))
    told = [_line(state, agent, hears, now) for agent in others[:_AT_MOST]]
    return [
        say("🤖 ", bold(_headline(here))),
        bullets([*told, *filter(None, [_free(free)])]),
        _more(len(others) - _AT_MOST),
    ]


def _free(free: Sequence[Agent]) -> Rich | None:
    if not free:
        return None
    more = f" and {len(free) - _NAMED} more" if len(free) > _NAMED else ""
    names = bold(", ".join(agent.name for agent in free[:_NAMED]))
    return say("🟢 ", names, more, " is free" if len(free) == 1 else " are free")


def _more(number: int) -> Rich | None:
    return (
        say(f"… and {count(number, 'agent')} more: ", code("!fleet agents")) if number > 0 else None
    )


def _headline(here: Sequence[Agent]) -> str:
    if not here:
        return "No agents yet"
    online = sum(agent.status is AgentStatus.ONLINE for agent in here)
    return f"{online} of {count(len(here), 'agent')} online"


def registered(state: FleetState) -> list[Agent]:
    """Those that are online first, then by name; agents that have signed off are left out."""
    here = [a for a in state.agents.values() if a.status is not AgentStatus.DEREGISTERED]
    return sorted(here, key=lambda agent: (agent.status is not AgentStatus.ONLINE, agent.name))


def _is_free(state: FleetState, agent: Agent, now: int) -> bool:
    return not state.runs_of_agent(agent.name) and absence(state, agent, now) is None


def _line(state: FleetState, agent: Agent, hears: Hears, now: int) -> Rich:
    """Where it is, and what it is at and for how long."""
    runs = state.runs_of_agent(agent.name)
    parts: list[Part] = [
        f"{_lamp(state, agent, now)} ",
        bold(agent.name),
        _standing(state, agent, now),
    ]
    if not runs and not parts[-1]:
        parts.append(" is free")
    if agent.max_concurrency > 1 and runs:
        parts.append(f" ({state.at_work(agent.name)} of {agent.max_concurrency})")
    for place, run in enumerate(runs):
        parts += ["; " if place else ": ", _at_work(state.tasks[run.task], run, hears, now)]
    return say(*parts)


def _standing(state: FleetState, agent: Agent, now: int) -> Part:
    """Why it takes nothing; empty where it does, or would if it were not at work."""
    its = absence(state, agent, now)
    match its.reason if its else None:
        case None | WaitReason.AGENTS_BUSY:
            return ""
        case WaitReason.AGENT_OFFLINE:
            return " is offline"
        case WaitReason.AGENT_UNWELL:
            because = f" is unwell and takes nothing new: {reason_text(agent.unwell)}, found "
            return say(because, moment(agent.unwell_since, now))
        case WaitReason.AGENT_RESTS:
            why = reason_text(agent.parked_for or ReasonCode.USAGE_LIMIT)
            return f" rests: {why}; again {until(agent.parked_until, now)}"
        case WaitReason.AGENT_DRAINED:
            return " is drained and takes nothing new"
        case _:
            assert its is not None
            return f": {its.text}"


_LAMPS = {
    WaitReason.AGENT_OFFLINE: "🔌",
    WaitReason.AGENT_UNWELL: "🤒",
    WaitReason.AGENTS_BUSY: "⚙️",
}


def _lamp(state: FleetState, agent: Agent, now: int) -> str:
    its = absence(state, agent, now)
    if its is None:
        if agent.health:
            return "🤒"
        return "⚙️" if state.runs_of_agent(agent.name) else "🟢"
    return _LAMPS.get(its.reason, "💤")


def _at_work(task: Task, run: Run, hears: Hears, now: int) -> Rich:
    since = span(now - (run.started_at or run.assigned_at))
    if not hears(task.repo):
        return say(italic("a task of another room"), f", {since}")
    checked = ", being checked" if run.receipt else ""
    flagged = f", {task.stuck.reason}" if task.stuck and task.stuck.reason in SIGNS else ""
    return say(named(task, _TITLE), f", {since}{checked}{flagged}")


def _particulars(state: FleetState, agent: Agent, now: int) -> Iterator[Part]:
    parts = [_FOLDERS.sub("", agent.program) or agent.adapter]
    if agent.host:
        parts.append(f"on {agent.host}")
    if agent.account:
        parts.append(f"account {agent.account}")
    if agent.capabilities:
        parts.append("can " + ", ".join(agent.capabilities))
    yield italic(one_line(" · ".join(parts), 300))
    for finding, remedy in ills(agent):
        yield say("⚠️ ", one_line(finding, 150))
        if remedy:
            yield say("👉 ", one_line(remedy, 200))
    yield from _way_out(state, agent, now)


def _way_out(state: FleetState, agent: Agent, now: int) -> Iterator[Part]:
    """What its last run said of it, and what ends it."""
    its = absence(state, agent, now)
    if its is None or its.reason is WaitReason.AGENTS_BUSY:
        return
    if agent.unwell:
        if agent.unwell_detail and not agent.health:
            yield quote(agent.unwell_detail)
        yield say("👉 ", prose(REASONS[agent.unwell].advice), _WELL_AGAIN)
    elif its.until is None:
        yield say("👉 ", prose(its.remedy))
