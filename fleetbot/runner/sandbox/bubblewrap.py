"""An optional sandbox around an agent program, by bubblewrap.

The system is read-only, the homes, temporary files and sockets of this machine are hidden, and only
the worktree, its git directories, the agent's own HOME and the paths named in the configuration can
be written. Where a path may be seen or not, the longer path decides, and of equal ones what hides.
Where a sandbox is asked for and cannot be had, the run is refused: it never goes on without.

Root would read every file of root's inside, so a runner that is root runs the program as another
user, who is given what the program may write. It needs two sandboxes, one in the other: root's
shows that user the paths, which only root may open, and the user's own has the namespaces; made by
root they would let no other sandbox be made inside (Codex has one).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import stat
from collections.abc import Iterable, Iterator, Sequence
from enum import IntEnum
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from fleetbot.runner.sandbox import installed
from fleetbot.runner.sandbox.complete import complete
from fleetbot.runner.sandbox.unavailable import SandboxUnavailable

__all__ = ["Sandbox", "SandboxUnavailable", "probe", "wrap"]

_HIDDEN = ("/home", "/root", "/tmp", "/var/tmp", "/run")
_SYSTEM = ("usr", "bin", "sbin", "lib", "lib64", "etc", "nix", "dev", "proc", "sys")
# Where the resolver's and, on NixOS, the whole system's files may be.
_NEEDED = ("/run/systemd/resolve", "/run/current-system")
_PATHS = ("writable", "readable", "hidden")
_FRESH = ("--dev", "/dev", "--proc", "/proc")
_PROBE_SECONDS = 10
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_DEEPEST = 100
_REMEDY = "or remove the sandbox from the agent's settings"


class Sandbox(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of the sandbox: extra `writable` and `readable` paths, and whether it has a network.

    Paths are absolute. `hidden` are folders and files that must not be seen, beside those that
    never are. `program` is bubblewrap's name or path. `uid` is the user the program runs as where
    the runner is root; one without an entry in /etc/passwd owns nothing else.
    """

    program: str = "bwrap"
    writable: tuple[str, ...] = ()
    readable: tuple[str, ...] = ()
    hidden: tuple[str, ...] = ()
    network: bool = True
    uid: Annotated[int, Meta(ge=1, lt=2**32 - 1)] = 61_000

    def __post_init__(self) -> None:
        for field in _PATHS:
            for path in getattr(self, field):
                if not Path(path).is_absolute():
                    raise ValueError(f"sandbox.{field}: {path!r} is not an absolute path")


class _Mount(IntEnum):
    """What becomes of a path; of two for one path the later wins."""

    HIDDEN_BY_US = 0
    READABLE = 1
    WRITABLE = 2
    HIDDEN = 3
    OWN_READABLE = 4
    OWN_WRITABLE = 5


async def wrap(
    sandbox: Sandbox,
    argv: Sequence[str],
    *,
    cwd: Path,
    writable: Sequence[Path],
    readable: Sequence[Path] = (),
    programs: Sequence[Path] = (),
    path: str | None = None,
) -> list[str]:
    """The command that runs `argv` in `cwd` inside the sandbox; `path` is the child's PATH.

    What is `writable`, and `cwd`, can be written wherever it is, what is `readable` be read, and
    `programs` be started beside that of `argv`. A sandbox is made once to prove that it can be.
    Raises SandboxUnavailable.
    """
    await probe(sandbox)
    own = (cwd, *writable)
    if os.geteuid() == 0:
        await asyncio.to_thread(_give, own, sandbox.uid)
    program = shutil.which(argv[0], path=path) or argv[0]
    view = _View(sandbox)
    view.add(_Mount.OWN_READABLE, readable)
    view.add(_Mount.OWN_WRITABLE, own)
    if os.geteuid() == 0 and (closed := next(filter(None, map(view.closed, own)), None)):
        raise SandboxUnavailable(
            f"sandbox: programs run as the user {sandbox.uid} where the runner is root, and only "
            f"root may pass {closed}; chmod o+x it, or keep runner.root somewhere else"
        )
    for shown in (Path(program), *programs):
        if shown.is_absolute():
            view.show_program(shown, path)
    return [*_command(sandbox, view), "--chdir", str(cwd), "--", program, *argv[1:]]


