"""An optional sandbox around an agent program, by bubblewrap.

The system is read-only, the homes of this machine are hidden, and only the worktree, its `.git`
directories, the agent's own HOME and the paths named in the configuration can be written. Where a
sandbox is asked for and cannot be had, the run is refused: it never goes on without.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

_HIDDEN = ("/home", "/root", "/tmp", "/var/tmp", "/run/user")
_CHECK_SECONDS = 10


class Sandbox(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of the sandbox: extra `writable` and `readable` paths, and whether it has a network.

    Paths must be absolute and exist. `program` is bubblewrap's name or path.
    """

    program: str = "bwrap"
    writable: tuple[str, ...] = ()
    readable: tuple[str, ...] = ()
    network: bool = True

    def __post_init__(self) -> None:
        for field in ("writable", "readable"):
            for path in getattr(self, field):
                if not Path(path).is_absolute():
                    raise ValueError(f"sandbox.{field}: {path!r} is not an absolute path")


class SandboxUnavailable(RuntimeError):
    """The sandbox that was asked for cannot be had; the text says why and what to do."""


def wrap(sandbox: Sandbox, argv: Sequence[str], cwd: Path, writable: Iterable[Path]) -> list[str]:
    """The command that runs `argv` in `cwd` inside the sandbox. Raises SandboxUnavailable."""
    program = shutil.which(sandbox.program)
    if program is None:
        raise SandboxUnavailable(
            f"sandbox: {sandbox.program} was not found; install bubblewrap or remove the sandbox "
            f"from the agent's settings"
        )
    command = [program, "--die-with-parent", "--unshare-pid", "--unshare-ipc", "--unshare-uts"]
    if not sandbox.network:
        command.append("--unshare-net")
    command += ["--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc"]
    for hidden in _HIDDEN:
        if Path(hidden).is_dir():
            command += ["--tmpfs", hidden]
    program_dir = Path(shutil.which(argv[0]) or argv[0]).resolve().parent
    for path in (program_dir, *map(Path, sandbox.readable)):
        command += ["--ro-bind", str(path), str(path)]
    for path in (cwd, *writable, *map(Path, sandbox.writable)):
        command += ["--bind", str(path), str(path)]
    return [*command, "--chdir", str(cwd), "--", *argv]


async def probe(sandbox: Sandbox) -> None:
    """Prove that a sandbox can be made on this machine. Raises SandboxUnavailable."""
    command = wrap(sandbox, ["/bin/true"], Path("/"), ())
    command = [word for word in command if word != "--chdir"]
    child = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(_CHECK_SECONDS):
        _, stderr = await child.communicate()
    if child.returncode:
        said = stderr.decode("utf-8", "replace").strip()
        raise SandboxUnavailable(
            f"sandbox: {sandbox.program} cannot make a sandbox here ({said}); allow unprivileged "
            f"user namespaces or remove the sandbox from the agent's settings"
        )
