"""Heads of pull requests that are what was verified, brought up to date with its base.

People press *Update branch* on Forgejo, or put the branch on top of its base by hand. Who did it,
and how, proves nothing; what the commit has in it does: exactly the files that a clean merge of the
verified commit and the base gives. Nobody has written a line of that anew.
"""

from __future__ import annotations

from collections.abc import Sequence

from fleetbot.domain.ci import switches_off
from fleetbot.domain.commands import NoteUpdate
from fleetbot.domain.landing import verified_base
from fleetbot.domain.model import Task, TaskId, TaskState
from fleetbot.domain.pulls import PullState
from fleetbot.forge.client import ForgeClient
from fleetbot.forge.errors import ForgeError, ForgeUnavailable, TooLarge
from fleetbot.forge.git_models import Commit
from fleetbot.services.fleet import Context, Fleet
from fleetbot.services.merges import is_clean_merge

_MOST_COMMITS = 250
_MOST_FORKS = 4
_MOST_KNOWN = 1000
_GONE = (400, 404)  # a tree that is not there is the former, a commit the latter
_CONTEXT = Context(actor="followup", cause="update")


class Updates:
    def __init__(self, fleet: Fleet, client: ForgeClient) -> None:
        self._fleet = fleet
        self._client = client
        self._other_work: dict[TaskId, tuple[str, str]] = {}

    async def recognise(self, task_id: TaskId) -> None:
        """Have a head count as verified that was seen on a task's pull request, if it is no other
        work. Raises the client's errors."""
        task = self._fleet.state.tasks.get(task_id)
        if task is None or task.pull is None or not self._is_in_question(task):
            return
        was, seen = task.pull.head, task.pull.standing
        if self._other_work.get(task_id) == (was, seen.head):
            return
        repo = self._fleet.state.places.of(task).name
        if await is_update(self._client, repo, seen.base, was, seen.head):
            await self._fleet.commit(NoteUpdate(task_id, seen.head, was), _CONTEXT)
            return
        if len(self._other_work) >= _MOST_KNOWN:
            self._other_work.clear()
        self._other_work[task_id] = (was, seen.head)

    def _is_in_question(self, task: Task) -> bool:
        watch = task.pull
        if watch is None or watch.state is not PullState.OPEN:
            return False
        base = verified_base(self._fleet.state, task)
        is_moved = watch.standing.head not in ("", watch.head)
        return task.state is TaskState.COMPLETED and is_moved and watch.standing.base == base


async def is_update(client: ForgeClient, repo: str, base: str, was: str, head: str) -> bool:
    """Whether `head` is the work of `was` on a commit of the branch `base`, the same as before
    or a later one. Raises the client's errors."""
    try:
        return await _is_update(client, repo, base, was, head)
    except ForgeError as error:
        is_away = isinstance(error, ForgeUnavailable)
        if isinstance(error, TooLarge) or (error.status in _GONE and not is_away):
            return False
        raise


async def _is_update(client: ForgeClient, repo: str, base: str, was: str, head: str) -> bool:
    new = await client.compare(repo, base, head)
    if not 0 < new.total_commits <= _MOST_COMMITS:
        return False
    if any(switches_off(one.commit.message) for one in new.commits):
        return False
    old = await client.compare(repo, base, was)
    start, onto = await _fork(client, repo, old.commits), await _fork(client, repo, new.commits)
    if not start or not onto or not await _has(client, repo, onto, start):
        return False
    return await is_clean_merge(client, repo, start, was, onto, head)


async def _fork(client: ForgeClient, repo: str, commits: Sequence[Commit]) -> str:
    """The newest commit of the base that these stand on, which have what it has not; "" where
    there is none, or that cannot be told."""
    own = {one.sha for one in commits}
    under = {parent.sha for one in commits for parent in one.parents} - own
    if len(under) > _MOST_FORKS:
        return ""
    for one in under:
        if all([await _has(client, repo, one, other) for other in under]):
            return one
    return ""


async def _has(client: ForgeClient, repo: str, commit: str, other: str) -> bool:
    """Whether a commit has another one among those before it."""
    if commit == other:
        return True
    return not await client.lacks(repo, commit, other)
