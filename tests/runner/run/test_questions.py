"""The words of a question are of a size that people can take."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetbot.domain.reasons import ReasonCode
from fleetbot.runner.adapters import Question, build
from fleetbot.runner.link import Link
from fleetbot.runner.ring import Ring
from fleetbot.runner.run.questions import Questions, bounded
from fleetbot.runner.sandbox.masking import Masker
from fleetbot.wire import ASK_BYTES, RegisterRequest
from tests.runner.adapters.harness import Place, until
from tests.runner.orchestrator import ENROLMENT, Orchestrator


def size(request: dict[str, Any]) -> int:
    return len(msgspec.json.encode(request))


def test_a_request_of_usual_size_is_as_it_was() -> None:
    request = {"command": "make test", "files": ["a", "b"], "count": 3, "more": None}

    assert bounded(request) == request


def test_of_a_long_text_the_beginning_is_left() -> None:
    cut = bounded({"command": "make " + "x" * 10**6, "description": "Build it"})

    assert cut["command"].startswith("make xxx")
    assert cut["description"] == "Build it"
    assert size(cut) <= ASK_BYTES


@pytest.mark.parametrize(
    "request_",
    [
        {"files": ["x" * 100] * 10_000},
        {str(number): "x" * 300 for number in range(10_000)},
        {"x" * 10**6: 1},
        {"deep": [[["\N{GRINNING FACE}" * 5000] * 100] * 100]},
    ],
    ids=["list", "object", "key", "deep"],
)
def test_any_shape_is_cut(request_: dict[str, Any]) -> None:
    assert 0 < size(bounded(request_)) <= ASK_BYTES


# Long texts are made of short ones, or none is too long: of long ones few are drawn.
texts = st.builds(str.__mul__, st.text(max_size=30), st.integers(0, 300))
values = st.recursive(
    st.none() | st.integers(-(2**53), 2**53) | texts,
    lambda inner: st.lists(inner, max_size=8) | st.dictionaries(st.text(), inner, max_size=8),
    max_leaves=15,
)


@given(st.dictionaries(st.text(max_size=100), values, max_size=6))
def test_a_request_is_never_too_large(request: dict[str, Any]) -> None:
    assert size(bounded(request)) <= ASK_BYTES


# a question on its way


@pytest.fixture
async def orchestrator() -> AsyncIterator[Orchestrator]:
    async with Orchestrator.start() as orchestrator:
        yield orchestrator


@pytest.fixture
async def questions(orchestrator: Orchestrator) -> AsyncIterator[Questions]:
    async with aiohttp.ClientSession() as http:
        link = Link(http, Ring(orchestrator.url), notice=print)
        agent = RegisterRequest(name="worker-1", adapter="command")
        link.token = (await link.register(agent, ENROLMENT)).token or ""
        questions = Questions(link, "run-1", 60, lambda line: None, Masker({}))
        yield questions
        await questions.close()


async def test_people_hear_that_the_program_no_longer_asks(
    questions: Questions, orchestrator: Orchestrator, place: Place
) -> None:
    program = [sys.executable, "-c", 'print(\'{"ask": "q", "title": "?"}\'); input()']
    adapter = build("command", {"argv": program, "talks": True})
    session = await adapter.launch(place.spec())
    question = await until(session.events(), Question)
    questions.ask(session, question)
    await orchestrator.until(lambda it: len(it.asked) == 1)

    questions.withdraw(question.id)

    await orchestrator.until(lambda it: it.withdrawn == list(it.asked))
    await session.stop(ReasonCode.CANCELLED_BY_USER)
