"""Where the forge's branches are, by its API: quicker than git, which has to start and connect."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TypeVar
from urllib.parse import quote

import msgspec

from fleetbot.runner.failure import RunFailed
from fleetbot.runner.forge.http import Away, Calls, repo_path

_T = TypeVar("_T")
_HEADS = "refs/heads/"
_ALL = "/*"
_SECONDS = 5.0


class _Commit(msgspec.Struct, frozen=True):
    id: str


class _Head(msgspec.Struct, frozen=True):
    commit: _Commit


class _Object(msgspec.Struct, frozen=True):
    sha: str


class _Reference(msgspec.Struct, frozen=True):
    ref: str
    object: _Object


class Refs:
    """Refs of a repository and their commits."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    async def look(self, repo: str, names: Sequence[str]) -> dict[str, str] | None:
        """Those of these refs that there are, by full names; `refs/x/*` is all that are below.

        One quick look, which spares a `git ls-remote`: where it tells nothing (None) git is asked.
        """
        try:
            async with asyncio.timeout(_SECONDS):
                found = await asyncio.gather(*(self._find(repo, name) for name in names))
        except (Away, RunFailed, TimeoutError):
            return None
        return {ref: commit for some in found for ref, commit in some.items()}

    async def _find(self, repo: str, name: str) -> dict[str, str]:
        folder = name.removesuffix(_ALL)
        if folder != name:
            rows = await self._read(list[_Reference], repo, f"git/{folder}") or []
            return {row.ref: row.object.sha for row in rows if row.ref.startswith(f"{folder}/")}
        head = await self._read(_Head, repo, f"branches/{name.removeprefix(_HEADS)}")
        return {name: head.commit.id} if head else {}

    async def _read(self, kind: type[_T], repo: str, path: str) -> _T | None:
        """None where there is no such thing. Raises Away, RunFailed."""
        answer = await self._calls.send("GET", f"{repo_path(repo)}/{quote(path)}")
        if answer.status == 404:
            return None
        return self._calls.read(answer, kind, f"reading {path} of {repo}")
