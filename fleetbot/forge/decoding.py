"""From what Forgejo sends to our structs, and to errors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, TypeVar

import msgspec

from fleetbot.forge.errors import ForgeError, UnexpectedAnswer, error_for
from fleetbot.wire.retry_after import retry_after

T = TypeVar("T")

DEEPEST = 64  # many times what Forgejo sends
_MAX_MESSAGE = 300  # characters of Forgejo's message that an error keeps


class Answer(NamedTuple):
    status: int
    headers: Mapping[str, str]
    body: bytes


def convert(data: Any, kind: type[T]) -> T:
    """Make a struct from decoded JSON; ``msgspec.ValidationError`` names a field that is wrong."""
    return msgspec.convert(_without_nulls(data), kind)


def _without_nulls(data: Any, depth: int = 0) -> Any:
    if depth > DEEPEST:
        raise msgspec.ValidationError(f"It is nested more than {DEEPEST} deep")
    if isinstance(data, dict):
        below = depth + 1
        return {k: _without_nulls(v, below) for k, v in data.items() if v is not None}
    if isinstance(data, list):
        return [_without_nulls(value, depth + 1) for value in data if value is not None]
    return data


def total_of(answer: Answer) -> int | None:
    given = answer.headers.get("X-Total-Count", "")
    return int(given) if given.isdecimal() else None


def error_of(answer: Answer, method: str, path: str, token: str) -> ForgeError:
    """Forgejo repeats a token it does not know in its message; nobody else should."""
    seconds = retry_after(answer.headers)
    message = _message(answer.body)
    if token:
        message = message.replace(token, "…")
    return error_for(answer.status, method, path, message[:_MAX_MESSAGE], seconds)


def _message(body: bytes) -> str:
    """Forgejo's ``message``; many errors have an empty body, a bare string or another object."""
    said = _said(body)
    text = said.get("message") if isinstance(said, dict) else said
    return text if isinstance(text, str) else ""


def is_forgejos(body: bytes) -> bool:
    """Whether it may be an answer to a call that Forgejo has: that is JSON, if anything."""
    return not body.strip() or isinstance(_said(body), dict | list)


def _said(body: bytes) -> Any:
    """None where it is no JSON."""
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def json_of(answer: Answer, method: str, path: str) -> Any:
    try:
        data = msgspec.json.decode(answer.body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UnexpectedAnswer(answer.status, method, path, "the answer is not JSON") from error
    return [] if data is None else data  # Go writes an empty list as null


def struct_of(data: Any, kind: type[T], method: str, path: str) -> T:
    try:
        return convert(data, kind)
    except msgspec.ValidationError as error:
        raise UnexpectedAnswer(200, method, path, str(error)) from error
