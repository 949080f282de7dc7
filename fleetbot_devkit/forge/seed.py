"""A bare repository and its first commit, as git would write them.

The tests make thousands of them; starting git for each takes most of the time that a test has.
"""

from __future__ import annotations

import hashlib
import time
import zlib
from collections.abc import Mapping
from pathlib import Path

_FOLDERS = ("objects/info", "objects/pack", "refs/heads", "refs/tags")
_CONFIG = "[core]\n\trepositoryformatversion = 0\n\tfilemode = true\n\tbare = true\n"


def make_bare(path: Path, default_branch: str) -> None:
    """What `git init --bare --template=` makes of a missing directory."""
    for folder in _FOLDERS:
        (path / folder).mkdir(parents=True)
    (path / "config").write_text(_CONFIG)
    (path / "HEAD").write_text(f"ref: refs/heads/{default_branch}\n")


def first_commit(
    path: Path, branch: str, files: Mapping[str, str], message: str, person: str
) -> str:
    """Put ``files`` into a repository without any branch; the commit's hash.

    ``person`` is a name with an address, as in "Ann <ann@example.org>".
    """
    at = f"{person} {int(time.time())} +0000"
    tree = _tree(path / "objects", {tuple(name.split("/")): text for name, text in files.items()})
    commit = f"tree {tree}\nauthor {at}\ncommitter {at}\n\n{message}"
    sha = _write(path / "objects", "commit", commit.encode())
    (path / "refs/heads" / branch).write_text(f"{sha}\n")
    return sha


def _tree(objects: Path, files: Mapping[tuple[str, ...], str]) -> str:
    """``files``: their content by the parts of their paths."""
    rows: dict[bytes, bytes] = {}  # by what git orders them: a folder's name ends with a slash
    folders: dict[str, dict[tuple[str, ...], str]] = {}
    for (name, *inside), text in files.items():
        if inside:
            folders.setdefault(name, {})[tuple(inside)] = text
        else:
            blob = _write(objects, "blob", text.encode())
            rows[name.encode()] = _row("100644", name, blob)
    for name, content in folders.items():
        rows[f"{name}/".encode()] = _row("40000", name, _tree(objects, content))
    return _write(objects, "tree", b"".join(rows[name] for name in sorted(rows)))


def _row(mode: str, name: str, sha: str) -> bytes:
    return f"{mode} {name}\0".encode() + bytes.fromhex(sha)


def _write(objects: Path, kind: str, content: bytes) -> str:
    """A loose object."""
    whole = f"{kind} {len(content)}\0".encode() + content
    sha = hashlib.sha1(whole, usedforsecurity=False).hexdigest()
    file = objects / sha[:2] / sha[2:]
    file.parent.mkdir(exist_ok=True)
    if not file.exists():
        file.write_bytes(zlib.compress(whole, 1))
        file.chmod(0o444)
    return sha
