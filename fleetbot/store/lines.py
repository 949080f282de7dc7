"""Lines of the journal as text, one JSON object a line.

`data` is, byte for byte, the text that the line's hash covers.
"""

from __future__ import annotations

import msgspec

from fleetbot.store.chain import JournalLine


class _Line(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    seq: int
    stream: str
    version: int
    type: str
    at: int
    actor: str
    cause: str
    schema: int
    hash: str
    data: msgspec.Raw


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(_Line)


def encode(line: JournalLine) -> bytes:
    """With the line's end."""
    text = _Line(
        seq=line.seq,
        stream=line.stream,
        version=line.version,
        type=line.type,
        at=line.at,
        actor=line.actor,
        cause=line.cause,
        schema=line.schema,
        hash=line.hash.hex(),
        data=msgspec.Raw(line.data),
    )
    return _encoder.encode(text) + b"\n"


def decode(text: bytes) -> JournalLine:
    """Raises ValueError, with what is wrong."""
    line = _decoder.decode(text)
    return JournalLine(
        seq=line.seq,
        stream=line.stream,
        version=line.version,
        type=line.type,
        at=line.at,
        actor=line.actor,
        cause=line.cause,
        data=bytes(line.data).decode(),
        hash=bytes.fromhex(line.hash),
        schema=line.schema,
    )
