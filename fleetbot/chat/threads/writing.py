"""The log of a run in the thread of a room, one message after another.

A run's log is gathered into few messages: the newest one is edited until it is full, and the last
one that there may be shows what is newest. A thread that is late goes on with that one. What the
messages do not say comes as a file when the run is over. A message is planned before it is sent,
and sent again under the same transaction id if its event id was not kept.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

from msgspec.structs import replace

from fleetbot.chat.speaking.content import as_edit, in_thread
from fleetbot.chat.speaking.link import Link, transaction
from fleetbot.chat.speaking.pace import Urgency
from fleetbot.chat.speaking.task_card import card_of
from fleetbot.chat.threads import pages
from fleetbot.chat.threads.attaching import Attaching
from fleetbot.chat.threads.folding import folded
from fleetbot.chat.threads.pages import Page, Shown
from fleetbot.chat.threads.written import Written, agent_thread, task_thread
from fleetbot.domain.model import Run, Task
from fleetbot.services.fleet import Fleet

CARD_MS = 10_000  # a task's card comes a moment after its run, or not at all


class Left(IntEnum):
    """What is left to do for a run in a room, as far as is known."""

    NOTHING = 0
    FILE = 1
    LINES = 2


class Place(NamedTuple):
    """A run's thread in a room; `thread` is the key that it is remembered by. `late`: its lines
    have waited for long."""

    room: str
    run: Run
    task: Task
    thread: str
    late: bool = False


class Writing:
    def __init__(self, fleet: Fleet, link: Link, *, per_task: bool) -> None:
        self._fleet = fleet
        self._store = fleet.store
        self._link = link
        self._per_task = per_task
        self._written = Written(fleet.store, fleet.clock)
        self._attaching = Attaching(link)

    def place(self, room: str, run: Run, task: Task, *, late: bool = False) -> Place:
        thread = task_thread(room, task.id) if self._per_task else agent_thread(room, run.agent)
        return Place(room, run, task, thread, late)

    def forget(self, run: Run) -> None:
        """All of it is written."""
        self._written.forget(run)
        self._attaching.forget(run)

    async def step(self, place: Place) -> tuple[bool, Left]:
        """Send or edit one message: whether the log was, and what is left.

        Raises what `Link` raises, and `StoreUnavailable`.
        """
        page = await self._written.page(place.room, place.run.id)
        if page is None:
            if await self._begins(place):
                return False, Left.LINES
            page = await self._plan(place, Page(0, 0))
        if not page.event:
            await self._send(place, page)
            return True, Left.LINES
        wanted, shown, full = await self._reach(place, page)
        if (wanted.upto, wanted.closed) != (page.upto, page.closed):
            await self._edit(place, wanted, shown)
            return True, Left.LINES
        if full:
            await self._send(place, await self._plan(place, _after(page)))
            return True, Left.LINES
        return False, Left.FILE if await self._wants_file(place, page) else Left.NOTHING

    async def _plan(self, place: Place, page: Page) -> Page:
        """The page as it is to be sent now."""
        planned, _, _ = await self._reach(place, page)
        await self._written.plan(place.room, place.run.id, planned)
        return planned

    async def _reach(self, place: Place, page: Page) -> tuple[Page, Shown, bool]:
        """The page as it should be now, what it shows, and whether another one is to follow it."""
        if page.is_last:
            return await self._tail(place, page)
        run, over = place.run.id, pages.is_over(place.run)
        lines = await self._store.log_lines(run, page.first, pages.PAGE_LINES + 1)
        shown = pages.fit(lines, page.first)
        if place.late and shown.is_full and not page.closed:
            if page.event and page.upto > page.first:
                return page, shown, True
            return await self._tail(place, replace(page, tail=True))
        closed = over and not shown.is_full
        return replace(page, upto=shown.upto, closed=closed), shown, shown.is_full

    async def _tail(self, place: Place, page: Page) -> tuple[Page, Shown, bool]:
        run = place.run.id
        begin, upto = page.first - page.skipped, await self._store.log_length(run)
        start = max(begin, upto - pages.PAGE_LINES)
        shown = pages.newest(await self._store.log_lines(run, start, upto - start), upto)
        first, over = shown.first, pages.is_over(place.run)
        reached = replace(page, first=first, upto=upto, skipped=first - begin, closed=over)
        return reached, shown, False

    async def _send(self, place: Place, page: Page) -> None:
        number = page.upto - page.first
        lines = await self._store.log_lines(place.run.id, page.first, number) if number else []
        shown = Shown(list(folded(lines)), page.first)
        root = await self._root(place, look=False)
        is_cut = await self._is_cut(place, page)
        content = pages.page_content(page, shown, place.run, place.task, is_cut=is_cut)
        named = transaction("log", place.room, place.run.id, page.number)
        message = in_thread(content, root)
        event = await self._link.send(place.room, message, named, urgency=Urgency.LOG)
        await self._written.sent(place.room, place.run.id, replace(page, event=event), root)

    async def _edit(self, place: Place, page: Page, shown: Shown, *state: str) -> None:
        """`state`: what else it says now than before."""
        is_cut = await self._is_cut(place, page)
        content = pages.page_content(page, shown, place.run, place.task, is_cut=is_cut)
        at = (page.number, page.upto, page.closed, *state)
        named = transaction("log", place.room, place.run.id, *at)
        message = as_edit(content, page.event)
        await self._link.send(place.room, message, named, urgency=Urgency.LOG)
        await self._written.plan(place.room, place.run.id, page)

    # the whole log as a file

    async def file(self, place: Place, *, on_demand: bool) -> tuple[bool, Left]:
        """As `step`, once all lines are written; `on_demand`: who wants the file has to ask."""
        page = await self._written.page(place.room, place.run.id)
        if page is None or not await self._wants_file(place, page):
            return False, Left.NOTHING
        lines = await self._store.log_lines(place.run.id, 0, page.upto)
        is_begun = page.file and page.file_lines == len(lines)
        if on_demand and not is_begun:
            filed = replace(page, file="", file_lines=len(lines), is_filed=True, on_demand=True)
        else:
            root = await self._root(place, look=False)
            filed = await self._attaching.step(place.room, root, place.run, page, lines)
        if filed.is_filed and not filed.file:
            wanted, shown, _ = await self._reach(place, filed)
            await self._edit(place, wanted, shown, "no file")
        else:
            await self._written.plan(place.room, place.run.id, filed)
        return True, Left.NOTHING if filed.is_filed else Left.FILE

    async def _wants_file(self, place: Place, page: Page) -> bool:
        return not page.has_file_of(page.upto) and await self._is_cut(place, page)

    async def _is_cut(self, place: Place, page: Page) -> bool:
        """Whether the run is over and the messages do not say all of its log."""
        if not page.closed:
            return False
        lines = await self._store.log_lines(place.run.id, 0, page.upto)
        return not pages.is_shown_whole(lines, page)

    # the thread

    async def _begins(self, place: Place) -> bool:
        """See to it that the thread is there; whether that took a message."""
        before = await self._written.root(place.thread)
        return await self._root(place, look=True) != before

    async def _root(self, place: Place, *, look: bool) -> str:
        """The thread's first message; with `look` it is made anew if it is gone."""
        room, thread = place.room, place.thread
        root = await self._written.root(thread)
        if root is None or (look and not await self._link.holds(room, root)):
            root = await self._card(place, root) or await self._new_root(place, root)
        await self._written.opened(thread, root)
        return root

    async def awaits_card(self, place: Place) -> bool:
        """Whether the card that is to begin the thread is still on its way."""
        if not self._per_task or self._fleet.clock() >= place.run.assigned_at + CARD_MS:
            return False
        if await self._written.root(place.thread):
            return False
        return not await card_of(self._store, place.room, place.task.id)

    async def _card(self, place: Place, gone: str | None) -> str | None:
        """The task's card, where it is to begin the thread; empty or None where it cannot."""
        if not self._per_task:
            return None
        card = await card_of(self._store, place.room, place.task.id)
        return card if card != gone else None

    async def _new_root(self, place: Place, gone: str | None) -> str:
        if self._per_task:
            message, owner = pages.root_of_task(place.task), str(place.task.id)
        else:
            message, owner = pages.root_of_agent(place.run.agent), str(place.run.agent)
        named = transaction("thread", place.room, owner, gone or "")
        return await self._link.send(place.room, message, named, urgency=Urgency.LOG)


def _after(page: Page) -> Page:
    return Page(page.upto, page.upto, page.number + 1)
