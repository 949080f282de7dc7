"""Who has which power in a room, from its state: pure (client-server API, "Permissions").

Levels may be text in old rooms, and anything in a room of a careless client: what is no number
counts as if it were not there. In rooms from version 12 on creators have power without end.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

ENDLESS = 2**60  # more than any level: those are below 2**53
_BEFORE_CREATORS = frozenset({*map(str, range(1, 12)), ""})
Content = Mapping[str, Any]


class Power(NamedTuple):
    """`levels`: the content of `m.room.power_levels`, None where there is none; `create`: the event
    `m.room.create`, whole."""

    levels: Content | None
    create: Content

    def of(self, user: str) -> int:
        if user in self._creators:
            return ENDLESS
        if self.levels is None:
            return 100 if user == self.create.get("sender") else 0
        own = _level(_map(self.levels.get("users")).get(user))
        return own if own is not None else _level(self.levels.get("users_default")) or 0

    def for_state(self, kind: str) -> int:
        """What it takes to set state of this kind."""
        if self.levels is None:
            return 0
        own = _level(_map(self.levels.get("events")).get(kind))
        if own is not None:
            return own
        default = _level(self.levels.get("state_default"))
        return 50 if default is None else default

    @property
    def _creators(self) -> frozenset[str]:
        content = _map(self.create.get("content"))
        if str(content.get("room_version", "1")) in _BEFORE_CREATORS:
            return frozenset()
        others = content.get("additional_creators")
        named = others if isinstance(others, list) else []
        return frozenset({str(self.create.get("sender")), *map(str, named)})


def _level(value: object) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        return int(value)
    except (ValueError, OverflowError):
        return None


def _map(value: object) -> Content:
    return value if isinstance(value, dict) else {}
