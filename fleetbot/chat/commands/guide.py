"""The help: what can be said, by whom, and one command at length."""

from __future__ import annotations

from collections.abc import Iterator

from fleetbot.chat.commands import hints
from fleetbot.chat.commands.grammar import Misspelt, nearest
from fleetbot.chat.commands.rights import Standing
from fleetbot.chat.commands.table import BUTTONS, COMMANDS, GROUPS, ISSUE_FORMS, Kind
from fleetbot.chat.speaking.power import ENDLESS
from fleetbot.chat.words.rich import Rich, bold, bullets, code, rows, say


def help_(topic: str, its: Standing) -> Rich:
    """All commands, or the one asked for, for somebody of that standing."""
    if topic in COMMANDS:
        return rows(*_at_length(topic, its))
    if topic:
        return hints.misspelt(Misspelt(topic, nearest(topic)))
    is_locked = not all(map(its.may, COMMANDS))
    return rows(
        say("👋 ", bold("What you can say")),
        *(part for group, names in GROUPS.items() for part in _group(group, names, its)),
        "🔒 takes more power than you have in this room." if is_locked else None,
        f"An issue is {ISSUE_FORMS}; in reply to a message about it, leave it out.",
        say("More of one, with an example: ", code("!fleet help assign"), "."),
    )


def _group(title: str, names: tuple[str, ...], its: Standing) -> Iterator[Rich]:
    yield bold(title)
    yield bullets(say("" if its.may(name) else "🔒 ", hints.usage(name)) for name in names)


def _at_length(name: str, its: Standing) -> Iterator[Rich | str | None]:
    yield hints.usage(name)
    yield hints.example(name)
    if any(parameter.kind is Kind.ISSUE for parameter in COMMANDS[name].parameters):
        yield f"An issue is {ISSUE_FORMS}; in reply to a message about it, leave it out."
    yield _alone(name)
    if emoji := [one for one, command in BUTTONS.items() if command == name]:
        yield f"As a reaction to a message about it: {' '.join(emoji)}"
    yield _right(name, its)


def _alone(name: str) -> Rich | None:
    """Some clients hold back slash commands that they do not know, without a word."""
    usage = COMMANDS[name]
    form = f"/{name} {usage.arguments}"
    return say("Also ", code(form), ", where your client lets it through.") if usage.alone else None


def _right(name: str, its: Standing) -> str | None:
    """Who may, and whether you do."""
    you = "you may" if its.may(name) else "you may not"
    if name in its.room.allow:
        return f"Only those whom the settings name may give it in this room; {you}."
    needed = its.needed(name)
    if needed <= 0:
        return None
    has = "yours could not be read" if its.level is None else f"you have {_shown(its.level)}"
    return f"It needs power level {needed} in this room; {has}."


def _shown(level: int) -> str:
    return "all" if level >= ENDLESS else str(level)
