"""What can be wrong with a fleet's database, and what helps."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum

import msgspec

Progress = Callable[[str, int], None]
"""Called now and then with what is being done, and how many lines that has come to."""


def in_silence(doing: str, lines: int) -> None:
    pass


class Damage(StrEnum):
    """What is wrong, and so what helps."""

    FILE = "file"  # a backup
    JOURNAL = "journal"  # a backup
    NEWER = "newer"  # the fleetbot that wrote it
    ARCHIVE = "archive"  # to look into the archive, too
    MODELS = "models"  # a rebuild


WAYS_OUT = {
    Damage.FILE: "restore a backup",
    Damage.JOURNAL: "restore a backup",
    Damage.NEWER: "use the fleetbot that wrote it",
    Damage.ARCHIVE: "give the archive with --archive",
    Damage.MODELS: "make the read models anew (fleetbot db rebuild)",
}


_WORDS = {Damage.NEWER: "cannot be read", Damage.ARCHIVE: "is not all here"}


class Problem(msgspec.Struct, frozen=True):
    """`where` is `event <seq>`, `<table> <key>`, or what is wrong as a whole."""

    where: str
    text: str
    damage: Damage = Damage.MODELS


class JournalDamaged(Exception):
    """The journal cannot be trusted, or not be read by this fleetbot."""

    def __init__(self, problem: Problem) -> None:
        what = _WORDS.get(problem.damage, "is damaged")
        found, helps = f"{problem.where}: {problem.text}", WAYS_OUT[problem.damage]
        super().__init__(f"the journal {what}: {found}; {helps}")
        self.problem = problem
