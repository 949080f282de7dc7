"""Talk with the agents at work: answers to their questions, and words to them."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from fleetbot.chat.commands import spec
from fleetbot.chat.commands.answering import Answering
from fleetbot.chat.commands.handlers import Handler
from fleetbot.chat.commands.once import Once
from fleetbot.chat.commands.replies import given, is_yes
from fleetbot.chat.commands.rights import Admit
from fleetbot.chat.commands.said import Said
from fleetbot.chat.commands.steering import Steering
from fleetbot.chat.words import asks, fates
from fleetbot.chat.words.post import Answer, Nod, Post
from fleetbot.services.talks import Asked
from fleetbot.store.interface import Store
from fleetbot.store.records import Posted, PostKind

# Of a draft: yes or no; None for words that are neither.
Decide = Callable[[Said, str, bool | None], Coroutine[Any, Any, Answer | None]]


class Talking:
    def __init__(
        self,
        store: Store,
        answering: Answering,
        steering: Steering,
        admit: Admit,
        decide: Decide,
    ) -> None:
        self._store = store
        self._answering = answering
        self._steering = steering
        self._once = Once(store, admit)
        self._decide = decide

    @property
    def handlers(self) -> Mapping[type, Handler]:
        return {spec.Reply: self.answer, spec.Tell: self._steering.tell}

    async def answer(self, command: spec.Reply, said: Said) -> Answer:
        asked = await self._answering.meant(command.issue, said)
        return await self._settle(asked, command.text, said)

    async def _settle(self, asked: Asked, text: str, said: Said) -> Answer:
        answer = given(text, asked.question)
        if answer is None:
            return Post(asks.unclear(asked))
        return await self._answering.settle(asked, answer, said)

    # words that are no command

    async def overhear(self, said: Said) -> Answer | None:
        """Words in reply to a question answer it, those in reply to a draft decide it, and those in
        the thread of a run are for its agent."""
        posted = await self._followed(said)
        if posted and posted.kind is PostKind.ASK:
            return await self._reply(posted, said)
        if posted and posted.kind is PostKind.DRAFT:
            return await self._decided(posted, said)
        return await self._steer(posted, said)

    async def _followed(self, said: Said) -> Posted | None:
        """What the message is about that this one replies to, or else that opened its thread."""
        for event in filter(None, (said.answers, said.thread)):
            if posted := await self._store.posted(said.room, event):
                return posted
        return None

    async def _reply(self, posted: Posted, said: Said) -> Answer | None:
        asked = await self._answering.named(posted.subject, said)
        if not await self._once.admits("answer", said, posted.event):
            return None
        answer = await self._settle(asked, said.body, said)
        if isinstance(answer, Nod) or asked.is_open:
            return answer
        return answer if await self._once.is_first(said, posted.event) else None

    async def _decided(self, posted: Posted, said: Said) -> Answer | None:
        decided = self._decide(said, posted.subject, is_yes(said.body))
        return await self._once.attempt(decided, said, posted.event)

    async def _steer(self, posted: Posted | None, said: Said) -> Answer | None:
        tasks = await self._steering.spoken_of(posted, said)
        if not tasks or not await self._once.admits("tell", said, said.thread or said.answers):
            return None
        if len(tasks) > 1:
            return Post(fates.which_one(tasks))
        answer = await self._steering.say(tasks[0], said.body, said)
        if isinstance(answer, Nod):
            return answer
        return answer if await self._once.is_first(said, tasks[0].id) else None
