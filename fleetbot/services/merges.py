"""Whether a commit is what a clean merge of two others gives, file by file."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import NamedTuple, TypeVar

from fleetbot.domain.three_way import merged
from fleetbot.forge.client import ForgeClient

T = TypeVar("T")

_FOLDER, _FILES = "040000", frozenset({"100644", "100755"})
_MOST_FOLDERS = 60  # in which both sides have changed something
_MOST_TEXTS = 60
_LARGEST = 512 * 1024  # bytes of a text that is put together


class _Entry(NamedTuple):
    mode: str
    sha: str


class _Place(NamedTuple):
    """One name, or the root, on all sides; None where a side has nothing there."""

    base: _Entry | None
    ours: _Entry | None
    theirs: _Entry | None
    found: _Entry | None


async def is_clean_merge(
    client: ForgeClient, repo: str, base: str, ours: str, theirs: str, found: str
) -> bool:
    """Whether `found` has the files of the merge of `ours` and `theirs`, which come from `base`;
    all commits. Not where that cannot be told: both have changed a file near the same place, or
    moved it, or too many. Raises the client's errors."""
    root = _Place(*(_Entry(_FOLDER, sha) for sha in (base, ours, theirs, found)))
    folders, texts = [root], list[_Place]()
    for _ in range(_MOST_FOLDERS):
        if not folders:
            return len(texts) <= _MOST_TEXTS and await _all_fit(client, repo, texts)
        for place in await _within(client, repo, folders.pop()):
            if _is_settled(place):
                continue
            if _is_folder(place):
                folders.append(place)
            elif _is_text(place):
                texts.append(place)
            else:
                return False
    return False


async def _within(client: ForgeClient, repo: str, folder: _Place) -> list[_Place]:
    base, ours, theirs, found = await asyncio.gather(
        *(_entries(client, repo, side) for side in folder)
    )
    names = {*base, *ours, *theirs, *found}
    return [_Place(base.get(n), ours.get(n), theirs.get(n), found.get(n)) for n in names]


async def _entries(client: ForgeClient, repo: str, folder: _Entry | None) -> Mapping[str, _Entry]:
    if folder is None:
        return {}
    entries = await client.root_entries(repo, folder.sha)
    return {one.path: _Entry(one.mode, one.sha) for one in entries}


def _is_settled(place: _Place) -> bool:
    """Whether one side alone has changed it, or both alike, and that is what was found."""
    base, ours, theirs, found = place
    return found in _choices(base, ours, theirs)


def _choices(base: T, ours: T, theirs: T) -> tuple[T, ...]:
    """What a merge takes; nothing where both sides have made something else of it."""
    if ours in (base, theirs):
        return (theirs,)
    return (ours,) if theirs == base else ()


def _is_folder(place: _Place) -> bool:
    base, *sides = place
    kinds = {side.mode if side else "" for side in sides}
    return kinds == {_FOLDER} and (base is None or base.mode == _FOLDER)


def _is_text(place: _Place) -> bool:
    base, ours, theirs, found = place
    if base is None or ours is None or theirs is None or found is None:
        return False
    are_files = _FILES.issuperset(side.mode for side in (base, ours, theirs, found))
    differ = not _choices(base.sha, ours.sha, theirs.sha)
    return are_files and differ and found.mode in _choices(base.mode, ours.mode, theirs.mode)


async def _all_fit(client: ForgeClient, repo: str, texts: list[_Place]) -> bool:
    for place in texts:
        sides = [side.sha for side in place if side]
        base, ours, theirs, found = await asyncio.gather(*(client.blob(repo, sha) for sha in sides))
        if max(map(len, (base, ours, theirs))) > _LARGEST:
            return False
        if await asyncio.to_thread(merged, base, ours, theirs) != found:
            return False
    return True
