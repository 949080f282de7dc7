"""One run's work in its worktree: prepared, worked in, handed over, or kept for the next one."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack
from typing import Any

from fleetbot.client.errors import CallError
from fleetbot.domain.model import Verdict
from fleetbot.domain.reasons import ReasonCode
from fleetbot.runner.concurrency import together
from fleetbot.runner.failure import RunFailed
from fleetbot.runner.git.hooks import Wrap
from fleetbot.runner.git.worktree import Worktree
from fleetbot.runner.run import briefing, keeping, replies
from fleetbot.runner.run.briefing import Briefing
from fleetbot.runner.run.changed import Changed
from fleetbot.runner.run.conversation import Conversation
from fleetbot.runner.run.handover import MENDABLE, Handover
from fleetbot.runner.run.outages import Outages
from fleetbot.runner.run.phases import Phases
from fleetbot.runner.run.runlog import Announce
from fleetbot.runner.run.setup import Setup
from fleetbot.runner.run.spool import NotPushed, ReceiptDue, RunRecord, TurnEnded
from fleetbot.runner.run.whereabouts import Whereabouts
from fleetbot.runner.sandbox import environment, process
from fleetbot.runner.sandbox.masking import Masker
from fleetbot.runner.session.contract import Finished
from fleetbot.wire import Assignment, LineKind, ReceiptAnswer, ReceiptRequest, ReplyClaim

_PREPARE_SECONDS = 600.0
_MARGIN = 0.05
"""Of a run's time: what is left for telling, before the orchestrator ends the run itself."""
_KEEP_SECONDS = 60.0
_HALT_SECONDS = 5.0
_PASSES = frozenset({ReasonCode.FORGE_UNAVAILABLE, ReasonCode.FORGE_LOGIN_FAILED})
"""What finished work waits for: a forge that is away, a token that somebody replaces."""
Steps = Callable[[], Coroutine[Any, Any, None]]
Settle = Callable[[ReceiptDue], Awaitable[ReceiptAnswer]]


