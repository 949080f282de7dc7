"""A bare repository on disk, driven through the git program."""

from __future__ import annotations

import asyncio
import os
import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from fleetbot_devkit.forge.seed import first_commit, make_bare

ZERO = "0" * 40
_FIELDS = "%H%x00%P%x00%T%x00%an%x00%ae%x00%aI%x00%cn%x00%ce%x00%cI%x00%B"
_FIELD_COUNT = 10
_CHANGE = {"A": "added", "D": "removed"}


class GitError(Exception):
    """git refused; the text is what it said."""


@dataclass(frozen=True)
class Person:
    name: str
    email: str
    date: datetime


@dataclass(frozen=True)
class GitCommit:
    sha: str
    parents: tuple[str, ...]
    tree: str
    author: Person
    committer: Person
    message: str


@dataclass(frozen=True)
class TreeEntry:
    name: str
    mode: str
    sha: str


@dataclass(frozen=True)
class FileChange:
    """``status`` in the words of a pull request: added, deleted, changed, renamed."""

    path: str
    previous: str
    status: str
    additions: int
    deletions: int


_WHOLE = re.compile(r"[0-9a-f]{40}(?:\.{2,3}[0-9a-f]{40}|\^\{commit\})?\Z")

_NAME, _MAIL = "devforge", "devforge@localhost"
_IMPORT = ("--quiet", "--force", "--date-format=now")
_VERIFY = ("rev-parse", "--verify", "--quiet")


def git_environment() -> dict[str, str]:
    """Nothing of the user's own git configuration or identity, no prompt, no template."""
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": os.devnull,
        "LC_ALL": "C.UTF-8",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_AUTHOR_NAME": _NAME,
        "GIT_AUTHOR_EMAIL": _MAIL,
        "GIT_COMMITTER_NAME": _NAME,
        "GIT_COMMITTER_EMAIL": _MAIL,
    }


