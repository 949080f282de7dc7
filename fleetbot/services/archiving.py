"""The events of tasks that are long over go to the archive, where that is wanted."""

from __future__ import annotations

import asyncio
from pathlib import Path

from fleetbot.domain.errors import Conflict
from fleetbot.logs import log_of
from fleetbot.services.fleet import Fleet
from fleetbot.store.archive.segments import ArchiveRefused

_LEAST = 10_000  # lines for which a file is begun

log = log_of("fleetbot.archive")


class NowhereToArchive(Conflict):
    """It is wanted, and there is no place for it."""


class Archiving:
    """`after_ms`: how long a task is over by then; 0 for never."""

    def __init__(self, fleet: Fleet, after_ms: int, folder: Path | None) -> None:
        self._fleet = fleet
        self._after_ms = after_ms
        self._folder = folder

    async def tick(self) -> None:
        """Raises `ArchiveRefused`, `JournalDamaged`, `NowhereToArchive`, `StoreUnavailable`."""
        if not self._after_ms:
            return
        folder, now = await self._made(), self._fleet.clock()
        done = await self._fleet.store.archive(folder, now - self._after_ms, now, _LEAST)
        if done.lines or done.segments:
            log.info(
                "%d events of %d tasks went to the archive %s, which ends at %s",
                done.lines,
                done.tasks,
                folder,
                done.head,
            )

    async def _made(self) -> Path:
        if self._folder is None:
            raise NowhereToArchive(
                "journal.archive_days is set, and on Postgres journal.archive_folder is needed, too"
            )
        try:
            await asyncio.to_thread(self._folder.mkdir, 0o700, exist_ok=True)
        except OSError as error:
            raise ArchiveRefused(f"{self._folder} cannot be made: {error}") from error
        return self._folder
