"""Reviews of a pull request, and the conversations on its lines.

Source: ``models/issues/review.go``, ``models/issues/comment_code.go``,
``services/convert/pull_review.go`` of Forgejo.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

import msgspec

from fleetbot.forge.models import Object, User, login_of


class Review(Object, frozen=True):
    """``state``: APPROVED, REQUEST_CHANGES, COMMENT, PENDING or REQUEST_REVIEW.

    ``stale``: pushed to since, so that the diff is another one; only then, and not at once.
    ``dismissed``: an administrator's doing, or that of a later verdict of the same reviewer. One
    that came with comments on lines does *not* dismiss the earlier one: of a reviewer's verdicts
    the last counts. ``official``: the last verdict of somebody whose approval counts.
    ``user`` is absent from the request to a team; PENDING ones show to their author only.
    """

    id: int
    state: str = ""
    user: User | None = None
    body: str = ""
    commit_id: str = ""
    stale: bool = False
    official: bool = False
    dismissed: bool = False
    comments_count: int = 0
    html_url: str = ""
    submitted_at: datetime | None = None
    updated_at: datetime | None = None

    @property
    def author(self) -> str:
        return login_of(self.user)


class ReviewComment(Object, frozen=True):
    """A comment on a line. ``position`` is the line in the new file, ``original_position`` in the
    old one; one of them is 0.

    The line is that of the commit that wrote it (``commit_id``, by ``git blame``), which may differ
    from the line in the head that was commented on. ``diff_hunk`` ends with the line, and is empty
    where it is not in the diff.
    """

    id: int
    pull_request_review_id: int = 0
    body: str = ""
    user: User | None = None
    resolver: User | None = None
    path: str = ""
    position: int = 0
    original_position: int = 0
    commit_id: str = ""
    original_commit_id: str = ""
    diff_hunk: str = ""
    html_url: str = ""
    created_at: datetime | None = None
    updated_at: datetime | None = None

    @property
    def author(self) -> str:
        return login_of(self.user)


class Thread(msgspec.Struct, frozen=True):
    """A conversation: what was said in one review on one line, the oldest first.

    Another review of the same line is another conversation. ``line`` is one of the old file where
    ``is_old``.
    """

    review_id: int
    path: str
    line: int
    is_old: bool
    comments: tuple[ReviewComment, ...]

    @property
    def id(self) -> int:
        """That of its first comment, which stays."""
        return self.comments[0].id

    @property
    def resolver(self) -> str:
        """Who resolved it, empty for nobody; the mark is on its first comment."""
        return login_of(self.comments[0].resolver)

    @property
    def is_resolved(self) -> bool:
        return self.comments[0].resolver is not None

    @property
    def hunk(self) -> str:
        return self.comments[0].diff_hunk


def threads_of(comments: Iterable[ReviewComment]) -> tuple[Thread, ...]:
    """The conversations that comments of whatever reviews make up, the oldest first."""
    found: dict[tuple[int, str, int, bool], list[ReviewComment]] = {}
    for one in sorted(comments, key=lambda comment: comment.id):
        is_old = one.original_position > 0
        line = one.original_position or one.position
        key = (one.pull_request_review_id, one.path, line, is_old)
        found.setdefault(key, []).append(one)
    return tuple(Thread(*key, tuple(said)) for key, said in found.items())
