"""Codex's app-server protocol: JSON-RPC, one object a line, one thread and its turns.

The order is initialize, thread/start (or thread/resume), turn/start; then the server notifies of
items and asks for approvals until turn/completed. The sub-agents of a thread are threads of their
own in the same server: their words are shown and their approvals asked for, their usage is added,
and while one of them works the run is not over; but they do not speak for it.
"""

from __future__ import annotations

import itertools
import signal
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec

from fleetbot.domain.reasons import ReasonCode
from fleetbot.runner.adapters.codex_asks import Asks
from fleetbot.runner.adapters.codex_errors import is_resumable, reason_of
from fleetbot.runner.adapters.codex_items import Items, awaited
from fleetbot.runner.adapters.codex_usage import Ledger
from fleetbot.runner.session.contract import (
    Answer,
    Finished,
    LaunchSpec,
    LimitReached,
    LogLine,
    SessionStarted,
    Used,
)
from fleetbot.runner.session.driver import Hangup, Rested, Resumed, Retrying, Send, Step
from fleetbot.runner.session.text import OutputTail, from_a_person, in_words, json_object

API_KEY = "CODEX_API_KEY"  # read by `codex exec` itself, but not by the app-server
_CLIENT = {"name": "fleetbot", "title": "fleetbot", "version": "1"}
_FULL = 100

Handler = Callable[[Mapping[str, Any]], Iterable[Step]]


