"""Who somebody is on Forgejo: they say it, and prove it by a comment from there."""

from __future__ import annotations

from collections.abc import Mapping

from fleetbot.chat.commands import spec
from fleetbot.chat.commands.desk import Desk
from fleetbot.chat.commands.handlers import Handler
from fleetbot.chat.commands.said import Said
from fleetbot.chat.speaking.sender import kept
from fleetbot.chat.words import knowing as words
from fleetbot.chat.words.post import Post
from fleetbot.domain.wording import nickname
from fleetbot.services.people import People
from fleetbot.services.proofs import Proofs
from fleetbot.services.repositories import Repositories
from fleetbot.store.identities import Claim
from fleetbot.store.records import OutboxEntry

_AT_ONCE = 20  # repositories that are looked at for a comment


class Knowing:
    def __init__(
        self, desk: Desk, people: People, proofs: Proofs, repositories: Repositories
    ) -> None:
        self._desk = desk
        self._people = people
        self._proofs = proofs
        self._repositories = repositories

    @property
    def handlers(self) -> Mapping[type, Handler]:
        return {spec.Iam: self.iam}

    async def iam(self, command: spec.Iam, said: Said) -> Post:
        login, now = command.login.lstrip("@"), self._desk.fleet.clock()
        if self._people.mxid_of(login) == said.sender:
            return Post(words.known(login))
        claim = await self._proofs.claim(said.sender, login, said.name)
        repos = [repo for repo in self._repositories.names() if self._desk.hears(said)(repo)]
        if claim.asked_at < now and await self._proofs.look(claim, repos[:_AT_ONCE]):
            return Post(words.proven(login, nickname(said.sender)))
        return Post(words.how_to_prove(claim, said.default_repo or "", now))


def told(claim: Claim, now: int) -> OutboxEntry:
    """What the room where it was claimed hears, once it is proven."""
    post = Post(words.proven(claim.login, nickname(claim.mxid)))
    return kept(claim.room, post, id=f"iam:{claim.mxid}:{claim.code}", at=now)
