"""What every request passes: who is calling, how much, in what shape; and how errors are told."""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import msgspec
from aiohttp import web
from multidict import CIMultiDict

from fleetbot import wire
from fleetbot.domain.model import AgentName
from fleetbot.fence import Leads, always
from fleetbot.forge.payloads import looks_signed, verify_signature
from fleetbot.logs import about, also, log_of, subject
from fleetbot.services.access import Access
from fleetbot.services.passes import Passes, Viewer
from fleetbot.store.identities import Enrolment
from fleetbot.web.bodies import Bodies, check_encoding, leave_packed
from fleetbot.web.crowd import Crowd
from fleetbot.web.decoding import decode_json, decode_query
from fleetbot.web.endpoint import JSON, NOBODY, AnyCall, Call, Endpoint, NoBody, WaitQuery, Who
from fleetbot.web.problems import Code, Refusal, explain, problem, respond

log = log_of("fleetbot.web")

SESSION_COOKIE = "fleetbot_board"
METRICS = "/metrics"
ALWAYS = ("/healthz", METRICS)
"""What also one answers that does not lead."""
LOOK_SECONDS = 5.0
"""How soon it is noticed that nobody waits for an answer any more: aiohttp does not tell."""
MOST_REQUESTS = 512
"""Of one caller at once. An agent with all its runs makes fewer: two waiting claims and some long
polls for each."""
_REQUEST_ID = re.compile(r"[\w.:-]{1,64}\Z", re.ASCII)
_PATH_PART = re.compile(r"[^\x00-\x1f\x7f\ud800-\udfff]{1,200}\Z")

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Subject = Callable[[Mapping[str, str]], Mapping[str, str]]
Count = Callable[[str, str, int, str], None]


@dataclass(frozen=True, slots=True)
class _Caller:
    """What a token is good for."""

    agent: AgentName | None = None
    enrolment: Enrolment | None = None
    enrols: bool = False
    reads: bool = False
    operates: bool = False
    viewer: Viewer | None = None

    @property
    def name(self) -> str:
        """Whose token it is, as far as can be told: those of the settings are shared."""
        if self.viewer is not None:
            return self.viewer.caller
        if self.agent is not None:
            return f"agent:{self.agent}"
        return "operator" if self.operates else "reader" if self.reads else "enrolment"

    def may(self, who: Who) -> bool:
        match who:
            case Who.AGENT:
                return self.agent is not None
            case Who.ENROLLER:
                return self.agent is not None or self.enrolment is not None or self.enrols
            case Who.READER:
                return self.reads
            case Who.VIEWER:
                return self.reads or self.viewer is not None
            case Who.OPERATOR:
                return self.operates
            case Who.ANYONE | Who.FORGE:
                return True


_NOBODY = _Caller()
_UNPROVEN = (Who.ANYONE, Who.FORGE)


