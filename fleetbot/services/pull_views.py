"""A task's pull request as Forgejo shows it, read for what is owed to it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator
from datetime import datetime
from typing import NamedTuple, TypeVar

from msgspec.structs import replace

from fleetbot.domain import ci
from fleetbot.domain.facts import Unread
from fleetbot.domain.model import Task, same_name
from fleetbot.domain.pulls import Check, PullState, PullView, ReviewView, Thread, Words
from fleetbot.domain.receipts import Rules
from fleetbot.domain.reruns import Rerun
from fleetbot.domain.wording import shorten
from fleetbot.forge import reviews as forge
from fleetbot.forge.client import ForgeClient
from fleetbot.forge.errors import ForgeError
from fleetbot.forge.issue_calls import hidden_marker
from fleetbot.forge.models import Comment, PullRequest
from fleetbot.forge.people import Writers
from fleetbot.services.ci_facts import read_ci, statuses_of
from fleetbot.services.ci_logs import NO_LOG, JobLog, job_log
from fleetbot.services.facts import standing_reviews
from fleetbot.services.its_pull import its_pull
from fleetbot.services.reruns import worth_again

T = TypeVar("T")
_Its = Comment | forge.Review | forge.ReviewComment

_ANSWERED = re.compile(r"<!-- fleetbot answers/([a-z]+:\d+) -->")
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_MOST_TEXT, _MOST_HUNK = 4_000, 1_500
_MOST_TALK = 20  # comments of a thread: its first one, and the newest
_MOST_LOGS = 5
_WORDS_OF = frozenset({"APPROVED", "REQUEST_CHANGES", "COMMENT"})


class Own(NamedTuple):
    """Who speaks for the fleet: the bot, and the `accounts` of its agents, in small letters."""

    bot: str
    accounts: Collection[str]

    def speaks(self, login: str) -> bool:
        return same_name(login, self.bot) or login.lower() in self.accounts

    def is_spoken_to(self, text: str) -> bool:
        """By who wrote it: others may have said what is quoted."""
        name = re.compile(rf"(?<![\w@.-])@{re.escape(self.bot)}(?![\w-])", re.IGNORECASE)
        return any(map(name.search, _own_lines(text)))


def _own_lines(text: str) -> Iterator[str]:
    """Without what is quoted, be it others' words or code."""
    fence = ""
    for line in text.splitlines():
        mark = _FENCE.match(line)
        if fence:
            fence = "" if mark and mark[1].startswith(fence) else fence
        elif mark:
            fence = mark[1]
        elif not line.lstrip().startswith(">"):
            yield line


class _Said(NamedTuple):
    reviews: tuple[ReviewView, ...]
    comments: tuple[Words, ...]
    answered: tuple[str, ...]
    approved_by: tuple[str, ...]


class _Checks(NamedTuple):
    state: ci.CiState
    failing: tuple[Check, ...] = ()
    red_on_base: tuple[str, ...] = ()
    worth: tuple[Rerun, ...] = ()


async def read_view(
    client: ForgeClient, task: Task, rules: Rules, mask: Callable[[str], str]
) -> PullView:
    """Raises `ForgeError` where the pull request itself cannot be read; what cannot be read of it
    is in `unread`. `mask` takes our own secrets out of what CI has logged."""
    assert task.pull is not None  # of tasks that have one
    pull = await its_pull(client, task.repo, task.repo_id, task.pull.number)
    if pull is None:  # an administrator has deleted it
        return PullView(task.pull.number, PullState.CLOSED, task.pull.head, task.pull.standing.base)
    view = _plain(pull)
    if view.state is not PullState.OPEN:
        return view
    own = Own(await client.login(), {name.lower() for name in rules.ci.fleet})
    said, checks = await asyncio.gather(
        _read("What people said", _said(client, task.repo, pull, own)),
        _read("CI", _checks(client, task, pull, rules, mask)),
    )
    return _with_checks(_with_said(view, said), checks)


def _with_said(view: PullView, said: _Said | Unread) -> PullView:
    if isinstance(said, Unread):
        return replace(view, people_unread=said.why)
    return replace(
        view,
        reviews=said.reviews,
        comments=said.comments,
        answered=said.answered,
        approved_by=said.approved_by,
    )


def _with_checks(view: PullView, checks: _Checks | Unread) -> PullView:
    if isinstance(checks, Unread):
        return replace(view, ci=ci.CiState.UNREAD.value, ci_unread=checks.why)
    return replace(
        view,
        ci=checks.state.value,
        failing=checks.failing,
        red_on_base=checks.red_on_base,
        worth=checks.worth,
    )


def _plain(pull: PullRequest) -> PullView:
    """Forgejo finds a draft not mergeable, whatever its changes are."""
    state = PullState.OPEN if pull.state == "open" else PullState.CLOSED
    return PullView(
        number=pull.number,
        state=PullState.MERGED if pull.merged else state,
        head=pull.head.sha,
        base=pull.base.ref,
        base_head=pull.base.sha,
        draft=pull.draft,
        mergeable=None if pull.draft else pull.mergeable,
        merged_as=pull.merge_commit_sha if pull.merged else "",
        merged_by=pull.merged_by.login if pull.merged and pull.merged_by else "",
    )


async def _read(what: str, reading: Awaitable[T | Unread]) -> T | Unread:
    try:
        return await reading
    except ForgeError as error:
        return Unread(f"{what} could not be read: {error}.")


# what people said


