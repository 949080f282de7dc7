"""A program of one's own that asks people and hears them."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any

import pytest

from fleetbot.runner.adapters import Answer, LogLine, Question, Session, build
from fleetbot.runner.adapters.registry import AdapterConfigError
from tests.runner.adapters.harness import Place, collect, end, of, rest, until

ASKS = """
import json, sys
print(json.dumps({"ask": "q", "title": "Which color?", "options": ["Red", "Blue"]}), flush=True)
for line in sys.stdin:
    print("heard", line.strip(), flush=True)
    if "answer" in json.loads(line):
        break
print("done")
"""
PUSHES = """
import json
asked = {"ask": "p", "kind": "permission", "title": "git push", "request": {"command": "git push"}}
print(json.dumps(asked), flush=True)
print("heard", input(), flush=True)
"""


async def started(place: Place, script: str, **spec: Any) -> Session:
    settings = {"argv": [sys.executable, "-c", script], "talks": True}
    return await build("command", settings).launch(place.spec(**spec))


def heard(lines: Sequence[LogLine]) -> list[dict[str, str]]:
    return [json.loads(x.text.removeprefix("heard ")) for x in lines if x.text.startswith("heard")]


async def test_it_asks_by_a_line_of_json_and_hears_people_by_lines_of_json(place: Place) -> None:
    session = await started(place, ASKS)
    events = session.events()
    question = await until(events, Question)
    assert (question.kind, question.title, question.options) == (
        "question",
        "Which color?",
        ("Red", "Blue"),
    )

    assert await session.steer("Mind the step") == "delivered"
    assert await session.answer(question.id, Answer("allow", "Blue"))
    assert not await session.answer(question.id, Answer("allow", "Red"))

    after = await rest(events)
    assert heard(of(after, LogLine)) == [
        {"message": "Mind the step"},
        {"answer": "q", "verdict": "allow", "text": "Blue"},
    ]
    assert end(after).summary == "done"


@pytest.mark.parametrize(
    ("permissions", "verdict"),
    [("bypass", "allow"), ("deny", "deny")],
)
async def test_what_the_settings_decide_nobody_is_asked(
    place: Place, permissions: str, verdict: str
) -> None:
    after = await collect(await started(place, PUSHES, permissions=permissions))
    assert of(after, Question) == []
    assert [answer["verdict"] for answer in heard(of(after, LogLine))] == [verdict]


@pytest.mark.parametrize("line", ['{"ask": 1}', '{"ask": "q"}', '["ask"]', "{", '{"say": "hello"}'])
async def test_any_other_line_is_a_line_of_its_log(place: Place, line: str) -> None:
    after = await collect(await started(place, f"print({line!r})"))
    assert [x.text for x in of(after, LogLine)] == [line]


async def test_without_the_setting_it_is_a_line_of_its_log_as_well(place: Place) -> None:
    line = '{"ask": "q", "title": "Which color?"}'
    session = await build("command", {"argv": ["echo", line]}).launch(place.spec())
    assert await session.steer("Mind the step") == "kept"
    assert [x.text for x in of(await collect(session), LogLine)] == [line]


def test_its_input_cannot_be_the_prompt_as_well() -> None:
    with pytest.raises(AdapterConfigError, match="talks"):
        build("command", {"argv": ["x"], "prompt": "stdin", "talks": True})
