"""Codex's app-server protocol: JSON-RPC, one object a line, one thread and its turns.

The order is initialize, thread/start (or thread/resume), turn/start; then the server notifies of
items and asks for approvals until turn/completed.
"""

from __future__ import annotations

import itertools
import json
import signal
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec

from fleetbot.domain.reasons import ReasonCode
from fleetbot.runner.adapters.codex_items import Items, command_summary, reason_of, usage_of
from fleetbot.runner.session.contract import (
    Answer,
    Finished,
    LaunchSpec,
    LimitReached,
    LogLine,
    Question,
    QuestionWithdrawn,
    SessionStarted,
    Usage,
)
from fleetbot.runner.session.driver import Hangup, Retrying, Send, Step
from fleetbot.runner.session.text import OutputTail, json_object, shortened

API_KEY = "CODEX_API_KEY"  # read by `codex exec` itself, but not by the app-server
_CLIENT = {"name": "fleetbot", "title": "fleetbot", "version": "1"}
_NOT_SUPPORTED = {"code": -32601, "message": "not supported by this client"}
_FULL = 100
_APPROVALS = ("item/commandExecution/requestApproval", "item/fileChange/requestApproval")

Handler = Callable[[Mapping[str, Any]], Iterable[Step]]


class Thread(msgspec.Struct, frozen=True):
    """How a thread is to be opened: parameters of thread/start and thread/resume."""

    cwd: str
    approvalPolicy: str
    sandbox: str
    model: str | None = None


class _Open(msgspec.Struct):
    """A server request that waits for people; `waiting` and `answers` by the question's id."""

    id: Any
    approval: bool
    waiting: dict[str, str]
    answers: dict[str, Any]


