"""Dead letters over HTTP: look, send again, let go."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta

from fleetbot import wire
from fleetbot.domain.errors import NotFound
from fleetbot.services.dead_letters import DeadLetters
from fleetbot.web.endpoint import (
    Call,
    Endpoint,
    NoBody,
    NoQuery,
    Query,
    operator_posts,
    reader_gets,
)
from fleetbot.web.tasks import Limit

DEAD = f"/{wire.API}/outbox/dead"
LETTER = f"{DEAD}/{{letter}}"

Number = Annotated[int, Meta(ge=0, le=2**53, description="the id of the last letter known")]


class LettersQuery(Query, frozen=True):
    after: Number = 0
    limit: Limit = 100


class OutboxCalls:
    def __init__(self, letters: DeadLetters) -> None:
        self._letters = letters

    def endpoints(self) -> tuple[Endpoint, ...]:
        return (self._reading(), *self._of_one(), *self._of_all())

    def _reading(self) -> Endpoint:
        return reader_gets(DEAD, self.list, "List the effects that were given up, oldest first.")

    def _of_one(self) -> tuple[Endpoint, ...]:
        return (
            operator_posts(
                f"{LETTER}/retry", self.retry, "Send an effect again that was given up."
            ),
            operator_posts(
                f"{LETTER}/dismiss", self.dismiss, "Let go of an effect that was given up."
            ),
        )

    def _of_all(self) -> tuple[Endpoint, ...]:
        return (
            operator_posts(
                f"{DEAD}/retry", self.retry_all, "Send all effects again that were given up."
            ),
            operator_posts(
                f"{DEAD}/dismiss", self.dismiss_all, "Let go of all effects that were given up."
            ),
        )

    async def list(self, call: Call[NoBody, LettersQuery]) -> wire.DeadLetterList:
        return await self._letters.list(call.query.after, call.query.limit)

    async def retry(self, call: Call[NoBody, NoQuery]) -> wire.LettersMoved:
        return await self._letters.retry(_letter(call))

    async def dismiss(self, call: Call[NoBody, NoQuery]) -> wire.LettersMoved:
        return await self._letters.dismiss(_letter(call))

    async def retry_all(self, call: Call[NoBody, NoQuery]) -> wire.LettersMoved:
        return await self._letters.retry(None)

    async def dismiss_all(self, call: Call[NoBody, NoQuery]) -> wire.LettersMoved:
        return await self._letters.dismiss(None)


def _letter(call: Call[Any, Any]) -> int:
    """The number in the path. Raises NotFound for what can be none."""
    text = call.part("letter")
    if not (text.isascii() and text.isdecimal() and len(text) <= 16):
        raise NotFound("There is no such dead letter: an id is a whole number.", field="letter")
    return int(text)
