"""The schema that holds everything: maubot makes it for the instance, others may have to."""

from __future__ import annotations

from fleetbot.store.database import Database
from fleetbot.store.postgres.address import Address


def make_schema(database: Database, address: Address) -> None:
    """Makes it if it is not there; it may be made by a role only that may make schemas."""
    there = "SELECT 1 FROM pg_namespace WHERE nspname = ?"
    if database.execute(there, (address.schema,)).fetchone() is None:
        database.execute(f"CREATE SCHEMA {address.quoted_schema}")
