"""Merging what was verified: as a person's wish, or by itself where a repository is to have that.

What is to be merged is journalled first; the outbox then has Forgejo do it, however often it takes.
Forgejo's own *merge when checks succeed* is of no use for that: it binds no commit.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from typing import NamedTuple

from fleetbot.domain import effects as fx
from fleetbot.domain import events as ev
from fleetbot.domain.ci import quoted
from fleetbot.domain.commands import GiveUpLanding, Land, NoteUpdate
from fleetbot.domain.errors import Conflict, Forbidden
from fleetbot.domain.events import Recorded
from fleetbot.domain.landing import Hindrance, hindrance
from fleetbot.domain.model import Task, TaskId, same_name
from fleetbot.domain.pulls import LANDING, Landing, LandingStep, PullState, PullView, Watch
from fleetbot.domain.wording import nickname
from fleetbot.forge.client import ForgeClient
from fleetbot.forge.errors import ForgeNotFound
from fleetbot.forge.merging import MergeAnswer, Outcome, Updated, reason_of
from fleetbot.forge.models import Repository
from fleetbot.services.fleet import ALONE, Beside, Context, Fleet
from fleetbot.services.followups import Followups
from fleetbot.services.outbox import RetryLater
from fleetbot.services.people import People
from fleetbot.services.updates import Updates, is_update
from fleetbot.services.watching import watched

_SOON = 15.0  # seconds, until what may pass by itself is tried again
_PASSES_MS = 600_000  # after so long it is not what passes by itself
_REST_MS = 600_000  # after a landing that came to nothing, before it is tried by itself again
_MOVING = ev.PullMerged | ev.PullClosed | ev.PullNotLanded | ev.PullUpdated
_CONTEXT = Context(actor="followup", cause="landing")


class _Owed(NamedTuple):
    """What the outbox is at: `repo` as Forgejo shows it now."""

    task: Task
    watch: Watch
    landing: Landing
    repo: Repository


class Landings:
    """`lands_itself` tells of a repository, by the names that it has and had, whether its pull
    requests are merged without anybody asking for it."""

    def __init__(
        self,
        fleet: Fleet,
        client: ForgeClient,
        followups: Followups,
        people: People,
        lands_itself: Callable[[Iterable[str]], bool] = lambda names: False,
    ) -> None:
        self._fleet = fleet
        self._client = client
        self._followups = followups
        self._people = people
        self._updates = Updates(fleet, client)
        self._lands_itself = lands_itself
        followups.after_look(self.consider)
        fleet.listen(self._heard)

    # -- a person's wish

    async def wish(self, task: Task, mxid: str, context: Context, beside: Beside = ALONE) -> bool:
        """Have it merged; False where that is under way already. Raises `Forbidden` and `Conflict`
        with the way out, and the client's errors."""
        login = self._people.login_of(mxid)
        if login is None:
            raise Forbidden(
                f"Which account on Forgejo is yours, {nickname(mxid)}? Prove it once, with `!fleet "
                "iam <login>`: only who may write to the repository there may have it merged."
            )
        return await self.wish_of(task, login, context, beside)

    async def wish_of(
        self, task: Task, login: str, context: Context, beside: Beside = ALONE
    ) -> bool:
        """The same, as the wish of who has this account on Forgejo."""
        await self._must_write(task, login)
        view = await self._look(task.id)
        if view is not None and view.unread:
            raise Conflict(f"{view.unread[0]} Try again in a moment.", field="issue")
        command = Land(task.id, by=login, pusher=await self._pusher(task.id))
        return bool(await self._fleet.commit(command, context, beside))

    async def _look(self, task: TaskId) -> PullView | None:
        """As it is now; brought up to date it is what was verified."""
        view = await self._followups.look(task)
        await self._updates.recognise(task)
        return view

    async def _must_write(self, task: Task, login: str) -> None:
        """A person's account, to the task's repository."""
        if same_name(login, await self._client.login()):
            raise Forbidden("The bot wants nothing merged: name the account of a person.")
        repo = self._fleet.state.places.of(task).name
        may_write = (await self._client.writers(repo, [login])).may_write(login)
        if may_write is None:
            raise Forbidden(
                f"Forgejo does not tell the bot whether {quoted(login)} may write to {repo}: merge "
                "it there, or make the bot an administrator of the repository."
            )
        if not may_write:
            raise Forbidden(f"{quoted(login)} may not write to {repo} on Forgejo.")

    async def _pusher(self, task_id: TaskId) -> str:
        """Who made the head of its pull request, if that is not what was verified."""
        task = self._fleet.state.tasks[task_id]
        watch = task.pull
        if watch is None or watch.standing.head in ("", watch.head):
            return ""
        try:
            repo = self._fleet.state.places.of(task).name
            commit = await self._client.commit(repo, watch.standing.head)
        except ForgeNotFound:
            return ""
        account = commit.committer or commit.author
        return account.login if account else commit.commit.author.name

    # -- what the outbox does

    async def __call__(self, effect: fx.LandPull) -> str:
        """Answers what was done. Raises `RetryLater`, and the client's errors."""
        owed = await self._owed(effect)
        if owed is None:
            return "not owed any more"
        if effect.step is LandingStep.UPDATE:
            return await self._bring_up_to_date(owed)
        view = await self._look(effect.task)  # a merge is bound to no base
        owed = await self._owed(effect)
        if owed is None:
            return "not owed any more"
        if view is not None and view.unread:
            return await self._held(owed, Hindrance("unread", view.unread[0], passes=True))
        if held := hindrance(self._fleet.state, owed.task, self._fleet.policy):
            return await self._held(owed, held)
        return await self._merge(owed)

    async def _owed(self, effect: fx.LandPull) -> _Owed | None:
        task = await self._fleet.task(effect.task)
        watch = task.pull if task else None
        landing = watch.landing if watch else None
        if task is None or watch is None or landing is None:
            return None
        if (landing.head, landing.step) != (effect.head, effect.step):
            return None
        name = self._fleet.state.places.of(task).name
        repo = await self._client.repo(name)
        if task.repo_id and repo.id != task.repo_id:
            raise RetryLater(None, f"{name} is another repository by now")
        return _Owed(task, watch, landing, repo)

    async def _merge(self, owed: _Owed) -> str:
        repo, number = owed.repo.full_name, owed.watch.number
        styles = owed.repo.merge_styles
        answer = await self._client.merge(
            repo, number, head_sha=owed.landing.head, style=styles[0] if styles else "merge"
        )
        if answer.is_merged:
            view = await self._followups.look(owed.task.id)
            if view is not None and view.state is PullState.OPEN:  # whoever has answered that
                text = "Forgejo says that it is merged, and does not show it as that."
                return await self._held(owed, Hindrance("unshown", text, passes=True))
            return answer.outcome
        bot = await self._client.login()
        why = answer.outcome
        return await self._held(owed, Hindrance(why, _words(answer, bot), answer.may_pass))

    async def _held(self, owed: _Owed, held: Hindrance) -> str:
        """Wait a little for what may pass; else say why it is not merged."""
        is_young = self._fleet.clock() - owed.landing.since < _PASSES_MS
        if held.passes and is_young:
            raise RetryLater(_SOON, held.text)
        await self._give_up(owed.task.id, owed.landing, held)
        return held.why

    async def _give_up(self, task: TaskId, landing: Landing, held: Hindrance) -> None:
        command = GiveUpLanding(task, landing.head, held.why, held.text)
        await self._fleet.commit(command, _CONTEXT)

    # -- the base is merged into it first

    async def _bring_up_to_date(self, owed: _Owed) -> str:
        repo, number = owed.repo.full_name, owed.watch.number
        pull = await self._client.pull(repo, number)
        if pull.head.sha == owed.landing.head:
            updated = await self._client.update_branch(repo, number)
            if updated is Updated.UP_TO_DATE:
                await self._fleet.commit(Land(owed.task.id), _CONTEXT)
                return updated
            if updated is not Updated.UPDATED:
                return await self._held(owed, _not_updated(updated, owed.watch))
            pull = await self._client.pull(repo, number)
        if pull.head.sha == owed.landing.head:
            raise RetryLater(1.0, "Forgejo does not show yet what was updated")
        was = owed.landing.head
        if not await is_update(self._client, repo, pull.base.ref, was, pull.head.sha):
            text = "Something else than the base was pushed to it while it was brought up to date."
            return await self._held(owed, Hindrance("head_moved", text))
        note = NoteUpdate(owed.task.id, pull.head.sha, was)
        await self._fleet.commit(note, _CONTEXT)
        return f"updated to {pull.head.sha[:12]}"

    # -- by itself

    def _heard(self, lines: Sequence[Recorded]) -> None:
        """One that is over makes room for the next of its base; an update has CI to wait for."""
        for line in lines:
            if isinstance(line.event, _MOVING):
                task = self._fleet.state.tasks.get(TaskId(line.stream.removeprefix("task:")))
                if task and (self._is_auto(task) or isinstance(line.event, ev.PullUpdated)):
                    self._followups.poke_all(task.repo_id)

    def _is_auto(self, task: Task) -> bool:
        return self._lands_itself(self._fleet.state.places.of(task).names)

    async def consider(self, task_id: TaskId) -> None:
        """Have it merged if its repository wants that, and it is its turn; what it waits for then
        is looked at here as well, and what a person's wish does. Raises the client's errors."""
        await self._updates.recognise(task_id)
        task = self._fleet.state.tasks.get(task_id)
        watch = task.pull if task else None
        if task is None or watch is None or watch.state is not PullState.OPEN:
            return
        landing = watch.landing
        if landing is None and not self._is_auto(task):
            return
        if landing is not None and landing.step is not LandingStep.CI:
            await self._must_be_under_way(task_id, landing)
            return
        if held := await self._hindrance(task, watch):
            if landing and not (held.passes and self._may_wait(landing)):
                await self._give_up(task.id, landing, held)
            return
        if landing or (self._may_try(task, watch) and await self._is_next(task, watch)):
            by = landing.by if landing else ""
            is_near = bool(by) or await self._is_up_to_date(task, watch)
            step = LandingStep.MERGE if is_near else LandingStep.UPDATE
            await self._fleet.commit(Land(task.id, by=by, step=step), _CONTEXT)

    async def _must_be_under_way(self, task: TaskId, landing: Landing) -> None:
        """It is with the outbox, unless that has given it up."""
        effect = fx.LandPull(task=task, head=landing.head, step=landing.step)
        fates = await self._fleet.store.fates(fx.destination(effect))
        if (fx.kind(fx.LandPull), "pending") not in fates:
            text = "It was tried for days, and Forgejo has not done it: see the dead letters."
            await self._give_up(task, landing, Hindrance("given_up", text))

    def _may_wait(self, landing: Landing) -> bool:
        """CI that never says anything does not keep a base for ever."""
        return self._fleet.clock() - landing.since < self._fleet.policy.verify_ms

    def _may_try(self, task: Task, watch: Watch) -> bool:
        """Not at once after it came to nothing, nor before people have said how it goes on."""
        rests = bool(watch.unlanded) and self._fleet.clock() - task.updated_at < _REST_MS
        return LANDING not in watch.asked and not rests

    async def _hindrance(self, task: Task, watch: Watch) -> Hindrance | None:
        if held := hindrance(self._fleet.state, task, self._fleet.policy):
            return held
        if watch.landing and watch.landing.by:
            return None  # how many approvals that takes is Forgejo's to say
        wanted, given = await self._approvals(task, watch), len(watch.standing.approved_by)
        if given >= wanted:
            return None
        return Hindrance("approvals", f"It has {given} of the {wanted} approvals that it needs.")

    async def _approvals(self, task: Task, watch: Watch) -> int:
        """How many the base's protection wants."""
        repo = self._fleet.state.places.of(task).name
        branch = await self._client.branch(repo, watch.standing.base)
        return branch.required_approvals if branch and branch.protected else 0

    async def _is_next(self, task: Task, watch: Watch) -> bool:
        """Whether nothing is being merged into its base, and nothing older is to be."""
        wanted = await self._approvals(task, watch)
        async for other in self._others(task, watch):
            its = other.pull
            assert its is not None  # of those that are watched
            if its.landing:
                return False
            is_older = (its.since, its.number) < (watch.since, watch.number)
            if is_older and self._is_ready(other, its, wanted):
                return False
        return True

    def _is_ready(self, task: Task, watch: Watch, wanted: int) -> bool:
        held = hindrance(self._fleet.state, task, self._fleet.policy)
        is_approved = len(watch.standing.approved_by) >= wanted
        return held is None and is_approved and not watch.unlanded

    async def _others(self, task: Task, watch: Watch) -> AsyncIterator[Task]:
        """Those whose pull requests go to the same base."""
        here = (task.place, watch.standing.base)
        async for stored in watched(self._fleet.store):
            other = self._fleet.state.tasks.get(stored.id, stored)
            base = other.pull.standing.base if other.pull else ""
            if other.id != task.id and (other.place, base) == here:
                yield other

    async def _is_up_to_date(self, task: Task, watch: Watch) -> bool:
        repo = self._fleet.state.places.of(task).name
        return not await self._client.lacks(repo, watch.head, watch.standing.base)


