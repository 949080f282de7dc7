"""Read models: how a value of the domain becomes a row of its table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from fleetbot.domain.model import Agent, FiledReceipt, Repo, Run, Task

_json = msgspec.json.Encoder(order="deterministic")


@dataclass(frozen=True, slots=True)
class View:
    """A table beside the journal. The first column is its key, `data` the whole value as JSON.

    Columns that are `fixed` never change for a key.
    """

    table: str
    columns: tuple[str, ...]
    row: Callable[[Any], tuple[object, ...]]
    fixed: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        return self.columns[0]


def _task(task: Task) -> tuple[object, ...]:
    return (
        task.id,
        task.repo,
        task.repo_id,
        task.issue,
        task.state.value,
        task.run,
        task.created_at,
        int(task.is_watched),
        int(task.round is not None),
        task.receipt,
        task.updated_at,
        _json.encode(task).decode(),
    )


def _verified(run: Run) -> int:
    """0 where it was not, 2 where the first receipt of the task's first run held, else 1."""
    if not run.ended_at or run.reason is not None:
        return 0
    return 1 if run.number > 1 or run.refutations else 2


def _run(run: Run) -> tuple[object, ...]:
    return (
        run.id,
        run.task,
        run.agent,
        run.assigned_at,
        run.ended_at,
        run.usage.input_tokens,
        run.usage.output_tokens,
        run.usage.cached_tokens,
        run.usage.cost_usd,
        _verified(run),
        _json.encode(run).decode(),
    )


def _receipt(filed: FiledReceipt) -> tuple[object, ...]:
    return (filed.receipt.id, filed.task, filed.run, filed.filed_at, _json.encode(filed).decode())


def _agent(agent: Agent) -> tuple[object, ...]:
    return (agent.name, int(agent.forgotten), _json.encode(agent).decode())


def _repo(repo: Repo) -> tuple[object, ...]:
    return (str(repo.id), repo.name, _json.encode(repo).decode())


TASKS = View(
    "tasks",
    (
        "id",
        "repo",
        "repo_id",
        "issue",
        "state",
        "run",
        "created_at",
        "watched",
        "in_round",
        "receipt",
        "updated_at",
        "data",
    ),
    _task,
    fixed=("issue", "created_at"),
)
RUNS = View(
    "runs",
    (
        "id",
        "task",
        "agent",
        "assigned_at",
        "ended_at",
        "input_tokens",
        "output_tokens",
        "cached_tokens",
        "cost_usd",
        "verified",
        "data",
    ),
    _run,
    fixed=("task", "agent", "assigned_at"),
)
RECEIPTS = View(
    "receipts",
    ("id", "task", "run", "filed_at", "data"),
    _receipt,
    fixed=("task", "run", "filed_at"),
)
AGENTS = View("agents", ("name", "forgotten", "data"), _agent)
REPOS = View("repos", ("id", "name", "data"), _repo)

VIEWS = {view.table: view for view in (TASKS, RUNS, RECEIPTS, AGENTS, REPOS)}
