"""What a finding on a receipt leads to."""

from __future__ import annotations

from typing import assert_never

from msgspec.structs import replace

from fleetbot.domain import commands as cmd
from fleetbot.domain import events as ev
from fleetbot.domain.draft import Draft, Drafts
from fleetbot.domain.model import Agent, AgentStatus, FiledReceipt, Policy, Run, RunState, Verdict
from fleetbot.domain.outcome import ended
from fleetbot.domain.patience import with_check
from fleetbot.domain.reasons import ReasonCode
from fleetbot.domain.receipts import Refuted, Unknown, Verified
from fleetbot.domain.state import FleetState, task_stream


def conclude(state: FleetState, command: cmd.Conclude, now: int, policy: Policy) -> Drafts:
    """Nothing, where the receipt is decided, or its run over, by now."""
    filed = state.receipts.get(command.receipt)
    if filed is None or filed.verdict is not Verdict.PENDING:
        return ()
    run = state.runs.get(filed.run)
    if run is None or run.state is RunState.ENDED:
        return ()  # cancelled while it was being verified
    stream = task_stream(run.task)
    match command.finding:
        case Verified(evidence=evidence):
            seen = replace(evidence, checked_at=now) if evidence else None
            verified = ev.ReceiptVerified(run=run.id, receipt=filed.receipt.id, evidence=seen)
            return (Draft(stream, verified), Draft(stream, _completed(filed)))
        case Refuted() as finding:
            return _refute(state, run, filed, finding, now, policy)
        case Unknown() as finding:
            return _leave_open(state, run, filed, finding, now, policy)
        case _:
            assert_never(command.finding)


def _completed(filed: FiledReceipt) -> ev.TaskCompleted:
    its = filed.receipt
    return ev.TaskCompleted(
        run=filed.run, receipt=its.id, pull_request=its.pull_request, head=its.head
    )


def _leave_open(
    state: FleetState,
    run: Run,
    filed: FiledReceipt,
    finding: Unknown,
    now: int,
    policy: Policy,
) -> Drafts:
    """It is checked again, until people have had time enough to mend what keeps it from being
    decided; it ends with a check of its own, so that no downtime of ours decides."""
    stream = task_stream(run.task)
    deadline = state.moved(run.id, filed.filed_at) + policy.verify_ms
    wait = with_check(policy, soon=finding.soon).wait(filed.checks, filed.receipt.id)
    unknown = ev.ReceiptUnknown(
        run=run.id,
        receipt=filed.receipt.id,
        unread=finding.unread,
        check_at=min(now + wait, max(now, deadline)),
        own_head=finding.own_head and not filed.own_head,
        checks=finding.checks,
    )
    if now < deadline:
        return (Draft(stream, unknown),)
    failed = ev.TaskFailed(
        run=run.id,
        reason=ReasonCode.RECEIPT_UNREAD,
        detail=" ".join(finding.unread),
        usage=filed.receipt.usage,
    )
    return (Draft(stream, unknown), Draft(stream, failed))


def _refute(
    state: FleetState,
    run: Run,
    filed: FiledReceipt,
    finding: Refuted,
    now: int,
    policy: Policy,
) -> Drafts:
    final = run.refutations >= policy.max_refutations
    refuted = ev.ReceiptRefuted(
        run=run.id,
        receipt=filed.receipt.id,
        reasons=finding.reasons,
        final=final,
        own_head=finding.own_head or filed.own_head,
        checks=finding.checks,
    )
    draft = Draft(task_stream(run.task), refuted)
    agent = state.agents[run.agent]
    if not final and agent.status is AgentStatus.ONLINE:
        return (draft,)
    if not final:
        return (draft, *ended(state, run, _nobody_mends_it(run, filed, agent), now, policy))
    failed = ev.TaskFailed(
        run=run.id,
        reason=ReasonCode.RECEIPT_REFUTED,
        detail=" ".join(finding.reasons),
        usage=filed.receipt.usage,
    )
    return (draft, *ended(state, run, failed, now, policy))


def _nobody_mends_it(run: Run, filed: FiledReceipt, agent: Agent) -> ev.TaskAgentLost:
    reason = ReasonCode.AGENT_LOST
    if agent.status is AgentStatus.DEREGISTERED:
        reason = ReasonCode.AGENT_REVOKED if agent.revoked else ReasonCode.AGENT_DEREGISTERED
    return ev.TaskAgentLost(run=run.id, reason=reason, usage=filed.receipt.usage)
