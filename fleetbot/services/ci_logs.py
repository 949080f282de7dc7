"""The end of what a red job has logged, where Forgejo tells: from v16 on, of its own Actions."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from fleetbot.domain.ci import StatusFact
from fleetbot.forge.client import ForgeClient
from fleetbot.forge.errors import ForgeError

_PLACE = re.compile(r"/actions/runs/(?P<run>\d{1,18})/jobs/(?P<job>\d{1,9})(?:/|\Z)")
_LINES, _MOST = 40, 4_000
_END, _EDGE = 64_000, 2_000
"""So much of a log's end is looked at; what is cut at the edge of that may be part of a secret."""
_STAMP = re.compile(r"^\d{4}-\d\d-\d\dT[\d:.]+Z ?", re.MULTILINE)


class JobLog(NamedTuple):
    """The job of a red context, 0 where that is not known, and the end of what it wrote."""

    job: int
    lines: str


NO_LOG = JobLog(0, "")


async def job_log(
    client: ForgeClient, repo: str, head: str, status: StatusFact, mask: Callable[[str], str]
) -> JobLog:
    """`NO_LOG` where it is not to be had: then description and address have to do.

    `mask` takes secrets out before anything is cut, which could leave a part of one.
    """
    place = _PLACE.search(status.url)
    if place is None:
        return NO_LOG
    try:
        job = await _job(client, repo, head, int(place["run"]), int(place["job"]))
        log = await client.action_log(repo, job) if job else None
    except ForgeError:
        return NO_LOG
    lines = mask(_end_of(_STAMP.sub("", log or ""))).rstrip().splitlines()
    return JobLog(job, "\n".join(lines[-_LINES:])[-_MOST:])


def _end_of(log: str) -> str:
    """Enough for the last lines, however much of it is masked: secrets are looked for in it."""
    return log if len(log) <= _END else log[_EDGE - _END :]


async def _job(client: ForgeClient, repo: str, head: str, number: int, place: int) -> int:
    """The id of the job at `place` in the run that people know by `number`; 0: it is not known."""
    runs = await client.action_runs(repo, head)
    run = next((run for run in runs if run.index_in_repo == number), None)
    jobs = await client.action_jobs(repo, run.id) if run else None
    return jobs[place].id if jobs and place < len(jobs) else 0
