"""What an issue should show and does not is shown again: of open tasks, and of those ended lately.

A person took a label off, a comment was deleted, a database was put back from a backup. Each is
mended once for each version of the task: Forgejo may refuse it, and a person may insist.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

from fleetbot.domain import announce
from fleetbot.domain import effects as fx
from fleetbot.domain.model import OPEN_STATES, AgentName, FiledReceipt, Repo, Task, TaskId, Verdict
from fleetbot.forge.client import ForgeClient
from fleetbot.forge.errors import ForgeError, ForgeUnavailable
from fleetbot.forge.models import Issue
from fleetbot.logs import log_of
from fleetbot.services.entries import entry_of
from fleetbot.services.fleet import Fleet
from fleetbot.services.forge_effects import assignees_after
from fleetbot.services.labels import LabelMaps, state_labels_after
from fleetbot.services.repeats import remove_repeats
from fleetbot.services.tidying import tidy_all_kept
from fleetbot.store.records import Change, OutboxEntry, Standing

log = log_of("fleetbot.repairs")

_LATELY_MS = 14 * 24 * 3_600_000  # as long as the outbox remembers what it has delivered
_JUST_NOW_MS = 24 * 3_600_000
_CLOCKS_DIFFER = timedelta(hours=1)
_ISSUES_KNOWN = 10_000
_SHOWN, _TOLD = fx.kind(fx.ShowOnIssue), fx.kind(fx.ReceiptComment)


class Repairs:
    """`accounts`: the Forgejo logins of agents that have one of their own."""

    def __init__(
        self,
        fleet: Fleet,
        client: ForgeClient,
        labels: LabelMaps,
        accounts: Mapping[AgentName, str],
    ) -> None:
        self._fleet = fleet
        self._client = client
        self._labels = labels
        self._accounts = accounts
        self._comments: dict[TaskId, int] = {}  # how many an issue had at the last look

    async def look(self, task: Task, issue: Issue) -> None:
        """Compare an issue, as it was just read, with what its task should show there."""
        if standing := await self._fleet.store.standing(task.id):
            await self._mend(standing, issue)

    async def sweep(self, repo: Repo) -> None:
        """The same for the closed issues of all tasks that ended lately; and what is left of those
        that are merged goes."""
        await self._tidy(repo)
        since = self._fleet.clock() - _LATELY_MS
        ended = {one.task.issue: one for one in await self._fleet.store.ended(repo, since)}
        if not ended:
            return
        oldest = min(one.task.updated_at for one in ended.values())
        changed_since = datetime.fromtimestamp(oldest / 1000, UTC) - _CLOCKS_DIFFER
        async for issue in self._client.iter_issues(
            repo.name, state="closed", sort="leastupdate", since=changed_since
        ):
            if issue.number in ended:
                await self._mend(ended[issue.number], issue)

    async def _tidy(self, repo: Repo) -> None:
        try:
            await tidy_all_kept(self._fleet, self._client, repo)
        except ForgeUnavailable:
            raise
        except ForgeError as refused:
            log.warning("%s: what merged work has left cannot be deleted: %s", repo.name, refused)

    async def _mend(self, standing: Standing, issue: Issue) -> None:
        task, now = standing.task, self._fleet.clock()
        if task.state not in OPEN_STATES and task.updated_at < now - _LATELY_MS:
            return
        receipts = await self._fleet.store.receipts_of(task.id)
        decided = [filed for filed in receipts if filed.verdict is not Verdict.PENDING]
        missing = {
            **await self._missing_on_issue(standing, issue, decided),
            **await self._missing_on_commits(task, receipts),
        }
        if missing:
            entries = (_entry(task, why, effect, now) for why, effect in missing.items())
            await self._fleet.post(Change(outbox=tuple(entries)))

    async def _missing_on_issue(
        self, standing: Standing, issue: Issue, decided: Sequence[FiledReceipt]
    ) -> dict[str, fx.ForgeEffect]:
        """The effects to send again, by what is wrong. What waits in the outbox will come."""
        task = standing.task
        show = fx.ShowOnIssue(task=task.id)
        fates = await self._fleet.store.fates(fx.destination(show))
        waiting = {kind for kind, state in fates if state == "pending"}
        known = {kind for kind, _ in fates}
        ours = 1 + len(decided)
        repeats = await self._remove_repeats(task, issue, ours)
        lacks_comments = self._lacks_comments(task, issue, ours)
        found: dict[str, fx.ForgeEffect] = {}
        if _SHOWN not in waiting:
            if lacks_comments or repeats or _SHOWN not in known:
                found["comment"] = show
            elif await self._looks_wrong(standing, issue):
                found["looks"] = show
        if _TOLD not in waiting and (lacks_comments or _TOLD not in known):
            for filed in decided:
                receipt = filed.receipt.id
                found[receipt] = fx.ReceiptComment(task=task.id, receipt=receipt)
        return found

    async def _missing_on_commits(
        self, task: Task, receipts: Sequence[FiledReceipt]
    ) -> dict[str, fx.ForgeEffect]:
        """Statuses that the outbox never heard of: nobody but us takes one away.

        Where several receipts are of the same commit, that it was proven stands.
        """
        wanted: dict[str, fx.CommitStatus] = {}
        for status in (announce.status_of(task, filed) for filed in receipts):
            if status and not (status.sha in wanted and wanted[status.sha].state == "success"):
                wanted[status.sha] = status
        return {
            sha: status
            for sha, status in wanted.items()
            if not await self._fleet.store.fates(fx.destination(status))
        }

    async def _remove_repeats(self, task: Task, issue: Issue, ours: int) -> int:
        """How many were there twice; looked for where there are more than ours, or new ones."""
        is_recent = task.updated_at >= self._fleet.clock() - _JUST_NOW_MS
        is_known = self._comments.get(task.id) == issue.comments
        if issue.comments <= ours or is_known or not is_recent:
            return 0
        return await remove_repeats(self._client, task.repo, task.issue)

    def _lacks_comments(self, task: Task, issue: Issue, ours: int) -> bool:
        """Whether one of ours may be gone: there are too few, or fewer than before."""
        if len(self._comments) >= _ISSUES_KNOWN:
            self._comments.clear()
        before = self._comments.get(task.id, 0)
        self._comments[task.id] = issue.comments
        return issue.comments < max(ours, before)

    async def _looks_wrong(self, standing: Standing, issue: Issue) -> bool:
        """Whether labels or assignees are not as the state would have them."""
        task = standing.task
        if any(state_labels_after(issue.label_names, task.state, self._labels)):
            return True
        bot = await self._client.login()
        wanted = assignees_after(issue, task, standing.run, self._accounts, bot)
        return wanted != {login.lower() for login in issue.assignee_logins}


def _entry(task: Task, why: str, effect: fx.ForgeEffect, now: int) -> OutboxEntry:
    id = f"repair/{task.id}/{task.version}/{why}"
    return entry_of(effect, fx.destination(effect), id=id, at=now)
