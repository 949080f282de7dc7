"""Issues and their comments."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Any, Literal

from fleetbot.domain.model import same_name
from fleetbot.forge.errors import TooLarge
from fleetbot.forge.models import Comment, Issue, TimelineEntry
from fleetbot.forge.paths import path_of, repo_path
from fleetbot.forge.transport import Calls, Page

State = Literal["open", "closed"]
_MARK = "<!-- fleetbot "
_LAST_MARK = re.compile(r"<!-- fleetbot ([A-Za-z0-9._:/#-]+) -->\s*\Z")
_MARKER_KEY = re.compile(r"[A-Za-z0-9._:/#-]{1,200}")


def hidden_marker(key: str) -> str:
    """The HTML comment by which a comment of ours is found again; nobody sees it rendered."""
    if not _MARKER_KEY.fullmatch(key) or "--" in key:
        raise ValueError(f"not a marker: {key!r}; letters, digits and ._:/#- without a double dash")
    return f"{_MARK}{key} -->"


def is_marked(body: str) -> bool:
    """Whether a comment looks like one of fleetbot's; anybody can write a marker."""
    return _MARK in body


def marker_of(body: str) -> str | None:
    """The marker that a comment was posted under; it is the end of it."""
    found = _LAST_MARK.search(body)
    return found[1] if found else None


def with_marker(body: str, marker: str) -> str:
    return f"{body.rstrip()}\n\n{hidden_marker(marker)}"


class IssueCalls(Calls):
    # -- issues

    async def iter_issues(
        self,
        repo: str,
        *,
        state: Literal["open", "closed", "all"] = "open",
        labels: Sequence[str] = (),
        since: datetime | None = None,
        assigned_by: str | None = None,
        created_by: str | None = None,
        sort: str | None = None,
    ) -> AsyncIterator[Issue]:
        """Issues (no pull requests) that carry *all* of ``labels``, updated at or after ``since``.

        Forgejo drops label names it does not know, down to no filter at all, hence the second look.
        """
        params = {
            "state": state,
            "type": "issues",
            "labels": ",".join(labels) or None,
            "since": since.isoformat() if since else None,
            "assigned_by": assigned_by,
            "created_by": created_by,
            "sort": sort,
        }
        async for issue in self._http.pages(Issue, repo_path(repo) + "/issues", params):
            if issue.label_names.issuperset(labels):
                yield issue

    async def changed_issues(self, repo: str, since: datetime, page: int = 1) -> Page[Issue]:
        """Issues of any state updated at or after ``since``, the longest ago first, by pages."""
        params = {
            "state": "all",
            "type": "issues",
            "since": since.isoformat(),
            "sort": "leastupdate",
        }
        return await self._http.page(Issue, repo_path(repo) + "/issues", params, page)

    async def issue(self, repo: str, number: int) -> Issue:
        return await self._http.get(Issue, repo_path(repo) + path_of("/issues/{}", number))

    async def create_issue(
        self,
        repo: str,
        title: str,
        body: str = "",
        *,
        label_ids: Sequence[int] = (),
        assignees: Sequence[str] = (),
    ) -> Issue:
        """Without write access, labels and assignees are dropped silently by the server."""
        request = {
            "title": title,
            "body": body,
            "labels": list(label_ids),
            "assignees": list(assignees),
        }
        return await self._http.call(Issue, "POST", repo_path(repo) + "/issues", json=request)

    async def edit_issue(
        self,
        repo: str,
        number: int,
        *,
        title: str | None = None,
        body: str | None = None,
        state: State | None = None,
        assignees: Sequence[str] | None = None,
    ) -> Issue:
        """Change what is given. ``assignees`` replaces them all.

        A user who cannot be assigned is answered with 500 (:class:`ForgeUnavailable`): ask
        ``assignees(repo)`` first where that may be.
        """
        given = {
            "title": title,
            "body": body,
            "state": state,
            "assignees": None if assignees is None else list(assignees),
        }
        path = repo_path(repo) + path_of("/issues/{}", number)
        return await self._http.call(Issue, "PATCH", path, json=_given(given))

    async def timeline(
        self, repo: str, number: int, *, since: datetime | None = None
    ) -> list[TimelineEntry]:
        """What happened to an issue, oldest first, ``since`` inclusive."""
        return [entry async for entry in self._entries(repo, number, since)]

    def _entries(
        self, repo: str, number: int, since: datetime | None = None
    ) -> AsyncIterator[TimelineEntry]:
        """The total that Forgejo names here is that of the page."""
        path = repo_path(repo) + path_of("/issues/{}/timeline", number)
        params = {"since": since.isoformat() if since else None}
        return self._http.pages(TimelineEntry, path, params, to_the_end=True)

    # -- comments

    async def comments(
        self, repo: str, number: int, *, since: datetime | None = None
    ) -> tuple[Comment, ...]:
        """All comments of an issue or pull request, oldest first; Forgejo does not page them."""
        path = repo_path(repo) + path_of("/issues/{}/comments", number)
        params = {"since": since.isoformat() if since else None}
        return await self._http.get(tuple[Comment, ...], path, params)

    async def iter_comments(self, repo: str, number: int) -> AsyncIterator[Comment]:
        """The same one by one. Anybody may write so much that all at once is too large: then they
        are read from the timeline, which comes in pages, but for those too large by themselves."""
        try:
            found = await self.comments(repo, number)
        except TooLarge:
            async for comment in self._comments_by_pages(repo, number):
                yield comment
        else:
            for comment in found:
                yield comment

    async def _comments_by_pages(self, repo: str, number: int) -> AsyncIterator[Comment]:
        """Each once: where entries are left out, some come twice."""
        known: set[int] = set()
        async for entry in self._entries(repo, number):
            comment = entry.comment
            if comment and comment.id not in known:
                known.add(comment.id)
                yield comment

    async def create_comment(
        self, repo: str, number: int, body: str, *, marker: str | None = None
    ) -> Comment:
        """Post a comment, whatever is there already; see ``comment_once``."""
        text = with_marker(body, marker) if marker else body
        path = repo_path(repo) + path_of("/issues/{}/comments", number)
        return await self._http.call(Comment, "POST", path, json={"body": text})

    async def edit_comment(
        self, repo: str, comment_id: int, body: str, *, marker: str | None = None
    ) -> Comment:
        """Replace the text; a comment posted under a marker needs the marker again."""
        text = with_marker(body, marker) if marker else body
        path = repo_path(repo) + path_of("/issues/comments/{}", comment_id)
        return await self._http.call(Comment, "PATCH", path, json={"body": text})

    async def delete_comment(self, repo: str, comment_id: int) -> None:
        path = repo_path(repo) + path_of("/issues/comments/{}", comment_id)
        await self._http.send("DELETE", path)

    async def find_comment(
        self, repo: str, number: int, marker: str, *, author: str | None = None, like: str = ""
    ) -> Comment | None:
        """The first comment with the marker, or else with one that begins with ``like``, if given;
        by ``author``, since anybody can write a marker."""
        sought, alike = hidden_marker(marker), None
        async for comment in self.iter_comments(repo, number):
            by_them = author is None or same_name(author, comment.author)
            if by_them and sought in comment.body:
                return comment
            is_alike = like and by_them and (marker_of(comment.body) or "").startswith(like)
            alike = alike or (comment if is_alike else None)
        return alike


def _given(fields: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in fields.items() if value is not None}
