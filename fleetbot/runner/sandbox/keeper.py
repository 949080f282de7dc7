"""The program that has the runner's children: it starts each one, and ends all of it.

The runner starts it once, as `python -I -S keeper.py` on one end of a socket, and asks it for every
child: git, hooks, agent programs, `--version`. For each child it forks itself; the fork, the
child's keeper, is what makes the promise:

- The keeper is a subreaper (prctl(2)): whatever the child starts stays below the keeper in the tree
  of processes, by whatever session, group, environment or double fork. When the child exits, or is
  to end, the keeper kills everything below it. It reports the exit once nothing is left.
- The keeper holds a pipe whose other end only the runner has. When the runner dies, however, the
  pipe ends, and so does everything of the child.
- Where the runner has cgroups the child is put into one of its own, which may be bounded, and which
  the kernel kills as a whole.

Should a keeper itself be killed, what it kept falls to this program, a subreaper too, which ends
it. Forking this small process costs two milliseconds; starting Python for each child, fifty times
as much. Nothing of fleetbot is imported, for the same reason. A keeper whose child was git, which
left nothing, has the next one of that kind: a run asks git thirty times. What an agent's program
might have touched keeps nothing else. Without prctl (macOS) only the child's process group is
killed.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import json
import os
import select
import signal
import socket
import struct
import sys
import time
from collections.abc import Collection, Iterator, Sequence
from typing import Any

REPORT = struct.Struct("!ci")
"""What a keeper tells the runner: STARTED and the pid, FAILED and the errno, EXITED and the code.

The code is negative for a signal."""
STARTED, FAILED, EXITED = b"s", b"f", b"x"
HEAD = struct.Struct("!I?")
"""A request: its size and whether it is for git, with the descriptors, then JSON: argv, cwd, env,
cgroup, bounds."""
DESCRIPTORS = 5
"""stdin, stdout, stderr of the child; orders from the runner (read); reports to it (write).

An order is one byte, the number of a signal for the child's process group. The end of the pipe
means: end it now."""
HOME = "runner"
"""The cgroup of the runner and the keepers, beside those of the children."""
_SUBREAPER = 36  # PR_SET_CHILD_SUBREAPER
_STUCK_SECONDS = 5.0  # for processes that do not die: of another user, or stuck in the kernel
_PAUSE = 0.05
_MOST_IDLE = 4  # keepers that wait for another child
_DEAF_TO = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""What a terminal or a service manager sends to everybody: this program ends with the runner."""
_RESTORED = (*_DEAF_TO, signal.SIGCHLD, signal.SIGPIPE, signal.SIGXFSZ)


def serve(requests: socket.socket) -> None:
    """Have a keeper for each request, until the runner is gone."""
    _adopt_orphans()
    news = _wake_on_child()
    keepers: set[int] = set()
    doors = Doors()
    while True:
        heard: list[Any] = [requests, news, *doors.all]
        ready, _, _ = select.select(heard, [], [])
        if news in ready:
            os.read(news, 4096)
            if _bury(keepers):
                _end_strangers(keepers)
        doors.listen(ready)
        if requests in ready:
            if (request := Request.of(requests)) is None:
                return
            if not (request.is_git and doors.take(request)):
                keepers.add(_fork(request, [requests, *doors.all], doors))
            request.close()


class Request:
    """A child that is wanted, with its descriptors."""

    def __init__(self, head: bytes, given: list[int], text: bytes) -> None:
        self.head, self.given, self.text = head, given, text
        self.is_git: bool = HEAD.unpack(head)[1]

    @classmethod
    def of(cls, requests: socket.socket) -> Request | None:
        """The next one; None if there are no more."""
        head, given, _, _ = socket.recv_fds(requests, HEAD.size, DESCRIPTORS)
        if len(head) < HEAD.size:
            return None
        for descriptor in given:
            os.set_inheritable(descriptor, False)
        return cls(head, given, _read(requests, HEAD.unpack(head)[0]))

    def close(self) -> None:
        for descriptor in self.given:
            os.close(descriptor)


class Doors:
    """The sockets to keepers that may have another child: by them they say that they are idle."""

    def __init__(self) -> None:
        self.all: list[socket.socket] = []
        self._idle: list[socket.socket] = []

    def listen(self, ready: Collection[Any]) -> None:
        for door in [door for door in self.all if door in ready]:
            if _is_idle(door) and len(self._idle) < _MOST_IDLE:
                self._idle.append(door)
            else:
                self._shut(door)

    def take(self, request: Request) -> bool:
        """Give it to a keeper that is idle, if there is one."""
        while self._idle:
            door = self._idle.pop()
            try:
                socket.send_fds(door, [request.head], request.given)
                door.sendall(request.text)
                return True
            except OSError:  # somebody has killed it
                self._shut(door)
        return False

    def _shut(self, door: socket.socket) -> None:
        self.all.remove(door)
        if door in self._idle:
            self._idle.remove(door)
        door.close()


