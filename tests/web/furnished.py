"""A site with one of everything that paths name, and with every kind of token."""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable
from typing import Any, Self

from fleetbot.services.access import new_agent_token
from fleetbot.store.records import Change, GivenUp, OutboxEntry
from tests.web.site import ENROL, OPERATOR, READER, SECRET, Caller, Site, a_receipt, file

QUESTION: dict[str, Any] = {"id": "q", "kind": "question", "title": "Which door?", "request": {}}


class Furnished:
    """`place` is what is there now, by the names of paths: an agent with a run that has a question
    and a message, a receipt of another one, and a dead letter. `own` is that agent's token,
    `tokens` are of all other kinds. `new_issue` gives the number of one more."""

    def __init__(self, site: Site, new_issue: Callable[[], Awaitable[int]]) -> None:
        self.site = site
        self._new_issue = new_issue
        self.place: dict[str, str] = {}
        self.own = ""
        self.tokens: dict[str, str] = {}
        self._numbers = itertools.count(1)

    @classmethod
    async def of(cls, site: Site, new_issue: Callable[[], Awaitable[int]] | None = None) -> Self:
        """Without `new_issue` the forge has none."""
        numbers = itertools.count(1)

        async def next_number() -> int:
            return next(numbers)

        scene = cls(site, new_issue or next_number)
        scene.tokens = await scene._tokens()
        await scene.agent()
        return scene

    async def agent(self) -> str:
        """Put a new agent in the place, with all that is its own; its token."""
        number = next(self._numbers)
        name = f"agent-{number}"
        agent = await self.site.agent(name, max_concurrency=2)
        receipt = await self._filed(agent, name)
        task = await self.site.task(await self._new_issue(), agent=name)
        run = await self.site.running(agent, "second")
        await agent.post(f"/api/v1/runs/{run}/ask", QUESTION)
        said = await self.site.operator.post(f"/api/v1/runs/{run}/messages", {"text": "Hello."})
        letter = await self._letter(f"letter-{number}")
        self.place = {"agent": name, "run": run, "task": task, "receipt": receipt, "letter": letter}
        self.place["file"] = "board.js"
        self.place |= {"ask": QUESTION["id"], "message": said.body["id"]}
        self.own = agent.token
        return agent.token

    async def _filed(self, agent: Caller, name: str) -> str:
        await self.site.task(await self._new_issue(), agent=name)
        answer = await file(agent, a_receipt(await self.site.running(agent, "first")))
        receipt: str = answer.body["receipt"]
        return receipt

    async def _letter(self, name: str) -> str:
        now, store = self.site.now, self.site.store
        entry = OutboxEntry(id=name, destination=name, kind="note", payload=b"{}", due_at=now)
        await store.append(Change(outbox=(entry,)))
        await store.append(Change(given_up=(GivenUp(id=name, at=now, error="404: it is gone"),)))
        letters = (await self.site.reader.get("/api/v1/outbox/dead")).body["letters"]
        last: str = letters[-1]["id"]
        return last

    async def signs_off(self) -> None:
        await self.site.operator.post(f"/api/v1/agents/{self.place['agent']}/revoke")

    async def _tokens(self) -> dict[str, str]:
        site, operator = self.site, self.site.operator
        found = {"none": "", "wrong": new_agent_token(), "secret": SECRET}
        found["other"] = (await site.agent("other")).token
        found["revoked"] = (await site.agent("revoked")).token
        await operator.post("/api/v1/agents/revoked/revoke")
        found["forgotten"] = (await site.agent("forgotten")).token
        await site.caller(found["forgotten"]).post("/api/v1/agents/deregister")
        await operator.post("/api/v1/agents/forgotten/forget")
        found["expired"] = await self._enrolment("expired")
        site.now += 3_600_000
        found["used"] = await self._enrolment("used")
        await self._registers(found["used"], "used")
        found["once"] = await self._enrolment("once")
        link = await self.site.passes.link("@ada:hs", "!all:hs")
        found["session"] = (await self.site.passes.open(link)).text
        return found | {"enrol": ENROL, "reader": READER, "operator": OPERATOR}

    async def _enrolment(self, name: str) -> str:
        token: str = (await self.site.operator.post(f"/api/v1/agents/{name}/enrol")).body["token"]
        return token

    async def _registers(self, token: str, name: str) -> None:
        body: dict[str, Any] = {"name": name, "adapter": "command"}
        answer = await self.site.caller(token).post("/api/v1/agents/register", body)
        assert answer.status == 200
