"""Who is who, and who may enrol an agent: rows, and their SQL. Times are epoch milliseconds."""

from __future__ import annotations

import msgspec

from fleetbot.domain.model import AgentName
from fleetbot.store.database import Database


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """Base of these rows: the fields are the columns, the first one is the key."""


class Person(Identity, frozen=True):
    """An account on Forgejo whose owner is `mxid`, as was proven."""

    login: str
    mxid: str
    proven_at: int


class Claim(Identity, frozen=True):
    """`mxid` says that the account is theirs: a comment of it with `code` proves it in time.

    `room` is the settings' id of the room where it was said. One that is over expires at once.
    """

    mxid: str
    login: str
    code: str
    room: str
    asked_at: int
    expires_at: int


class Enrolment(Identity, frozen=True):
    """A token, kept as its hash, with which `agent` may enrol once before `expires_at`.

    `id`: what asked for it, `actor`: who. `room` and `event`: the message that has the token, empty
    where there is none, or none any more; a `room` alone is one where it may have been told.
    """

    id: str
    agent: AgentName
    hash: bytes
    actor: str
    made_at: int
    expires_at: int
    used_at: int = 0
    room: str = ""
    event: str = ""


PEOPLE = "SELECT login, mxid, proven_at FROM people ORDER BY proven_at, login"
CLAIM = "SELECT mxid, login, code, room, asked_at, expires_at FROM claims WHERE mxid = ?"
CLAIMS = """
SELECT mxid, login, code, room, asked_at, expires_at FROM claims WHERE expires_at > ?
ORDER BY asked_at
"""
_ENROLMENT = """
SELECT id, agent, hash, actor, made_at, expires_at, used_at, room, event FROM enrolments
"""
ENROLMENT_OF_HASH = f"{_ENROLMENT} WHERE hash = ?"
ENROLMENTS_OF_AGENT = f"{_ENROLMENT} WHERE agent = ? ORDER BY made_at, id"
ENROLMENTS_TOLD = f"{_ENROLMENT} WHERE room <> '' ORDER BY made_at, id"


def prune(database: Database, before: int) -> None:
    """Forgets what was over before, but for messages with a token that are still to be redacted."""
    database.execute("DELETE FROM claims WHERE expires_at < ?", (before,))
    database.execute("DELETE FROM enrolments WHERE expires_at < ? AND room = ''", (before,))
