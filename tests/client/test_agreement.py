"""The client has a method for every call that is described, and no other; and their types agree."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator
from types import NoneType
from typing import Any, NamedTuple, get_args, get_origin, get_type_hints

import msgspec
import pytest

from fleetbot import client
from fleetbot.client.errors import REMEDIES
from fleetbot.client.feed import EventCalls
from fleetbot.client.transport import Calls, Request
from fleetbot.web.problems import Code
from fleetbot_devkit.docs import ROOT

DESCRIPTION = json.loads((ROOT / "docs/reference/openapi.json").read_text("utf-8"))


class Operation(NamedTuple):
    method: str
    path: str
    its: dict[str, Any]

    def named(self, place: str) -> set[str]:
        return {one["name"] for one in self.its["parameters"] if one["in"] == place}

    @property
    def body(self) -> str | None:
        content = self.its.get("requestBody", {}).get("content", {}).values()
        names = [_name(one["schema"]) for one in content]
        return names[0] if names and names[0] != "NoBody" else None

    @property
    def answers(self) -> set[str]:
        """The names of what comes back."""
        found = set()
        for status, response in self.its["responses"].items():
            if status.startswith("2"):
                content = response.get("content", {}).values()
                found |= {_name(one["schema"]) for one in content} or {"NoneType"}
        return found


def _name(schema: dict[str, Any]) -> str:
    if "properties" in schema:  # of a stream, what each of its events is made of
        schema = schema["properties"]["data"]["contentSchema"]
    plain = {"string": "str", "object": "dict"}
    return str(schema["$ref"].split("/")[-1] if "$ref" in schema else plain[schema["type"]])


OPERATIONS = {
    its["operationId"]: Operation(method.upper(), path, its)
    for path, methods in DESCRIPTION["paths"].items()
    for method, its in methods.items()
    if its["tags"] != ["board"]  # pages, and what they fetch with a browser's session: no program's
}


class Method(NamedTuple):
    group: type[Calls] | type[EventCalls]
    name: str

    @property
    def hints(self) -> dict[str, Any]:
        return get_type_hints(getattr(self.group, self.name))

    @property
    def parameters(self) -> dict[str, inspect.Parameter]:
        found = dict(inspect.signature(getattr(self.group, self.name)).parameters)
        del found["self"]
        return found


def _methods() -> Iterator[tuple[str, Method]]:
    """By the names that a `Client` gives to its groups."""
    source = inspect.getsource(client.Client.__init__)
    for line in source.splitlines():
        attribute, equals, made = line.strip().removeprefix("self.").partition(" = ")
        group = getattr(client, made.partition("(")[0], None) if equals else None
        if isinstance(group, type) and issubclass(group, Calls | EventCalls):
            for name, _ in inspect.getmembers(group, inspect.isfunction):
                if not name.startswith("_"):
                    yield f"{attribute}.{name}", Method(group, name)


METHODS = dict(_methods())


def test_there_is_a_method_for_each_call_and_no_other() -> None:
    assert sorted(METHODS) == sorted(OPERATIONS)


@pytest.mark.parametrize("name", sorted(OPERATIONS))
def test_a_method_takes_and_gives_what_is_described(name: str) -> None:
    operation, method = OPERATIONS[name], METHODS[name]
    kinds = {one: p.kind for one, p in method.parameters.items()}
    hints = method.hints

    returned = hints["return"]
    parts = get_args(returned) if get_origin(returned) is not dict else (dict,)
    assert {kind.__name__ for kind in parts or (returned,)} == operation.answers
    body = {"request", "body"} & set(kinds)
    assert [hints[one].__name__ for one in body] == ([_body(operation)] if operation.body else [])
    query = {one for one, kind in kinds.items() if kind is inspect.Parameter.KEYWORD_ONLY}
    assert query == operation.named("query")
    assert ("key" in kinds) == ("Idempotency-Key" in operation.named("header"))
    assert {one for one in kinds if one in operation.path} >= operation.named("path")


def _body(operation: Operation) -> str | None:
    return "bytes" if operation.body == "dict" else operation.body


class Asked(Exception):
    def __init__(self, request: Request) -> None:
        super().__init__()
        self.request = request


async def ask(request: Request) -> bytes:
    raise Asked(request)


@pytest.mark.parametrize("name", sorted(set(METHODS) - {"events.follow"}))
async def test_a_method_calls_what_is_described(name: str) -> None:
    operation, method = OPERATIONS[name], METHODS[name]
    assert issubclass(method.group, Calls)
    given = {one: _value(one, method.hints[one]) for one in method.parameters}

    with pytest.raises(Asked) as asked:
        await getattr(method.group(ask), method.name)(**given)

    request = asked.value.request
    path, _, query = request.path.partition("?")
    parts = {f"{{{one}}}": f"the%20{one}" for one in operation.named("path")}
    expected = operation.path
    for part, value in parts.items():
        expected = expected.replace(part, value)
    assert (request.method, f"/{path}") == (operation.method, expected)
    assert {one.partition("=")[0] for one in query.split("&") if one} == operation.named("query")


def _value(name: str, hint: Any) -> Any:
    kinds = [kind for kind in get_args(hint) or (hint,) if kind is not NoneType]
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        return hint(**{one.name: None for one in msgspec.structs.fields(hint) if one.required})
    if name == "state":
        return ["failed", "created"]
    return {str: f"the {name}", float: 2.0, int: 3, bytes: b"{}"}.get(
        kinds[0], {} if name == "headers" else kinds[0]
    )


def test_of_every_problem_is_said_what_helps() -> None:
    assert set(REMEDIES) == set(Code)
