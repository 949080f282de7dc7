"""What the fleet shows on Forgejo: labels, assignee, comments and commit statuses.

Everything is set, not toggled, so that an effect may be delivered twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Set
from typing import cast

import msgspec

from fleetbot.domain import effects as fx
from fleetbot.domain.ci import OWN_CONTEXT
from fleetbot.domain.model import AgentName, Run, Task, TaskId, TaskState
from fleetbot.domain.waiting import Waiting
from fleetbot.forge.client import ForgeClient
from fleetbot.forge.errors import (
    ForgeError,
    ForgeForbidden,
    ForgeNotFound,
    ForgeUnavailable,
    NotLeading,
    Unauthorized,
)
from fleetbot.forge.git_calls import StatusState
from fleetbot.forge.label_calls import UnknownLabel
from fleetbot.forge.models import Issue, Repository
from fleetbot.forge.paths import repo_path
from fleetbot.logs import log_of
from fleetbot.services.briefs import brief_at
from fleetbot.services.comments import receipt_comment, status_comment
from fleetbot.services.labels import LabelMaps, state_label, state_labels_after
from fleetbot.services.outbox import Gone, Refused, RetryLater
from fleetbot.services.pull_answers import PullAnswers
from fleetbot.services.reruns import run_again
from fleetbot.services.tidying import tidy
from fleetbot.store.interface import Store
from fleetbot.store.records import Anchor, Change, Due, Standing

log = log_of("fleetbot.forge")

_WORKING = frozenset({TaskState.ASSIGNED, TaskState.RUNNING, TaskState.COMPLETED})
_NO_ACCOUNTS: Mapping[AgentName, str] = {}
_GONE = (404, 410, 422)
_ARCHIVED = 423  # new words are refused until the repository is back
_decoder: msgspec.json.Decoder[fx.ForgeEffect] = msgspec.json.Decoder(fx.ForgeEffect)


class ForgeSender:
    """The sender of the destinations `forgejo:…`.

    `waits` tells why a task does not move. `accounts`: the Forgejo login of an agent that is
    assigned instead of the bot. `land` merges a pull request, as long as that is owed.
    """

    def __init__(
        self,
        client: ForgeClient,
        store: Store,
        labels: LabelMaps,
        waits: Callable[[TaskId], Waiting | None],
        accounts: Mapping[AgentName, str] = _NO_ACCOUNTS,
        *,
        land: Callable[[fx.LandPull], Awaitable[str]],
    ) -> None:
        self._client = client
        self._land = land
        self._answers = PullAnswers(client)
        self._store = store
        self._labels = labels
        self._waits = waits
        self._accounts = accounts
        self._making_label = asyncio.Lock()  # Forgejo would make two of the same name

    async def __call__(self, due: Due) -> str:
        """Answers what was done. Raises `RetryLater`, `Refused` or `Gone`."""
        effect = _decoder.decode(due.entry.payload)
        try:
            return await self._deliver(effect)
        except ForgeError as error:
            raise await self._verdict(*await self._repo_of(effect), error) from error

    async def _deliver(self, effect: fx.ForgeEffect) -> str:
        match effect:
            case fx.ShowOnIssue(task=task):
                return await self._show(_there(await self._store.standing(task), task))
            case fx.ReceiptComment(receipt=receipt):
                return await self._say_receipt(_there(await self._store.filing(receipt), receipt))
            case fx.AnswerPull():
                return await self._answer_pull(effect)
            case fx.LandPull():
                return await self._land(effect)
            case fx.RunAgain(task=task, head=head):
                known = _there(await self._store.standing(task), task)
                return await run_again(self._client, known.task, head)
            case fx.TidyBranch(task=task):
                known = _there(await self._store.standing(task), task)
                return await tidy(self._client, known.task)
            case fx.CommitStatus():
                repo, repo_id = await self._repo_of(effect)
                await self._find(repo, repo_id)
                return await self._set_status(repo, effect)

    async def _repo_of(self, effect: fx.ForgeEffect) -> tuple[str, int]:
        """The repository as it is called now, and its id: 0 where that is not known."""
        if effect.task and (standing := await self._store.standing(effect.task)):
            return standing.task.repo, standing.task.repo_id
        return (effect.repo, 0) if isinstance(effect, fx.CommitStatus) else ("", 0)

    async def _find(self, repo: str, repo_id: int) -> Repository:
        """See the repository under its name. Raises `RetryLater` where another has taken that:
        what its own is by now is found out by reconciliation."""
        shown = await self._client.repo(repo)
        if repo_id and shown.id != repo_id:
            raise _another(repo)
        return shown

    async def _verdict(
        self, repo: str, repo_id: int, error: ForgeError
    ) -> RetryLater | Refused | Gone:
        """What a failure means for the effect. Only a forge that shows the repository can say that
        something in it is gone, or that it refuses this very effect."""
        if isinstance(error, NotLeading):
            return RetryLater(None, str(error), host=True)
        if isinstance(error, ForgeUnavailable) and _is_told_to_wait(error):
            return RetryLater(error.retry_after, str(error), host=True)
        if isinstance(error, Unauthorized):  # the one token is for all
            return RetryLater(None, str(error), host=True)
        if isinstance(error, ForgeForbidden) or error.status == _ARCHIVED:
            return RetryLater(None, str(error))
        try:
            shown = await self._find(repo, repo_id)
        except (ForgeError, RetryLater) as unseen:
            return RetryLater(None, f"{error}; the repository: {unseen}")
        if isinstance(error, ForgeUnavailable):
            return Refused(str(error))
        if error.status == 404 and not shown.shows_all:
            return RetryLater(None, f"{error}; its issues or pull requests are switched off")
        if error.path == repo_path(repo):
            return RetryLater(None, f"{error}; it is shown again")
        return Gone(str(error)) if error.status in _GONE else Refused(str(error))

    # -- commit status

    async def _set_status(self, repo: str, effect: fx.CommitStatus) -> str:
        if effect.state != "success" and await self._is_proven(repo, effect):
            return "left alone: another receipt holds for this commit"
        try:
            status = await self._client.create_status(
                repo,
                effect.sha,
                state=cast(StatusState, effect.state),
                context=OWN_CONTEXT,
                description=effect.description,
                target_url=effect.target_url,
            )
        except ForgeUnavailable as error:
            if error.status == 500:  # also Forgejo's answer for a commit that does not exist
                await self._client.commit(repo, effect.sha)
            raise
        return f"status {status.id}"

    async def _is_proven(self, repo: str, effect: fx.CommitStatus) -> bool:
        """Whether we said ourselves that a receipt of this commit holds; no other takes that back,
        whoever names the commit."""
        bot = (await self._client.login()).lower()
        return any(
            status.context == OWN_CONTEXT
            and status.status == "success"
            and status.creator is not None
            and status.creator.login.lower() == bot
            for status in await self._client.contexts(repo, effect.sha)
        )

    # -- a receipt

    async def _say_receipt(self, filing: Standing) -> str:
        task, run, filed = filing.task, filing.run, filing.receipt
        assert run is not None  # a filing has both
        assert filed is not None
        await self._issue_of(task)
        marker, body = f"receipt:{filed.receipt.id}", receipt_comment(task, run, filed)
        comment = await self._client.comment_once(task.repo, task.issue, marker, body)
        return f"comment {comment.id}"

    # -- a round

    async def _answer_pull(self, effect: fx.AnswerPull) -> str:
        filing = _there(await self._store.filing(effect.receipt), effect.receipt)
        assert filing.receipt is not None  # a filing has it
        await self._issue_of(filing.task)
        brief = await brief_at(self._store, effect.task, effect.said)
        receipt = filing.receipt.receipt
        return await self._answers.say(filing.task, receipt, brief, effect.number)

    # -- the issue

    async def _show(self, standing: Standing) -> str:
        """All parts are tried: one that is refused does not hold up the others."""
        task = standing.task
        issue = await self._issue_of(task)
        refused: list[str] = []
        done = [
            await _part("labels", self._set_labels(task, issue), refused),
            await _part("assignee", self._set_assignee(standing, issue), refused),
            await self._say_status(standing),
        ]
        if refused:
            raise Refused("; ".join(refused))
        return "; ".join(part for part in done if part)

    async def _issue_of(self, task: Task) -> Issue:
        """Never the one of another repository that has taken the name."""
        issue = await self._client.issue(task.repo, task.issue)
        if task.repo_id and issue.repository and issue.repository.id not in (0, task.repo_id):
            raise _another(task.repo)
        return issue

    async def _set_labels(self, task: Task, issue: Issue) -> str:
        """Only ours are touched, one by one: a person may be labelling at the same time."""
        add, remove = state_labels_after(issue.label_names, task.state, self._labels)
        if add:
            await self._add_state_label(task, add)
        for name in remove:
            await self._client.remove_issue_label(task.repo, task.issue, name)
        return " ".join([*(f"+{name}" for name in add), *(f"-{name}" for name in remove)])

    async def _add_state_label(self, task: Task, names: set[str]) -> None:
        try:
            await self._client.add_issue_labels(task.repo, task.issue, names)
        except UnknownLabel:
            async with self._making_label:
                await self._client.ensure_labels(task.repo, [state_label(task.state, self._labels)])
            await self._client.add_issue_labels(task.repo, task.issue, names)

    async def _set_assignee(self, standing: Standing, issue: Issue) -> str:
        task, now = standing.task, {login.lower(): login for login in issue.assignee_logins}
        bot = await self._client.login()
        wanted = assignees_after(issue, task, standing.run, self._accounts, bot)
        after = wanted - await self._unassignable(task.repo, wanted - now.keys())
        if after == now.keys():
            return ""
        return await self._assign(task, sorted(now.get(login, login) for login in after))

    async def _assign(self, task: Task, logins: list[str]) -> str:
        try:
            await self._client.edit_issue(task.repo, task.issue, assignees=logins)
        except ForgeUnavailable as error:
            if error.status != 500:
                raise
            # Forgejo's answer where somebody assigned has lost access since: not ours to mend.
            log.warning(
                "%s does not let its assignees be changed; has one lost access? %s", task.ref, error
            )
            return "assignee refused"
        return f"assigned {', '.join(logins) or 'nobody'}"

    async def _unassignable(self, repo: str, logins: Set[str]) -> Set[str]:
        """Those that may not be assigned; Forgejo answers them with an error 500."""
        if not logins:
            return logins
        able = {user.login.lower() for user in await self._client.assignees(repo)}
        if missing := logins - able:
            who = ", ".join(sorted(missing))
            log.warning("%s cannot be assigned in %s: give them access to it", who, repo)
        return logins - able

    async def _say_status(self, standing: Standing) -> str:
        """Write the task's one comment: edit it where it is, else find it, else make it.

        After an older backup was restored the issue may have one of a task that nobody knows.
        """
        task, filed = standing.task, standing.receipt
        key, marker = status_anchor(task.id), f"task:{task.id}"
        pull = filed.receipt.pull_request if filed else None
        body = status_comment(task, standing.run, pull, self._waits(task.id))
        known = await self._store.anchor(key)
        if known and await self._edit(task.repo, int(known), body, marker):
            return f"comment {known}"
        comment = await self._client.comment_once(task.repo, task.issue, marker, body, like="task:")
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


async def _part(what: str, work: Awaitable[str], refused: list[str]) -> str:
    """What was done; a refusal of this part alone is noted."""
    try:
        return await work
    except (ForgeUnavailable, Unauthorized):
        raise
    except ForgeError as error:
        refused.append(f"the {what}: {error}")
        return ""


def _another(repo: str) -> RetryLater:
    return RetryLater(None, f"{repo} is another repository by now")


def _is_told_to_wait(error: ForgeUnavailable) -> bool:
    return error.status == 429 or (error.status == 503 and error.retry_after is not None)


def _there(standing: Standing | None, id: str) -> Standing:
    if standing is None:
        raise Refused(f"the journal does not know {id}")
    return standing


def assignees_after(
    issue: Issue, task: Task, run: Run | None, accounts: Mapping[AgentName, str], bot: str
) -> set[str]:
    """Who should be assigned, in small letters: the fleet's own accounts come and go, those of
    people stay."""
    now, bot = {login.lower() for login in issue.assignee_logins}, bot.lower()
    fleet = {bot, *(login.lower() for login in accounts.values())}
    wanted: set[str] = set()
    if task.state in _WORKING and run is not None:
        wanted = {accounts.get(run.agent, bot).lower()}
    if bot in now and not task.traits.labelled:
        wanted |= {bot}  # being assigned is how this issue asks for the fleet
    return (now - fleet) | wanted


def status_anchor(task: TaskId) -> str:
    """The anchor that remembers the id of the task's status comment."""
    return f"forgejo:comment:{task}"
