"""What setup writes into the plugin's configuration, and how it is taken out again: pure.

The configuration is changed in place, so that comments and everything else stay. To do it twice
changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, MutableMapping, MutableSequence
from typing import Any

import msgspec

from fleetbot.domain.model import same_name

Config = MutableMapping[str, Any]
Edit = Callable[[Config], None]


class Written(msgspec.Struct, frozen=True, omit_defaults=True):
    """What of it was not there before: the repository's name among those of the fleet, the room,
    the repository in the room's list, the room's default."""

    listed: bool = False
    room: bool = False
    heard: bool = False
    default: bool = False


def written(config: Config, room: str, repo: str) -> Written:
    """What `enlist` would add."""
    its = _section(config, "rooms").get(room)
    if its is None:
        return Written(listed=not _is_listed(config, repo), room=True)
    repos = its.get("repos") or []
    return Written(
        listed=not _is_listed(config, repo),
        heard=bool(repos) and not _names(repos, repo),
        default=not its.get("default_repo") and len(repos) == 0 and _alone(config, repo),
    )


def enlist(config: Config, room: str, repo: str) -> None:
    """Have the fleet work on the repository, and the room hear of it."""
    new = written(config, room, repo)
    if new.listed:
        _listed(config).append(repo)
    rooms = _section(config, "rooms")
    if new.room:
        rooms[room] = {"repos": [repo], "default_repo": repo}
    if new.heard:
        rooms[room]["repos"].append(repo)
    if new.default:
        rooms[room]["default_repo"] = repo


def delist(config: Config, room: str, repo: str, what: Written) -> None:
    """Take out again what was written, where it is still there."""
    rooms = _section(config, "rooms")
    its = rooms.get(room)
    if its is not None:
        _unmap(rooms, room, repo, what)
    if what.listed and not _is_needed(rooms, repo):
        _drop(_listed(config), repo)


def _unmap(rooms: Config, room: str, repo: str, what: Written) -> None:
    """A list that became empty would mean all repositories."""
    its, repos = rooms[room], rooms[room].get("repos") or []
    if what.room and all(same_name(name, repo) for name in repos):
        del rooms[room]
        return
    if (what.default or what.room) and same_name(its.get("default_repo") or "", repo):
        del its["default_repo"]
    if (what.heard or what.room) and not all(same_name(name, repo) for name in repos):
        _drop(repos, repo)


def _section(config: Config, name: str) -> Config:
    if config.get(name) is None:
        config[name] = {}
    section: Config = config[name]
    return section


def _listed(config: Config) -> MutableSequence[str]:
    forge = _section(config, "forge")
    if forge.get("repositories") is None:
        forge["repositories"] = []
    repositories: MutableSequence[str] = forge["repositories"]
    return repositories


def _is_listed(config: Config, repo: str) -> bool:
    return _names(_listed(config), repo)


def _alone(config: Config, repo: str) -> bool:
    return all(same_name(name, repo) for name in _listed(config))


def _names(names: MutableSequence[str], repo: str) -> bool:
    return any(same_name(name, repo) for name in names)


def _drop(names: MutableSequence[str], repo: str) -> None:
    for place in reversed(range(len(names))):
        if same_name(names[place], repo):
            del names[place]


def _is_needed(rooms: Config, repo: str) -> bool:
    """Whether another room still names it: a room may name none that is not listed."""
    named = (
        name
        for its in rooms.values()
        for name in (*(its.get("repos") or []), its.get("default_repo") or "")
    )
    return any(same_name(name, repo) for name in named)
