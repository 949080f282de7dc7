"""What every request passes: who is calling, how much, in what shape; and how errors are told."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import msgspec
from aiohttp import ClientPayloadError, StreamReader, web

from fleetbot.domain.model import AgentName
from fleetbot.forge.payloads import verify_signature
from fleetbot.services.access import Access
from fleetbot.web.decoding import decode_json, decode_query
from fleetbot.web.endpoint import JSON, AnyEndpoint, Call, Who
from fleetbot.web.problems import Code, Refusal, explain, problem, respond

log = logging.getLogger("fleetbot.web")

BODY_SECONDS = 30.0
_CHUNK = 64 * 1024
_PATH_PART = re.compile(r"[^\x00-\x1f\x7f\ud800-\udfff]{1,200}\Z")

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Count = Callable[[str, str, int], None]


@dataclass(frozen=True, slots=True)
class _Caller:
    """What a token is good for."""

    agent: AgentName | None = None
    enrols: bool = False
    reads: bool = False
    operates: bool = False

    def may(self, who: Who) -> bool:
        match who:
            case Who.AGENT:
                return self.agent is not None
            case Who.ENROLLER:
                return self.agent is not None or self.enrols
            case Who.READER:
                return self.reads
            case Who.OPERATOR:
                return self.operates
            case Who.ANYONE | Who.FORGE:
                return True


class Guard:
    """`webhook_secret` signs Forgejo's deliveries; `count` hears of every answer: method, path
    template, status.
    """

    def __init__(self, access: Access, webhook_secret: str, count: Count) -> None:
        self._access = access
        self._secret = webhook_secret
        self._count = count

    def protect(self, endpoint: AnyEndpoint) -> Handler:
        """The endpoint as aiohttp calls it."""

        async def handle(request: web.Request) -> web.StreamResponse:
            try:
                response = await self._serve(endpoint, request)
            except Exception as error:  # also a bug has to be answered, and must not say more
                response = _answer_error(error, endpoint)
            self._count(endpoint.method, endpoint.path, response.status)
            return response

        return handle

    async def _serve(self, endpoint: AnyEndpoint, request: web.Request) -> web.StreamResponse:
        caller = await self._authenticate(endpoint.who, request)
        _check_path(request)
        query = decode_query(request.query, endpoint.query, endpoint.repeatable)
        headers = _headers(endpoint, request)
        raw = await _read(request, endpoint.limit) if endpoint.takes_body else b""
        if endpoint.who is Who.FORGE:
            self._check_signature(request, raw)
        call = Call(
            request=request,
            agent=caller.agent,
            reads=caller.reads,
            body=_body(endpoint, raw),
            query=query,
            headers=headers,
        )
        return _respond(endpoint, await endpoint.handler(call))

    # who is calling

    async def _authenticate(self, who: Who, request: web.Request) -> _Caller:
        token = _bearer(request)
        if who in (Who.ANYONE, Who.FORGE):
            return _Caller(reads=bool(token) and self._access.may_read(token))
        if not token:
            detail = f"Show {who.value}, as `Authorization: Bearer <token>`."
            raise Refusal(Code.UNAUTHORIZED, detail, field="Authorization")
        caller = await self._identify(token)
        if caller.may(who):
            return caller
        if caller == _Caller():
            raise Refusal(Code.UNAUTHORIZED, f"The token is not known: show {who.value}.")
        raise Refusal(Code.FORBIDDEN, f"This token is not for this call: it takes {who.value}.")

    async def _identify(self, token: str) -> _Caller:
        return _Caller(
            agent=await self._access.agent(token),
            enrols=self._access.may_enrol(token),
            reads=self._access.may_read(token),
            operates=self._access.may_operate(token),
        )

    def _check_signature(self, request: web.Request, raw: bytes) -> None:
        if not verify_signature(self._secret, raw, request.headers):
            raise Refusal(
                Code.UNAUTHORIZED,
                "The signature is missing or wrong: give Forgejo's webhook the secret of "
                "forge.webhook_secret, and POST with content type application/json.",
                field="X-Forgejo-Signature",
            )


def _bearer(request: web.Request) -> str:
    """The token shown; empty if there is none that could be one of ours."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" and token.isascii() else ""


# what is asked


async def _read(request: web.Request, limit: int) -> bytes:
    """The body, counted while it is read: a header may lie and a packed body may grow."""
    content = request.content
    body = b""
    try:
        if content.is_eof():  # a small body comes with its headers: there is nothing to wait for
            body = content.read_nowait()
        if not content.at_eof() and (request.content_length or 0) <= limit:
            async with asyncio.timeout(BODY_SECONDS):
                body += await _rest(content, limit - len(body))
    except TimeoutError:
        detail = f"The body took longer than {BODY_SECONDS:g} seconds."
        raise Refusal(Code.TOO_SLOW, detail) from None
    except (ClientPayloadError, web.RequestPayloadError, ConnectionError):
        raise Refusal(Code.MALFORMED, "The body ended early or is damaged.") from None
    if max(len(body), request.content_length or 0) > limit:
        raise Refusal(Code.TOO_LARGE, f"The body may have {limit} bytes: send less.")
    return body


async def _rest(content: StreamReader, limit: int) -> bytes:
    """What is still to come, to its end or to just beyond the limit."""
    rest = bytearray()
    while not content.at_eof() and len(rest) <= limit:
        rest += await content.read(_CHUNK)
    return bytes(rest)


def _body(endpoint: AnyEndpoint, raw: bytes) -> Any:
    """The message; no body at all stands for one without fields."""
    return raw if endpoint.body is bytes else decode_json(raw or b"{}", endpoint.body)


def _headers(endpoint: AnyEndpoint, request: web.Request) -> dict[str, str]:
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


def _respond(endpoint: AnyEndpoint, answer: object) -> web.StreamResponse:
    if isinstance(answer, web.StreamResponse):
        return answer
    if answer is None:
        return web.Response(status=HTTPStatus.NO_CONTENT)
    return web.Response(
        body=msgspec.json.encode(answer),
        status=endpoint.status,
        content_type=JSON,
        headers={"Cache-Control": "no-store"},  # among them is the token of a new agent
    )


def _answer_error(error: Exception, endpoint: AnyEndpoint) -> web.Response:
    found = explain(error)
    if found is None:
        log.error("%s %s failed", endpoint.method, endpoint.path, exc_info=error)
        found = problem(Code.INTERNAL, "fleetbot failed at this; its log says why.")
    return respond(found)
