"""What every adapter must do, as tests: subclass `AdapterContract` and say how to stage a scenario.

For an adapter `Mine`, in a test module run by pytest with pytest-asyncio:

    class TestMine(AdapterContract):
        async def launch(self, scenario, limits):
            return await Mine(...).launch(LaunchSpec(run=RUN, limits=limits, ...))

Each test stages one scenario with the program, or a stand-in for it, and looks only at the session.
A scenario that cannot happen with a program (a question where it never asks) is staged as None;
its test is then skipped. The run id of every spec must be `RUN`, by which left-over processes are
found, and the prompt `PROMPT`, which is longer than a pipe takes at once.
"""

from __future__ import annotations

import os
import re
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Literal

import msgspec
import pytest

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
PROMPT = f"Begin. {'word ' * 20_000}The last word is {RUN}-heard."

Scenario = Literal[
    "done",  # works for a moment, says a word about it, ends well
    "busy",  # starts to work and goes on until it is stopped
    "stubborn",  # is busy, and will not end on any signal that can be ignored
    "steered",  # works until a message was heard, then ends well
    "commanded",  # the same, where the message is what it takes for a command of its own: /stop
    "stall",  # starts well, then says nothing more
    "mute",  # starts and never says anything
    "question",  # asks for a permission or a choice, ends well whatever the answer
    "limit",  # meets a usage limit that says when it resets
    "crash",  # ends with an error of its own
    "garbage",  # writes what nobody can read, and ends
    "no result",  # ends without an error and without a result
    "echo",  # says the last word of its prompt, ends well
    "odd text",  # says ODD in its own words, with half a character and a NUL in it, ends well
    "long line",  # writes a line of 10 MB, ends well
    "lingers",  # says that it is done, and neither exits nor says another word
    "talks on",  # says that it is done, and neither exits nor ever stops talking
    "sub-agent",  # a helper of its own ends before it; its own last word is "main"
    "background",  # says that it is done while work it announced goes on without end
    "clean child",  # says `pid <number>` of a child without a variable and a session of ours; busy
]


