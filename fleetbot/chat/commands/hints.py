"""What is said of commands that were not done, and why. Times are epoch milliseconds."""

from __future__ import annotations

from collections.abc import Sequence

from fleetbot.chat.commands.grammar import Misspelt, Misused
from fleetbot.chat.commands.table import COMMANDS
from fleetbot.chat.words.rich import Rich, bold, bullets, code, one_line, prose, rows, say
from fleetbot.chat.words.wording import ago, left_out
from fleetbot.domain.wording import nickname, shorten

_AT_MOST = 15


def misspelt(said: Misspelt) -> Rich:
    known = say("🤔 There is no ", code(one_line(said.word, 40)), ".")
    if said.nearest:
        meant = one_line(f"!fleet {said.nearest} {said.rest}", 80)
        return say(known, " Did you mean ", code(meant), "?")
    return say(known, " ", code("!fleet help"), " tells what there is.")


def misused(said: Misused) -> Rich:
    return rows(say("🤔 ", shorten(said.problem, 200)), usage(said.command), example(said.command))


def usage(name: str) -> Rich:
    its = COMMANDS[name]
    return say(code(f"!fleet {name} {its.arguments}".rstrip()), ": ", prose(its.says))


def briefly(name: str) -> Rich:
    """In a phone's line: of what may be left out, nothing."""
    its = COMMANDS[name]
    needed = " ".join(f"<{p.shown}>" for p in its.parameters if p.needed)
    return say(code(f"!fleet {name} {needed}".rstrip()), ": ", prose(its.briefly))


def example(name: str) -> Rich | None:
    its = COMMANDS[name].example
    return say("For example: ", code(f"!fleet {its}")) if its else None


def refused(problem: str) -> Rich:
    """What a person wrote may be in it, however long that was."""
    return say("⚠️ ", prose(shorten(problem, 600)))


def not_listed(room: str) -> Rich:
    """The room is none of the settings'."""
    return rows(
        "🚪 This room is not one of mine yet. I do nothing here, and leave in an hour.",
        say("To have me work here, add ", code(room), " under ", code("rooms"), " in my settings;"),
        say("or one of my operators says ", code("!fleet setup <owner/repo>"), " here."),
    )


def goes_on(room: str) -> Rich:
    """The room was upgraded."""
    return say("➡️ This room was upgraded: I listen in ", code(room), ", and do nothing here.")


def unconfigured() -> Rich:
    """Why the settings are refused may be a secret, or a room's affair: it is not told here."""
    return rows(
        "⚙️ I cannot work yet: my settings are not complete, or have a mistake.",
        "Whoever runs me finds what is wrong in maubot's log, and under my address at healthz.",
    )


def waits_for_journal() -> Rich:
    return say("⏳ The journal cannot be written now; I go on with this as soon as it can.")


def too_late(said: Sequence[tuple[str, str, int]], now: int, *, is_cut: bool = False) -> Rich:
    """What was not done: `said` are commands, who gave them and when, and came too late; `is_cut`:
    what was said before is not read back."""
    told = [
        say(code(one_line(text, 80)), f", {nickname(sender)}, {ago(at, now)}")
        for text, sender, at in said[:_AT_MOST]
    ]
    headline = say("🕰 ", bold("I was away"), " when this was said, and have not done it:")
    return rows(
        headline if said else None,
        bullets(told),
        left_out(len(said) - len(told), "command"),
        "🕰 I was away for so long that I have not read everything." if is_cut else None,
        "Say it again if you still want it.",
    )
