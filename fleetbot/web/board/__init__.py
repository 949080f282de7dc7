"""The board: a page, and what it shows, for whoever has a link, a session or a reader's token."""

from __future__ import annotations

from typing import Any

import msgspec
from aiohttp import web

from fleetbot import wire
from fleetbot.domain.events import Recorded
from fleetbot.domain.model import TaskId
from fleetbot.services.board.board import Board, Shelf
from fleetbot.web.board.kept import Kept
from fleetbot.web.board.pages import Pages
from fleetbot.web.board.sessions import SessionCalls
from fleetbot.web.crowd import Crowd
from fleetbot.web.endpoint import (
    EVENT_STREAM,
    JSON,
    Call,
    Endpoint,
    NoBody,
    NoQuery,
    Query,
    viewer_gets,
)
from fleetbot.web.events import LAST_EVENT_ID, FeedQuery, Streams, message
from fleetbot.web.problems import Code
from fleetbot.web.tasks import Limit, RepoText

BOARD = f"/{wire.API}/board"
KEPT = "It is as it was when the caller got the ETag of its `If-None-Match`."
MOST_STREAMS = 8
"""Of one viewer: who has so many pages open does not take the places of others."""
REACH = 2_000
"""Who was away for longer looks at all anew, and does not have the whole journal read for it."""


class ListQuery(Query, frozen=True):
    """`issue`: the tasks of that number alone, whatever list they are in."""

    list: Shelf = Shelf.WORKING
    repo: RepoText | None = None
    issue: wire.Number | None = None
    after: wire.IdText | None = None
    limit: Limit = 50


class BoardCalls:
    """`reach` as of `Streams`."""

    def __init__(self, board: Board, reach: int = REACH) -> None:
        self._board = board
        self._pages = Pages(board.frames)
        self._sessions = SessionCalls(board)
        self._streams = Streams(board.fleet, reach=reach)
        self._crowd = Crowd(MOST_STREAMS, "streams of the board")

    def endpoints(self) -> tuple[Endpoint, ...]:
        return (
            *self._pages.endpoints(),
            *self._sessions.endpoints(),
            viewer_gets(
                BOARD,
                self.glance,
                "The fleet at a glance, as the board shows it.",
                sends=wire.BoardFleet,
                kept=KEPT,
            ),
            viewer_gets(
                f"{BOARD}/tasks",
                self.tasks,
                "A page of one of the board's lists.",
                sends=wire.BoardTasks,
                kept=KEPT,
            ),
            viewer_gets(
                f"{BOARD}/tasks/{{task}}",
                self.story,
                "A task's whole story, and what verified it.",
                sends=wire.BoardStory,
                kept=KEPT,
            ),
            viewer_gets(
                f"{BOARD}/events",
                self.follow,
                f"Follow what happens, in words; resumable over the last {REACH:,} events.",
                sends=wire.BoardEvent,
                media=EVENT_STREAM,
                headers=(LAST_EVENT_ID,),
                refusals=(Code.BUSY,),
            ),
        )

    def close(self) -> None:
        self._streams.close()

    async def glance(self, call: Call[NoBody, NoQuery]) -> web.Response:
        return _revalidated(call, await self._board.at_a_glance(call.viewer))

    async def tasks(self, call: Call[NoBody, ListQuery]) -> web.Response:
        query, repo, after = call.query, call.query.repo or "", call.query.after or ""
        if query.issue is not None:
            found = await self._board.of_issue(call.viewer, repo, query.issue)
        else:
            found = await self._board.tasks(call.viewer, query.list, repo, after, query.limit)
        return _revalidated(call, found)

    async def story(self, call: Call[NoBody, NoQuery]) -> web.Response:
        told = await self._board.story(call.viewer, TaskId(call.part("task")))
        return _revalidated(call, told)

    async def follow(self, call: Call[NoBody, FeedQuery]) -> web.StreamResponse:
        viewer = call.viewer

        async def tell(line: Recorded) -> bytes | None:
            event = await self._board.event(viewer, line)
            return message(line.seq, "news", msgspec.json.encode(event)) if event else None

        passes, begun = self._board.passes, self._board.passes.withdrawals

        async def lasts() -> bool:
            return passes.withdrawals == begun and await passes.lasts(viewer)

        with self._crowd.one_of(viewer.caller):
            return await self._streams.follow(call, tell, lasts)


def _revalidated(call: Call[Any, Any], answer: wire.Answer) -> web.Response:
    headers = {"Cache-Control": "private, no-cache", "Vary": "Cookie, Authorization"}
    return Kept.of(msgspec.json.encode(answer), JSON).answer(call.request, headers)
