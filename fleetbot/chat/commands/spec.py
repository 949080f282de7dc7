"""What people ask for: a value for each command, with what it takes."""

from __future__ import annotations

from dataclasses import dataclass

from fleetbot.domain.model import OPEN_STATES, AgentName, Priority, TaskState


@dataclass(frozen=True, slots=True)
class Status:
    pass


@dataclass(frozen=True, slots=True)
class ListTasks:
    states: frozenset[TaskState] = OPEN_STATES
    repo: str | None = None
    agent: AgentName | None = None


@dataclass(frozen=True, slots=True)
class ShowTask:
    issue: str = ""  # empty: the one that the message replies to


@dataclass(frozen=True, slots=True)
class Why:
    issue: str = ""


@dataclass(frozen=True, slots=True)
class ListAgents:
    """`agent`: this one at length; None: all."""

    agent: AgentName | None = None


@dataclass(frozen=True, slots=True)
class Log:
    """`run`: its place among the task's runs, from 1; empty for the newest."""

    issue: str = ""
    run: str = ""


@dataclass(frozen=True, slots=True)
class Cost:
    since: str = ""


@dataclass(frozen=True, slots=True)
class Stats:
    since: str = ""


@dataclass(frozen=True, slots=True)
class New:
    """`text`: the title on its first line, the issue's body below it."""

    text: str
    repo: str | None = None


@dataclass(frozen=True, slots=True)
class Assign:
    agent: AgentName
    issue: str = ""


@dataclass(frozen=True, slots=True)
class Retry:
    issue: str = ""


@dataclass(frozen=True, slots=True)
class Again:
    """`text`: what is to be done; empty for what people were asked about."""

    issue: str = ""
    text: str = ""


@dataclass(frozen=True, slots=True)
class Cancel:
    issue: str = ""


@dataclass(frozen=True, slots=True)
class Land:
    issue: str = ""


@dataclass(frozen=True, slots=True)
class Prioritise:
    priority: Priority
    issue: str = ""


@dataclass(frozen=True, slots=True)
class Queue:
    """`place`: `after` another issue, or `now`."""

    place: str
    issue: str = ""


@dataclass(frozen=True, slots=True)
class Tell:
    text: str
    issue: str = ""


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to an agent's question."""

    text: str
    issue: str = ""


@dataclass(frozen=True, slots=True)
class Pause:
    """`target`: an agent or a repository; empty for all of the fleet."""

    target: str = ""


@dataclass(frozen=True, slots=True)
class Resume:
    target: str = ""


@dataclass(frozen=True, slots=True)
class Drain:
    agent: AgentName


@dataclass(frozen=True, slots=True)
class Quiet:
    issue: str = ""


@dataclass(frozen=True, slots=True)
class Enrol:
    agent: AgentName


@dataclass(frozen=True, slots=True)
class Revoke:
    agent: AgentName


@dataclass(frozen=True, slots=True)
class Iam:
    login: str


@dataclass(frozen=True, slots=True)
class Board:
    """`word`: what else than a link: `widget`, `remove` or `withdraw`."""

    word: str = ""


@dataclass(frozen=True, slots=True)
class Doctor:
    word: str = ""


@dataclass(frozen=True, slots=True)
class Setup:
    """`text`: a repository at first, then what the walk asks for."""

    text: str = ""


@dataclass(frozen=True, slots=True)
class Help:
    topic: str = ""


Command = (
    Status
    | ListTasks
    | ShowTask
    | Why
    | ListAgents
    | Log
    | Cost
    | Stats
    | New
    | Assign
    | Retry
    | Again
    | Cancel
    | Land
    | Prioritise
    | Queue
    | Tell
    | Reply
    | Pause
    | Resume
    | Drain
    | Quiet
    | Enrol
    | Revoke
    | Iam
    | Board
    | Doctor
    | Setup
    | Help
)
