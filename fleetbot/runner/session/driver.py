"""The language of one agent program, without I/O.

A driver turns the program's lines into events and says what to write back; it never touches a
process. `program_session.ProgramSession` does the I/O for every driver, and recorded transcripts
test the drivers alone.
"""

from __future__ import annotations

import json
import signal
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

import msgspec

from fleetbot.runner.session.contract import Answer, Event


class Send(msgspec.Struct, frozen=True):
    """Write this line to the program."""

    line: str

    @classmethod
    def json(cls, message: Mapping[str, Any]) -> Send:
        """A message of a protocol that has one JSON object a line."""
        return cls(json.dumps(message))


class CloseInput(msgspec.Struct, frozen=True):
    """Close the program's stdin and let it work on."""


class Hangup(msgspec.Struct, frozen=True):
    """The conversation is over: close the program's stdin; it is expected to exit."""


class Rested(msgspec.Struct, frozen=True):
    """The program said how its turn went, and work it announced goes on in the background.

    Not `busy`: that work is done, and the turn that tells of it should begin at once.
    """

    busy: bool = True


class Resumed(msgspec.Struct, frozen=True):
    """The program began another turn by itself."""


class Retrying(msgspec.Struct, frozen=True):
    """The program waits for its model provider and tries again; this is no progress."""

    detail: str


Control = Send | CloseInput | Hangup | Rested | Resumed | Retrying
"""Steps that are for the session alone."""
Step = Event | Control


class Driver(Protocol):
    """One conversation with one program.

    `argv` starts the program. `pipe` asks for a stdin pipe (else /dev/null). `greets` and `talks`
    say what silence means: it says something soon after its start, and as it works. `stop_signal`
    is the one the program ends on most cleanly.
    """

    @property
    def argv(self) -> Sequence[str]: ...
    @property
    def pipe(self) -> bool: ...
    @property
    def greets(self) -> bool: ...
    @property
    def talks(self) -> bool: ...
    @property
    def stop_signal(self) -> signal.Signals: ...

    def opening(self) -> Iterable[Step]:
        """What to write first."""
        ...

    def line(self, text: str) -> Iterable[Step]:
        """Read one line of stdout."""
        ...

    def stderr(self, text: str) -> Iterable[Step]:
        """Read one line of stderr."""
        ...

    def steer(self, text: str) -> Sequence[Step] | None:
        """Hand over a message; None if the program cannot take one now."""
        ...

    def answer(self, question: str, answer: Answer) -> Sequence[Step] | None:
        """Answer a question; None if it is not open."""
        ...

    def interrupt(self) -> Sequence[Step]:
        """Ask the program to end its turn by itself; empty if only a signal can."""
        ...

    def exited(self, code: int) -> Iterable[Step]:
        """Last events after the program exited; the last one is the `Finished`."""
        ...