class AdapterContract(ABC):
    """The tests; `launch` is the adapter author's part."""

    @abstractmethod
    async def launch(self, scenario: Scenario, limits: Limits) -> Session | None:
        """Start a run in which the scenario happens; None if it cannot happen."""

    async def stage(self, scenario: Scenario, **limits: float) -> Session:
        """The session of a scenario; the test is skipped where there is none."""
        if (session := await self.launch(scenario, _limits(**limits))) is None:
            pytest.skip(f"with this program there is no {scenario!r}")
        return session

    async def test_a_run_that_ends_well_is_done(self) -> None:
        session = await self.stage("done")
        last = await the_end(session)
        assert (last.outcome, last.reason) == ("done", None), last
        assert last.summary
        # After the end nothing can be said.
        assert await session.steer("too late") == "kept"
        assert await session.answer("unknown", Answer("allow")) is False
        await session.stop(ReasonCode.CANCELLED_BY_USER)
        assert survivors(RUN) == []

    async def test_a_cancelled_run_says_so_and_leaves_nothing(self) -> None:
        session = await self.stage("busy")
        events = session.events()
        await _work(events)
        await session.stop(ReasonCode.CANCELLED_BY_USER)
        last = await _last(events)
        assert (last.outcome, last.reason) == ("cancelled", ReasonCode.CANCELLED_BY_USER)
        assert survivors(RUN) == []

    async def test_a_stop_does_not_wait_for_a_reader(self) -> None:
        session = await self.stage("busy")
        await session.stop(ReasonCode.CANCELLED_BY_USER)
        assert survivors(RUN) == []

    async def test_a_run_that_takes_too_long_is_ended(self) -> None:
        session = await self.stage("busy", wall_seconds=2)
        last = await the_end(session)
        assert (last.outcome, last.reason) == ("failed", ReasonCode.TIMEOUT)
        assert survivors(RUN) == []

    async def test_a_silent_program_is_ended(self) -> None:
        session = await self.stage("stall", idle_seconds=1)
        last = await the_end(session)
        assert (last.outcome, last.reason) == ("failed", ReasonCode.IDLE_TIMEOUT)
        assert survivors(RUN) == []

    async def test_a_program_that_never_says_anything_is_ended(self) -> None:
        session = await self.stage("mute", start_seconds=0.5, idle_seconds=0.5, wall_seconds=3)
        last = await the_end(session)
        assert last.reason in (
            ReasonCode.START_TIMEOUT,
            ReasonCode.IDLE_TIMEOUT,
            ReasonCode.TIMEOUT,
        )

    async def test_the_wall_clock_runs_before_the_first_word(self) -> None:
        session = await self.stage("mute", wall_seconds=0.5)
        last = await the_end(session)
        assert (last.outcome, last.reason) == ("failed", ReasonCode.TIMEOUT)
        assert survivors(RUN) == []

    async def test_a_program_that_will_not_end_is_killed(self) -> None:
        session = await self.stage("stubborn", grace_seconds=0.5)
        events = session.events()
        await _work(events)
        await session.stop(ReasonCode.CANCELLED_BY_USER)
        assert (await _last(events)).outcome == "cancelled"
        assert survivors(RUN) == []

    async def test_a_program_that_is_done_and_does_not_exit_is_ended(self) -> None:
        session = await self.stage("lingers", grace_seconds=0.5)
        assert (await the_end(session)).outcome == "done"
        assert survivors(RUN) == []

    async def test_words_after_the_result_do_not_keep_a_run(self) -> None:
        session = await self.stage("talks on", idle_seconds=1, grace_seconds=0.5)
        assert (await the_end(session)).outcome == "done"
        assert survivors(RUN) == []

    async def test_the_wall_clock_runs_after_the_result_too(self) -> None:
        session = await self.stage("talks on", wall_seconds=2, grace_seconds=0.5)
        assert (await the_end(session)).outcome == "done"
        assert survivors(RUN) == []

    async def test_a_run_can_be_cancelled_after_its_result(self) -> None:
        session = await self.stage("talks on", grace_seconds=0.5)
        events = session.events()
        await _work(events)
        await session.stop(ReasonCode.CANCELLED_BY_USER)
        assert (await _last(events)).outcome == "cancelled"
        assert survivors(RUN) == []

    async def test_a_helper_of_the_program_does_not_speak_for_it(self) -> None:
        session = await self.stage("sub-agent")
        last = await the_end(session)
        assert (last.outcome, last.summary) == ("done", "main")

    async def test_background_work_keeps_a_run_until_its_time_is_over(self) -> None:
        session = await self.stage("background", wall_seconds=6, grace_seconds=0.5)
        last = await the_end(session)
        assert (last.outcome, last.reason) == ("failed", ReasonCode.TIMEOUT)
        assert survivors(RUN) == []

    async def test_background_work_without_a_word_does_not_undo_what_was_done(self) -> None:
        session = await self.stage("background", idle_seconds=2, grace_seconds=0.5)
        assert (await the_end(session)).outcome == "done"
        assert survivors(RUN) == []

    async def test_a_long_prompt_arrives_whole(self) -> None:
        session = await self.stage("echo")
        assert f"{RUN}-heard" in (await the_end(session)).summary

    async def test_what_a_program_says_can_be_written_down(self) -> None:
        session = await self.stage("odd text")
        events = [event async for event in session.events()]
        text = msgspec.json.encode(events).decode()
        assert "ODD" in text
        assert "\\u0000" not in text
        assert _checked(events).outcome == "done"

    async def test_a_long_line_ends_nothing(self) -> None:
        session = await self.stage("long line")
        events = [event async for event in session.events()]
        assert len(msgspec.json.encode(events)) < 2**17
        assert _checked(events).outcome == "done"

    async def test_a_child_that_hides_ends_with_the_run(self) -> None:
        session = await self.stage("clean child")
        events = session.events()
        pid = await _told_pid(events)
        await session.stop(ReasonCode.CANCELLED_BY_USER)
        assert not _is_alive(pid)

    async def test_a_message_is_heard_or_kept(self) -> None:
        session = await self.stage("steered")
        events = session.events()
        await _work(events)
        delivery = await session.steer("a message")
        if delivery == "kept":
            await session.stop(ReasonCode.CANCELLED_BY_USER)
        last = await _last(events)
        assert last.outcome == ("done" if delivery == "delivered" else "cancelled"), last

    async def test_a_message_that_looks_like_a_command_is_words(self) -> None:
        session = await self.stage("commanded", idle_seconds=10)
        events = session.events()
        await _work(events)
        assert await session.steer("/stop and listen") == "delivered"
        assert (await _last(events)).outcome == "done"

    async def test_an_allowed_question_lets_the_run_go_on(self) -> None:
        session = await self.stage("question")
        events = session.events()
        question = await _next_question(events)
        choice = question.options[0] if question.kind == "question" else ""
        assert await session.answer(question.id, Answer("allow", choice))
        assert await session.answer(question.id, Answer("allow", choice)) is False
        assert (await _last(events)).outcome == "done"

    async def test_a_denied_question_lets_the_run_go_on(self) -> None:
        session = await self.stage("question")
        events = session.events()
        question = await _next_question(events)
        assert await session.answer(question.id, Answer("deny", "no"))
        assert (await _last(events)).outcome == "done"

    async def test_an_open_question_stops_the_idle_clock_and_can_be_cancelled(self) -> None:
        session = await self.stage("question", idle_seconds=2, wall_seconds=4)
        events = session.events()
        await _next_question(events)
        assert (await _last(events)).reason is ReasonCode.TIMEOUT

    async def test_a_usage_limit_comes_with_its_reset(self) -> None:
        session = await self.stage("limit")
        events = [event async for event in session.events()]
        limits = [event for event in events if isinstance(event, LimitReached)]
        assert [limit.resets_at is not None for limit in limits] == [True]
        assert _checked(events).reason is ReasonCode.USAGE_LIMIT

    async def test_a_crash_is_a_failure_with_the_programs_words(self) -> None:
        session = await self.stage("crash")
        last = await the_end(session)
        assert (last.outcome, last.reason) == ("failed", ReasonCode.AGENT_FAILED)
        assert last.detail

    async def test_garbage_is_a_failure(self) -> None:
        session = await self.stage("garbage")
        last = await the_end(session)
        assert (last.outcome, last.reason) == ("failed", ReasonCode.UNREADABLE_OUTPUT)

    async def test_an_end_without_a_result_is_no_success(self) -> None:
        session = await self.stage("no result")
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


async def _told_pid(events: AsyncIterator[Event]) -> int:
    async for event in events:
        if isinstance(event, LogLine) and (found := re.search(r"pid (\d+)", event.text)):
            return int(found[1])
    raise AssertionError("no pid was told")


def _is_alive(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"
