"""What Codex's errors mean: by their type, by the provider's own error, by an HTTP status."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from fleetbot.domain.reasons import ReasonCode
from fleetbot.runner.adapters.provider import BY_STATUS
from fleetbot.runner.session.text import json_object

_BY_CODE = {
    "usageLimitExceeded": ReasonCode.USAGE_LIMIT,
    "sessionBudgetExceeded": ReasonCode.BUDGET_EXCEEDED,
    "contextWindowExceeded": ReasonCode.CONTEXT_TOO_LONG,
    "rateLimitExceeded": ReasonCode.RATE_LIMITED,
    "modelNotFound": ReasonCode.MODEL_NOT_FOUND,
    "unauthorized": ReasonCode.AUTH_FAILED,
    "tooManyDenials": ReasonCode.PERMISSION_DENIED,
    "cyberPolicy": ReasonCode.MODEL_REFUSED,
    "misalignmentPolicyViolation": ReasonCode.MODEL_REFUSED,
    "inferenceHookDenied": ReasonCode.MODEL_REFUSED,
    "serverOverloaded": ReasonCode.PROVIDER_UNAVAILABLE,
    "flexUnavailable": ReasonCode.PROVIDER_UNAVAILABLE,
    "policyCapacityUnavailable": ReasonCode.PROVIDER_UNAVAILABLE,
    "internalServerError": ReasonCode.PROVIDER_UNAVAILABLE,
    "httpConnectionFailed": ReasonCode.PROVIDER_UNAVAILABLE,
    "responseStreamConnectionFailed": ReasonCode.PROVIDER_UNAVAILABLE,
    "responseStreamDisconnected": ReasonCode.PROVIDER_UNAVAILABLE,
    "responseTooManyFailedAttempts": ReasonCode.PROVIDER_UNAVAILABLE,
}
# Codes of the provider's error object, which Codex hands on as it came, and its words for why an
# answer is incomplete.
_BY_PROVIDER = {
    "context_length_exceeded": ReasonCode.CONTEXT_TOO_LONG,
    "max_output_tokens": ReasonCode.CONTEXT_TOO_LONG,
    "insufficient_quota": ReasonCode.BILLING,
    "model_not_found": ReasonCode.MODEL_NOT_FOUND,
    "content_filter": ReasonCode.MODEL_REFUSED,
    "cyber_policy": ReasonCode.MODEL_REFUSED,
    "invalid_request_error": ReasonCode.AGENT_FAILED,
}
_SERVER_ERRORS = 500
# `exec --json` has no codes, and the app-server calls some of these "other": what Codex itself
# always begins with is the only mark they have. Words of a model or a server come later in them.
_INCOMPLETE = re.compile(r"(?:stream disconnected before completion: )?Incomplete.*reason: (\w+)\Z")
_STATUS = re.compile(r"(?:unexpected status|exceeded retry limit, last status:) (\d{3})\b")
_SENTENCES = (
    (re.compile(r"You.ve hit your usage limit"), ReasonCode.USAGE_LIMIT),
    (re.compile(r"Quota exceeded"), ReasonCode.BILLING),
    (re.compile(r"Codex ran out of room"), ReasonCode.CONTEXT_TOO_LONG),
    (re.compile(r"Missing environment variable"), ReasonCode.AUTH_FAILED),
    (
        re.compile(
            r"We.re currently experiencing high demand|Selected model is at capacity"
            r"|stream disconnected|error sending request|Connection failed|Reconnecting"
        ),
        ReasonCode.PROVIDER_UNAVAILABLE,
    ),
)
_UNRESUMABLE = (ReasonCode.CONTEXT_TOO_LONG, ReasonCode.MODEL_REFUSED)


def reason_of(error: Mapping[str, Any]) -> ReasonCode:
    """The reason code of a turn's error, or of one that `exec --json` tells."""
    info, status = _typed(error)
    message = str(error.get("message") or "")
    if info == "usageLimitExceeded" and message.startswith("Quota exceeded"):
        return ReasonCode.BILLING  # an account without credit has the code of a limit that resets
    return _of_status(status) or _BY_CODE.get(info) or _of_message(message)


def is_resumable(error: Mapping[str, Any]) -> bool:
    """Whether the thread can go on; not if what was refused is its history."""
    info, status = _typed(error)
    message = str(error.get("message") or "")
    refused = info == "badRequest" or 400 in (status, _status_in(message))
    by_provider = "invalid_request_error" in _provider_words(message)
    return not (refused or by_provider or reason_of(error) in _UNRESUMABLE)


def _typed(error: Mapping[str, Any]) -> tuple[str, int | None]:
    """The error's type and, where it is one of HTTP, the status."""
    info = error.get("codexErrorInfo")
    if isinstance(info, dict) and len(info) == 1:
        (name, details), *_ = info.items()
        status = details.get("httpStatusCode") if isinstance(details, dict) else None
        return str(name), status
    return (info, None) if isinstance(info, str) else ("", None)


def _of_status(status: int | None) -> ReasonCode | None:
    if status is not None and status >= _SERVER_ERRORS:
        return ReasonCode.PROVIDER_UNAVAILABLE
    return BY_STATUS.get(status or 0)


def _of_message(message: str) -> ReasonCode:
    for word in _provider_words(message):
        if word in _BY_PROVIDER:
            return _BY_PROVIDER[word]
    if reason := _of_status(_status_in(message)):
        return reason
    found = (reason for sentence, reason in _SENTENCES if sentence.match(message))
    return next(found, ReasonCode.AGENT_FAILED)


def _provider_words(message: str) -> tuple[str, ...]:
    """The code and the type of the provider's error in a message, the more specific one first."""
    if incomplete := _INCOMPLETE.match(message):
        return (incomplete[1],)
    error = (json_object(message) or {}).get("error")
    if not isinstance(error, dict):
        return ()
    return tuple(str(error[field]) for field in ("code", "type") if error.get(field))


def _status_in(message: str) -> int | None:
    found = _STATUS.match(message)
    return int(found[1]) if found else None
