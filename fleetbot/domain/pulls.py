"""A task's pull request once it was verified: what is watched of it, and the rounds of work that
follow from it (design §14).

What Forgejo shows comes as a `PullView`; what was made of it stays with the task as a `Watch`.
Times are epoch milliseconds.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from enum import StrEnum
from hashlib import sha256
from typing import TypeVar

from msgspec.structs import replace

from fleetbot.domain.reruns import Rerun, Reruns
from fleetbot.domain.values import Value

T = TypeVar("T")

MOST_HEADS = 20
LEFT_AFTER_MS = 30 * 86_400_000  # for one that is closed; what tells of it then is heard
LANDING = "landing"  # what people are asked about, once two landings have come to the same
MOST_DEALT = 1000  # keys of words that a task remembers to have dealt with; the forge has them all
MOST_WORDS, MOST_THREADS, MOST_CHECKS = 50, 100, 30  # that one round is about
_MOST_SIGNS = 200_000  # of the words of a round, which are one line of the journal


class PullState(StrEnum):
    OPEN = "open"
    MERGED = "merged"
    CLOSED = "closed"


class RoundKind(StrEnum):
    """What a round is owed to. `asked`: a person wants more, by a comment or in the room."""

    REVIEW = "review"
    CI = "ci"
    CONFLICT = "conflict"
    ASKED = "asked"


class Answer(StrEnum):
    """What the agent says to a thread; one that it disagrees with stays open."""

    FIXED = "fixed"
    ANSWERED = "answered"
    DISAGREES = "disagrees"


class Words(Value, frozen=True):
    """What somebody said of the pull request. `key` names it among all that is said there, as
    `review:12` or `comment:34`; `may_write` None where Forgejo does not tell. `ours`: by an account
    of the fleet."""

    key: str
    author: str
    text: str
    at: int = 0
    url: str = ""
    may_write: bool | None = True
    ours: bool = False


class Thread(Value, frozen=True):
    """Line comments on one place of the diff, oldest first. `id`: that of its first comment;
    `hunk`: the diff around it; `line` 0 where that is gone."""

    id: int
    path: str
    line: int
    words: tuple[Words, ...]
    hunk: str = ""
    url: str = ""


class Check(Value, frozen=True):
    """A red context. `log`: its last lines, secrets masked, "" where Forgejo shows none. `status`:
    the id of what it says."""

    context: str
    state: str
    description: str = ""
    url: str = ""
    log: str = ""
    status: int = 0


class Brief(Value, frozen=True):
    """What a round is about, whole: it is journalled with the round. `head`: the commit that all of
    it speaks of. `words`: those of a review that has only comments on lines are empty. `base` and
    `base_head`: what is to be merged where it conflicts."""

    head: str
    words: tuple[Words, ...] = ()
    threads: tuple[Thread, ...] = ()
    checks: tuple[Check, ...] = ()
    base: str = ""
    base_head: str = ""
    asked: bool = False

    @property
    def said(self) -> tuple[Words, ...]:
        """All words of it, whoever said them and where."""
        return (*self.words, *(words for thread in self.threads for words in thread.words))

    @property
    def kinds(self) -> tuple[RoundKind, ...]:
        found = {
            RoundKind.ASKED: self.asked,
            RoundKind.REVIEW: bool(self.threads or self.words) and not self.asked,
            RoundKind.CI: bool(self.checks),
            RoundKind.CONFLICT: bool(self.base),
        }
        return tuple(kind for kind, it_is in found.items() if it_is)


class Round(Value, frozen=True):
    """The round that a task is in. `said`: the line of the journal that has its brief."""

    number: int
    kinds: tuple[RoundKind, ...]
    head: str
    said: int
    threads: int = 0


class Reply(Value, frozen=True):
    """The agent's word on a thread; `commit` where it fixed it."""

    thread: int
    answer: Answer
    text: str = ""
    commit: str = ""


class Count(Value, frozen=True):
    kind: RoundKind
    times: int


