"""Reviews: read, written, answered, asked for.

Nothing in Forgejo's API resolves a conversation: that is a page for people
(``/{owner}/{repo}/issues/resolve_conversation``, with a session, not with a token).
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Literal

import msgspec

from fleetbot.forge.errors import ForgeNotFound
from fleetbot.forge.paths import path_of, pull_path
from fleetbot.forge.reviews import Review, ReviewComment, Thread, threads_of
from fleetbot.forge.transport import Calls

ReviewEvent = Literal["APPROVED", "REQUEST_CHANGES", "COMMENT", "PENDING"]


class LineComment(msgspec.Struct, frozen=True):
    """What is said of a line of the new file, or of the old one (``is_old``)."""

    path: str
    line: int
    body: str
    is_old: bool = False


class ReviewCalls(Calls):
    async def reviews(self, repo: str, number: int) -> list[Review]:
        """All of them, the oldest first; other people's unsubmitted ones do not show."""
        path = pull_path(repo, number) + "/reviews"
        return [review async for review in self._http.pages(Review, path)]

    async def review(self, repo: str, number: int, review_id: int) -> Review | None:
        """None where it was deleted."""
        try:
            return await self._http.get(Review, _review_path(repo, number, review_id))
        except ForgeNotFound:
            return None

    async def review_comments(
        self, repo: str, number: int, review_id: int
    ) -> tuple[ReviewComment, ...]:
        """Those of one review, replies to it by anybody among them; Forgejo does not page them."""
        path = _review_path(repo, number, review_id) + "/comments"
        try:
            found = await self._http.get(tuple[ReviewComment, ...], path)
        except ForgeNotFound:
            return ()
        return tuple(sorted(found, key=lambda comment: comment.id))

    async def threads(self, repo: str, number: int) -> tuple[Thread, ...]:
        """Every conversation on the lines of a pull request, the oldest first."""
        reviews = [one for one in await self.reviews(repo, number) if one.comments_count]
        found = await asyncio.gather(
            *(self.review_comments(repo, number, one.id) for one in reviews)
        )
        return threads_of(comment for comments in found for comment in comments)

    async def create_review(
        self,
        repo: str,
        number: int,
        event: ReviewEvent,
        body: str = "",
        *,
        comments: Sequence[LineComment] = (),
        commit: str = "",
    ) -> Review:
        """Submit a review, together with whatever of one's own was not yet submitted.

        ``commit``: which one it is about, else the head. ``Unprocessable`` for approving or
        rejecting one's own pull request, and for one without a word, but for an approval.
        """
        request = {
            "event": event,
            "body": body,
            "commit_id": commit,
            "comments": [_sent(one) for one in comments],
        }
        path = pull_path(repo, number) + "/reviews"
        return await self._http.call(Review, "POST", path, json=request)

    async def reply(self, repo: str, number: int, thread: Thread, body: str) -> ReviewComment:
        """Say something in a conversation. No webhook tells of it.

        ``ForgeNotFound`` where its review is gone.
        """
        path = _review_path(repo, number, thread.review_id) + "/comments"
        line = LineComment(thread.path, thread.line, body, thread.is_old)
        return await self._http.call(ReviewComment, "POST", path, json=_sent(line))

    async def request_reviews(self, repo: str, number: int, logins: Sequence[str]) -> list[Review]:
        """Ask these for a review, again where they have given one; whoever is asked already is not
        in the answer.

        ``Unprocessable`` for the author, and for whoever cannot read; ``ForgeNotFound`` for an
        unknown login; ``ForgeForbidden`` where it is closed and they have reviewed it.
        """
        path = pull_path(repo, number) + "/requested_reviewers"
        return await self._http.call(list[Review], "POST", path, json={"reviewers": list(logins)})

    async def dismiss_review(
        self, repo: str, number: int, review_id: int, message: str = ""
    ) -> Review:
        """For the repository's administrators, of an approval or a request for changes. No webhook
        tells of it."""
        path = _review_path(repo, number, review_id) + "/dismissals"
        return await self._http.call(Review, "POST", path, json={"message": message})


def _review_path(repo: str, number: int, review_id: int) -> str:
    return pull_path(repo, number) + path_of("/reviews/{}", review_id)


def _sent(comment: LineComment) -> dict[str, str | int]:
    side = "old_position" if comment.is_old else "new_position"
    return {"path": comment.path, "body": comment.body, side: comment.line}
