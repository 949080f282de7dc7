"""A database with the schema in it, made once for each process: to make it takes a tenth of a
second, and most tests want one of their own."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from fleetbot.store.migrate import migrate_sqlite


def migrated(path: Path) -> None:
    """Has a database at `path`, with the newest schema; one that is there stays as it is."""
    if not path.exists():
        path.write_bytes(_template())


@cache
def _template() -> bytes:
    with TemporaryDirectory(prefix="fleetbot-template-") as folder:
        path = Path(folder) / "fleet.db"
        migrate_sqlite(path)
        return path.read_bytes()