class Standing(Value, frozen=True):
    """What the pull request shows now, as far as people should see it. `ci` as of `Evidence`;
    `red_on_base`: contexts that are red on the base too; `reports`: who asks for changes and may
    not write; `conflict` None while Forgejo does not know."""

    head: str = ""
    base: str = ""
    changes_asked: tuple[str, ...] = ()
    approved_by: tuple[str, ...] = ()
    reports: tuple[str, ...] = ()
    ci: str = ""
    failing: tuple[str, ...] = ()
    red_on_base: tuple[str, ...] = ()
    conflict: bool | None = None
    draft: bool = False


class LandingStep(StrEnum):
    """What a landing is at. Before it is merged, the base may have to be merged into it, and what
    comes of that to be checked by CI."""

    MERGE = "merge"
    UPDATE = "update"
    CI = "ci"


class Landing(Value, frozen=True):
    """A merge that is owed, of exactly `head`. `by`: the account on Forgejo of the person who wants
    it; "" where the repository's setting does."""

    head: str
    by: str = ""
    since: int = 0
    step: LandingStep = LandingStep.MERGE


class Asking(Value, frozen=True):
    """People were asked at `since` how it goes on, and have not said so yet; `about` as of the
    event."""

    about: str
    text: str
    since: int


class Watch(Value, frozen=True):
    """The pull request of a task's verified receipt. `head`: the last commit that was verified.

    `rounds`: how many it has had in all; `counts` by what they were owed to, since a person last
    asked for more; those for CI and conflicts since people last wanted anything. `dealt`: keys of
    words that a round had. `failing`: what CI said when it was last to be mended, until it is
    green. `asked`: what people were asked about; `asking`: of that what still waits for them.
    `heads`: the commits that were verified, newest last. `answered`: the round that led to the
    newest of them, if one did. `unlanded`: why its last landing came to nothing. `reruns`: the
    red jobs that were run again. `closed_at`: when it was last closed; `left`: it is not looked
    after any more since.
    """

    number: int
    head: str
    since: int
    state: PullState = PullState.OPEN
    rounds: int = 0
    counts: tuple[Count, ...] = ()
    dealt: tuple[str, ...] = ()
    failing: str = ""
    asked: tuple[str, ...] = ()
    heads: tuple[str, ...] = ()
    standing: Standing = Standing()
    merged_as: str = ""
    merged_by: str = ""
    merged_at: int = 0
    asking: tuple[Asking, ...] = ()
    answered: Round | None = None
    landing: Landing | None = None
    unlanded: str = ""
    reruns: Reruns | None = None
    closed_at: int = 0
    left: bool = False

    def times(self, kind: RoundKind) -> int:
        return next((count.times for count in self.counts if count.kind is kind), 0)

    def counted(self, brief: Brief) -> Watch:
        """After a round with that brief was given."""
        keys = _keys(brief)
        before = (key for key in self.dealt if key not in keys)
        return replace(
            self,
            rounds=self.rounds + 1,
            counts=self._counts_after(brief),
            dealt=(*before, *keys)[-MOST_DEALT:],
            failing=signature(brief.checks) if brief.checks else self.failing,
            asked=tuple(about for about in self.asked if ":" in about),
            asking=(),
            landing=None,
            unlanded="",
        )

    def _counts_after(self, brief: Brief) -> tuple[Count, ...]:
        """What people want changed may break CI and conflict anew; only their word is worth that,
        and what CI says is not: it changes its mind by itself."""
        if brief.asked:
            return ()
        is_wanted = RoundKind.REVIEW in brief.kinds
        kept = (x for x in self.counts if x.kind is RoundKind.REVIEW or not is_wanted)
        times = {count.kind: count.times for count in kept}
        for kind in brief.kinds:
            times[kind] = times.get(kind, 0) + 1
        return tuple(Count(kind=kind, times=n) for kind, n in times.items())

    def shown(self, standing: Standing) -> Watch:
        """With what it shows now. Of what is well people are asked anew, should it not stay so."""
        return replace(
            self,
            standing=standing,
            asked=tuple(about for about in self.asked if not _is_settled(about, standing)),
            asking=tuple(x for x in self.asking if not _is_settled(x.about, standing)),
            failing="" if standing.ci == "green" else self.failing,
        )


def _is_settled(about: str, standing: Standing) -> bool:
    """Whether what people were asked about is gone by itself."""
    match about:
        case "ci":
            return standing.ci == "green"
        case "conflict":
            return standing.conflict is False
        case _:
            return False


