"""What a person says, as a command: pure, and patient with how people type."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from fleetbot.domain.model import OPEN_STATES, REPO, AgentName, TaskState


class Usage(NamedTuple):
    """How a command is written, what it does, and the power level it needs unless configured."""

    arguments: str
    says: str
    level: int


CHANGES = 50  # the level of moderators in a room that nobody has configured

COMMANDS: Mapping[str, Usage] = {
    "status": Usage("", "the fleet at a glance, and what waits for a person", 0),
    "tasks": Usage(
        "[state] [owner/repo] [agent]",
        "the open tasks, or those `failed`, `running`, …",
        0,
    ),
    "task": Usage("<issue>", "one task: where it is, who had it, what came of it", 0),
    "why": Usage("<issue>", "why a task is where it is, and what can be done", 0),
    "agents": Usage("", "the agents: what they can do and what they are at", 0),
    "assign": Usage("<agent> <issue>", "have this agent do it", CHANGES),
    "retry": Usage("<issue>", "try it again", CHANGES),
    "cancel": Usage("<issue>", "stop it", CHANGES),
    "help": Usage("[command]", "this", 0),
}
ISSUE_FORMS = "#12, repo#12, owner/repo#12 or a link"


@dataclass(frozen=True, slots=True)
class Status:
    pass


@dataclass(frozen=True, slots=True)
class ListAgents:
    pass


@dataclass(frozen=True, slots=True)
class Help:
    topic: str | None = None


@dataclass(frozen=True, slots=True)
class ListTasks:
    states: frozenset[TaskState] = OPEN_STATES
    repo: str | None = None
    agent: AgentName | None = None


@dataclass(frozen=True, slots=True)
class ShowTask:
    issue: str


@dataclass(frozen=True, slots=True)
class Why:
    issue: str


@dataclass(frozen=True, slots=True)
class Assign:
    agent: AgentName
    issue: str


@dataclass(frozen=True, slots=True)
class Retry:
    issue: str


@dataclass(frozen=True, slots=True)
class Cancel:
    issue: str


@dataclass(frozen=True, slots=True)
class Misspelt:
    """Meant for us, and not a command; `nearest` is what was probably meant."""

    word: str
    nearest: str | None


@dataclass(frozen=True, slots=True)
class Misused:
    """A command with too little or too much after it."""

    command: str
    problem: str


Command = (
    Status
    | ListAgents
    | Help
    | ListTasks
    | ShowTask
    | Why
    | Assign
    | Retry
    | Cancel
    | Misspelt
    | Misused
)
NAMES: Mapping[type, str] = {
    Status: "status",
    ListAgents: "agents",
    Help: "help",
    ListTasks: "tasks",
    ShowTask: "task",
    Why: "why",
    Assign: "assign",
    Retry: "retry",
    Cancel: "cancel",
}

_PREFIX = re.compile(r"[!/]fleet(?:\s+|\Z)", re.IGNORECASE)
_ALONE = re.compile(r"/(assign|retry|cancel)(?:\s+|\Z)", re.IGNORECASE)
_BLANKS = re.compile(r"[\s\u200b\u2060\ufeff]+")
_QUOTES = "\"'`<>\u00ab\u00bb\u2018\u2019\u201c\u201d"
STATE_NAMES: Mapping[str, frozenset[TaskState]] = {
    **{state.value: frozenset({state}) for state in TaskState},
    "open": OPEN_STATES,
    "all": frozenset(TaskState),
    "waiting": frozenset({TaskState.CREATED}),
    "queued": frozenset({TaskState.CREATED}),
    "doing": frozenset({TaskState.ASSIGNED, TaskState.RUNNING}),
    "lost": frozenset({TaskState.AGENT_LOST}),
    "done": frozenset({TaskState.COMPLETED}),
    "canceled": frozenset({TaskState.CANCELLED}),
}


def parse(body: str) -> Command | None:
    """The command in a message's body, or None if it is not for us. Only its first line counts."""
    line = _first_line(body)
    if alone := _ALONE.match(line):
        return _command(alone[1].lower(), _words(line[alone.end() :]))
    prefix = _PREFIX.match(line)
    if prefix is None:
        return None
    words = _words(line[prefix.end() :])
    if not words:
        return Help()
    if "#" in words[0] or "://" in words[0]:
        return _command("task", words)
    return _command(words[0].lower().rstrip(".,:;!?") or "help", words[1:])