def _words(answer: MergeAnswer, bot: str) -> str:
    """Why it was not merged, and what to do."""
    says = answer.words.rstrip(".")
    match answer.outcome:
        case Outcome.NOT_READY:
            return f"Branch protection wants more: {reason_of(says)}."
        case Outcome.HEAD_MOVED:
            return "Its head has moved meanwhile: what is there now was not verified."
        case Outcome.CONFLICT:
            return "It conflicts with its base."
        case Outcome.DRAFT:
            return "It is a draft: mark it as ready for review on Forgejo."
        case Outcome.BLOCKED:
            return "It depends on issues that are open: close those, or remove the dependency."
        case Outcome.CLOSED:
            return "It was closed meanwhile."
        case Outcome.WRONG_STYLE:
            return f"The repository does not allow how it was to be merged: {says}."
        case Outcome.NOT_MERGEABLE | Outcome.BASE_MOVED:
            return f"Forgejo keeps saying that it cannot be merged now: {says or 'a conflict'}."
        case _:
            told = f": {says}" if says else ""
            return (
                f"Forgejo does not let {quoted(bot)} merge into that branch{told}. Name it in the "
                "branch's rule (settings, “Branches”, “Whitelist for merging”), or merge it there."
            )


def _not_updated(updated: Updated, watch: Watch) -> Hindrance:
    base = quoted(watch.standing.base)
    match updated:
        case Updated.CONFLICT:
            return Hindrance("conflict", f"It conflicts with {base}.")
        case Updated.CLOSED:
            return Hindrance("closed", "It was closed meanwhile.")
        case _:
            text = f"The bot may not push to its branch, so that {base} cannot be merged into it."
            return Hindrance("forbidden", text)
