"""The log of a run, as a file."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Awaitable, Callable, Mapping, Sequence

from fleetbot.chat.commands import spec
from fleetbot.chat.commands.desk import Desk
from fleetbot.chat.commands.handlers import Handler
from fleetbot.chat.commands.said import Said
from fleetbot.chat.threads.folding import folded
from fleetbot.chat.threads.pages import file_of
from fleetbot.chat.words.notices import reason_text
from fleetbot.chat.words.post import About, File, Post
from fleetbot.chat.words.rich import Rich, bold, code, rows, say
from fleetbot.chat.words.wording import moment, named
from fleetbot.domain.errors import NotFound
from fleetbot.domain.model import Run, Task
from fleetbot.domain.wording import count, shorten
from fleetbot.services.outbox import RetryLater
from fleetbot.store.records import LogLine, PostKind

UploadLimit = Callable[[], Awaitable[int | None]]  # bytes; None: not known, or none
_AT_ONCE = 5_000  # lines
_LAST, _LOOK = 5, 40
_LINE = 160
_SHORT = "shortened"
_TEXT, _PACKED = "text/plain", "application/gzip"


async def no_limit() -> int | None:
    return None


class Logs:
    """`limit` tells what the homeserver takes."""

    def __init__(self, desk: Desk, limit: UploadLimit = no_limit) -> None:
        self._desk = desk
        self._fleet = desk.fleet
        self._limit = limit

    @property
    def handlers(self) -> Mapping[type, Handler]:
        return {spec.Log: self.log}

    async def log(self, command: spec.Log, said: Said) -> Post:
        task = await self._desk.find(command.issue, said)
        runs = await self._fleet.store.runs_of(task.id)
        place = _place(command.run, runs, task)
        return await self.of_run(task, runs[place], place + 1, len(runs))

    async def of_run(self, task: Task, run: Run, number: int, runs: int) -> Post:
        """The whole log of the run, which is the task's run `number` of `runs`."""
        lines = await self._lines(run)
        about = About(PostKind.NOTICE, task.id)
        headline = say("📜 ", named(task, 60))
        if not lines:
            return Post(rows(headline, _nothing(run)), about=about)
        files = await asyncio.to_thread(_files, _name(task, number), lines, await self._most())
        told = [
            headline,
            say(_whose(run, number, runs, self._fleet.clock()), f" · {count(len(lines), 'line')}"),
            _too_large(files),
            _others(task, number, runs),
        ]
        return Post(rows(*told), about=about, files=files)

    async def _most(self) -> int | None:
        try:
            return await self._limit()
        except RetryLater:
            return None

    async def last_lines(self, run: Run) -> list[str]:
        """A few, as a thread shows them, each cut."""
        store = self._fleet.store
        first = max(0, await store.log_length(run.id) - _LOOK)
        rows = folded(await store.log_lines(run.id, first, _LOOK))
        return [shorten(row.text, _LINE) for row in rows if row.text.strip()][-_LAST:]

    async def _lines(self, run: Run) -> list[LogLine]:
        lines: list[LogLine] = []
        while part := await self._fleet.store.log_lines(run.id, len(lines), _AT_ONCE):
            lines += part
        return lines


def _place(said: str, runs: Sequence[Run], task: Task) -> int:
    """Which of the runs is meant. Raises `NotFound` with what there is."""
    if not runs:
        raise NotFound(f"{task.ref} has had no run yet, so it has no log.", field="issue")
    if not said:
        return len(runs) - 1
    numbers = list(map(str, range(1, len(runs) + 1)))
    if said in numbers:
        return numbers.index(said)
    has = "1 run" if len(runs) == 1 else f"runs 1 to {len(runs)}"
    raise NotFound(f"{task.ref} has {has}, and no run {shorten(said, 20)}.", field="run")


def _name(task: Task, number: int) -> str:
    """`app-12-run-2.txt`."""
    return f"{task.repo.rpartition('/')[2]}-{task.issue}-run-{number}.txt"


def _whose(run: Run, number: int, runs: int, now: int) -> Rich:
    which = f"run {number} of {runs}, " if runs > 1 else ""
    if not run.ended_at:
        return say(which, bold(run.agent), ", which is at it")
    how = reason_text(run.reason) or "verified"
    return say(which, bold(run.agent), ", ended ", moment(run.ended_at, now), f": {how}")


def _nothing(run: Run) -> str:
    if not run.ended_at:
        return f"{run.agent} has said nothing yet."
    return (
        f"There is no log of what {run.agent} did: it said nothing, or so long ago that its log"
        " was let go of (`keep.log_days`)."
    )


def _others(task: Task, number: int, runs: int) -> Rich | None:
    if runs < 2:
        return None
    other = number - 1 if number > 1 else number + 1
    return say("Another run's: ", code(f"!fleet log {task.ref} {other}"))


# what the homeserver takes


def _files(name: str, lines: Sequence[LogLine], limit: int | None) -> tuple[File, ...]:
    """The log as text; where that is too large, without its middle, and all of it packed."""
    whole = file_of(lines)
    if limit is None or len(whole) <= limit:
        return (File(name, whole, _TEXT),)
    files = [File(f"{_SHORT}-{name}", file_of(lines, limit), _TEXT)]
    packed = gzip.compress(whole, mtime=0)
    if len(packed) <= limit:
        files.append(File(f"{name}.gz", packed, _PACKED))
    return tuple(files)


def _too_large(files: Sequence[File]) -> str | None:
    if not files[0].name.startswith(_SHORT):
        return None
    packed = "; all of it is in the other file, packed" if len(files) > 1 else ""
    return f"It is too large for the homeserver: its middle is left out{packed}."
