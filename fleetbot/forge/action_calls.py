"""Forgejo's own CI: runs of workflows, and what they wrote.

Runs are told since v12, jobs and their logs since v16. The development branch has a call that runs
a job again, and v15 has none; a version tells little of such a branch: the call is looked for.
"""

from __future__ import annotations

from fleetbot.forge.actions import ActionJob, ActionRun
from fleetbot.forge.errors import ForgeError, ForgeNotFound, NoSuchCall
from fleetbot.forge.models import Object
from fleetbot.forge.paths import path_of, repo_path
from fleetbot.forge.transport import PAGE_SIZE, Calls, Params

_MOST_PAGES = 20


class _Runs(Object, frozen=True):
    workflow_runs: tuple[ActionRun, ...] = ()
    total_count: int = 0


class ActionCalls(Calls):
    async def action_runs(self, repo: str, head_sha: str) -> tuple[ActionRun, ...]:
        """The runs for a commit, the newest first; none where the server cannot tell, or its
        Actions are off for the repository or for the account."""
        found: dict[int, ActionRun] = {}
        path = repo_path(repo) + "/actions/runs"
        for number in range(1, _MOST_PAGES + 1):
            params: Params = {"head_sha": head_sha, "page": number, "limit": PAGE_SIZE}
            try:
                page = await self._http.get(_Runs, path, params)
            except (ForgeNotFound, NoSuchCall):
                break
            found.update((run.id, run) for run in page.workflow_runs)
            if not page.workflow_runs or len(found) >= page.total_count:
                break
        return tuple(found.values())

    async def action_jobs(self, repo: str, run_id: int) -> tuple[ActionJob, ...] | None:
        """None where the server cannot tell (before v16) or does not know the run."""
        path = repo_path(repo) + path_of("/actions/runs/{}/jobs", run_id)
        try:
            return await self._http.get(tuple[ActionJob, ...], path)
        except (ForgeNotFound, NoSuchCall):
            return None

    async def can_rerun(self, repo: str, job_id: int) -> bool:
        """Whether the server has a call that runs a job again: it says that one cannot `GET` that
        where it has, and that there is nothing where it has not."""
        try:
            await self._http.send("GET", _rerun_path(repo, job_id))
        except ForgeError as error:
            if error.status in (404, 405):
                return error.status == 405
            raise
        return False

    async def rerun(self, repo: str, job_id: int) -> None:
        """Have a job run again that has ended. ``ForgeError`` 400 for one that has not."""
        await self._http.send("POST", _rerun_path(repo, job_id), json={})

    async def action_log(self, repo: str, job_id: int) -> str | None:
        """What the newest attempt of a job has written; None where the server cannot tell (before
        v16), or it never ran or was cleaned away. ``TooLarge`` beyond what is read at once."""
        path = repo_path(repo) + path_of("/actions/jobs/{}/logs", job_id)
        try:
            answer = await self._http.send("GET", path)
        except (ForgeNotFound, NoSuchCall):
            return None
        return answer.body.decode("utf-8", "replace")


def _rerun_path(repo: str, job_id: int) -> str:
    return repo_path(repo) + path_of("/actions/jobs/{}/rerun", job_id)
