"""What an agent remembers of a task between attempts."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable
from pathlib import Path

import msgspec

from fleetbot.domain.pulls import Answer
from fleetbot.domain.reasons import REASONS, Owner, ReasonCode
from fleetbot.domain.usage import Usage
from fleetbot.runner.session.contract import Finished
from fleetbot.wire import ReplyClaim

_MOST_FAILURES = 2


class Memory(msgspec.Struct, frozen=True, kw_only=True):
    """The program's session to go on with, what it has used in all, marks of what it was told, and
    how many starts in a row failed that went on with it. `left`: why the session before this one
    is not gone on with. `verified`: what it came to held, so that only rounds go on with it.
    `round`: the one that an attempt did not bring to its end, and its `words` to threads of that.
    """

    session: str | None = None
    usage: Usage = Usage()
    told: tuple[str, ...] = ()
    failures: int = 0
    left: str = ""
    verified: bool = False
    round: int = 0
    words: tuple[ReplyClaim, ...] = ()

    def said(self, number: int, replies: Iterable[ReplyClaim]) -> Memory:
        """After an attempt at that round which came to nothing. What it says is fixed may be gone
        with its commits; its words hold without them."""
        words = tuple(one for one in replies if one.answer is not Answer.FIXED)
        return msgspec.structs.replace(self, round=number, words=words)

    def words_in(self, number: int) -> tuple[ReplyClaim, ...]:
        """What an earlier attempt at that round has said, which need not be said again."""
        return self.words if self.round == number else ()

    def taken_up(self, *, is_round: bool) -> Memory:
        """For the next run: what is asked of its pull request is for the session that made it, but
        who asks for the task again, of a result that held, wants a fresh look."""
        return Memory() if self.verified and not is_round else self

    def begun(self, session: str, told: tuple[str, ...]) -> Memory:
        """The program is in this session now; what was counted belongs to the one before."""
        if session == self.session:
            return msgspec.structs.replace(self, told=told)
        return Memory(session=session, told=told)

    def failed(self, finished: Finished, *, resumed: bool, greeted: bool) -> Memory:
        """After a start that failed. `greeted`: the program had taken up its session."""
        if not finished.resumable:
            return Memory(left="it is too long, or its history is refused")
        # An account, a provider or a login says nothing about a session.
        owner = REASONS[finished.reason or ReasonCode.AGENT_FAILED].owner
        if not resumed or owner is not Owner.TASK:
            return self
        if not greeted:
            return Memory(left="it could not be taken up again")
        failures = self.failures + 1
        if failures >= _MOST_FAILURES:
            return Memory(left=f"{failures} attempts in a row failed with it")
        return msgspec.structs.replace(self, failures=failures)


class Memories:
    """One small file per task of an agent."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def of(self, task: str) -> Memory:
        """What is remembered; nothing if there is no file or it cannot be read."""
        try:
            return msgspec.json.decode(self._path(task).read_bytes(), type=Memory)
        except (OSError, msgspec.DecodeError):
            return Memory()

    def save(self, task: str, memory: Memory) -> None:
        path = self._path(task)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fresh = path.with_suffix(".new")
        fresh.write_bytes(msgspec.json.encode(memory))
        fresh.replace(path)

    def close(self, task: str) -> None:
        """What the task came to was verified."""
        memory = self.of(task)
        if memory != Memory():
            self.save(task, msgspec.structs.replace(memory, verified=True, failures=0))

    def forget_old(self, days: float) -> None:
        """Forget what has not changed for so many days."""
        for path in self._directory.glob("*.json"):
            if path.stat().st_mtime < time.time() - days * 86_400:
                path.unlink(missing_ok=True)

    def _path(self, task: str) -> Path:
        # The id comes from the orchestrator: as a digest it is a file name whatever it holds.
        return self._directory / f"{hashlib.sha256(task.encode()).hexdigest()[:32]}.json"
