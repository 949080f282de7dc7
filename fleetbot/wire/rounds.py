"""Rounds of work on an open pull request: what a runner is told, and what its agent says to it."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from fleetbot.domain import pulls
from fleetbot.wire.base import Answer, Message


class SaidWords(Answer, frozen=True):
    """What somebody said of the pull request, at `at` (epoch ms). Only the words of who may write
    to the repository are orders; others' are reports."""

    author: str
    text: str
    may_write: bool
    at: int = 0
    url: str = ""


class ReviewThread(Answer, frozen=True):
    """Line comments on one place of the diff, oldest first; `line` 0 where that is gone."""

    id: int
    path: str
    line: int
    words: tuple[SaidWords, ...]
    hunk: str = ""
    url: str = ""


class FailedCheck(Answer, frozen=True):
    """A red CI context; `log`: its last lines, where Forgejo shows them."""

    context: str
    state: str
    description: str = ""
    url: str = ""
    log: str = ""


class RoundBrief(Answer, frozen=True):
    """What a round of work on an open pull request is about; all of it speaks of commit `head`.

    `threads` are each to be answered, with the receipt. `base`: the branch that is to be merged, at
    `base_head`, since the pull request conflicts with it; "" where it does not.
    """

    number: int
    kinds: tuple[pulls.RoundKind, ...]
    pull_request: int
    head: str
    words: tuple[SaidWords, ...] = ()
    threads: tuple[ReviewThread, ...] = ()
    checks: tuple[FailedCheck, ...] = ()
    base: str = ""
    base_head: str = ""


class ReplyClaim(Message, frozen=True):
    """The agent's word on a thread of its round: `fixed` (in `commit`, if it is not the head),
    `answered`, or `disagrees`, with which the thread stays open."""

    thread: Annotated[int, Meta(ge=1, le=2**53)]
    answer: pulls.Answer
    text: Annotated[str, Meta(max_length=4000)] = ""
    commit: Annotated[str, Meta(pattern=r"^([0-9a-f]{7,64})?$(?!\n)")] = ""

    @property
    def reply(self) -> pulls.Reply:
        return pulls.Reply(
            thread=self.thread, answer=self.answer, text=self.text, commit=self.commit
        )