def _keys(brief: Brief) -> dict[str, None]:
    """Of all that it is about; last the last words of threads, by which they are known."""
    earlier = [words for thread in brief.threads for words in thread.words[:-1]]
    last = [thread.words[-1] for thread in brief.threads]
    return dict.fromkeys(words.key for words in (*earlier, *last, *brief.words))


def as_fits(
    words: Collection[Words], threads: Collection[Thread]
) -> tuple[tuple[Words, ...], tuple[Thread, ...]]:
    """What one round can be about: first what may be orders, and of that the oldest. The rest is
    for the next one."""
    by_weight = sorted(words, key=lambda one: (not one.may_write, one.at))
    some = _within(_MOST_SIGNS // 2, ((one.key, len(one.text)) for one in by_weight[:MOST_WORDS]))
    by_age = sorted(threads, key=lambda thread: (not _is_ordered(thread), thread.id))
    sized = ((thread.id, _size(thread)) for thread in by_age[:MOST_THREADS])
    some_threads = _within(_MOST_SIGNS // 2, sized)
    return (
        tuple(one for one in words if one.key in some),
        tuple(thread for thread in threads if thread.id in some_threads),
    )


def _within(left: int, sized: Iterable[tuple[T, int]]) -> set[T]:
    """The first ones that fit, and one in any case."""
    found = set[T]()
    for one, size in sized:
        left -= size
        if left < 0 and found:
            break
        found.add(one)
    return found


def _size(thread: Thread) -> int:
    return len(thread.hunk) + sum(len(one.text) for one in thread.words)


def _is_ordered(thread: Thread) -> bool:
    return any(one.may_write and not one.ours for one in thread.words)


class ReviewView(Value, frozen=True):
    """A submitted review; `threads` that people have resolved are left out."""

    words: Words
    state: str
    commit: str = ""
    stale: bool = False
    dismissed: bool = False
    threads: tuple[Thread, ...] = ()


class PullView(Value, frozen=True):
    """The pull request as Forgejo shows it. `mergeable` None while that is not computed.

    `comments`: those that speak to the bot. `answered`: keys of words that a comment of ours names.
    `failing`: the red contexts of the head; those in `red_on_base` are red on the base too.
    `worth`: jobs that may pass if they are run again, where the forge can do that.
    `people_unread`, `ci_unread`: why what people said, or CI, could not be read: nothing is owed
    for what is not known.
    """

    number: int
    state: PullState
    head: str
    base: str
    base_head: str = ""
    draft: bool = False
    mergeable: bool | None = None
    merged_as: str = ""
    merged_by: str = ""
    reviews: tuple[ReviewView, ...] = ()
    comments: tuple[Words, ...] = ()
    answered: tuple[str, ...] = ()
    approved_by: tuple[str, ...] = ()
    ci: str = "none"
    failing: tuple[Check, ...] = ()
    red_on_base: tuple[str, ...] = ()
    worth: tuple[Rerun, ...] = ()
    people_unread: str = ""
    ci_unread: str = ""

    @property
    def unread(self) -> tuple[str, ...]:
        return tuple(filter(None, (self.people_unread, self.ci_unread)))


_TALK = frozenset({RoundKind.REVIEW, RoundKind.ASKED})


def words_suffice(
    kinds: Collection[RoundKind], threads: Iterable[int], said: Mapping[int, Answer], summary: str
) -> bool:
    """Whether words alone answer a round, where it asks for nothing but them: `said` of each of
    its threads that it need not change, or the `summary`, where there are none."""
    asked = tuple(threads)
    unchanged = all(said.get(thread, Answer.FIXED) is not Answer.FIXED for thread in asked)
    return bool(kinds) and _TALK.issuperset(kinds) and unchanged and bool(asked or summary.strip())


_CHANGING = re.compile(r"[0-9a-f]{7,}|\d+([.:]\d+)*", re.IGNORECASE)


def signature(checks: tuple[Check, ...]) -> str:
    """What CI says, without what differs between two runs of the same: times, counts, hashes."""
    told = sorted(
        f"{one.context}\n{_CHANGING.sub('#', one.log or one.description)}" for one in checks
    )
    return sha256("\0".join(told).encode()).hexdigest()[:16]
