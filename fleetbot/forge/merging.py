"""What Forgejo answers to a merge, in our words.

Source: ``routers/api/v1/repo/pull.go`` (``MergePullRequest``), ``services/pull/check.go``.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from fleetbot.forge.models import PullRequest


class Outcome(StrEnum):
    """How a pull request stands after somebody tried to merge it."""

    MERGED = "merged"  # by this call
    SCHEDULED = "scheduled"  # or already so: it is merged when its checks succeed
    ALREADY_MERGED = "already_merged"
    CLOSED = "closed"  # not merged; or there is none
    NOT_MERGEABLE = "not_mergeable"  # a conflict, or that is being found out: ask again later
    CONFLICT = "conflict"
    HEAD_MOVED = "head_moved"  # its head is another commit than the one that was to be merged
    BASE_MOVED = "base_moved"  # while it was merged: ask again
    DRAFT = "draft"
    BLOCKED = "blocked"  # it depends on what is open
    NOT_READY = "not_ready"  # branch protection wants more, says `words`
    FORBIDDEN = "forbidden"  # the account may not merge into this branch, or the branch refuses it
    WRONG_STYLE = "wrong_style"  # the repository does not allow it


class MergeAnswer(msgspec.Struct, frozen=True):
    """``words`` are Forgejo's, where it said something. ``pull``: as it was afterwards, where that
    had to be looked at."""

    outcome: Outcome
    words: str = ""
    pull: PullRequest | None = None

    @property
    def is_merged(self) -> bool:
        return self.outcome in (Outcome.MERGED, Outcome.ALREADY_MERGED)

    @property
    def may_pass(self) -> bool:
        """Whether the same call may succeed a little later."""
        return self.outcome in (Outcome.NOT_MERGEABLE, Outcome.BASE_MOVED)


class Updated(StrEnum):
    """What became of bringing a pull request up to date with its base."""

    UPDATED = "updated"
    UP_TO_DATE = "up_to_date"
    CONFLICT = "conflict"
    FORBIDDEN = "forbidden"  # one may not push to its head, or not in this style
    CLOSED = "closed"


_NOT_READY = "not allowed to merge [reason: "


def refused(words: str) -> Outcome:
    """A 405 with these words; those without any are looked at again."""
    if words.startswith(_NOT_READY):
        return Outcome.NOT_READY
    if words.endswith("is not an allowed merge style for this repository"):
        return Outcome.WRONG_STYLE
    if words.startswith("Work in progress"):
        return Outcome.DRAFT
    if words == "Please try again later":
        return Outcome.NOT_MERGEABLE
    return Outcome.FORBIDDEN


def collided(words: str) -> Outcome:
    """A 409 with these words; a conflict's is an object without a message."""
    if not words:
        return Outcome.CONFLICT
    if words == "head out of date":
        return Outcome.HEAD_MOVED
    if words == "merge push out of date":
        return Outcome.BASE_MOVED
    if "already scheduled to auto merge" in words:
        return Outcome.SCHEDULED
    return Outcome.FORBIDDEN  # the push was rejected, by branch protection or a hook


def reason_of(words: str) -> str:
    """What branch protection wants, without Forgejo's frame around it."""
    return words.removeprefix(_NOT_READY).removesuffix("]")
