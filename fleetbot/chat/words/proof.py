"""How a receipt was verified: fact by fact, as Forgejo showed it then. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from fleetbot.chat.words.rich import Part, Rich, bold, bullets, code, one_line, rows, say
from fleetbot.chat.words.wording import moment, pull_link
from fleetbot.domain.model import Evidence, FiledReceipt, Task
from fleetbot.domain.wording import count

_CI = {
    "none": "this repository has none",
    "green": "was green",
    "red": "was red",
    "pending": "had not finished",
    "unread": "was not looked at",
}


def proof(task: Task, filed: FiledReceipt | None, now: int) -> list[Part]:
    """Said in the past tense: nobody has looked again since."""
    when = moment(_checked_at(task, filed), now)
    headline = say("What was handed in was checked against Forgejo ", when, ", and held then.")
    if filed is None or filed.evidence is None:
        return [headline]
    return [headline, bullets(_facts(task, filed, filed.evidence))]


def _checked_at(task: Task, filed: FiledReceipt | None) -> int:
    seen = filed.evidence if filed else None
    return (seen.checked_at if seen else 0) or task.entered_at


def _facts(task: Task, filed: FiledReceipt, seen: Evidence) -> Iterator[Rich]:
    state = "was merged" if seen.merged else "was open, and no draft"
    yield say(pull_link(task, filed.receipt.pull_request), f" {state}")
    yield _fact("Head", say(code(seen.head[:12]), ", the commit that was handed in"))
    yield _fact("Changes", f"{count(seen.files, 'file')} in {count(seen.commits, 'commit')}")
    yield _fact("Into", code(one_line(seen.base, 80)))
    yield _fact("By", one_line(seen.author, 60))
    if seen.approved_by:
        yield _fact("Approved by", one_line(", ".join(seen.approved_by), 200))
    if seen.ci:
        yield _fact("CI", rows(_CI.get(seen.ci, seen.ci), _contexts(seen)))
    for note in seen.notes:
        yield say(note)


def _fact(name: str, value: Part) -> Rich:
    return say(bold(name), ": ", value)


def _contexts(seen: Evidence) -> Rich | None:
    if not seen.contexts:
        return None
    told = ", ".join(f"{one_line(one.name, 60)} {one.state}" for one in seen.contexts[:8])
    more = seen.context_count - len(seen.contexts[:8])
    return say(told, f" and {more} more" if more > 0 else "")
