"""Where a fleet's database is, as a person names it on a command line."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


class PlaceRefused(Exception):
    """It names no database; the text says what would."""


@dataclass(frozen=True, slots=True)
class SqlitePlace:
    path: Path

    def __str__(self) -> str:
        return str(self.path)


Place = SqlitePlace


def place_of(text: str) -> Place:
    """Raises `PlaceRefused`."""
    if "://" in text:
        raise PlaceRefused(
            f"{text.partition('://')[0]}:// is no database of fleetbot: give the path of its file"
        )
    return SqlitePlace(Path(text))
