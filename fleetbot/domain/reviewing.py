"""What people said of a pull request, as far as it asks for work: whose words are orders, what of
them is new, and how much of it one round takes.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from fleetbot.domain.model import Policy
from fleetbot.domain.pulls import (
    Brief,
    PullView,
    ReviewView,
    RoundKind,
    Thread,
    Watch,
    Words,
    as_fits,
)
from fleetbot.domain.wording import count

MOST_NAMED = 5  # people that one question, or one question each, is about


class Question(NamedTuple):
    """People have to say how it goes on; `about` is for what they are asked once."""

    about: str
    text: str


def of_words(watch: Watch, view: PullView, policy: Policy) -> Brief | Question | None:
    found = [_news(watch, view, review) for review in view.reviews]
    news = [one for one in found if one.said and not _is_foreign(watch, view, one.review)]
    comments = [one for one in view.comments if _is_undealt(watch, view, one.key)]
    said = [*(words for one in news for words in one.said), *comments]
    if not any(words.may_write for words in said):
        return _report(watch, said) or _outdated(watch, view, found)
    if watch.times(RoundKind.REVIEW) >= policy.max_review_rounds:
        return Question("reviews", no_more(watch.times(RoundKind.REVIEW), "of review"))
    of_reviews = [one.review.words for one in news if not one.review.words.ours]
    words, threads = as_fits(
        (*of_reviews, *comments), [thread for one in news for thread in one.threads]
    )
    return Brief(head=view.head, words=words, threads=threads)


class _News(NamedTuple):
    """What a review asks for that no round had yet: `said` are its new words, whoever said them,
    those in `threads` among them."""

    review: ReviewView
    said: tuple[Words, ...]
    threads: tuple[Thread, ...]


def _news(watch: Watch, view: PullView, review: ReviewView) -> _News:
    """One of our own asks for nothing, nor does one that was dismissed; but people go on talking
    to us in the threads of either."""
    void = review.words.ours or review.dismissed
    threads = tuple(
        thread
        for thread in review.threads
        if _is_open(watch, view, thread) and (not void or any(one.ours for one in thread.words))
    )
    lines = (words for thread in threads for words in thread.words if not words.ours)
    said = [words for words in lines if _is_undealt(watch, view, words.key)]
    if not void and _asks_in_words(review) and _is_undealt(watch, view, review.words.key):
        said.insert(0, review.words)
    return _News(review, tuple(said), threads)


def _asks_in_words(review: ReviewView) -> bool:
    says = bool(review.words.text.strip())
    return review.state == "REQUEST_CHANGES" or (says and review.state == "COMMENT")


def _is_open(watch: Watch, view: PullView, thread: Thread) -> bool:
    """Whether a person had the last word, and no round has it yet."""
    last = thread.words[-1]
    return not last.ours and _is_undealt(watch, view, last.key)


def _is_undealt(watch: Watch, view: PullView, key: str) -> bool:
    return key not in watch.dealt and key not in view.answered


def _is_foreign(watch: Watch, view: PullView, review: ReviewView) -> bool:
    """It speaks of a commit that is neither the head nor one that the fleet has had verified: of
    what somebody has pushed over since. One that a round had is taken up in any case."""
    is_taken_up = not _is_undealt(watch, view, review.words.key)
    return review.commit not in ("", view.head, *watch.heads) and not is_taken_up


def _report(watch: Watch, said: Iterable[Words]) -> Question | None:
    """Words of people who may not write are no orders, but somebody should know of them: once of
    each person, and of a crowd."""
    of_others = "report:*"
    told = [about for about in watch.asked if about.startswith("report:")]
    for words in said:
        about = f"report:{words.author}"
        if about in told or of_others in told:
            continue
        if len(told) >= MOST_NAMED:
            return Question(of_others, "More people ask for changes who may not write.")
        return Question(about, f"{words.author} asks for changes, and {_without_rights(words)}")
    return None


def _without_rights(words: Words) -> str:
    if words.may_write is None:
        return (
            "Forgejo does not tell whether they may write: make the bot an administrator of the"
            " repository."
        )
    return "may not write to the repository."


def _outdated(watch: Watch, view: PullView, found: Iterable[_News]) -> Question | None:
    for news in found:
        by_writer = any(words.may_write for words in news.said)
        about = f"outdated:{news.review.words.key}"
        if by_writer and about not in watch.asked and _is_foreign(watch, view, news.review):
            author, commit = news.review.words.author, news.review.commit[:12]
            text = f"{author} has reviewed commit {commit}, which the branch has no more."
            return Question(about, text)
    return None


def no_more(times: int, what: str) -> str:
    if not times:
        return f"There are to be no rounds {what}."
    return f"It has had {count(times, 'round')} {what}, as many as it may."
