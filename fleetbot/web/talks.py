"""Between runs and people over HTTP: questions with their answers, and messages."""

from __future__ import annotations

from typing import Any

from fleetbot import wire
from fleetbot.domain.model import RunId
from fleetbot.services.talks import Talks
from fleetbot.web.endpoint import (
    MEBIBYTE,
    OPERATOR,
    Call,
    Endpoint,
    NoBody,
    NoQuery,
    WaitQuery,
    Who,
    agent_gets,
    agent_posts,
    operator_posts,
    reader_gets,
)
from fleetbot.web.runs import OF_A_RUN, RUN

LARGEST_QUESTION = MEBIBYTE // 8  # what 16 KiB of JSON may grow to where it is escaped


class TalkCalls:
    def __init__(self, talks: Talks) -> None:
        self._talks = talks

    def endpoints(self) -> tuple[Endpoint, ...]:
        return (*self._questions(), *self._messages())

    def _questions(self) -> tuple[Endpoint, ...]:
        return (
            agent_posts(
                f"{RUN}/ask",
                self.ask,
                "Ask a person; the same `id` asks once.",
                refusals=OF_A_RUN,
                limit=LARGEST_QUESTION,
            ),
            agent_gets(
                f"{RUN}/asks/{{ask}}",
                self.hear,
                "Hear the answer to a question; waits for one.",
                refusals=OF_A_RUN,
            ),
            Endpoint(
                "DELETE",
                Who.AGENT,
                f"{RUN}/asks/{{ask}}",
                self.withdraw,
                "Take a question back: the program no longer waits for the answer.",
                refusals=OF_A_RUN,
            ),
            reader_gets(
                f"/{wire.API}/asks",
                self.waiting,
                "List the questions that wait for a person, oldest first.",
            ),
            operator_posts(
                f"{RUN}/asks/{{ask}}/answer",
                self.answer,
                "Answer a question; the first answer counts.",
                refusals=OF_A_RUN,
            ),
        )

    def _messages(self) -> tuple[Endpoint, ...]:
        return (
            operator_posts(
                f"{RUN}/messages", self.send, "Say something to a run.", refusals=OF_A_RUN
            ),
            agent_gets(
                f"{RUN}/messages",
                self.messages,
                "Hear what the agent has not taken yet; waits for something.",
                refusals=OF_A_RUN,
            ),
            reader_gets(
                f"{RUN}/messages/all",
                self.all_messages,
                "Read all that was said to a run, and what became of it.",
            ),
            agent_posts(
                f"{RUN}/messages/{{message}}/taken",
                self.take,
                "Say what became of a message.",
                empty="It is noted, now or before.",
                refusals=OF_A_RUN,
            ),
        )

    async def ask(self, call: Call[wire.AskRequest, NoQuery]) -> wire.AskAnswer:
        return await self._talks.ask(call.speaker, _run(call), call.body)

    async def hear(self, call: Call[NoBody, WaitQuery]) -> wire.AskAnswer:
        return await self._talks.hear(call.speaker, _run(call), call.part("ask"), call.query.wait)

    async def withdraw(self, call: Call[NoBody, NoQuery]) -> wire.AskAnswer:
        return await self._talks.withdraw(call.speaker, _run(call), call.part("ask"))

    async def waiting(self, call: Call[NoBody, NoQuery]) -> wire.AskList:
        return await self._talks.waiting()

    async def answer(self, call: Call[wire.AnswerRequest, NoQuery]) -> wire.AskAnswer:
        return await self._talks.answer(_run(call), call.part("ask"), call.body, OPERATOR)

    async def send(self, call: Call[wire.MessageRequest, NoQuery]) -> wire.MessageView:
        return await self._talks.send(_run(call), call.body.text, OPERATOR)

    async def messages(self, call: Call[NoBody, WaitQuery]) -> wire.MessageList:
        return await self._talks.messages(call.speaker, _run(call), call.query.wait)

    async def all_messages(self, call: Call[NoBody, NoQuery]) -> wire.MessageList:
        return await self._talks.all_messages(_run(call))

    async def take(self, call: Call[wire.TakenRequest, NoQuery]) -> None:
        await self._talks.take(call.speaker, _run(call), call.part("message"), call.body.taken)


def _run(call: Call[Any, Any]) -> RunId:
    return RunId(call.part("run"))
