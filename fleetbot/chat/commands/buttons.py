"""Reactions as buttons: each does what a command does, with the same rights."""

from __future__ import annotations

from collections.abc import Mapping

from fleetbot.chat.commands import spec
from fleetbot.chat.commands.answering import Answering
from fleetbot.chat.commands.desk import Desk
from fleetbot.chat.commands.handlers import Handler
from fleetbot.chat.commands.once import Once
from fleetbot.chat.commands.replies import may_answer
from fleetbot.chat.commands.replies import pressed as answer_of
from fleetbot.chat.commands.rights import Admit
from fleetbot.chat.commands.said import Pressed
from fleetbot.chat.commands.table import BUTTONS, NAMES, TYPES
from fleetbot.chat.commands.talking import Decide
from fleetbot.chat.words.emoji import EYES, NO, YES, meant
from fleetbot.chat.words.post import Answer, Nod
from fleetbot.store.records import Posted, PostKind

_ANSWERS = {YES: True, NO: False}


class Buttons:
    """`handlers` by type of command."""

    def __init__(
        self,
        desk: Desk,
        handlers: Mapping[type, Handler],
        answering: Answering,
        admit: Admit,
        decide: Decide,
    ) -> None:
        self._desk = desk
        self._handlers = handlers
        self._answering = answering
        self._once = Once(desk.fleet.store, admit)
        self._decide = decide

    async def press(self, pressed: Pressed) -> Answer | None:
        """Do what the reaction means on that message; None where it means nothing, or there is
        nothing to say."""
        posted = await self._desk.posted(pressed)
        if posted is None:
            return await self._fetch(pressed)
        if posted.kind is PostKind.DRAFT:
            return await self._draft(posted, pressed)
        if posted.kind is PostKind.ASK and may_answer(pressed.body):
            return await self._ask(posted, pressed)
        command = _command(pressed.body)
        return await self._obey(command, posted.event, pressed) if command else None

    async def _fetch(self, pressed: Pressed) -> Answer | None:
        """Eyes on the message that opened a thread of runs fetch the log of the one there."""
        is_root = meant(pressed.body) == EYES and await self._desk.is_about_ours(pressed)
        return await self._obey(spec.Log(), pressed.answers, pressed) if is_root else None

    async def _draft(self, posted: Posted, pressed: Pressed) -> Answer | None:
        yes = _ANSWERS.get(meant(pressed.body))
        if yes is None:
            return None
        decided = self._decide(pressed, posted.subject, yes)
        return await self._once.attempt(decided, pressed, posted.event)

    async def _ask(self, posted: Posted, pressed: Pressed) -> Answer | None:
        """The question's own message shows the answer that counts; others are told once why theirs
        does not."""
        asked = await self._answering.named(posted.subject, pressed)
        answer = answer_of(pressed.body, asked.question)
        if answer is None or not await self._once.admits("answer", pressed, posted.event):
            return None
        settled = self._answering.settle(asked, answer, pressed)
        done = await self._once.attempt(settled, pressed, posted.event)
        if done is None or isinstance(done, Nod):
            return None
        return done if await self._once.is_first(pressed, posted.event) else None

    async def _obey(self, command: spec.Command, event: str, pressed: Pressed) -> Answer | None:
        handler, name = self._handlers.get(type(command)), NAMES[type(command)]
        if handler is None or not await self._once.admits(name, pressed, event):
            return None
        return await handler(command, pressed)


def _command(emoji: str) -> spec.Command | None:
    """What a reaction does with what a message is about; to answer takes a question."""
    name = BUTTONS.get(meant(emoji), "answer")
    command: spec.Command | None = None if name == "answer" else TYPES[name]()
    return command
