"""The second worktree of a large repository, against the checkout alone and against a clone.

The runner's way is `Workspaces.open`: ask the forge whether its branches have moved, make the
task's repositories, check out, look for submodules and LFS. The checkout alone is `git worktree
add` in a mirror of the same commit; the clone comes from the same forge on loopback.

    python -m benchmarks.workspace [--rounds 5] [--files 50000]
"""

from __future__ import annotations

import asyncio
import itertools
import shutil
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.pairs import in_turn
from benchmarks.table import Line, against, arguments, show
from fleetbot.runner.config import WorkspaceConfig
from fleetbot.runner.git.command import Git, Identity
from fleetbot.runner.git.workspace import Workspaces
from fleetbot.runner.root import Root
from fleetbot.runner.secret import Secret
from fleetbot.wire import Assignment
from fleetbot_devkit.forge import DevForge

REPO = "acme/large"
FILES_PER_FOLDER = 100
TARGET = 1.15
_IDENTITY = Identity("fleetbot", "fleetbot@example.org")


class Place:
    """A forge with one large repository, a runner's workspaces, and a plain mirror beside them."""

    def __init__(self, root: Path, forge: DevForge, token: str) -> None:
        self._root = root
        self._url = f"{forge.url}/{REPO}.git"
        self._git = Git(forge.url, "fleet", Secret(token))
        self._mirror = root / "mirror.git"
        self._numbers = itertools.count(1)
        self._workspaces = Workspaces(
            Root(root / "state"), WorkspaceConfig(), self._git, forge.url, _IDENTITY
        )

    async def prepare(self) -> None:
        """The first worktree fetches; it is not what is measured."""
        await self.second_worktree()
        await self._clone(self._mirror, "--bare")

    async def second_worktree(self) -> float:
        """Seconds until the runner has the worktree of a new task."""
        order = _order(next(self._numbers))
        started = time.perf_counter()
        async with self._workspaces.open(order, {}, keep_changes=False) as tree:
            elapsed = time.perf_counter() - started
        await _remove(tree.path.parent)
        return elapsed

    async def checkout(self) -> float:
        """Seconds of `git worktree add`, nothing else."""
        path = self._root / "checkout"
        branch = f"checkout-{next(self._numbers)}"
        started = time.perf_counter()
        await self._git(
            "worktree", "add", "--quiet", "-B", branch, str(path), "main", cwd=self._mirror
        )
        elapsed = time.perf_counter() - started
        await _remove(path)
        await self._git("worktree", "prune", cwd=self._mirror)
        return elapsed

    async def clone(self) -> float:
        """Seconds of a clone with its checkout."""
        path = self._root / "clone"
        started = time.perf_counter()
        await self._clone(path)
        elapsed = time.perf_counter() - started
        await _remove(path)
        return elapsed

    async def _clone(self, path: Path, *options: str) -> None:
        await self._git(
            "clone", "--quiet", *options, self._url, str(path), cwd=self._root, forge=True
        )


@asynccontextmanager
async def place(root: Path, files: int) -> AsyncIterator[Place]:
    async with DevForge.start(root / "forge") as forge:
        forge.add_org("acme")
        token = forge.add_user("fleet")
        repo = await forge.create_repo("acme", "large", {"README.md": "# Large\n"})
        forge.add_collaborator(REPO, "fleet", "write")
        await _fill(repo.git.path, files)
        there = Place(root, forge, token)
        await there.prepare()
        yield there


async def _fill(repository: Path, files: int) -> None:
    """A second commit on main with so many small files, all different."""
    child = await asyncio.create_subprocess_exec(
        *("git", "fast-import", "--quiet", "--force"), cwd=repository, stdin=asyncio.subprocess.PIPE
    )
    await child.communicate("".join(_stream(files)).encode())
    if child.returncode:
        raise RuntimeError("git fast-import failed")


def _stream(files: int) -> Iterator[str]:
    """For `git fast-import` (its manual, "Input Format")."""
    message = "Grow"
    yield "commit refs/heads/main\ncommitter acme <acme@example.org> 1700000000 +0000\n"
    yield f"data {len(message)}\n{message}\nfrom refs/heads/main^0\n"
    for number in range(files):
        text = "".join(f"line {line} of file {number}\n" for line in range(20))
        path = f"src/part{number // FILES_PER_FOLDER:04d}/file{number:06d}.txt"
        yield f"M 100644 inline {path}\ndata {len(text)}\n{text}\n"


def _order(number: int) -> Assignment:
    return Assignment(
        run=f"run-{number}",
        task=f"task-{number}",
        attempt=1,
        repo=REPO,
        issue=number,
        title="A change",
        kind="task",
        priority="normal",
        branch=f"fleet/{number}-a-change",
        ack_seconds=30,
        lease_seconds=90,
        timeout_seconds=3600,
    )


async def _remove(path: Path) -> None:
    await asyncio.to_thread(shutil.rmtree, path)


async def measure(rounds: int, files: int) -> list[Line]:
    with TemporaryDirectory(prefix="fleetbot-benchmark-") as folder:
        async with place(Path(folder), files) as there:
            checkout, clone = await in_turn(
                rounds, there.second_worktree, there.checkout, there.clone
            )
    return [
        against("second worktree: git worktree add", checkout, "s", at_most=TARGET),
        against("second worktree: git clone", clone, "s", at_most=1),
    ]


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--files", type=int, default=50_000)
    chosen = parser.parse_args()
    lines = asyncio.run(measure(chosen.rounds, chosen.files))
    show(lines, chosen.json, f"{chosen.files:,} files, {chosen.rounds} rounds")


if __name__ == "__main__":
    main()
