"""What the runner owes the orchestrator, on disk until it is acknowledged.

    <root>/spool/<run>/journal    one JSON entry a line: what the run has come to
    <root>/spool/<run>/log        one JSON log line a line
    <root>/spool/<run>.bad/       a record that cannot be read, kept for a person

A runner that was killed reads the journal at its next start and knows, without guessing, what to
report. The directory goes when the run is settled and its log has arrived.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import shutil
import time
from array import array
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from fleetbot.client.encoding import encode
from fleetbot.domain.usage import Usage
from fleetbot.runner.session.contract import Finished
from fleetbot.wire import Assignment, FailRequest, LineKind, LogLine, ReceiptRequest, ReplyClaim

_BAD = ".bad"
_DAMAGED_LINE = "a line of the log was damaged on the runner's disk"


class Opened(msgspec.Struct, frozen=True, tag="opened"):
    agent: str
    order: Assignment


class ReceiptDue(msgspec.Struct, frozen=True, tag="receipt_due"):
    """A receipt to be filed under this key; filing it twice is filing it once."""

    key: str
    request: ReceiptRequest


class ReceiptRefuted(msgspec.Struct, frozen=True, tag="receipt_refuted"):
    """The receipt was settled; the agent is mending what was wrong with it."""


class TurnEnded(msgspec.Struct, frozen=True, tag="turn_ended"):
    """The agent program ended well; its work is to be handed over, with what it said to threads."""

    finished: Finished
    replies: tuple[ReplyClaim, ...] = ()


class NotPushed(msgspec.Struct, frozen=True, tag="not_pushed"):
    """The work was not fit to be pushed; the agent is mending it."""


class FailDue(msgspec.Struct, frozen=True, tag="fail_due"):
    request: FailRequest


class Over(msgspec.Struct, frozen=True, tag="over"):
    """Nothing more is to be said of the run; the rest of its log is on its way."""


class Used(msgspec.Struct, frozen=True, tag="used"):
    """What the run had used when the agent program last reported it."""

    usage: Usage


Entry = Opened | TurnEnded | NotPushed | ReceiptDue | ReceiptRefuted | FailDue | Over | Used


class Damaged(Exception):
    """A record that says nothing that can be relied on."""


class RunRecord:
    """One run's part of the spool. Methods raise OSError where the disk refuses."""

    def __init__(self, directory: Path, opened: Opened) -> None:
        self._directory = directory
        self._journal = AppendFile(directory / "journal")
        self.agent = opened.agent
        self.order = opened.order
        self.finished: Finished | None = None
        self.receipt: ReceiptDue | None = None
        self.failure: FailRequest | None = None
        self.is_over = False
        self.replies: tuple[ReplyClaim, ...] = ()
        self.usage = Usage()
        self.log = LogFile(directory / "log")

    def note(self, entry: Entry) -> None:
        """Write an entry; the death of the runner does not undo it, that of the machine may."""
        self._journal.append(encode(entry) + b"\n")
        self.fold(entry)

    async def promise(self, entry: Entry) -> None:
        """Write an entry; it is on disk when this returns."""
        self.note(entry)
        await self._journal.sync()

    def fold(self, entry: Entry) -> None:
        if isinstance(entry, TurnEnded):
            self.finished = entry.finished
            self.replies = entry.replies
        elif isinstance(entry, ReceiptDue):
            self.receipt = entry
        elif isinstance(entry, NotPushed | ReceiptRefuted):
            self.finished = self.receipt = None
        elif isinstance(entry, FailDue):
            self.failure = entry.request
        elif isinstance(entry, Over):
            self.is_over = True
        elif isinstance(entry, Used):
            self.usage = entry.usage

    def release(self) -> None:
        """Leave the record for the next start of the runner."""
        self.log.close()
        self._journal.close()

    def close(self) -> None:
        """The run is settled: forget it."""
        self.release()
        shutil.rmtree(self._directory, ignore_errors=True)


