"""What lines of a log are about, said once where it begins and written on every line below.

A subject goes along with the code that runs, also into the tasks that it makes. In a plain log it
stands behind the message, in brackets; as JSON each part of it is a field.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping, MutableMapping
from contextvars import ContextVar, Token
from datetime import UTC, datetime
from typing import Any, TextIO

import msgspec

_MOST = 200  # characters of what a line is about: it may be anybody's
_MOST_TOLD = 1000  # and of what it says of it
_subject: ContextVar[Mapping[str, object]] = ContextVar("fleetbot_subject")
_NOTHING: Mapping[str, object] = {}


def subject() -> Mapping[str, str]:
    """What is being dealt with here, by name: `task`, `run`, `agent`, `repository`, `request`, …"""
    return {name: _clean(str(value)) for name, value in _subject.get(_NOTHING).items()}


class about:  # used like a function; each request passes it, and few write a line
    """Within it, lines are about these, too; what is empty says nothing."""

    __slots__ = ("_parts", "_token")

    def __init__(self, **parts: object) -> None:
        self._parts = parts
        self._token: Token[Mapping[str, object]] | None = None

    def __enter__(self) -> None:
        self._token = _subject.set(_with(self._parts))

    def __exit__(self, *error: object) -> None:
        if self._token is not None:
            _subject.reset(self._token)


def also(**parts: object) -> None:
    """Lines are about these, too, from now on and to the end of the `about` that this is within."""
    _subject.set(_with(parts))


def _with(parts: Mapping[str, object]) -> Mapping[str, object]:
    """As they are: they are cleaned for a line, where there is one."""
    return {**_subject.get(_NOTHING), **{name: value for name, value in parts.items() if value}}


def _clean(value: str) -> str:
    """Nothing in it can begin a line, end the brackets, or be taken for a place to fill in."""
    kept = (sign if sign.isprintable() and sign not in " %[]" else "_" for sign in value[:_MOST])
    return "".join(kept)


class Verbatim(str):
    """Text of our own that a line has as it is, such as a traceback without its secrets."""


def _told(value: object) -> object:
    """As a line tells it: on that line, and not without end, whoever the words are from."""
    if isinstance(value, int | float | Verbatim):
        return value
    text = str(value) or type(value).__name__
    kept = text if len(text) <= _MOST_TOLD else f"{text[:_MOST_TOLD]}…"
    if kept.isprintable():
        return kept
    return "".join(sign if sign.isprintable() else _escaped(sign) for sign in kept)


def _escaped(sign: str) -> str:
    return sign.encode("unicode_escape").decode()


class Log(logging.LoggerAdapter[logging.Logger]):
    """A logger whose lines say what they are about, and are lines: what is filled in cannot begin
    another."""

    def log(self, level: int, msg: object, *args: object, **kwargs: Any) -> None:
        if self.isEnabledFor(level):
            super().log(level, msg, *map(_told, args), **kwargs)

    def process(
        self, msg: Any, kwargs: MutableMapping[str, Any]
    ) -> tuple[Any, MutableMapping[str, Any]]:
        its = subject()
        if not its:
            return msg, kwargs
        told = " ".join(f"{name}={value}" for name, value in its.items())
        extra = {**(kwargs.get("extra") or {}), "plain": msg, "subject": its}
        return f"{msg} [{told}]", {**kwargs, "extra": extra}


def log_of(name: str) -> Log:
    return Log(logging.getLogger(name), {})


class JsonLines(logging.Formatter):
    """Each record as one line of JSON: `at` (UTC), `level`, `logger`, `message`, what it is about,
    and `error`, a traceback, where there is one."""

    def format(self, record: logging.LogRecord) -> str:
        msg = getattr(record, "plain", record.msg)
        message = str(msg) % record.args if record.args else str(msg)
        error = self.formatException(record.exc_info) if record.exc_info else ""
        its = getattr(record, "subject", {})
        return line(record.levelname.lower(), record.name, message, its, error, record.created)


def line(
    level: str,
    logger: str,
    message: str,
    its: Mapping[str, str],
    error: str = "",
    at: float | None = None,
) -> str:
    """`at`: seconds of the epoch, now where it is None."""
    when = datetime.now(UTC) if at is None else datetime.fromtimestamp(at, UTC)
    said = {
        "at": when.isoformat(timespec="milliseconds"),
        "level": level,
        "logger": logger,
        "message": message,
        **{name: value for name, value in its.items() if name not in _OWN},
        **({"error": error} if error else {}),
    }
    return msgspec.json.encode(said).decode()


_OWN = ("at", "level", "logger", "message", "error")


class OwnLines:
    """While it is on, the lines of these loggers go to standard output as JSON, nowhere else: once,
    for as many as have it on. The plugin's instances share the loggers of its modules."""

    def __init__(self, *loggers: logging.Logger) -> None:
        self._loggers = loggers
        for logger in loggers:
            _on(logger).users += 1

    def off(self) -> None:
        for logger in self._loggers:
            handler = _on(logger)
            handler.users -= 1
            if not handler.users:
                logger.removeHandler(handler)
                logger.propagate = handler.propagated
        self._loggers = ()


class _OwnHandler(logging.StreamHandler[TextIO]):
    """`propagated`: whether the logger's lines went elsewhere before."""

    def __init__(self, logger: logging.Logger) -> None:
        super().__init__(sys.stdout)
        self.setFormatter(JsonLines())
        self.users = 0
        self.propagated = logger.propagate


def _on(logger: logging.Logger) -> _OwnHandler:
    for handler in logger.handlers:
        if isinstance(handler, _OwnHandler):
            return handler
    handler = _OwnHandler(logger)
    logger.addHandler(handler)
    logger.propagate = False
    return handler
