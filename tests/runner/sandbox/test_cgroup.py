"""Control groups: in the machine's own hierarchy where it can be had, else in folders like it."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fleetbot.runner.sandbox import cgroup, keeper
from fleetbot.runner.sandbox.cgroup import Cgroups, Quota
from fleetbot.runner.sandbox.process import Process
from fleetbot.runner.sandbox.unavailable import SandboxUnavailable
from tests.runner.adapters.harness import Exit, Fifo

RUN = f"cgroup-{os.getpid()}"


def _hierarchy() -> Path | None:
    """Where cgroup v2 is mounted, alone or beside v1."""
    places = (Path("/sys/fs/cgroup"), Path("/sys/fs/cgroup/unified"))
    return next((place for place in places if (place / "cgroup.controllers").is_file()), None)


@pytest.fixture
def group() -> Iterator[Path]:
    """A cgroup of this test's own; keepers go to its `runner` and stay there to their end."""
    hierarchy = _hierarchy()
    if hierarchy is None or not os.access(hierarchy / "cgroup.procs", os.W_OK):
        pytest.skip("this machine has no cgroup v2 that can be written")
    group = hierarchy / RUN
    (group / keeper.HOME).mkdir(parents=True)
    yield group
    for folder in (group / keeper.HOME, group):
        _empty(folder, hierarchy)


def _empty(group: Path, into: Path) -> None:
    """Remove the group; a keeper may be about to end there, which the kernel tells nobody."""
    until = time.monotonic() + 10
    while True:
        for pid in (group / "cgroup.procs").read_text().split():
            with contextlib.suppress(ProcessLookupError):
                (into / "cgroup.procs").write_text(pid)
        try:
            group.rmdir()
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.01)
        else:
            return


@pytest.fixture
def used(group: Path) -> Iterator[Cgroups]:
    cgroups = Cgroups(group, frozenset((group / "cgroup.controllers").read_text().split()))
    before = cgroup.current()
    cgroup.use(cgroups)
    yield cgroups
    cgroup.use(before)


async def start(tmp_path: Path, script: str, quota: Quota | None = None) -> Process:
    env = {"PATH": os.environ["PATH"], "FLEETBOT_RUN": RUN}
    return await Process.start(["sh", "-c", script], cwd=tmp_path, env=env, quota=quota)


async def test_a_run_is_a_group_that_ends_as_a_whole(
    tmp_path: Path, fifo: Fifo, group: Path, used: Cgroups
) -> None:
    script = f"env -i setsid tail -f /dev/null & echo $! > left; echo > {fifo.path}; wait"
    process = await start(tmp_path, script)
    await fifo.heard()
    (own,) = group.glob(f"{RUN}-*")
    members = (own / "cgroup.procs").read_text().split()
    left = Exit(int((tmp_path / "left").read_text()))

    await process.stop(signal.SIGTERM, grace=10)

    assert {str(process.pid), (tmp_path / "left").read_text().strip()} <= set(members)
    assert left.has_come()
    assert not own.exists()
    left.close()
    process.close()


async def test_what_belongs_to_no_run_stays_where_the_runner_is(
    tmp_path: Path, group: Path, used: Cgroups
) -> None:
    process = await Process.start(
        ["cat", "/proc/self/cgroup"], cwd=tmp_path, env={"PATH": os.environ["PATH"]}
    )

    assert RUN.encode() not in await process.stdout.read()
    await process.wait()
    process.close()


async def test_a_program_that_cannot_be_started_leaves_no_group(
    tmp_path: Path, group: Path, used: Cgroups
) -> None:
    env = {"PATH": os.environ["PATH"], "FLEETBOT_RUN": RUN}

    with pytest.raises(FileNotFoundError):
        await Process.start(["/nonexistent/program"], cwd=tmp_path, env=env)

    assert list(group.glob(f"{RUN}-*")) == []


async def test_a_bound_that_cannot_be_kept_refuses_the_program(tmp_path: Path) -> None:
    with pytest.raises(SandboxUnavailable, match="Delegate=yes"):
        await start(tmp_path, "touch ran", Quota(memory_mb=100))

    assert not (tmp_path / "ran").exists()


async def test_processes_are_bounded(tmp_path: Path, used: Cgroups) -> None:
    if "pids" not in used.controllers:
        pytest.skip("this machine's cgroup v2 has no pids controller")
    process = await start(tmp_path, "for i in 1 2 3 4; do sleep 9 & done", Quota(processes=3))

    assert b"fork" in await process.stderr.read()
    await process.wait()
    process.close()


def test_bounds_are_written_as_the_kernel_takes_them() -> None:
    quota = Quota(memory_mb=512, processes=200, cpu_percent=150)

    assert quota.controllers() == {"memory", "pids", "cpu"}
    assert quota.settings() == {
        "memory.max": "536870912",
        "pids.max": "200",
        "cpu.max": "150000 100000",
    }


def folders(root: Path, *, controllers: str = "cpu memory pids") -> Path:
    """A hierarchy as the kernel shows it, with the group of a service."""
    group = root / "user.slice" / "fleetbot.service"
    group.mkdir(parents=True)
    for place in (root, group):
        (place / "cgroup.controllers").write_text(controllers)
        (place / "cgroup.procs").touch()
        (place / "cgroup.subtree_control").touch()
    return group


def test_a_group_that_systemd_delegates_is_the_runners(tmp_path: Path) -> None:
    group = folders(tmp_path)
    own = "/user.slice/fleetbot.service"

    try:
        os.setxattr(group, "user.delegate", b"1")
    except OSError:
        pytest.skip("this file system keeps no attributes")

    assert cgroup.find_own(tmp_path, own) == group


def test_root_leaves_the_groups_of_others_alone(tmp_path: Path) -> None:
    group = folders(tmp_path)

    found = cgroup.find_own(tmp_path, "/user.slice/fleetbot.service")

    assert found == (None if os.geteuid() == 0 else group)


def test_without_version_2_there_is_no_group(tmp_path: Path) -> None:
    assert cgroup.find_own(tmp_path, "/") is None


def test_the_runner_makes_room_for_the_groups_of_runs(group: Path) -> None:
    hierarchy = group.parent
    before = (hierarchy / "cgroup.procs").read_text().split()

    taken = cgroup.take_over(group)

    assert str(os.getpid()) in (group / keeper.HOME / "cgroup.procs").read_text().split()
    assert str(os.getpid()) in before
    assert taken.base == group


def test_where_the_hierarchy_is_read_only_there_is_no_group() -> None:
    assert cgroup.take_over(Path("/proc")) == Cgroups()
