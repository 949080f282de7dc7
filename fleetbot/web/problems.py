"""Every way in which a request is refused: RFC 9457 problem details with a stable code."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from http import HTTPStatus

import msgspec
from aiohttp import web

from fleetbot import wire
from fleetbot.domain.errors import FleetError, IllegalTransition, Superseded
from fleetbot.forge.errors import ForgeError, ForgeUnavailable
from fleetbot.store.interface import LogGap, StoreUnavailable

PROBLEM_JSON = "application/problem+json"
RETRY_SECONDS = 5


class Code(StrEnum):
    """What is wrong, for programs. The value never changes; the words around it may."""

    MALFORMED = "malformed"
    UNAUTHORIZED = "unauthorized"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not_found"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    TOO_SLOW = "too_slow"
    CONFLICT = "conflict"
    SUPERSEDED = "superseded"
    LOG_GAP = "log_gap"
    TOO_LARGE = "too_large"
    UNKNOWN_ENCODING = "unknown_encoding"
    INVALID = "invalid"
    INTERNAL = "internal"
    FORGE_REFUSED = "forge_refused"
    UNAVAILABLE = "unavailable"
    FORGE_UNAVAILABLE = "forge_unavailable"
    DEGRADED = "degraded"
    BUSY = "busy"
    NOT_CONFIGURED = "not_configured"
    STANDBY = "standby"


FORGE_FAILS = (Code.FORGE_REFUSED, Code.FORGE_UNAVAILABLE)
"""Of a call for which Forgejo is asked."""

STATUS: Mapping[Code, HTTPStatus] = {
    Code.MALFORMED: HTTPStatus.BAD_REQUEST,
    Code.UNAUTHORIZED: HTTPStatus.UNAUTHORIZED,
    Code.FORBIDDEN: HTTPStatus.FORBIDDEN,
    Code.NOT_FOUND: HTTPStatus.NOT_FOUND,
    Code.METHOD_NOT_ALLOWED: HTTPStatus.METHOD_NOT_ALLOWED,
    Code.TOO_SLOW: HTTPStatus.REQUEST_TIMEOUT,
    Code.CONFLICT: HTTPStatus.CONFLICT,
    Code.SUPERSEDED: HTTPStatus.CONFLICT,
    Code.LOG_GAP: HTTPStatus.CONFLICT,
    Code.TOO_LARGE: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    Code.UNKNOWN_ENCODING: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    Code.INVALID: HTTPStatus.UNPROCESSABLE_ENTITY,
    Code.INTERNAL: HTTPStatus.INTERNAL_SERVER_ERROR,
    Code.FORGE_REFUSED: HTTPStatus.BAD_GATEWAY,
    Code.UNAVAILABLE: HTTPStatus.SERVICE_UNAVAILABLE,
    Code.FORGE_UNAVAILABLE: HTTPStatus.SERVICE_UNAVAILABLE,
    Code.DEGRADED: HTTPStatus.SERVICE_UNAVAILABLE,
    Code.BUSY: HTTPStatus.SERVICE_UNAVAILABLE,
    Code.NOT_CONFIGURED: HTTPStatus.SERVICE_UNAVAILABLE,
    Code.STANDBY: HTTPStatus.SERVICE_UNAVAILABLE,
}

TITLE: Mapping[Code, str] = {
    Code.MALFORMED: "The request cannot be read",
    Code.UNAUTHORIZED: "Who is calling cannot be told",
    Code.FORBIDDEN: "Not for this caller",
    Code.NOT_FOUND: "There is no such thing",
    Code.METHOD_NOT_ALLOWED: "Not with this method",
    Code.TOO_SLOW: "The request did not arrive in time",
    Code.CONFLICT: "It does not fit the present state",
    Code.SUPERSEDED: "The run is no longer current",
    Code.LOG_GAP: "Log lines are missing",
    Code.TOO_LARGE: "The request is too large",
    Code.UNKNOWN_ENCODING: "The body is packed in a way that is not known",
    Code.INVALID: "A value is wrong",
    Code.INTERNAL: "fleetbot failed",
    Code.FORGE_REFUSED: "Forgejo refused",
    Code.UNAVAILABLE: "fleetbot cannot do this right now",
    Code.FORGE_UNAVAILABLE: "Forgejo cannot be reached right now",
    Code.DEGRADED: "fleetbot is not well",
    Code.BUSY: "Too many at once",
    Code.NOT_CONFIGURED: "fleetbot is not configured",
    Code.STANDBY: "Another fleetbot leads",
}


class LogGapProblem(wire.Problem, frozen=True):
    """`acked`: how many lines of the run are on disk; send again from there."""

    acked: int


class Refusal(Exception):
    """Ends a request with a problem."""

    def __init__(self, code: Code, detail: str, *, field: str | None = None) -> None:
        super().__init__(detail)
        self.problem = problem(code, detail, field=field)


def problem(
    code: Code, detail: str, *, field: str | None = None, replaced_by: str | None = None
) -> wire.Problem:
    return wire.Problem(
        type=f"urn:fleetbot:problem:{code}",
        title=TITLE[code],
        status=STATUS[code],
        detail=detail,
        code=code,
        field=field,
        replaced_by=replaced_by,
    )


def respond(problem: wire.Problem, headers: Mapping[str, str] | None = None) -> web.Response:
    response = web.Response(
        body=msgspec.json.encode(problem),
        status=problem.status,
        content_type=PROBLEM_JSON,
        headers=headers,
    )
    response.headers.setdefault("Cache-Control", "no-store")  # else a 404 may be, for a while
    if problem.status == HTTPStatus.SERVICE_UNAVAILABLE:
        response.headers.setdefault("Retry-After", str(RETRY_SECONDS))
    if problem.status == HTTPStatus.UNAUTHORIZED:
        response.headers.setdefault("WWW-Authenticate", 'Bearer realm="fleetbot"')
    return response


def explain(error: Exception) -> wire.Problem | None:
    """The problem that an error of the layers below stands for; None for a bug."""
    match error:
        case Refusal():
            return error.problem
        case LogGap(length=length):
            found = msgspec.structs.asdict(problem(Code.LOG_GAP, str(error), field="offset"))
            return LogGapProblem(**found, acked=length)
        case Superseded(replaced_by=other):
            return problem(Code.SUPERSEDED, str(error), field="run", replaced_by=other)
        case IllegalTransition():
            return None
        case FleetError(code=code, field=field) if code in tuple(Code):
            return problem(Code(code), str(error), field=field)
        case StoreUnavailable():
            return problem(
                Code.UNAVAILABLE,
                "The journal cannot be written; `healthz` says why. Try again shortly.",
            )
        case ForgeUnavailable():
            return problem(Code.FORGE_UNAVAILABLE, "Forgejo did not answer: try again shortly.")
        case ForgeError(status=status):
            told = f"Forgejo answered {status}: check the bot's token and its access."
            return problem(Code.FORGE_REFUSED, told)
    return None
