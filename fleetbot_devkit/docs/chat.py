"""What people say to the bot, from the one table of commands."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from fleetbot.chat.commands import grammar
from fleetbot.chat.commands.table import (
    BUTTONS,
    COMMANDS,
    GROUPS,
    ISSUE_FORMS,
    Kind,
    Parameter,
)
from fleetbot.chat.words.wording import EMOJI
from fleetbot.domain.model import TaskState
from fleetbot.domain.wording import STATE_WORDS
from fleetbot_devkit.docs.markdown import code, codes, page, table

_KINDS = {
    Kind.ISSUE: "an issue, see above; in reply to a message about one it may be left out",
    Kind.AGENT: "an agent's name",
    Kind.REPO: "`owner/repo`",
    Kind.STATE: "one or more words for states, see below",
    Kind.WORD: "one word",
    Kind.TEXT: "all that follows, with its line breaks",
}


def commands() -> str:
    """`commands.md`."""
    states = ((code(word), _states(word)) for word in grammar.STATE_NAMES)
    signs = ((EMOJI[state], code(state), STATE_WORDS[state]) for state in TaskState)
    return page(
        "Commands in the chat",
        "Say them in a room that the plugin's configuration lists. Who may, and how rooms are set "
        "up, is told in [Rooms and roles](../howto/rooms-and-roles.md).",
        *_forms(),
        *_tables(),
        "The power level is that of a room whose settings say nothing else: "
        "`rooms.<room>.levels` and `rooms.<room>.allow` in the "
        "[configuration](configuration-plugin.md). A command that changes something is obeyed "
        "once, however often Matrix delivers it, and in the order of the room.",
        "## What stands after them",
        table(("command", "parameter", "what it is"), _parameters()),
        "## Words for states in `!fleet tasks`",
        table(("word", "tasks that are"), states),
        "## Reactions",
        "A reaction to a message about a task is a button: it does what the command does, for who "
        "may give it. All variants of an emoji count.",
        table(("reaction", "command"), _buttons()),
        "## Signs",
        table(("sign", "state", "said as"), signs),
    )


def _forms() -> Iterator[str]:
    swallowed = "where the client lets it through: some swallow slash commands"
    yield "## How they are said"
    yield table(
        ("form", ""),
        [
            (code("!fleet status"), "works in every client"),
            (code("/fleet status"), swallowed),
            (_alone(), "the same, without `fleet`"),
            (code("Fleety: status"), "by the bot's name in the room, or by a pill of it"),
        ],
    )
    yield from _understanding()


def _understanding() -> Iterator[str]:
    yield (
        "A message that mentions the bot somewhere else is obeyed only if all else that it says "
        "is a command. A wrong word gets the nearest right one. What a client has put together "
        "itself ([MSC4391](https://github.com/matrix-org/matrix-spec-proposals/pull/4391)) is "
        "understood, too; `chat.command_state` has the bot tell clients of its commands."
    )
    yield (
        "A message that is edited into a command is obeyed once, if it was none before, or one "
        "that was not understood. What was obeyed stays done, whatever becomes of the message. "
        "Commands are answered in the thread in which they are given."
    )
    yield (
        f"**An issue** is {ISSUE_FORMS}: of the issue, of a comment on it, or of the task's "
        "pull request. A short form means the room's `default_repo`. `!fleet #12` alone shows "
        "the task. In reply to a message about a task, and in the thread of its run, the issue "
        "may be left out."
    )


def _alone() -> str:
    return codes(f"/{name} {its.arguments}" for name, its in COMMANDS.items() if its.alone)


def _tables() -> Iterator[str]:
    for group, names in GROUPS.items():
        yield f"## {group}"
        headers = ("command", "what it does", "for example", "power level")
        yield table(headers, map(_command, names))


def _command(name: str) -> tuple[str, str, str, str]:
    its = COMMANDS[name]
    example = code(f"!fleet {its.example}") if its.example else ""
    said = code(f"!fleet {name} {its.arguments}".rstrip())
    return said, its.says, example, str(its.level)


def _parameters() -> Iterable[tuple[str, str, str]]:
    for name, its in COMMANDS.items():
        for parameter in its.parameters:
            optional = "" if parameter.needed else "; may be left out"
            yield code(name), code(parameter.shown), _kind(parameter) + optional


def _kind(parameter: Parameter) -> str:
    if parameter.kind is Kind.PRIORITY:
        return "one of " + codes(grammar.PRIORITY_NAMES)
    return _KINDS[parameter.kind]


def _buttons() -> Iterable[tuple[str, str]]:
    return ((emoji, code(f"!fleet {name}")) for emoji, name in BUTTONS.items())


def _states(word: str) -> str:
    return codes(state for state in TaskState if state in grammar.STATE_NAMES[word])
