"""Runs of workflows, as somebody else's CI has carried them out; jobs and logs as from v16 on, and
jobs that are run again as on the branch after that."""

from __future__ import annotations

from aiohttp import web

from fleetbot_devkit.forge import shapes
from fleetbot_devkit.forge.accounts import Access
from fleetbot_devkit.forge.api import NOT_FOUND, ApiError, Call, Route, answer
from fleetbot_devkit.forge.runs import ENDED, Job, Run

_STATUSES = frozenset(
    ["unknown", "waiting", "running", "success", "failure", "cancelled", "skipped", "blocked"]
)


async def list_runs(call: Call) -> web.Response:
    """Unknown words of the query are no filter; a status that there is not is refused."""
    _enabled(call)
    if call.query("status") and call.query("status") not in _STATUSES:
        raise ApiError(400, f"unknown status: {call.query('status')}")
    rows = [run for run in reversed(call.repo.runs) if _fits(call, run)]
    page, _ = call.page(rows, always=True)
    shaped = [shapes.run(call.world, call.repo, run) for run in page]
    return answer({"workflow_runs": shaped, "total_count": len(rows)})


def _fits(call: Call, run: Run) -> bool:
    values = {
        "status": run.status,
        "event": run.event,
        "head_sha": run.sha,
        "ref": run.ref,
        "workflow_id": run.workflow,
    }
    return all(call.query(name) in ("", value) for name, value in values.items())


async def get_run(call: Call) -> web.Response:
    return answer(shapes.run(call.world, call.repo, _run(call)))


async def list_jobs(call: Call) -> web.Response:
    """A bare list, in one piece."""
    _new_enough(call)
    run = _run(call)
    return answer([_job(run, job) for job in run.jobs])


async def get_log(call: Call) -> web.Response:
    _new_enough(call)
    wanted = call.number("job")
    jobs = [job for run in call.repo.runs for job in run.jobs]
    job = next((one for one in jobs if one.id == wanted), None)
    if job is None or job.log is None:
        raise ApiError(404, NOT_FOUND)
    return web.Response(text=job.log)


async def no_get(call: Call) -> web.Response:
    """Forgejo's router knows the path, where there is the call, and not the method."""
    _reruns(call)
    raise ApiError(405, "")


async def rerun_job(call: Call) -> web.Response:
    """Only of one that has ended: it waits for a runner then, and its context with it."""
    _reruns(call)
    run, job = _run_and_job(call)
    if job.status not in ENDED:
        raise ApiError(400, "job is not done")
    run.status = job.status = "waiting"
    job.attempt += 1
    call.world.on_rerun(call.repo, run, job)
    return web.Response(status=204)


def _reruns(call: Call) -> None:
    _new_enough(call)
    if not call.world.reruns_jobs:
        raise ApiError(404, NOT_FOUND)


def _run_and_job(call: Call) -> tuple[Run, Job]:
    wanted = call.number("job")
    for run in call.repo.runs:
        for job in run.jobs:
            if job.id == wanted:
                return run, job
    raise ApiError(404, NOT_FOUND)


def _job(run: Run, job: Job) -> dict[str, object]:
    return {
        "id": job.id,
        "run_id": run.id,
        "attempt": job.attempt,
        "handle": "",
        "name": job.name,
        "needs": [],
        "runs_on": ["docker"],
        "task_id": 0,
        "status": job.status,
    }


def _run(call: Call) -> Run:
    _enabled(call)
    wanted = call.number("run")
    run = next((one for one in call.repo.runs if one.id == wanted), None)
    if run is None:
        raise ApiError(404, NOT_FOUND)
    return run


def _enabled(call: Call) -> None:
    if not call.repo.has_actions:
        raise ApiError(404, NOT_FOUND)


def _new_enough(call: Call) -> None:
    _enabled(call)
    if not call.world.tells_of_jobs:
        raise web.HTTPNotFound(text="404 page not found\n")  # there is no such call


_A = "/repos/{owner}/{repo}/actions"
ROUTES = (
    Route("GET", f"{_A}/runs", list_runs, Access.READ),
    Route("GET", f"{_A}/runs/{{run:\\d+}}", get_run, Access.READ),
    Route("GET", f"{_A}/runs/{{run:\\d+}}/jobs", list_jobs, Access.READ),
    Route("GET", f"{_A}/jobs/{{job:\\d+}}/logs", get_log, Access.READ),
    Route("GET", f"{_A}/jobs/{{job:\\d+}}/rerun", no_get, Access.READ),
    Route("POST", f"{_A}/jobs/{{job:\\d+}}/rerun", rerun_job, Access.WRITE),
)
