"""One repository of the forge on this machine.

`mirror.git` holds the objects and the worktrees; agents write to it. `courier.git` talks to the
forge: it shares the mirror's objects but has a configuration and refs of its own, so that nothing
an agent writes into the mirror's configuration is ever read by a git that carries credentials.
`keeper.git` is the mirror with a configuration that no agent can write: the runner's own git uses
it in the mirror's place, as agents may be at work while it does.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from fleetbot.domain.reasons import ReasonCode
from fleetbot.runner.concurrency import together
from fleetbot.runner.failure import RunFailed
from fleetbot.runner.git import leaks
from fleetbot.runner.git.command import Git, GitFailed, forge_failure

_PUSHED = "refs/fleetbot/pushed"
_MIRROR_CONFIG = """\
[core]
	repositoryformatversion = 0
	filemode = true
	bare = true
[remote "origin"]
	url = {url}
	fetch = +refs/heads/*:refs/remotes/origin/*
[submodule]
	active = .
"""
_KEPT = ("objects", "refs", "packed-refs", "logs", "worktrees", "lfs")
# Of these we have none: they name another configuration, filters, and other repositories' objects.
_LEADS_ASTRAY = ("commondir", "config.worktree", "info/attributes", "objects/info/alternates")
_LFS_CONFIG = """\
[filter "lfs"]
	clean = git-lfs clean -- %f
	smudge = git-lfs smudge -- %f
	process = git-lfs filter-process
	required = true
"""


Heads = Callable[[str, str], Awaitable[Mapping[str, str] | None]]
"""What the forge's API says of two branches: their newest commits, or None where it cannot."""


@dataclass(frozen=True)
class Start:
    """Where a run begins: its first commit, the base's newest, the branch's on the forge if any."""

    commit: str
    base: str
    base_commit: str
    remote: str | None


class Repository:
    """Fetches, pushes and reads one repository. Safe for concurrent runs.

    `heads` is quicker than git at telling where the forge's branches are; git is asked without it.
    """

    def __init__(self, git: Git, directory: Path, url: str, heads: Heads | None = None) -> None:
        self.mirror = directory / "mirror.git"
        self.lock = asyncio.Lock()
        self.keeper = directory / "keeper.git"
        self._courier = directory / "courier.git"
        self._git = git
        self._url = url
        self._heads = heads
        self._fetch_began = float("-inf")

    async def _refresh(self) -> None:
        """Bring the forge's branches here. Callers that wait for the same fetch share it.

        Raises RunFailed when the forge is away or refuses.
        """
        now = asyncio.get_running_loop().time
        asked = now()
        async with self.lock:
            if self._fetch_began >= asked:
                return
            began = now()
            try:
                await self._fetch()
            except GitFailed as problem:
                raise forge_failure(problem, f"fetching {self._url}") from None
            self._fetch_began = began

    async def _make(self) -> None:
        async with self.lock:
            if not self.mirror.exists():
                await self._init(self.mirror)
            if not self._courier.exists():
                await self._init(self._courier, shares=("objects", "lfs"))
            if not self.keeper.exists():
                await self._init(self.keeper, shares=_KEPT)
            for name in ("logs", "worktrees"):
                (self.mirror / name).mkdir(exist_ok=True)
            self._write_config()

    async def _init(self, path: Path, shares: tuple[str, ...] = ()) -> None:
        """Make a bare repository, whole or not at all; what it `shares` is the mirror's."""
        fresh = path.with_suffix(".new")
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.parent.mkdir(parents=True, exist_ok=True)
        await self._git("init", "--quiet", "--bare", "--template=", str(fresh), cwd=fresh.parent)
        for name in shares:
            shutil.rmtree(fresh / name, ignore_errors=True)
            (fresh / name).symlink_to(Path("..") / self.mirror.name / name)
        if shares:  # the mirror's gc knows the worktrees, the courier's would not
            await self._git("config", "gc.auto", "0", cwd=fresh)
        fresh.rename(path)

    def _write_config(self) -> None:
        """Write the keeper's configuration, and the mirror's for what agents have made of it.

        It is written beside the mirror first, where no agent can have left a link.
        """
        for name in _LEADS_ASTRAY:
            _remove(self.mirror / name)
        config = self.mirror / "config"
        if config.is_dir():
            _remove(config)
        fresh = self.mirror.with_name("config.new")
        text = _MIRROR_CONFIG.format(url=self._url)
        for place in (config, self.keeper / "config"):
            fresh.write_text(text + (_LFS_CONFIG if shutil.which("git-lfs") else ""))
            fresh.rename(place)

    async def _fetch(self) -> None:
        await self._git(
            "fetch",
            "--quiet",
            "--prune",
            "--no-tags",
            "--no-write-fetch-head",
            self._url,
            "+refs/heads/*:refs/heads/*",
            "+refs/tags/*:refs/tags/*",
            cwd=self._courier,
            forge=True,
        )
        await self._git(
            "fetch",
            "--quiet",
            "--prune",
            "--no-tags",
            "--no-write-fetch-head",
            "--no-auto-gc",
            str(self._courier),
            "+refs/heads/*:refs/remotes/origin/*",
            "+refs/tags/*:refs/tags/*",
            cwd=self.keeper,
        )

    async def start(self, branch: str, base: str, author_email: str) -> Start:
        """Where to go on: the branch as it is here or on the forge, else the base's newest commit.

        An empty `base` is the repository's default branch. The forge is asked for these branches
        and fetched from only if they have moved. Raises RunFailed; branch_conflict if the forge's
        branch has somebody else's commits.
        """
        try:
            await self._make()
        except (GitFailed, OSError) as problem:
            raise RunFailed(ReasonCode.WORKSPACE_FAILED, f"making the mirror: {problem}") from None
        if not base:
            base, _ = await self._ask(branch, base)
        names = [f"refs/heads/{base}", f"refs/heads/{branch}", f"{_PUSHED}/{branch}"]
        newest, known, local = await together(
            self._newest(branch, base),
            self._refs(self._courier, names),
            self._refs(self.keeper, names[1:2]),
        )
        if not _is_current(known, newest, *names):
            await self._refresh()
            known = await self._refs(self._courier, names)
        base_commit, remote, pushed = (known.get(name) for name in names)
        if base_commit is None:
            raise RunFailed(
                ReasonCode.WORKSPACE_FAILED,
                f"the base branch {base!r} is not on the forge; push it or change the task's base",
            )
        if remote is not None and remote != pushed:
            ours = [commit for commit in (base_commit, pushed) if commit]
            await self._refuse_strangers(branch, remote, ours, author_email)
        commit = await self._furthest(local.get(names[1]), remote)
        if commit is None or not await self._goes_on_from(base_commit, commit):
            commit = base_commit
        return Start(commit, base, base_commit, remote)

    async def _newest(self, branch: str, base: str) -> dict[str, str]:
        """Where the forge's branches are now."""
        told = await self._heads(base, branch) if self._heads else None
        if told is None or base not in told:
            return (await self._ask(branch, base))[1]
        return {f"refs/heads/{name}": commit for name, commit in told.items()}

    async def _ask(self, branch: str, base: str) -> tuple[str, dict[str, str]]:
        """The base branch's name, and where the forge's branches are now."""
        wanted = [f"refs/heads/{name}" for name in (base, branch) if name]
        try:
            said = await self._git(
                "ls-remote", "--symref", self._url, "HEAD", *wanted, cwd=self._courier, forge=True
            )
        except GitFailed as problem:
            raise forge_failure(problem, f"asking {self._url} for its branches") from None
        newest = {}
        for line in said.splitlines():
            value, _, name = line.partition("\t")
            if value.startswith("ref: refs/heads/"):
                base = base or value.removeprefix("ref: refs/heads/")
            else:
                newest[name] = value
        if not base:
            raise RunFailed(
                ReasonCode.WORKSPACE_FAILED,
                f"{self._url} has no default branch; push a first commit, then retry",
            )
        if base_commit := newest.get(f"refs/heads/{base}", newest.get("HEAD")):
            newest[f"refs/heads/{base}"] = base_commit
        return base, newest

    async def _refs(self, where: Path, names: list[str]) -> dict[str, str]:
        """The commits of these refs, of those that there are."""
        said = await self._git(
            "for-each-ref", "--format=%(refname) %(objectname)", *names, cwd=where
        )
        found = dict(line.split(" ") for line in said.splitlines())
        return {name: found[name] for name in names if name in found}

    async def _furthest(self, local: str | None, remote: str | None) -> str | None:
        if local is None or remote is None:
            return local or remote
        return local if await self._is_ancestor(remote, local) else remote

    async def _goes_on_from(self, base_commit: str, commit: str) -> bool:
        """Whether the commit adds to the base's history; a merged branch does not."""
        try:
            await self._git("merge-base", base_commit, commit, cwd=self._courier)
        except GitFailed:
            return False
        return not await self._is_ancestor(commit, base_commit)

    async def _refuse_strangers(
        self, branch: str, remote: str, known: list[str], author_email: str
    ) -> None:
        emails = await self._git(
            "log", "--format=%ce", remote, *(f"^{commit}" for commit in known), cwd=self._courier
        )
        if strangers := sorted(set(emails.split("\n")) - {author_email, ""}):
            raise RunFailed(
                ReasonCode.BRANCH_CONFLICT,
                f"the branch {branch} on the forge has commits by {', '.join(strangers[:3])}; "
                "rename or delete it there, then retry",
            )

    async def push(self, branch: str, commit: str, expected: str | None) -> None:
        """Make the forge's branch this commit, if it still is what it was at the start of the run.

        Raises RunFailed: branch_conflict if it moved, push_rejected if the forge says no.
        """
        if commit != expected:
            try:
                await self._push_lfs(commit)
                await self._git(
                    "push",
                    "--porcelain",
                    "--quiet",
                    f"--force-with-lease=refs/heads/{branch}:{expected or ''}",
                    self._url,
                    f"{commit}:refs/heads/{branch}",
                    cwd=self._courier,
                    forge=True,
                )
            except GitFailed as problem:
                raise _push_failure(problem, branch) from None
        for ref in (f"{_PUSHED}/{branch}", f"refs/heads/{branch}"):
            await self._git("update-ref", ref, commit, cwd=self._courier)

    async def _push_lfs(self, commit: str) -> None:
        if (self.mirror / "lfs").is_dir():
            await self._git("lfs", "push", self._url, commit, cwd=self._courier, forge=True)

    async def files(self, base_commit: str, commit: str) -> tuple[str, ...]:
        """The files that differ between the commit and where it left the base.

        Of a renamed file both names.
        """
        fork = await self._fork(base_commit, commit)
        said = await self._git(
            "diff", "--name-only", "-z", "--no-renames", fork, commit, cwd=self._courier
        )
        return tuple(filter(None, said.split("\0")))

    async def leaks(self, base_commit: str, commit: str, secrets: Mapping[str, str]) -> list[str]:
        """The names of those secrets that a push of the commit would carry to the forge."""
        return await leaks.find(self._git, self._courier, base_commit, commit, secrets)

    async def submodules_changed(self, base_commit: str, commit: str) -> tuple[bool, bool]:
        """Since the base: are submodules at other commits, and `.gitmodules` another?"""
        fork = await self._fork(base_commit, commit)
        said = await self._git(
            "diff-tree", "-r", "-z", "--no-renames", fork, commit, cwd=self._courier
        )
        changes = said.split("\0")  # ":<mode> <mode> <id> <id> <status>" and the path, in turn
        moved = any("160000" in change[1:14].split(" ") for change in changes[::2])
        return moved, ".gitmodules" in changes[1::2]

    @contextlib.asynccontextmanager
    async def clean_config(self) -> AsyncIterator[None]:
        """The keeper alone, without the addresses that other branches gave to their submodules."""
        async with self.lock:
            self._write_config()
            yield

    async def subjects(self, base_commit: str, commit: str) -> tuple[str, ...]:
        """The first lines of the commits since the base, oldest first."""
        said = await self._git(
            "log", "--reverse", "--format=%s", commit, f"^{base_commit}", cwd=self._courier
        )
        return tuple(filter(None, said.splitlines()))

    async def _fork(self, base_commit: str, commit: str) -> str:
        try:
            said = await self._git("merge-base", base_commit, commit, cwd=self._courier)
        except GitFailed:
            raise RunFailed(
                ReasonCode.AGENT_FAILED,
                "the agent's commits do not descend from the base branch; a retry starts afresh",
            ) from None
        return said.strip()

    async def _is_ancestor(self, older: str, newer: str) -> bool:
        try:
            await self._git("merge-base", "--is-ancestor", older, newer, cwd=self._courier)
        except GitFailed:
            return False
        return True


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _is_current(known: dict[str, str], newest: dict[str, str], *names: str) -> bool:
    return all(known.get(name) == newest.get(name) for name in names[:2])


def _push_failure(problem: GitFailed, branch: str) -> RunFailed:
    # With --porcelain the rejection of a ref is on stdout: "!\t<from>:<to>\t[rejected] (why)".
    rejected = [line for line in problem.stdout.splitlines() if line.startswith("!")]
    said = "; ".join(line.split("\t")[-1] for line in rejected) or problem.text
    if "(stale info)" in said or "(fetch first)" in said:
        return RunFailed(
            ReasonCode.BRANCH_CONFLICT,
            f"the branch {branch} moved on the forge while the agent worked; "
            "rename or delete it there, then retry",
        )
    if rejected:
        remote = [line for line in problem.text.splitlines() if line.startswith("remote:")]
        said = " ".join([said, *remote[:5]])
        return RunFailed(
            ReasonCode.PUSH_REJECTED,
            f"the forge refused the push of {branch}: {said}; check the runner's token and the "
            "branch protection",
        )
    failed = forge_failure(problem, f"pushing {branch}")
    if failed.reason is ReasonCode.FORGE_UNAVAILABLE:
        return failed
    return RunFailed(ReasonCode.PUSH_REJECTED, failed.detail)
