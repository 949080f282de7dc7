"""The agent program in one run: started once, and again for each refuted receipt."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Coroutine, Iterable, Mapping
from contextlib import suppress
from typing import Any

import msgspec

from fleetbot.domain.reasons import ReasonCode
from fleetbot.domain.usage import Usage, add_usage, since
from fleetbot.runner.failure import RunFailed
from fleetbot.runner.git.worktree import Worktree
from fleetbot.runner.run import prompt, rounds
from fleetbot.runner.run.briefing import Briefing, about_trust, fitted, telling
from fleetbot.runner.run.memory import Memory
from fleetbot.runner.run.messages import Messages
from fleetbot.runner.run.prompt import Context
from fleetbot.runner.run.questions import Questions
from fleetbot.runner.run.rounds import Told
from fleetbot.runner.run.runlog import RunLog
from fleetbot.runner.run.setup import Setup
from fleetbot.runner.run.spool import RunRecord, Used
from fleetbot.runner.sandbox.masking import Masker
from fleetbot.runner.session import contract
from fleetbot.wire import LineKind, ReplyClaim

_LEAST_BUDGET = 0.001  # dollars; 0 might mean none
_LEAST_ROOM = 1000  # characters of an issue, however long everything else is


class Conversation:
    """Launches the program, follows its events, joins it with people."""

    def __init__(self, setup: Setup, record: RunRecord, log: RunLog, masker: Masker) -> None:
        self._setup = setup
        self._record = record
        self._order = record.order
        self._log = log
        self._masker = masker
        memory = setup.memories.of(record.order.task)
        brief = record.order.round
        self._memory = memory.taken_up(is_round=brief is not None)
        self.words_before = memory.words_in(brief.number) if brief else ()
        self._used_before = record.usage
        self._resets_at: int | None = None
        self._telling: tuple[str, ...] = ()
        self._messages = Messages(setup.link, record.order.run, record.order.notes, log.add)
        self._questions = Questions(
            setup.link,
            record.order.run,
            setup.machine.config.limits.question_seconds,
            log.add,
            masker,
        )

    def keep_words(self, replies: Iterable[ReplyClaim]) -> None:
        """For the next attempt at this round, as this one has come to nothing."""
        if (brief := self._order.round) is not None:
            with suppress(OSError):  # why it has is to be told in any case
                self._remember(self._memory.said(brief.number, replies))

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
        if not self._telling:
            for said in filter(None, (*tree.start.notes, about_trust(briefing))):
                self._log.add(said)
        clock = asyncio.get_running_loop().time
        began = clock()
        messages = self._messages.hand_over()
        resumed = self.resumes

        def start(left: float) -> Coroutine[Any, Any, contract.Finished]:
            context = self._context(tree, briefing, refuted, messages)
            return self._start(tree, env, context, left)

        finished = await start(seconds)
        if resumed and not finished.resumable:
            # The session is at fault, not the task: the same work is begun without it.
            finished = await start(seconds - (clock() - began))
        if finished.outcome != "done":
            raise self._failure(finished)
        return finished

    async def _start(
        self, tree: Worktree, env: Mapping[str, str], context: Context, seconds: float
    ) -> contract.Finished:
        """Start the program once, and follow it to its end."""
        if self._memory.left and not self.resumes:
            self._log.add(f"begins a new session; the earlier one is left: {self._memory.left}")
        text = prompt.load(self._setup.agent.prompt).fill(context)
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
        return finished

    def _spec(
        self, tree: Worktree, env: Mapping[str, str], text: str, seconds: float
    ) -> contract.LaunchSpec:
        agent, memory = self._setup.agent, self._memory
        offered = self._setup.offered(self._order)
        return contract.LaunchSpec(
            run=self._order.run,
            prompt=text,
            workdir=tree.path,
            env=env,
            home=self._setup.home,
            git_dirs=tree.git_dirs,
            readable=(*tree.readable, *(offered.readable if offered else ())),
            programs=offered.programs if offered else (),
            unasked=("fleetbot reply", offered.reply) if offered else (),
            session=memory.session,
            baseline=memory.usage,
            limits=self._limits(seconds),
            permissions=agent.permissions,
            sandbox=self._setup.sandbox,
            quota=self._setup.machine.config.limits.quota,
        )

    def _context(
        self,
        tree: Worktree,
        briefing: Briefing,
        refuted: tuple[str, ...],
        messages: tuple[str, ...],
    ) -> Context:
        order, room = self._order, self._setup.machine.config.limits.prompt_chars
        known = self._memory.told if self.resumes else ()
        seen = self.resumes and (tree.as_left or bool(self._telling))
        more = {
            "refuted": fitted(refuted, room // 8),
            "messages": fitted(messages, room // 4),
            "earlier": () if seen else fitted(tree.earlier, room // 16),
        }
        room -= sum(len(text) for texts in more.values() for text in texts)
        round = self._round(tree, known, room)
        room -= round.size if round else 0
        told = telling(briefing, order.kind, known, max(room, _LEAST_ROOM))
        self._telling = (*told.marks, *(round.marks if round else ()))
        return Context(
            agent=self._setup.agent.name,
            repo=order.repo,
            branch=order.branch,
            base=tree.start.base,
            attempt=order.attempt,
            issue=told.issue,
            comments=told.comments,
            left_out=briefing.left_out,
            older=told.older,
            instructions=prompt.instructions_in(tree.path),
            resumed=self.resumes,
            afresh=bool(self._memory.left) and not self.resumes,
            commits=not self._setup.agent.commit_leftovers,
            kept=tree.start.source == "kept",
            round=round.round if round else None,
            **more,
        )

    def _round(self, tree: Worktree, known: Collection[str], room: int) -> Told | None:
        """What the task's pull request is owed: it comes before the issue, and leaves it a part."""
        if (brief := self._order.round) is None:
            return None
        offered = self._setup.offered(self._order)
        return rounds.telling(
            brief,
            known,
            room * 3 // 4,
            reply=offered.reply if offered else "",
            answered=[one.thread for one in (*self.words_before, *self._record.replies)],
            merge=tree.merge,
            mask=self._masker.text,
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
                self._judge(event, resumed=spec.session is not None, greeted=greeted)
                return event
            greeted = greeted or isinstance(event, contract.SessionStarted)
            self._follow_event(event, session)
        raise RunFailed(ReasonCode.NO_RESULT, "the adapter ended without a result")

    def _judge(self, finished: contract.Finished, *, resumed: bool, greeted: bool) -> None:
        """Decide whether the next start goes on with this session."""
        if finished.outcome == "failed":
            self._remember(self._memory.failed(finished, resumed=resumed, greeted=greeted))
        elif finished.outcome == "done" and self._memory.failures:
            self._remember(msgspec.structs.replace(self._memory, failures=0))

    def _follow_event(self, event: contract.Event, session: contract.Session) -> None:
        match event:
            case contract.LogLine():
                self._log.output(event.text, LineKind(event.kind))
            case contract.ToolUse():
                self._log.output(f"{event.name}: {event.summary}", LineKind.TOOL)
            case contract.Question():
                self._questions.ask(session, event)
            case contract.QuestionWithdrawn():
                self._questions.withdraw(event.id)
            case contract.Used():
                self._account(event.usage)
            case contract.LimitReached():
                at = event.resets_at
                self._resets_at = None if at is None else int(at * 1000)
            case contract.SessionStarted():
                self._remember(self._memory.begun(event.session, self._telling))

    def _account(self, turn: Usage) -> None:
        """`turn` is what this start of the program has used so far."""
        spent = add_usage(self._used_before, turn)
        before = self._record.usage
        self._record.note(Used(spent))
        in_all = add_usage(self._memory.usage, since(spent, before))
        self._remember(msgspec.structs.replace(self._memory, usage=in_all))

    def _failure(self, finished: contract.Finished) -> RunFailed:
        reason = finished.reason or ReasonCode.AGENT_FAILED
        until = self._resets_at if reason is ReasonCode.USAGE_LIMIT else None
        return RunFailed(reason, finished.detail or finished.summary, until=until)

    def _remember(self, memory: Memory) -> None:
        self._memory = memory
        self._setup.memories.save(self._order.task, memory)


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
