"""What the forge has of one repository, kept on this machine for all its tasks.

Only the runner writes here; tasks borrow its objects and agents may read them. It is a cache:
anything wrong with it is made anew beside it. The folder of a generation (`cache.git`,
`cache-2.git`, …) never changes its place, so that what borrows from an older one goes on.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fleetbot.domain.reasons import ReasonCode
from fleetbot.runner.failure import RunFailed
from fleetbot.runner.git import bare
from fleetbot.runner.git.command import Git, GitFailed
from fleetbot.runner.git.failures import forge_failure, local_failure
from fleetbot.runner.git.slot import clear

STALL_SECONDS = 300.0
"""How long a fetch or push may say nothing; as long as it progresses it goes on."""
_GENERATION = re.compile(r"cache(?:-([0-9]+))?\.git")
_BRANCHES = ("+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*")
_DEEPER = (8, 64, 512, 4096, 32_768)
_MOST_PACKS = 40
_MOST_LOOSE = 40
_MOST_FAILURES = 3
_RETIRED = "retired"
_CONFIG = "[fetch]\n\tunpackLimit = 1\n[core]\n\tfsync = all\n[pack]\n\twriteReverseIndex = true\n"


@dataclass(frozen=True)
class OnForge:
    """Where the forge's refs are: base, the task's branch if any, and what was kept of the task.

    `kept` are ref and commit, of the newest run last.
    """

    base: str
    base_commit: str
    branch: str | None
    kept: tuple[tuple[str, str], ...] = ()
    refs: dict[str, str] = field(default_factory=dict)


Look = Callable[[str, Sequence[str]], Awaitable[Mapping[str, str] | None]]
"""A quick answer to where these refs of a repository are, `refs/x/*` for all below; None where it
has none."""


class Cache:
    """One repository. Safe for concurrent runs; a fetch that others wait for is shared.

    `repo` is what it is called on the forge now.
    """

    def __init__(
        self, git: Git, directory: Path, forge_url: str, repo: str, look: Look | None = None
    ) -> None:
        self.repo = repo
        self.directory = directory
        self._forge_url = forge_url
        self._git = git
        self._look = look
        self._lock = asyncio.Lock()
        self._failures = 0

    @property
    def url(self) -> str:
        return f"{self._forge_url}/{self.repo}.git"

    @property
    def path(self) -> Path:
        """The newest generation, or where it will be."""
        numbers = [number for number, path in self._generations() if not _is_retired(path)]
        return self._generation(max(numbers) if numbers else self._next_number())

    @property
    def objects(self) -> Path:
        return self.path / "objects"

    @property
    def lfs(self) -> Path:
        """Where large files are kept."""
        return self.directory / "lfs"

    def _generation(self, number: int) -> Path:
        return self.directory / (f"cache-{number}.git" if number > 1 else "cache.git")

    def _next_number(self) -> int:
        return max((number for number, _ in self._generations()), default=0) + 1

    def _generations(self) -> Iterator[tuple[int, Path]]:
        for path in self.directory.glob("cache*.git"):
            if found := _GENERATION.fullmatch(path.name):
                yield int(found[1] or 1), path

    async def ask(self, base: str, branch: str, kept: Iterable[str]) -> OnForge:
        """Where the forge's branches are now. An empty `base` is the default branch.

        `kept` are the patterns of the refs that keep the task's work. Raises RunFailed.
        """
        wanted = [f"refs/heads/{name}" for name in (base, branch) if name]
        kept = tuple(kept)
        self.directory.mkdir(parents=True, exist_ok=True)
        told = await self._look(self.repo, [*wanted, *kept]) if base and self._look else None
        if told and wanted[0] in told:
            return _on_forge(dict(told), base, branch, self.url)
        try:
            said = await self._git(
                *("ls-remote", "--symref", self.url, "HEAD", *wanted, *kept),
                cwd=self.directory,
                forge=True,
            )
        except GitFailed as problem:
            raise forge_failure(problem, f"asking {self.url} for its branches") from None
        refs, default = {}, ""
        for line in said.splitlines():
            value, _, name = line.partition("\t")
            if value.startswith("ref: refs/heads/"):
                default = value.removeprefix("ref: refs/heads/")
            else:
                refs[name] = value
        if default and "HEAD" in refs:
            refs.setdefault(f"refs/heads/{default}", refs["HEAD"])
        return _on_forge(refs, base or default, branch, self.url)

    async def bring(self, newest: OnForge) -> None:
        """Have here what the forge has. Raises RunFailed."""
        format = bare.format_of(newest.base_commit)
        try:
            async with self._lock:
                (self.directory / "used").touch()
                try:
                    await self._hold(newest, format)
                except GitFailed:  # none of the forge's, which are told otherwise
                    self._retire()
                    await self._hold(newest, format)
        except (GitFailed, OSError) as problem:
            raise local_failure(problem, f"caching {self.url}", self.directory) from None

    async def _hold(self, newest: OnForge, format: bare.ObjectFormat) -> None:
        await self._prepare(format)
        if self._lacks(newest):
            await self._fetch(newest, format)

    async def is_mended(self) -> bool:
        """After something local failed: was it broken, so that the next `bring` makes it anew?"""
        async with self._lock:
            if await self._is_whole():
                return False
            self._retire()
            return True

    async def remove_unused(self, borrowed: set[Path], oldest_kept: float) -> None:
        """Remove generations from which nothing borrows: older ones, and the newest if it is old.

        `oldest_kept` in epoch seconds.
        """
        async with self._lock:
            newest = self.path
            for _, path in list(self._generations()):
                is_old = path != newest or self._used() < oldest_kept
                if is_old and path / "objects" not in borrowed:
                    await asyncio.to_thread(clear, path)
            if not borrowed and not any(self._generations()):
                await asyncio.to_thread(clear, self.lfs)

    def _used(self) -> float:
        try:
            return (self.directory / "used").stat().st_mtime
        except FileNotFoundError:
            return 0.0

    async def _in(self, *args: str, where: Path | None = None, **options: object) -> str:
        path = where or self.path
        call = self._git(*args, cwd=self.directory, env={"GIT_DIR": str(path)}, **options)  # type: ignore[arg-type]  # passed on as they are
        return await call

    async def _prepare(self, format: bare.ObjectFormat) -> None:
        """Under the lock no other git is at work here: what looks like that was left behind."""
        path = self.path
        if path.exists():
            if not path.is_dir():
                await asyncio.to_thread(clear, path)
                return
            await asyncio.to_thread(bare.remove_locks, path)
            if await asyncio.to_thread(bare.is_sound, path, format):
                bare.make(path, bare.config(format, _CONFIG))
            else:
                self._retire()

    def _retire(self) -> None:
        """Leave this generation to those that borrow from it; the next has a folder of its own."""
        if self.path.exists():
            (self.path / _RETIRED).touch()

    def _lacks(self, newest: OnForge) -> bool:
        known = bare.refs(self.path, "refs")
        return any(known.get(name) != commit for name, commit in newest.refs.items())

    async def _fetch(self, newest: OnForge, format: bare.ObjectFormat) -> None:
        if not self.path.exists():
            await self._clone(newest, format)
            return
        try:
            await self._receive(self.path, newest)
            self._failures = 0
        except GitFailed as problem:
            if not await self._is_beyond_repair(problem):
                raise self._failed(problem) from None
            self._retire()
            await self._clone(newest, format)
        await self._gather_packs()

    async def _is_beyond_repair(self, problem: GitFailed) -> bool:
        """The forge answered a moment ago: is it the way between us that failed, or the cache?"""
        if problem.http_status is not None:
            return False
        self._failures += 1
        return self._failures >= _MOST_FAILURES or not await self._is_whole()

    async def _clone(self, newest: OnForge, format: bare.ObjectFormat) -> None:
        """A new generation beside the others, which is one when it is whole.

        What a cut one has received already is gone on with.
        """
        final = self.path
        fresh = final.with_suffix(".new")
        if not await asyncio.to_thread(bare.is_sound, fresh, format):
            await asyncio.to_thread(clear, fresh)
        await asyncio.to_thread(bare.remove_locks, fresh)
        bare.make(fresh, bare.config(format, _CONFIG))
        try:
            await self._receive_all(fresh, newest)
        except GitFailed as problem:
            raise self._failed(problem) from None
        fresh.rename(final)

    async def _receive_all(self, fresh: Path, newest: OnForge) -> None:
        """At once; where that was cut, in steps of which each stays: the newest, then older ones.

        git has no other way to keep a part of what it received.
        """
        if not (fresh / "cut").exists():
            try:
                await self._receive(fresh, newest)
                return
            except GitFailed as problem:
                if problem.http_status is not None:
                    raise
                (fresh / "cut").touch()
        base = f"+refs/heads/{newest.base}:refs/heads/{newest.base}"
        if not (fresh / "shallow").exists():
            await self._pull(fresh, "--depth=1", self.url, base)
        for commits in _DEEPER:
            if (fresh / "shallow").exists():
                await self._pull(fresh, f"--deepen={commits}", self.url, base)
        if (fresh / "shallow").exists():
            await self._pull(fresh, "--unshallow", self.url, base)
        await self._receive(fresh, newest)
        (fresh / "cut").unlink()

    async def _receive(self, where: Path, newest: OnForge) -> None:
        kept = [f"+{ref}:{ref}" for ref, _ in newest.kept if not ref.startswith("refs/heads/")]
        await self._pull(where, "--prune", self.url, *_BRANCHES, *kept)
        if sum(len(files) for _, _, files in os.walk(where / "refs")) > _MOST_LOOSE:
            await self._in("pack-refs", "--all", where=where)

    async def _pull(self, where: Path, *args: str) -> None:
        fetch = ("fetch", "--progress", "--no-tags", "--no-write-fetch-head", *args)
        await self._in(*fetch, where=where, forge=True, patient=True, timeout=STALL_SECONDS)

    def _failed(self, problem: GitFailed) -> RunFailed:
        return forge_failure(problem, f"fetching {self.url}")

    async def _is_whole(self) -> bool:
        """Read everything: it takes its time, and is done only after something failed."""
        packs = sorted(self.objects.glob("pack/*.idx"))
        try:
            if packs:
                await self._in("verify-pack", *map(str, packs), timeout=3600)
            await self._in("rev-list", "--objects", "--all", "--quiet", timeout=3600)
        except (GitFailed, OSError):
            return False
        return True

    async def _gather_packs(self) -> None:
        """Many fetches leave many packs; nothing that a task may borrow is ever dropped."""
        if len(list(self.objects.glob("pack/*.pack"))) > _MOST_PACKS:
            await self._in("repack", "--geometric=2", "-d", "--quiet", timeout=3600)


def _on_forge(refs: dict[str, str], base: str, branch: str, url: str) -> OnForge:
    if not base:
        raise RunFailed(
            ReasonCode.BASE_MISSING,
            f"{url} has no default branch; push a first commit, then retry",
        )
    base_commit = refs.get(f"refs/heads/{base}")
    if base_commit is None:
        raise RunFailed(
            ReasonCode.BASE_MISSING,
            f"the base branch {base!r} is not on the forge; push it or change the task's base",
        )
    known = {"HEAD", f"refs/heads/{base}", f"refs/heads/{branch}"}
    kept = [(ref, commit) for ref, commit in refs.items() if ref not in known and _number(ref)]
    kept.sort(key=lambda entry: _number(entry[0]))
    wanted = {ref: commit for ref, commit in refs.items() if ref != "HEAD"}
    remote = refs.get(f"refs/heads/{branch}")
    return OnForge(base, base_commit, remote, tuple(kept), wanted)


def _number(ref: str) -> int:
    """Which of the task's runs a ref of kept work is of; 0 of any other."""
    last = ref.rpartition("/")[2]
    return int(last) if re.fullmatch(r"[0-9]{1,9}", last) else 0


def _is_retired(path: Path) -> bool:
    return (path / _RETIRED).exists()
