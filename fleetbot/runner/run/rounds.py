"""How much of a round goes into a prompt, and what its session has not heard yet.

Where there is more than fits, the newest stays, and before that what may be an order.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace

from fleetbot.runner.git.merging import Merge
from fleetbot.runner.run.prompt import (
    CheckContext,
    RoundContext,
    SaidContext,
    ThreadContext,
)
from fleetbot.runner.run.wording import cut_at_line
from fleetbot.wire import FailedCheck, ReviewThread, RoundBrief, SaidWords

_NAME_LIMIT = 300
_MOST_CONFLICTS = 100


@dataclass(frozen=True)
class Told:
    """The part of a round that goes into one prompt; `marks` as of `briefing.Telling`."""

    round: RoundContext
    marks: tuple[str, ...]
    size: int


def telling(
    brief: RoundBrief,
    known: Collection[str],
    room: int,
    *,
    reply: str = "",
    answered: Collection[int] = (),
    merge: Merge | None = None,
    mask: Callable[[str], str] = str,
) -> Told:
    """What to tell a session that knows some of it, in about `room` characters.

    A thread is named in any case: it is to be answered. `answered`: those that have an answer.
    `mask` takes secrets out of what CI says.
    """
    share = room // (4 * max(1, len(brief.checks)))
    checks = tuple(_check(one, known, share, mask) for one in brief.checks)
    left = room - sum(len(one.log) + len(one.description) for one in checks)
    threads = {one.id: _thread(one, known, room // 8) for one in brief.threads}
    said = {_mark(one.author, one.text): (one, _said(one, room // 8)) for one in brief.words}
    new = [(one, words) for mark, (one, words) in said.items() if mark not in known]
    untold = [one for one in brief.threads if not threads[one.id].known]
    weighed: list[tuple[tuple[bool, int], object]] = [(_weight(one), words) for one, words in new]
    kept = _fitting(weighed + [(_newest(one), threads[one.id]) for one in untold], left)
    words = tuple(words for _, words in new if id(words) in kept)
    context = RoundContext(
        number=brief.number,
        pull_request=brief.pull_request,
        reply=reply,
        words=words,
        threads=tuple(
            _shown(one, id(one) in kept, answered)
            for one in threads.values()
            if not (one.known and one.id in answered)
        ),
        checks=checks,
        known=len(said) - len(new),
        older=len(new) - len(words),
        base=brief.base,
        merging=merge is not None and bool(merge.draft),
        conflicts=tuple(map(inline, merge.conflicts[:_MOST_CONFLICTS])) if merge else (),
    )
    marks = (*said, *map(_mark_of_thread, brief.threads), *map(_mark_of_check, brief.checks))
    return Told(context, marks, _size_of(context))


def inline(text: str) -> str:
    """Somebody's words as a part of one line, in `code` marks or not."""
    line = " ".join("".join(x if x.isprintable() else " " for x in text).split())
    return line.replace("`", "'")[:_NAME_LIMIT]


def _fitting(found: Iterable[tuple[tuple[bool, int], object]], left: int) -> set[int]:
    """Those that fit, by `id`, the weightiest first; what does not leaves room for smaller ones."""
    kept = set()
    for _, one in sorted(found, key=lambda pair: pair[0], reverse=True):
        size = _size_of(one)
        if size <= left:
            kept.add(id(one))
            left -= size
    return kept


def _size_of(told: object) -> int:
    """In characters, about."""
    return len(str(told))


def _weight(said: SaidWords) -> tuple[bool, int]:
    return said.may_write, said.at


def _newest(thread: ReviewThread) -> tuple[bool, int]:
    return any(one.may_write for one in thread.words), max((x.at for x in thread.words), default=0)


def _said(said: SaidWords, most: int) -> SaidContext:
    return SaidContext(
        inline(said.author), cut_at_line(said.text.strip(), most), said.may_write, inline(said.url)
    )


def _thread(thread: ReviewThread, known: Collection[str], most: int) -> ThreadContext:
    """Of long ones the newest words and the end of the hunk, where the line is."""
    words: list[SaidContext] = []
    left = most
    for said in reversed(thread.words):
        one = _said(said, most // 2)
        left -= len(one.text)
        if left < 0 and words:
            break
        words.insert(0, one)
    return ThreadContext(
        id=thread.id,
        path=inline(thread.path),
        line=thread.line,
        url=inline(thread.url),
        hunk=_end_of(thread.hunk.rstrip(), most // 2),
        words=tuple(words),
        known=_mark_of_thread(thread) in known,
    )


def _shown(thread: ThreadContext, fits: bool, answered: Collection[int]) -> ThreadContext:
    is_told = fits and not thread.known
    return replace(
        thread,
        left_out=not fits and not thread.known,
        answered=thread.id in answered,
        words=thread.words if is_told else (),
        hunk=thread.hunk if is_told else "",
    )


def _check(
    check: FailedCheck, known: Collection[str], most: int, mask: Callable[[str], str]
) -> CheckContext:
    return CheckContext(
        context=inline(check.context),
        state=inline(check.state),
        description=cut_at_line(mask(check.description.strip()), most),
        url=inline(check.url),
        log=_end_of(mask(check.log.rstrip()), most),
        known=_mark_of_check(check) in known,
    )


def _end_of(text: str, most: int) -> str:
    """Its last lines."""
    if len(text) <= most:
        return text
    tail = text[-most:]
    return f"[…]\n{tail.partition(chr(10))[2] or tail}"


def _mark_of_thread(thread: ReviewThread) -> str:
    return _mark(str(thread.id), *(said.text for said in thread.words))


def _mark_of_check(check: FailedCheck) -> str:
    return _mark(check.context, check.state, check.description, check.log)


def _mark(*texts: str) -> str:
    return hashlib.sha256("\0".join(texts).encode("utf-8", "replace")).hexdigest()[:16]