async def run_git(
    cwd: Path | None, *args: str, stdin: bytes = b"", env: Mapping[str, str] | None = None
) -> bytes:
    """git's standard output; :class:`GitError` when it fails."""
    process = await asyncio.create_subprocess_exec(
        "git",
        *args,
        cwd=cwd,
        env={**git_environment(), **(env or {})},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate(stdin)
    if process.returncode != 0:
        raise GitError(err.decode(errors="replace").strip() or f"git ended with {args[0]}")
    return out


class GitRepository:
    """Refs are full names, commits full hashes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._known: dict[tuple[str, ...], str] = {}

    @classmethod
    def create(cls, path: Path, default_branch: str) -> GitRepository:
        make_bare(path, default_branch)
        return cls(path)

    def begin(self, branch: str, files: Mapping[str, str], message: str) -> str:
        """The first commit of a repository without any."""
        return first_commit(self.path, branch, files, message, f"{_NAME} <{_MAIL}>")

    async def refs(self) -> dict[str, str]:
        """Branches and tags."""
        out = await self._text(
            "for-each-ref", "--format=%(objectname) %(refname)", "refs/heads", "refs/tags"
        )
        return {name: sha for sha, _, name in (line.partition(" ") for line in out.splitlines())}

    async def refs_below(self, prefix: str) -> dict[str, str]:
        """Those whose full names begin so, of any kind."""
        out = await self._text("for-each-ref", "--format=%(objectname) %(refname)")
        found = {name: sha for sha, _, name in (line.partition(" ") for line in out.splitlines())}
        return {name: sha for name, sha in found.items() if name.startswith(prefix)}

    async def resolve(self, name: str) -> str | None:
        """The commit of a branch, tag or hash."""
        whole = _WHOLE.match(name) is not None  # to git, always an object
        candidates = (name,) if whole else (f"refs/heads/{name}", f"refs/tags/{name}", name)
        for candidate in candidates:
            if candidate.startswith("-"):
                continue
            try:
                commit = (f"{candidate}^{{commit}}",)
                return (await self._of_commits(*_VERIFY, revisions=commit)).strip()
            except GitError:
                continue
        return None

    async def set_ref(self, ref: str, sha: str) -> None:
        await self._text("update-ref", ref, sha)

    async def rename_branch(self, old: str, new: str) -> None:
        await self._text("branch", "-m", old, new)

    async def delete_ref(self, ref: str) -> None:
        await self._text("update-ref", "-d", ref)

    async def commits(self, *revisions: str, limit: int | None = None) -> list[GitCommit]:
        """Newest first; ``revisions`` as for ``git log``."""
        count = [] if limit is None else [f"--max-count={limit}"]
        options = ("log", "-z", f"--format={_FIELDS}", *count)
        out = await self._of_commits(*options, revisions=revisions, end=("--",))
        fields = out.removesuffix("\0").split("\0") if out else []
        return [
            _commit(fields[start : start + _FIELD_COUNT])
            for start in range(0, len(fields), _FIELD_COUNT)
        ]

    async def touched(self, sha: str) -> list[tuple[str, str]]:
        """``(path, added|removed|modified)`` of one commit."""
        options = ("--root", "-r", "-z", "--no-commit-id", "--name-status", "--no-renames")
        out = await self._of_commits("diff-tree", *options, revisions=(sha,))
        words = out.split("\0")[:-1]
        pairs = zip(words[::2], words[1::2], strict=True)
        return [(path, _CHANGE.get(status, "modified")) for status, path in pairs]

    async def entries(self, sha: str, folder: str) -> list[TreeEntry] | None:
        """What is in a folder of a commit, "" for all of it; None where there is no such folder."""
        try:
            out = await self._text("ls-tree", "-z", f"{sha}:{folder}")
        except GitError:
            return None
        rows = [line.partition("\t") for line in out.split("\0")[:-1]]
        parts = [(meta.split(" "), name) for meta, _, name in rows]
        return [TreeEntry(name, mode, found) for (mode, _, found), name in parts]

    async def blob(self, sha: str) -> bytes | None:
        try:
            return await run_git(self.path, "cat-file", "blob", sha)
        except GitError:
            return None

    async def submodules(self, sha: str) -> dict[str, str]:
        """The addresses that a commit's ``.gitmodules`` gives, by path."""
        settings = ("config", "--null", "--blob", f"{sha}:.gitmodules", "--list")
        try:
            rows = [row.partition("\n") for row in (await self._text(*settings)).split("\0")]
        except GitError:
            return {}
        values = {key: value for key, _, value in rows}
        paths = {key: path for key, path in values.items() if key.endswith(".path")}
        return {path: values.get(f"{key[:-5]}.url", "") for key, path in paths.items()}

    async def merge_base(self, one: str, other: str) -> str:
        try:
            return (await self._of_commits("merge-base", revisions=(one, other))).strip()
        except GitError:
            return ""

    async def changes(self, base: str, head: str) -> list[FileChange]:
        """The diff between two commits, renames found."""
        options = ("diff", "-z", "-M", "--name-status")
        names = (await self._of_commits(*options, revisions=(base, head))).split("\0")
        counts = await self._line_counts(base, head)
        changes, words = [], iter(names[:-1])
        for status in words:
            previous = next(words) if status[0] in "RC" else ""
            path = next(words)
            kind = {"A": "added", "D": "deleted", "R": "renamed", "C": "copied"}.get(
                status[0], "changed"
            )
            changes.append(FileChange(path, previous, kind, *counts.get(path, (0, 0))))
        return changes

    async def diff(self, base: str, head: str) -> str:
        return await self._text("diff", "-M", base, head)

    async def diff_of(self, base: str, head: str, path: str) -> str:
        """The diff of one file."""
        return await self._text("diff", "-M", base, head, "--", path)

    async def is_same_change(self, base: str, one: str, other: str) -> bool:
        """Whether no file differs from both another commit and the base: as Forgejo finds out
        whether a push has changed what was reviewed."""
        found = await self._text("diff", "--name-only", "-z", other, one, base)
        return not found

    async def blame(self, sha: str, path: str, line: int) -> tuple[str, int] | None:
        """The commit that wrote a line, and which it was there; None where there is no such."""
        try:
            found = await self._text("blame", "-L", f"{line},{line}", "-p", sha, "--", path)
        except GitError:
            return None
        commit, number, *_ = found.split(" ", 2)
        return commit, int(number)

    async def is_ancestor(self, old: str, new: str) -> bool:
        return await self.merge_base(old, new) == old

    async def commit_files(
        self, branch: str, files: Mapping[str, str], message: str, *, parent: str | None
    ) -> str:
        """Write ``files`` over what ``parent`` holds and make the commit the branch's tip."""
        lines = [f"commit refs/heads/{branch}", "mark :1", f"committer {_NAME} <{_MAIL}> now"]
        lines += [_data(message), *([f"from {parent}"] if parent else [])]
        for path, content in files.items():
            lines += [f"M 100644 inline {_quoted(path)}", _data(content)]
        stream = "\n".join([*lines, "get-mark :1", ""]).encode()
        return (await self._text("fast-import", *_IMPORT, stdin=stream)).strip()

    async def commit_link(self, branch: str, path: str, commit: str, message: str) -> str:
        """Link to a commit of another repository, on top of the branch."""
        parent = await self.resolve(branch)
        with tempfile.TemporaryDirectory() as scratch:
            env = {"GIT_INDEX_FILE": f"{scratch}/index"}
            await self._text("read-tree", branch, env=env)
            entry = f"160000,{commit},{path}"
            await self._text("update-index", "--add", "--cacheinfo", entry, env=env)
            return await self._commit(branch, message, parent, env)

    async def _commit(
        self, branch: str, message: str, parent: str | None, env: Mapping[str, str]
    ) -> str:
        """Commit the index of ``env`` and make it the branch's tip."""
        tree = (await self._text("write-tree", env=env)).strip()
        parents = ["-p", parent] if parent else []
        sha = (await self._text("commit-tree", tree, *parents, "-m", message)).strip()
        await self.set_ref(f"refs/heads/{branch}", sha)
        return sha

    async def merge(self, base: str, head: str, style: str, message: str) -> str:
        """The commit a merge would give; no ref is moved. :class:`GitError` on a conflict."""
        with tempfile.TemporaryDirectory() as scratch:
            tree = Path(scratch) / "tree"
            await self._text("worktree", "add", "--quiet", "--detach", str(tree), base)
            try:
                for command in _merge_commands(base, head, style, message):
                    await run_git(tree, *command)
                return (await run_git(tree, "rev-parse", "HEAD")).decode().strip()
            finally:
                await self._text("worktree", "remove", "--force", str(tree))

    async def _line_counts(self, base: str, head: str) -> dict[str, tuple[int, int]]:
        """Added and deleted lines by (new) path; binary files count nothing."""
        options = ("diff", "-z", "-M", "--numstat")
        out = await self._of_commits(*options, revisions=(base, head))
        counts, words = {}, iter(out.split("\0")[:-1])
        for word in words:
            added, deleted, path = word.split("\t", 2)
            if not path:  # a rename: old and new path follow
                next(words)
                path = next(words)
            counts[path] = (_count(added), _count(deleted))
        return counts

    async def _of_commits(
        self, *options: str, revisions: Sequence[str], end: Sequence[str] = ()
    ) -> str:
        """What git reads of these; of whole hashes that is the same for ever, and asked once."""
        args = (*options, *revisions, *end)
        if not all(map(_WHOLE.match, revisions)):
            return await self._text(*args)
        if args not in self._known:
            self._known[args] = await self._text(*args)
        return self._known[args]

    async def _text(
        self, *args: str, stdin: bytes = b"", env: Mapping[str, str] | None = None
    ) -> str:
        out = await run_git(self.path, *args, stdin=stdin, env=env)
        return out.decode(errors="replace")


def _data(text: str) -> str:
    return f"data {len(text.encode())}\n{text}"


def _quoted(path: str) -> str:
    escaped = path.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def _merge_commands(base: str, head: str, style: str, message: str) -> Sequence[Sequence[str]]:
    if style == "squash":
        return (("merge", "--quiet", "--squash", head), ("commit", "--quiet", "-m", message))
    if style == "fast-forward-only":
        return (("merge", "--quiet", "--ff-only", head),)
    rebased = (("checkout", "--quiet", "--detach", head), ("rebase", "--quiet", base))
    if style == "rebase":
        return rebased
    if style == "rebase-merge":
        kept = ("update-ref", "refs/worktree/rebased", "HEAD")
        joined = ("merge", "--quiet", "--no-ff", "-m", message, "refs/worktree/rebased")
        return (*rebased, kept, ("checkout", "--quiet", "--detach", base), joined)
    return (("merge", "--quiet", "--no-ff", "-m", message, head),)


def _commit(fields: Sequence[str]) -> GitCommit:
    sha, parents, tree, author, author_mail, authored, by, by_mail, at, message = fields
    return GitCommit(
        sha=sha,
        parents=tuple(parents.split()),
        tree=tree,
        author=Person(author, author_mail, datetime.fromisoformat(authored)),
        committer=Person(by, by_mail, datetime.fromisoformat(at)),
        message=message,
    )


def _count(number: str) -> int:
    return int(number) if number.isdecimal() else 0
