"""Questions and permission requests of an agent program, carried to people and back.

Their words are the program's: masked like all that leaves a run, and of a size that a room, the
journal and a person can take.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Callable
from typing import Any

import msgspec

from fleetbot.client.errors import CallError, Refused, Superseded, Unauthorized
from fleetbot.runner.link import Link
from fleetbot.runner.sandbox.masking import Masker
from fleetbot.runner.session.contract import Answer, Question, Session
from fleetbot.runner.session.text import clipped
from fleetbot.wire import ASK_BYTES, AskAnswer, AskRequest

_WAIT = 20.0
_SHORT = 200
_LONG = 500
_MOST_OPTIONS = 20
_VERDICTS = {"allow": "allowed", "deny": "denied", "always": "allowed for the rest of the run"}
_CUTS = ((4000, 100), (1000, 50), (200, 20))  # characters of a text, entries of a list or an object


class Questions:
    """The open questions of one run. What nobody answers within `seconds` is denied."""

    def __init__(
        self,
        link: Link,
        run: str,
        seconds: float,
        note: Callable[[str], None],
        masker: Masker,
    ) -> None:
        self._link = link
        self._run = run
        self._seconds = seconds
        self._note = note
        self._masker = masker
        self._open: dict[str, asyncio.Task[None]] = {}
        self._asked: dict[str, str] = {}  # what people know a question by
        self._leaving: set[asyncio.Task[None]] = set()

    def ask(self, session: Session, question: Question) -> None:
        self._open[question.id] = asyncio.create_task(self._carry(session, question))

    def withdraw(self, question: str) -> None:
        """The program no longer waits for the answer, so people must not believe that it does."""
        if task := self._open.pop(question, None):
            task.cancel()
        if ask := self._asked.pop(question, None):
            leaving = asyncio.create_task(self._take_back(ask))
            self._leaving.add(leaving)
            leaving.add_done_callback(self._leaving.discard)

    async def _take_back(self, ask: str) -> None:
        link, run = self._link, self._run
        with contextlib.suppress(CallError):  # the end of the run says it as well
            await link.outlast(lambda: link.withdraw(run, ask))

    async def close(self) -> None:
        """The program has ended: nobody waits for an answer any more."""
        tasks = [*self._open.values(), *self._leaving]
        self._open.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _carry(self, session: Session, question: Question) -> None:
        self._note(f"waits for a person: {question.title}")
        answer = await self._answer(question)
        self._asked.pop(question.id, None)
        if await session.answer(question.id, answer):
            said = f": {answer.text}" if answer.text else ""
            self._note(f"answered, {_VERDICTS[answer.verdict]}{said}")

    async def _answer(self, question: Question) -> Answer:
        mask = self._masker.text
        whole = self._masker.tree(question.request)
        asked, always = bounded(whole), mask(question.always)
        request = AskRequest(
            # Programs begin to count anew at each start, and no answer may count for two questions.
            id=secrets.token_hex(8),
            kind=question.kind,
            title=mask(question.title)[:_SHORT],
            request=asked,
            options=tuple(mask(option)[:_SHORT] for option in question.options[:_MOST_OPTIONS]),
            cut=question.cut or asked != whole,
            always=always if len(always) <= _LONG else "",  # nobody grants what is not shown whole
            expires_seconds=self._seconds,
        )
        self._asked[question.id] = request.id
        try:
            async with asyncio.timeout(self._seconds):
                said = await self._wait(request)
        except TimeoutError:
            return Answer("deny", f"nobody answered within {self._seconds:g} s")
        except (Refused, Superseded, Unauthorized) as problem:
            return Answer("deny", f"nobody could be asked: {problem}")
        if said.state == "expired":
            return Answer("deny", "nobody answered in time")
        return Answer(said.behavior, said.text)

    async def _wait(self, request: AskRequest) -> AskAnswer:
        link, run = self._link, self._run
        said = await link.outlast(lambda: link.ask(run, request))
        while said.state == "waiting":
            said = await link.outlast(lambda: link.answer(run, request.id, _WAIT))
        return said


def bounded(request: dict[str, Any]) -> dict[str, Any]:
    """The request, its long texts and lists cut so that it has at most `ASK_BYTES` bytes."""
    cut = request
    for characters, entries in _CUTS:
        if _size(cut) <= ASK_BYTES:
            return cut
        cut = _cut(request, characters, entries)
    if _size(cut) <= ASK_BYTES:
        return cut
    return {"request": clipped(msgspec.json.encode(request).decode(), ASK_BYTES // 8)}


def _size(request: dict[str, Any]) -> int:
    return len(msgspec.json.encode(request))


def _cut(value: Any, characters: int, entries: int) -> Any:
    if isinstance(value, str):
        return clipped(value, characters)
    if isinstance(value, dict):
        few = list(value.items())[:entries]
        return {clipped(key, characters): _cut(v, characters, entries) for key, v in few}
    if isinstance(value, list):
        return [_cut(v, characters, entries) for v in value[:entries]]
    return value