class Thread(msgspec.Struct, frozen=True):
    """How a thread is to be opened: parameters of thread/start and thread/resume."""

    cwd: str
    approvalPolicy: str
    sandbox: str
    model: str | None = None


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
        self._ledger = Ledger()
        self._items: dict[str, Items] = defaultdict(Items)
        self._tail = OutputTail()
        self._numbers = itertools.count(1)
        self._calls: dict[int, tuple[Handler, Handler]] = {}
        self._asks = Asks(spec.permissions, self._changes_of)
        self._thread_id = ""
        self._turn = ""
        self._others: set[str] = set()  # sub-agents that are at work, or will be at once
        self._begun: set[str] = set()  # of all there were, those whose turn has been on
        self._rests = False
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
                return self._asks.asked(message["id"], message["method"], params)
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
        return self._say(from_a_person(text))

    def _say(self, text: str) -> Sequence[Step]:
        if self._rests:
            return list(self._new_turn(text))
        if not self._turn:
            self._early.append(text)
            return []
        self._unheard += 1
        params = {**self._here(), "expectedTurnId": self._turn, "input": _input(text)}
        # A turn may end while the message is on its way; then the message begins another.
        return [self._call("turn/steer", params, self._steered, lambda _: self._new_turn(text))]

    def answer(self, question: str, answer: Answer) -> Sequence[Step] | None:
        steps = self._asks.answer(question, answer)
        if not steps:
            return steps
        # The protocol has no place for a reason, so it follows as a message.
        why = self.steer(answer.text) if answer.verdict == "deny" and answer.text else []
        return [*steps, *why]

    def interrupt(self) -> Sequence[Step]:
        if not self._turn:
            return []
        params = {**self._here(), "turnId": self._turn}
        return [self._call("turn/interrupt", params, _ignore, _ignore)]

    # Opening the conversation

    def _initialized(self, result: Mapping[str, Any]) -> Iterable[Step]:
        yield Send.json({"method": "initialized"})
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
        params = msgspec.to_builtins(self._thread)
        yield self._call("thread/start", params, self._opened)

    def _opened(self, result: Mapping[str, Any]) -> Iterable[Step]:
        self._thread_id = result["thread"]["id"]
        if self._thread_id == self._spec.session and self._spec.baseline:
            self._ledger.resume(self._thread_id, self._spec.baseline)
        yield SessionStarted(self._thread_id)
        yield from self._new_turn(in_words(self._spec.prompt))

    def _new_turn(self, text: str) -> Iterable[Step]:
        params = {**self._here(), "input": _input(text)}
        yield self._call("turn/start", params, lambda result: self._began(result["turn"]["id"]))

    def _began(self, turn: str) -> Iterable[Step]:
        self._unheard = 0
        self._finished = None
        self._turn = turn
        self._ledger.begin(self._thread_id)
        yield from self._resumed()
        early, self._early = self._early, []
        for text in early:
            yield from self._say(text)

    def _resumed(self) -> Iterable[Step]:
        if self._rests:
            self._rests = False
            yield Resumed()

    def _steered(self, result: Mapping[str, Any]) -> Iterable[Step]:
        self._unheard = max(0, self._unheard - 1)
        return [] if self._unheard or self._finished is None else self._over()

    def _over(self) -> Iterable[Step]:
        """The conversation is over, unless sub-agents are still at work."""
        self._rests = bool(self._others)
        return [Rested()] if self._rests else [Hangup()]

    # Notifications

    def _notified(self, method: str, params: Mapping[str, Any]) -> Iterable[Step]:
        thread = self._thread_of(params)
        match method:
            case "item/started":
                return self._items[thread].started(params["item"])
            case "item/completed":
                self._others |= awaited(params["item"]) - self._begun
                return self._items[thread].completed(params["item"])
            case "thread/tokenUsage/updated":
                used = self._ledger.told(thread, params["tokenUsage"]["total"])
                return [Used(used)] if used else []
            case "account/rateLimits/updated":
                self._limits = params["rateLimits"]
            case "error":
                return self._failing(params)
            case "warning":
                return [LogLine(params["message"], "system")]
            case "serverRequest/resolved":
                return self._asks.resolved(str(params["requestId"]))
            case "turn/started" if thread != self._thread_id:
                self._others.add(thread)
                self._begun.add(thread)
                self._ledger.begin(thread)
            case "turn/started" if self._rests:
                return self._began(params["turn"]["id"])
            case "turn/completed" | "thread/closed" if thread != self._thread_id:
                return self._other_completed(thread)
            case "turn/completed":
                return self._completed(params["turn"])
        return []

    def _failing(self, params: Mapping[str, Any]) -> Iterable[Step]:
        message = params["error"]["message"]
        return [Retrying(message) if params.get("willRetry") else LogLine(message, "system")]

    def _other_completed(self, thread: str) -> Iterable[Step]:
        self._others.discard(thread)
        if self._rests and not self._others:
            self._rests = False
            yield Hangup()

    def _completed(self, turn: Mapping[str, Any]) -> Iterable[Step]:
        error = turn.get("error") or {}
        done = turn["status"] == "completed"
        reason = None if done else reason_of(error)
        denials = [denial for items in self._items.values() for denial in items.denials]
        self._finished = Finished(
            outcome="done" if done else "failed",
            reason=reason,
            detail="" if done else error.get("message") or f"the turn was {turn['status']}",
            summary=self._items[self._thread_id].summary,
            permission_denials=tuple(denials),
            resumable=done or is_resumable(error),
        )
        self._turn = ""
        if reason is ReasonCode.USAGE_LIMIT:
            yield self._limit()
        if not done:
            yield Hangup()
        elif not self._unheard:
            yield from self._over()

    def _limit(self) -> LimitReached:
        windows = {name: self._limits.get(name) or {} for name in ("primary", "secondary")}
        full = [name for name in windows if windows[name].get("usedPercent", 0) >= _FULL]
        resets = [windows[name]["resetsAt"] for name in full if windows[name].get("resetsAt")]
        return LimitReached(full[0] if full else "account", max(resets, default=None))

    # Wire

    def _thread_of(self, params: Mapping[str, Any]) -> str:
        return str(params.get("threadId") or self._thread_id)

    def _changes_of(self, params: Mapping[str, Any]) -> Any:
        return self._items[self._thread_of(params)].changes(params["itemId"])

    def _here(self) -> dict[str, Any]:
        return {"threadId": self._thread_id}

    def _call(
        self, method: str, params: Any, succeeded: Handler, failed: Handler | None = None
    ) -> Send:
        number = next(self._numbers)
        self._calls[number] = (succeeded, failed or self._refused)
        return Send.json({"id": number, "method": method, "params": params})

    def _refused(self, error: Mapping[str, Any]) -> Iterable[Step]:
        # A late message that finds no turn does not undo the turn that ended well.
        self._finished = self._finished or Finished(
            outcome="failed",
            reason=reason_of(error),
            detail=str(error.get("message")),
            resumable=is_resumable(error),
        )
        return [Hangup()]


def _input(text: str) -> list[dict[str, str]]:
    return [{"type": "text", "text": text}]


def _ignore(result: Mapping[str, Any]) -> Iterable[Step]:
    return []
