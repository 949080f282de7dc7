"""The commands: one table that the grammar, the help, the reference and clients are told from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from fleetbot.chat.commands import spec
from fleetbot.chat.words.emoji import EYES, bare


class Kind(StrEnum):
    """What a word of a command may be."""

    ISSUE = "issue"  # may be left out in reply to a message about one
    AGENT = "agent"
    REPO = "repo"
    STATE = "state"
    PRIORITY = "priority"
    WORD = "word"
    TEXT = "text"  # all that follows, with its line breaks


class Parameter(NamedTuple):
    """`name` is the field of the command; one that is not `needed` may be left out, another is
    asked for, by its own `question` if it has one."""

    name: str
    kind: Kind
    shown: str
    needed: bool = True
    question: str = ""


CHANGES = 50  # the level of moderators in a room that nobody has configured


@dataclass(frozen=True, slots=True)
class Usage:
    """How a command is written, what it does, and the power level it needs unless configured.

    `alone`: also `/assign …`, without `fleet`. `changes`: it is obeyed once and in its turn.
    `briefly`: the same in a phone's line, for the help's first page; empty where it is not on that.
    """

    says: str
    parameters: tuple[Parameter, ...] = ()
    level: int = 0
    example: str = ""
    alone: bool = False
    changes: bool = False
    briefly: str = ""

    @property
    def arguments(self) -> str:
        """`<agent> <issue>`, `[since]`."""
        return " ".join(f"<{p.shown}>" if p.needed else f"[{p.shown}]" for p in self.parameters)


_ISSUE = Parameter("issue", Kind.ISSUE, "issue")
_AGENT = Parameter("agent", Kind.AGENT, "agent")
_SINCE = Parameter("since", Kind.WORD, "since", needed=False)
_TARGET = Parameter("target", Kind.WORD, "agent or repository", needed=False)

COMMANDS: Mapping[str, Usage] = {
    "status": Usage(
        "the fleet at a glance, and what waits for a person", briefly="how it goes, what waits"
    ),
    "tasks": Usage(
        "the open tasks, or those `failed`, `running`, …",
        (
            Parameter("states", Kind.STATE, "state", needed=False),
            Parameter("repo", Kind.REPO, "owner/repo", needed=False),
            Parameter("agent", Kind.AGENT, "agent", needed=False),
        ),
        example="tasks failed claude-1",
        briefly="what is open, or `failed`",
    ),
    "task": Usage(
        "one task: where it is, who had it, what came of it", (_ISSUE,), example="task #12"
    ),
    "why": Usage(
        "why a task is where it is, and what can be done",
        (_ISSUE,),
        example="why #12",
        briefly="where it is, and why",
    ),
    "agents": Usage(
        "the agents: what they can do and what they are at; one of them with its machine",
        (Parameter("agent", Kind.AGENT, "agent", needed=False),),
        example="agents claude-1",
    ),
    "log": Usage(
        "the log of its newest run, or of an earlier one, as a file",
        (_ISSUE, Parameter("run", Kind.WORD, "run", needed=False)),
        example="log #12",
        briefly="what its agent did",
    ),
    "cost": Usage(
        "what was spent, by repository, agent, day and task; since `7d`, `today`, `monday`, …",
        (_SINCE,),
        example="cost 7d",
    ),
    "stats": Usage(
        "how the fleet does, with a picture; since `7d`, `today`, `monday`, …",
        (_SINCE,),
        example="stats 30d",
    ),
    "new": Usage(
        "open an issue for the fleet; its text stands below the title, or is what you reply to",
        (
            Parameter("repo", Kind.REPO, "owner/repo", needed=False),
            Parameter("text", Kind.TEXT, "title"),
        ),
        level=CHANGES,
        example="new Greet in French as well",
        changes=True,
        briefly="have it done",
    ),
    "assign": Usage(
        "have this agent do it",
        (_AGENT, _ISSUE),
        level=CHANGES,
        example="assign claude-1 #12",
        alone=True,
        changes=True,
    ),
    "retry": Usage(
        "try it again",
        (_ISSUE,),
        level=CHANGES,
        example="retry #12",
        alone=True,
        changes=True,
        briefly="try it again",
    ),
    "again": Usage(
        "have more done on its open pull request: what you say, or what it asked people about",
        (_ISSUE, Parameter("text", Kind.TEXT, "words", needed=False)),
        level=CHANGES,
        example="again #12 use the other library",
        changes=True,
        briefly="more on its pull request",
    ),
    "cancel": Usage(
        "stop it",
        (_ISSUE,),
        level=CHANGES,
        example="cancel #12",
        alone=True,
        changes=True,
        briefly="stop it",
    ),
    "land": Usage(
        "merge what was verified; it takes write access on Forgejo, too: see `iam`",
        (_ISSUE,),
        level=CHANGES,
        example="land #12",
        changes=True,
    ),
    "priority": Usage(
        "how urgent it is: low, normal, high or urgent",
        (_ISSUE, Parameter("priority", Kind.PRIORITY, "priority")),
        level=CHANGES,
        example="priority #12 high",
        changes=True,
    ),
    "queue": Usage(
        "have it wait until the work of another is merged or closed, or no longer: `now`",
        (
            _ISSUE,
            Parameter(
                "place",
                Kind.TEXT,
                "after issue, or now",
                question="Behind which issue, or is it to wait no longer?",
            ),
        ),
        level=CHANGES,
        example="queue #12 after #7",
        changes=True,
    ),
    "tell": Usage(
        "say something to the agent at work on it; a reply in its thread does the same",
        (_ISSUE, Parameter("text", Kind.TEXT, "words")),
        level=CHANGES,
        example="tell #12 leave the tests alone",
        changes=True,
        briefly="to its agent",
    ),
    "answer": Usage(
        "answer its agent's question: `yes`, `no`, `always`, or words",
        (_ISSUE, Parameter("text", Kind.TEXT, "words")),
        level=CHANGES,
        example="answer #12 yes",
        changes=True,
        briefly="its agent's question",
    ),
    "pause": Usage(
        "give out nothing new, of a repository, to an agent, or at all; what is at work goes on",
        (_TARGET,),
        level=CHANGES,
        example="pause acme/app",
        changes=True,
    ),
    "resume": Usage(
        "go on after a pause of the same",
        (_TARGET,),
        level=CHANGES,
        example="resume acme/app",
        changes=True,
    ),
    "drain": Usage(
        "the same as `pause` of an agent: it ends what it is at, and takes nothing new",
        (_AGENT,),
        level=CHANGES,
        example="drain claude-1",
        changes=True,
    ),
    "quiet": Usage(
        "no more messages about it here, until it is over",
        (_ISSUE,),
        level=CHANGES,
        example="quiet #12",
        changes=True,
    ),
    "enrol": Usage(
        "a token for one new agent, in a direct message",
        (_AGENT,),
        level=100,
        example="enrol claude-2",
        changes=True,
    ),
    "revoke": Usage(
        "take an agent's token", (_AGENT,), level=100, example="revoke claude-2", changes=True
    ),
    "iam": Usage(
        "which account on Forgejo is yours, so that you are the one who is told",
        (Parameter("login", Kind.WORD, "login"),),
        example="iam alice",
        changes=True,
    ),
    "board": Usage(
        "a link to the page that shows the fleet, in a direct message; `widget` adds that page to"
        " the room, `remove` takes it off, `withdraw` ends all links and sessions",
        (Parameter("word", Kind.WORD, "widget, remove or withdraw", needed=False),),
        example="board",
        changes=True,
    ),
    "doctor": Usage(
        "whether everything around the fleet is well, and what to do where it is not",
        (Parameter("word", Kind.WORD, "retry", needed=False),),
        level=CHANGES,
        example="doctor",
        changes=True,
    ),
    "setup": Usage(
        "connect a repository with this room, step by step",
        (Parameter("text", Kind.TEXT, "owner/repo", needed=False),),
        level=100,
        example="setup acme/app",
        changes=True,
    ),
    "help": Usage(
        "what is said every day; all of it with `all`, one at length with its name",
        (Parameter("topic", Kind.WORD, "command", needed=False),),
        example="help retry",
    ),
}

# How the help shows them.
GROUPS: Mapping[str, tuple[str, ...]] = {
    "To know": ("status", "tasks", "task", "why", "agents", "log", "cost", "stats", "board"),
    "To have work done": (
        *("new", "assign", "retry", "again", "cancel", "land"),
        *("priority", "queue", "tell", "answer"),
    ),
    "To run the fleet": ("pause", "resume", "drain", "doctor", "enrol", "revoke", "setup"),
    "For yourself": ("quiet", "iam", "help"),
}

NAMES: Mapping[type, str] = {
    spec.Status: "status",
    spec.ListTasks: "tasks",
    spec.ShowTask: "task",
    spec.Why: "why",
    spec.ListAgents: "agents",
    spec.Log: "log",
    spec.Cost: "cost",
    spec.Stats: "stats",
    spec.New: "new",
    spec.Assign: "assign",
    spec.Retry: "retry",
    spec.Again: "again",
    spec.Cancel: "cancel",
    spec.Land: "land",
    spec.Prioritise: "priority",
    spec.Queue: "queue",
    spec.Tell: "tell",
    spec.Reply: "answer",
    spec.Pause: "pause",
    spec.Resume: "resume",
    spec.Drain: "drain",
    spec.Quiet: "quiet",
    spec.Enrol: "enrol",
    spec.Revoke: "revoke",
    spec.Iam: "iam",
    spec.Board: "board",
    spec.Doctor: "doctor",
    spec.Setup: "setup",
    spec.Help: "help",
}
TYPES: Mapping[str, type] = {name: command for command, name in NAMES.items()}

GROUP = "fleet"  # what all commands begin with

# What a reaction to a message of ours does, if the message is about something that it fits.
BUTTONS: Mapping[str, str] = {
    bare(emoji): command
    for emoji, command in {
        "🔁": "retry",
        "✖️": "cancel",
        "🚀": "land",
        "✅": "answer",
        "❌": "answer",
        "♾️": "answer",
        EYES: "log",
        "🔕": "quiet",
    }.items()
}

ISSUE_FORMS = "#12, repo#12, owner/repo#12 or a link"