class AppServerDriver:
    """One thread in one app-server."""

    pipe = True
    greets = True
    talks = True
    stop_signal = signal.SIGINT

    def __init__(self, argv: Sequence[str], spec: LaunchSpec, thread: Thread) -> None:
        self.argv = argv
        self._spec = spec
        self._thread = thread
        self._baseline = spec.baseline or Usage()
        self._items = Items()
        self._tail = OutputTail()
        self._numbers = itertools.count(1)
        self._calls: dict[int, tuple[Handler, Handler]] = {}
        self._open: dict[str, _Open] = {}
        self._thread_id = ""
        self._turn = ""
        self._begun = False
        self._early: list[str] = []
        self._unheard = 0
        self._limits: Mapping[str, Any] = {}
        self._finished: Finished | None = None

    def opening(self) -> Iterable[Step]:
        return [self._call("initialize", {"clientInfo": _CLIENT}, self._initialized)]

    def line(self, text: str) -> Iterable[Step]:
        message = json_object(text)
        if message is None:
            self._tail.garbage = True
            return [LogLine(text, "system")]
        if "method" in message:
            params = message.get("params") or {}
            if "id" in message:
                return self._asked(message["id"], message["method"], params)
            return self._notified(message["method"], params)
        succeeded, failed = self._calls.pop(message["id"], (_ignore, _ignore))
        return failed(message["error"]) if "error" in message else succeeded(message["result"])

    def stderr(self, text: str) -> Iterable[Step]:
        self._tail.add(text)
        return [LogLine(text, "stderr")]

    def exited(self, code: int) -> Iterable[Step]:
        return [self._finished or self._tail.no_result(code)]

    # Messages, answers and the interrupt

    def steer(self, text: str) -> Sequence[Step]:
        if not self._turn:
            self._early.append(text)
            return []
        self._unheard += 1
        params = {**self._here(), "expectedTurnId": self._turn, "input": _input(text)}
        # A turn may end while the message is on its way; then the message begins another.
        return [self._call("turn/steer", params, self._steered, lambda _: self._new_turn(text))]

    def answer(self, question: str, answer: Answer) -> Sequence[Step] | None:
        request = self._open.get(question.partition(":")[0])
        if request is None or question not in request.waiting:
            return None
        asked = request.waiting.pop(question)
        if request.approval:
            request.answers["decision"] = "accept" if answer.verdict == "allow" else "decline"
        elif answer.verdict == "allow":
            request.answers[asked] = {"answers": [answer.text]}
        if request.waiting:
            return []
        del self._open[question.partition(":")[0]]
        result = request.answers if request.approval else {"answers": request.answers}
        # The protocol has no place for a reason, so it follows as a message.
        why = self.steer(answer.text) if answer.verdict == "deny" and answer.text else []
        return [_send({"id": request.id, "result": result}), *why]

    def interrupt(self) -> Sequence[Step]:
        if not self._turn:
            return []
        params = {**self._here(), "turnId": self._turn}
        return [self._call("turn/interrupt", params, _ignore, _ignore)]

    # Opening the conversation

    def _initialized(self, result: Mapping[str, Any]) -> Iterable[Step]:
        yield _send({"method": "initialized"})
        if key := self._spec.env.get(API_KEY):
            login = {"type": "apiKey", "apiKey": key}
            yield self._call("account/login/start", login, self._logged_in)
        else:
            yield from self._logged_in({})

    def _logged_in(self, result: Mapping[str, Any]) -> Iterable[Step]:
        params = msgspec.to_builtins(self._thread)
        if self._spec.session is None:
            yield self._call("thread/start", params, self._opened)
        else:
            params["threadId"] = self._spec.session
            yield self._call("thread/resume", params, self._opened, self._not_resumed)

    def _not_resumed(self, error: Mapping[str, Any]) -> Iterable[Step]:
        yield LogLine(f"starting anew, the earlier session is gone: {error['message']}", "system")
        self._baseline = Usage()
        params = msgspec.to_builtins(self._thread)
        yield self._call("thread/start", params, self._opened)

    def _opened(self, result: Mapping[str, Any]) -> Iterable[Step]:
        self._thread_id = result["thread"]["id"]
        yield SessionStarted(self._thread_id)
        yield from self._new_turn(self._spec.prompt)

    def _new_turn(self, text: str) -> Iterable[Step]:
        params = {**self._here(), "input": _input(text)}
        yield self._call("turn/start", params, lambda result: self._began(result["turn"]["id"]))

    def _began(self, turn: str) -> Iterable[Step]:
        self._unheard = 0
        self._finished = None
        self._turn, self._begun = turn, True
        early, self._early = self._early, []
        return [step for text in early for step in self.steer(text)]

    def _steered(self, result: Mapping[str, Any]) -> Iterable[Step]:
        self._unheard = max(0, self._unheard - 1)
        return [] if self._unheard or self._finished is None else [Hangup()]

    # Notifications

    def _notified(self, method: str, params: Mapping[str, Any]) -> Iterable[Step]:
        match method:
            case "item/started":
                return self._items.started(params["item"])
            case "item/completed":
                return self._items.completed(params["item"])
            case "thread/tokenUsage/updated":
                return self._used(params)
            case "account/rateLimits/updated":
                self._limits = params["rateLimits"]
            case "error":
                return self._failing(params)
            case "warning":
                return [LogLine(params["message"], "system")]
            case "serverRequest/resolved":
                return self._resolved(str(params["requestId"]))
            case "turn/completed":
                return self._completed(params["turn"])
        return []

    def _used(self, params: Mapping[str, Any]) -> Iterable[Step]:
        totals = params["tokenUsage"]["total"]
        if not self._begun:
            # A resumed thread begins by saying what its earlier turns used.
            self._baseline = usage_of(totals, Usage())
            return []
        return [usage_of(totals, self._baseline)]

    def _failing(self, params: Mapping[str, Any]) -> Iterable[Step]:
        message = params["error"]["message"]
        return [Retrying(message) if params.get("willRetry") else LogLine(message, "system")]

    def _completed(self, turn: Mapping[str, Any]) -> Iterable[Step]:
        error = turn.get("error") or {}
        done = turn["status"] == "completed"
        reason = None if done else reason_of(error)
        self._finished = Finished(
            outcome="done" if done else "failed",
            reason=reason,
            detail="" if done else error.get("message") or f"the turn was {turn['status']}",
            summary=self._items.summary,
            permission_denials=tuple(self._items.denials),
        )
        self._turn = ""
        if reason is ReasonCode.USAGE_LIMIT:
            yield self._limit()
        if not done or not self._unheard:
            yield Hangup()

    def _limit(self) -> LimitReached:
        windows = {name: self._limits.get(name) or {} for name in ("primary", "secondary")}
        full = [name for name in windows if windows[name].get("usedPercent", 0) >= _FULL]
        resets = [windows[name]["resetsAt"] for name in full if windows[name].get("resetsAt")]
        return LimitReached(full[0] if full else "account", max(resets, default=None))

    # Requests of the server

    def _asked(self, request_id: Any, method: str, params: Mapping[str, Any]) -> Iterable[Step]:
        if method in _APPROVALS:
            return self._approval(request_id, params)
        if method == "item/tool/requestUserInput":
            return self._question(request_id, params)
        return [_send({"id": request_id, "error": _NOT_SUPPORTED})]

    def _approval(self, request_id: Any, params: Mapping[str, Any]) -> Iterable[Step]:
        changes = self._items.changes(params["itemId"])
        if "command" in params:
            title = f"command: {command_summary(params['command'] or '')}"
        else:
            title = f"edit: {shortened(', '.join(c['path'] for c in changes or ()))}"
        if self._spec.permissions != "ask":
            decision = "accept" if self._spec.permissions == "bypass" else "decline"
            return [_send({"id": request_id, "result": {"decision": decision}})]
        key = str(request_id)
        self._open[key] = _Open(request_id, True, {key: ""}, {})
        request = {**params, **({"changes": changes} if changes else {})}
        options = ("allow", "deny")
        return [Question(id=key, kind="permission", title=title, request=request, options=options)]

    def _question(self, request_id: Any, params: Mapping[str, Any]) -> Iterable[Step]:
        if self._spec.permissions == "deny":
            return [_send({"id": request_id, "result": {"answers": {}}})]
        key, questions = str(request_id), params["questions"]
        ids = {f"{key}:{n}": question["id"] for n, question in enumerate(questions)}
        self._open[key] = _Open(request_id, False, ids, {})
        return [
            Question(
                id=f"{key}:{n}",
                kind="question",
                title=question["question"],
                request=question,
                options=tuple(option["label"] for option in question.get("options") or ()),
            )
            for n, question in enumerate(questions)
        ]

    def _resolved(self, key: str) -> Iterable[Step]:
        request = self._open.pop(key, None)
        return [QuestionWithdrawn(question) for question in request.waiting] if request else []

    # Wire

    def _here(self) -> dict[str, Any]:
        return {"threadId": self._thread_id}

    def _call(
        self, method: str, params: Any, succeeded: Handler, failed: Handler | None = None
    ) -> Send:
        number = next(self._numbers)
        self._calls[number] = (succeeded, failed or self._refused)
        return _send({"id": number, "method": method, "params": params})

    def _refused(self, error: Mapping[str, Any]) -> Iterable[Step]:
        # A late message that finds no turn does not undo the turn that ended well.
        self._finished = self._finished or Finished(
            outcome="failed", reason=reason_of(error), detail=str(error.get("message"))
        )
        return [Hangup()]


def _input(text: str) -> list[dict[str, str]]:
    return [{"type": "text", "text": text}]


def _ignore(result: Mapping[str, Any]) -> Iterable[Step]:
    return []


def _send(message: Mapping[str, Any]) -> Send:
    return Send(json.dumps(message))
