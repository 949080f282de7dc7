"""The agent program in one run: started once, and again for each refuted receipt."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping
from typing import Any

import msgspec

from fleetbot.domain.model import Usage
from fleetbot.domain.reasons import ReasonCode
from fleetbot.runner.failure import RunFailed
from fleetbot.runner.git.worktree import Worktree
from fleetbot.runner.run import prompt
from fleetbot.runner.run.briefing import Briefing
from fleetbot.runner.run.memory import Memory
from fleetbot.runner.run.messages import Messages
from fleetbot.runner.run.prompt import CommentContext, Context, IssueContext
from fleetbot.runner.run.questions import Questions
from fleetbot.runner.run.runlog import RunLog
from fleetbot.runner.run.setup import Setup
from fleetbot.runner.run.spool import RunRecord, Used
from fleetbot.runner.sandbox.masking import Masker
from fleetbot.runner.session import contract

_LEAST_BUDGET = 0.001  # dollars; 0 might mean none


class Conversation:
    """Launches the program, follows its events, joins it with people."""

    def __init__(self, setup: Setup, record: RunRecord, log: RunLog, masker: Masker) -> None:
        self._setup = setup
        self._record = record
        self._order = record.order
        self._log = log
        self._memory: Memory = setup.memories.of(record.order.task)
        self._used_before = record.usage
        self._resets_at: int | None = None
        self._messages = Messages(setup.link, record.order.run, record.order.notes, log.add)
        self._questions = Questions(
            setup.link,
            record.order.run,
            setup.machine.config.limits.question_seconds,
            log.add,
            masker,
        )

    @property
    def resumes(self) -> bool:
        """Whether the program goes on with a session of an earlier attempt."""
        return self._memory.session is not None

    async def turn(
        self,
        tree: Worktree,
        env: Mapping[str, str],
        briefing: Briefing,
        refuted: tuple[str, ...],
        seconds: float,
    ) -> contract.Finished:
        """Let the program work until it ends well. Raises RunFailed."""
        text = prompt.load(self._setup.agent.prompt).fill(self._context(tree, briefing, refuted))
        spec = self._spec(tree, env, text, seconds)
        self._used_before = self._record.usage
        session = await self._setup.adapter.launch(spec)
        listening = asyncio.create_task(self._messages.listen(session))
        try:
            finished = await self._follow(session, spec)
        finally:
            listening.cancel()
            await self._questions.close()
            await _to_the_end(session.stop(ReasonCode.CANCELLED_BY_USER))
        for denial in finished.permission_denials:
            self._log.add(f"was not allowed: {denial.tool}: {denial.summary}")
        if finished.outcome != "done":
            raise self._failure(finished)
        return finished

    def _spec(
        self, tree: Worktree, env: Mapping[str, str], text: str, seconds: float
    ) -> contract.LaunchSpec:
        agent, memory = self._setup.agent, self._memory
        return contract.LaunchSpec(
            run=self._order.run,
            prompt=text,
            workdir=tree.path,
            env=env,
            home=self._setup.home,
            git_dirs=tree.git_dirs,
            readable=tree.readable,
            session=memory.session,
            baseline=contract.Usage(**msgspec.structs.asdict(memory.usage)),
            limits=self._limits(seconds),
            permissions=agent.permissions,
            sandbox=self._setup.sandbox,
            quota=self._setup.machine.config.limits.quota,
        )

    def _context(self, tree: Worktree, briefing: Briefing, refuted: tuple[str, ...]) -> Context:
        order, issue = self._order, briefing.issue
        return Context(
            agent=self._setup.agent.name,
            repo=order.repo,
            branch=order.branch,
            base=tree.start.base,
            attempt=order.attempt,
            issue=IssueContext(
                number=issue.number,
                title=issue.title,
                kind=order.kind,
                body=issue.body or "",
                author=issue.author,
                url=issue.html_url,
                trusted=briefing.author_trusted,
            ),
            comments=tuple(
                CommentContext(comment.author, comment.body or "", comment.created_at)
                for comment in briefing.comments
            ),
            left_out=briefing.left_out,
            instructions=prompt.instructions_in(tree.path),
            earlier=tree.earlier,
            messages=self._messages.take(),
            refuted=refuted,
            resumed=self.resumes,
        )

    def _limits(self, seconds: float) -> contract.Limits:
        limits = self._setup.machine.config.launch_limits(seconds)
        if self._order.budget_usd is None:
            return limits
        left = self._order.budget_usd - (self._record.usage.cost_usd or 0)
        return msgspec.structs.replace(limits, max_budget_usd=max(left, _LEAST_BUDGET))

    async def _follow(
        self, session: contract.Session, spec: contract.LaunchSpec
    ) -> contract.Finished:
        greeted = False
        async for event in session.events():
            if isinstance(event, contract.Finished):
                if spec.session is not None and event.outcome == "failed" and not greeted:
                    # The session could not be taken up again: the next attempt begins a new one.
                    self._remember(session=None, usage=Usage())
                return event
            greeted = greeted or isinstance(event, contract.SessionStarted)
            self._take(event, session)
        raise RunFailed(ReasonCode.NO_RESULT, "the adapter ended without a result")

    def _take(self, event: contract.Event, session: contract.Session) -> None:
        match event:
            case contract.LogLine():
                self._log.output(event.text, event.kind)
            case contract.ToolUse():
                self._log.output(f"{event.name}: {event.summary}", "tool")
            case contract.Question():
                self._questions.ask(session, event)
            case contract.QuestionWithdrawn():
                self._questions.withdraw(event.id)
            case contract.Usage():
                self._account(Usage(**msgspec.structs.asdict(event)))
            case contract.LimitReached():
                at = event.resets_at
                self._resets_at = None if at is None else int(at * 1000)
            case contract.SessionStarted() if event.session != self._memory.session:
                self._remember(session=event.session, usage=Usage())

    def _account(self, turn: Usage) -> None:
        """`turn` is what this start of the program has used so far."""
        spent = _sum(self._used_before, turn)
        before = self._record.usage
        self._record.note(Used(spent))
        self._remember(usage=_sum(self._memory.usage, _difference(spent, before)))

    def _failure(self, finished: contract.Finished) -> RunFailed:
        reason = finished.reason or ReasonCode.AGENT_FAILED
        until = self._resets_at if reason is ReasonCode.USAGE_LIMIT else None
        return RunFailed(reason, finished.detail or finished.summary, until=until)

    def _remember(self, **changes: Any) -> None:
        self._memory = msgspec.structs.replace(self._memory, **changes)
        self._setup.memories.keep(self._order.task, self._memory)


def _sum(one: Usage, other: Usage) -> Usage:
    costs = [cost for cost in (one.cost_usd, other.cost_usd) if cost is not None]
    return Usage(
        input_tokens=one.input_tokens + other.input_tokens,
        output_tokens=one.output_tokens + other.output_tokens,
        cached_tokens=one.cached_tokens + other.cached_tokens,
        cost_usd=sum(costs) if costs else None,
    )


def _difference(later: Usage, earlier: Usage) -> Usage:
    cost = None if later.cost_usd is None else later.cost_usd - (earlier.cost_usd or 0)
    return Usage(
        input_tokens=later.input_tokens - earlier.input_tokens,
        output_tokens=later.output_tokens - earlier.output_tokens,
        cached_tokens=later.cached_tokens - earlier.cached_tokens,
        cost_usd=cost,
    )


async def _to_the_end(work: Coroutine[Any, Any, None]) -> None:
    """Finish the work even if this task is cancelled meanwhile; the cancellation comes after."""
    task = asyncio.ensure_future(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError as caught:
            cancelled = caught
    task.result()
    if cancelled is not None:
        raise cancelled