class Attempt:
    """`settle` files a receipt and answers what was found; `note_failure` has a failure on disk.

    `taken_away` says why the orchestrator took the run away, once it did.
    """

    def __init__(
        self,
        setup: Setup,
        record: RunRecord,
        conversation: Conversation,
        masker: Masker,
        announce: Announce,
        settle: Settle,
        note_failure: Callable[[RunFailed], Awaitable[None]],
    ) -> None:
        self._setup = setup
        self._record = record
        self._where = Whereabouts(setup.machine, record.order, announce)
        self._conversation = conversation
        self._masker = masker
        self._announce = announce
        self._settle = settle
        self._note_failure = note_failure
        self._phases = Phases(setup.machine.spans, record.order, setup.agent.name)
        self._outages = Outages(announce, setup.heard)
        self._warned = False
        self._checked = 0.0  # seconds that receipts were being checked, which the run does not pay
        self._wrap: Wrap | None = None
        self.taken_away: str | None = None
        self.changed = Changed(setup.link, masker)

    @property
    def _order(self) -> Assignment:
        return self._where.order

    async def work(self, refuted: tuple[str, ...], acknowledge: Steps) -> None:
        """Until a receipt is settled. Raises RunFailed, CallError.

        `acknowledge` is done while the worktree is made, before the program starts.
        """
        setup, order = self._setup, self._order
        end = asyncio.get_running_loop().time() + order.timeout_seconds
        env = setup.run_env(order)
        async with AsyncExitStack() as stack:
            stack.push_async_callback(environment.remove_temporary, env)
            with self._phases.phase("prepare"):
                (tree, briefed), _ = await together(self._prepare(stack, env), acknowledge())
            # Hooks and git's filters run after the program has ended, and may leave something too.
            stack.push_async_callback(process.sweep, order.run)
            ready = f"worktree ready on {order.branch}, from {tree.start.commit[:10]}"
            self._announce(ready, LineKind.STEP)
            try:
                if self._record.finished is not None and not tree.as_left:
                    raise restarted()
                is_verified = await self._work_until_settled(tree, env, briefed, refuted, end)
            except BaseException as problem:
                self._conversation.keep_words(self._replies())
                if isinstance(problem, RunFailed):
                    await self._note_failure(problem)
                await self._keep_work(tree, env, problem)
                raise
            if is_verified:
                await keeping.forget(tree, self._announce)

    async def _keep_work(self, tree: Worktree, env: dict[str, str], problem: BaseException) -> None:
        """Where the run is still ours, the next attempt gets what it made, wherever that is."""
        if isinstance(problem, CallError) or keeping.is_fenced(self.taken_away):
            return
        is_halt = isinstance(problem, asyncio.CancelledError) and self.taken_away is None
        await self._keep(tree, env, _HALT_SECONDS if is_halt else None)

    async def _keep(
        self, tree: Worktree, env: dict[str, str], seconds: float | None = None
    ) -> None:
        """Within so many seconds. An orchestrator that is away is waited for: it hears no end of
        the run before that either. One that cancelled the run has said whose it is."""
        leases, run = self._setup.leases, self._order.run
        try:
            async with asyncio.timeout(seconds):
                if self.taken_away is None:
                    await leases.confirm(run, self._announce)
                async with asyncio.timeout(_KEEP_SECONDS):
                    await self._where.look()
                    notes = await keeping.keep(tree, self._setup, self._order, env)
            for note in notes:
                self._announce(note)
        except TimeoutError:
            self._announce("the work stays on this machine: there was not time enough for more")
        except (RunFailed, CallError) as problem:
            self._announce(f"the work stays on this machine: {problem}")

    async def keep_what_was_left(self) -> None:
        """The runner was killed before it had done that: the next attempt may be elsewhere."""
        workspaces, order = self._setup.machine.workspaces, self._order
        try:
            self._conversation.keep_words(self._replies())
            if not workspaces.owes(order):
                return
            await self._where.look()
            order = self._order
            env = self._setup.run_env(order)
            wrap = self._setup.hook_wrap(order, env)
            opening = workspaces.open(order, env, keep_changes=True, wrap=wrap, is_to_run=False)
            async with opening as tree:
                await self._keep(tree, env)
        except RunFailed as failure:
            self._announce(f"the work stays on this machine: {failure.detail}")

    async def _prepare(
        self, stack: AsyncExitStack, env: dict[str, str]
    ) -> tuple[Worktree, Briefing]:
        """The worktree and the briefing, of the repository wherever it is now."""
        await self._outages.outlast(self._where.look, self._within(_PREPARE_SECONDS))
        self._wrap = self._setup.hook_wrap(self._order, env)
        tree, briefed = await together(self._open_tree(stack, env), self._read_briefing())
        return tree, briefed

    async def _open_tree(self, stack: AsyncExitStack, env: dict[str, str]) -> Worktree:
        workspaces = self._setup.machine.workspaces
        keep = self._record.finished is not None or self._conversation.resumes

        def enter() -> Awaitable[Worktree]:
            opening = workspaces.open(self._order, env, keep_changes=keep, wrap=self._wrap)
            return stack.enter_async_context(opening)

        return await self._outages.outlast(
            lambda: self._where.follow(enter), self._within(_PREPARE_SECONDS)
        )

    async def _read_briefing(self) -> Briefing:
        forge, order = self._setup.machine.forge, self._order
        return await self._outages.outlast(
            lambda: briefing.read(forge, order.repo, order.issue), self._within(_PREPARE_SECONDS)
        )

    def _within(self, seconds: float) -> float:
        """That long from now, and no longer than the run may take."""
        return asyncio.get_running_loop().time() + min(seconds, self._order.timeout_seconds)

    async def _work_until_settled(
        self,
        tree: Worktree,
        env: dict[str, str],
        briefed: Briefing,
        refuted: tuple[str, ...],
        end: float,
    ) -> bool:
        """Whether what it came to was verified. Raises RunFailed."""
        handover = Handover(self._setup, self._where, tree, env, self._announce, self._masker)
        finished = self._record.finished
        while True:
            if finished is None:
                tree.lend()
                seconds = end + self._checked - asyncio.get_running_loop().time()
                with self._phases.phase("agent"):
                    async with self.changed.watching(tree):
                        finished = await self._conversation.turn(
                            tree, env, briefed, refuted, seconds
                        )
                # From here on a runner that is killed need not run the program again.
                await self._record.promise(TurnEnded(finished, self._replies()))
            await self._after_run(tree, env)
            answer = await self._hand_over(handover, finished, end)
            if isinstance(answer, ReceiptAnswer) and is_settled(answer):
                return answer.verdict is Verdict.VERIFIED
            finished = None
            refuted = answer.reasons if isinstance(answer, ReceiptAnswer) else (answer,)
            forge, order = self._setup.machine.forge, self._order
            briefed = await briefing.read_again(forge, briefed, order.repo, order.issue)

    async def _hand_over(
        self, handover: Handover, finished: Finished, end: float
    ) -> ReceiptAnswer | str:
        """What the orchestrator finds, or why the work was not pushed, for the program to mend."""
        until = end + self._checked - _MARGIN * self._order.timeout_seconds

        async def deliver() -> ReceiptRequest:
            await self._where.look()
            await self._setup.machine.quick_forge.issue(self._order.repo, self._order.issue)
            record = self._record
            return await self._where.follow(
                lambda: handover.deliver(finished, record.usage, record.replies)
            )

        try:
            with self._phases.phase("hand-over"):
                request = await self._outages.outlast(deliver, until, _PASSES)
        except RunFailed as failure:
            if failure.reason not in MENDABLE or self._warned:
                raise
            self._warned = True
            await self._record.promise(NotPushed())
            self._announce(f"not pushed: {failure.detail}")
            return failure.detail
        due = ReceiptDue(secrets.token_hex(16), request)
        await self._record.promise(due)
        filed_at = asyncio.get_running_loop().time()
        with self._phases.phase("receipt"):
            answer = await self._settle(due)
        self._checked += asyncio.get_running_loop().time() - filed_at
        return answer

    def _replies(self) -> tuple[ReplyClaim, ...]:
        """What the program has said to the threads of its round, in this turn or before; in an
        earlier attempt at it as well."""
        order = self._order
        if order.round is None:
            return ()
        said = replies.read(self._setup.home, order.run, order.round)
        before = (*self._conversation.words_before, *self._record.replies)
        return replies.last_words((*before, *said), order.round)

    async def _after_run(self, tree: Worktree, env: dict[str, str]) -> None:
        try:
            await tree.run_hook("after_run", env, self._wrap)
        except RunFailed as failure:
            self._announce(f"after the run: {failure.detail}")


def restarted() -> RunFailed:
    """Nobody knows what the program had come to when the runner was killed."""
    return RunFailed(
        ReasonCode.RUNNER_RESTARTED,
        "the runner was restarted while the agent was at work; a retry goes on",
    )


def is_settled(answer: ReceiptAnswer) -> bool:
    """Whether nothing more is to come of the receipt."""
    return answer.verdict is Verdict.VERIFIED or answer.final
