"""What a command speaks of, or an error that says the way out."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from fleetbot.domain.errors import Conflict, Forbidden, NotFound, Superseded
from fleetbot.domain.model import (
    Agent,
    AgentName,
    AgentStatus,
    Repo,
    Run,
    RunId,
    RunState,
    Task,
    TaskId,
)
from fleetbot.domain.reasons import REASONS
from fleetbot.domain.state import FleetState
from fleetbot.domain.wording import STATE_WORDS

_NAMED = 20


def the_task(state: FleetState, task: TaskId) -> Task:
    try:
        return state.tasks[task]
    except KeyError:
        raise NotFound(f"There is no task {task}.", field="task") from None


def the_agent(state: FleetState, name: AgentName) -> Agent:
    try:
        return state.agents[name]
    except KeyError:
        raise NotFound(f"There is no agent {name}; {_agents(state, name)}", field="agent") from None


def _agents(state: FleetState, name: AgentName) -> str:
    """Whom it could have meant, or who there is."""
    known = sorted(state.agents)
    if near := difflib.get_close_matches(name, known, n=1, cutoff=0.7):
        return f"did you mean {near[0]}?"
    more = f" and {len(known) - _NAMED} more" if len(known) > _NAMED else ""
    return f"known: {', '.join(known[:_NAMED]) or 'none yet'}{more}."


def the_repo(state: FleetState, repo: int) -> Repo:
    try:
        return state.places.repos[repo]
    except KeyError:
        raise NotFound(f"There is no repository {repo}.", field="repo") from None


def able_agent(state: FleetState, name: AgentName, needs: Sequence[str]) -> Agent:
    """The agent, if it could take a task with these needs. Raises NotFound or Conflict."""
    agent = the_agent(state, name)
    if agent.status is AgentStatus.DEREGISTERED:
        raise Conflict(f"{name} has signed off: start its runner first.", field="agent")
    if lacking := sorted(set(needs) - set(agent.capabilities)):
        raise Conflict(f"{name} lacks {', '.join(lacking)}.", field="agent")
    return agent


def run_id_of(task: Task) -> RunId:
    assert task.run is not None  # an assigned or running task has a run
    return task.run


def the_run(state: FleetState, run_id: RunId) -> Run:
    try:
        return state.runs[run_id]
    except KeyError:
        raise NotFound(f"There is no run {run_id}.", field="run") from None


def own_run(state: FleetState, run_id: RunId, agent: AgentName) -> Run:
    """The run, if it is `agent`'s; it may be over. Raises NotFound or Forbidden."""
    run = the_run(state, run_id)
    if run.agent != agent:
        raise Forbidden("This run belongs to another agent.", field="run")
    return run


def current_run(state: FleetState, run_id: RunId, agent: AgentName) -> Run:
    """The run, if it is `agent`'s and still current. Raises NotFound, Forbidden or Superseded."""
    run = own_run(state, run_id, agent)
    task = state.tasks[run.task]
    if run.state is RunState.ENDED or task.run != run.id:
        raise Superseded(
            f"Run {run_id} is no longer current.", replaced_by=_replacement(state, task, run)
        )
    return run


def _replacement(state: FleetState, task: Task, run: Run) -> str:
    if task.run and task.run != run.id:
        return f"run {task.run} of {state.runs[task.run].agent}"
    why = f": {REASONS[run.reason].text}" if run.reason else ""
    return f"the task is {STATE_WORDS[task.state]}{why}"
