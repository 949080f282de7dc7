"""What every adapter must do, as tests: subclass `AdapterContract` and say how to stage a scenario.

For an adapter `Mine`, in a test module run by pytest with pytest-asyncio:

    class TestMine(AdapterContract):
        async def launch(self, scenario, limits):
            return await Mine(...).launch(LaunchSpec(run=RUN, limits=limits, ...))

Each test stages one scenario with the program, or a stand-in for it, and looks only at the session.
A scenario that cannot happen with a program (a question where it never asks) is staged as None; its
test then passes. The run id of every spec must be `RUN`, by which left-over processes are found.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from typing import Literal

from fleetbot.domain.reasons import ReasonCode
from fleetbot.runner.adapters import (
    Answer,
    Event,
    Finished,
    LimitReached,
    Limits,
    LogLine,
    Question,
    Session,
    ToolUse,
)
from fleetbot.runner.sandbox.process import survivors

RUN = f"contract-{os.getpid()}"  # two test runs on one machine must not sweep each other

Scenario = Literal[
    "done",  # works for a moment, says a word about it, ends well
    "busy",  # starts to work and goes on until it is stopped
    "steered",  # works until a message was heard, then ends well
    "stall",  # starts well, then says nothing more
    "mute",  # starts and never says anything
    "question",  # asks for a permission or a choice, ends well whatever the answer
    "limit",  # meets a usage limit that says when it resets
    "crash",  # ends with an error of its own
    "garbage",  # writes what nobody can read, and ends
    "no result",  # ends without an error and without a result
]


class AdapterContract(ABC):
    """The tests; `launch` is the adapter author's part."""

    @abstractmethod
    async def launch(self, scenario: Scenario, limits: Limits) -> Session | None:
        """Start a run in which the scenario happens; None if it cannot happen."""

    async def test_a_run_that_ends_well_is_done(self) -> None:
        if session := await self.launch("done", _limits()):
            last = await the_end(session)
            assert (last.outcome, last.reason) == ("done", None), last
            assert last.summary

    async def test_after_the_end_nothing_can_be_said(self) -> None:
        if session := await self.launch("done", _limits()):
            await the_end(session)
            assert await session.steer("too late") == "kept"
            assert await session.answer("unknown", Answer("allow")) is False
            await session.stop(ReasonCode.CANCELLED_BY_USER)
            assert survivors(RUN) == []

    async def test_a_cancelled_run_says_so_and_leaves_nothing(self) -> None:
        if session := await self.launch("busy", _limits()):
            events = session.events()
            await _work(events)
            await session.stop(ReasonCode.CANCELLED_BY_USER)
            last = await _last(events)
            assert (last.outcome, last.reason) == ("cancelled", ReasonCode.CANCELLED_BY_USER)
            assert survivors(RUN) == []

    async def test_a_stop_does_not_wait_for_a_reader(self) -> None:
        if session := await self.launch("busy", _limits()):
            await session.stop(ReasonCode.CANCELLED_BY_USER)
            assert survivors(RUN) == []

    async def test_a_run_that_takes_too_long_is_ended(self) -> None:
        if session := await self.launch("busy", _limits(wall_seconds=2)):
            last = await the_end(session)
            assert (last.outcome, last.reason) == ("failed", ReasonCode.TIMEOUT)
            assert survivors(RUN) == []

    async def test_a_silent_program_is_ended(self) -> None:
        if session := await self.launch("stall", _limits(idle_seconds=1)):
            last = await the_end(session)
            assert (last.outcome, last.reason) == ("failed", ReasonCode.IDLE_TIMEOUT)
            assert survivors(RUN) == []

    async def test_a_program_that_never_says_anything_is_ended(self) -> None:
        limits = _limits(start_seconds=0.5, idle_seconds=0.5, wall_seconds=3)
        if session := await self.launch("mute", limits):
            last = await the_end(session)
            assert last.reason in (
                ReasonCode.START_TIMEOUT,
                ReasonCode.IDLE_TIMEOUT,
                ReasonCode.TIMEOUT,
            )

    async def test_a_message_is_heard_or_kept(self) -> None:
        if session := await self.launch("steered", _limits()):
            events = session.events()
            await _work(events)
            delivery = await session.steer("a message")
            if delivery == "kept":
                await session.stop(ReasonCode.CANCELLED_BY_USER)
            last = await _last(events)
            assert last.outcome == ("done" if delivery == "delivered" else "cancelled"), last

    async def test_an_allowed_question_lets_the_run_go_on(self) -> None:
        if session := await self.launch("question", _limits()):
            events = session.events()
            question = await _next_question(events)
            choice = question.options[0] if question.kind == "question" else ""
            assert await session.answer(question.id, Answer("allow", choice))
            assert await session.answer(question.id, Answer("allow", choice)) is False
            assert (await _last(events)).outcome == "done"

    async def test_a_denied_question_lets_the_run_go_on(self) -> None:
        if session := await self.launch("question", _limits()):
            events = session.events()
            question = await _next_question(events)
            assert await session.answer(question.id, Answer("deny", "no"))
            assert (await _last(events)).outcome == "done"

    async def test_an_open_question_stops_the_idle_clock_and_can_be_cancelled(self) -> None:
        if session := await self.launch("question", _limits(idle_seconds=2, wall_seconds=4)):
            events = session.events()
            await _next_question(events)
            assert (await _last(events)).reason is ReasonCode.TIMEOUT

    async def test_a_usage_limit_comes_with_its_reset(self) -> None:
        if session := await self.launch("limit", _limits()):
            events = [event async for event in session.events()]
            limits = [event for event in events if isinstance(event, LimitReached)]
            assert [limit.resets_at is not None for limit in limits] == [True]
            assert _checked(events).reason is ReasonCode.USAGE_LIMIT

    async def test_a_crash_is_a_failure_with_the_programs_words(self) -> None:
        if session := await self.launch("crash", _limits()):
            last = await the_end(session)
            assert (last.outcome, last.reason) == ("failed", ReasonCode.AGENT_FAILED)
            assert last.detail

    async def test_garbage_is_a_failure(self) -> None:
        if session := await self.launch("garbage", _limits()):
            last = await the_end(session)
            assert (last.outcome, last.reason) == ("failed", ReasonCode.UNREADABLE_OUTPUT)

    async def test_an_end_without_a_result_is_no_success(self) -> None:
        if session := await self.launch("no result", _limits()):
            last = await the_end(session)
            assert (last.outcome, last.reason) == ("failed", ReasonCode.NO_RESULT)


async def the_end(session: Session) -> Finished:
    """Read a session to its end."""
    return _checked([event async for event in session.events()])


def _limits(
    wall_seconds: float = 40,
    idle_seconds: float = 30,
    start_seconds: float = 30,
    grace_seconds: float = 5,
) -> Limits:
    return Limits(
        wall_seconds=wall_seconds,
        idle_seconds=idle_seconds,
        start_seconds=start_seconds,
        grace_seconds=grace_seconds,
    )


def _checked(events: list[Event]) -> Finished:
    finished = [event for event in events if isinstance(event, Finished)]
    assert finished == events[-1:], "a session ends with exactly one Finished"
    return finished[0]


async def _last(events: AsyncIterator[Event]) -> Finished:
    return _checked([event async for event in events])


async def _work(events: AsyncIterator[Event]) -> None:
    """Wait for the first sign of work; a program may show none before its end."""
    async for event in events:
        if isinstance(event, ToolUse) or (isinstance(event, LogLine) and event.kind == "assistant"):
            return


async def _next_question(events: AsyncIterator[Event]) -> Question:
    async for event in events:
        if isinstance(event, Question):
            return event
    raise AssertionError("no question came")
