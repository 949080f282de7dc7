"""Helpers of the adapter tests: launching, collecting events, looking at processes and git."""

from __future__ import annotations

import asyncio
import os
import select
import subprocess
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from fleetbot.runner.adapters import Event, Finished, LaunchSpec, Limits, Session, Usage, Used
from fleetbot.runner.sandbox.environment import build_env

RUN = f"run-{os.getpid()}"  # two test runs on one machine must not sweep each other
KEY = "sk-dummy-of-the-test"
PEOPLE = {
    f"GIT_{role}_{field}": value
    for role in ("AUTHOR", "COMMITTER")
    for field, value in (("NAME", "Agent"), ("EMAIL", "agent@example.org"))
}

E = TypeVar("E", bound=Event)


class Place:
    """A repository and a HOME to run programs in."""

    def __init__(self, root: Path) -> None:
        self.repo, self.home = root / "repo", root / "home"
        self.repo.mkdir()
        self.home.mkdir()
        git(self.repo, "init", "-q", "-b", "main")
        (self.repo / "README.md").write_text("A repository.\n")
        git(self.repo, "add", "-A")
        git(self.repo, "commit", "-q", "-m", "init")

    def spec(
        self,
        prompt: str = "Add hello.txt and commit",
        *,
        run: str = RUN,
        env: Mapping[str, str] | None = None,
        limits: Limits | None = None,
        **settings: Any,
    ) -> LaunchSpec:
        complete = build_env(run=run, home=self.home, extra={**PEOPLE, **(env or {})})
        fields = {"workdir": self.repo, "home": self.home, **settings}
        limits = limits or Limits(wall_seconds=50, grace_seconds=5)
        return LaunchSpec(run=run, prompt=prompt, env=complete, limits=limits, **fields)

    def log(self) -> list[str]:
        """The subjects of the repository's commits, newest first."""
        return git(self.repo, "log", "--format=%s").splitlines()


class Fifo:
    """A named pipe between a test and a shell command: `echo > PATH` there, or `read x < PATH`."""

    def __init__(self, path: Path) -> None:
        os.mkfifo(path)
        self.path = path
        self._fd = os.open(path, os.O_RDWR | os.O_NONBLOCK)

    async def heard(self) -> None:
        """Wait until the command writes."""
        loop, heard = asyncio.get_running_loop(), asyncio.Event()
        loop.add_reader(self._fd, heard.set)
        try:
            await heard.wait()
        finally:
            loop.remove_reader(self._fd)

    def tell(self) -> None:
        """Let the command that reads go on."""
        os.write(self._fd, b"go\n")

    def close(self) -> None:
        os.close(self._fd)


class Exit:
    """The end of a process that is no child of ours."""

    def __init__(self, pid: int) -> None:
        self._fd = os.pidfd_open(pid)

    def has_come(self) -> bool:
        return bool(select.select([self._fd], [], [], 0)[0])

    async def comes(self) -> None:
        loop, come = asyncio.get_running_loop(), asyncio.Event()
        loop.add_reader(self._fd, come.set)
        try:
            await come.wait()
        finally:
            loop.remove_reader(self._fd)

    def close(self) -> None:
        os.close(self._fd)


def git(repo: Path, *arguments: str) -> str:
    """Run git without this machine's configuration, and give what it says."""
    env = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", **PEOPLE}
    # Where the tests are root's, a sandbox has given the repository to another user.
    arguments = ("-c", "safe.directory=*", *arguments)
    done = subprocess.run(
        ["git", *arguments], cwd=repo, env=env, check=True, capture_output=True, text=True
    )
    return done.stdout


async def collect(session: Session) -> list[Event]:
    """All events of a session, to its end."""
    return [event async for event in session.events()]


async def until(events: AsyncIterator[Event], kind: type[E]) -> E:
    """The next event of a kind."""
    async for event in events:
        if isinstance(event, kind):
            return event
    raise AssertionError(f"no {kind.__name__} came")


async def rest(events: AsyncIterator[Event]) -> list[Event]:
    """What is left of the events, to the end."""
    return [event async for event in events]


def end(events: list[Event]) -> Finished:
    """The last event, which is the only Finished."""
    finished = [event for event in events if isinstance(event, Finished)]
    assert finished == events[-1:]
    return finished[0]


def of(events: list[Event], kind: type[E]) -> list[E]:
    """The events of a kind."""
    return [event for event in events if isinstance(event, kind)]


def used(events: list[Event]) -> Usage:
    """The newest account of what the run used."""
    return of(events, Used)[-1].usage
