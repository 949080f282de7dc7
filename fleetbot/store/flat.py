"""Tasks, runs and receipts as plain rows: one JSON object a line, for whoever counts.

Times are epoch milliseconds; what is not known, or has not happened, is null. A field keeps its
name and meaning; new ones may come.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from typing import Any, TypeVar

import msgspec

from fleetbot.domain.model import FiledReceipt, Repo, Run, Task
from fleetbot.domain.state import repo_stream
from fleetbot.store.auditable import Auditable
from fleetbot.store.scope import of_repos
from fleetbot.store.snapshot import decode_receipt, decode_repo, decode_run, decode_task

T = TypeVar("T")

_PAGE = 1000


class NoSuchRepository(Exception):
    """The text names those that there are."""


class Flat(msgspec.Struct, frozen=True, kw_only=True):
    """Base of the rows."""


class TaskRow(Flat, frozen=True):
    """`cost_usd` and tokens: of all its runs so far."""

    id: str
    repo: str
    repo_id: int | None
    issue: int | None
    url: str
    title: str
    kind: str
    priority: str
    author: str
    state: str
    reason: str | None
    created_at: int
    updated_at: int
    runs: int
    attempts: int
    pull_request: int | None
    pull_state: str | None
    merged_at: int | None
    input_tokens: int
    output_tokens: int
    cached_tokens: int
    cost_usd: float | None


class RunRow(Flat, frozen=True):
    """`verified`: whether its receipt held. `number`: its place among the task's runs, from 1."""

    id: str
    task: str
    repo: str
    issue: int | None
    agent: str
    number: int
    state: str
    reason: str | None
    verified: bool
    refutations: int
    assigned_at: int
    started_at: int | None
    ended_at: int | None
    receipt: str | None
    input_tokens: int
    output_tokens: int
    cached_tokens: int
    cost_usd: float | None


class ReceiptRow(Flat, frozen=True):
    """`files`: how many the agent has named. `reasons`: why it was refuted."""

    id: str
    task: str
    run: str
    repo: str
    issue: int | None
    filed_at: int
    verdict: str
    reasons: tuple[str, ...]
    pull_request: int
    branch: str
    head: str
    files: int


Repos = Collection[Repo] | None


async def repos_called(source: Auditable, name: str) -> Collection[Repo]:
    """Those that are, or were, called so. Raises `NoSuchRepository`."""
    all_ = [
        decode_repo(row[0]) for row in await source.rows("SELECT data FROM repos ORDER BY name")
    ]
    if found := [repo for repo in all_ if name.lower() in repo.names]:
        return found
    known = ", ".join(repo.name for repo in all_) or "none"
    raise NoSuchRepository(f"the fleet knows no repository {name}; it knows: {known}")


async def streams_of(source: Auditable, repos: Repos) -> frozenset[str] | None:
    """The repositories' own, and those of their tasks; None where it is about all."""
    if repos is None:
        return None
    query, values = _of("SELECT tasks.id FROM tasks", "tasks.updated_at", 0, repos)
    own = [repo_stream(repo.id) for repo in repos]
    return frozenset(
        [*own, *[f"task:{id_}" async for (id_,) in _pages(source, query, "tasks.id", values)]]
    )


async def tasks(source: Auditable, since: int, repos: Repos) -> AsyncIterator[TaskRow]:
    """To which something has happened since."""
    query, values = _of("SELECT tasks.id, tasks.data FROM tasks", "tasks.updated_at", since, repos)
    async for _, data in _pages(source, query, "tasks.id", values):
        yield task_row(decode_task(data))


async def runs(source: Auditable, since: int, repos: Repos) -> AsyncIterator[RunRow]:
    """That were given since."""
    rows = "SELECT runs.id, runs.data, tasks.data FROM runs JOIN tasks ON tasks.id = runs.task"
    query, values = _of(rows, "runs.assigned_at", since, repos)
    async for _, data, task in _pages(source, query, "runs.id", values):
        yield run_row(decode_run(data), decode_task(task))


async def receipts(source: Auditable, since: int, repos: Repos) -> AsyncIterator[ReceiptRow]:
    """That were filed since."""
    rows = """
        SELECT receipts.id, receipts.data, tasks.data FROM receipts
        JOIN tasks ON tasks.id = receipts.task
    """
    query, values = _of(rows, "receipts.filed_at", since, repos)
    async for _, data, task in _pages(source, query, "receipts.id", values):
        yield receipt_row(decode_receipt(data), decode_task(task))


def _of(rows: str, at: str, since: int, repos: Repos) -> tuple[str, list[object]]:
    query, values = f"{rows} WHERE {at} >= ?", list[object]([since])
    if repos is not None:
        here, names = of_repos(repos)
        query, values = f"{query} AND {here}", [*values, *names]
    return query, values


async def _pages(
    source: Auditable, query: str, key: str, values: list[object]
) -> AsyncIterator[tuple[Any, ...]]:
    after = ""
    paged = f"{query} AND {key} > ? ORDER BY {key} LIMIT ?"
    while page := await source.rows(paged, *values, after, _PAGE):
        for row in page:
            yield row
        after = page[-1][0]


def task_row(task: Task) -> TaskRow:
    pull, spent = task.pull, task.spent
    return TaskRow(
        id=task.id,
        repo=task.repo,
        repo_id=task.repo_id or None,
        issue=task.issue or None,
        url=task.url,
        title=task.traits.title,
        kind=task.traits.kind,
        priority=task.traits.priority.name.lower(),
        author=task.author,
        state=task.state.value,
        reason=task.reason.value if task.reason else None,
        created_at=task.created_at,
        updated_at=task.updated_at,
        runs=task.runs,
        attempts=task.attempt,
        pull_request=pull.number if pull else None,
        pull_state=pull.state.value if pull else None,
        merged_at=(pull.merged_at or None) if pull else None,
        input_tokens=spent.input_tokens,
        output_tokens=spent.output_tokens,
        cached_tokens=spent.cached_tokens,
        cost_usd=spent.cost_usd,
    )


def run_row(run: Run, task: Task) -> RunRow:
    return RunRow(
        id=run.id,
        task=run.task,
        repo=task.repo,
        issue=task.issue or None,
        agent=run.agent,
        number=run.number,
        state=run.state.value,
        reason=run.reason.value if run.reason else None,
        verified=bool(run.ended_at) and run.reason is None,
        refutations=run.refutations,
        assigned_at=run.assigned_at,
        started_at=run.started_at or None,
        ended_at=run.ended_at or None,
        receipt=run.receipt,
        input_tokens=run.usage.input_tokens,
        output_tokens=run.usage.output_tokens,
        cached_tokens=run.usage.cached_tokens,
        cost_usd=run.usage.cost_usd,
    )


def receipt_row(filed: FiledReceipt, task: Task) -> ReceiptRow:
    its = filed.receipt
    return ReceiptRow(
        id=its.id,
        task=filed.task,
        run=filed.run,
        repo=task.repo,
        issue=task.issue or None,
        filed_at=filed.filed_at,
        verdict=filed.verdict.value,
        reasons=filed.reasons,
        pull_request=its.pull_request,
        branch=its.branch,
        head=its.head,
        files=len(its.files),
    )
