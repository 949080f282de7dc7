"""One run, from the assignment to the verdict on its receipt.

prepare → launch → stream → collect → push → pull request → receipt → verdict → clean up.
"""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Callable

from fleetbot.client.errors import CallError, Refused, Superseded, Unauthorized
from fleetbot.domain.model import Verdict
from fleetbot.domain.reasons import REASONS, ReasonCode
from fleetbot.domain.usage import Usage
from fleetbot.logs import Verbatim, log_of
from fleetbot.runner.concurrency import cancelled, is_being_cancelled
from fleetbot.runner.failure import RunFailed, unexpected
from fleetbot.runner.run.attempt import Attempt, Steps, is_settled, restarted
from fleetbot.runner.run.conversation import Conversation
from fleetbot.runner.run.runlog import RunLog
from fleetbot.runner.run.setup import Setup
from fleetbot.runner.run.spool import (
    FailDue,
    Over,
    ReceiptDue,
    ReceiptRefuted,
    RunRecord,
)
from fleetbot.runner.run.subject import about_run
from fleetbot.wire import SUPERSEDED, FailRequest, LineKind, ReceiptAnswer, UsageReport

_LOGGER = log_of(__name__)
_DETAIL_LIMIT = 10_000


class Worker:
    """Carries out one run. `work` and `resume` return when it is settled or taken away.

    Cancelled, it stops the program and reports nothing; its record stays in the spool unless the
    cancellation was ordered with `cancel`. `on_filed` hears when a receipt waits for its verdict:
    from then on the run holds no slot, also while it mends what was refuted. `awaits_verdict`:
    there is nothing to do but to hear it, so that a later runner may as well.
    """

    def __init__(
        self, setup: Setup, record: RunRecord, on_filed: Callable[[], None] = lambda: None
    ) -> None:
        self._setup = setup
        self._on_filed = on_filed
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
        self._attempt = Attempt(
            setup,
            record,
            Conversation(setup, record, self._log, self._masker),
            self._masker,
            self._announce,
            self._settle,
            self._note_failure,
        )
        self._steps: asyncio.Task[None] | None = None
        self._cancelled: str | None = None
        self._settling = False
        self.awaits_verdict = False

    @property
    def usage(self) -> Usage:
        """What the run has used, as far as its program has told."""
        return self._record.usage

    @property
    def files(self) -> tuple[str, ...]:
        """What its worktree has changed since the run began, when that was last looked at."""
        return self._attempt.changed.files

    async def work(self) -> None:
        """A new run."""
        with about_run(self._order, self._setup.agent.name):
            await self._carry_out(self._begin)

    async def resume(self) -> None:
        """A run that an earlier runner left: report what it came to; guess nothing."""
        with about_run(self._order, self._setup.agent.name):
            await self._carry_out(self._report_what_was_left)

    def cancel(self, reason: str) -> None:
        """The orchestrator takes the run away. While it is being settled, the answer says so."""
        self._end_steps(reason, f"told to stop: {_why_taken(reason)}")

    def _end_steps(self, reason: str, said: str) -> None:
        if self._cancelled is None and self._steps is not None and not self._settling:
            self._cancelled = said
            self._attempt.taken_away = reason
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
            self._end_steps(SUPERSEDED, f"given up: {problem}")
        if problem is not None:
            self._say(f"the rest of the run's log does not arrive: {problem}")

    async def _begin(self) -> None:
        self._announce(f"attempt {self._order.attempt}: {self._order.title}", LineKind.STEP)
        await self._work(self._order.refuted, self._acknowledge)

    async def _acknowledge(self) -> None:
        link, run = self._setup.link, self._order.run
        await link.outlast(lambda: link.start(run))

    async def _report_what_was_left(self) -> None:
        record = self._record
        if record.is_over:
            self._say("the rest of its log is sent")
        elif record.failure is not None:
            self._announce("the runner is back; the failure is reported")
            await self._attempt.keep_what_was_left()
            await self._report(record.failure)
        elif record.receipt is not None:
            self._announce("the runner is back; the receipt is filed again")
            answer = await self._settle(record.receipt)
            if not is_settled(answer):
                await self._work(answer.reasons, _acknowledged_before)
        elif record.finished is not None:
            self._announce("the runner is back; the agent's work is handed over")
            await self._work((), _acknowledged_before)
        else:
            await self._attempt.keep_what_was_left()
            await self._fail(restarted())

    async def _work(self, refuted: tuple[str, ...], acknowledge: Steps) -> None:
        """Work until a receipt is settled, or report why there is none.

        `acknowledge` is done while the worktree is made, before the program starts.
        """
        try:
            await self._attempt.work(refuted, acknowledge)
        except RunFailed as failure:
            await self._fail(failure)
        except Refused as refusal:
            said = f"the orchestrator refused what the runner told it: {refusal}"
            await self._fail(RunFailed(ReasonCode.RUNNER_FAILED, said))
        except CallError:
            raise
        except Exception as problem:
            # A fault of the runner must not leave the task hanging until its lease runs out.
            said = "".join(traceback.format_exception(problem))
            masked = Verbatim(self._masker.text(said))
            _LOGGER.error("run %s failed by a fault of the runner:\n%s", self._order.run, masked)
            await self._fail(unexpected(problem))

    async def _settle(self, due: ReceiptDue) -> ReceiptAnswer:
        """File the receipt and wait for what the orchestrator finds."""
        link = self._setup.link
        self._settling = True
        answer = await link.outlast(lambda: link.file(due.request, due.key))
        self._announce(f"receipt {answer.receipt} filed", LineKind.STEP)
        self.awaits_verdict = answer.verdict is Verdict.PENDING and not answer.final
        self._on_filed()
        while answer.verdict is Verdict.PENDING and not answer.final:
            receipt = answer.receipt
            answer = await link.outlast(lambda: link.verdict(receipt))  # noqa: B023 - awaited at once
        self.awaits_verdict = False
        if answer.verdict is Verdict.VERIFIED:
            self._setup.memories.close(self._order.task)
            self._setup.heard(None)
            self._announce("receipt verified", LineKind.STEP)
        elif answer.verdict is Verdict.REFUTED:
            await self._record.promise(ReceiptRefuted())
            final = " for good" if answer.final else ""
            self._announce(f"receipt refuted{final}: {'; '.join(answer.reasons)}")
        else:
            self._announce("the run ended before its receipt was decided")
        self._settling = is_settled(answer)
        return answer

    async def _fail(self, failure: RunFailed) -> None:
        if self._record.failure is None:
            await self._note_failure(failure)
        if (due := self._record.failure) is not None:
            await self._report(due)

    async def _note_failure(self, failure: RunFailed) -> None:
        self._setup.heard(failure)
        request = FailRequest(
            reason=failure.reason,
            detail=self._masker.text(failure.detail)[:_DETAIL_LIMIT],
            usage=UsageReport.of(self._record.usage),
            until=failure.until,
        )
        try:
            await self._record.promise(FailDue(request))
        except OSError as problem:  # the disk is full: what can be told is told nonetheless
            self._record.fold(FailDue(request))
            self._say(f"not noted down: {problem}")
        self._announce(f"failed: {REASONS[request.reason].text}: {request.detail}".rstrip(": "))

    async def _report(self, request: FailRequest) -> None:
        link, run = self._setup.link, self._order.run
        self._settling = True
        await link.outlast(lambda: link.fail(run, request))

    def _announce(self, text: str, kind: LineKind = LineKind.SYSTEM) -> None:
        """Say it on the terminal and in the run's log."""
        self._log.add(text, kind)
        self._say(text)

    def _say(self, text: str) -> None:
        order = self._order
        self._setup.say(f"{order.repo}#{order.issue} {order.run}: {text}", self._masker)


async def _acknowledged_before() -> None:
    """Of a run that an earlier runner began."""


def _why_taken(reason: str) -> str:
    """In words; the reason of a newer orchestrator as it comes."""
    if reason == SUPERSEDED:
        return "another run has taken its place"
    return REASONS[ReasonCode(reason)].text if reason in set(ReasonCode) else reason
