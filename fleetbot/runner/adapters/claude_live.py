"""Claude Code's stream-json control protocol: steering, questions and interrupts in one process."""

from __future__ import annotations

import signal
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from fleetbot.runner.adapters.claude_rules import for_the_session, in_short
from fleetbot.runner.adapters.claude_stream import ClaudeMessages, tool_summary
from fleetbot.runner.session.contract import (
    Answer,
    LaunchSpec,
    LogLine,
    Question,
    QuestionWithdrawn,
)
from fleetbot.runner.session.driver import Hangup, Rested, Resumed, Send, Step
from fleetbot.runner.session.text import from_a_person, in_words, json_object

FLAGS = (
    *("--input-format", "stream-json", "--output-format", "stream-json", "--verbose"),
    *("--permission-prompt-tool", "stdio", "--replay-user-messages"),
)
_ASK = "AskUserQuestion"
_NOBODY = "Nobody can be asked in this run: decide by yourself, and say what you assumed."
_NOT_ALLOWED = "This run may not ask for permissions: find another way or do without."
_DENIED = "A person said no."


class _Open(msgspec.Struct):
    """A request of the program that waits for people; `answers` by question text. `lasting`: the
    permissions that go with the answer "always"."""

    tool: str
    input: dict[str, Any]
    waiting: dict[str, str]
    answers: dict[str, str]
    lasting: list[dict[str, Any]] = []


