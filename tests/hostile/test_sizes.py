"""More, larger and deeper than anybody would make: it stops neither this task nor others."""

from __future__ import annotations

import pytest

from tests.hostile.conftest import Hostile

DEEP = (
    'python3 -c "import os; os.chdir({0}); '
    '[(os.mkdir(chr(100)), os.chdir(chr(100))) for _ in range(1500)]"; '
)
PLACES = {
    "the worktree": "os.getcwd()",
    "its repository": "os.popen('git rev-parse --git-common-dir').read().strip()",
    "its home": "os.environ['HOME']",
    "its temporary files": "os.environ['TMPDIR']",
}


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
async def test_no_depth_of_folders_stops_the_runner(hostile: Hostile, place: str) -> None:
    order = await hostile.scene.order()
    script = f"echo work > work.txt; {DEEP.format(place)}"

    await hostile.run(f"test -e work.txt && exit; {script}", order)
    await hostile.again(order)

    assert "again.txt" in hostile.scene.orchestrator.receipts[-1].files
