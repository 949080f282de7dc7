"""Questions and messages of a program that says by itself what it wants: one JSON object a line.

It asks by a line of its output with `ask`, a name of its own for the question, and hears the
answer, like whatever people say to it, by a line on its standard input.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import msgspec

from fleetbot.runner.session.contract import Answer, LogLine, Permissions, Question
from fleetbot.runner.session.driver import Send, Step
from fleetbot.runner.session.text import json_object

_NOT_ASKED = "This run may not ask: do without."


class Asked(msgspec.Struct, frozen=True):
    """`always`: what the answer "always" would allow for the rest of the run, if there is one."""

    ask: str
    title: str
    kind: Literal["permission", "question"] = "question"
    request: dict[str, Any] = {}
    options: tuple[str, ...] = ()
    always: str = ""


class Talk:
    """The open questions of a program. What `permissions` decides is answered at once."""

    def __init__(self, permissions: Permissions) -> None:
        self._permissions = permissions
        self._open: set[str] = set()

    def read(self, line: str) -> Iterable[Step] | None:
        """What follows from a line of output; None where it is no question."""
        asked = _asked(json_object(line))
        if asked is None:
            return None
        if self._permissions == "deny":
            return [LogLine(f"denied: {asked.title}", "system"), _deny(asked.ask)]
        if self._permissions == "bypass" and asked.kind == "permission":
            return [_answer(asked.ask, Answer("allow"))]
        self._open.add(asked.ask)
        question = Question(
            id=asked.ask,
            kind=asked.kind,
            title=asked.title,
            request=asked.request,
            options=asked.options,
            always=asked.always,
        )
        return [question]

    def answer(self, question: str, answer: Answer) -> Sequence[Step] | None:
        if question not in self._open:
            return None
        self._open.remove(question)
        return [_answer(question, answer)]

    def say(self, text: str) -> Sequence[Step]:
        return [Send.json({"message": text})]


def _asked(message: Mapping[str, Any] | None) -> Asked | None:
    try:
        return msgspec.convert(message, Asked) if message and "ask" in message else None
    except msgspec.ValidationError:
        return None


def _answer(question: str, answer: Answer) -> Send:
    return Send.json({"answer": question, "verdict": answer.verdict, "text": answer.text})


def _deny(question: str) -> Send:
    return _answer(question, Answer("deny", _NOT_ASKED))