async def probe(sandbox: Sandbox) -> None:
    """Prove that a sandbox can be made on this machine. Raises SandboxUnavailable."""
    _check_paths(sandbox)
    command = [*_command(sandbox, _View(sandbox)), "--", "/bin/true"]
    try:
        done = await complete(command, cwd=Path("/"), env={}, timeout=_PROBE_SECONDS)
    except TimeoutError:
        raise SandboxUnavailable(f"sandbox: {sandbox.program} hangs") from None
    if done.status:
        raise SandboxUnavailable(
            f"sandbox: {sandbox.program} cannot make a sandbox here ({done.stderr.strip()}); allow "
            f"unprivileged user namespaces, {_REMEDY}"
        )


def _command(sandbox: Sandbox, view: _View) -> Iterator[str]:
    bwrap = _found(sandbox.program, "bubblewrap")
    if os.geteuid() != 0:
        yield from (*_apart(bwrap, sandbox), "--ro-bind", "/", "/", *_FRESH, *view.options())
        return
    view.show_program(Path(bwrap), None)
    user = str(sandbox.uid)
    # Just enough to become the user, who has none of root's capabilities.
    yield from (bwrap, "--die-with-parent", "--cap-drop", "ALL")
    yield from ("--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID")
    yield from ("--ro-bind", "/", "/", "--dev", "/dev", "--bind", "/proc", "/proc")
    yield from (*view.options(), "--")
    yield from (_found("setpriv", "util-linux"), "--reuid", user, "--regid", user)
    yield from ("--clear-groups", "--inh-caps=-all", "--no-new-privs", "--")
    yield from (*_apart(bwrap, sandbox), "--bind", "/", "/", *_FRESH)


def _apart(bwrap: str, sandbox: Sandbox) -> Iterator[str]:
    """Processes, and if so wanted a network, of its own."""
    yield from (bwrap, "--die-with-parent", "--unshare-pid", "--unshare-ipc", "--unshare-uts")
    if not sandbox.network:
        yield "--unshare-net"


def _found(program: str, package: str) -> str:
    if (found := shutil.which(program)) is None:
        raise SandboxUnavailable(f"sandbox: {program} was not found; install {package}, {_REMEDY}")
    return found