class Guard:
    """`webhook_secret` signs Forgejo's deliveries; `count` hears of every answer: method, path
    template, status, and the code of the problem that it was; `on_unsigned` of deliveries whose
    signature is missing or wrong. Only what is in `ALWAYS` answers unless `leads`. `passes` knows
    whose a session of the board is; `subject` tells what a request with these names in its path is
    about.
    """

    def __init__(
        self,
        access: Access,
        webhook_secret: str,
        count: Count,
        on_unsigned: Callable[[], None] = lambda: None,
        leads: Leads = always,
        passes: Passes | None = None,
        subject: Subject = lambda names: {},
    ) -> None:
        self._passes = passes
        self._access = access
        self._subject = subject
        self._secret = webhook_secret
        self._count = count
        self._on_unsigned = on_unsigned
        self._leads = leads
        self._requests = Crowd(MOST_REQUESTS, "requests")
        self._bodies = Bodies()
        self._under_way = 0
        self._idle = asyncio.Event()
        self._idle.set()

    def protect(self, endpoint: Endpoint) -> Handler:
        """The endpoint as aiohttp calls it."""

        async def handle(request: web.Request) -> web.StreamResponse:
            with about(request=_request_id(request), **self._subject(request.match_info)):
                return await answer(request)

        async def answer(request: web.Request) -> web.StreamResponse:
            self._begin()
            code = ""
            try:
                self._check_lead(endpoint)
                response = await self._serve(endpoint, request)
                if not response.prepared:  # it may have been long on its way
                    self._check_lead(endpoint)
            except Exception as error:  # also a bug has to be answered, and must not say more
                found = _explained(error, endpoint)
                response, code = respond(found), found.code
            finally:
                self._end()
            self._count(endpoint.method, endpoint.path, response.status, code)
            if endpoint.who in _UNPROVEN or response.status == HTTPStatus.UNAUTHORIZED:
                await leave_packed(request, response)
            return response

        return handle

    def _check_lead(self, endpoint: Endpoint) -> None:
        if endpoint.path not in ALWAYS and not self._leads():
            raise Refusal(Code.STANDBY, "Another orchestrator may lead by now: try again shortly.")

    def _begin(self) -> None:
        self._under_way += 1
        self._idle.clear()

    def _end(self) -> None:
        self._under_way -= 1
        if not self._under_way:
            self._idle.set()

    async def finished(self, seconds: float) -> bool:
        """Wait until nothing is under way; False if that takes longer."""
        try:
            async with asyncio.timeout(seconds):
                return await self._idle.wait()
        except TimeoutError:
            return False

    async def _serve(self, endpoint: Endpoint, request: web.Request) -> web.StreamResponse:
        if endpoint.who is Who.FORGE:  # the signature says who it is, once the body is there
            return await self._let_in(endpoint, request, _NOBODY)
        caller = await self._authenticate(endpoint.who, request)
        if endpoint.who is Who.ANYONE:
            return await self._let_in(endpoint, request, caller)
        also(agent=caller.agent)
        with self._requests.one_of(caller.name):
            return await self._let_in(endpoint, request, caller)

    async def _let_in(
        self, endpoint: Endpoint, request: web.Request, caller: _Caller
    ) -> web.StreamResponse:
        _check_path(request)
        query = decode_query(request.query, endpoint.query, endpoint.repeatable)
        headers = _headers(endpoint, request)
        raw = await self._read(endpoint, request, caller) if endpoint.takes_body else b""
        call = Call(
            request=request,
            agent=caller.agent,
            enrolment=caller.enrolment,
            reads=caller.reads,
            body=_body(endpoint, raw),
            query=query,
            headers=headers,
            viewer=caller.viewer or NOBODY,
        )
        answering = endpoint.handler(call)
        if issubclass(endpoint.query, WaitQuery):
            answering = _while_awaited(call, answering)
        return _respond(endpoint, await answering)

    # who is calling

    async def _authenticate(self, who: Who, request: web.Request) -> _Caller:
        token = bearer(request)
        if who is Who.ANYONE:
            return _Caller(reads=bool(token) and self._access.may_read(token))
        if who is Who.VIEWER and not token and self._passes is not None:
            kept = request.cookies.get(SESSION_COOKIE, "")
            return _Caller(viewer=await self._passes.viewer(kept))
        if not token:
            detail = f"Show {who.value}, as `Authorization: Bearer <token>`."
            raise Refusal(Code.UNAUTHORIZED, detail, field="Authorization")
        caller = await self._identify(token)
        if caller.may(who):
            return caller
        if caller == _NOBODY:
            raise Refusal(Code.UNAUTHORIZED, f"The token is not known: show {who.value}.")
        raise Refusal(Code.FORBIDDEN, f"This token is not for this call: it takes {who.value}.")

    async def _identify(self, token: str) -> _Caller:
        return _Caller(
            agent=await self._access.agent(token),
            enrolment=await self._access.enrolment(token),
            enrols=self._access.may_enrol(token),
            reads=self._access.may_read(token),
            operates=self._access.may_operate(token),
        )

    async def _read(self, endpoint: Endpoint, request: web.Request, caller: _Caller) -> bytes:
        """The body. Forgejo's proves itself: what could not is not read."""
        check_encoding(request)
        if endpoint.who is Who.ANYONE:
            return await self._bodies.unproven(request, endpoint.limit)
        if endpoint.who is not Who.FORGE:
            return await self._bodies.of_known(request, endpoint.limit, caller.name)
        if not looks_signed(request.headers):
            raise self._unsigned()
        raw = await self._bodies.unproven(request, endpoint.limit)
        if not verify_signature(self._secret, raw, request.headers):
            raise self._unsigned()
        return raw

    def _unsigned(self) -> Refusal:
        self._on_unsigned()
        return Refusal(
            Code.UNAUTHORIZED,
            "The signature is missing or wrong: give Forgejo's webhook the secret of "
            "forge.webhook_secret, and POST with content type application/json.",
            field="X-Forgejo-Signature",
        )


