"""The store on Postgres."""

from __future__ import annotations

import os
import socket
from dataclasses import replace

from fleetbot.store.base import JournalStore
from fleetbot.store.journal import Journal
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
        self.candidate = candidate
        self.leading: Leading | None = None
        self._session: Session | None = None

    def writing(self) -> Leading:
        self.leading = take(self._address, self.candidate, self._session)
        self._session = self.leading.session
        return self.leading

    def forget(self) -> None:
        """It is over; whoever writes next begins anew."""
        self.leading = self._session = None

    def reading(self) -> PostgresDatabase:
        return PostgresDatabase(self._address, "reader", read_only=True)


class PostgresStore(JournalStore):
    """`Store` on a schema of a Postgres database; see `interface.Store`, `leadership`."""

    def __init__(self, url: str, schema: str, candidate: Candidate | None = None) -> None:
        self.address = Address(url, schema)
        self._postgres = PostgresSource(self.address, candidate or this_process())
        super().__init__(self._postgres)

    async def close(self) -> None:
        await super().close()
        self._postgres.forget()

    @property
    def epoch(self) -> int:
        """Of our lead; 0 where there was none."""
        return self._postgres.leading.epoch if self._postgres.leading else 0

    def lease(self, lease: int) -> None:
        """For how many milliseconds each renewal is, from the next on."""
        self._postgres.candidate = replace(self._postgres.candidate, lease=lease)

    async def renew(self) -> None:
        """Raises `Deposed`, `StoreUnavailable`."""

        def renew(journal: Journal) -> None:
            if self._postgres.leading is not None:  # else there would be no journal
                self._postgres.leading.renew(self._postgres.candidate.lease)

        await self._open_writer().submit(renew)

    async def size(self) -> int:
        return int((await self._reports.rows(_SIZE))[0][0])


def this_process() -> Candidate:
    return Candidate(f"process {os.getpid()} on {socket.gethostname()}")