class LiveDriver:
    """One conversation over stdin and stdout."""

    pipe = True
    greets = True
    talks = True
    stop_signal = signal.SIGTERM

    def __init__(self, argv: Sequence[str], spec: LaunchSpec) -> None:
        self.argv = argv
        self._spec = spec
        self._messages = ClaudeMessages(spec.baseline)
        self._open: dict[str, _Open] = {}
        self._sent = 0
        self._heard = 0
        self._rests = False

    def opening(self) -> Iterable[Step]:
        return self._say(in_words(self._spec.prompt))

    def line(self, text: str) -> Iterable[Step]:
        message = json_object(text)
        if message is None:
            return self._messages.unreadable(text)
        match message.get("type"):
            case "control_request":
                return self._asked(message["request_id"], message["request"])
            case "control_cancel_request":
                return self._withdrawn(message["request_id"])
            case "user" if message.get("isReplay"):
                self._heard += 1
        return self._read(message)

    def _read(self, message: Mapping[str, Any]) -> Iterable[Step]:
        if self._rests and _begins_a_turn(message):
            self._rests, self._messages.finished = False, None
            yield Resumed()
        worked = bool(self._messages.background)
        yield from self._messages.read(message)
        if message.get("type") == "result":
            yield from self._after_result()
        elif self._rests and worked and not self._messages.background:
            yield Rested(busy=False)

    def stderr(self, text: str) -> Iterable[Step]:
        return self._messages.stderr(text)

    def steer(self, text: str) -> Sequence[Step]:
        return self._say(from_a_person(text))

    def _say(self, text: str) -> Sequence[Step]:
        self._sent += 1
        message = {"role": "user", "content": text}
        return [Send.json({"type": "user", "message": message, "parent_tool_use_id": None})]

    def answer(self, question: str, answer: Answer) -> Sequence[Step] | None:
        request_id = question.partition(":")[0]
        request = self._open.get(request_id)
        if request is None or question not in request.waiting:
            return None
        asked = request.waiting.pop(question)
        if answer.verdict == "deny":
            del self._open[request_id]
            return [*self._others(request), _deny(request_id, answer.text or _DENIED)]
        request.answers[asked] = answer.text
        if request.waiting:
            return []
        del self._open[request_id]
        answers = {"answers": request.answers} if request.tool == _ASK else {}
        lasting = request.lasting if answer.verdict == "always" else []
        return [_allow(request_id, {**request.input, **answers}, lasting)]

    def interrupt(self) -> Sequence[Step]:
        if not self._messages.session:
            return []
        request = {"subtype": "interrupt"}
        return [Send.json({"type": "control_request", "request_id": "stop", "request": request})]

    def exited(self, code: int) -> Iterable[Step]:
        return self._messages.exited(code)

    def _after_result(self) -> Iterable[Step]:
        # A message that came while the last answer was being written gets a turn of its own, with
        # a second result; one that was heard before has none. Replays tell the two apart.
        finished = self._messages.finished
        unheard = self._heard > 0 and self._sent > self._heard
        done = finished is not None and finished.outcome == "done"
        if done and self._messages.background:
            # The end of that work begins another turn by itself, in which it may still ask.
            self._rests = True
            return [Rested()]
        return [] if unheard and done else [Hangup()]

    def _asked(self, request_id: str, request: Mapping[str, Any]) -> Iterable[Step]:
        if request.get("subtype") != "can_use_tool":
            return [_refuse(request_id, f"{request.get('subtype')} is not supported here")]
        if request["tool_name"] == _ASK:
            return self._question(request_id, request)
        return self._permission(request_id, request)

    def _permission(self, request_id: str, request: Mapping[str, Any]) -> Iterable[Step]:
        tool, tool_input = request["tool_name"], dict(request["input"])
        title = f"{tool}: {tool_summary(tool_input)}"
        if self._spec.permissions == "bypass":
            return [_allow(request_id, tool_input)]
        if self._spec.permissions == "deny":
            return [LogLine(f"denied: {title}", "system"), _deny(request_id, _NOT_ALLOWED)]
        lasting = for_the_session(request.get("permission_suggestions"))
        self._open[request_id] = _Open(tool, tool_input, {request_id: ""}, {}, lasting)
        return [
            Question(
                id=request_id,
                kind="permission",
                title=title,
                request=dict(request),
                options=("allow", "deny"),
                always=in_short(lasting),
            )
        ]

    def _question(self, request_id: str, request: Mapping[str, Any]) -> Iterable[Step]:
        questions = request["input"]["questions"]
        if self._spec.permissions == "deny":
            return [_deny(request_id, _NOBODY)]
        ids = {f"{request_id}:{n}": q["question"] for n, q in enumerate(questions)}
        self._open[request_id] = _Open(_ASK, dict(request["input"]), ids, {})
        return [
            Question(
                id=f"{request_id}:{n}",
                kind="question",
                title=q["question"],
                request=q,
                options=tuple(option["label"] for option in q.get("options") or ()),
            )
            for n, q in enumerate(questions)
        ]

    def _withdrawn(self, request_id: str) -> Iterable[Step]:
        request = self._open.pop(request_id, None)
        return self._others(request) if request is not None else []

    def _others(self, request: _Open) -> list[Step]:
        return [QuestionWithdrawn(question) for question in request.waiting]


def _begins_a_turn(message: Mapping[str, Any]) -> bool:
    """Whether the conversation itself goes on; a sub-agent's words are no turn of it."""
    if message.get("type") == "system":
        return message.get("subtype") == "init"
    return message.get("type") == "assistant" and message.get("parent_tool_use_id") is None


def _respond(request_id: str, response: Mapping[str, Any]) -> Send:
    body = {"subtype": "success", "request_id": request_id, "response": response}
    return Send.json({"type": "control_response", "response": body})


def _allow(
    request_id: str, tool_input: Mapping[str, Any], lasting: Sequence[Mapping[str, Any]] = ()
) -> Send:
    more = {"updatedPermissions": lasting} if lasting else {}
    return _respond(request_id, {"behavior": "allow", "updatedInput": tool_input, **more})


def _deny(request_id: str, why: str) -> Send:
    return _respond(request_id, {"behavior": "deny", "message": why})


def _refuse(request_id: str, why: str) -> Send:
    body = {"subtype": "error", "request_id": request_id, "error": why}
    return Send.json({"type": "control_response", "response": body})
