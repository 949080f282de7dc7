"""One run, from the assignment to the verdict on its receipt.

prepare → launch → stream → collect → push → pull request → receipt → verdict → clean up.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import traceback
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from typing import Any

from fleetbot.domain.model import Usage, Verdict
from fleetbot.domain.reasons import ReasonCode
from fleetbot.runner.concurrency import cancelled, is_being_cancelled, together
from fleetbot.runner.failure import RunFailed, fault
from fleetbot.runner.git.hooks import Wrap
from fleetbot.runner.git.worktree import Worktree
from fleetbot.runner.link import LinkError, Refused, Superseded, Unauthorized
from fleetbot.runner.run import briefing, keeping
from fleetbot.runner.run.briefing import Briefing
from fleetbot.runner.run.conversation import Conversation
from fleetbot.runner.run.handover import MENDABLE, Handover
from fleetbot.runner.run.keeping import is_fenced
from fleetbot.runner.run.patience import Patience
from fleetbot.runner.run.runlog import RunLog
from fleetbot.runner.run.setup import Setup
from fleetbot.runner.run.spool import (
    FailDue,
    NotPushed,
    Over,
    ReceiptDue,
    ReceiptRefuted,
    RunRecord,
    TurnEnded,
)
from fleetbot.runner.sandbox import process
from fleetbot.runner.session.contract import Finished
from fleetbot.wire import FailRequest, ReceiptAnswer, ReceiptRequest

_LOGGER = logging.getLogger(__name__)
_DETAIL_LIMIT = 10_000
_PREPARE_SECONDS = 600.0
_HALT_SECONDS = 5.0
_MARGIN = 0.05
"""Of a run's time: what is left for telling, before the orchestrator ends the run itself."""
_PASSES = frozenset({ReasonCode.FORGE_UNAVAILABLE, ReasonCode.FORGE_LOGIN_FAILED})
"""What finished work waits for: a forge that is away, a token that somebody replaces."""
Steps = Callable[[], Coroutine[Any, Any, None]]


