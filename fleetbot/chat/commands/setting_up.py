"""`!fleet setup`: a walk to a connected repository, in rooms of ours and in others."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from fleetbot.chat.commands import grammar, spec
from fleetbot.chat.commands.handlers import Handler
from fleetbot.chat.commands.once import Once
from fleetbot.chat.commands.replies import is_yes
from fleetbot.chat.commands.rights import Rights
from fleetbot.chat.commands.said import Called, Elsewhere, Pressed, Said
from fleetbot.chat.speaking.sender import kept
from fleetbot.chat.words import setup as words
from fleetbot.chat.words.emoji import NO, YES
from fleetbot.chat.words.post import About, Answer, Post
from fleetbot.domain.errors import Forbidden, Invalid
from fleetbot.domain.model import REPO
from fleetbot.services.fleet import Fleet
from fleetbot.services.setup.steps import Step
from fleetbot.services.setup.walks import View, Walks
from fleetbot.store.records import Arrival, Change, Handled, PostKind

_SKIP = "skip"
_LINK = re.compile(r"https?://[^\s/]+/(?:[^\s]*/)?([\w.-]+/[\w.-]+?)/?(?:\.git)?\Z")


@dataclass(frozen=True, slots=True)
class Begin:
    repo: str


@dataclass(frozen=True, slots=True)
class Undo:
    step: Step


class Yes:
    pass


class Skip:
    pass


class Show:
    pass


class Again:
    pass


Wish = Begin | Undo | Yes | Skip | Show | Again


class SettingUp:
    """`operators`: the Matrix ids of those who may; where there are none, it is a matter of power
    level, in rooms of ours only. `trigger`: the label that gives an issue to the fleet."""

    def __init__(
        self,
        fleet: Fleet,
        walks: Walks,
        rights: Rights,
        operators: Collection[str],
        trigger: str,
    ) -> None:
        self._fleet = fleet
        self._walks = walks
        self._rights = rights
        self._once = Once(fleet.store, rights.admit)
        self._operators = operators
        self._trigger = trigger

    @property
    def handlers(self) -> Mapping[type, Handler]:
        return {spec.Setup: self.setup}

    async def setup(self, command: spec.Setup, said: Said) -> Post:
        self._must_be_operator(said.sender)
        wished = wish(command.text)
        if (
            isinstance(wished, Show)
            and said.default_repo
            and not await self._walks.knows(said.name)
        ):
            wished = Begin(said.default_repo)
        if isinstance(wished, Begin) and not self._operators:
            await self._must_not_be_of_others(said.name, wished.repo)
        return self._post(await self._walk(said.name, wished))

    async def press(self, pressed: Pressed) -> Answer | None:
        """A button below what was offered."""
        return await self._reply(pressed)

    async def overhear(self, said: Said) -> Answer | None:
        """Bare words in reply to what was offered."""
        return await self._reply(said)

    async def elsewhere(self, there: Elsewhere) -> Answer | None:
        """In a room that is none of ours operators begin. Buttons do nothing there yet."""
        command = grammar.parse(there.body, called=there.called is Called.BY_NAME)
        if not isinstance(command, spec.Setup) or there.sender not in self._operators:
            return None
        key = f"matrix:{there.event}"
        wished = Show() if await self._fleet.store.arrival(key) else wish(command.text)
        view = await self._walk(there.room, wished)
        await self._remember(key)
        return self._post(view, is_ours=False)

    async def _remember(self, key: str) -> None:
        """It was obeyed: once the room is one of ours, what was said there is read back."""
        arrival = Arrival(key=key, kind="command", at=self._fleet.clock())
        handled = Handled(key=key, answer=b"answered")
        await self._fleet.store.append(Change(arrivals=(arrival,), handled=(handled,)))

    async def tick(self) -> None:
        """Tell what came of a change of the configuration. Raises the errors of the forge client,
        and `StoreUnavailable`."""
        await self._fleet.start()
        for room, view, told in await self._walks.due():
            id = f"setup:{room}:{view.number}"
            entry = kept(room, self._post(view), id=id, at=self._fleet.clock())
            await self._fleet.post(Change(outbox=(entry,), anchors=(told,)))

    async def _reply(self, said: Said) -> Answer | None:
        posted = await self._fleet.store.posted(said.room, said.answers) if said.answers else None
        if posted is None or posted.kind is not PostKind.SETUP:
            return None
        agrees = _agrees(said.body)
        if agrees is None:
            return None
        acted = self._act(said, int(posted.subject), agrees=agrees)
        return await self._once.attempt(acted, said, posted.event)

    async def _act(self, said: Said, number: int, *, agrees: bool) -> Post:
        await self._rights.admit("setup", said)
        self._must_be_operator(said.sender)
        act = self._walks.agree if agrees else self._walks.skip
        return self._post(await act(said.name, number))

    async def _walk(self, room: str, wished: Wish) -> View:
        match wished:
            case Begin(repo):
                return await self._walks.begin(room, repo)
            case Undo(step):
                return await self._walks.undo(room, step)
            case Yes():
                return await self._walks.agree(room)
            case Skip():
                return await self._walks.skip(room)
            case Again():
                return await self._walks.again(room)
        return await self._walks.show(room)

    def _must_be_operator(self, sender: str) -> None:
        if self._operators and sender not in self._operators:
            raise Forbidden(
                "Sorry, only the operators that the settings name (`chat.operators`) may do this."
            )

    async def _must_not_be_of_others(self, room: str, repo: str) -> None:
        """Who is mighty in one room is not by that let into the repositories of others."""
        if await self._walks.is_of_others(room, repo):
            raise Forbidden(
                f"The fleet works on {repo}, and not for this room: to have it hear of it is for"
                " operators, whom the settings name (`chat.operators`)."
            )

    def _post(self, view: View, *, is_ours: bool = True) -> Post:
        """How each step is and what I would do, or where that is too long what I would do alone;
        buttons only in a room of ours."""
        body = words.walk(view, self._trigger)
        if not view.offer:
            return Post(body)
        offer = Post(words.offer(view), whole=True)
        if is_ours:
            about = About(PostKind.SETUP, str(view.number))
            offer = replace(offer, about=about, buttons=(YES, NO))
        return replace(offer, body=body, instead=offer)


def wish(text: str) -> Wish:
    """What is said after `setup`. Raises Invalid with the way out."""
    said = text.split()
    match [word.lower() for word in said]:
        case []:
            return Show()
        case ["again"]:
            return Again()
        case ["undo", step] if step in set(Step):
            return Undo(Step(step))
        case ["undo", *_]:
            raise Invalid(f"Take back which step? {', '.join(Step)}.", field="text")
        case [_] if repo := _repo(said[0]):
            return Begin(repo)
    if (agrees := _agrees(text)) is not None:
        return Yes() if agrees else Skip()
    raise Invalid(
        "Say `!fleet setup owner/repo`, and then `yes`, `skip`, `again` or `undo` and a step.",
        field="text",
    )


def _agrees(words: str) -> bool | None:
    """None where it is neither a yes nor a no."""
    return False if words.strip().lower() == _SKIP else is_yes(words)


def _repo(word: str) -> str | None:
    link = _LINK.match(word)
    name = link[1] if link else word.strip("`<>.,;")
    return name if REPO.match(name) else None
