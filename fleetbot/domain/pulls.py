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

from msgspec.structs import replace

from fleetbot.domain.values import Value

MOST_HEADS = 20
LANDING = "landing"  # what people are asked about, once two landings have come to the same
MOST_DEALT = 200  # keys of reviews and comments that a task remembers to have dealt with


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
    """A red context. `log`: its last lines, secrets masked, "" where Forgejo shows none."""

    context: str
    state: str
    description: str = ""
    url: str = ""
    log: str = ""


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
    asked or since CI was green. `dealt`: keys of words that a round had. `failing`: what CI said
    when it was last to be mended. `asked`: what people were asked about; `asking`: of that what
    still waits for them. `heads`: the commits that were verified, newest last. `answered`: the
    round that led to the newest of them, if one did. `unlanded`: why its last landing came to
    nothing.
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

    def times(self, kind: RoundKind) -> int:
        return next((count.times for count in self.counts if count.kind is kind), 0)

    def counted(self, brief: Brief) -> Watch:
        """After a round with that brief was given."""
        times = {count.kind: count.times for count in self.counts}
        for kind in brief.kinds:
            times[kind] = times.get(kind, 0) + 1
        counts = () if brief.asked else tuple(Count(kind=k, times=n) for k, n in times.items())
        keys = (words.key for words in (*brief.words, *_in_threads(brief)))
        return replace(
            self,
            rounds=self.rounds + 1,
            counts=counts,
            dealt=tuple(dict.fromkeys((*self.dealt, *keys)))[-MOST_DEALT:],
            failing=signature(brief.checks) if brief.checks else self.failing,
            asked=(),
            asking=(),
            landing=None,
            unlanded="",
        )

    def shown(self, standing: Standing) -> Watch:
        """With what it shows now: CI that is green once has earned its rounds anew."""
        asking = tuple(one for one in self.asking if not _is_settled(one, standing))
        seen = replace(self, standing=standing, asking=asking)
        if standing.ci != "green":
            return seen
        counts = tuple(count for count in self.counts if count.kind is not RoundKind.CI)
        return replace(seen, counts=counts, failing="")


def _is_settled(asking: Asking, standing: Standing) -> bool:
    """Whether what people were asked about is gone by itself."""
    match asking.about:
        case "ci":
            return standing.ci == "green"
        case "conflict":
            return standing.conflict is False
        case _:
            return False


def _in_threads(brief: Brief) -> tuple[Words, ...]:
    return tuple(words for thread in brief.threads for words in thread.words)


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
    `unread`: what could not be read of it: nothing is owed for what is not known.
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
    unread: tuple[str, ...] = ()


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
