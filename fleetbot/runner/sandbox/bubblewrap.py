"""An optional sandbox around an agent program, by bubblewrap.

The system is read-only, the homes, temporary files and sockets of this machine are hidden, and only
the worktree, its `.git` directories, the agent's own HOME and the paths named in the configuration
can be written. Where a sandbox is asked for and cannot be had, the run is refused: it never goes
on without.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

_HIDDEN = ("/home", "/root", "/tmp", "/var/tmp", "/run")
# Where the resolver's and, on NixOS, the whole system's files may be.
_NEEDED = ("/run/systemd/resolve", "/run/current-system")
_PATHS = ("writable", "readable", "hidden")
_PROBE_SECONDS = 10


class Sandbox(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of the sandbox: extra `writable` and `readable` paths, and whether it has a network.

    Paths are absolute. `hidden` are folders and files that must not be seen, beside those that
    never are; what is named in the other two is seen all the same. `program` is bubblewrap's name
    or path.
    """

    program: str = "bwrap"
    writable: tuple[str, ...] = ()
    readable: tuple[str, ...] = ()
    hidden: tuple[str, ...] = ()
    network: bool = True

    def __post_init__(self) -> None:
        for field in _PATHS:
            for path in getattr(self, field):
                if not Path(path).is_absolute():
                    raise ValueError(f"sandbox.{field}: {path!r} is not an absolute path")


class SandboxUnavailable(RuntimeError):
    """The sandbox that was asked for cannot be had; the text says why and what to do."""


async def wrap(
    sandbox: Sandbox,
    argv: Sequence[str],
    *,
    cwd: Path,
    writable: Sequence[Path],
    path: str | None = None,
) -> list[str]:
    """The command that runs `argv` in `cwd` inside the sandbox; `path` is the child's PATH.

    A sandbox is made once to prove that it can be. Raises SandboxUnavailable.
    """
    await probe(sandbox)
    program = shutil.which(argv[0], path=path) or argv[0]
    readable = [*_program_dirs(program), *map(Path, sandbox.readable)]
    command = [*_base(sandbox)]
    for place in readable:
        command += ["--ro-bind", str(place), str(place)]
    places = (cwd, *writable, *map(Path, sandbox.writable))
    for place in places:
        command += ["--bind", str(place), str(place)]
    # Of the worktrees of a repository others may be at work in those that are not its own.
    for others in (place / "worktrees" for place in writable if (place / "HEAD").is_file()):
        if others.is_dir():
            command += ["--ro-bind", str(others), str(others)]
            own = [str(place) for place in places if place.is_relative_to(others)]
            command += [word for place in own for word in ("--bind", place, place)]
    return [*command, "--chdir", str(cwd), "--", program, *argv[1:]]


async def probe(sandbox: Sandbox) -> None:
    """Prove that a sandbox can be made on this machine. Raises SandboxUnavailable."""
    _check_paths(sandbox)
    child = await asyncio.create_subprocess_exec(
        *_base(sandbox),
        *("--", "/bin/true"),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(_PROBE_SECONDS):
            _, stderr = await child.communicate()
    except TimeoutError:
        child.kill()
        await child.wait()
        raise SandboxUnavailable(f"sandbox: {sandbox.program} hangs") from None
    if child.returncode:
        said = stderr.decode("utf-8", "replace").strip()
        raise SandboxUnavailable(
            f"sandbox: {sandbox.program} cannot make a sandbox here ({said}); allow unprivileged "
            f"user namespaces, or remove the sandbox from the agent's settings"
        )


def _base(sandbox: Sandbox) -> Iterator[str]:
    if (program := shutil.which(sandbox.program)) is None:
        raise SandboxUnavailable(
            f"sandbox: {sandbox.program} was not found; install bubblewrap, or remove the sandbox "
            f"from the agent's settings"
        )
    yield from (program, "--die-with-parent", "--unshare-pid", "--unshare-ipc", "--unshare-uts")
    if os.geteuid() == 0:
        # It would keep root's capabilities, and could undo all the rest with them. Under another
        # number a sandbox of its own (Codex has one) can still be made inside.
        yield from ("--unshare-user", "--uid", "1000", "--gid", "1000", "--cap-drop", "ALL")
    if not sandbox.network:
        yield "--unshare-net"
    yield from ("--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc")
    for hidden in _HIDDEN:
        if Path(hidden).is_dir():
            yield from ("--tmpfs", hidden)
    for needed in _NEEDED:
        yield from ("--ro-bind-try", needed, needed)
    for path in sandbox.hidden:
        yield from ("--tmpfs", path) if Path(path).is_dir() else ("--ro-bind", "/dev/null", path)


def _check_paths(sandbox: Sandbox) -> None:
    for field in _PATHS:
        for path in getattr(sandbox, field):
            if not Path(path).exists():
                raise SandboxUnavailable(f"sandbox.{field}: {path} does not exist; create it")


def _program_dirs(program: str) -> Iterator[Path]:
    """Where the program is and, if that is a link, where it really is, as far as it is hidden."""
    for file in dict.fromkeys((Path(program), Path(program).resolve())):
        if file.is_file() and any(file.is_relative_to(hidden) for hidden in _HIDDEN):
            yield file.parent
