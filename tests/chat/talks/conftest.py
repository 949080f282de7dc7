"""An agent at work on issue 1, and people in the room."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from fleetbot import wire
from fleetbot.chat.speaking.destinations import destination
from fleetbot.domain import commands as cmd
from fleetbot.domain import effects as fx
from fleetbot.domain.events import AnyEvent
from fleetbot.domain.model import Behavior, Run, Taken
from fleetbot.domain.reasons import ReasonCode
from fleetbot.store.records import Change, Due, OutboxEntry, PostKind
from tests.chat.dialogue import ROOM, Dialogue, Message
from tests.services.stage import REPO, TEST

COMMAND = "git push --force"
BASH = {"tool_name": "Bash", "input": {"command": COMMAND}}
COLOURS = ("Red", "Blue")
ALLOWED, DENIED = ("answered", "allow", ""), ("answered", "deny", "")
OPEN = ("waiting", "deny", "")
ALWAYS = "Bash(git push *)"


class Talk:
    """`run` is that of claude-1 for issue 1."""

    def __init__(self, chat: Dialogue, run: Run) -> None:
        self.chat, self.stage, self.id = chat, chat.stage, run.id
        self.agent = run.agent

    async def asks(self, ask: str = "q1", **fields: Any) -> str:
        """The agent asks, for a permission unless told otherwise; the room's message about it."""
        await self.begins_to_ask(ask, **fields)
        await self.delivered()
        return (await self.message(ask)).event

    async def begins_to_ask(self, ask: str = "q1", **fields: Any) -> None:
        asked = {"kind": "permission", "title": f"Bash: {COMMAND}", "request": BASH, **fields}
        request = wire.AskRequest(id=ask, **asked)
        await self.stage.talks.ask(self.agent, self.id, request)

    async def takes_back(self, ask: str = "q1") -> None:
        await self.stage.talks.withdraw(self.agent, self.id, ask)

    async def is_answered_over_http(self, behavior: str, text: str = "") -> None:
        request = wire.AnswerRequest(behavior=Behavior(behavior), text=text)
        await self.stage.talks.answer(self.id, "q1", request, "api:operator")

    async def delivered(self) -> None:
        """What waits for the room arrives."""
        await self.chat.bots.courier.tick()

    async def message(self, ask: str = "q1", room: str = ROOM) -> Message:
        """The room's message about a question, as it is shown now."""
        posted = await self.stage.store.post_of(room, PostKind.ASK, f"{self.id}/{ask}")
        assert posted is not None
        return next(m for m in self.chat.server.messages if m.event == posted.event)

    async def shown(self, ask: str = "q1") -> str:
        await self.delivered()
        return (await self.message(ask)).text

    async def hears(self, ask: str = "q1") -> tuple[str, str, str]:
        """What the program is told: state, behavior and text."""
        answer = await self.stage.talks.hear(self.agent, self.id, ask, 0)
        return answer.state, answer.behavior, answer.text

    async def messages(self) -> list[str]:
        """What people have said to the run and it has not taken yet."""
        heard = await self.stage.talks.messages(self.agent, self.id, 0)
        return [message.text for message in heard.messages]

    async def takes(self, taken: Taken = Taken.DELIVERED) -> None:
        """The agent reads its messages, or keeps them for its next start."""
        heard = await self.stage.talks.messages(self.agent, self.id, 0)
        for message in heard.messages:
            await self.stage.talks.take(self.agent, self.id, message.id, taken)
        await self.delivered()

    async def fails(self, reason: ReasonCode = ReasonCode.NO_CHANGES) -> None:
        await self.stage.fleet.commit(cmd.FailRun(self.id, self.agent, reason), TEST)
        await self.delivered()

    async def completes(self) -> None:
        """Its work is verified."""
        run = self.stage.fleet.state.runs[self.id]
        await self.stage.given_receipt(run, await self.stage.pull_request(run))
        await self.stage.verifier.tick()
        await self.delivered()

    async def journal(self, kind: type[AnyEvent]) -> list[tuple[str, str]]:
        """Actor and cause of the task's events of a type."""
        lines = await self.stage.journal()
        return [(line.actor, line.cause) for line in lines if isinstance(line.event, kind)]

    @property
    def notes(self) -> tuple[str, ...]:
        """What the next attempt is told."""
        return self.stage.fleet.state.tasks[self.stage.fleet.state.runs[self.id].task].notes

    # the room, and time

    async def passes(self, seconds: float) -> None:
        """The agent is heard of meanwhile."""
        self.stage.clock.advance(seconds)
        self.stage.fleet.saw(self.agent, [self.id])
        await self.stage.fleet.commit(cmd.Expire(), TEST)
        await self.delivered()

    async def restarts(self) -> None:
        """All that lives in memory begins anew."""
        self.stage.restart()
        await self.stage.fleet.start()
        self.chat.restart()

    async def loses_what_it_remembers_of_the_message(self) -> None:
        """It was killed after the homeserver had the message, and before our disk knew of it."""
        with closing(sqlite3.connect(self.stage.root / "fleet.db")) as database, database:
            database.execute("DELETE FROM posted WHERE kind = 'ask'")

    def room_allows(self, *people: str) -> None:
        """Only these may answer."""
        rooms = self.chat.bots.rooms
        rooms.obeyed[ROOM] = replace(rooms.obeyed[ROOM], allow={"answer": people})

    async def room_moves(self, new: str) -> None:
        """The room was upgraded."""
        self.chat.bots.rooms._replaced_by[ROOM] = new

    def due(self) -> Due:
        """The effect that shows the question, as the outbox delivers it."""
        return Due(entry=self._entry(ROOM), attempts=0)

    async def is_shown_in(self, room: str) -> None:
        """The question is for another room as well."""
        await self.stage.fleet.post(Change(outbox=(self._entry(room),)))

    def _entry(self, room: str) -> OutboxEntry:
        effect = fx.ShowAsk(repo=REPO, run=self.id, ask="q1")
        kind, payload = fx.kind(fx.ShowAsk), msgspec.json.encode(effect)
        at = destination(room)
        return OutboxEntry(id="again", destination=at, kind=kind, payload=payload, due_at=0)


@pytest.fixture
async def talk(chat: Dialogue) -> Talk:
    run = await chat.stage.given_running()
    made = Talk(chat, run)
    await made.delivered()
    return made