def _where() -> str:
    its = subject().get("request")
    return f", at request={its}" if its else ""


async def _while_awaited(call: AnyCall, answering: Awaitable[Any]) -> Any:
    """What only looks and waits is not kept waiting for nobody."""
    task = asyncio.ensure_future(answering)
    try:
        while not (await asyncio.wait({task}, timeout=LOOK_SECONDS))[0]:
            if not call.alive():
                raise Refusal(Code.UNAVAILABLE, "Nobody waits for the answer any more.")
        return task.result()
    finally:
        task.cancel()


def _request_id(request: web.Request) -> str:
    """That of the proxy before us, where it gives one; it finds the lines of the log."""
    given = request.headers.get("X-Request-Id", "")
    return given if _REQUEST_ID.match(given) else secrets.token_hex(4)


def bearer(request: web.Request) -> str:
    """The token shown; empty if there is none that could be one of ours."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" and token.isascii() else ""


# what is asked


def _body(endpoint: Endpoint, raw: bytes) -> Any:
    """The message; only where nothing needs to be said may nothing be sent."""
    if endpoint.body is bytes:
        return raw
    if not raw and endpoint.body is not NoBody:
        raise Refusal(Code.MALFORMED, "The body is empty: send JSON, at least {}.", field="body")
    return decode_json(raw or b"{}", endpoint.body)


def _headers(endpoint: Endpoint, request: web.Request) -> dict[str, str]:
    found = {}
    for header in endpoint.headers:
        value = request.headers.get(header.name)
        if value is None and not header.required:
            continue
        if value is None or not re.fullmatch(header.pattern, value):
            detail = f"Header {header.name} must be {header.description}."
            raise Refusal(Code.INVALID, detail, field=header.name)
        found[header.name] = value
    return found


def _check_path(request: web.Request) -> None:
    for name, part in request.match_info.items():
        if not _PATH_PART.match(part):
            raise Refusal(Code.NOT_FOUND, f"There is no such {name}.", field=name)


# what is answered

# Among what is not to be kept on the way is the token of a new agent. Made once, as each request
# needs them.
_ANSWERED = CIMultiDict({"Content-Type": JSON, "Cache-Control": "no-store"})


def _respond(endpoint: Endpoint, answer: object) -> web.StreamResponse:
    if isinstance(answer, web.StreamResponse):
        return answer
    if answer is None:
        return web.Response(status=HTTPStatus.NO_CONTENT)
    body = msgspec.json.encode(answer)
    return web.Response(body=body, status=endpoint.status, headers=_ANSWERED.copy())


def _explained(error: Exception, endpoint: Endpoint) -> wire.Problem:
    found = explain(error)
    if found is None:
        log.error("%s %s failed", endpoint.method, endpoint.path, exc_info=error)
        found = problem(Code.INTERNAL, f"fleetbot failed at this; its log says why{_where()}.")
    return found
