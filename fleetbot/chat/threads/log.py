"""One thread per agent and room, with the log of its runs.

A run's log is gathered into few messages: the newest one is edited until it is full. Of a log that
fills too many of them the rest comes as a file when the run is over. What has been written is kept
on disk, so that a restart neither repeats nor loses a line: a message is planned before it is sent,
and sent again under the same transaction id if its event id was not kept.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

import msgspec
from msgspec.structs import replace

from fleetbot.chat.speaking.content import as_edit, in_thread
from fleetbot.chat.speaking.link import Link, transaction
from fleetbot.chat.threads import pages
from fleetbot.chat.threads.followed import Followed
from fleetbot.chat.threads.pages import Page
from fleetbot.chat.words.post import File
from fleetbot.domain import events as ev
from fleetbot.domain.events import Recorded
from fleetbot.domain.model import AgentName, Run, RunId, RunState, Task, TaskId
from fleetbot.services.fleet import Fleet
from fleetbot.services.outbox import Refused, RetryLater
from fleetbot.store.records import Anchor, Change, LogLine

log = logging.getLogger("fleetbot.chat")

PACE_MS = 3_000
_SLOWEST_MS = 60_000
LAST_LINES_MS = 2_000  # a runner hands in the end of the log after the receipt
_page = msgspec.json.Decoder(Page)


class ThreadLog:
    """Writes the logs of runs to `rooms(repo)`; `wake` is called when there is something to do.

    A thread changes at most once per `pace_ms`, less often while the homeserver limits us; the end
    of a run does not wait for that, but a moment for the run's last lines. A room that does not let
    us speak waits by itself.
    """

    def __init__(
        self,
        fleet: Fleet,
        link: Link,
        rooms: Callable[[str], Awaitable[Sequence[str]]],
        wake: Callable[[], None],
        *,
        pace_ms: int = PACE_MS,
    ) -> None:
        self._fleet = fleet
        self._link = link
        self._rooms = rooms
        self._wake = wake
        self._fastest = self._pace = pace_ms
        self._ending = False
        self._followed = Followed(fleet)
        self._behind: dict[RunId, None] = {}
        self._pages: dict[tuple[str, RunId], Page] = {}
        self._roots: dict[tuple[str, AgentName], str] = {}
        self._changeable_at: dict[tuple[str, AgentName], int] = {}
        self._quiet_until = 0
        self._closed_until: dict[str, int] = {}

    async def expect(self, run: RunId) -> None:
        """The run's log has grown. Returns when it is certain that it will be written."""
        self._behind |= dict.fromkeys(await self._followed.restore())
        await self._fleet.recall_run(run)
        if its := self._fleet.state.runs.get(run):
            await self._followed.add(its)
        self._note(run)

    def resume(self) -> None:
        """A room can be used again, or all of them can: try them."""
        self._closed_until.clear()
        self._quiet_until = 0
        self._wake()

    def hear(self, lines: Sequence[Recorded]) -> None:
        """Listener of the fleet: runs that begin and end."""
        self._followed.hear(lines)
        for line in lines:
            match line.event:
                case (
                    ev.TaskStarted(run=run)
                    | ev.TaskCompleted(run=run)
                    | ev.TaskFailed(run=run)
                    | ev.TaskAgentLost(run=run)
                ):
                    self._note(run)
                case ev.TaskCancelled():
                    task = self._fleet.state.tasks.get(TaskId(line.stream.partition(":")[2]))
                    if task and task.run:
                        self._note(task.run)

    def _note(self, run: RunId) -> None:
        self._behind[run] = None
        self._wake()

    async def tick(self) -> float | None:
        """Write what is new. Answers in how many seconds to come again, None if nothing waits."""
        self._behind |= dict.fromkeys(await self._followed.restore())
        await self._followed.keep_up()
        self._ending = False
        for run in list(self._behind):
            if self._fleet.clock() < self._quiet_until:
                break
            await self._catch_up(run)
        if not self._behind:
            return None
        pause = min(self._pace, LAST_LINES_MS) if self._ending else self._pace
        return max(pause, self._quiet_until - self._fleet.clock()) / 1000

    async def _catch_up(self, run_id: RunId) -> None:
        del self._behind[run_id]
        done = False
        try:
            await self._fleet.recall_run(run_id)
            run = self._fleet.state.runs.get(run_id)
            done = run is None or run not in self._followed or await self._write(run)
        finally:
            if not done:
                self._behind[run_id] = None

    async def _write(self, run: Run) -> bool:
        """Whether every room has all there is. A run that has ended just now is written as one that
        goes on: its last lines are on their way, and they come before its end."""
        ending = pages.is_over(run) and self._fleet.clock() < run.ended_at + LAST_LINES_MS
        if ending:
            self._ending, run = True, replace(run, state=RunState.RUNNING)
        task = self._fleet.state.tasks[run.task]
        done = True
        for room in await self._rooms(task.repo):
            done = await self._write_in(room, run, task) and done
        if done and pages.is_over(run) and run.id not in self._behind:
            await self._followed.remove(run)
            self._forget_pages(run)
        return done and not ending

    async def _write_in(self, room: str, run: Run, task: Task) -> bool:
        thread = (room, run.agent)
        over = pages.is_over(run)
        while True:
            now = self._fleet.clock()
            quiet_until = max(self._quiet_until, self._closed_until.get(room, 0))
            if now < quiet_until or (not over and now < self._changeable_at.get(thread, 0)):
                return False
            try:
                changed, more = await self._step(room, run, task)
            except RetryLater as limit:
                self._slow_down(room, limit)
                return False
            except Refused as error:
                log.warning("the log of %s cannot be written in %s: %s", run.id, room, error)
                self._changeable_at[thread] = self._fleet.clock() + _SLOWEST_MS
                return True
            if changed:
                self._pace = max(self._fastest, self._pace * 9 // 10)
                self._changeable_at[thread] = self._fleet.clock() + self._pace
            if not more:
                return True

    def _slow_down(self, room: str, limit: RetryLater) -> None:
        if not limit.host:
            self._closed_until[room] = self._fleet.clock() + _SLOWEST_MS
            return
        self._pace = min(_SLOWEST_MS, self._pace * 2)
        pause = self._pace if limit.seconds is None else round(limit.seconds * 1000)
        self._quiet_until = self._fleet.clock() + pause

    # one message

    async def _step(self, room: str, run: Run, task: Task) -> tuple[bool, bool]:
        """Send or edit one message: whether one had to be, and whether there may be more."""
        page = await self._newest_page(room, run.id) or await self._plan(room, run, 0, 0)
        if not page.event:
            await self._send(room, run, task, page)
            return True, True
        wanted, full = await self._reach(run, page.first, page.number)
        changed = (wanted.upto, wanted.closed) != (page.upto, page.closed)
        if changed:
            await self._edit(room, run, task, replace(wanted, event=page.event))
        elif full:
            await self._plan(room, run, wanted.upto, page.number + 1)
        return changed, full

    async def _reach(self, run: Run, first: int, number: int) -> tuple[Page, bool]:
        """The page from line `first` on as it should be now, and whether it is full."""
        over = pages.is_over(run)
        if number >= pages.MOST_PAGES:
            upto = await self._fleet.store.log_length(run.id) if over else first
            return Page(first, upto, number, closed=over), False
        lines = await self._fleet.store.log_lines(run.id, first, pages.PAGE_LINES + 1)
        fits = pages.fit(lines)
        full = fits < len(lines)
        return Page(first, first + fits, number, closed=over and not full), full

    async def _plan(self, room: str, run: Run, first: int, number: int) -> Page:
        page, _ = await self._reach(run, first, number)
        await self._keep(room, run.id, page)
        return page

    async def _send(self, room: str, run: Run, task: Task, page: Page) -> None:
        root = await self._root(room, run.agent, look=page.first == 0)
        message = in_thread(await self._content(room, run, task, page), root)
        sent = await self._link.send(room, message, transaction("log", room, run.id, page.first))
        await self._keep(room, run.id, replace(page, event=sent))

    async def _edit(self, room: str, run: Run, task: Task, page: Page) -> None:
        message = as_edit(await self._content(room, run, task, page), page.event)
        edit = transaction("log", room, run.id, page.first, page.upto, page.closed)
        await self._link.send(room, message, edit)
        await self._keep(room, run.id, page)

    async def _content(self, room: str, run: Run, task: Task, page: Page) -> dict[str, object]:
        number = page.upto - page.first
        lines = await self._fleet.store.log_lines(run.id, page.first, number) if number else []
        if page.is_rest:
            attached = bool(lines) and await self._attach(room, run, page, lines)
            return pages.rest_content(page, run, task, attached=attached)
        return pages.page_content(page, lines, run, task)

    async def _attach(self, room: str, run: Run, page: Page, lines: Sequence[LogLine]) -> bool:
        """Put the lines into the thread as a file; False where the room cannot have it."""
        text = await asyncio.to_thread(pages.file_of, lines)
        try:
            message = await self._link.upload(room, File(f"{run.id}.txt", text))
        except Refused as error:  # too large for the homeserver, for example
            log.warning("the rest of the log of %s cannot be uploaded: %s", run.id, error)
            return False
        root = await self._root(room, run.agent, look=False)
        file = transaction("log-file", room, run.id, page.first, page.upto)
        await self._link.send(room, in_thread(message, root), file)
        return True

    # what is remembered

    async def _root(self, room: str, agent: AgentName, *, look: bool) -> str:
        """The thread's first message; with `look` it is made anew if it is gone."""
        key = f"thread:{room}:{agent}"
        root = self._roots.get((room, agent)) or await self._fleet.store.anchor(key)
        if root is None or (look and not await self._link.holds(room, root)):
            made = transaction("thread", room, agent, root or "")
            root = await self._link.send(room, pages.root_content(agent), made)
            await self._remember(key, root)
        self._roots[room, agent] = root
        return root

    async def _newest_page(self, room: str, run: RunId) -> Page | None:
        page = self._pages.get((room, run))
        if page is None and (kept := await self._fleet.store.anchor(_page_key(room, run))):
            page = self._pages[room, run] = _page.decode(kept)
        return page

    async def _keep(self, room: str, run: RunId, page: Page) -> None:
        await self._remember(_page_key(room, run), msgspec.json.encode(page).decode())
        self._pages[room, run] = page

    def _forget_pages(self, run: Run) -> None:
        for key in [key for key in self._pages if key[1] == run.id]:
            del self._pages[key]

    async def _remember(self, key: str, value: str) -> None:
        await self._fleet.store.append(Change(anchors=(Anchor(key=key, value=value),)))


def _page_key(room: str, run: RunId) -> str:
    return f"log:{room}:{run}"
