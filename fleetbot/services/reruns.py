"""Red jobs that may pass if they are run again: which they are, and having that done once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fleetbot.domain import ci
from fleetbot.domain.model import Task, TaskState
from fleetbot.domain.pulls import PullState, Watch
from fleetbot.domain.reruns import Rerun, names_any
from fleetbot.forge.client import ForgeClient
from fleetbot.forge.errors import ForgeError, ForgeUnavailable, TooLarge, Unauthorized
from fleetbot.forge.models import PullRequest
from fleetbot.services.ci_facts import statuses_of
from fleetbot.services.ci_logs import NO_LOG, JobLog


async def worth_again(
    client: ForgeClient,
    repo: str,
    pull: PullRequest,
    watch: Watch,
    red: Sequence[ci.StatusFact],
    logs: Mapping[str, JobLog],
) -> tuple[Rerun, ...]:
    """All of the `red` contexts, if each may pass by itself and the forge runs jobs again; else
    none: what has to be mended in any case is mended at once. Raises the client's errors."""
    head = pull.head.sha
    found = [(one, logs.get(one.context, NO_LOG)) for one in red]
    was_run = watch.reruns is not None and any(watch.reruns.had(head, x.context) for x in red)
    if not found or was_run or not all(log.job and log.lines for _, log in found):
        return ()
    before = _before(pull, watch)
    passed = await statuses_of(client, repo, before)
    if not all(ci.passed(one.context, passed) for one in red):
        return ()
    try:
        files = {file.filename for file in (await client.compare(repo, before, head)).files}
    except TooLarge:
        return ()  # of so much that has changed something will have been named
    if any(names_any(f"{one.description}\n{log.lines}", files) for one, log in found):
        return ()
    if not await client.can_rerun(repo, found[0][1].job):
        return ()
    return tuple(Rerun(context=one.context, job=log.job, status=one.id) for one, log in found)


def _before(pull: PullRequest, watch: Watch) -> str:
    """The commit that its head is to be compared with: the one that was verified before, or what
    the branch stands on. CI looks at heads, not at each commit between them."""
    verified = [head for head in watch.heads if head != pull.head.sha]
    return verified[-1] if verified else pull.merge_base or pull.base.sha


async def run_again(client: ForgeClient, task: Task, head: str) -> str:
    """Have the jobs run again that still show what they said; answers what was done. Raises where
    the forge is away, or takes the token for none; else what it refuses is for a round to mend."""
    its = task.pull.reruns if task.pull else None
    if its is None or its.head != head or not _is_still_owed(task):
        return "not owed any more"
    done = []
    try:
        shown = {one.context: one.id for one in await statuses_of(client, task.repo, head)}
        for job in its.jobs:
            if shown.get(job.context) == job.status:
                await client.rerun(task.repo, job.job)
                done.append(job.context)
    except (ForgeUnavailable, Unauthorized):
        raise
    except ForgeError as refused:
        return f"{len(done)} of {len(its.jobs)} are run again: {refused}"
    return f"run again: {', '.join(done) or 'none, they have been since'}"


def _is_still_owed(task: Task) -> bool:
    """A round has a commit of its own to be looked at."""
    pull = task.pull
    is_open = pull is not None and pull.state is PullState.OPEN
    return is_open and task.state is TaskState.COMPLETED
