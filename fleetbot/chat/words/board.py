"""What people are told who ask for the board. Times are epoch milliseconds."""

from __future__ import annotations

from fleetbot.chat.words.rich import Rich, bold, code, link, preformatted, rows, say
from fleetbot.domain.wording import span


def invitation(url: str, room: str, repos: str, lasts: int) -> Rich:
    """For who asked, and nobody else. `lasts` in milliseconds."""
    return rows(
        say("🗺️ ", bold(link("Open the board", url))),
        say(f"It shows {repos}, as ", code(room), " hears of, and changes nothing."),
        f"The link is good once, for {span(lasts)}. In a widget, paste it there:",
        preformatted(url),
    )


def in_the_room(waits: bool) -> Rich:
    """What everybody hears."""
    return rows(
        "🗺️ I have sent you a direct message with a link to the board.",
        "Accept the invitation to read it." if waits else None,
    )


def not_sent(why: str) -> str:
    return (
        f"The link could not be sent to you alone, so there is none: {why}."
        " Allow invitations from the bot, and say it again."
    )


def added() -> Rich:
    return rows(
        "🗺️ The board is a widget of this room now.",
        say("Whoever opens it pastes a link of their own there: ", code("!fleet board")),
    )


def removed() -> Rich:
    return say("🗺️ The board is no widget of this room any more.")


def withdrawn() -> Rich:
    return rows(
        "🗺️ No link and no session of the board is good any more.",
        say("For a new one: ", code("!fleet board")),
    )


def no_frames() -> str:
    return (
        "No page may show the board inside it yet: put your client's origin, as"
        " `https://app.element.io`, into `board.frames` of my settings, and say it again."
    )


def you_may_not(needed: int, yours: int) -> str:
    return f"Widgets take power level {needed} in this room, and you have {yours}. Ask a moderator."


def i_may_not(needed: int, mine: int, url: str) -> str:
    return (
        f"I may not change widgets here: that takes power level {needed}, and I have {mine}."
        f" Raise mine, or add it yourself; in Element: `/addwidget {url}`"
    )


def unknown(word: str) -> str:
    return f"I do not know what to do with {word!r}. There is: widget, remove, withdraw."