def calls_by_name(body: str) -> bool:
    """Whether it says `!fleet` or `/fleet`, so that no other bot can be meant."""
    return _PREFIX.match(_first_line(body)) is not None


def _first_line(body: str) -> str:
    """Of what the person wrote: clients put the lines that are answered before it, with `> `."""
    lines = body.strip().splitlines()
    while lines and lines[0].startswith(">"):
        lines.pop(0)
    lines = [line for line in lines if line.strip()]
    return _BLANKS.sub(" ", lines[0]).strip() if lines else ""


def _words(text: str) -> list[str]:
    """Without quotation marks; `repo #12` is one word."""
    words = [word.strip(_QUOTES) for word in text.split()]
    joined: list[str] = []
    for word in filter(None, words):
        if word.startswith("#") and joined and _may_be_repo(joined[-1]):
            joined[-1] += word
        else:
            joined.append(word)
    return joined


def _may_be_repo(word: str) -> bool:
    return REPO.match(word) is not None


def _command(name: str, words: list[str]) -> Command:
    match name:
        case "status" | "agents":
            surplus = Misused(name, "It takes nothing more.") if words else None
            return surplus or (Status() if name == "status" else ListAgents())
        case "help":
            return Help(words[0].lower().lstrip("!/") if words else None)
        case "tasks":
            return _tasks(words)
        case "assign":
            return _assign(words)
        case "task" | "why" | "retry" | "cancel":
            return _about_issue(name, words)
        case _:
            return Misspelt(name, nearest(name))


def nearest(word: str) -> str | None:
    """The command that was probably meant."""
    close = difflib.get_close_matches(word, COMMANDS, n=1, cutoff=0.55)
    return close[0] if close else None


def _about_issue(name: str, words: list[str]) -> Command:
    if len(words) != 1:
        return Misused(name, f"Which issue? {ISSUE_FORMS}." if not words else "One issue, please.")
    issue = _issue(words[0])
    match name:
        case "task":
            return ShowTask(issue)
        case "why":
            return Why(issue)
        case "retry":
            return Retry(issue)
        case _:
            return Cancel(issue)


def _assign(words: list[str]) -> Command:
    """Either order: `claude-1 #12` is taught, `#12 to claude-1` is what people also say."""
    words = [word for word in words if word.lower() != "to"]
    if len(words) != 2:
        return Misused("assign", "It takes an agent and an issue.")
    agent, issue = words
    if _names_issue(agent) and not _names_issue(issue):
        agent, issue = issue, agent
    return Assign(AgentName(agent.lstrip("@").lower()), _issue(issue))


def _names_issue(word: str) -> bool:
    return "#" in word or "://" in word or word.isdecimal()


def _issue(word: str) -> str:
    return f"#{word}" if word.isdecimal() else word.rstrip(".,;!?")


def _tasks(words: list[str]) -> Command:
    states: frozenset[TaskState] = frozenset()
    repo: str | None = None
    agent: AgentName | None = None
    for word in words:
        if word.lower() in STATE_NAMES:
            states |= STATE_NAMES[word.lower()]
        elif "/" in word and repo is None:
            repo = word
        elif "/" not in word and agent is None:
            agent = AgentName(word.lstrip("@").lower())
        else:
            return Misused("tasks", f"I do not know what to do with {word!r}.")
    return ListTasks(states or OPEN_STATES, repo, agent)
