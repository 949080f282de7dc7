"""What lines of the log say of a task or a run, for whoever knows one by its id."""

from __future__ import annotations

from collections.abc import Mapping

from fleetbot.domain.model import RunId, TaskId
from fleetbot.domain.state import FleetState


def of_task(state: FleetState, task: str) -> Mapping[str, str]:
    """Also of one that is not in memory, or not known: what was said of it, then."""
    known = state.tasks.get(TaskId(task))
    return (
        {"task": task, "repository": known.repo, "issue": str(known.issue)}
        if known
        else {"task": task}
    )


def of_run(state: FleetState, run: str) -> Mapping[str, str]:
    known = state.runs.get(RunId(run))
    return (
        {"run": run, "agent": known.agent, **of_task(state, known.task)} if known else {"run": run}
    )
