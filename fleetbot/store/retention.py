"""What is over is let go of after a while: logs of runs, and what was remembered of the outside."""

from __future__ import annotations

from collections.abc import Sequence

from fleetbot.domain.model import OPEN_STATES
from fleetbot.store.database import Database
from fleetbot.store.scope import as_list

# Walks from run to run, so that its cost does not grow with the length of the logs.
OLD_LOGS = """
WITH RECURSIVE kept (run) AS (
    SELECT min(run) FROM log_lines
    UNION ALL
    SELECT (SELECT min(l.run) FROM log_lines l WHERE l.run > kept.run)
    FROM kept WHERE kept.run IS NOT NULL
)
SELECT kept.run FROM kept JOIN runs ON runs.id = kept.run
WHERE runs.ended_at > 0 AND runs.ended_at < ? LIMIT ?
"""

_LAST_PART = "replace(key, rtrim(key, replace(key, ':', '')), '')"  # rooms have colons, ids none
_OPEN = ", ".join(f"'{state}'" for state in sorted(OPEN_STATES))
_FORGOTTEN = "SELECT 1 FROM agents WHERE name = {id} AND forgotten = 1"
_RUN_ENDED = "SELECT 1 FROM runs WHERE id = {id} AND ended_at > 0 AND ended_at < :before"
_TASK_ENDED = f"""
    SELECT 1 FROM tasks WHERE id = {{id}} AND state NOT IN ({_OPEN})
    AND updated_at < :before
"""
_OVER = {
    "log": _RUN_ENDED,
    "said": _RUN_ENDED,
    "asked": _RUN_ENDED,
    "run": _RUN_ENDED,
    "thread-run": _RUN_ENDED.replace("{id}", "anchors.value"),
    "forgejo:comment": _TASK_ENDED,
    "task-thread": _TASK_ENDED,
    "thread": _FORGOTTEN,
    "logs": f"{_FORGOTTEN} AND anchors.value = '[]'",  # else there is something left to write
    "told": _TASK_ENDED,
    "card": _TASK_ENDED,
    "quiet": _TASK_ENDED,
    "stuck": "SELECT 1 WHERE anchors.value = ''",
}
"""By the first words of an anchor's key: whether that is over whose id is its last part."""


def delete_logs(database: Database, runs: Sequence[str]) -> int:
    """How many lines that were."""
    of_runs = "DELETE FROM log_lines WHERE run IN (SELECT value FROM json_each(?))"
    return database.execute(of_runs, (as_list(runs),)).rowcount


def prune_anchors(database: Database, before: int) -> int:
    """Deletes what was remembered of runs and tasks that ended before, of forgotten agents, and of
    waits that are over.

    Nothing is lost by it: a comment is found by its marker, a thread begins anew.
    """
    pruned = 0
    for kind, over in _OVER.items():
        statement = (
            f"DELETE FROM anchors WHERE key > '{kind}:' AND key < '{kind};'"
            f" AND EXISTS ({over.format(id=_LAST_PART)})"
        )
        pruned += database.execute(statement, {"before": before}).rowcount
    return pruned


def prune_posted(database: Database, before: int) -> None:
    """Forgets what messages of before were about, but for the cards of tasks that are open."""
    database.execute(
        f"DELETE FROM posted WHERE at < ? AND NOT EXISTS"
        f" (SELECT 1 FROM tasks WHERE id = subject AND state IN ({_OPEN}))",
        (before,),
    )
