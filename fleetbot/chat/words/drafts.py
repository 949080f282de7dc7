"""What is about to be done, as a person is asked to confirm it: pure."""

from __future__ import annotations

from fleetbot.chat.words.emoji import NO, YES
from fleetbot.chat.words.post import File
from fleetbot.chat.words.rich import Part, Rich, bold, code, quote, rows, say
from fleetbot.chat.words.wording import EMOJI, named, until
from fleetbot.domain.model import Task, TaskState
from fleetbot.domain.wording import person
from fleetbot.services.wishes import Fate, NewIssue, Wish

_LETTERS, _LINES = 1500, 20


def opening(what: NewIssue, label: str, expires_at: int, now: int) -> Rich:
    """An issue as it would be opened."""
    return rows(
        say("📝 ", bold(f"Open this issue in {what.repo}?")),
        bold(what.title),
        quote(what.body, limit=_LETTERS, lines=_LINES),
        "📎 That is its beginning; all of it is in the file." if whole(what) else None,
        say("Label: ", code(label), ". The issue says who asked for it."),
        _how(expires_at, now, "opens it"),
    )


def whole(what: NewIssue) -> tuple[File, ...]:
    """The text of an issue of which only the beginning is shown."""
    if len(what.body) <= _LETTERS and what.body.strip().count("\n") < _LINES:
        return ()
    return (File("issue.md", what.body.encode("utf-8", "backslashreplace")),)


def beginning_anew(task: Task, expires_at: int, now: int) -> Rich:
    """A completed task that would be run again."""
    return rows(
        say(f"{EMOJI[TaskState.COMPLETED]} ", bold("This is done already. Do it again?")),
        named(task),
        "A new run costs anew, and goes on from what the forge shows now.",
        _how(expires_at, now, "begins it anew"),
    )


def _how(expires_at: int, now: int, does: str) -> Rich:
    yes: Part = say(f"{YES} or the reply ", code("yes"), f" {does}; ")
    return say(yes, f"{NO} or ", code("no"), " does not. It lapses ", until(expires_at, now), ".")


def fate_of(wish: Wish) -> str:
    """What became of it, of one that has its fate but for those that were done."""
    if wish.fate is Fate.DROPPED:
        return f"🗑️ {person(wish.actor)} has said no to this; nothing was done."
    return "⌛ This has lapsed; nothing was done. Say it again if it is still wanted."


def unclear() -> str:
    return "🤔 Is that a yes or a no? Nothing has been done."


def too_long() -> str:
    return (
        "⚠️ It could not be shown whole here, so nobody would know what they say yes to; nothing was"
        " done. Write it on the forge, and give it the label."
    )


def unknown() -> str:
    return "🤷 I know nothing of this any more; nothing was done. Say it again."


def dropped() -> str:
    return "🗑️ Let go of; nothing was done."
