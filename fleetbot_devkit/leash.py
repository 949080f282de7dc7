"""Run a program that dies with its parent: `python leash.py PARENT_PID UID PROGRAM [ARGUMENT]...`.

A parent that is killed cannot clean up after itself. On Linux the kernel does it: a process may
ask for a signal at its parent's death, and keeps that wish over `exec`. The wish is made here,
after the fork and in the child's own interpreter, because code between fork and exec
(`preexec_fn`) is not safe in a process with threads. "Parent" means the thread that started the
child. Elsewhere than on Linux the program just runs.

`UID` is the user to become, or `-`: whoever changes the user later loses the wish.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def main(parent: int, user: str, argv: list[str]) -> None:
    if user != "-":
        os.setgroups([])
        os.setgid(int(user))
        os.setuid(int(user))
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died before the kernel knew
            sys.exit(1)
    os.execv(argv[0], argv)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], sys.argv[3:])
