"""The store on Postgres."""

from __future__ import annotations

import os
import socket

from fleetbot.store.base import JournalStore
from fleetbot.store.postgres.address import Address
from fleetbot.store.postgres.connection import Failed, PostgresDatabase
from fleetbot.store.postgres.leadership import Candidate, Leading, Session, take

_SIZE = """
SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = current_schema() AND c.relkind = 'r'
"""


class PostgresSource:
    """A `Source`: a schema that migrations have been applied to. Whoever writes leads."""

    failures: tuple[type[Exception], ...] = (Failed,)

    def __init__(self, address: Address, candidate: Candidate) -> None:
        self.where = address.where
        self._address = address
        self._candidate = candidate
        self._session: Session | None = None

    def writing(self) -> Leading:
        database = take(self._address, self._candidate, self._session)
        self._session = database.session
        return database

    def reading(self) -> PostgresDatabase:
        return PostgresDatabase(self._address, "reader", read_only=True)


class PostgresStore(JournalStore):
    """`Store` on a schema of a Postgres database; see `interface.Store`, `leadership`."""

    def __init__(self, url: str, schema: str, candidate: Candidate | None = None) -> None:
        self.address = Address(url, schema)
        super().__init__(PostgresSource(self.address, candidate or this_process()))

    async def size(self) -> int:
        return int((await self._reports.rows(_SIZE))[0][0])


def this_process() -> Candidate:
    return Candidate(f"process {os.getpid()} on {socket.gethostname()}")
