"""The help: what can be said, by whom, and one command at length."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from fleetbot.chat.commands import hints
from fleetbot.chat.commands.grammar import Misspelt, nearest
from fleetbot.chat.commands.rights import Standing
from fleetbot.chat.commands.table import BUTTONS, COMMANDS, GROUPS, ISSUE_FORMS, Kind
from fleetbot.chat.speaking.power import ENDLESS
from fleetbot.chat.words.rich import Part, Rich, bold, bullets, code, rows, say

ALL = "all"


def help_(topic: str, its: Standing) -> Rich:
    """What is said every day, all commands, or the one asked for, for somebody of that standing."""
    if topic in COMMANDS:
        return rows(*_at_length(topic, its))
    if topic == ALL:
        return rows(*_whole(its))
    if topic:
        return hints.misspelt(Misspelt(topic, nearest(topic)))
    return rows(*_first_page(its))


def _first_page(its: Standing) -> Iterator[Part | None]:
    """For a phone: what the cards and replies do not do by themselves."""
    yield say("👋 ", bold("What you say most"))
    shown = [name for name, usage in COMMANDS.items() if usage.briefly]
    for group, names in GROUPS.items():
        if most := [name for name in names if name in shown]:
            yield from _group(group, most, its, hints.briefly)
    yield _locked(shown, its)
    yield "In reply to a message about a task, leave the issue out."
    yield f"Reactions do it as well: {_buttons()}."
    one, all_ = code("!fleet help retry"), code(f"!fleet help {ALL}")
    yield say(f"All {len(COMMANDS)} commands: ", all_, "; one, with an example: ", one, ".")


def _buttons() -> str:
    """`🔁 retry, ✅ ❌ answer`."""
    of = {name: [emoji for emoji, its in BUTTONS.items() if its == name] for name in COMMANDS}
    return ", ".join(f"{' '.join(emoji)} {name}" for name, emoji in of.items() if emoji)


def _whole(its: Standing) -> Iterator[Part | None]:
    yield say("👋 ", bold("What you can say"))
    for group, names in GROUPS.items():
        yield from _group(group, names, its, hints.usage)
    yield _locked(COMMANDS, its)
    yield f"An issue is {ISSUE_FORMS}; in reply to a message about it, leave it out."
    yield say("More of one, with an example: ", code("!fleet help assign"), ".")


def _group(
    title: str, names: Iterable[str], its: Standing, shown: Callable[[str], Rich]
) -> Iterator[Rich]:
    yield bold(title)
    yield bullets(say("" if its.may(name) else "🔒 ", shown(name)) for name in names)


def _locked(shown: Iterable[str], its: Standing) -> str | None:
    is_locked = not all(map(its.may, shown))
    return "🔒 takes more power than you have in this room." if is_locked else None


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
