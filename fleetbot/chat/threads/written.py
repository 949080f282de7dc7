"""What rooms have of the runs' logs, known on disk: a process that begins anew goes on there."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from fleetbot.chat.speaking.runs import begins
from fleetbot.chat.threads.pages import Page
from fleetbot.domain.model import AgentName, Run, RunId, TaskId
from fleetbot.store.interface import Store
from fleetbot.store.records import Anchor, Change, Posted, PostKind

_page = msgspec.json.Decoder(Page)


class Written:
    """The newest page of each run in each room, and the first message of each thread.

    `clock` gives epoch milliseconds. All of it raises `StoreUnavailable`.
    """

    def __init__(self, store: Store, clock: Callable[[], int]) -> None:
        self._store = store
        self._clock = clock
        self._pages: dict[tuple[str, RunId], Page] = {}
        self._roots: dict[str, str] = {}

    async def page(self, room: str, run: RunId) -> Page | None:
        page = self._pages.get((room, run))
        if page is None and (kept := await self._store.anchor(_page_key(room, run))):
            page = self._pages[room, run] = _page.decode(kept)
        return page

    async def plan(self, room: str, run: RunId, page: Page) -> None:
        """The page is about to be sent or has been changed."""
        await self._store.append(Change(anchors=(_page_anchor(room, run, page),)))
        self._pages[room, run] = page

    async def sent(self, room: str, run: RunId, page: Page, root: str) -> None:
        """The page is in the thread: whoever replies to it speaks of the run."""
        anchors = [_page_anchor(room, run, page)]
        if page.number == 0:
            anchors += begins(room, run, page.event, root)
        posted = Posted(
            room=room, event=page.event, kind=PostKind.RUN, subject=run, at=self._clock()
        )
        await self._store.append(Change(anchors=tuple(anchors), posted=(posted,)))
        self._pages[room, run] = page

    def forget(self, run: Run) -> None:
        """All of it is written; what is on disk stays."""
        for key in [key for key in self._pages if key[1] == run.id]:
            del self._pages[key]

    async def root(self, thread: str) -> str | None:
        """The event that opened the thread, which goes by its key."""
        return self._roots.get(thread) or await self._store.anchor(thread)

    async def opened(self, thread: str, root: str) -> None:
        if self._roots.get(thread) != root:
            await self._store.append(Change(anchors=(Anchor(key=thread, value=root),)))
            self._roots[thread] = root


def agent_thread(room: str, agent: AgentName) -> str:
    return f"thread:{room}:{agent}"


def task_thread(room: str, task: TaskId) -> str:
    return f"task-thread:{room}:{task}"


def _page_anchor(room: str, run: RunId, page: Page) -> Anchor:
    return Anchor(key=_page_key(room, run), value=msgspec.json.encode(page).decode())


def _page_key(room: str, run: RunId) -> str:
    return f"log:{room}:{run}"