class _View:
    """What of this machine is seen inside."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._mounts: dict[Path, _Mount] = {}
        self._links: list[Path] = []
        homes = (*map(Path, _HIDDEN), *_own_home())
        self.add(_Mount.HIDDEN_BY_US, (place for place in homes if place.is_dir()))
        self.add(_Mount.READABLE, (place for place in map(Path, _NEEDED) if place.exists()))
        self.add(_Mount.READABLE, map(Path, sandbox.readable))
        self.add(_Mount.WRITABLE, map(Path, sandbox.writable))
        self.add(_Mount.HIDDEN, (Path(place).resolve() for place in sandbox.hidden))

    def add(self, kind: _Mount, places: Iterable[Path]) -> None:
        for place in places:
            self._mounts[place] = max(kind, self._mounts.get(place, kind))

    def closed(self, place: Path) -> Path | None:
        """A folder on the way to it that is shown as it is, and that only its owner may pass."""
        for step in place.parents:
            if not self._is_hidden(step) and not step.stat().st_mode & stat.S_IXOTH:
                return step
        return None

    def show_program(self, program: Path, path: str | None) -> None:
        """Show what the program needs, as far as it is hidden."""
        for part in installed.parts(program, path):
            if not self._is_hidden(part):
                continue
            if part.is_symlink():
                self._links.append(part)
            else:
                self.add(_Mount.READABLE, [part])

    def _is_hidden(self, place: Path) -> bool:
        above = (self._mounts[step] for step in (place, *place.parents) if step in self._mounts)
        return next(above, None) in (_Mount.HIDDEN_BY_US, _Mount.HIDDEN)

    def _way_to(self, place: Path) -> Iterator[str]:
        """Folders of everybody's: bubblewrap makes them as closed as what they lead to."""
        for step in reversed(place.parents):
            if step not in self._mounts and self._is_hidden(step):
                yield from ("--dir", str(step))

    def options(self) -> Iterator[str]:
        """The options of bubblewrap, folders before what lies in them."""
        for place, kind in sorted(self._mounts.items(), key=lambda found: len(found[0].parts)):
            if kind in (_Mount.HIDDEN_BY_US, _Mount.HIDDEN):
                if not self._is_hidden(place.parent):  # where it is, there is nothing yet
                    yield from _hide(place)
                continue
            yield from self._way_to(place)
            writable = kind in (_Mount.WRITABLE, _Mount.OWN_WRITABLE)
            yield from ("--bind" if writable else "--ro-bind", str(place), str(place))
        for link in dict.fromkeys(self._links):
            yield from self._way_to(link)
            yield from ("--symlink", os.readlink(link), str(link))


def _own_home() -> Iterator[Path]:
    """The home of the runner's account, if that is not one of the system's folders."""
    home = Path.home()
    if home.is_absolute() and home.parts[1:2] and home.parts[1] not in _SYSTEM:
        yield home


def _hide(place: Path) -> tuple[str, ...]:
    if not place.is_dir():
        return ("--ro-bind", "/dev/null", str(place))
    for_all = ("--perms", "1777") if os.geteuid() == 0 else ()  # a user's own can be written anyway
    return (*for_all, "--tmpfs", str(place))


def _check_paths(sandbox: Sandbox) -> None:
    for field in _PATHS:
        for path in getattr(sandbox, field):
            if not Path(path).exists():
                raise SandboxUnavailable(f"sandbox.{field}: {path} does not exist; create it")
    for path in sandbox.writable if os.geteuid() == 0 else ():
        found = Path(path).stat()
        if found.st_uid != sandbox.uid and not found.st_mode & stat.S_IWOTH:
            raise SandboxUnavailable(
                f"sandbox.writable: the user {sandbox.uid}, as whom programs run where the runner "
                f"is root, cannot write {path}; chown it to that user, or set uid to its owner"
            )


def _give(places: Iterable[Path], user: int) -> None:
    """Make a user the owner of everything in these folders, following no link out of them.

    Somebody else's program may be at work in one of them (a HOME is shared by the runs of an
    agent): each folder is opened before its entries are named, so that nobody can swap it.
    """
    for place in places:
        os.chown(place, user, user, follow_symlinks=False)
        with contextlib.suppress(OSError):
            _give_below(os.open(place, _FOLDER), user, _DEEPEST)


def _give_below(folder: int, user: int, levels: int) -> None:
    """Deeper than git has files there is only what that user has made."""
    try:
        for name in os.listdir(folder):
            with contextlib.suppress(FileNotFoundError):
                _give_entry(name, folder, user)
            with contextlib.suppress(OSError):  # no folder
                if levels:
                    _give_below(os.open(name, _FOLDER, dir_fd=folder), user, levels - 1)
    finally:
        os.close(folder)


def _give_entry(name: str, folder: int, user: int) -> None:
    found = os.stat(name, dir_fd=folder, follow_symlinks=False)
    elsewhere = stat.S_ISREG(found.st_mode) and found.st_nlink > 1  # in a package cache, say
    if found.st_uid != user and not elsewhere:
        os.chown(name, user, user, dir_fd=folder, follow_symlinks=False)
