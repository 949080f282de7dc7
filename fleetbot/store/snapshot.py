"""What memory starts from, read from the database; and how the rows of values are read."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Any, TypeVar

import msgspec

from fleetbot.domain.events import (
    FleetFrozen,
    FleetResumed,
    FleetThawed,
    Recorded,
    decode,
    event_type,
)
from fleetbot.domain.model import OPEN_STATES, Agent, FiledReceipt, Repo, Run, Task
from fleetbot.domain.state import FLEET_STREAM
from fleetbot.store.database import Database
from fleetbot.store.records import BadRow, Snapshot

T = TypeVar("T")

decode_task = msgspec.json.Decoder(Task).decode
decode_run = msgspec.json.Decoder(Run).decode
decode_receipt = msgspec.json.Decoder(FiledReceipt).decode
decode_agent = msgspec.json.Decoder(Agent).decode
decode_repo = msgspec.json.Decoder(Repo).decode

_FROZEN = ", ".join(f"'{event_type(event)}'" for event in (FleetFrozen, FleetThawed))
EVENTS = "SELECT seq, stream, version, at, actor, cause, data, schema FROM events"

LAST_OF_FLEET = f"""
{EVENTS} WHERE stream = ? AND version IN
    (SELECT max(version) FROM events WHERE stream = ? GROUP BY type IN ({_FROZEN}))
ORDER BY version
"""


def snapshot(database: Database) -> Snapshot:
    """Row by row in Python, so that other threads get their turns while it takes long."""
    bad: list[BadRow] = []

    def values(of: Callable[[str], T], table: str, rest: str, *given: object) -> tuple[T, ...]:
        """`rest` follows the table's name in the query; the first two columns: key, stream."""
        key, stream = _STREAMS[table]
        rows = database.execute(f"SELECT {key}, {stream}, data FROM {table} {rest}", given)
        return tuple(_readable(of, table, rows, bad))

    states = [state.value for state in OPEN_STATES]
    is_open = f"state IN ({marks(states)})"
    of_open = f"task IN (SELECT id FROM tasks WHERE {is_open})"
    return Snapshot(
        seq=database.execute("SELECT coalesce(max(seq), 0) FROM events").fetchone()[0],
        fleet=tuple(_last_of_fleet(database, bad)),
        tasks=values(decode_task, "tasks", f"WHERE {is_open} ORDER BY created_at, id", *states),
        runs=values(decode_run, "runs", f"WHERE {of_open} ORDER BY assigned_at, id", *states),
        receipts=values(
            decode_receipt, "receipts", f"WHERE {of_open} ORDER BY filed_at, id", *states
        ),
        agents=values(decode_agent, "agents", "ORDER BY name"),
        repos=values(decode_repo, "repos", ""),
        bad=tuple(bad),
    )


_STREAMS = {
    "tasks": ("id", "'task:' || id"),
    "runs": ("id", "'task:' || task"),
    "receipts": ("id", "'task:' || task"),
    "agents": ("name", "'agent:' || name"),
    "repos": ("id", "'repo:' || id"),
}


def _readable(
    of: Callable[[str], T], table: str, rows: Iterable[tuple[str, str, str]], bad: list[BadRow]
) -> Iterator[T]:
    for key, stream, data in rows:
        try:
            yield of(data)
        except msgspec.DecodeError as error:
            bad.append(BadRow(table=table, key=key, stream=stream, error=str(error)))


def _last_of_fleet(database: Database, bad: list[BadRow]) -> Iterator[Recorded]:
    """Where one cannot be read, nothing holds the fleet for it: it pauses again if it should."""
    for row in database.execute(LAST_OF_FLEET, (FLEET_STREAM, FLEET_STREAM)).fetchall():
        try:
            yield recorded(row)
        except msgspec.DecodeError as error:
            seq, stream, version, at, actor, cause, *_ = row
            bad.append(BadRow(table="events", key=str(seq), stream=stream, error=str(error)))
            place = {"seq": seq, "stream": stream, "version": version, "at": at}
            yield Recorded(**place, actor=actor, cause=cause, event=FleetResumed())


def marks(values: Collection[object]) -> str:
    return ", ".join("?" * len(values))


def recorded(row: tuple[Any, ...]) -> Recorded:
    seq, stream, version, at, actor, cause, data, schema = row
    return Recorded(
        seq=seq,
        stream=stream,
        version=version,
        at=at,
        actor=actor,
        cause=cause,
        event=decode(data, schema),
    )
