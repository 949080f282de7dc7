"""From a story and what came of it to what is wrong: pure, and by forge and room alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import NamedTuple

from torture.outcome import IssueSeen, Outcome, PullSeen
from torture.story import CI, Doing, Issue, Need, Story
from torture.system import Marks


class Kind(StrEnum):
    LOST = "lost"  # what must be there at the end is not
    TWICE = "done twice"  # two pull requests, or the same thing told twice
    FALSE = "falsely done"  # shown as done without the work
    LANDED = "wrongly landed"  # where it must not be
    UNEXPLAINED = "unexplained wait"  # nothing says why it does not move
    ENDLESS = "endless"  # workers are begun again and again
    UNASKED = "unasked"  # done for somebody who may not ask


class Finding(NamedTuple):
    kind: Kind
    issue: str  # its key in the story, "" for the whole
    says: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.issue or 'the repository'}: {self.says}"


Numbers = Mapping[str, int]
"""The issues' numbers on the forge, by key."""


def judge(
    story: Story, numbers: Numbers, before: Outcome, seen: Outcome, marks: Marks
) -> list[Finding]:
    """All that is wrong at the end; `before`: how it was when the story began."""
    return [
        *wrong(story, numbers, seen, marks),
        *owed(story, numbers, before, seen, marks),
        *_moved(story, before, seen),
        *_unasked(story, numbers, before, seen),
    ]


def endless(story: Story, launches: int) -> list[Finding]:
    """Whether workers' programs were begun more often than the story has reasons for."""
    bound = story.bounds.launches
    if not bound or launches <= bound:
        return []
    return [Finding(Kind.ENDLESS, "", f"{launches} launches, where {bound} are enough")]


def wrong(story: Story, numbers: Numbers, seen: Outcome, marks: Marks) -> list[Finding]:
    """What must not be at any moment."""
    found: list[Finding] = []
    for issue in story.issues:
        if issue.key in numbers:
            view = _View(story, issue, numbers[issue.key], seen, marks)
            found += [*view.twice(), *view.false(), *view.astray()]
    return found


def owed(
    story: Story, numbers: Numbers, before: Outcome, seen: Outcome, marks: Marks
) -> list[Finding]:
    """What is not there yet."""
    found = [*_unheard(story, numbers, before, seen)]
    for issue in story.issues:
        if issue.key not in numbers:
            found.append(Finding(Kind.LOST, issue.key, "it was never opened"))
            continue
        view = _View(story, issue, numbers[issue.key], seen, marks)
        found += [*(view.undone() if issue.is_honest else view.unended()), *view.unexplained()]
    return found


def _moved(story: Story, before: Outcome, seen: Outcome) -> Iterator[Finding]:
    may_move = any(deed.doing is Doing.MERGE for deed in story.deeds)
    if seen.base != before.base and not may_move:
        says = f"the default branch went from {before.base[:8]} to {seen.base[:8]}"
        yield Finding(Kind.LANDED, "", says)


def _unheard(story: Story, numbers: Numbers, before: Outcome, seen: Outcome) -> Iterator[Finding]:
    ordered, others = _ordered(story), _others(numbers, before, seen)
    if len(others) < ordered:
        yield Finding(Kind.LOST, "", f"{ordered} issues were ordered, {len(others)} are there")


def _unasked(story: Story, numbers: Numbers, before: Outcome, seen: Outcome) -> Iterator[Finding]:
    """Each order that may be given makes one issue, and nothing else does."""
    ordered, others = _ordered(story), _others(numbers, before, seen)
    if others and not ordered:
        yield Finding(Kind.UNASKED, "", f"issues {others}")
    elif len(others) > ordered:
        yield Finding(Kind.TWICE, "", f"issues {others}, where {ordered} were ordered")


def _ordered(story: Story) -> int:
    """How many issues were ordered by who may."""
    may = Need.NOBODY_ORDERS not in story.needs
    return sum(deed.doing is Doing.ORDER for deed in story.deeds) if may else 0


def _others(numbers: Numbers, before: Outcome, seen: Outcome) -> list[int]:
    """Issues that nobody of the story opened on the forge."""
    return sorted(seen.issues.keys() - before.issues.keys() - set(numbers.values()))


