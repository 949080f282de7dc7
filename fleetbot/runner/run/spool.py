"""What the runner owes the orchestrator, on disk until it is acknowledged.

    <root>/spool/<run>/journal    one JSON entry a line, each synced: what the run has come to
    <root>/spool/<run>/log        one JSON log line a line

A runner that was killed reads the journal at its next start and knows, without guessing, what to
report. The directory goes when the run is settled.
"""

from __future__ import annotations

import os
import shutil
from array import array
from collections.abc import Iterator
from pathlib import Path

import msgspec

from fleetbot.domain.model import Usage
from fleetbot.runner.session.contract import Finished
from fleetbot.wire import Assignment, FailRequest, LogLine, ReceiptRequest


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
    """The agent program ended well; its work is to be handed over."""

    finished: Finished


class NotPushed(msgspec.Struct, frozen=True, tag="not_pushed"):
    """The work was not fit to be pushed; the agent is mending it."""


class FailDue(msgspec.Struct, frozen=True, tag="fail_due"):
    request: FailRequest


class Used(msgspec.Struct, frozen=True, tag="used"):
    """What the run had used when the agent program last reported it."""

    usage: Usage


Entry = Opened | TurnEnded | NotPushed | ReceiptDue | ReceiptRefuted | FailDue | Used


class RunRecord:
    """One run's part of the spool."""

    def __init__(self, directory: Path, opened: Opened) -> None:
        self._directory = directory
        self.agent = opened.agent
        self.order = opened.order
        self.finished: Finished | None = None
        self.receipt: ReceiptDue | None = None
        self.failure: FailRequest | None = None
        self.usage = Usage()
        self.log = LogFile(directory / "log")

    def note(self, entry: Entry) -> None:
        """Write an entry; it is on disk when this returns."""
        _append(self._directory / "journal", entry)
        self.fold(entry)

    def fold(self, entry: Entry) -> None:
        if isinstance(entry, TurnEnded):
            self.finished = entry.finished
        elif isinstance(entry, ReceiptDue):
            self.receipt = entry
        elif isinstance(entry, NotPushed | ReceiptRefuted):
            self.finished = self.receipt = None
        elif isinstance(entry, FailDue):
            self.failure = entry.request
        elif isinstance(entry, Used):
            self.usage = entry.usage

    def release(self) -> None:
        """Leave the record for the next start of the runner."""
        self.log.close()

    def close(self) -> None:
        """The run is settled: forget it."""
        self.log.close()
        shutil.rmtree(self._directory, ignore_errors=True)


class Spool:
    """The records of all runs of this runner."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def open(self, agent: str, order: Assignment) -> RunRecord:
        """Begin a run's record. `order.run` must have been checked to be a safe name."""
        directory = self._directory / order.run
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(mode=0o700, parents=True)
        opened = Opened(agent, order)
        _append(directory / "journal", opened)
        return RunRecord(directory, opened)

    def owners(self) -> Iterator[tuple[str, str]]:
        """The runs an earlier runner left, and whose they are."""
        for directory, opened in self._left():
            yield directory.name, opened.agent

    def unsettled(self, agent: str) -> Iterator[RunRecord]:
        """The agent's records that an earlier runner left, oldest first."""
        for directory, opened in self._left():
            if opened.agent == agent:
                yield _read(directory, opened)

    def _left(self) -> Iterator[tuple[Path, Opened]]:
        found = self._directory.iterdir() if self._directory.is_dir() else ()
        for directory in sorted(found, key=lambda path: path.stat().st_mtime):
            first = next(_entries(directory / "journal"), None)
            if isinstance(first, Opened):
                yield directory, first
            else:  # killed before the first entry was whole: the run was never acknowledged
                shutil.rmtree(directory, ignore_errors=True)


class LogFile:
    """A run's log lines by number, from 0."""

    def __init__(self, path: Path) -> None:
        self._file = open(path, "a+b")  # noqa: SIM115 - it lives as long as the record
        self._ends = array("Q")
        self._end = 0
        self._file.seek(0)
        for line in self._file:
            if line.endswith(b"\n"):
                self._end += len(line)
                self._ends.append(self._end)
        self._file.truncate(self._end)

    def __len__(self) -> int:
        return len(self._ends)

    @property
    def size(self) -> int:
        """In bytes."""
        return self._end

    def append(self, line: LogLine) -> None:
        raw = msgspec.json.encode(line) + b"\n"
        self._file.write(raw)
        self._end += len(raw)
        self._ends.append(self._end)

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
        self._file.seek(begin)
        raw = self._file.read(self._ends[last - 1] - begin)
        return tuple(msgspec.json.decode(line, type=LogLine) for line in raw.splitlines())

    def close(self) -> None:
        self._file.close()


def _append(path: Path, entry: Entry) -> None:
    with path.open("ab") as file:
        file.write(msgspec.json.encode(entry) + b"\n")
        file.flush()
        os.fsync(file.fileno())


def _read(directory: Path, opened: Opened) -> RunRecord:
    record = RunRecord(directory, opened)
    for entry in _entries(directory / "journal"):
        record.fold(entry)
    return record


def _entries(path: Path) -> Iterator[Entry]:
    raw = path.read_bytes() if path.is_file() else b""
    for line in raw.splitlines(keepends=True):
        if not line.endswith(b"\n"):  # the runner was killed as it wrote: nothing was promised yet
            return
        yield msgspec.json.decode(line, type=Entry)
