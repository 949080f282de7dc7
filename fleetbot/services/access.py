"""Who holds which token. Tokens are random, shown once, and kept as hashes."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Iterable

import msgspec

from fleetbot.domain.model import AgentName
from fleetbot.store.identities import Enrolment
from fleetbot.store.interface import Store

AGENT_PREFIX = "fba_"
ENROLMENT_PREFIX = "fbe_"


class TokenSets(msgspec.Struct, frozen=True, kw_only=True):
    """The tokens of the configuration: who may enrol agents, read, and act as an operator."""

    enrolment: tuple[str, ...] = ()
    reader: tuple[str, ...] = ()
    operator: tuple[str, ...] = ()


def new_agent_token() -> str:
    """256 random bits; the prefix tells people and secret scanners what it is."""
    return AGENT_PREFIX + secrets.token_urlsafe(32)


def new_enrolment_token() -> str:
    """As random as an agent's, for one agent to enrol with once."""
    return ENROLMENT_PREFIX + secrets.token_urlsafe(32)


def token_hash(token: str) -> bytes:
    """SHA-256: enough for a random token, which cannot be guessed from a word list."""
    return hashlib.sha256(token.encode()).digest()


def _is_one_of(token: str, hashes: Iterable[bytes]) -> bool:
    """Constant time: every token is compared, whichever matches."""
    found, digest = False, token_hash(token)
    for known in hashes:
        found |= hmac.compare_digest(digest, known)
    return found


class Access:
    """Answers who a bearer token belongs to."""

    def __init__(self, store: Store, tokens: TokenSets) -> None:
        self._store = store
        self._enrolment, self._reader, self._operator = (
            tuple(map(token_hash, some))
            for some in (tokens.enrolment, tokens.reader, tokens.operator)
        )

    async def agent(self, token: str) -> AgentName | None:
        """The agent that the token was given to."""
        if not token.startswith(AGENT_PREFIX):
            return None
        digest = token_hash(token)
        name = await self._store.agent_by_token_hash(digest)
        stored = await self._store.token_hash(name) if name else None
        return name if stored and hmac.compare_digest(stored, digest) else None

    async def enrolment(self, token: str) -> Enrolment | None:
        """What was made with the token, for one agent to enrol; it may be used or over."""
        if not token.startswith(ENROLMENT_PREFIX):
            return None
        digest = token_hash(token)
        found = await self._store.enrolment(digest)
        return found if found and hmac.compare_digest(found.hash, digest) else None

    def may_enrol(self, token: str) -> bool:
        return _is_one_of(token, self._enrolment)

    def may_read(self, token: str) -> bool:
        return _is_one_of(token, self._reader) or self.may_operate(token)

    def may_operate(self, token: str) -> bool:
        return _is_one_of(token, self._operator)

    def mark(self, token: str) -> str:
        """What tells a token to read with from others, and is good for nothing itself."""
        return token_hash(token).hex()

    def is_mark(self, mark: str) -> bool:
        """Whether the token with this mark may still read. Constant time, as above."""
        found = False
        for known in (*self._reader, *self._operator):
            found |= hmac.compare_digest(mark, known.hex())
        return found
