"""Who is who, proven: a person says which account is theirs, and comments with a code from it.

The comment has to be nothing but the code, and unchanged: a code that somebody quotes proves
nothing, nor does one that was written into another's comment.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Collection, Iterable
from datetime import UTC, datetime, timedelta

from msgspec.structs import replace

from fleetbot.domain.errors import Conflict, Invalid
from fleetbot.domain.model import same_name
from fleetbot.domain.wording import span
from fleetbot.forge.client import ForgeClient
from fleetbot.forge.models import Comment
from fleetbot.services.fleet import Fleet
from fleetbot.services.people import People
from fleetbot.services.turns import Turns
from fleetbot.store.identities import Claim, Person
from fleetbot.store.records import Change, OutboxEntry

VALID_MS = 15 * 60_000
MOST_CODES = 6  # for a person within an hour
MOST_LOOKS = 4  # the same; each is dozens of calls of the forge
_LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"  # none that look alike
_CODE = re.compile(rf"[\s`*]*(?P<code>(?ai:fleet-[{_LETTERS}]{{8}}))[\s`*]*")  # a long s is none
_LOGIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}\Z")
_CLOCKS_DIFFER = timedelta(minutes=2)


def is_proof(comment: Comment) -> bool:
    """Whether it is a code and nothing else, by nobody's later hand."""
    unchanged = comment.updated_at in (None, comment.created_at)
    return unchanged and _CODE.fullmatch(comment.body) is not None


Told = Callable[[Claim, int], OutboxEntry]  # the words for it, and since when (epoch ms)


class Proofs:
    """`told`: what a room hears of a claim that was proven behind its back."""

    def __init__(
        self,
        fleet: Fleet,
        client: ForgeClient,
        people: People,
        told: Told,
    ) -> None:
        self._fleet = fleet
        self._client = client
        self._people = people
        self._told = told
        self._codes = Turns(MOST_CODES)
        self._looks = Turns(MOST_LOOKS)

    async def claim(self, mxid: str, login: str, room: str) -> Claim:
        """What somebody has to prove; the same while it can be.

        Raises Invalid for what is no login, Conflict where the settings say something else or the
        person has had too many codes.
        """
        if not _LOGIN.match(login):
            raise Invalid(f"{login!r} is no account's name on Forgejo.", field="login")
        owner = self._people.listed(login)
        if owner and owner != mxid:
            raise Conflict(
                f"The settings say that {login} is {owner}; `chat.people` would have to change.",
                field="login",
            )
        known, now = await self._fleet.store.claim(mxid), self._fleet.clock()
        if known and known.expires_at > now and same_name(known.login, login):
            return known
        if again := self._codes.take(mxid, now):
            had = f"You have had {MOST_CODES} codes within an hour"
            raise Conflict(f"{had}; there is another in {span(again - now)}.", field="login")
        code = "fleet-" + "".join(secrets.choice(_LETTERS) for _ in range(8))
        claim = Claim(
            mxid=mxid, login=login, code=code, room=room, asked_at=now, expires_at=now + VALID_MS
        )
        await self._fleet.store.append(Change(claims=(claim,)))
        return claim

    async def look(self, claim: Claim, repos: Collection[str]) -> bool:
        """Whether it is proven by a comment in one of the repositories: for where no webhook told.

        Raises Conflict where it was looked for too often, and the errors of the forge.
        """
        now = self._fleet.clock()
        if again := self._looks.take(claim.mxid, now):
            raise Conflict(
                f"I have looked for your comment {MOST_LOOKS} times within an hour. I notice it by"
                f" myself where Forgejo's webhook tells of it, and look again in"
                f" {span(again - now)} if you ask then.",
                field="login",
            )
        since = datetime.fromtimestamp(claim.asked_at / 1000, UTC) - _CLOCKS_DIFFER
        for repo in repos:
            for issue in (await self._client.changed_issues(repo, since)).items:
                comments = await self._client.comments(repo, issue.number, since=since)
                if any(_proves(comment, claim) for comment in comments):
                    await self._settle(claim)
                    return True
        return False

    async def heard(self, comment: Comment) -> None:
        """A comment was made: whoever is proven by it is told where they asked."""
        claims: Iterable[Claim] = await self._fleet.store.claims(self._fleet.clock())
        for claim in claims:
            if _proves(comment, claim):
                await self._settle(claim, self._told(claim, self._fleet.clock()))

    async def _settle(self, claim: Claim, *told: OutboxEntry) -> None:
        now = self._fleet.clock()
        person = Person(login=claim.login, mxid=claim.mxid, proven_at=now)
        over = replace(claim, expires_at=0)
        await self._fleet.post(Change(people=(person,), claims=(over,), outbox=told))


def _proves(comment: Comment, claim: Claim) -> bool:
    found = _CODE.fullmatch(comment.body)
    is_code = found is not None and secrets.compare_digest(found["code"].lower(), claim.code)
    return is_code and is_proof(comment) and same_name(comment.author, claim.login)
