"""What is left of work that has landed: its branch goes, where the repository wants that, and what
its runs had kept on the forge."""

from __future__ import annotations

from msgspec.structs import replace

from fleetbot.domain.model import Repo, Task, TaskId
from fleetbot.forge.client import ForgeClient
from fleetbot.forge.errors import ForgeError, ForgeForbidden, ForgeUnavailable, UnexpectedAnswer
from fleetbot.forge.models import PullRequest, Repository
from fleetbot.services.fleet import Fleet

KEPT = "refs/fleet"


async def tidy(client: ForgeClient, task: Task) -> str:
    """Delete what a merged task has left; answers what was done. Raises the client's errors."""
    repo = await client.repo(task.repo)
    if task.repo_id and repo.id != task.repo_id:
        return "left alone: the repository is another by now"
    return f"{await _tidy_branch(client, repo, task)}; {await _tidy_kept(client, task)}"


async def _tidy_branch(client: ForgeClient, repo: Repository, task: Task) -> str:
    """If the repository's own setting says so. It stays where anything was pushed to it since,
    where another open pull request comes from it or goes to it, and where it is protected."""
    if task.pull is None:
        return "no pull request"
    if not repo.default_delete_branch_after_merge:
        return "left alone: the repository keeps branches"
    pull = await client.as_merged(task.repo, await client.pull(task.repo, task.pull.number))
    name, is_own = pull.head_branch, pull.head.repo_id == pull.base.repo_id
    if not (pull.merged and is_own and name not in ("", repo.default_branch)):
        return "left alone: it is not the work's own"
    branch = await client.branch(task.repo, name)
    if branch is None:
        return "gone already"
    if branch.protected or branch.commit is None or branch.commit.id != pull.head.sha:
        return "left alone: it is protected, or has more than was merged"
    if await _is_used(client, task.repo, pull):
        return "left alone: another pull request uses it"
    return await _delete(client, task.repo, name)


async def _tidy_kept(client: ForgeClient, task: Task) -> str:
    """What its runs have kept below `refs/fleet`."""
    refs = await client.refs(task.repo, f"{KEPT}/{task.id}")
    try:
        gone = await client.delete_refs(task.repo, {one.ref: one.object.sha for one in refs})
    except ForgeError as refused:
        if isinstance(refused, ForgeUnavailable) and not isinstance(refused, UnexpectedAnswer):
            raise
        return f"what was kept stays: {refused}"  # git's paths may be closed where the API is open
    return f"deleted {', '.join(gone)}" if gone else "nothing was kept"


async def tidy_all_kept(fleet: Fleet, client: ForgeClient, repo: Repo) -> None:
    """Delete what runs have kept of all that is merged of a repository: one that was at work then
    has kept what it had after that. Raises the client's errors."""
    tasks = {one.ref.split("/")[2] for one in await client.refs(repo.name, KEPT)}
    for task in [await fleet.task(TaskId(one)) for one in sorted(tasks)]:
        if task and task.is_merged and task.place == repo.id:
            await _tidy_kept(client, replace(task, repo=repo.name))


async def _is_used(client: ForgeClient, repo: str, merged: PullRequest) -> bool:
    name = merged.head_branch
    async for pull in client.iter_pulls(repo):
        is_from_it = pull.head.repo_id == merged.head.repo_id and pull.head_branch == name
        if is_from_it or pull.base.ref == name:
            return True
    return False


async def _delete(client: ForgeClient, repo: str, name: str) -> str:
    try:
        gone = await client.delete_branch(repo, name)
    except ForgeForbidden as refused:
        return f"left alone: {refused.message or 'Forgejo refuses it'}"
    return f"deleted {name}" if gone else "gone already"
