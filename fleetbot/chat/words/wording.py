"""Small words that all messages share: states as emoji, spans of time, names of issues."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from fleetbot.chat.words.rich import Rich, aside, bold, link, one_line, say
from fleetbot.domain.effects import RunName, TaskName
from fleetbot.domain.model import Run, Task, TaskState
from fleetbot.domain.usage import DAY_MS
from fleetbot.domain.wording import count, span

EMOJI: Mapping[TaskState, str] = {
    TaskState.CREATED: "⏳",
    TaskState.ASSIGNED: "📋",
    TaskState.RUNNING: "⚙️",
    TaskState.COMPLETED: "✅",
    TaskState.FAILED: "❌",
    TaskState.AGENT_LOST: "📡",
    TaskState.CANCELLED: "✖️",
}
MERGED = "🎉"


def emoji_of(task: Task) -> str:
    """That of its state, or of its end where its work has landed."""
    return MERGED if task.is_merged else EMOJI[task.state]


def ago(at: int, now: int) -> str:
    return "just now" if now - at < 1000 else f"{span(now - at)} ago"


def until(at: int, now: int) -> str:
    """`in 40 s`, and the hour as well where one would have to reckon."""
    if at <= now:
        return "at once"
    if at - now < 600_000:
        return f"in {span(at - now)}"
    form = "at %H:%M UTC" if at - now < DAY_MS else "on %-d %b at %H:%M UTC"
    return f"in {span(at - now)}, {_utc(at).strftime(form)}"


def moment(at: int, now: int) -> Rich:
    """`2 h ago`, `in 5 min`; with the hour in the plain form, whose readers are often programs and
    logs. A moment in a room is told by this, so that nobody has to reckon with time zones."""
    told = ago(at, now) if at <= now else f"in {span(at - now)}"
    return say(told, exact(at, now))


def exact(at: int, now: int) -> Rich:
    """` (14:05 UTC)`, with the day where it is another one: in the plain form only."""
    then, today = _utc(at), _utc(now)
    form = "%H:%M UTC"
    if then.date() != today.date():
        form = "%-d %b %H:%M UTC" if then.year == today.year else "%-d %b %Y %H:%M UTC"
    return aside(f" ({then.strftime(form)})")


def _utc(at: int) -> datetime:
    return datetime.fromtimestamp(at / 1000, UTC)


def clock(at: int) -> str:
    """`14:02:11 UTC`."""
    return _utc(at).strftime("%H:%M:%S UTC")


def dated(at: int) -> str:
    """`26 Nov, 14:02 UTC`: true whenever it is read."""
    return _utc(at).strftime("%-d %b, %H:%M UTC")


def at_hour(at: int, today: int) -> str:
    """`14:02 UTC`, with the day where it is another one than `today`'s."""
    form = "%H:%M UTC" if _utc(at).date() == _utc(today).date() else "%-d %b, %H:%M UTC"
    return _utc(at).strftime(form)


def left_out(number: int, noun: str) -> str | None:
    """`… and 2 more agents.`, where any were left out."""
    return f"… and {count(number, f'more {noun}')}." if number > 0 else None


def named(task: Task | TaskName, most: int = 100) -> Rich:
    """`owner/repo#12 Title`, leading to the issue; the title cut to `most` characters."""
    title = task.traits.title if isinstance(task, Task) else task.title
    return say(bold(link(task.ref, task.url)), " ", one_line(title, most))


def pull_link(task: Task | TaskName, number: int) -> Rich:
    """`PR #7`, leading to it."""
    base, issues, _ = task.url.rpartition("/issues/")
    return link(f"PR #{number}", f"{base}/pulls/{number}" if issues else "")


def duration(run: Run | RunName) -> str:
    """How long an ended run took, at least a second; empty where that is not known."""
    if not run.started_at or not run.ended_at:
        return ""
    return span(max(1000, run.ended_at - run.started_at))
