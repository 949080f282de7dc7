"""Control groups (cgroup v2): a run's programs killed as a whole, and bounded.

The runner may make groups where systemd gives it a part of the hierarchy (`Delegate=yes`), or in a
container whose hierarchy it can write. cgroups(7) forbids processes beside groups that are bounded,
so the runner itself moves to `<its group>/runner`; each program of a run gets a group beside that.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from fleetbot.runner.sandbox import keeper
from fleetbot.runner.sandbox.unavailable import SandboxUnavailable

_HIERARCHY = Path("/sys/fs/cgroup")
_CPU_PERIOD = 100_000  # microseconds
_CONTROLLERS = {"memory_mb": "memory", "processes": "pids", "cpu_percent": "cpu"}
_REMEDY = (
    "run the runner as a service with Delegate=yes, or remove the bound from the table [limits]"
)


class Quota(msgspec.Struct, frozen=True, kw_only=True):
    """The most that one program of a run may use, with all it starts. None: no bound.

    `cpu_percent` is of one core: 200 is two cores.
    """

    memory_mb: Annotated[int, Meta(gt=0)] | None = None
    processes: Annotated[int, Meta(gt=0)] | None = None
    cpu_percent: Annotated[int, Meta(gt=0)] | None = None

    def controllers(self) -> set[str]:
        """The kernel's controllers that keep this quota."""
        return {name for bound, name in _CONTROLLERS.items() if getattr(self, bound) is not None}

    def settings(self) -> dict[str, str]:
        """The same as the kernel's files take them."""
        settings = {}
        if self.memory_mb is not None:
            settings["memory.max"] = str(self.memory_mb * 2**20)
        if self.processes is not None:
            settings["pids.max"] = str(self.processes)
        if self.cpu_percent is not None:
            settings["cpu.max"] = f"{self.cpu_percent * _CPU_PERIOD // 100} {_CPU_PERIOD}"
        return settings


@dataclass(frozen=True)
class Cgroups:
    """The group that is the runner's own, if there is one, and what can be bounded below it."""

    base: Path | None = None
    controllers: frozenset[str] = frozenset()
    _numbers: itertools.count[int] = field(default_factory=itertools.count, compare=False)

    def place_for(self, run: str, quota: Quota | None) -> tuple[str | None, dict[str, str]]:
        """Where a child goes, and the settings of that group; nowhere if it is of no run.

        Raises SandboxUnavailable.
        """
        if quota is not None:
            self.check(quota)
        if self.base is None or not run:
            return None, {}
        name = f"{run}-{os.getpid()}-{next(self._numbers)}"
        return str(self.base / name), quota.settings() if quota else {}

    def check(self, quota: Quota) -> None:
        """Raises SandboxUnavailable if this quota cannot be kept."""
        if missing := quota.controllers() - self.controllers:
            why = (
                "this process has no cgroup of its own"
                if self.base is None
                else f"its cgroup has no controller {', '.join(sorted(missing))}"
            )
            raise SandboxUnavailable(f"limits: {why}; {_REMEDY}")


def find_own(hierarchy: Path = _HIERARCHY, own: str | None = None) -> Path | None:
    """The group in which this process may make others; None if there is none.

    `own` is this process's group, as the last field of its line in /proc/self/cgroup.
    """
    own = _own_group() if own is None else own
    if own is None or not (hierarchy / "cgroup.controllers").is_file():
        return None
    group = hierarchy / own.lstrip("/")
    return group if os.access(group / "cgroup.procs", os.W_OK) and _is_ours(group, own) else None


def take_over(group: Path | None) -> Cgroups:
    """Make room for the groups of runs in our own group, and say what can be bounded there."""
    if group is None:
        return Cgroups()
    try:
        leaf = group / keeper.HOME
        leaf.mkdir(exist_ok=True)
        (leaf / "cgroup.procs").write_text(str(os.getpid()))
    except OSError:
        return Cgroups()
    for name in _CONTROLLERS.values():
        with contextlib.suppress(OSError):  # it is not there, or processes of others are
            (group / "cgroup.subtree_control").write_text(f"+{name}")
    return Cgroups(group, frozenset((group / "cgroup.subtree_control").read_text().split()))


def available(group: Path | None) -> Cgroups:
    """What `take_over` would come to, as far as can be seen without doing it."""
    if group is None:
        return Cgroups()
    return Cgroups(group, frozenset((group / "cgroup.controllers").read_text().split()))


def _own_group() -> str | None:
    try:
        text = Path("/proc/self/cgroup").read_text()
    except OSError:
        return None
    found = re.search(r"^0::(/.*)$", text, re.MULTILINE)
    return found[1] if found else None


def _is_ours(group: Path, own: str) -> bool:
    """Root can write every group, and would disturb systemd in those it was not given."""
    if own == "/":
        return True
    if (user := os.geteuid()) != 0 and group.stat().st_uid == user:
        return True
    for attribute in ("user.delegate", "trusted.delegate"):
        with contextlib.suppress(OSError, AttributeError):  # AttributeError: not Linux
            if os.getxattr(group, attribute) == b"1":
                return True
    return False


_current = Cgroups()


def use(cgroups: Cgroups) -> None:
    """From now on children of runs are put there."""
    global _current  # noqa: PLW0603 - the group of a process is the process's, like its signals
    _current = cgroups


def current() -> Cgroups:
    """Where children of runs are put."""
    return _current
