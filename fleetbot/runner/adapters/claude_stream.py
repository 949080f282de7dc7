"""What Claude Code's JSON messages mean: pure parsing, for the live and the plain mode."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from msgspec import structs

from fleetbot.domain.reasons import ReasonCode
from fleetbot.domain.usage import Usage
from fleetbot.runner.adapters.provider import BY_STATUS
from fleetbot.runner.session.contract import (
    Finished,
    LimitReached,
    LogLine,
    PermissionDenial,
    SessionStarted,
    ToolUse,
    Used,
)
from fleetbot.runner.session.driver import Retrying, Step
from fleetbot.runner.session.text import OutputTail, one_line

_TOLD_BY = ("command", "file_path", "notebook_path", "pattern", "path", "url", "query", "prompt")
_BY_SUBTYPE = {
    "error_max_turns": ReasonCode.MAX_TURNS,
    "error_max_budget_usd": ReasonCode.BUDGET_EXCEEDED,
}
_BY_TERMINAL_REASON = {
    "prompt_too_long": ReasonCode.CONTEXT_TOO_LONG,
    "max_turns": ReasonCode.MAX_TURNS,
}
_BY_STOP_REASON = {"refusal": ReasonCode.MODEL_REFUSED}
_BY_API_ERROR = {
    "usage_limit_reached": ReasonCode.USAGE_LIMIT,
    "max_output_tokens": ReasonCode.CONTEXT_TOO_LONG,  # the answer's limit or the window's
}
_BY_ERROR = {
    "authentication_failed": ReasonCode.AUTH_FAILED,
    "oauth_org_not_allowed": ReasonCode.AUTH_FAILED,
    "billing_error": ReasonCode.BILLING,
    "model_not_found": ReasonCode.MODEL_NOT_FOUND,
    "rate_limit": ReasonCode.RATE_LIMITED,
    "overloaded": ReasonCode.PROVIDER_UNAVAILABLE,
    "server_error": ReasonCode.PROVIDER_UNAVAILABLE,
}
# The plain mode's result has no error category, and these no status of their own.
_BY_TEXT = {
    "Not logged in": ReasonCode.AUTH_FAILED,
    "Credit balance is too low": ReasonCode.BILLING,
}
# What a provider says of the conversation itself: to send it once more changes nothing.
_REFUSED_HISTORY = (400, 413)
_UNRESUMABLE = (ReasonCode.CONTEXT_TOO_LONG, ReasonCode.MODEL_REFUSED)
_SERVER_ERRORS = 500
_DIAGNOSTIC = "[ede_diagnostic]"  # the program's notes to itself, no words for people
_BROKEN_ANSWER = "Could not parse message into JSON"


def tool_summary(tool_input: Any) -> str:
    """One line that tells a person what a tool is asked to do."""
    if isinstance(tool_input, Mapping):
        for key in _TOLD_BY:
            if isinstance(value := tool_input.get(key), str):
                return one_line(value)
    return one_line(json.dumps(tool_input, ensure_ascii=False))


class ClaudeMessages:
    """Reads the messages of one process and keeps what its end is judged by.

    `baseline` is what earlier runs of the same session used: cost and `modelUsage` are cumulative
    over a session, so it is subtracted. A session does not know of a process that was killed: what
    this process itself told is the least that it used. `background` are the tasks that were
    announced and are not finished.
    """

    def __init__(self, baseline: Usage | None) -> None:
        self._baseline = baseline or Usage()
        self._error = ""
        self._limited = self._limit_told = False
        self._broken_answer = False
        self._accounted = Usage()  # as the last result has it
        self._requests: dict[str, Usage] = {}  # to the model, since then
        self._told_input = self._told_cached = 0  # in all
        self.session = ""
        self.background: frozenset[str] = frozenset()
        self._tail = OutputTail()
        self.finished: Finished | None = None

    def read(self, message: Mapping[str, Any]) -> Iterable[Step]:
        """The steps of one message; unknown kinds mean nothing."""
        match message.get("type"):
            case "system":
                return self._system(message)
            case "assistant":
                return self._assistant(message)
            case "user" if not message.get("isReplay"):
                return _tool_results(message)
            case "rate_limit_event":
                return self._rate_limit(message["rate_limit_info"])
            case "result":
                return self._result(message)
        return []

    def unreadable(self, text: str) -> Iterable[Step]:
        self._tail.garbage = True
        return [LogLine(text, "system")]

    def stderr(self, text: str) -> Iterable[Step]:
        self._tail.add(text)
        self._broken_answer |= text.startswith(_BROKEN_ANSWER)
        return [LogLine(text, "stderr")]

    def exited(self, code: int) -> Iterable[Step]:
        # Exit status 0 proves nothing: after an interrupt there is no result and still a 0.
        end = self.finished or self._tail.no_result(code)
        if self._broken_answer and end.reason is ReasonCode.AGENT_FAILED:
            detail = "the model provider's answer could not be read"
            return [structs.replace(end, reason=ReasonCode.PROVIDER_UNAVAILABLE, detail=detail)]
        return [end]

    def _system(self, message: Mapping[str, Any]) -> Iterable[Step]:
        match message.get("subtype"):
            case "init" if message["session_id"] != self.session:
                self.session = message["session_id"]
                return [SessionStarted(self.session)]
            case "api_retry":
                attempt = f"{message.get('attempt')}/{message.get('max_retries')}"
                cause = message.get("error_status") or message.get("error") or "no connection"
                return [Retrying(f"the model provider failed ({cause}); retry {attempt}")]
            case "permission_denied":
                return [LogLine(f"denied: {message['message']}", "system")]
            case "informational":
                return [LogLine(message["content"], "system")]
            case "background_tasks_changed":
                self.background = frozenset(task["task_id"] for task in message["tasks"])
            case "task_notification":
                self.background -= {message["task_id"]}
        return []

    def _assistant(self, message: Mapping[str, Any]) -> Iterable[Step]:
        if message.get("parent_tool_use_id") is None:
            self._error = message.get("error") or ""
            self._limited |= message.get("api_error") == "usage_limit_reached"
        for block in message["message"]["content"]:
            if block["type"] == "text" and block["text"].strip():
                yield LogLine(block["text"], "system" if self._error else "assistant")
            elif block["type"] == "tool_use":
                yield ToolUse(block["name"], tool_summary(block["input"]))
        yield from self._used_so_far(message["message"])

    def _used_so_far(self, message: Mapping[str, Any]) -> Iterable[Step]:
        """Once for each request to the model: its input; output and cost come with the result."""
        usage, request = message.get("usage") or {}, str(message.get("id"))
        cached = int(usage.get("cache_read_input_tokens") or 0)
        fresh = sum(
            int(usage.get(key) or 0) for key in ("input_tokens", "cache_creation_input_tokens")
        )
        if request in self._requests or not fresh + cached:
            return
        self._requests[request] = Usage(input_tokens=fresh + cached, cached_tokens=cached)
        self._told_input += fresh + cached
        self._told_cached += cached
        since = self._requests.values()
        yield Used(
            structs.replace(
                self._accounted,
                input_tokens=self._accounted.input_tokens + sum(u.input_tokens for u in since),
                cached_tokens=self._accounted.cached_tokens + sum(u.cached_tokens for u in since),
            )
        )

    def _rate_limit(self, info: Mapping[str, Any]) -> Iterable[Step]:
        if info.get("status") != "rejected":
            return []
        self._limited = self._limit_told = True
        return [LimitReached(info.get("rateLimitType") or "account", info.get("resetsAt"))]

    def _result(self, message: Mapping[str, Any]) -> Iterable[Step]:
        denials = tuple(
            PermissionDenial(d["tool_name"], tool_summary(d.get("tool_input")))
            for d in message.get("permission_denials") or ()
        )
        errors = [str(error) for error in message.get("errors") or ()]
        said = message.get("result") or "; ".join(
            error for error in errors if not error.startswith(_DIAGNOSTIC)
        )
        failed = bool(message.get("is_error")) or message.get("subtype") != "success"
        reason = self._reason(message) if failed else None
        refused = failed and message.get("api_error_status") in _REFUSED_HISTORY
        self.finished = Finished(
            outcome="failed" if failed else "done",
            reason=reason,
            detail=(said or f"the turn ended: {message.get('terminal_reason')}") if failed else "",
            summary="" if failed else said,
            permission_denials=denials,
            resumable=not refused and reason not in _UNRESUMABLE,
        )
        self._accounted = self._usage(message)
        self._requests.clear()
        yield Used(self._accounted)
        if self.finished.reason is ReasonCode.USAGE_LIMIT and not self._limit_told:
            yield LimitReached("account")  # the plain mode does not say until when

    def _reason(self, message: Mapping[str, Any]) -> ReasonCode:
        # `subtype` is "success" even for failed requests, and one status has several causes: the
        # most specific word decides.
        status = message.get("api_error_status")
        if self._limited:
            return ReasonCode.USAGE_LIMIT
        known = (
            _BY_API_ERROR.get(message.get("api_error") or ""),
            _BY_SUBTYPE.get(message.get("subtype", "")),
            _BY_TERMINAL_REASON.get(message.get("terminal_reason", "")),
            _BY_STOP_REASON.get(message.get("stop_reason") or ""),
            _BY_ERROR.get(self._error),
            *(reason for text, reason in _BY_TEXT.items() if text in str(message.get("result"))),
            BY_STATUS.get(status or 0),
        )
        if reason := next(filter(None, known), None):
            return reason
        if (status or 0) >= _SERVER_ERRORS or message.get("terminal_reason") == "api_error":
            return ReasonCode.PROVIDER_UNAVAILABLE
        return ReasonCode.AGENT_FAILED

    def _usage(self, message: Mapping[str, Any]) -> Usage:
        models = (message.get("modelUsage") or {}).values()

        def total(*keys: str) -> int:
            return sum(int(model.get(key) or 0) for model in models for key in keys)

        fresh = total("inputTokens", "cacheCreationInputTokens")
        cached = total("cacheReadInputTokens")
        cost = float(message.get("total_cost_usd") or 0) - (self._baseline.cost_usd or 0)
        return Usage(
            input_tokens=max(self._told_input, fresh + cached - self._baseline.input_tokens),
            output_tokens=max(0, total("outputTokens") - self._baseline.output_tokens),
            cached_tokens=max(self._told_cached, cached - self._baseline.cached_tokens),
            cost_usd=max(0.0, round(cost, 6)),
        )


def _tool_results(message: Mapping[str, Any]) -> Iterable[Step]:
    content = message["message"]["content"]
    for block in content if isinstance(content, list) else ():
        if block.get("type") == "tool_result" and (text := _block_text(block.get("content"))):
            yield LogLine(text, "tool_output")


def _block_text(content: Any) -> str:
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    return "\n".join(part["text"] for part in parts if part.get("type") == "text")