async def _said(client: ForgeClient, repo: str, pull: PullRequest, own: Own) -> _Said:
    comments, reviews = await asyncio.gather(
        _comments(client, repo, pull.number, own), client.reviews(repo, pull.number)
    )
    reviews = [one for one in reviews if one.state in _WORDS_OF]
    threads = await _threads(client, repo, pull, reviews)
    calls = [one for one in comments if own.is_spoken_to(one.body)]
    said: list[_Its] = [*reviews, *calls, *_lines(threads)]
    people = {one.author for one in said if one.author}
    writers = await client.writers(repo, sorted(p for p in people if not own.speaks(p)))
    told = _Telling(own, writers)
    return _Said(
        reviews=tuple(told.review(one, threads.get(one.id, ())) for one in reviews),
        comments=tuple(told.comment(one) for one in calls if not own.speaks(one.author)),
        answered=tuple(
            key for one in comments if same_name(one.author, own.bot) for key in _keys(one)
        ),
        approved_by=tuple(
            one.author
            for one in standing_reviews(reviews)
            if one.state == "APPROVED" and not one.stale
        ),
    )


async def _comments(client: ForgeClient, repo: str, number: int, own: Own) -> list[Comment]:
    """Those that speak to the bot, and its own."""
    return [
        one
        async for one in client.iter_comments(repo, number)
        if own.is_spoken_to(one.body) or same_name(one.author, own.bot)
    ]


async def _threads(
    client: ForgeClient, repo: str, pull: PullRequest, reviews: Iterable[forge.Review]
) -> dict[int, tuple[forge.Thread, ...]]:
    """Of each review those that nobody has resolved."""
    with_lines = [one for one in reviews if one.comments_count]
    found = await asyncio.gather(
        *(client.review_comments(repo, pull.number, one.id) for one in with_lines)
    )
    return {
        review.id: tuple(one for one in forge.threads_of(lines) if not one.is_resolved)
        for review, lines in zip(with_lines, found, strict=True)
    }


def _lines(threads: dict[int, tuple[forge.Thread, ...]]) -> Iterable[forge.ReviewComment]:
    return (line for found in threads.values() for thread in found for line in thread.comments)


def answers_mark(words: Words) -> str:
    """Stands unseen in a comment of ours that answers these words."""
    return hidden_marker(f"answers/{words.key}")


def _keys(comment: Comment) -> list[str]:
    """Only the bot's own say so: agents write what they are told to."""
    return _ANSWERED.findall(comment.body)


class _Telling(NamedTuple):
    own: Own
    writers: Writers

    def review(self, review: forge.Review, threads: Iterable[forge.Thread]) -> ReviewView:
        return ReviewView(
            words=self._words(f"review:{review.id}", review, review.submitted_at),
            state=review.state,
            commit=review.commit_id,
            stale=review.stale,
            dismissed=review.dismissed,
            threads=tuple(map(self._thread, threads)),
        )

    def comment(self, comment: Comment) -> Words:
        return self._words(f"comment:{comment.id}", comment, comment.created_at)

    def _thread(self, thread: forge.Thread) -> Thread:
        first, *rest = thread.comments
        kept = (first, *rest[-(_MOST_TALK - 1) :])
        said = (self._words(f"line:{one.id}", one, one.created_at) for one in kept)
        return Thread(
            id=thread.id,
            path=thread.path,
            line=thread.line,
            words=tuple(said),
            hunk=thread.hunk[-_MOST_HUNK:],
            url=thread.comments[0].html_url,
        )

    def _words(self, key: str, its: _Its, at: datetime | None) -> Words:
        ours = self.own.speaks(its.author)
        return Words(
            key=key,
            author=its.author or "somebody whose account is gone",
            text=shorten(its.body, _MOST_TEXT),
            at=int(at.timestamp() * 1000) if at else 0,
            url=its.html_url,
            may_write=ours or (bool(its.author) and self.writers.may_write(its.author)),
            ours=ours,
        )


# what CI says


async def _checks(
    client: ForgeClient, task: Task, pull: PullRequest, rules: Rules, mask: Callable[[str], str]
) -> _Checks | Unread:
    """All contexts count here, whether the verdict on a receipt waits for them or not."""
    repo, head = task.repo, pull.head.sha
    facts = await read_ci(client, repo, pull, pull.base.ref, replace(rules, require_ci=True))
    if isinstance(facts, Unread):
        return facts
    state = ci.judge(facts, rules.ci, pull.author).state
    if state is not ci.CiState.RED:
        return _Checks(state)
    failing = ci.failing(facts)
    on_base = ci.red_too(failing, await statuses_of(client, repo, pull.base.sha))
    ours = [status for status in failing if status.context not in on_base]
    logs = await asyncio.gather(
        *(job_log(client, repo, head, status, mask) for status in ours[:_MOST_LOGS])
    )
    told = dict(zip((status.context for status in ours), logs, strict=False))
    checks = (_check(status, told.get(status.context, NO_LOG), mask) for status in failing)
    assert task.pull is not None  # of tasks that have one
    worth = await worth_again(client, repo, pull, task.pull, ours, told)
    return _Checks(state, tuple(checks), on_base, worth)


def _check(status: ci.StatusFact, log: JobLog, mask: Callable[[str], str]) -> Check:
    return Check(
        context=status.context,
        state=status.state,
        description=shorten(mask(status.description), 500),
        url=mask(status.url),
        log=log.lines,
        status=status.id,
    )
