"""Between runs and people over HTTP: questions with their answers, and messages."""

from __future__ import annotations

from types import NoneType
from typing import Any

from fleetbot import wire
from fleetbot.domain.model import RunId
from fleetbot.services.talks import Talks
from fleetbot.web.endpoint import (
    MEBIBYTE,
    OPERATOR,
    AnyEndpoint,
    Call,
    Endpoint,
    NoBody,
    NoQuery,
    WaitQuery,
    Who,
)
from fleetbot.web.problems import Code
from fleetbot.web.runs import OF_A_RUN, RUN

LARGEST_QUESTION = MEBIBYTE // 8  # what 16 KiB of JSON may grow to where it is escaped


class TalkCalls:
    def __init__(self, talks: Talks) -> None:
        self._talks = talks

    def endpoints(self) -> tuple[AnyEndpoint, ...]:
        return (*self._questions(), *self._messages())

    def _questions(self) -> tuple[AnyEndpoint, ...]:
        return (
            Endpoint(
                method="POST",
                path=f"{RUN}/ask",
                who=Who.AGENT,
                summary="Ask a person; the same `id` asks once.",
                body=wire.AskRequest,
                query=NoQuery,
                answer=wire.AskAnswer,
                handler=self.ask,
                refusals=OF_A_RUN,
                limit=LARGEST_QUESTION,
            ),
            Endpoint(
                method="GET",
                path=f"{RUN}/asks/{{ask}}",
                who=Who.AGENT,
                summary="Hear the answer to a question; waits for one.",
                body=NoBody,
                query=WaitQuery,
                answer=wire.AskAnswer,
                handler=self.hear,
                refusals=OF_A_RUN,
            ),
            Endpoint(
                method="DELETE",
                path=f"{RUN}/asks/{{ask}}",
                who=Who.AGENT,
                summary="Take a question back: the program no longer waits for the answer.",
                body=NoBody,
                query=NoQuery,
                answer=wire.AskAnswer,
                handler=self.withdraw,
                refusals=OF_A_RUN,
            ),
            Endpoint(
                method="GET",
                path=f"/{wire.API}/asks",
                who=Who.READER,
                summary="List the questions that wait for a person, oldest first.",
                body=NoBody,
                query=NoQuery,
                answer=wire.AskList,
                handler=self.waiting,
            ),
            Endpoint(
                method="POST",
                path=f"{RUN}/asks/{{ask}}/answer",
                who=Who.OPERATOR,
                summary="Answer a question; the first answer counts.",
                body=wire.AnswerRequest,
                query=NoQuery,
                answer=wire.AskAnswer,
                handler=self.answer,
                refusals=OF_A_RUN,
            ),
        )

    def _messages(self) -> tuple[AnyEndpoint, ...]:
        return (
            Endpoint(
                method="POST",
                path=f"{RUN}/messages",
                who=Who.OPERATOR,
                summary="Say something to a run.",
                body=wire.MessageRequest,
                query=NoQuery,
                answer=wire.MessageView,
                handler=self.send,
                refusals=OF_A_RUN,
            ),
            Endpoint(
                method="GET",
                path=f"{RUN}/messages",
                who=Who.AGENT,
                summary="Hear what the agent has not taken yet; waits for something.",
                body=NoBody,
                query=WaitQuery,
                answer=wire.MessageList,
                handler=self.messages,
                refusals=OF_A_RUN,
            ),
            Endpoint(
                method="GET",
                path=f"{RUN}/messages/all",
                who=Who.READER,
                summary="Read all that was said to a run, and what became of it.",
                body=NoBody,
                query=NoQuery,
                answer=wire.MessageList,
                handler=self.all_messages,
                refusals=(Code.NOT_FOUND,),
            ),
            Endpoint(
                method="POST",
                path=f"{RUN}/messages/{{message}}/taken",
                who=Who.AGENT,
                summary="Say what became of a message.",
                body=wire.TakenRequest,
                query=NoQuery,
                answer=NoneType,
                handler=self.take,
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
