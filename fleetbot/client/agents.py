"""What agents say: of themselves, of their runs, and the receipts they file. Also what people say
to runs, below the same addresses."""

from __future__ import annotations

from fleetbot import wire
from fleetbot.client.transport import Calls, Request, decode, under
from fleetbot.domain.model import AgentStatus


class AgentCalls(Calls):
    async def register(
        self, request: wire.RegisterRequest, token: str | None = None
    ) -> wire.RegisterAnswer:
        """With `token`, which may be one that enrols."""
        return await self._post(
            wire.RegisterAnswer, under("agents", "register"), request, token=token
        )

    async def heartbeat(self, request: wire.HeartbeatRequest) -> wire.HeartbeatAnswer:
        return await self._post(wire.HeartbeatAnswer, under("agents", "heartbeat"), request)

    async def deregister(self) -> None:
        await self._send(under("agents", "deregister"))

    async def claim(self, request: wire.ClaimRequest, key: str) -> wire.Assignment | None:
        """A run, or None when there is nothing to do. The same key gets the same answer."""
        path = under("agents", "claim")
        body = await self._send(path, request, key=key, wait=request.wait)
        return decode(body, wire.Assignment) if body else None

    async def list(
        self, *, capability: str | None = None, status: AgentStatus | None = None
    ) -> wire.AgentList:
        return await self._get(
            wire.AgentList, under("agents"), capability=capability, status=status
        )

    async def drain(self, agent: str) -> wire.AgentView:
        return await self._post(wire.AgentView, under("agents", agent, "drain"))

    async def resume(self, agent: str) -> wire.AgentView:
        return await self._post(wire.AgentView, under("agents", agent, "resume"))

    async def enrol(self, agent: str) -> wire.EnrolmentAnswer:
        return await self._post(wire.EnrolmentAnswer, under("agents", agent, "enrol"))

    async def revoke(self, agent: str) -> wire.AgentView:
        return await self._post(wire.AgentView, under("agents", agent, "revoke"))

    async def forget(self, agent: str) -> None:
        await self._send(under("agents", agent, "forget"))


class RunCalls(Calls):
    async def start(self, run: str) -> wire.RunAnswer:
        return await self._post(wire.RunAnswer, under("runs", run, "start"))

    async def log(self, run: str, request: wire.LogRequest) -> wire.LogAnswer:
        return await self._post(wire.LogAnswer, under("runs", run, "log"), request)

    async def fail(self, run: str, request: wire.FailRequest) -> wire.RunAnswer:
        return await self._post(wire.RunAnswer, under("runs", run, "fail"), request)

    async def ask(self, run: str, request: wire.AskRequest) -> wire.AskAnswer:
        return await self._post(wire.AskAnswer, under("runs", run, "ask"), request)

    async def hear(self, run: str, ask: str, *, wait: float = 0) -> wire.AskAnswer:
        """What became of a question; waits for an answer."""
        return await self._get(wire.AskAnswer, under("runs", run, "asks", ask), wait)

    async def withdraw(self, run: str, ask: str) -> wire.AskAnswer:
        request = Request(method="DELETE", path=under("runs", run, "asks", ask))
        return decode(await self._ask(request), wire.AskAnswer)

    async def answer(self, run: str, ask: str, request: wire.AnswerRequest) -> wire.AskAnswer:
        """As a person."""
        return await self._post(wire.AskAnswer, under("runs", run, "asks", ask, "answer"), request)

    async def send(self, run: str, request: wire.MessageRequest) -> wire.MessageView:
        """As a person."""
        return await self._post(wire.MessageView, under("runs", run, "messages"), request)

    async def messages(self, run: str, *, wait: float = 0) -> wire.MessageList:
        """What people have said that was not taken yet; waits for something."""
        return await self._get(wire.MessageList, under("runs", run, "messages"), wait)

    async def all_messages(self, run: str) -> wire.MessageList:
        return await self._get(wire.MessageList, under("runs", run, "messages", "all"))

    async def take(self, run: str, message: str, request: wire.TakenRequest) -> None:
        await self._send(under("runs", run, "messages", message, "taken"), request)


class AskCalls(Calls):
    async def waiting(self) -> wire.AskList:
        """The questions that wait for a person."""
        return await self._get(wire.AskList, under("asks"))


class ReceiptCalls(Calls):
    async def file(self, request: wire.ReceiptRequest, key: str) -> wire.ReceiptAnswer:
        """Filed twice under a key, it is filed once."""
        return await self._post(wire.ReceiptAnswer, under("receipts"), request, key=key)

    async def verdict(self, receipt: str, *, wait: float = 0) -> wire.ReceiptAnswer:
        return await self._get(wire.ReceiptAnswer, under("receipts", receipt), wait)