def _is_idle(door: socket.socket) -> bool:
    """Whether a keeper that can be heard is not dead."""
    try:
        return bool(door.recv(1))
    except OSError:
        return False


def _fork(request: Request, ours: Sequence[socket.socket], doors: Doors) -> int:
    """A new keeper for it; `ours` is none of its business."""
    door, inside = socket.socketpair()
    if (pid := os.fork()) == 0:
        try:
            for its in (*ours, door):
                its.close()
            _keep_all(request, inside)
            os._exit(0)
        finally:
            os._exit(1)
    inside.close()
    if request.is_git:
        doors.all.append(door)
    else:
        door.close()
    return pid


def _keep_all(request: Request | None, door: socket.socket) -> None:
    """The work of a keeper: one child, and while these are git's and leave nothing, the next."""
    news = _wake_on_child()
    _adopt_orphans()
    while request is not None:
        if not Keeper(request, news).keep(door):
            return
        os.chdir("/")  # where the child was may go
        request = Request.of(door)


def _read(requests: socket.socket, size: int) -> bytes:
    data = bytearray()
    while len(data) < size and (chunk := requests.recv(size - len(data))):
        data += chunk
    return bytes(data)


def _bury(keepers: set[int]) -> bool:
    """Reap what has died; True if a keeper did so without finishing its work."""
    unfinished = False
    with contextlib.suppress(ChildProcessError):
        while (found := os.waitpid(-1, os.WNOHANG))[0]:
            unfinished = unfinished or (found[0] in keepers and found[1] != 0)
            keepers.discard(found[0])
    return unfinished


def _end_strangers(keepers: set[int]) -> None:
    """Kill what dead keepers left."""
    until = time.monotonic() + _STUCK_SECONDS
    while (found := descendants(os.getpid(), keepers)) and time.monotonic() < until:
        _kill(found)
        time.sleep(_PAUSE)
        _bury(keepers)


class Keeper:
    """Keeps one child."""

    def __init__(self, request: Request, news: int) -> None:
        self._request = request
        self._wanted: dict[str, Any] = json.loads(request.text)
        *self._streams, self._orders, self._reports = request.given
        cgroup = self._wanted["cgroup"]
        self._cgroup = Cgroup(cgroup, self._wanted["bounds"]) if cgroup else None
        self._news = news
        self._child = 0

    def keep(self, door: socket.socket) -> bool:
        """Start the child, follow it to its end, end the rest, report; False if it cannot have
        another. That it can is said before its end is: the next request may follow at once."""
        try:
            if self._cgroup is not None:
                self._cgroup.make()
            self._start()
        except OSError as problem:
            self._end_rest()
            self._report(FAILED, problem.errno or 0)
            return False
        for stream in self._streams:
            os.close(stream)
        self._report(STARTED, self._child)
        code = self._follow()
        rest = self._end_rest()
        idle = self._request.is_git and not _has_children()
        if idle:
            with contextlib.suppress(OSError):  # this program's parent may be gone
                door.send(b"i")
        self._report(EXITED, rest if code is None else code)
        os.close(self._orders)
        os.close(self._reports)
        return idle

    def _report(self, what: bytes, number: int) -> None:
        with contextlib.suppress(OSError):  # the runner may be gone
            os.write(self._reports, REPORT.pack(what, number))

    def _start(self) -> None:
        """Execute the child in a session of its own, in its cgroup. Raises OSError."""
        argv, env = self._wanted["argv"], self._wanted["env"]
        os.chdir(self._wanted["cwd"])
        actions = [(os.POSIX_SPAWN_DUP2, own, number) for number, own in enumerate(self._streams)]
        path = _find(argv[0], env.get("PATH", os.defpath))
        with self._cgroup.entered() if self._cgroup else contextlib.nullcontext():
            try:
                self._child = os.posix_spawn(
                    path, argv, env, file_actions=actions, setsid=True, setsigdef=_RESTORED
                )
            except ValueError as problem:  # a NUL in an argument or a variable
                raise OSError(errno.EINVAL, str(problem)) from None

    def _follow(self) -> int | None:
        """The child's exit code; None if it is to be ended before it exits."""
        while True:
            ready, _, _ = select.select([self._orders, self._news], [], [])
            if self._news in ready:
                os.read(self._news, 4096)
                if (code := self._reap()) is not None:
                    return code
            if self._orders in ready:
                orders = os.read(self._orders, 64)
                if not orders:
                    return None
                for number in orders:
                    self._signal(number)

    def _signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._child, number)

    def _reap(self) -> int | None:
        """Reap all that has died; the child's exit code if it is among them."""
        code = None
        with contextlib.suppress(ChildProcessError):
            while (found := os.waitpid(-1, os.WNOHANG))[0]:
                if found[0] == self._child:
                    code = os.waitstatus_to_exitcode(found[1])
        return code

    def _end_rest(self) -> int:
        """Kill everything below the keeper; the child's exit code, if it was still there."""
        code = -signal.SIGKILL
        until = time.monotonic() + _STUCK_SECONDS
        while _has_children() and time.monotonic() < until:
            if self._cgroup is not None:
                self._cgroup.kill()
            _kill(descendants(os.getpid()) if _CAN_ADOPT else [-self._child])
            select.select([self._news], [], [], _PAUSE)
            code = found if (found := self._reap()) is not None else code
        if not _CAN_ADOPT:
            self._signal(signal.SIGKILL)
        if self._cgroup is not None:
            self._cgroup.remove(until)
        return code


