"""Answers of people to the questions of runs: the first valid one counts."""

from __future__ import annotations

from fleetbot.chat.commands.desk import Desk
from fleetbot.chat.commands.replies import Given
from fleetbot.chat.commands.said import Said
from fleetbot.chat.talks.questions import was_shown_whole
from fleetbot.chat.words import asks
from fleetbot.chat.words.emoji import NO, YES
from fleetbot.chat.words.post import Answer, Nod, Post
from fleetbot.domain import commands as cmd
from fleetbot.domain.errors import Conflict, Invalid, NotFound, Superseded
from fleetbot.domain.model import AskKind, Behavior, RunId, Task
from fleetbot.services.talks import Asked, Talks
from fleetbot.store.records import PostKind

LONGEST = 20_000  # characters that a program is told at once
_NODS = {Behavior.ALLOW: YES, Behavior.DENY: NO, Behavior.ALWAYS: asks.ALWAYS}


class Answering:
    def __init__(self, desk: Desk, talks: Talks) -> None:
        self._desk = desk
        self._talks = talks

    async def named(self, subject: str, said: Said) -> Asked:
        """The question that a message of ours is about: `<run>/<ask>`. Raises NotFound."""
        run, _, ask = subject.partition("/")
        asked = await self._talks.asked(RunId(run), ask)
        if asked is None or not self._desk.hears(said)(asked.task.repo):
            raise NotFound("There is no such question any more.")
        return asked

    async def meant(self, issue: str, said: Said) -> Asked:
        """The question that is answered: the one replied to, or the only one that waits of the
        task. Raises Invalid, Conflict or NotFound."""
        posted = await self._desk.posted(said)
        if posted and posted.kind is PostKind.ASK:
            return await self.named(posted.subject, said)
        return await self._only_one(await self._desk.find(issue, said))

    async def _only_one(self, task: Task) -> Asked:
        run = self._desk.fleet.state.live_run(task)
        waiting = [ask for ask in run.asks if ask.behavior is None] if run else []
        if len(waiting) > 1:
            raise Invalid(f"{len(waiting)} questions wait: reply to the one that you answer.")
        asked = await self._talks.asked(run.id, waiting[0].id) if run and waiting else None
        if asked is None:
            raise Conflict(f"No question of {task.ref} waits for an answer.")
        return asked

    async def settle(self, asked: Asked, answer: Given, said: Said) -> Answer:
        """Have the answer count, or tell who was first. Raises Conflict or Invalid where it cannot
        be the answer."""
        if not await self._desk.is_done(said):
            if not asked.is_open:
                return Post(asks.too_late(asked))
            await self._check(asked, answer, said)
            command = cmd.AnswerAsk(asked.run.id, asked.ask.id, answer.behavior, answer.text)
            try:
                await self._desk.commit(command, said)
            except (Conflict, Superseded):
                return await self._too_late(asked)
        return Nod(_NODS[answer.behavior])

    async def _too_late(self, asked: Asked) -> Post:
        """Somebody was quicker, or the run's end was."""
        now = await self._talks.asked(asked.run.id, asked.ask.id)
        if now is None or now.is_open:
            raise Conflict("This could not be taken for an answer; look at the question again.")
        return Post(asks.too_late(now))

    async def _check(self, asked: Asked, answer: Given, said: Said) -> None:
        if len(answer.text) > LONGEST:
            raise Invalid(f"An answer takes {LONGEST} characters: shorten it.")
        if answer.behavior is Behavior.DENY or asked.question.kind is AskKind.QUESTION:
            return
        if not asks.is_whole(asked):
            raise Conflict(
                "The request cannot be shown whole, so nobody knows what they would allow: it can"
                " only be denied."
            )
        if not await was_shown_whole(self._desk.fleet.store, said.room, asked):
            raise Conflict("This room has not been shown the request yet: wait for its message.")
        if answer.behavior is Behavior.ALWAYS and not asked.question.always:
            raise Conflict("The program knows no lasting answer here: say `yes` or `no`.")
