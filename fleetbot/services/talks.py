"""Between runs and people: questions with their answers, and messages."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from msgspec.structs import replace

from fleetbot import wire
from fleetbot.domain.commands import (
    AnswerAsk,
    AskPerson,
    SendMessage,
    TakeMessage,
    WithdrawAsk,
)
from fleetbot.domain.events import AnyEvent, Recorded, RunAnswered, RunAsked, RunMessaged
from fleetbot.domain.lookup import own_run, the_run
from fleetbot.domain.model import (
    AgentName,
    Ask,
    AskKind,
    Message,
    Run,
    RunId,
    RunState,
    Taken,
    Task,
)
from fleetbot.domain.talk import the_ask
from fleetbot.services.fleet import Context, Fleet
from fleetbot.services.wakeups import Wakeups


class Asked(NamedTuple):
    """A question with all that is known of it; `answer` is None while it waits.

    `answered_by` is the actor of the journal, `answered_at` in epoch milliseconds.
    """

    task: Task
    run: Run
    ask: Ask
    question: RunAsked
    answer: RunAnswered | None = None
    answered_by: str = ""
    answered_at: int = 0

    @property
    def is_open(self) -> bool:
        """Whether an answer would still be heard."""
        return self.answer is None and self.run.state is not RunState.ENDED


class Talks:
    """`new_message` makes ids."""

    def __init__(self, fleet: Fleet, wakeups: Wakeups, new_message: Callable[[], str]) -> None:
        self._fleet = fleet
        self._wakeups = wakeups
        self._new_message = new_message

    # questions

    async def ask(self, agent: AgentName, run: RunId, request: wire.AskRequest) -> wire.AskAnswer:
        """Keep the question; the same id asks once."""
        await self._fleet.recall_run(run)
        command = AskPerson(
            run=run,
            agent=agent,
            ask=request.id,
            kind=AskKind(request.kind),
            title=request.title,
            request=request.request,
            options=request.options,
            cut=request.cut,
            always=request.always,
            expires_at=self._fleet.clock() + int(request.expires_seconds * 1000),
        )
        await self._fleet.commit(command, Context(actor=f"agent:{agent}"))
        return await self._answer(the_ask(self._fleet.state.runs[run], request.id))

    async def hear(self, agent: AgentName, run: RunId, ask: str, wait: float) -> wire.AskAnswer:
        """The answer; waits up to `wait` seconds for one."""
        own = await self._own_run(agent, run)
        the_ask(own, ask)
        await self._wakeups.wait_while(lambda: self._open(run, ask), own.task, wait)
        return await self._answer(the_ask(await self._own_run(agent, run), ask))

    def _open(self, run_id: RunId, ask: str) -> bool:
        run = self._fleet.state.runs.get(run_id)
        return run is not None and not run.ended_at and the_ask(run, ask).behavior is None

    async def answer(
        self, run: RunId, ask: str, request: wire.AnswerRequest, actor: str
    ) -> wire.AskAnswer:
        """A person answers; the first answer counts."""
        await self._fleet.recall_run(run)
        command = AnswerAsk(run, ask, request.behavior, request.text)
        await self._fleet.commit(command, Context(actor=actor))
        return await self._answer(the_ask(self._fleet.state.runs[run], ask))

    async def withdraw(self, agent: AgentName, run: RunId, ask: str) -> wire.AskAnswer:
        """The program no longer asks."""
        await self._fleet.recall_run(run)
        await self._fleet.commit(WithdrawAsk(run, agent, ask), Context(actor=f"agent:{agent}"))
        return await self._answer(the_ask(self._fleet.state.runs[run], ask))

    async def _answer(self, ask: Ask) -> wire.AskAnswer:
        if ask.behavior is None:
            return wire.AskAnswer(state="waiting")
        if ask.withdrawn:
            return wire.AskAnswer(state="withdrawn")
        if ask.expired:
            return wire.AskAnswer(state="expired")
        match await self._line(ask.answered):
            case RunAnswered(text=text):
                return wire.AskAnswer(state="answered", behavior=ask.behavior.value, text=text)
        return wire.AskAnswer(state="waiting")  # the disk has refused the answer

    async def waiting(self) -> wire.AskList:
        """The questions that wait for a person, oldest first."""
        waiting = [
            (run, ask)
            for run in self._fleet.state.live_runs()
            for ask in run.asks
            if ask.behavior is None
        ]
        waiting.sort(key=lambda its: its[1].asked_at)
        return wire.AskList(
            asks=tuple([_view(run, ask, await self._line(ask.asked)) for run, ask in waiting])
        )

    async def asked(self, run: RunId, ask: str) -> Asked | None:
        """The question and its answer as the journal has them; None where there is none."""
        await self._fleet.recall_run(run)
        its = self._fleet.state.runs.get(run)
        found = next((known for known in its.asks if known.id == ask), None) if its else None
        line = await self._recorded(found.asked) if found else None
        if its is None or found is None or line is None or not isinstance(line.event, RunAsked):
            return None
        waiting = Asked(self._fleet.state.tasks[its.task], its, found, line.event)
        answer = await self._recorded(found.answered) if found.answered else None
        if answer is None or not isinstance(answer.event, RunAnswered):
            return waiting
        return waiting._replace(
            answer=answer.event, answered_by=answer.actor, answered_at=answer.at
        )

    async def _line(self, seq: int) -> AnyEvent | None:
        line = await self._recorded(seq)
        return line.event if line else None

    async def _recorded(self, seq: int) -> Recorded | None:
        """The journal's line `seq`; None if it has not reached the disk, or is in the archive."""
        await self._fleet.durable()  # it may be on its way
        lines = await self._fleet.store.events(after=seq - 1, limit=1)
        return lines[0] if lines and lines[0].seq == seq else None

    # messages

    async def send(self, run: RunId, text: str, actor: str) -> wire.MessageView:
        """Say something to the run."""
        await self._fleet.recall_run(run)
        message = self._new_message()
        await self._fleet.commit(SendMessage(run, message, text), Context(actor=actor))
        return wire.MessageView(id=message, run=run, text=text)

    async def messages(self, agent: AgentName, run: RunId, wait: float) -> wire.MessageList:
        """What the agent has not taken yet; waits up to `wait` seconds for something."""
        own = await self._own_run(agent, run)
        await self._wakeups.wait_while(lambda: self._nothing_new(run), own.task, wait)
        current = await self._own_run(agent, run)
        return wire.MessageList(
            messages=tuple(_message(current, m) for m in current.messages if m.taken is None)
        )

    def _nothing_new(self, run_id: RunId) -> bool:
        run = self._fleet.state.runs.get(run_id)
        return run is not None and not run.ended_at and all(m.taken for m in run.messages)

    async def take(self, agent: AgentName, run: RunId, message: str, taken: Taken) -> None:
        """The agent says what became of a message."""
        await self._fleet.recall_run(run)
        command = TakeMessage(run, agent, message, taken)
        await self._fleet.commit(command, Context(actor=f"agent:{agent}"))

    async def all_messages(self, run_id: RunId) -> wire.MessageList:
        """What was said to the run, and what became of it."""
        await self._fleet.recall_run(run_id)
        run = the_run(self._fleet.state, run_id)
        told = [_message(run, await self._in_full(message)) for message in run.messages]
        return wire.MessageList(messages=tuple(told))

    async def _in_full(self, message: Message) -> Message:
        """With its words, which are only in the journal once they were heard."""
        match None if message.text else await self._line(message.said):
            case RunMessaged(text=text):
                return replace(message, text=text)
        return message

    async def _own_run(self, agent: AgentName, run_id: RunId) -> Run:
        await self._fleet.recall_run(run_id)
        return own_run(self._fleet.state, run_id, agent)


def _view(run: Run, ask: Ask, asked: AnyEvent | None) -> wire.AskView:
    return wire.AskView(
        id=ask.id,
        run=run.id,
        task=run.task,
        agent=run.agent,
        kind=ask.kind,
        title=ask.title,
        request=asked.request if isinstance(asked, RunAsked) else {},
        options=ask.options,
        asked_at=ask.asked_at,
        expires_at=ask.expires_at,
        cut=ask.cut,
        always=ask.always,
    )


def _message(run: Run, message: Message) -> wire.MessageView:
    return wire.MessageView(id=message.id, run=run.id, text=message.text, taken=message.taken)