class Cgroup:
    """The control group (v2) of one child: made with its bounds, entered, killed, removed."""

    def __init__(self, path: str, bounds: dict[str, str]) -> None:
        self._path = path
        self._bounds = bounds

    def make(self) -> None:
        os.mkdir(self._path)
        for name, value in self._bounds.items():
            self._write(name, value)

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """Be in it for a while, so that a child is born there; then be where the runner is."""
        self._write("cgroup.procs", "0")
        try:
            yield
        finally:
            self._write(f"../{HOME}/cgroup.procs", "0")

    def kill(self) -> None:
        try:
            self._write("cgroup.kill", "1")
        except OSError:  # before Linux 5.14
            with contextlib.suppress(OSError), open(f"{self._path}/cgroup.procs") as file:
                _kill([int(pid) for pid in file])

    def remove(self, until: float) -> None:
        """It can go when the last process in it has; ones of another parent may be there too."""
        while True:
            try:
                os.rmdir(self._path)
            except FileNotFoundError:
                return
            except OSError:
                if time.monotonic() > until:
                    return
                self.kill()
                time.sleep(0.01)

    def _write(self, name: str, value: str) -> None:
        with open(f"{self._path}/{name}", "w") as file:
            file.write(value)


def _find(program: str, path: str) -> str:
    """The file to execute, as execvp(3) finds it. Raises FileNotFoundError."""
    if "/" in program:
        return program
    for folder in path.split(os.pathsep):
        file = os.path.join(folder or ".", program)
        if os.path.isfile(file) and os.access(file, os.X_OK):
            return file
    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), program)


def descendants(top: int, apart_from: Collection[int] = ()) -> list[int]:
    """The living processes below `top`, without `apart_from` and what is below those."""
    children: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit() and (parent := _parent(entry)) is not None:
            children.setdefault(parent, []).append(int(entry))
    found, ahead = [], [top]
    while ahead:
        below = [pid for pid in children.get(ahead.pop(), ()) if pid not in apart_from]
        found += below
        ahead += below
    return found


def _parent(pid: str) -> int | None:
    """The parent of a living process."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return None
    return None if fields[0] in b"ZX" else int(fields[1])


def _kill(pids: Sequence[int]) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)


def _has_children() -> bool:
    """Whether anything is below this process, dead or alive: as a subreaper it has all of it."""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def _wake_on_child() -> int:
    """A descriptor that can be read when a child has died."""
    told, tell = os.pipe()
    os.set_blocking(tell, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(tell, warn_on_full_buffer=False)
    return told


def _adopt_orphans() -> None:
    if _CAN_ADOPT:
        _LIBC.prctl(_SUBREAPER, 1, 0, 0, 0)


_CAN_ADOPT = sys.platform == "linux"
_LIBC = ctypes.CDLL(None)  # once for all keepers: half of what a fork costs

if __name__ == "__main__":
    os.setsid()
    for number in _DEAF_TO:
        signal.signal(number, signal.SIG_IGN)
    ours = int(sys.argv[1])
    os.closerange(3, ours)  # what the runner itself was given is for none of its children
    os.closerange(ours + 1, os.sysconf("SC_OPEN_MAX"))
    serve(socket.socket(fileno=ours))
