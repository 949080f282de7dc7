"""What the fleet knows, as answers to commands: pure. Times are epoch milliseconds."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

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
from fleetbot.chat.words.why import resting, resting_for, unwell_since, why
from fleetbot.chat.words.wording import (
    EMOJI,
    STATE_WORDS,
    ago,
    duration,
    left_out,
    named,
    pull_link,
    until,
)
from fleetbot.domain.model import (
    OPEN_STATES,
    Agent,
    AgentStatus,
    FiledReceipt,
    Policy,
    Priority,
    Run,
    Task,
    TaskState,
    Verdict,
)
from fleetbot.domain.reasons import REASONS
from fleetbot.domain.state import FleetState
from fleetbot.domain.usage import add_usage
from fleetbot.domain.waits import SIGNS
from fleetbot.domain.wording import count, span
from fleetbot.services.comments import usage_text

Hears = Callable[[str], bool]  # whether a repository is this room's business

AT_MOST = 15
_WELL_AGAIN = " It takes tasks again by itself once its check passes."
FOR_A_PERSON = (TaskState.FAILED, TaskState.AGENT_LOST)


# the fleet


def status(state: FleetState, hears: Hears, now: int, outside: Sequence[Rich] = ()) -> Rich:
    """At a glance: agents, counts, what waits for a person, the oldest waiting task; and `outside`:
    what is wrong with Forgejo."""
    tasks = [t for t in state.tasks.values() if t.state in OPEN_STATES and hears(t.repo)]
    counts = Counter(task.state for task in tasks)
    stuck = heapq.nsmallest(5, _in(tasks, FOR_A_PERSON), key=lambda task: task.updated_at)
    waiting = _in(tasks, [TaskState.CREATED])
    oldest = min(waiting, key=lambda task: task.created_at, default=None)
    agents = _registered(state)
    return rows(
        say("🚦 ", bold(_headline(agents, counts))),
        *outside,
        resting(state, now),
        bullets(_agent_line(state, agent, hears, now) for agent in agents[:AT_MOST]),
        _more(len(agents) - AT_MOST, "agent", "!fleet agents"),
        _for_a_person(stuck, sum(counts[s] for s in FOR_A_PERSON)),
        say("⏳ Waiting longest: ", named(oldest), f", {span(now - oldest.created_at)}")
        if oldest
        else None,
    )


def _in(tasks: Iterable[Task], states: Sequence[TaskState]) -> list[Task]:
    return [task for task in tasks if task.state in states]


def _headline(agents: Sequence[Agent], counts: Mapping[TaskState, int]) -> str:
    online = sum(agent.status is AgentStatus.ONLINE for agent in agents)
    parts = [f"{online} of {count(len(agents), 'agent')} online" if agents else "No agents yet"]
    for state in (TaskState.RUNNING, TaskState.ASSIGNED, TaskState.CREATED):
        if counts.get(state):
            parts.append(f"{counts[state]} {STATE_WORDS[state]}")
    if not counts:
        parts.append("nothing to do")
    return " · ".join(parts)


def _for_a_person(stuck: Sequence[Task], total: int) -> Rich | None:
    if not stuck:
        return None
    items = [say(f"{EMOJI[t.state]} ", named(t), ": ", reason_text(t.reason)) for t in stuck]
    return rows(
        say("🙋 ", bold(f"Waiting for a person: {total}")),
        bullets(items),
        _more(total - len(stuck), "task", "!fleet tasks failed lost"),
    )


def _more(number: int, noun: str, command: str) -> Rich | None:
    return say(f"… and {count(number, noun)} more: ", code(command)) if number > 0 else None


# agents


def agents(state: FleetState, hears: Hears, now: int) -> Rich:
    registered = _registered(state)
    if not registered:
        return say("No agent is registered yet: start a runner with ", code("fleetbot runner"))
    told, number = bullets_that_fit(
        rows(_agent_line(state, agent, hears, now), _particulars(agent)) for agent in registered
    )
    return rows(
        say("🤖 ", bold(count(len(registered), "agent"))),
        told,
        left_out(len(registered) - number, "agent"),
    )


def _registered(state: FleetState) -> list[Agent]:
    """Those that are online first, then by name; agents that have signed off are left out."""
    here = [a for a in state.agents.values() if a.status is not AgentStatus.DEREGISTERED]
    return sorted(here, key=lambda agent: (agent.status is not AgentStatus.ONLINE, agent.name))


def _agent_line(state: FleetState, agent: Agent, hears: Hears, now: int) -> Rich:
    runs = state.runs_of_agent(agent.name)
    parts: list[Part] = [f"{_lamp(agent, now)} ", bold(agent.name)]
    if agent.status is not AgentStatus.ONLINE:
        parts.append(" is offline")
    elif agent.unwell:
        parts.append(f" is unwell {unwell_since(agent, now)} and takes nothing new")
    elif agent.parked_until > now:
        parts.append(f" rests: {resting_for(agent)}; again {until(agent.parked_until, now)}")
    elif agent.draining:
        parts.append(" is drained and takes nothing new")
    elif not runs:
        parts.append(" is free")
    if agent.max_concurrency > 1 and runs:
        parts.append(f" ({state.at_work(agent.name)} of {agent.max_concurrency})")
    for place, run in enumerate(runs):
        parts += ["; " if place else ": ", _at_work(state.tasks[run.task], run, hears, now)]
    return say(*parts)


def _lamp(agent: Agent, now: int) -> str:
    if agent.status is not AgentStatus.ONLINE:
        return "🔌"
    if agent.unwell or agent.health:
        return "🤒"
    return "💤" if agent.parked_until > now or agent.draining else "🟢"


def _at_work(task: Task, run: Run, hears: Hears, now: int) -> Rich:
    since = span(now - (run.started_at or run.assigned_at))
    if not hears(task.repo):
        return say(italic("a task of another room"), f", {since}")
    checked = ", being checked" if run.receipt else ""
    flagged = f", {task.stuck.reason}" if task.stuck and task.stuck.reason in SIGNS else ""
    return say(named(task), f", {since}{checked}{flagged}")


def _particulars(agent: Agent) -> Rich:
    parts = [agent.program or agent.adapter]
    if agent.host:
        parts.append(f"on {agent.host}")
    if agent.capabilities:
        parts.append("can " + ", ".join(agent.capabilities))
    findings = [one_line(finding, 150) for finding in agent.health]
    return rows(
        italic(" · ".join(parts)),
        *(say("⚠️ ", finding) for finding in findings),
        *_unwell(agent),
    )


def _unwell(agent: Agent) -> Iterator[Rich]:
    """What its last run said of it, and what ends it."""
    if agent.unwell:
        if agent.unwell_detail and not agent.health:
            yield quote(agent.unwell_detail)
        yield say("🙋 ", prose(REASONS[agent.unwell].advice), _WELL_AGAIN)


# tasks


def tasks(found: Sequence[Task], what: str, state: FleetState, now: int) -> Rich:
    """`found` may have one more than is shown, to tell that there are more."""
    if not found:
        return say(f"No {what}.")
    shown = found[:AT_MOST]
    number = f"the newest {AT_MOST}" if len(found) > AT_MOST else str(len(found))
    return rows(
        say("📋 ", bold(f"{what}: {number}".capitalize())),
        bullets(_task_line(task, state, now) for task in shown),
    )


def _task_line(task: Task, state: FleetState, now: int) -> Rich:
    run = state.run_of(task)
    agent: Part = say(", ", bold(run.agent)) if run else ""
    age = ago(task.updated_at, now)
    return say(f"{EMOJI[task.state]} ", named(task), agent, f", {age}")


def task(
    its: Task,
    runs: Sequence[Run],
    receipt: FiledReceipt | None,
    state: FleetState,
    now: int,
    policy: Policy,
) -> Rich:
    """One task: where it is, who had it, what came of it."""
    return rows(
        say(f"{EMOJI[its.state]} ", named(its)),
        say(bold(STATE_WORDS[its.state]), f" · {_traits(its)} · opened by {its.author}"),
        _claim(its, receipt) if receipt else None,
        _spent(its, state),
        *why(state, its, now, policy),
        bullets(_run_line(run, now) for run in runs[-AT_MOST:]),
    )


def _traits(its: Task) -> str:
    parts = [its.traits.kind]
    if its.traits.priority is not Priority.NORMAL:
        parts.append(f"{its.traits.priority.name.lower()} priority")
    if its.traits.needs:
        parts.append(f"needs {', '.join(its.traits.needs)}")
    if its.wanted_agent:
        parts.append(f"for {its.wanted_agent}")
    return ", ".join(parts)


def _spent(its: Task, state: FleetState) -> str | None:
    live = state.live_run(its)
    spent = add_usage(its.spent, state.usage_of(live)) if live else its.spent
    return f"🧮 {usage}" if (usage := usage_text(spent)) else None


def _claim(its: Task, filed: FiledReceipt) -> Rich:
    verdict = {Verdict.VERIFIED: "verified", Verdict.REFUTED: "refuted"}.get(filed.verdict)
    pull = pull_link(its, filed.receipt.pull_request)
    return rows(say("🔗 ", pull, f", {verdict or 'being checked'}"), quote(filed.receipt.summary))


def _run_line(run: Run, now: int) -> Rich:
    what = reason_text(run.reason) or ("verified" if run.ended_at else "at work")
    if run.ended_at:
        took = duration(run)
        when = f"{'after ' + took + ', ' if took else ''}{ago(run.ended_at, now)}"
    else:
        when = f"since {span(now - (run.started_at or run.assigned_at))}"
    return say(f"attempt {run.attempt}, ", bold(run.agent), f": {what}, {when}")


def moved(emoji: str, its: Task, says: str, *further: Part) -> Rich:
    """A command has been obeyed."""
    return rows(say(f"{emoji} ", named(its)), says, *further)
