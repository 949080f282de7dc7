"""More, larger and deeper than anybody would make: it stops neither this task nor others."""

from __future__ import annotations

import pytest

from fleetbot.runner.sandbox import folders
from tests.hostile.conftest import Hostile
from tests.runner.scene import Scene

# As many as the calls that Python nests, which is more than its own removal of folders can take.
DEEP = (
    'python3 -c "import os; os.chdir({0}); '
    '[(os.mkdir(chr(100)), os.chdir(chr(100))) for _ in range(1000)]"; '
)
PLACES = {
    "the worktree": "os.getcwd()",
    "its repository": "os.popen('git rev-parse --git-common-dir').read().strip()",
    "its home": "os.environ['HOME']",
    "its temporary files": "os.environ['TMPDIR']",
}


async def test_no_depth_of_folders_stops_the_runner(hostile: Hostile) -> None:
    order = await hostile.scene.order()
    script = "echo work > work.txt; " + "".join(DEEP.format(place) for place in PLACES.values())

    await hostile.run(f"test -e work.txt && exit; {script}", order)
    await hostile.again(order)

    assert "again.txt" in hostile.scene.orchestrator.receipts[-1].files
    folders.remove(hostile.scene.root / "state")  # pytest could not


HOLES = {
    "a tracked file": "truncate -s 4T README.md",
    "a file of a commit's": "echo x > x; git add .; git commit -qm x; truncate -s 4T x",
    "a file of its own": "truncate -s 4T x",
    "an object": (
        "mkdir -p $GD/objects/11; truncate -s 4T $GD/objects/11/$(printf '1%.0s' $(seq 38)); "
        "echo x > x; git add x; git commit -qm x"
    ),
    "LFS files": (
        "mkdir -p $GD/lfs/objects/11/11; for n in 1 2 3 4 5 6 7 8; do "
        "truncate -s 3G $GD/lfs/objects/11/11/$(printf '1%.0s' $(seq 63))$n; done"
    ),
    "the index": "truncate -s 4T $(git rev-parse --git-dir)/index",
    "its branches": "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); "
    "printf '%040d refs/heads/x%d\\n' $i $i; done >> $GD/packed-refs",
}


@pytest.mark.parametrize("hole", HOLES.values(), ids=HOLES)
async def test_no_size_without_content_keeps_the_runner_busy(scene: Scene, hole: str) -> None:
    order = await scene.order()
    script = f"GD=$(git rev-parse --git-common-dir); echo work > work.txt; {hole}"

    await scene.carry_out(f"test -e work.txt && exit; {script}", order)

    assert scene.orchestrator.is_settled(order.run)
