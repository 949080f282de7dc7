"""The branch of work that has landed: it goes, where the repository wants that."""

from __future__ import annotations

from fleetbot.domain.model import Task
from fleetbot.forge.client import ForgeClient
from fleetbot.forge.errors import ForgeForbidden
from fleetbot.forge.models import PullRequest


async def tidy_branch(client: ForgeClient, task: Task) -> str:
    """Delete the branch of a task's merged pull request, if the repository's own setting says so.

    It stays where anything was pushed to it since, where another open pull request comes from it or
    goes to it, and where it is protected. Answers what was done. Raises the client's errors.
    """
    if task.pull is None:
        return "no pull request"
    repo = await client.repo(task.repo)
    if task.repo_id and repo.id != task.repo_id:
        return "left alone: the repository is another by now"
    if not repo.default_delete_branch_after_merge:
        return "left alone: the repository keeps branches"
    pull = await client.pull(task.repo, task.pull.number)
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
