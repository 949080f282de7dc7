"""A start with rows that cannot be read: the journal is the truth, and makes them again."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from msgspec.structs import replace

from fleetbot.domain.model import Run, RunState, Task, TaskId
from fleetbot.domain.state import FLEET_STREAM, FleetState, agent_stream, task_stream
from fleetbot.logs import log_of
from fleetbot.store.interface import Store, StoreUnavailable
from fleetbot.store.records import BadRow, Change, Snapshot

log = log_of("fleetbot.store")

_PAGE = 1000


async def healed(store: Store, snapshot: Snapshot) -> Snapshot:
    """The snapshot with its bad rows mended; what is left in `bad` is left out with its stream.

    Raises `StoreUnavailable`.
    """
    if not snapshot.bad:
        return snapshot
    whole, lost = FleetState(), []
    for stream, row in {row.stream: row for row in snapshot.bad}.items():
        if problem := await _fold(store, whole, stream):
            lost.append(replace(row, error=f"{row.error}; {problem}"))
        else:
            log.warning("%s: it was made again from its events", row)
    mended = Change(
        tasks=tuple(whole.tasks.values()),
        runs=tuple(whole.runs.values()),
        agents=tuple(whole.agents.values()),
        receipts=tuple(whole.receipts.values()),
        repos=tuple(whole.places.repos.values()),
    )
    await store.append(mended)
    found = _with(snapshot, mended, lost)
    for row in found.bad:
        log.error("%s: it is left out; restore a backup", row)
    return found


async def _fold(store: Store, whole: FleetState, stream: str) -> str | None:
    """Folds the stream into `whole`; what is wrong with it, if it cannot be done."""
    if stream == FLEET_STREAM:
        return "nothing else tells of it"
    own, after = FleetState(), 0
    try:
        while lines := await store.events(stream, after=after, limit=_PAGE):
            for line in lines:
                own.apply(line)
            after = lines[-1].seq
    except StoreUnavailable:
        raise
    except Exception as error:  # whatever a line makes go wrong is a finding about the stream
        return f"nor can its events: {type(error).__name__}: {error}"
    whole.tasks |= own.tasks
    whole.runs |= own.runs
    whole.agents |= own.agents | own.forgotten
    whole.receipts |= own.receipts
    whole.places.repos |= own.places.repos
    return None


def _with(snapshot: Snapshot, mended: Change, lost: list[BadRow]) -> Snapshot:
    """What is whole. A task that an agent is at whom nobody knows is left out with the agent."""
    agents = {agent.name: agent for agent in (*snapshot.agents, *mended.agents)}
    runs = {run.id: run for run in (*snapshot.runs, *mended.runs)}
    tasks = {task.id: task for task in (*snapshot.tasks, *mended.tasks)}
    left = [r for r in runs.values() if r.state is not RunState.ENDED and r.agent not in agents]
    gone = {row.stream for row in lost} | {task_stream(run.task) for run in left}
    refs: dict[str, list[str]] = defaultdict(list)
    for run in left:
        refs[agent_stream(run.agent)].append(_name(tasks, run))
    receipts = {filed.receipt.id: filed for filed in (*snapshot.receipts, *mended.receipts)}
    return replace(
        snapshot,
        tasks=tuple(t for t in tasks.values() if task_stream(t.id) not in gone),
        runs=tuple(r for r in runs.values() if task_stream(r.task) not in gone),
        receipts=tuple(r for r in receipts.values() if task_stream(r.task) not in gone),
        agents=tuple(agents.values()),
        repos=(*snapshot.repos, *mended.repos),
        bad=tuple(replace(row, tasks=tuple(refs[row.stream])) for row in lost),
    )


def _name(tasks: Mapping[TaskId, Task], run: Run) -> str:
    """Of the issue that the run is about; its task's id where that cannot be read either."""
    return tasks[run.task].ref if run.task in tasks else run.task
