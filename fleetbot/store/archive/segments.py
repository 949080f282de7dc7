"""An archive's files: segments of the journal, compressed, each linked to the one before it.

A segment holds every line from `first` to `last`, whatever the database still has of them. The
manifest beside them names them all; the database knows the same of those that count.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import zlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

from fleetbot.store import lines
from fleetbot.store.causes import meaning
from fleetbot.store.chain import Chain, ChainBroken, Head, JournalLine
from fleetbot.store.emerging import emerging, sync
from fleetbot.store.ownership import give_to_the_folders_owner

MANIFEST = "manifest.jsonl"
_LEVEL = 6
_CHUNK = 1 << 20


class ArchiveRefused(Exception):
    """Nothing was archived, or the archive is not what it should be; the text says what helps."""


class Segment(msgspec.Struct, frozen=True):
    """`previous`: the hash of the line before its first; `hash`: of its last. In hexadecimal.

    `size` (bytes) and `sha256` are the file's.
    """

    first: int
    last: int
    previous: str
    hash: str
    name: str
    size: int
    sha256: str
    made_at: int

    @property
    def head(self) -> Head:
        return Head(self.last, bytes.fromhex(self.hash))


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Segment)


class Folder:
    """Where the segments are. Its methods block."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def manifest(self) -> list[Segment]:
        """Raises `ArchiveRefused` where it cannot be read."""
        file = self.path / MANIFEST
        try:
            return [_decoder.decode(line) for line in file.read_bytes().splitlines()]
        except FileNotFoundError:
            return []
        except (OSError, msgspec.DecodeError) as error:
            raise ArchiveRefused(f"{file} cannot be read: {meaning(error)}") from error

    def check(self, known: Sequence[Segment]) -> list[Segment]:
        """That all are here that the database knows of; those it does not know.

        Raises `ArchiveRefused`.
        """
        if not self.path.is_dir():
            raise ArchiveRefused(f"there is no folder {self.path}")
        there = {segment.first: segment for segment in self.manifest()}
        for segment in known:
            if there.pop(segment.first, None) != segment:
                raise ArchiveRefused(
                    f"{self.path} is not where the archive of this fleet is: {segment.name} is not"
                    " there as it was made; give the folder with all files of the archive"
                )
            file = self.path / segment.name
            if not file.is_file() or file.stat().st_size != segment.size:
                raise ArchiveRefused(f"{file} is missing or damaged: take it from a backup")
        return list(there.values())

    def begin(self, after: Head) -> Draft:
        return Draft(self, after)

    def enter(self, segment: Segment) -> None:
        """Adds it to the manifest, in the place of what was never the database's."""
        kept = [one for one in self.manifest() if one.first < segment.first]
        with emerging(self.path / MANIFEST) as partial:
            partial.write_bytes(b"".join(_encoder.encode(one) + b"\n" for one in (*kept, segment)))

    def read(self, segment: Segment) -> Iterator[JournalLine]:
        """Its lines, once the file is seen to be what was made. Raises `ArchiveRefused`."""
        file = self.path / segment.name
        try:
            if _sha256(file) != segment.sha256:
                raise ArchiveRefused(f"{file} is damaged: take it from a backup")
            yield from _linked(file, segment)
        except (OSError, EOFError, ValueError, zlib.error, ChainBroken) as error:
            raise ArchiveRefused(f"{file} cannot be read: {meaning(error)}") from error


class Draft:
    """A segment that is being written. It counts only once the database knows of it."""

    def __init__(self, folder: Folder, after: Head) -> None:
        self._folder = folder
        self._after = after
        self._chain = Chain(after)
        self._name = f"journal-{after.seq + 1:012}.jsonl.gz"
        self._partial = folder.path / f"{self._name}.partial"
        self._raw = os.fdopen(
            os.open(self._partial, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600), "wb"
        )
        give_to_the_folders_owner(self._partial)
        self._file = gzip.GzipFile("", "wb", _LEVEL, self._raw, mtime=0)

    @property
    def head(self) -> Head:
        return self._chain.head

    def add(self, page: Sequence[JournalLine]) -> None:
        """Raises `ChainBroken`: what is damaged is not archived."""
        for line in page:
            self._chain.follow(line)
            self._file.write(lines.encode(line))

    def finish(self, now: int) -> Segment:
        """On the disk, read again, and in the manifest."""
        self._file.close()
        self._raw.close()
        sync(self._partial)
        segment = Segment(
            first=self._after.seq + 1,
            last=self.head.seq,
            previous=self._after.hash.hex(),
            hash=self.head.hash.hex(),
            name=self._name,
            size=self._partial.stat().st_size,
            sha256=_sha256(self._partial),
            made_at=now,
        )
        for _ in _linked(self._partial, segment):
            pass
        self._partial.replace(self._folder.path / self._name)
        sync(self._folder.path)
        self._folder.enter(segment)
        return segment

    def discard(self) -> None:
        with suppress(OSError):
            self._raw.close()
        self._partial.unlink(missing_ok=True)


def _linked(file: Path, segment: Segment) -> Iterator[JournalLine]:
    """Raises `ChainBroken` where it is not the segment."""
    chain = Chain(Head(segment.first - 1, bytes.fromhex(segment.previous)))
    with gzip.open(file) as text:
        for row in text:
            line = lines.decode(row)
            chain.follow(line)
            yield line
    if chain.head != segment.head:
        raise ChainBroken(f"it ends with event {chain.head}, not {segment.head}")


def _sha256(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
