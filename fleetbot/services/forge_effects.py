"""What the fleet shows on Forgejo: labels, assignee, comments and commit statuses.

Everything is set, not toggled, so that an effect may be delivered twice.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Mapping
from typing import cast

import msgspec

from fleetbot.domain import effects as fx
from fleetbot.domain.ci import OWN_CONTEXT
from fleetbot.domain.model import AgentName, Task, TaskId, TaskState
from fleetbot.forge.client import ForgeClient
from fleetbot.forge.errors import (
    ForgeError,
    ForgeForbidden,
    ForgeNotFound,
    ForgeUnavailable,
    Unauthorized,
)
from fleetbot.forge.git_calls import StatusState
from fleetbot.forge.label_calls import UnknownLabel
from fleetbot.forge.models import Issue
from fleetbot.services.comments import receipt_comment, status_comment
from fleetbot.services.labels import LabelMaps, state_label, state_labels_after
from fleetbot.services.outbox import RetryLater, Undeliverable
from fleetbot.store.interface import Store
from fleetbot.store.records import Anchor, Change, Due

log = logging.getLogger("fleetbot.forge")

_WORKING = frozenset({TaskState.ASSIGNED, TaskState.RUNNING, TaskState.COMPLETED})
_NO_ACCOUNTS: Mapping[AgentName, str] = {}
_REFUSALS = 20  # how often a 403 is tried again: a token's rights are mended by hand
_decoder: msgspec.json.Decoder[fx.ForgeEffect] = msgspec.json.Decoder(fx.ForgeEffect)


class ForgeSender:
    """The sender of the destinations `forgejo:…`.

    `accounts`: the Forgejo login of an agent that is assigned instead of the bot.
    """

    def __init__(
        self,
        client: ForgeClient,
        store: Store,
        labels: LabelMaps,
        accounts: Mapping[AgentName, str] = _NO_ACCOUNTS,
    ) -> None:
        self._client = client
        self._store = store
        self._labels = labels
        self._accounts = accounts
        self._making_label = asyncio.Lock()  # Forgejo would make two of the same name

    async def __call__(self, due: Due) -> str:
        """Raises `RetryLater` or `Undeliverable`; answers what was done."""
        effect = _decoder.decode(due.entry.payload)
        try:
            return await self._deliver(effect)
        except ForgeUnavailable as error:
            raise RetryLater(error.retry_after, str(error)) from error
        except (Unauthorized, ForgeForbidden) as error:
            if due.attempts < _REFUSALS:
                raise RetryLater(None, str(error)) from error
            raise Undeliverable(str(error)) from error
        except ForgeError as error:
            raise Undeliverable(str(error)) from error

    async def _deliver(self, effect: fx.ForgeEffect) -> str:
        match effect:
            case fx.ShowOnIssue():
                return await self._show(effect)
            case fx.ReceiptComment(task=task, run=run, receipt=filed):
                body = receipt_comment(task, run, filed)
                marker = f"receipt:{filed.receipt.id}"
                comment = await self._client.comment_once(task.repo, task.issue, marker, body)
                return f"comment {comment.id}"
            case fx.CommitStatus():
                return await self._set_status(effect)

    # -- commit status

    async def _set_status(self, effect: fx.CommitStatus) -> str:
        if effect.state != "success" and await self._is_proven(effect):
            return "left alone: another receipt holds for this commit"
        try:
            status = await self._client.create_status(
                effect.repo,
                effect.sha,
                state=cast(StatusState, effect.state),
                context=OWN_CONTEXT,
                description=effect.description,
                target_url=effect.target_url,
            )
        except ForgeUnavailable as error:
            if error.status == 500:  # also Forgejo's answer for a commit that does not exist
                await self._client.commit(effect.repo, effect.sha)
            raise
        return f"status {status.id}"

    async def _is_proven(self, effect: fx.CommitStatus) -> bool:
        """Whether we said ourselves that a receipt of this commit holds; no other takes that back,
        whoever names the commit."""
        bot = (await self._client.login()).lower()
        return any(
            status.context == OWN_CONTEXT
            and status.status == "success"
            and status.creator is not None
            and status.creator.login.lower() == bot
            for status in await self._client.contexts(effect.repo, effect.sha)
        )

    # -- the issue

    async def _show(self, effect: fx.ShowOnIssue) -> str:
        """All parts are tried: one that is refused does not hold up the others."""
        issue = await self._client.issue(effect.task.repo, effect.task.issue)
        done = [
            await self._part("labels", self._set_labels(effect, issue)),
            await self._part("assignee", self._set_assignee(effect, issue)),
            await self._say_status(effect),
        ]
        return "; ".join(part for part in done if part)

    async def _part(self, what: str, work: Awaitable[str]) -> str:
        try:
            return await work
        except (ForgeUnavailable, Unauthorized):
            raise
        except ForgeError as error:
            log.warning("Forgejo refuses to set the %s: %s", what, error)
            return f"{what} refused"

    async def _set_labels(self, effect: fx.ShowOnIssue, issue: Issue) -> str:
        """Only ours are touched, one by one: a person may be labelling at the same time."""
        task, maps = effect.task, self._labels
        add, remove = state_labels_after(issue.label_names, task.state, maps)
        if add:
            await self._add_state_label(effect, maps, add)
        for name in remove:
            await self._client.remove_issue_label(task.repo, task.issue, name)
        return " ".join([*(f"+{name}" for name in add), *(f"-{name}" for name in remove)])

    async def _add_state_label(
        self, effect: fx.ShowOnIssue, maps: LabelMaps, names: set[str]
    ) -> None:
        task = effect.task
        try:
            await self._client.add_issue_labels(task.repo, task.issue, names)
        except UnknownLabel:
            async with self._making_label:
                await self._client.ensure_labels(task.repo, [state_label(task.state, maps)])
            await self._client.add_issue_labels(task.repo, task.issue, names)

    async def _set_assignee(self, effect: fx.ShowOnIssue, issue: Issue) -> str:
        """The fleet's own accounts come and go, those of people stay."""
        now = {login.lower(): login for login in issue.assignee_logins}
        bot = (await self._client.login()).lower()
        fleet = {bot, *(login.lower() for login in self._accounts.values())}
        wanted = self._assignee(effect, bot)
        if bot in now and not effect.task.traits.labelled:
            wanted |= {bot}  # being assigned is how this issue asks for the fleet
        after = (now.keys() - fleet) | await self._assignable(effect, wanted, now)
        if after == now.keys():
            return ""
        logins = sorted(now.get(login, login) for login in after)
        return await self._assign(effect.task, logins)

    async def _assign(self, task: Task, logins: list[str]) -> str:
        try:
            await self._client.edit_issue(task.repo, task.issue, assignees=logins)
        except ForgeUnavailable as error:
            if error.status != 500:
                raise
            # Forgejo's answer where somebody assigned has lost access since: not ours to mend.
            log.warning("%s does not let its assignees be changed: %s", task.ref, error)
            return "assignee refused"
        return f"assigned {', '.join(logins) or 'nobody'}"

    def _assignee(self, effect: fx.ShowOnIssue, bot: str) -> set[str]:
        if effect.task.state not in _WORKING or effect.run is None:
            return set()
        return {self._accounts.get(effect.run.agent, bot).lower()}

    async def _assignable(
        self, effect: fx.ShowOnIssue, wanted: set[str], now: Mapping[str, str]
    ) -> set[str]:
        """Those of `wanted` that may be assigned; Forgejo answers others with an error 500."""
        if wanted <= now.keys():
            return wanted
        able = {user.login.lower() for user in await self._client.assignees(effect.task.repo)}
        if missing := wanted - able - now.keys():
            log.warning("%s cannot be assigned in %s", ", ".join(missing), effect.task.repo)
        return wanted - missing

    async def _say_status(self, effect: fx.ShowOnIssue) -> str:
        """Write the task's one comment: edit it where it is, else find it, else make it."""
        task = effect.task
        key, marker = status_anchor(task.id), f"task:{task.id}"
        body = status_comment(task, effect.run, effect.pull_request)
        known = await self._store.anchor(key)
        if known and await self._edit(task.repo, int(known), body, marker):
            return f"comment {known}"
        comment = await self._client.comment_once(task.repo, task.issue, marker, body)
        if body not in comment.body:  # it was there already, and says something older
            await self._client.edit_comment(task.repo, comment.id, body, marker=marker)
        await self._store.append(Change(anchors=(Anchor(key=key, value=str(comment.id)),)))
        return f"comment {comment.id}"

    async def _edit(self, repo: str, comment_id: int, body: str, marker: str) -> bool:
        """False where a person has deleted the comment."""
        try:
            await self._client.edit_comment(repo, comment_id, body, marker=marker)
        except ForgeNotFound:
            return False
        return True


def status_anchor(task: TaskId) -> str:
    """The anchor that remembers the id of the task's status comment."""
    return f"forgejo:comment:{task}"
