"""Events as they may leave a session: clean texts of a bounded size, without secrets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

from fleetbot.runner.sandbox.lines import readable
from fleetbot.runner.sandbox.masking import Masker
from fleetbot.runner.session.contract import Event, Finished, LogLine, Question, ToolUse
from fleetbot.runner.session.text import clipped

LOG_LIMIT = 4000
TEXT_LIMIT = 10_000
_RAW_LIMIT = 2**17  # more than is ever shown is not worth searching for secrets
_DEPTH = 30  # of a request: what follows walks it by recursion

T = TypeVar("T")


def fit(event: Event, masker: Masker) -> Event:
    """The event for whoever reads the session."""
    plain = cleaned(event)
    if isinstance(event, Question) and isinstance(plain, Question):
        whole = _short(plain.request) == event.request
        plain = msgspec.structs.replace(plain, cut=event.cut or not whole)
    return _clipped(masked(plain, masker))


def cleaned(event: Event) -> Event:
    """The same event with every string in it fit to be stored and sent."""
    return _mapped(event, lambda text: readable(clipped(text, _RAW_LIMIT)))


def masked(event: Event, masker: Masker) -> Event:
    """The same event with its free texts masked; ids and answers to choose from stay."""
    replace, mask = msgspec.structs.replace, masker.text
    match event:
        case LogLine():
            return replace(event, text=mask(event.text))
        case ToolUse():
            return replace(event, summary=mask(event.summary))
        case Question():
            title, request = mask(event.title), masker.tree(event.request)
            return replace(event, title=title, request=request)
        case Finished():
            denials = tuple(
                replace(denial, summary=mask(denial.summary)) for denial in event.permission_denials
            )
            detail, summary = mask(event.detail), mask(event.summary)
            return replace(event, detail=detail, summary=summary, permission_denials=denials)
    return event


def _clipped(event: Event) -> Event:
    """The event without texts of a size that only a file should have."""
    replace = msgspec.structs.replace
    match event:
        case LogLine():
            return replace(event, text=clipped(event.text, LOG_LIMIT))
        case Question():
            return replace(event, request=_short(event.request))
        case Finished():
            detail, summary = (clipped(text, TEXT_LIMIT) for text in (event.detail, event.summary))
            return replace(event, detail=detail, summary=summary)
    return event


def _short(request: dict[str, Any]) -> dict[str, Any]:
    return _mapped(request, lambda text: clipped(text, TEXT_LIMIT))


def _mapped(value: T, change: Callable[[str], str]) -> T:
    """The value with every string in it changed."""
    return _map(value, change)  # type: ignore[no-any-return]  # the same type comes back


def _map(value: Any, change: Callable[[str], str], deep: int = _DEPTH) -> Any:
    match value:
        case str():
            return change(value) if type(value) is str else value  # the word of an enum stays
        case dict() | list() | tuple() if not deep:
            return "…"
        case dict():
            pairs = value.items()
            return {_map(k, change): _map(item, change, deep - 1) for k, item in pairs}
        case list() | tuple():
            return type(value)(_map(item, change, deep - 1) for item in value)
        case msgspec.Struct():
            names = value.__struct_fields__
            fields = {name: _map(getattr(value, name), change, deep) for name in names}
            return msgspec.structs.replace(value, **fields)
    return value