class _View:
    """One issue, its pull requests, and what is said of it."""

    def __init__(
        self, story: Story, issue: Issue, number: int, seen: Outcome, marks: Marks
    ) -> None:
        self.issue, self.number, self.marks = issue, number, marks
        mine = [deed.doing for deed in story.deeds if deed.key == issue.key]
        self.is_nagged, self.is_merged = Doing.NAG in mine, Doing.MERGE in mine
        self.needs_ci = Need.GREEN_CI in story.needs
        self.row: IssueSeen | None = seen.issues.get(number)
        self.pulls = [p for p in seen.pulls if marks.fits(marks.branch, p.branch, number)]
        self.said = [said for said in seen.room if not said.thread]

    # -- twice

    def twice(self) -> Iterator[Finding]:
        standing = [pull.number for pull in self.pulls if pull.is_open or pull.is_merged]
        if len(standing) > 1:
            yield self._found(Kind.TWICE, f"pull requests {standing}")
        for name, mark in (("completion", self.marks.completion), ("failure", self.marks.failure)):
            if (told := self._told(mark)) > 1:
                yield self._found(Kind.TWICE, f"{told} messages of its {name}")
        if (told := self._told(self.marks.card)) > 1:
            yield self._found(Kind.TWICE, f"{told} cards")
        if (receipts := self._written(self.marks.receipt)) > 1 and not self.is_nagged:
            yield self._found(Kind.TWICE, f"{receipts} comments that its work holds")
        if (states := self._written(self.marks.status)) > 1:
            yield self._found(Kind.TWICE, f"{states} status comments")

    # -- false

    def false(self) -> Iterator[Finding]:
        shows = list(self._shows_done())
        if shows and not any(map(self._is_honest, self.pulls)):
            yield self._found(Kind.FALSE, f"{', '.join(shows)}, without its work on the forge")
        elif shows and self.needs_ci and not any(CI in pull.success for pull in self.pulls):
            yield self._found(Kind.FALSE, f"{', '.join(shows)}, before {CI} was green")
        elif shows and not self.issue.is_honest:
            yield self._found(Kind.FALSE, f"{', '.join(shows)}, though its worker did not do it")

    def _shows_done(self) -> Iterator[str]:
        if self.row and self.marks.done_label in self.row.labels:
            yield f"label {self.marks.done_label}"
        if self._told(self.marks.completion):
            yield "the room was told that it is done"
        if self._written(self.marks.receipt):
            yield "a comment says that its work holds"
        green = [pull.number for pull in self.pulls if self._is_green(pull)]
        if green:
            yield f"{self.marks.success_context} is green on {green}"

    def _is_green(self, pull: PullSeen) -> bool:
        return self.marks.success_context in pull.success

    def _is_honest(self, pull: PullSeen) -> bool:
        here = pull.is_open or pull.is_merged
        return here and pull.notes.get(self.issue.path) in self.issue.blobs

    # -- astray

    def astray(self) -> Iterator[Finding]:
        for pull in self.pulls:
            others = sorted(pull.files - {self.issue.path})
            if others and (pull.is_open or pull.is_merged):
                yield self._found(Kind.LANDED, f"!{pull.number} changes {', '.join(others[:3])}")

    # -- owed

    def undone(self) -> Iterator[Finding]:
        missing = list(self._missing())
        if missing:
            yield self._found(Kind.LOST, f"{', '.join(missing)}; labels: {self._labels()}")

    def _missing(self) -> Iterator[str]:
        honest = [pull for pull in self.pulls if self._is_honest(pull)]
        if not honest:
            yield "no pull request with its work"
        elif not any(map(self._is_green, honest)):
            yield f"{self.marks.success_context} is not green"
        if not self.row or self.marks.done_label not in self.row.labels:
            yield f"no label {self.marks.done_label}"
        if not self._told(self.marks.completion):
            yield "the room was never told that it is done"
        if self.marks.receipt and not self._written(self.marks.receipt):
            yield "no comment says what its work was found to be"
        if self.is_merged and self.row and self.row.is_open:
            yield "it is merged and still open"

    def unended(self) -> Iterator[Finding]:
        """Work that cannot be done ends, and people hear of it."""
        if not self.row or self.marks.failed_label not in self.row.labels:
            yield self._found(Kind.LOST, f"it has not ended; labels: {self._labels()}")
        elif not self._told(self.marks.failure):
            yield self._found(Kind.LOST, "the room was never told that it has failed")

    def unexplained(self) -> Iterator[Finding]:
        done = self.row is not None and self.marks.done_label in self.row.labels
        if not done and not self._written(self.marks.explanation):
            yield self._found(Kind.UNEXPLAINED, f"labels: {self._labels()}")

    # -- helpers

    def _told(self, mark: str) -> int:
        return sum(self.marks.fits(mark, said.first, self.number) for said in self.said)

    def _written(self, mark: str) -> int:
        comments = self.row.comments if self.row else ()
        return sum(self.marks.fits(mark, comment.body, self.number) for comment in comments)

    def _labels(self) -> str:
        return ", ".join(sorted(self.row.labels)) if self.row else "no such issue"

    def _found(self, kind: Kind, says: str) -> Finding:
        return Finding(kind, self.issue.key, says)
