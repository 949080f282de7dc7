"""The plug: what the kit asks of a system under test. Few verbs, and where forge and room are."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Protocol

from torture.proxy import Proxy
from torture.story import Act, Line, Story


class Refused(Exception):
    """The plug could not do what a verb asks; the text says why."""


@dataclass(frozen=True)
class ForgeAt:
    """A Forgejo (or its like), and a person's token for the repository of the issues."""

    url: str
    repo: str
    token: str = field(repr=False)


@dataclass(frozen=True)
class RoomAt:
    """A Matrix room, and a person in it; `bot` is who speaks for the system."""

    url: str
    room: str
    bot: str
    token: str = field(repr=False)


@dataclass(frozen=True)
class Marks:
    """By what a person sees where an issue stands. Labels and contexts are exact; the others are
    regular expressions, in which `{issue}` stands for its number.

    `completion`, `failure`: a message in the room; `receipt`: a comment that says that the work was
    found to hold; `explanation`: a comment that says why the issue is where it is; `branch`: of a
    pull request that is the system's for this issue. `status` is the one comment, and `card` the
    one message, that are kept up to date, where the system has such; "" where not. `order` is what
    a person says in the room for a new issue, `{title}` standing for its title, and `confirmation`
    a message that asks whether that is meant, which a reply `yes` confirms; `refusal` is a reply to
    either that says that it could not be done now.
    """

    done_label: str
    failed_label: str
    success_context: str
    completion: str
    failure: str
    receipt: str
    explanation: str
    branch: str
    status: str = ""
    card: str = ""
    order: str = ""
    confirmation: str = ""
    refusal: str = ""

    def asks_about(self, title: str, text: str) -> bool:
        """Whether the text is the confirmation of an order with this title."""
        wanted = self.confirmation.replace("{title}", re.escape(title))
        return bool(wanted) and re.search(wanted, text) is not None

    def fits(self, pattern: str, text: str, issue: int) -> bool:
        """Whether a text has the mark; one that the system has not got fits nothing."""
        wanted = pattern.replace("{issue}", str(issue))
        return bool(wanted) and re.search(wanted, text) is not None


class System(Protocol):
    """One running system. A verb that did what it is for answers with the proof of it, in a few
    words ("pid 4711 gone by SIGKILL"); where it had no effect, with None, and the fault counts as
    not run. `lines` are those that can be degraded, with the proxies that stand on them."""

    name: str
    acts: frozenset[Act]
    workers: Sequence[str]
    forge: ForgeAt
    room: RoomAt
    marks: Marks
    lines: Mapping[Line, Proxy]

    async def open_issue(self, title: str, body: str, act: Act) -> int:
        """A person opens an issue that the system is to take; answers its number."""
        ...

    async def kill(self, target: str) -> str | None:
        """End the process of a worker or of the orchestrator at once, as a crash would."""
        ...

    async def start(self, target: str) -> None:
        """Start it again where it was; nothing where it runs."""
        ...

    async def freeze(self, target: str) -> str | None:
        """Stop it in mid-step, as a machine that sleeps."""
        ...

    async def thaw(self, target: str) -> None: ...

    def launches(self) -> int:
        """How often a worker's program (a model, in real life) was begun so far."""
        ...


class Plug(Protocol):
    """Starts a system for a story; it is stopped, with all it started, at the end of the block.

    What it can be asked for is known before it runs: stories are made of that.
    """

    acts: frozenset[Act]
    workers: Sequence[str]
    lines: Sequence[Line]
    takes_orders: bool  # in the room

    def __call__(self, story: Story) -> AbstractAsyncContextManager[System]: ...
