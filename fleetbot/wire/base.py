"""What all messages are made of: bounded texts and numbers, requests, answers, problems."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

import msgspec
from msgspec import Meta

from fleetbot.domain.model import Priority

API = "api/v1"

# In patterns: Python's `$` also matches before a line feed at the end, JSON Schema's does not.

AgentNameText = Annotated[
    str,
    Meta(
        pattern=r"^[a-z0-9](?:[a-z0-9._-]{0,38}[a-z0-9])?$(?!\n)",
        description="1 to 40 of a-z 0-9 . _ -, beginning and ending with a letter or digit",
    ),
]
CapabilityText = Annotated[
    str,
    Meta(
        pattern=r"^[a-z0-9][a-z0-9._+#-]{0,39}$(?!\n)", description="1 to 40 of a-z 0-9 . _ + # -"
    ),
]
Millis = Annotated[
    int, Meta(ge=0, le=2**53, description="milliseconds since the beginning of 1970")
]
Number = Annotated[int, Meta(ge=1, le=2**31 - 1, description="the number Forgejo gave it")]
IdText = Annotated[str, Meta(pattern=r"^[!-~]{1,200}$(?!\n)", description="an id, as it was given")]
PartText = Annotated[  # what can be a part of a path
    str,
    Meta(
        pattern=r"^[^\x00-\x1f\x7f]{1,200}$(?!\n)",
        description="1 to 200 characters, none of them a control character",
    ),
]
ShortText = Annotated[str, Meta(max_length=200)]
PathText = Annotated[str, Meta(max_length=1000)]
LongText = Annotated[str, Meta(max_length=20_000)]
CommitSha = Annotated[
    str, Meta(pattern=r"^[0-9a-f]{40,64}$(?!\n)", description="full commit id, lower-case hex")
]
Concurrency = Annotated[int, Meta(ge=1, le=64)]
Tokens = Annotated[int, Meta(ge=0, le=10**12)]
Dollars = Annotated[float, Meta(ge=0, le=10**6)]


def one_of(values: Iterable[str]) -> Meta:
    """Described as this closed set, read as any text: whoever sends it may be newer."""
    return Meta(extra_json_schema={"enum": [str(value) for value in values]})


class Message(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of requests."""


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """Base of answers; a reader ignores fields it does not know: a newer server may add some."""


class Problem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """RFC 9457 problem details; `field` names the part of the request at fault."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    field: str | None = None
    replaced_by: str | None = None


def priority_name(priority: Priority) -> str:
    """`high` for `Priority.HIGH`: how priorities are written in JSON and in labels."""
    return priority.name.lower()
