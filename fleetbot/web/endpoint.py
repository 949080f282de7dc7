"""What an endpoint is: one value says who may call it, with what, and what comes back.

The guard carries it out and `/openapi.json` describes it, so the two cannot drift apart.
Each is declared by one of the makers below the class, which say the method and who.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import KW_ONLY, dataclass
from enum import Enum
from functools import cached_property, partial
from types import NoneType
from typing import Annotated, Any, Generic, TypeVar, get_args, get_type_hints

import msgspec
from aiohttp import web
from msgspec import Meta

from fleetbot import wire
from fleetbot.domain.model import AgentName
from fleetbot.services.passes import Viewer
from fleetbot.store.identities import Enrolment
from fleetbot.web.decoding import fields
from fleetbot.web.problems import Code

JSON = "application/json"
EVENT_STREAM = "text/event-stream"
MEBIBYTE = 1024 * 1024
OPERATOR = "api:operator"  # the actor in the journal: operators share tokens

NOBODY = Viewer()

Body = TypeVar("Body")
Params = TypeVar("Params")


class Who(Enum):
    """Who may call; the value is the token to show, in words."""

    ANYONE = "no token"
    AGENT = "an agent's token"
    ENROLLER = "an enrolment token, or the agent's own token"
    READER = "a reader's or an operator's token"
    VIEWER = "the board's session, or a reader's token"
    OPERATOR = "an operator's token"
    FORGE = "Forgejo's signature"


class Query(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of query parameters, all optional; a tuple is a parameter that may be repeated."""


class NoQuery(Query, frozen=True):
    pass


class NoBody(wire.Message, frozen=True):
    """Nothing, or `{}`."""


class WaitQuery(Query, frozen=True):
    wait: Annotated[float, Meta(ge=0, le=60, description="seconds to wait for news")] = 0


@dataclass(frozen=True, slots=True)
class Header:
    """A request header; `pattern` is a regular expression that all of its value must match."""

    name: str
    pattern: str
    description: str
    required: bool = False


IDEMPOTENCY_KEY = Header(
    "Idempotency-Key",
    r"[!-~]([ -~]{0,198}[!-~])?",
    "1 to 200 printable ASCII characters, chosen by the caller; the same key gets the same answer",
    required=True,
)


class Call(msgspec.Struct, Generic[Body, Params], frozen=True, kw_only=True):
    """A request that has passed the guard.

    `agent` is whose token was shown, if it is an agent's; `enrolment` what it was made for, if one
    agent may enrol with it; `reads`: whether it was a token to read with; `viewer`: who looks at
    the board; `headers` holds those that the endpoint declares and the request has.
    """

    request: web.Request
    agent: AgentName | None
    enrolment: Enrolment | None
    reads: bool
    body: Body
    query: Params
    headers: Mapping[str, str]
    viewer: Viewer = NOBODY

    @property
    def speaker(self) -> AgentName:
        """The agent, for endpoints that only agents may call."""
        assert self.agent is not None
        return self.agent

    def part(self, name: str) -> str:
        """A part of the path."""
        return self.request.match_info[name]

    def alive(self) -> bool:
        """Whether somebody still waits for the answer."""
        transport = self.request.transport
        return transport is not None and not transport.is_closing()


AnyCall = Call[Any, Any]
Answering = Callable[[AnyCall], Awaitable[object]]


@dataclass(frozen=True)
class Endpoint:
    """The `handler` says by its signature what it takes and what it answers; one that makes
    the response itself answers with `sends`. A body of type bytes is handed on as it came.

    What is answered is sent as `media`. `empty` says when there is no answer (204); `kept`, when
    what the caller has is still good (304), of one that gives its answers an ETag; `moved`, where
    it is found instead (308). `refusals` are the codes of its own problems, beside those that
    follow from the rest.
    """

    method: str
    who: Who
    path: str
    handler: Answering
    summary: str
    _: KW_ONLY
    sends: type | None = None
    status: int = 200
    media: str = JSON
    empty: str = ""
    kept: str = ""
    moved: str = ""
    headers: tuple[Header, ...] = ()
    refusals: tuple[Code, ...] = ()
    limit: int = MEBIBYTE

    @cached_property
    def _hints(self) -> tuple[type, type, Any]:
        """Of the body, of the query, and of the answer."""
        hints = get_type_hints(self.handler)
        body, query = get_args(hints["call"])
        return body, query, hints["return"]

    @property
    def body(self) -> type:
        return self._hints[0]

    @property
    def query(self) -> type[Query]:
        return self._hints[1]

    @cached_property
    def answer(self) -> type:
        """NoneType: there never is one."""
        _, _, hint = self._hints
        told: type = next((kind for kind in get_args(hint) if kind is not NoneType), hint)
        if issubclass(told, web.StreamResponse):
            return self.sends or NoneType
        return told

    @property
    def takes_body(self) -> bool:
        return self.method != "GET"

    @cached_property
    def repeatable(self) -> frozenset[str]:
        """The names of the parameters that may be given more than once."""
        shapes = fields(self.query).items()
        return frozenset(name for name, shape in shapes if shape.get("type") == "array")

    @property
    def own(self) -> tuple[Code, ...]:
        """The problems that follow from what it is about; what a path names may not be there."""
        named = (Code.NOT_FOUND,) if "{" in self.path else ()
        return tuple(dict.fromkeys((*named, *self.refusals)))

    def codes(self) -> tuple[Code, ...]:
        """Every problem that this endpoint may answer with."""
        found: list[Code] = []
        if self.who is not Who.ANYONE:
            found += [Code.UNAUTHORIZED, Code.BUSY]
        if self.who not in (Who.ANYONE, Who.FORGE):
            found.append(Code.FORBIDDEN)
        if self.takes_body:
            found += [Code.MALFORMED, Code.TOO_LARGE, Code.UNKNOWN_ENCODING, Code.TOO_SLOW]
        found += [Code.INVALID, *self.own, Code.STANDBY, Code.UNAVAILABLE, Code.INTERNAL]
        return tuple(dict.fromkeys(found))


anyone_gets = partial(Endpoint, "GET", Who.ANYONE)
reader_gets = partial(Endpoint, "GET", Who.READER)
viewer_gets = partial(Endpoint, "GET", Who.VIEWER)
operator_posts = partial(Endpoint, "POST", Who.OPERATOR)
agent_gets = partial(Endpoint, "GET", Who.AGENT)
agent_posts = partial(Endpoint, "POST", Who.AGENT)
