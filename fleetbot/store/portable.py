"""The journal as a file: a line of JSON for each of its own, and one that names the last of them.

What is whole can be put into an empty database, and is the same fleet there.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import AsyncIterator, Iterator
from io import BufferedIOBase
from itertools import islice
from pathlib import Path

import msgspec

from fleetbot.store import lines
from fleetbot.store.audit import Audited, check_type, rebuild
from fleetbot.store.causes import meaning
from fleetbot.store.chain import GENESIS, Chain, ChainBroken, Head, JournalLine
from fleetbot.store.copying import refuse_filled
from fleetbot.store.damage import Progress, in_silence
from fleetbot.store.vault import Vault

_PAGE = 1000
_GZIP = b"\x1f\x8b"


class ExportRefused(Exception):
    """Nothing was exported; the text says what would help."""


class ImportRefused(Exception):
    """Nothing has changed; the text names the line of the file."""


class _End(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    head: str


_end = msgspec.json.Decoder(_End)


async def journal(
    source: Audited, since: int = 0, streams: frozenset[str] | None = None
) -> AsyncIterator[bytes]:
    """Its lines; of all, that they are all: what is left out cannot be proven, or put back.

    Raises `ExportRefused` where some are in the archive, which is not at hand.
    """
    if away := await source.away():
        raise ExportRefused(f"{away} events are in the archive: give it with --archive")
    head = Head(0, GENESIS)
    while page := await source.journal_lines(head.seq, _PAGE):
        for line in page:
            if line.at >= since and (streams is None or line.stream in streams):
                yield lines.encode(line)
        head = Head(page[-1].seq, page[-1].hash)
    if not since and streams is None:
        yield msgspec.json.encode(_End(str(head))) + b"\n"


def check(file: Path, tell: Progress = in_silence) -> Head:
    """That all of a fleet's journal is in it, unchanged. Raises `ImportRefused`."""
    chain = Chain()
    end: Head | None = None
    for line in _read(file):
        if isinstance(line, Head):
            end = line
            continue
        _hold(file, chain, line)
        if line.seq % _PAGE == 0:
            tell("lines of the file checked", line.seq)
    if end is not None:
        return end
    raise ImportRefused(
        f"{file}, line {chain.head.seq + 1}: it ends before its last line, which tells where the"
        " journal ends; export it again, without --since and --repo"
    )


async def put_in(file: Path, vault: Vault, tell: Progress = in_silence) -> Head:
    """Fills an empty database with what has been checked; what it raises must undo that."""
    await refuse_filled(vault, await vault.tables())
    found = (line for line in _read(file) if isinstance(line, JournalLine))
    while page := list(islice(found, _PAGE)):
        await vault.insert_lines(page)
        tell("lines of the journal written", page[-1].seq)
    await rebuild(vault, tell)
    return await vault.head()


def _hold(file: Path, chain: Chain, line: JournalLine) -> None:
    number = chain.head.seq + 1
    if line.seq > number == 1:
        why = f"the journal begins with event {line.seq}: export it without --since and --repo"
        raise ImportRefused(f"{file}, line 1: {why}")
    try:
        chain.follow(line)
        check_type(line)
    except ChainBroken as error:
        raise ImportRefused(f"{file}, line {number}: event {line.seq}: {error}") from error


def _read(file: Path) -> Iterator[JournalLine | Head]:
    """The lines, and where they end; raises `ImportRefused`."""
    last = Head(0, GENESIS)
    try:
        with _opened(file) as text:
            for number, row in enumerate(text, start=1):
                where = f"{file}, line {number}"
                if row.startswith(b'{"head"'):
                    yield _ended(row, last, where)
                    if next(text, None) is not None:
                        raise ImportRefused(f"{where}: there is more behind the journal's end")
                    return
                try:
                    line = lines.decode(row)
                except ValueError as error:
                    raise ImportRefused(f"{where}: no line of a journal: {error}") from error
                last = Head(line.seq, line.hash)
                yield line
    except (OSError, EOFError, zlib.error) as error:
        raise ImportRefused(f"{file} cannot be read: {meaning(error)}") from error


def _ended(row: bytes, last: Head, where: str) -> Head:
    try:
        told = _end.decode(row).head
    except msgspec.DecodeError as error:
        raise ImportRefused(f"{where}: no end of a journal: {error}") from error
    if told != str(last):
        raise ImportRefused(f"{where}: the journal ended at {told}, and the file at {last}")
    return last


def _opened(file: Path) -> BufferedIOBase:
    with file.open("rb") as content:
        is_packed = content.read(2) == _GZIP
    return gzip.open(file) if is_packed else file.open("rb")