class Worker:
    """Carries out one run. `work` and `resume` return when it is settled or taken away.

    Cancelled, it stops the program and reports nothing; its record stays in the spool unless the
    cancellation was ordered with `cancel`.
    """

    def __init__(self, setup: Setup, record: RunRecord) -> None:
        self._setup = setup
        self._record = record
        self._order = record.order
        self._masker = setup.masker()
        self._log = RunLog(
            record.log,
            setup.link,
            record.order.run,
            mask=self._masker.text,
            batching=setup.batching,
        )
        self._conversation = Conversation(setup, record, self._log, self._masker)
        self._patience = Patience(self._announce, setup.heard)
        self._steps: asyncio.Task[None] | None = None
        self._cancelled: str | None = None
        self._is_fenced = False
        self._settling = False
        self._warned = False
        self._wrap: Wrap | None = None

    @property
    def usage(self) -> Usage:
        """What the run has used, as far as its program has told."""
        return self._record.usage

    async def work(self) -> None:
        """A new run."""
        await self._carry_out(self._begin)

    async def resume(self) -> None:
        """A run that an earlier runner left: report what it came to; guess nothing."""
        await self._carry_out(self._report_what_was_left)

    def cancel(self, reason: str) -> None:
        """The orchestrator takes the run away. While it is being settled, the answer says so."""
        self._is_fenced = is_fenced(reason)
        self._end_steps(f"cancelled: {reason}")

    def _end_steps(self, why: str) -> None:
        if self._cancelled is None and self._steps is not None and not self._settling:
            self._cancelled = why
            self._steps.cancel()

    async def _carry_out(self, steps: Steps) -> None:
        """Take the steps and see that the log arrives, however they ended."""
        try:
            lost = await self._with_log(steps)
        except Unauthorized as refusal:
            self._record.release()
            self._say(f"given up, it waits in the spool for the next start: {refusal}")
            return
        except BaseException:
            self._record.release()
            raise
        self._record.close()
        if lost:
            self._say(lost)

    async def _with_log(self, steps: Steps) -> str:
        """Empty when the run was settled, else why it was given up."""
        shipping = asyncio.create_task(self._ship())
        self._steps = asyncio.create_task(steps())
        try:
            await asyncio.wait({shipping, self._steps}, return_when=asyncio.FIRST_COMPLETED)
            if shipping.done():
                self._heed(shipping.exception())
            lost = await self._end_of(self._steps)
            if lost:
                self._log.add(lost)
                await self._record.promise(Over())
            self._log.finish()
            await asyncio.wait({shipping})
            self._heed(shipping.exception())
            return lost
        finally:
            await cancelled(shipping, self._steps)

    async def _end_of(self, steps: asyncio.Task[None]) -> str:
        try:
            await steps
        except (Superseded, Refused) as refusal:
            return f"given up: {refusal}"
        except asyncio.CancelledError:
            if self._cancelled is None or is_being_cancelled():
                raise
            return self._cancelled
        return ""

    async def _ship(self) -> None:
        """Raises Superseded, Unauthorized; a log that is not wanted ends no run."""
        try:
            await self._log.ship()
        except Refused as refusal:
            self._say(f"the orchestrator does not want the run's log: {refusal}")

    def _heed(self, problem: BaseException | None) -> None:
        """Of the log's way out: a run that is another's ends; so does one whose agent is unknown.

        What else was wrong ends no run; whoever reads the log will find its end missing.
        """
        if isinstance(problem, Unauthorized):
            raise problem
        if isinstance(problem, Superseded):
            self._is_fenced = True
            self._end_steps(f"given up: {problem}")
        if problem is not None:
            self._say(f"the rest of the run's log does not arrive: {problem}")

    async def _begin(self) -> None:
        self._announce(f"attempt {self._order.attempt}: {self._order.title}")
        await self._attempt(self._order.refuted, self._acknowledge)

    async def _acknowledge(self) -> None:
        link, run = self._setup.link, self._order.run
        await link.outlast(lambda: link.start(run))

    async def _report_what_was_left(self) -> None:
        record = self._record
        if record.is_over:
            self._say("the rest of its log is sent")
        elif record.failure is not None:
            await self._report(record.failure)
        elif record.receipt is not None:
            self._announce("the runner is back; the receipt is filed again")
            answer = await self._settle(record.receipt)
            if not _is_settled(answer):
                await self._attempt(answer.reasons, _acknowledged_before)
        elif record.finished is not None:
            self._announce("the runner is back; the agent's work is handed over")
            await self._attempt((), _acknowledged_before)
        else:
            await self._keep_what_was_left()
            await self._fail(_restarted())

    async def _keep_what_was_left(self) -> None:
        """The runner was killed at work: the next attempt may be on another machine."""
        workspaces, env = self._setup.machine.workspaces, self._setup.run_env(self._order)
        try:
            async with workspaces.open(self._order, env, keep_changes=True) as tree:
                await keeping.keep(tree, self._setup, self._order, env, self._announce)
        except RunFailed as failure:
            self._say(f"the work stays on this machine: {failure.detail}")

    async def _attempt(self, refuted: tuple[str, ...], acknowledge: Steps) -> None:
        """Work until a receipt is settled, or report why there is none.

        `acknowledge` is done while the worktree is made, before the program starts.
        """
        try:
            await self._work_in_tree(refuted, acknowledge)
        except RunFailed as failure:
            await self._fail(failure)
        except Refused as refusal:
            said = f"the orchestrator refused what the runner told it: {refusal}"
            await self._fail(RunFailed(ReasonCode.RUNNER_FAILED, said))
        except LinkError:
            raise
        except Exception as problem:
            # A fault of the runner must not leave the task hanging until its lease runs out.
            said = "".join(traceback.format_exception(problem))
            _LOGGER.error("run %s: %s", self._order.run, self._masker.text(said))
            await self._fail(fault(problem))

    async def _work_in_tree(self, refuted: tuple[str, ...], acknowledge: Steps) -> None:
        setup, order = self._setup, self._order
        end = asyncio.get_running_loop().time() + order.timeout_seconds
        env = setup.run_env(order)
        async with AsyncExitStack() as stack:
            self._wrap = setup.hook_wrap(order, env)
            tree, briefed, _ = await together(
                self._open_tree(stack, env), self._read_briefing(), acknowledge()
            )
            # Hooks and git's filters run after the program has ended, and may leave something too.
            stack.push_async_callback(process.sweep, order.run)
            self._announce(f"worktree ready on {order.branch}, from {tree.start.commit[:10]}")
            if self._record.finished is not None and not tree.as_left:
                raise _restarted()
            try:
                is_verified = await self._work_until_settled(tree, env, briefed, refuted, end)
            except BaseException as problem:
                await self._keep_work(tree, env, problem)
                raise
            if is_verified:
                await keeping.forget(tree, self._say)

    async def _keep_work(self, tree: Worktree, env: dict[str, str], problem: BaseException) -> None:
        """Where the run is still ours, the next attempt gets what it made, wherever that is."""
        if isinstance(problem, LinkError) or self._is_fenced:
            return
        if isinstance(problem, asyncio.CancelledError) and self._cancelled is None:
            await keeping.keep(tree, self._setup, self._order, env, self._announce, _HALT_SECONDS)
        else:
            await keeping.keep(tree, self._setup, self._order, env, self._announce)

    async def _open_tree(self, stack: AsyncExitStack, env: dict[str, str]) -> Worktree:
        workspaces = self._setup.machine.workspaces
        keep = self._record.finished is not None or self._conversation.resumes
        return await self._patience.outlast(
            lambda: stack.enter_async_context(
                workspaces.open(self._order, env, keep_changes=keep, wrap=self._wrap)
            ),
            self._within(_PREPARE_SECONDS),
        )

    async def _read_briefing(self) -> Briefing:
        forge, order = self._setup.machine.forge, self._order
        return await self._patience.outlast(
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
        handover = Handover(self._setup, self._order, tree, env, self._announce, self._masker)
        finished = self._record.finished
        while True:
            if finished is None:
                seconds = end - asyncio.get_running_loop().time()
                finished = await self._conversation.turn(tree, env, briefed, refuted, seconds)
                # From here on a runner that is killed need not run the program again.
                await self._record.promise(TurnEnded(finished))
            await self._after_run(tree, env)
            answer = await self._hand_over(handover, finished, end)
            if isinstance(answer, ReceiptAnswer) and _is_settled(answer):
                return answer.verdict is Verdict.VERIFIED
            finished = None
            refuted = answer.reasons if isinstance(answer, ReceiptAnswer) else (answer,)
            forge, order = self._setup.machine.forge, self._order
            briefed = await briefing.read_again(forge, briefed, order.repo, order.issue)

    async def _hand_over(
        self, handover: Handover, finished: Finished, end: float
    ) -> ReceiptAnswer | str:
        """What the orchestrator finds, or why the work was not pushed, for the program to mend."""
        until = end - _MARGIN * self._order.timeout_seconds

        async def deliver() -> ReceiptRequest:
            await self._setup.machine.quick_forge.issue(self._order.repo, self._order.issue)
            return await handover.deliver(finished, self._record.usage)

        try:
            request = await self._patience.outlast(deliver, until, _PASSES)
        except RunFailed as failure:
            if failure.reason not in MENDABLE or self._warned:
                raise
            self._warned = True
            await self._record.promise(NotPushed())
            self._announce(f"not pushed: {failure.detail}")
            return failure.detail
        due = ReceiptDue(secrets.token_hex(16), request)
        await self._record.promise(due)
        return await self._settle(due)

    async def _after_run(self, tree: Worktree, env: dict[str, str]) -> None:
        try:
            await tree.run_hook("after_run", env, self._wrap)
        except RunFailed as failure:
            self._announce(f"after the run: {failure.detail}")

    async def _settle(self, due: ReceiptDue) -> ReceiptAnswer:
        """File the receipt and wait for what the orchestrator finds."""
        link = self._setup.link
        self._settling = True
        answer = await link.outlast(lambda: link.file(due.request, due.key))
        self._announce(f"receipt {answer.receipt} filed")
        while answer.verdict is Verdict.PENDING and not answer.final:
            receipt = answer.receipt
            answer = await link.outlast(lambda: link.verdict(receipt))  # noqa: B023 - awaited at once
        if answer.verdict is Verdict.VERIFIED:
            self._setup.memories.forget(self._order.task)
            self._setup.heard(None)
            self._announce("receipt verified")
        elif answer.verdict is Verdict.REFUTED:
            await self._record.promise(ReceiptRefuted())
            final = " for good" if answer.final else ""
            self._announce(f"receipt refuted{final}: {'; '.join(answer.reasons)}")
        else:
            self._announce("the run ended before its receipt was decided")
        self._settling = _is_settled(answer)
        return answer

    async def _fail(self, failure: RunFailed) -> None:
        self._settling = True
        self._setup.heard(failure)
        request = FailRequest(
            reason=failure.reason,
            detail=self._masker.text(failure.detail)[:_DETAIL_LIMIT],
            usage=self._record.usage,
            until=failure.until,
        )
        try:
            await self._record.promise(FailDue(request))
        except OSError as problem:  # the disk is full: what can be told is told nonetheless
            self._say(f"not noted down: {problem}")
        await self._report(request)

    async def _report(self, request: FailRequest) -> None:
        link, run = self._setup.link, self._order.run
        self._settling = True
        self._announce(f"failed: {request.reason}: {request.detail}")
        await link.outlast(lambda: link.fail(run, request))

    def _announce(self, text: str) -> None:
        """Say it on the terminal and in the run's log."""
        self._log.add(text)
        self._say(text)

    def _say(self, text: str) -> None:
        order = self._order
        self._setup.say(f"{order.repo}#{order.issue} {order.run}: {text}", self._masker)


def _restarted() -> RunFailed:
    return RunFailed(
        ReasonCode.RUNNER_RESTARTED,
        "the runner was restarted while the agent was at work; a retry goes on",
    )


async def _acknowledged_before() -> None:
    """Of a run that an earlier runner began."""


def _is_settled(answer: ReceiptAnswer) -> bool:
    return answer.verdict is Verdict.VERIFIED or answer.final
