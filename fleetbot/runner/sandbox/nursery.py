"""The runner's end of `keeper.py`: asks it for children, and starts it when it is needed."""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import socket
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fleetbot.runner.sandbox import keeper

_NO_STREAMS = [(os.POSIX_SPAWN_OPEN, number, os.devnull, os.O_RDWR, 0) for number in (0, 1)]


class Nursery:
    """One process in which all children of this one are begun. Safe to use from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requests: socket.socket | None = None
        self._pid = 0
        self._owner = 0

    def spawn(
        self, wanted: Mapping[str, Any], descriptors: Sequence[int], *, is_git: bool = False
    ) -> None:
        """Ask for a child, as keeper.HEAD and keeper.DESCRIPTORS describe it.

        Whether it could be started is told by its reports. Raises OSError if nobody can be asked.
        """
        text = json.dumps(wanted).encode()
        head = keeper.HEAD.pack(len(text), is_git)
        with self._lock:
            if self._requests is None or self._owner != os.getpid():
                self._open()
            try:
                self._send(head, text, descriptors)
            except ConnectionError:  # somebody has ended it
                self._open()
                self._send(head, text, descriptors)

    def _send(self, head: bytes, text: bytes, descriptors: Sequence[int]) -> None:
        assert self._requests is not None  # the caller has opened it
        socket.send_fds(self._requests, [head], descriptors)
        self._requests.sendall(text)

    def _open(self) -> None:
        self._bury()
        ours, theirs = socket.socketpair()
        with theirs:
            theirs.set_inheritable(True)
            argv = [sys.executable, "-I", "-S", str(Path(keeper.__file__)), str(theirs.fileno())]
            # It gets no environment: ours may hold tokens, and every keeper would show it.
            self._pid = os.posix_spawn(sys.executable, argv, {}, file_actions=_NO_STREAMS)
        self._requests, self._owner = ours, os.getpid()
        atexit.register(ours.close)

    def _bury(self) -> None:
        if self._requests is not None:
            self._requests.close()
        if self._pid and self._owner == os.getpid():
            with contextlib.suppress(ChildProcessError):
                os.waitpid(self._pid, 0)


NURSERY = Nursery()
"""The one of this process."""
