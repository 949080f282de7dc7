"""Words about a program's output and its end, the same for every adapter."""

from __future__ import annotations

import contextlib
import json
import signal
from collections import deque
from collections.abc import Mapping
from typing import Any

from fleetbot.domain.reasons import ReasonCode
from fleetbot.runner.sandbox.lines import readable
from fleetbot.runner.session.contract import Finished

_SUMMARY = 300
_TAIL_LINES = 20


def one_line(text: str, limit: int = _SUMMARY) -> str:
    """The text on one line, cut at `limit` characters."""
    line = " ".join(text.split())
    return line if len(line) <= limit else f"{line[: limit - 1]}…"


def clipped(text: str, limit: int) -> str:
    """The text, cut after `limit` characters with a note of how much is missing."""
    more = len(text) - limit
    return text if more <= 0 else f"{text[:limit]} … [{more} more characters]"


def in_words(text: str) -> str:
    """What is said to a program: readable text that begins with words.

    `/stop` would be taken for a command of the program's own.
    """
    text = readable(text)
    return f"Here is what was said: {text}" if text.lstrip().startswith("/") else text


def from_a_person(text: str) -> str:
    """A message to a running program."""
    return f"A person says to you:\n\n{readable(text)}"


def json_object(line: str) -> Mapping[str, Any] | None:
    """The JSON object on a line; None if it is anything else."""
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def exit_text(code: int) -> str:
    """An exit code in words."""
    if code >= 0:
        return f"exit status {code}"
    with contextlib.suppress(ValueError):
        return f"ended by {signal.Signals(-code).name}"
    return f"ended by signal {-code}"


class OutputTail:
    """The end of a program's stderr, for the case that it ends without a result."""

    def __init__(self) -> None:
        self.garbage = False
        self._lines: deque[str] = deque(maxlen=_TAIL_LINES)

    def add(self, line: str) -> None:
        if line.strip():
            self._lines.append(one_line(line))

    def no_result(self, code: int) -> Finished:
        """The end of a program that exited with `code` and never said how it went."""
        if self.garbage:
            reason = ReasonCode.UNREADABLE_OUTPUT
        else:
            reason = ReasonCode.AGENT_FAILED if code else ReasonCode.NO_RESULT
        said = "\n".join(self._lines)
        detail = f"{exit_text(code)} without a result"
        return Finished(
            outcome="failed", reason=reason, detail=f"{detail}: {said}" if said else detail
        )
