"""One run, from the assignment to the verdict on its receipt.

prepare → launch → stream → collect → push → pull request → receipt → verdict → clean up.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from typing import Any

from fleetbot.domain.model import Usage, Verdict
from fleetbot.domain.reasons import ReasonCode
from fleetbot.runner.concurrency import together
from fleetbot.runner.failure import RunFailed, first_error
from fleetbot.runner.git.hooks import Wrap
from fleetbot.runner.git.worktree import Worktree
from fleetbot.runner.link import LinkError, Refused, Superseded, Unauthorized
from fleetbot.runner.run import briefing
from fleetbot.runner.run.conversation import Conversation
from fleetbot.runner.run.handover import Handover
from fleetbot.runner.run.runlog import RunLog
from fleetbot.runner.run.setup import Setup
from fleetbot.runner.run.spool import (
    FailDue,
    NotPushed,
    ReceiptDue,
    ReceiptRefuted,
    RunRecord,
    TurnEnded,
)
from fleetbot.runner.sandbox import process
from fleetbot.runner.session.contract import Finished
from fleetbot.wire import FailRequest, ReceiptAnswer

_LOGGER = logging.getLogger(__name__)
_DETAIL_LIMIT = 10_000
_MENDABLE = frozenset(
    {ReasonCode.FORBIDDEN_PATHS, ReasonCode.SECRET_IN_DIFF, ReasonCode.WORK_UNFIT}
)
"""What the program may mend once, in the same run."""
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
        self._task: asyncio.Task[Any] | None = None
        self._cancelled: str | None = None
        self._settling = False
        self._warned = False
        self._wrap: Wrap | None = None

    @property
    def usage(self) -> Usage:
        """What the run has used, as far as its program has told."""
        return self._record.usage

    async def work(self) -> None:
        """A new run."""
        await self._guarded(self._begin)

    async def resume(self) -> None:
        """A run that an earlier runner left: report what it came to; guess nothing."""
        await self._guarded(self._go_on)

    def cancel(self, reason: str) -> None:
        """The orchestrator takes the run away. While it is being settled, the answer says so."""
        if self._cancelled is None and self._task is not None and not self._settling:
            self._cancelled = reason
            self._task.cancel()

    async def _guarded(self, steps: Steps) -> None:
        """Run the steps while the log ships; whatever ends one ends the other."""
        self._task = asyncio.current_task()
        try:
            lost = await self._with_log(steps)
        except BaseException as problem:
            if isinstance(refusal := first_error(problem), Unauthorized):
                self._record.release()
                self._note_here(f"given up, it waits in the spool for the next start: {refusal}")
                return
            if not isinstance(problem, asyncio.CancelledError) or self._cancelled is None:
                self._record.release()
                raise
            lost = f"cancelled: {self._cancelled}"
        self._record.close()
        if lost:
            self._note_here(lost)

    async def _with_log(self, steps: Steps) -> str:
        """Empty when the run was settled, else why it was given up."""
        lost = ""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._log.ship())
                await steps()
                self._log.finish()
        except* (Superseded, Refused) as refusals:
            lost = f"given up: {first_error(refusals)}"
        return lost

    async def _begin(self) -> None:
        self._note(f"attempt {self._order.attempt}: {self._order.title}")
        await self._attempt(self._order.refuted, self._acknowledge)

    async def _acknowledge(self) -> None:
        link, run = self._setup.link, self._order.run
        await link.outlast(lambda: link.start(run))

    async def _go_on(self) -> None:
        record = self._record
        if record.failure is not None:
            await self._report(record.failure)
        elif record.receipt is not None:
            self._note("the runner is back; the receipt is filed again")
            answer = await self._settle(record.receipt)
            if not _is_settled(answer):
                await self._attempt(answer.reasons, _nothing)
        elif record.finished is not None:
            self._note("the runner is back; the agent's work is handed over")
            await self._attempt((), _nothing)
        else:
            await self._fail(_restarted())

    async def _attempt(self, refuted: tuple[str, ...], word: Steps) -> None:
        """Work until a receipt is settled, or report why there is none.

        `word` is what the orchestrator is told meanwhile, before the program starts.
        """
        try:
            await self._work_in_tree(refuted, word)
        except RunFailed as failure:
            await self._fail(failure)
        except Refused as refusal:
            said = f"the orchestrator refused what the runner told it: {refusal}"
            await self._fail(RunFailed(ReasonCode.AGENT_FAILED, said))
        except LinkError:
            raise
        except Exception as problem:
            # A fault of the runner must not leave the task hanging until its lease runs out.
            _LOGGER.exception("run %s", self._order.run)
            said = f"the runner failed: {type(problem).__name__}: {problem}"
            await self._fail(RunFailed(ReasonCode.AGENT_FAILED, said))

    async def _work_in_tree(self, refuted: tuple[str, ...], word: Steps) -> None:
        setup, order, machine = self._setup, self._order, self._setup.machine
        end = asyncio.get_running_loop().time() + order.timeout_seconds
        env = setup.run_env(order)
        finished = self._record.finished
        keep = finished is not None or self._conversation.resumes
        async with AsyncExitStack() as stack:
            self._wrap = setup.hook_wrap(order, env)
            opening = machine.workspaces.open(order, env, keep_changes=keep, wrap=self._wrap)
            tree, briefed, _ = await together(
                stack.enter_async_context(opening),
                briefing.read(machine.forge, order.repo, order.issue),
                word(),
            )
            # Hooks and git's filters run after the program has ended, and may leave something too.
            stack.push_async_callback(process.sweep, order.run)
            self._note(f"worktree ready on {order.branch}, from {tree.start.commit[:10]}")
            if finished is not None and not tree.as_left:
                raise _restarted()
            handover = Handover(setup, order, tree, env, self._note, self._masker)
            while True:
                if finished is None:
                    seconds = end - asyncio.get_running_loop().time()
                    turn = self._conversation.turn(tree, env, briefed, refuted, seconds)
                    finished = await self._noted(turn)
                await self._after_run(tree, env)
                wrong = await self._hand_over(handover, finished)
                if wrong is None:
                    return
                finished, refuted = None, wrong

    async def _noted(self, turn: Coroutine[Any, Any, Finished]) -> Finished:
        """From here on a runner that is killed need not run the program again."""
        finished = await turn
        self._record.note(TurnEnded(finished))
        return finished

    async def _hand_over(self, handover: Handover, finished: Finished) -> tuple[str, ...] | None:
        """What is wrong with the work, for the program to mend; None when the run is settled."""
        try:
            request = await handover.deliver(finished, self._record.usage)
        except RunFailed as failure:
            if failure.reason not in _MENDABLE or self._warned:
                raise
            self._warned = True
            self._record.note(NotPushed())
            self._note(f"not pushed: {failure.detail}")
            return (failure.detail,)
        due = ReceiptDue(secrets.token_hex(16), request)
        self._record.note(due)
        answer = await self._settle(due)
        return None if _is_settled(answer) else answer.reasons

    async def _after_run(self, tree: Worktree, env: dict[str, str]) -> None:
        try:
            await tree.run_hook("after_run", env, self._wrap)
        except RunFailed as failure:
            self._note(f"after the run: {failure.detail}")

    async def _settle(self, due: ReceiptDue) -> ReceiptAnswer:
        """File the receipt and wait for what the orchestrator finds."""
        link = self._setup.link
        self._settling = True
        answer = await link.outlast(lambda: link.file(due.request, due.key))
        self._note(f"receipt {answer.receipt} filed")
        while answer.verdict is Verdict.PENDING and not answer.final:
            receipt = answer.receipt
            answer = await link.outlast(lambda: link.verdict(receipt))  # noqa: B023 - awaited at once
        self._settling = False
        if answer.verdict is Verdict.VERIFIED:
            self._setup.memories.forget(self._order.task)
            self._note("receipt verified")
        elif answer.verdict is Verdict.REFUTED:
            self._record.note(ReceiptRefuted())
            final = " for good" if answer.final else ""
            self._note(f"receipt refuted{final}: {'; '.join(answer.reasons)}")
        else:
            self._note("the run ended before its receipt was decided")
        return answer

    async def _fail(self, failure: RunFailed) -> None:
        request = FailRequest(
            reason=failure.reason,
            detail=self._masker.text(failure.detail)[:_DETAIL_LIMIT],
            usage=self._record.usage,
            until=failure.until,
        )
        self._record.note(FailDue(request))
        await self._report(request)

    async def _report(self, request: FailRequest) -> None:
        link, run = self._setup.link, self._order.run
        self._settling = True
        self._note(f"failed: {request.reason}: {request.detail}")
        await link.outlast(lambda: link.fail(run, request))

    def _note(self, text: str) -> None:
        """Say it on the terminal and in the run's log."""
        self._log.add(text)
        self._note_here(text)

    def _note_here(self, text: str) -> None:
        order = self._order
        self._setup.say(f"{order.repo}#{order.issue} {order.run}: {text}", self._masker)


def _restarted() -> RunFailed:
    return RunFailed(
        ReasonCode.AGENT_FAILED,
        "the runner was restarted while the agent was at work; a retry goes on",
    )


async def _nothing() -> None:
    """The word of a run that is acknowledged already."""


def _is_settled(answer: ReceiptAnswer) -> bool:
    return answer.verdict is Verdict.VERIFIED or answer.final
