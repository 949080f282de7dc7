"""The description of the HTTP interface, made from the endpoints themselves (OpenAPI 3.1)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Any

import msgspec

from fleetbot import wire
from fleetbot.misfits import schemas
from fleetbot.web.decoding import fields
from fleetbot.web.endpoint import EVENT_STREAM, JSON, Endpoint, Who
from fleetbot.web.guard import SESSION_COOKIE
from fleetbot.web.problems import PROBLEM_JSON, STATUS, Code, LogGapProblem

Shape = dict[str, Any]

_BEARER: Mapping[Who, Sequence[str]] = {
    Who.ANYONE: (),
    Who.AGENT: ("agent",),
    Who.ENROLLER: ("enrolment", "agent"),
    Who.READER: ("reader", "operator"),
    Who.VIEWER: ("board", "reader", "operator"),
    Who.OPERATOR: ("operator",),
    Who.FORGE: ("forgejo",),
}
_SECURITY: Shape = {
    "agent": {
        "type": "http",
        "scheme": "bearer",
        "description": "The token that registering gave to the agent.",
    },
    "enrolment": {
        "type": "http",
        "scheme": "bearer",
        "description": "One of `auth.enrolment_tokens`: for making new agents.",
    },
    "reader": {
        "type": "http",
        "scheme": "bearer",
        "description": "One of `auth.reader_tokens`: for looking.",
    },
    "operator": {
        "type": "http",
        "scheme": "bearer",
        "description": "One of `auth.operator_tokens`: for looking and changing.",
    },
    "board": {
        "type": "apiKey",
        "in": "cookie",
        "name": SESSION_COOKIE,
        "description": "A session of the board, from `POST board/session`. It reads, and sees what"
        " the room sees in which its link was asked for.",
    },
    "forgejo": {
        "type": "apiKey",
        "in": "header",
        "name": "X-Forgejo-Signature",
        "description": "HMAC-SHA256 of the body with `forge.webhook_secret`, in hex.",
    },
}
_IN_PATHS: Mapping[str, str] = {
    "agent": "an agent's name",
    "file": "a file's name, as the page gives it",
    "ask": "a question's `id`, as the agent has named it",
    "letter": "the `id` of what was given up",
    "message": "a message's `id`",
    "receipt": "what filing it answered as `receipt`",
    "run": "what the claim answered as `run`",
    "task": "a task's `id`",
}


def describe(endpoints: Sequence[Endpoint], version: str) -> Shape:
    """The document; its addresses are relative to where it is served."""
    schemas = _Schemas(endpoints)
    paths: dict[str, Shape] = {}
    for endpoint in endpoints:
        paths.setdefault(endpoint.path, {})[endpoint.method.lower()] = _operation(endpoint, schemas)
    document = {
        "openapi": "3.1.0",
        "info": {"title": "fleetbot", "version": version, "license": {"name": "Apache-2.0"}},
        "servers": [{"url": "."}],
        "paths": paths,
        "components": {"schemas": schemas.components, "securitySchemes": _SECURITY},
    }
    plain: Shape = msgspec.json.decode(msgspec.json.encode(document))
    return plain


class _Schemas:
    """The JSON schemas of all messages, under the names by which operations refer to them."""

    def __init__(self, endpoints: Iterable[Endpoint]) -> None:
        kinds: dict[type, None] = {wire.Problem: None, LogGapProblem: None}
        queries: dict[type, None] = {}
        for endpoint in endpoints:
            kinds |= {k: None for k in (endpoint.body, endpoint.answer) if _is_message(k)}
            queries[endpoint.query] = None
        found, components = schemas((*kinds, *queries))
        self._of = dict(zip((*kinds, *queries), found, strict=True))
        names = {query.__name__ for query in queries}
        self.components = {k: v for k, v in components.items() if k not in names}

    def of(self, kind: type) -> Shape:
        if kind is str:
            return {"type": "string"}
        return self._of.get(kind, {"type": "object"})


def _is_message(kind: type) -> bool:
    return issubclass(kind, msgspec.Struct)


def _operation(endpoint: Endpoint, schemas: _Schemas) -> Shape:
    tag = _tag(endpoint)
    operation: Shape = {
        "operationId": f"{tag}.{getattr(endpoint.handler, '__name__', endpoint.method)}",
        "tags": [tag],
        "summary": endpoint.summary,
        "security": [{name: []} for name in _BEARER[endpoint.who]],
        "parameters": _parameters(endpoint),
        "responses": _responses(endpoint, schemas),
    }
    if endpoint.takes_body:
        operation["requestBody"] = {"content": {JSON: {"schema": schemas.of(endpoint.body)}}}
    return operation


def _tag(endpoint: Endpoint) -> str:
    inner = endpoint.path.removeprefix(f"/{wire.API}/")
    if endpoint.path.startswith("/board"):
        return "board"
    return "service" if inner == endpoint.path else inner.split("/")[0]


def _parameters(endpoint: Endpoint) -> list[Shape]:
    path: list[Shape] = [
        {
            "name": name,
            "in": "path",
            "required": True,
            "description": _IN_PATHS[name],
            "schema": {"type": "string"},
        }
        for name in re.findall(r"{(\w+)}", endpoint.path)
    ]
    query: list[Shape] = [
        {"name": name, "in": "query", "required": False, "schema": _without_null(shape)}
        for name, shape in fields(endpoint.query).items()
    ]
    headers: list[Shape] = [
        {
            "name": header.name,
            "in": "header",
            "required": header.required,
            "description": header.description,
            "schema": {"type": "string", "pattern": f"^{header.pattern}$"},
        }
        for header in endpoint.headers
    ]
    return path + query + headers


def _without_null(shape: Shape) -> Shape:
    """A parameter that may be left out; null cannot be said in a query."""
    options = [option for option in shape.get("anyOf", ()) if option != {"type": "null"}]
    if not options:
        return shape
    rest = {key: value for key, value in shape.items() if key not in ("anyOf", "default")}
    return {**rest, **(options[0] if len(options) == 1 else {"anyOf": options})}


def _responses(endpoint: Endpoint, schemas: _Schemas) -> Shape:
    responses: Shape = {}
    if _has_answer(endpoint):
        responses[str(endpoint.status)] = {
            "description": HTTPStatus(endpoint.status).phrase,
            "content": {endpoint.media: {"schema": _answer(endpoint, schemas)}},
        }
    if endpoint.moved:
        responses["308"] = {"description": endpoint.moved}
    if endpoint.kept:
        responses["304"] = {"description": endpoint.kept}
    if endpoint.empty:
        responses["204"] = {"description": endpoint.empty}
    by_status: dict[HTTPStatus, list[Code]] = {}
    for code in endpoint.codes():
        by_status.setdefault(STATUS[code], []).append(code)
    for status, codes in sorted(by_status.items()):
        responses[str(status.value)] = _problems(codes, schemas)
    return responses


def _answer(endpoint: Endpoint, schemas: _Schemas) -> Shape:
    """Of a stream, what each of its events is made of."""
    shape = schemas.of(endpoint.answer)
    if endpoint.media != EVENT_STREAM:
        return shape
    text = {"type": "string"}
    data = {**text, "contentMediaType": JSON, "contentSchema": shape}
    return {"type": "object", "properties": {"id": text, "event": text, "data": data}}


def _has_answer(endpoint: Endpoint) -> bool:
    return endpoint.answer is not type(None)


def _problems(codes: Sequence[Code], schemas: _Schemas) -> Shape:
    schema = schemas.of(wire.Problem)
    if Code.LOG_GAP in codes:
        schema = {"anyOf": [schemas.of(LogGapProblem), schema]}
    coded = {"type": "object", "properties": {"code": {"enum": list(codes)}}}
    return {
        "description": f"code: {', '.join(codes)}",
        "content": {PROBLEM_JSON: {"schema": {"allOf": [schema, coded]}}},
    }
