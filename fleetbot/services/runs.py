"""What agents do with their runs: claim, start, log, fail, file a receipt, hear the verdict."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec

from fleetbot import wire
from fleetbot.domain.budget import dollars_left
from fleetbot.domain.commands import AgentSeen, FailRun, FileReceipt, StartRun
from fleetbot.domain.errors import Conflict, NotFound
from fleetbot.domain.lookup import current_run, own_run
from fleetbot.domain.model import AgentName, FiledReceipt, Receipt, ReceiptId, Run, RunId, Verdict
from fleetbot.services.briefs import brief_of
from fleetbot.services.dispatcher import Dispatcher, claim_key
from fleetbot.services.fleet import Beside, Context, Fleet
from fleetbot.services.off_limits import off_limits
from fleetbot.services.wakeups import Wakeups
from fleetbot.store.records import Arrival, LogChunk, LogLine

LogListener = Callable[[RunId], Awaitable[None]]
Admission = Callable[[RunId], Awaitable[bool]]


class Runs:
    """`new_receipt` makes ids; `on_log` hears of runs whose log has grown, before the runner hears
    that it may forget those lines.

    `admits` tells whether a run that was chosen for an agent can be begun, and takes it back where
    it cannot. `trace` gives the W3C traceparent of a run, empty where none is kept.
    """

    def __init__(
        self,
        fleet: Fleet,
        dispatcher: Dispatcher,
        wakeups: Wakeups,
        new_receipt: Callable[[], ReceiptId],
        on_log: LogListener,
        admits: Admission,
        trace: Callable[[Run], str] = lambda run: "",
    ) -> None:
        self._fleet = fleet
        self._dispatcher = dispatcher
        self._wakeups = wakeups
        self._new_receipt = new_receipt
        self._on_log = on_log
        self._admits = admits
        self._trace = trace

    # claim

    async def claim(
        self, agent: AgentName, key: str, wait: float, alive: Callable[[], bool]
    ) -> wire.Assignment | None:
        """A run to do, or None when there is none within `wait` seconds. Same key, same answer."""
        await self._fleet.commit(AgentSeen(agent), Context(actor=f"agent:{agent}"))
        self._fleet.saw(agent, ())
        earlier = await self._fleet.store.arrival(claim_key(agent, key))
        if earlier and earlier.answer:
            run = await self._own_run(agent, RunId(earlier.answer.decode()))
            claimed: RunId | None = current_run(self._fleet.state, run.id, agent).id
        else:
            claimed = await self._dispatcher.claim(agent, key, wait, alive)
        if claimed is None or claimed not in self._fleet.state.runs:
            return None
        if not await self._admits(claimed):
            return None
        run = self._fleet.state.runs[claimed]
        return await self._assignment(run)

    async def _assignment(self, run: Run) -> wire.Assignment:
        task, policy = self._fleet.state.tasks[run.task], self._fleet.policy
        brief = await brief_of(self._fleet, run.task)
        forbidden = await off_limits(self._fleet, task, policy.forbidden_paths)
        return wire.Assignment(
            run=run.id,
            task=task.id,
            attempt=run.attempt,
            repo=task.repo,
            issue=task.issue,
            title=task.traits.title,
            kind=task.traits.kind,
            priority=wire.priority_name(task.traits.priority),
            branch=run.branch,
            base=task.base,
            ack_seconds=policy.ack_ms / 1000,
            lease_seconds=policy.lease_ms / 1000,
            timeout_seconds=policy.run_timeout_ms / 1000,
            refuted=task.refuted,
            notes=task.notes,
            budget_usd=dollars_left(task, policy),
            forbidden_paths=forbidden,
            number=run.number,
            repo_id=task.repo_id,
            round=brief,
            traceparent=self._trace(run),
        )

    # start, fail, log

    async def start(self, agent: AgentName, run: RunId) -> wire.RunAnswer:
        """Acknowledge the run. A second time changes nothing."""
        await self._fleet.recall_run(run)
        await self._fleet.commit(StartRun(run, agent), Context(actor=f"agent:{agent}"))
        self._fleet.saw(agent, (run,))
        return self._run_answer(run)

    async def fail(self, agent: AgentName, run: RunId, request: wire.FailRequest) -> wire.RunAnswer:
        await self._fleet.recall_run(run)
        command = FailRun(
            run=run,
            agent=agent,
            reason=request.reason,
            detail=request.detail,
            usage=request.usage.usage,
            until=request.until,
        )
        await self._fleet.commit(command, Context(actor=f"agent:{agent}"))
        return self._run_answer(run)

    def _run_answer(self, run: RunId) -> wire.RunAnswer:
        return wire.RunAnswer(run=run, state=self._fleet.state.runs[run].state)

    async def log(self, agent: AgentName, run: RunId, request: wire.LogRequest) -> wire.LogAnswer:
        """Keep the lines. A run that has ended may still hand in the rest of its log."""
        await self._own_run(agent, run)
        lines = tuple(LogLine(at=x.at, kind=x.kind.value, text=x.text) for x in request.lines)
        acked = await self._fleet.store.append_log(
            LogChunk(run=run, offset=request.offset, lines=lines)
        )
        self._fleet.note_lines(run, [(line.kind, line.text) for line in lines], acked)
        await self._on_log(run)
        return wire.LogAnswer(acked=acked)

    async def _own_run(self, agent: AgentName, run_id: RunId) -> Run:
        await self._fleet.recall_run(run_id)
        return own_run(self._fleet.state, run_id, agent)

    # receipts

    async def file(
        self, agent: AgentName, request: wire.ReceiptRequest, key: str
    ) -> wire.ReceiptAnswer:
        """File a receipt: answered once durable, verified afterwards. Same key, same receipt."""
        inbox_key = f"receipt:{agent}:{key}"
        receipt = await self._filed(inbox_key)
        if receipt is None:
            try:
                receipt = await self._file(agent, request, inbox_key)
            except Conflict:
                # With its own first sending, perhaps, that was on its way to the disk until now.
                receipt = await self._filed(inbox_key)
                if receipt is None:
                    raise
        filed = await self._own_receipt(agent, receipt)
        if filed.run != request.run:
            detail = f"This key is that of receipt {receipt}, of run {filed.run}: take another."
            raise Conflict(detail, field="Idempotency-Key")
        return self._answer(filed)

    async def _filed(self, inbox_key: str) -> ReceiptId | None:
        """What was filed under the key."""
        earlier = await self._fleet.store.arrival(inbox_key)
        return ReceiptId(earlier.answer.decode()) if earlier and earlier.answer else None

    async def _file(
        self, agent: AgentName, request: wire.ReceiptRequest, inbox_key: str
    ) -> ReceiptId:
        run = RunId(request.run)
        await self._fleet.recall_run(run)
        receipt = self._receipt(request)
        arrival = Arrival(
            key=inbox_key, kind="receipt", at=self._fleet.clock(), answer=receipt.id.encode()
        )
        await self._fleet.commit(
            FileReceipt(run, agent, receipt),
            Context(actor=f"agent:{agent}", cause=f"receipt:{receipt.id}"),
            Beside(arrival),
        )
        self._fleet.saw(agent, (run,))
        return receipt.id

    def _receipt(self, request: wire.ReceiptRequest) -> Receipt:
        return Receipt(
            id=self._new_receipt(),
            pull_request=request.pull_request,
            branch=request.branch,
            head=request.head,
            files=request.files,
            summary=request.summary,
            artifacts=tuple(claim.artifact for claim in request.artifacts),
            usage=request.usage.usage,
            replies=tuple(claim.reply for claim in request.replies),
        )

    async def verdict(
        self, agent: AgentName, receipt: ReceiptId, wait: float
    ) -> wire.ReceiptAnswer:
        """What is known of the receipt; waits up to `wait` seconds while that is nothing yet."""
        filed = await self._own_receipt(agent, receipt)
        await self._wakeups.wait_while(lambda: self._undecided(receipt), filed.task, wait)
        return self._answer(await self._own_receipt(agent, receipt))

    def _undecided(self, receipt: ReceiptId) -> bool:
        filed = self._fleet.state.receipts.get(receipt)
        if filed is None or filed.verdict is not Verdict.PENDING:
            return False
        return self._fleet.state.tasks[filed.task].run == filed.run

    async def _own_receipt(self, agent: AgentName, receipt: ReceiptId) -> FiledReceipt:
        await self._fleet.recall_receipt(receipt)
        filed = self._fleet.state.receipts.get(receipt)
        if filed is None:
            raise NotFound(f"There is no receipt {receipt}.", field="receipt")
        await self._own_run(agent, filed.run)
        return filed

    def _answer(self, filed: FiledReceipt) -> wire.ReceiptAnswer:
        run = self._fleet.state.runs[filed.run]
        return wire.ReceiptAnswer(
            receipt=filed.receipt.id,
            run=filed.run,
            verdict=filed.verdict,
            reasons=filed.reasons,
            unread=filed.unread,
            final=run.ended_at > 0,
            evidence=_evidence(filed),
        )


def _evidence(filed: FiledReceipt) -> wire.Evidence | None:
    if filed.evidence is None:
        return None
    return msgspec.convert(filed.evidence, wire.Evidence, from_attributes=True)
