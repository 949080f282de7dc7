"""The end of what a red job has logged, where Forgejo tells: from v16 on, of its own Actions."""

from __future__ import annotations

import re
from collections.abc import Callable

from fleetbot.domain.ci import StatusFact
from fleetbot.forge.client import ForgeClient
from fleetbot.forge.errors import ForgeError

_PLACE = re.compile(r"/actions/runs/(?P<run>\d{1,18})/jobs/(?P<job>\d{1,9})(?:/|\Z)")
_LINES, _MOST = 40, 4_000
_STAMP = re.compile(r"^\d{4}-\d\d-\d\dT[\d:.]+Z ?", re.MULTILINE)


async def last_lines(
    client: ForgeClient, repo: str, head: str, status: StatusFact, mask: Callable[[str], str]
) -> str:
    """ "" where it is not to be had: then description and address have to do.

    `mask` takes secrets out before anything is cut, which could leave a part of one.
    """
    place = _PLACE.search(status.url)
    if place is None:
        return ""
    try:
        log = await _log(client, repo, head, int(place["run"]), int(place["job"]))
    except ForgeError:
        return ""
    lines = mask(_STAMP.sub("", log)).rstrip().splitlines()
    return "\n".join(lines[-_LINES:])[-_MOST:]


async def _log(client: ForgeClient, repo: str, head: str, number: int, place: int) -> str:
    """Of the run that people know by `number`, the job at `place` in it."""
    runs = await client.action_runs(repo, head)
    run = next((run for run in runs if run.index_in_repo == number), None)
    jobs = await client.action_jobs(repo, run.id) if run else None
    if not jobs or place >= len(jobs):
        return ""
    return await client.action_log(repo, jobs[place].id) or ""
