"""What Codex's items and errors mean: pure parsing, for `app-server` and for `exec --json`.

The two spell names differently (`commandExecution` and `command_execution`); items are read in the
first spelling, in which the app-server's schema describes them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from fleetbot.domain.reasons import ReasonCode
from fleetbot.runner.session.contract import LogLine, PermissionDenial, ToolUse, Usage
from fleetbot.runner.session.driver import Step
from fleetbot.runner.session.text import shortened

_SHELL = re.compile(r"^(?:/\S*/)?(?:ba|z|da)?sh -l?c (.*)$", re.DOTALL)
_BY_CODE = {
    "usageLimitExceeded": ReasonCode.USAGE_LIMIT,
    "sessionBudgetExceeded": ReasonCode.BUDGET_EXCEEDED,
    "contextWindowExceeded": ReasonCode.CONTEXT_TOO_LONG,
    "rateLimitExceeded": ReasonCode.RATE_LIMITED,
    "modelNotFound": ReasonCode.MODEL_NOT_FOUND,
    "unauthorized": ReasonCode.AUTH_FAILED,
    "tooManyDenials": ReasonCode.PERMISSION_DENIED,
    "serverOverloaded": ReasonCode.PROVIDER_UNAVAILABLE,
    "flexUnavailable": ReasonCode.PROVIDER_UNAVAILABLE,
    "policyCapacityUnavailable": ReasonCode.PROVIDER_UNAVAILABLE,
    "internalServerError": ReasonCode.PROVIDER_UNAVAILABLE,
}
_BY_STATUS = {
    401: ReasonCode.AUTH_FAILED,
    402: ReasonCode.BILLING,
    403: ReasonCode.AUTH_FAILED,
    404: ReasonCode.MODEL_NOT_FOUND,
    429: ReasonCode.RATE_LIMITED,
}
# `exec --json` has no codes, only these texts; the first that is found decides.
_BY_TEXT = (
    (r"usage limit", ReasonCode.USAGE_LIMIT),
    (r"quota exceeded|billing", ReasonCode.BILLING),
    (r"context window", ReasonCode.CONTEXT_TOO_LONG),
    (
        r"\b40[13]\b|unauthorized|not logged in|missing environment variable",
        ReasonCode.AUTH_FAILED,
    ),
    (r"\b404\b|model.*(not found|does not exist)", ReasonCode.MODEL_NOT_FOUND),
    (r"\b429\b|rate limit", ReasonCode.RATE_LIMITED),
    (
        r"\b5\d\d\b|high demand|at capacity|disconnected|stream|reconnect|error sending request",
        ReasonCode.PROVIDER_UNAVAILABLE,
    ),
)


def reason_of(error: Mapping[str, Any]) -> ReasonCode:
    """The reason code of an error, by its type and HTTP status, else by its text."""
    info = error.get("codexErrorInfo")
    status = None
    if isinstance(info, dict) and len(info) == 1:
        (info, details), *_ = info.items()
        status = details.get("httpStatusCode") if isinstance(details, dict) else None
    by_text = _by_text(str(error.get("message") or ""))
    if info == "usageLimitExceeded" and by_text is ReasonCode.BILLING:
        return by_text  # an account without credit has the code of a limit that resets
    reason = _BY_CODE.get(info) if isinstance(info, str) else None
    return _BY_STATUS.get(status or 0) or reason or by_text


def _by_text(message: str) -> ReasonCode:
    for pattern, reason in _BY_TEXT:
        if re.search(pattern, message, re.IGNORECASE):
            return reason
    return ReasonCode.AGENT_FAILED


def usage_of(totals: Mapping[str, Any], baseline: Usage) -> Usage:
    """This run's part of a thread's token totals; Codex knows no cost."""
    counts = camel(totals)
    return Usage(
        input_tokens=max(0, int(counts.get("inputTokens") or 0) - baseline.input_tokens),
        output_tokens=max(0, int(counts.get("outputTokens") or 0) - baseline.output_tokens),
        cached_tokens=max(0, int(counts.get("cachedInputTokens") or 0) - baseline.cached_tokens),
    )


def camel(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The same fields with the app-server's spelling."""
    return {_camel(name): value for name, value in fields.items()}


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(map(str.capitalize, rest))


class Items:
    """Reads items as they start and complete, and keeps what the end of the run needs."""

    def __init__(self) -> None:
        self.summary = ""
        self.denials: list[PermissionDenial] = []
        self._shown: dict[str, dict[str, Any]] = {}

    def started(self, item: Mapping[str, Any]) -> Iterable[Step]:
        item = camel(item)
        if tool := _tool(item):
            self._shown[item["id"]] = item
            return [tool]
        return []

    def completed(self, item: Mapping[str, Any]) -> Iterable[Step]:
        item = camel(item)
        tool = _tool(item)
        if tool and item["id"] not in self._shown:
            yield tool
        if tool and item.get("status") == "declined":
            self.denials.append(PermissionDenial(tool.name, tool.summary))
        match _camel(item["type"]):
            case "agentMessage" if item["text"].strip():
                self.summary = item["text"]
                yield LogLine(item["text"], "assistant")
            case "commandExecution" if output := item.get("aggregatedOutput"):
                yield LogLine(output.rstrip("\n"), "tool_output")
            case "error":
                yield LogLine(item["message"], "system")

    def changes(self, item_id: str) -> Any:
        """The file changes of an item; a request to approve them does not repeat them."""
        return self._shown.get(item_id, {}).get("changes")


def _tool(item: Mapping[str, Any]) -> ToolUse | None:
    match _camel(item["type"]):
        case "commandExecution":
            return ToolUse("command", command_summary(item["command"]))
        case "fileChange":
            return ToolUse("edit", shortened(", ".join(c["path"] for c in item["changes"])))
        case "mcpToolCall":
            name = f"{item['server']}.{item['tool']}"
            return ToolUse(name, shortened(json.dumps(item.get("arguments"), ensure_ascii=False)))
        case "webSearch":
            return ToolUse("web search", shortened(str(item.get("query") or "")))
    return None


def command_summary(command: str) -> str:
    """A command line without the shell around it."""
    inner = _SHELL.match(command)
    text = inner[1] if inner else command
    quoted = inner and len(text) > 1 and text[0] == text[-1] and text[0] in "'\""
    return shortened(text[1:-1] if quoted else text)
