"""What a round is made of: issues, what people do, faults, and when. Values only."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import StrEnum

NOTE = "torture/{key}.md"
"""The one file that honest work on an issue adds."""


class Act(StrEnum):
    """What the worker's program does about an issue."""

    HONEST = "honest"  # writes the note, commits, ends well
    SLOW = "slow"  # the same, over a few seconds
    LONG_LOG = "long-log"  # the same, after many lines of output
    DIES_ONCE = "dies-once"  # killed in the middle of its first attempt, honest in the next
    VANISHES_ONCE = "vanishes-once"  # its worktree is gone at the end of its first attempt
    SILENT_ONCE = "silent-once"  # its worker takes it, and is not heard of again about it
    LATE = "late"  # the same, and its worker speaks up when another is at it
    LIMIT_ONCE = "limit-once"  # its account's usage limit comes in mid-run; honest after the reset
    IDLE = "idle"  # says it is done, and has done nothing
    DIES = "dies"  # fails each time
    HANGS = "hangs"  # says a word, then nothing, for ever
    FORBIDDEN = "forbidden"  # changes what no worker may change, too
    LIES = "lies"  # claims a commit that nobody can see
    BORROWS = "borrows"  # claims somebody else's pull request


HONEST = frozenset(
    {
        Act.HONEST,
        Act.SLOW,
        Act.LONG_LOG,
        Act.DIES_ONCE,
        Act.VANISHES_ONCE,
        Act.SILENT_ONCE,
        Act.LATE,
        Act.LIMIT_ONCE,
    }
)
"""These must end as done; the others must never be shown as done."""


@dataclass(frozen=True)
class Issue:
    """`at`: seconds from the round's start. `wanted`: the line that honest work writes. `reset`: in
    how many seconds a usage limit that is met is over."""

    key: str
    act: Act
    at: float
    seed: int
    reset: float = 3.0

    @property
    def is_honest(self) -> bool:
        return self.act in HONEST

    @property
    def title(self) -> str:
        return f"Note {self.key}"

    @property
    def path(self) -> str:
        return NOTE.format(key=self.key)

    @property
    def wanted(self) -> str:
        """It cannot be guessed from another issue's."""
        return hashlib.sha256(f"{self.seed}/{self.key}".encode()).hexdigest()[:24]

    @property
    def blobs(self) -> frozenset[str]:
        """What git calls a file with that line; each round of a review adds an empty one."""
        return frozenset(blob(self.wanted + "\n" * ends) for ends in range(12))

    @property
    def body(self) -> str:
        return f"{body(self.path, self.wanted, self.act)}\ntorture-reset: {self.reset}\n"


def blob(text: str) -> str:
    """Git's name of a file's content."""
    content = text.encode()
    return hashlib.sha1(b"blob %d\0%b" % (len(content), content)).hexdigest()


def body(path: str, wanted: str, act: Act) -> str:
    """An issue's text, with what the scripted program reads of it."""
    return (
        f"Please add the file `{path}` with the given line, and nothing else.\n\n"
        f"torture-path: {path}\n\ntorture-line: {wanted}\n\ntorture-act: {act}\n"
    )


class Line(StrEnum):
    """A line between two parties that the kit can degrade."""

    ORCHESTRATOR_FORGE = "orchestrator-forge"
    WORKER_FORGE = "worker-forge"
    WORKER_ORCHESTRATOR = "worker-orchestrator"
    FORGE_ORCHESTRATOR = "forge-orchestrator"  # webhooks
    ORCHESTRATOR_HOMESERVER = "orchestrator-homeserver"


class Harm(StrEnum):
    """What happens to a request on a degraded line."""

    DROP = "drop"  # cut before the server hears it
    DELAY = "delay"  # held for a while
    CUT = "cut"  # the server does it, its answer is lost
    REPEAT = "repeat"  # the server gets it twice
    REORDER = "reorder"  # let past by what comes behind it
    FAIL = "503"  # refused by something in between
    FAIL_LATE = "502-late"  # the server does it, something in between says no
    LIMIT = "429"  # told to wait for a second
    READ_ONLY = "read-only"  # whatever would change something is refused


class Blow(StrEnum):
    """What happens to a process."""

    KILL = "kill"
    FREEZE = "freeze"


ORCHESTRATOR = "orchestrator"


@dataclass(frozen=True)
class Spell:
    """From `at` on, for `seconds`, each request on the line meets `harm` with chance `share`.

    `only` narrows it to requests whose "METHOD path" matches the regular expression; `most` ends
    it after so many requests, if that is earlier; 0 for no bound.
    """

    at: float
    seconds: float
    line: Line
    harm: Harm
    share: float = 1.0
    only: str = ""
    most: int = 0

    def __str__(self) -> str:
        return f"{self.harm} on {self.line} at {self.at:.1f} s for {self.seconds:.1f} s"


@dataclass(frozen=True)
class Strike:
    """At `at` the process of `target` (a worker, or `ORCHESTRATOR`) is killed or frozen, and comes
    back after `seconds`; it never does where that is None.

    `after`: from `at` on it waits for a request on that line whose "METHOD path" matches, and
    strikes when the server has answered it: the moment at which half is done.
    """

    at: float
    seconds: float | None
    target: str
    blow: Blow
    after: tuple[Line, str] | None = None

    def __str__(self) -> str:
        moment = f", after {self.after[1]} on {self.after[0]}" if self.after else ""
        return f"{self.blow} of {self.target} at {self.at:.1f} s{moment}"


Fault = Spell | Strike


class Doing(StrEnum):
    """What a person does, besides opening issues."""

    REWRITE = "rewrite"  # edits the issue's text after it was taken
    STATUS = "status"  # CI says `text` (a state) on the pull request's head
    NAG = "nag"  # asks for changes of each new head, as often as there is one
    MERGE = "merge"  # merges the pull request
    ORDER = "order"  # asks in the room for another issue, with the title `text`


@dataclass(frozen=True)
class Deed:
    """Done about the issue `key`, at `at`; where `after_done`, as soon after that as the issue is
    shown as done."""

    at: float
    key: str
    doing: Doing
    text: str = ""
    after_done: bool = False


class Need(StrEnum):
    """How the system is to be set up for a story."""

    GREEN_CI = "green CI"  # nothing is done before the context `CI` is green
    NOBODY_ORDERS = "nobody may give orders in the room"


CI = "ci/test"


@dataclass(frozen=True)
class Bounds:
    """Seconds: how long what is owed may take after the last fault; how long after it an issue may
    wait without a word; how long the idle system is watched. `launches`: how many of workers'
    programs may be begun in all, 0 for no bound."""

    recover: float = 60.0
    silence: float = 30.0
    idle: float = 0.0
    launches: int = 0


@dataclass(frozen=True)
class Story:
    name: str
    seed: int
    issues: tuple[Issue, ...]
    faults: tuple[Fault, ...] = ()
    deeds: tuple[Deed, ...] = ()
    bounds: Bounds = Bounds()
    needs: frozenset[Need] = frozenset()
    told: str = ""  # where people report it, for an incident

    @property
    def seconds(self) -> float:
        """Until the last of it has begun, and every spell has ended."""
        ends = [0.0, *(issue.at for issue in self.issues), *(deed.at for deed in self.deeds)]
        ends += [fault.at + (fault.seconds or 0) for fault in self.faults]
        return max(ends)
