"""`fleetbot demo` as a child process: what it says, what is typed into it, and its end."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from asyncio.subprocess import Process
from pathlib import Path

PROJECT = Path(__file__).parents[2]


async def start(home: Path, *options: str, path: str = os.environ["PATH"], **env: str) -> Process:
    """The demo as its own process, with its servers' directories below `home`.

    It has nothing of our environment, but this PATH and these variables.
    """
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "fleetbot", "demo", *options),
        cwd=PROJECT,
        env={"PATH": path, "HOME": str(home), "TMPDIR": str(home), **env},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )


async def read_until(demo: Process, words: str) -> str:
    """What the demo says up to the line with these words."""
    assert demo.stdout is not None
    said = ""
    while words not in said:
        line = await demo.stdout.readline()
        assert line, said
        said += line.decode()
    return said


def left_behind(home: Path) -> list[str]:
    """Processes that work in the demo's directories."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if str(home) in command and process.name != str(os.getpid()):
            found.append(command)
    return found


async def type_in(demo: Process, line: str) -> None:
    assert demo.stdin is not None
    demo.stdin.write(f"{line}\n".encode())
    await demo.stdin.drain()


async def ended(demo: Process, home: Path, number: signal.Signals) -> None:
    """The demo ends in order, and leaves nothing behind."""
    demo.send_signal(number)
    await demo.communicate()
    assert demo.returncode == 0
    nothing_is_left(home)


def nothing_is_left(home: Path) -> None:
    assert left_behind(home) == []
    assert list(home.glob("fleetbot-demo-*")) == []
