"""What every store does the same: appends go to the writer's thread, reads to connections of their
own."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from pathlib import Path

from fleetbot.domain.model import AgentName, RunId
from fleetbot.spread import QUICK, Spread
from fleetbot.store import identities, outbox
from fleetbot.store.archive.archiving import Archived, archive
from fleetbot.store.causes import why
from fleetbot.store.database import Database, Source, Statement
from fleetbot.store.identities import Person
from fleetbot.store.interface import StoreUnavailable
from fleetbot.store.journal import Journal
from fleetbot.store.queries import Queries
from fleetbot.store.records import AgentToken, Arrival, Change, Due, LogChunk, Snapshot
from fleetbot.store.retention import OLD_LOGS
from fleetbot.store.snapshot import snapshot
from fleetbot.store.untaken import Untaken
from fleetbot.store.writer import Writer

_PRUNED_AT_ONCE = 2000
_LOGS_AT_ONCE = 20


class JournalStore(Queries, ABC):
    """`Store` on whatever a source has connections to; see `interface.Store`."""

    def __init__(self, source: Source) -> None:
        super().__init__(source)
        self._source = source
        self._writer: Writer | None = None
        self._untaken = Untaken()
        self.commit_times = Spread(QUICK)
        self.failure = ""
        self._loaded = False
        self._tokens: dict[AgentName, bytes] = {}  # asked with every request, changed rarely
        self._holders: dict[bytes, AgentName] = {}
        self._people: dict[str, str] = {}

    async def open(self) -> None:
        await self._retire_writer()
        self._reads.open()
        self._reports.open()
        self._untaken = Untaken()
        self._writer = Writer(self._source, self._untaken, self.commit_times, self._note)
        await self._writer.start()

    def _note(self, error: Exception | None) -> None:
        self.failure = why(error) if error else ""

    async def load(self) -> Snapshot:
        await self.open()
        found = await self._reads.run(snapshot)
        self._tokens, self._holders = {}, {}
        for agent, hash in await self._reads.rows("SELECT agent, hash FROM agent_tokens"):
            self._hold(AgentToken(agent=agent, hash=hash))
        self._people = {}
        for row in await self._reads.rows(identities.PEOPLE):
            self._know(Person(login=row[0], mxid=row[1], proven_at=row[2]))
        self._loaded = True
        return found

    @abstractmethod
    async def size(self) -> int: ...

    async def close(self) -> None:
        await self._retire_writer()
        for reader in (self._reads, self._reports):
            await reader.close()

    async def _retire_writer(self) -> None:
        self._loaded = False
        if self._writer is not None:
            await self._writer.stop()
            self._writer = None

    # writing

    @property
    def loaded(self) -> bool:
        return self._loaded and self._writer is not None and self._writer.accepts

    def submit(self, change: Change) -> asyncio.Future[None]:
        durable = self._loaded_writer().submit(change)
        if change.tokens or change.people:
            durable.add_done_callback(partial(self._learn, change))
        return durable

    def _learn(self, change: Change, durable: asyncio.Future[None]) -> None:
        if not durable.cancelled() and durable.exception() is None:
            for token in change.tokens:
                self._hold(token)
            for person in change.people:
                self._know(person)

    def _know(self, person: Person) -> None:
        login = person.login.lower()
        self._people.pop(login, None)  # the newest stands last
        self._people[login] = person.mxid

    def _hold(self, token: AgentToken) -> None:
        if (old := self._tokens.pop(token.agent, None)) is not None:
            self._holders.pop(old, None)
        if token.hash is not None:
            self._tokens[token.agent] = token.hash
            self._holders[token.hash] = token.agent

    async def append(self, change: Change) -> None:
        await self.submit(change)

    async def keep(self, arrival: Arrival) -> bool:
        kept: bool = await self._loaded_writer().submit(arrival)
        return kept

    async def append_log(self, chunk: LogChunk) -> int:
        writer = self._loaded_writer()
        length: int = await writer.submit(lambda journal: journal.append_log(chunk))
        return length

    async def due(self, now: int, room: Mapping[str, int], busy: Collection[str] = ()) -> list[Due]:
        def hand_out(database: Database) -> list[Due]:
            found = outbox.due(database, now, room, busy)
            self._untaken.take(due.entry for due in found)
            return found

        return await self._reads.run(hand_out)

    async def prune(self, before: int) -> int:
        def prune(journal: Journal) -> int:
            return journal.prune(before, _PRUNED_AT_ONCE)

        total = 0
        while True:  # in portions, so that appends get their turn in between
            pruned: int = await self._loaded_writer().submit(prune)
            total += pruned
            if pruned < _PRUNED_AT_ONCE:
                return total

    async def prune_logs(self, before: int) -> int:
        writer, lines = self._loaded_writer(), 0
        while rows := await self._reports.rows(OLD_LOGS, before, _LOGS_AT_ONCE):
            runs = [RunId(run) for (run,) in rows]
            lines += await writer.submit(partial(Journal.delete_logs, runs=runs))
        await writer.submit(partial(Journal.prune_anchors, before=before))
        await writer.submit(partial(Journal.prune_posted, before=before))
        return lines

    async def archive(self, folder: Path, before: int, now: int, least: int) -> Archived:
        return await archive(self, folder, before, now, least=least)

    async def change(self, statements: Sequence[Statement]) -> list[int]:
        work = partial(Journal.change, statements=statements)
        changed: list[int] = await self._loaded_writer().submit(work)
        return changed

    async def revive(self, letter: int | None, now: int) -> int:
        def revive(journal: Journal) -> int:
            return journal.outbox.revive(letter, now)

        revived: int = await self._loaded_writer().submit(revive)
        return revived

    async def dismiss(self, letter: int | None) -> int:
        writer = self._loaded_writer()
        dismissed: int = await writer.submit(lambda journal: journal.outbox.dismiss(letter))
        return dismissed

    async def set_back(self, now: int, by: int | None = None) -> int:
        writer = self._loaded_writer()
        ahead: int = await writer.submit(lambda journal: journal.outbox.set_back(now, by))
        return ahead

    def _open_writer(self) -> Writer:
        if self._writer is None:
            raise StoreUnavailable("the store is not open")
        return self._writer

    def _loaded_writer(self) -> Writer:
        if not self._loaded:
            raise StoreUnavailable("the store must be loaded first")
        return self._open_writer()

    # tokens and people

    async def token_hash(self, agent: AgentName) -> bytes | None:
        return self._tokens.get(agent)

    async def agent_by_token_hash(self, hash: bytes) -> AgentName | None:
        return self._holders.get(hash)

    @property
    def people(self) -> Mapping[str, str]:
        return self._people