class Spool:
    """The records of all runs of this runner. `notice` hears of those that cannot be read."""

    def __init__(self, directory: Path, notice: Callable[[str], None]) -> None:
        self._directory = directory
        self._notice = notice

    async def open(self, agent: str, order: Assignment) -> RunRecord:
        """Begin a run's record, on disk when this returns. Raises OSError.

        `order.run` must have been checked to be a safe name.
        """
        return await asyncio.to_thread(self._open, agent, order)

    def _open(self, agent: str, order: Assignment) -> RunRecord:
        directory = self._directory / order.run
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(mode=0o700, parents=True)
        opened = Opened(agent, order)
        record = RunRecord(directory, opened)
        try:
            record.note(opened)
            for path in (directory / "journal", directory, self._directory):
                _sync(path)
        except OSError:
            record.close()
            raise
        return record

    def owners(self) -> list[tuple[str, str]]:
        """The runs an earlier runner left, and whose they are."""
        return [(directory.name, opened.agent) for directory, (opened, *_) in self._left()]

    def unsettled(self, agent: str) -> list[RunRecord]:
        """The agent's records that an earlier runner left, oldest first."""
        found = []
        for directory, (opened, *rest) in self._left():
            if opened.agent == agent:
                try:
                    found.append(_record(directory, opened, rest))
                except OSError as problem:
                    self._set_aside(directory, problem)
        return found

    def forget_bad(self, days: float) -> None:
        """Remove what was set aside so many days ago: by then nobody will look at it."""
        for directory in self._directory.glob(f"*{_BAD}"):
            if directory.stat().st_mtime < time.time() - days * 86_400:
                shutil.rmtree(directory, ignore_errors=True)

    def _left(self) -> Iterator[tuple[Path, tuple[Opened, *tuple[Entry, ...]]]]:
        found = self._directory.iterdir() if self._directory.is_dir() else ()
        runs = [path for path in found if path.is_dir() and not path.name.endswith(_BAD)]
        for directory in sorted(runs, key=lambda path: path.stat().st_mtime):
            try:
                first, *rest = _entries(directory / "journal")
                if not isinstance(first, Opened):
                    raise Damaged("it does not begin with what was ordered")
                yield directory, (first, *rest)
            except _NothingWritten:
                # Killed before the first entry was whole: the run was never acknowledged.
                shutil.rmtree(directory, ignore_errors=True)
            except (OSError, Damaged) as problem:
                self._set_aside(directory, problem)

    def _set_aside(self, directory: Path, problem: Exception) -> None:
        bad = directory.with_name(f"{directory.name}{_BAD}")
        shutil.rmtree(bad, ignore_errors=True)
        with contextlib.suppress(OSError):
            directory.rename(bad)
        self._notice(
            f"the record of run {directory.name} cannot be read: {problem}; it is in {bad}"
        )


class AppendFile:
    """A file that grows by whole pieces: one that did not fit is taken back."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        self.size = os.fstat(self._file).st_size

    def append(self, raw: bytes) -> None:
        """Hand it to the operating system. Raises OSError."""
        try:
            if os.write(self._file, raw) < len(raw):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError:
            os.ftruncate(self._file, self.size)
            raise
        self.size += len(raw)

    def read(self, begin: int, end: int) -> bytes:
        return os.pread(self._file, end - begin, begin)

    def truncate(self, size: int) -> None:
        os.ftruncate(self._file, size)
        self.size = size

    async def sync(self) -> None:
        """Have it on disk, without holding up the event loop. Raises OSError."""
        await asyncio.to_thread(_sync_and_close, os.dup(self._file))

    def close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


class LogFile:
    """A run's log lines by number, from 0."""

    def __init__(self, path: Path) -> None:
        self._file = AppendFile(path)
        self._ends = array("Q")
        end = 0
        for line in self._file.read(0, self._file.size).split(b"\n")[:-1]:
            end += len(line) + 1
            self._ends.append(end)
        self._file.truncate(end)

    def __len__(self) -> int:
        return len(self._ends)

    @property
    def size(self) -> int:
        """In bytes."""
        return self._file.size

    def append(self, line: LogLine) -> None:
        """The death of the runner does not undo it. Raises OSError."""
        self._file.append(encode(line) + b"\n")
        self._ends.append(self._file.size)

    async def sync(self) -> None:
        """Have on disk what was appended. Raises OSError."""
        await self._file.sync()

    def read(self, first: int, most_lines: int, most_bytes: int) -> tuple[LogLine, ...]:
        """Lines from number `first` on: at least one if there is one, within both limits."""
        begin = self._ends[first - 1] if first else 0
        last = first
        while (
            last < len(self._ends)
            and last - first < most_lines
            and (last == first or self._ends[last] - begin <= most_bytes)
        ):
            last += 1
        if last == first:
            return ()
        raw = self._file.read(begin, self._ends[last - 1])
        return tuple(_log_line(line) for line in raw.split(b"\n")[:-1])

    def close(self) -> None:
        self._file.close()


class _NothingWritten(Exception):
    """Not even the first entry is whole."""


def _record(directory: Path, opened: Opened, rest: list[Entry]) -> RunRecord:
    record = RunRecord(directory, opened)
    for entry in rest:
        record.fold(entry)
    return record


def _entries(path: Path) -> list[Entry]:
    """Raises OSError, Damaged, _NothingWritten."""
    *whole, _ = path.read_bytes().split(b"\n") if path.is_file() else (b"",)
    if not whole:  # of what was cut off at the end nothing was promised yet
        raise _NothingWritten
    try:
        return [msgspec.json.decode(line, type=Entry) for line in whole]
    except (msgspec.DecodeError, UnicodeDecodeError) as problem:
        raise Damaged(str(problem)) from None


def _log_line(raw: bytes) -> LogLine:
    try:
        return msgspec.json.decode(raw, type=LogLine)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return LogLine(at=time.time_ns() // 1_000_000, text=_DAMAGED_LINE, kind=LineKind.SYSTEM)


def _sync(path: Path) -> None:
    _sync_and_close(os.open(path, os.O_RDONLY))


def _sync_and_close(file: int) -> None:
    try:
        os.fsync(file)
    finally:
        os.close(file)
