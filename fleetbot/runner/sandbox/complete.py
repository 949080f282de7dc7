"""A command run to its end: git, hooks, `--version`."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fleetbot.runner.sandbox.cgroup import Quota
from fleetbot.runner.sandbox.process import Process

Watch = Callable[[bytes], None]
_OUTPUT_LIMIT = 32 * 2**20
_GRACE = 2.0  # git removes its lock files on SIGTERM
_LAST_WORDS = 2.0  # of pipes that something still holds: only where there are no keepers


@dataclass(frozen=True)
class Completed:
    """A program that has ended: exit status and what it wrote. `cut`: not all of that is here."""

    status: int
    stdout: str
    stderr: str
    cut: bool = False


async def complete(
    argv: Sequence[str],
    *,
    cwd: Path,
    env: Mapping[str, str],
    timeout: float,
    given: bytes = b"",
    watch: Watch | None = None,
    patient: bool = False,
    quota: Quota | None = None,
    is_git: bool = False,
) -> Completed:
    """Run a program to its end. Cancelled or late, it and all it started are ended.

    It reads what is `given`. What it writes to stdout is kept, or shown to `watch` bit by bit.
    Of more than 32 MB of output the rest is dropped: the program may be of an agent's making.
    `patient`: the `timeout` counts from the last time that it wrote to stderr. `is_git` is as in
    `Process.start`.
    Its exit is its end, and that of whatever it started: a service it left does not keep it open.
    Raises OSError if it cannot be started, SandboxUnavailable if the `quota` cannot be kept,
    TimeoutError after `timeout` seconds.
    """
    process = await Process.start(
        argv, cwd=cwd, env=env, stdin=bool(given), quota=quota, is_git=is_git
    )
    stdout, stderr = bytearray(), bytearray()
    clock = asyncio.timeout(timeout)

    def spoke() -> None:
        if patient:
            with contextlib.suppress(RuntimeError):  # the time is up already
                clock.reschedule(asyncio.get_running_loop().time() + timeout)

    streams = asyncio.gather(
        _read(process.stdout, stdout, watch),
        _read(process.stderr, stderr, heard=spoke),
        process.feed(given),
    )
    try:
        async with clock:
            status = await process.wait()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(streams, _LAST_WORDS)
    except BaseException:
        await process.stop(signal.SIGTERM, _GRACE)
        raise
    finally:
        streams.cancel()
        await asyncio.gather(streams, return_exceptions=True)
        process.close()
    said = (stdout.decode("utf-8", "replace"), stderr.decode("utf-8", "replace"))
    return Completed(status, *said, cut=max(len(stdout), len(stderr)) >= _OUTPUT_LIMIT)


async def _read(
    stream: asyncio.StreamReader,
    kept: bytearray,
    watch: Watch | None = None,
    heard: Callable[[], None] | None = None,
) -> None:
    while chunk := await stream.read(2**16):
        if heard is not None:
            heard()
        if watch is None:
            kept += chunk[: _OUTPUT_LIMIT - len(kept)]
        else:
            watch(chunk)
