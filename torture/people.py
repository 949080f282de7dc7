"""What people do in a story: they open issues, edit, review, merge, speak."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

from torture.outcome import Reader, Unreadable
from torture.story import CI, Act, Deed, Doing, Issue, Need, body
from torture.system import Marks, System

_PATIENCE = 90.0  # seconds for an issue to be done, or its pull request to be there
_PATIENT = (Doing.NAG, Doing.ORDER)  # they give up by themselves
_LOOK = 0.3
_INSISTS = 240.0  # … for what was ordered in the room to be there
_IN_VAIN = 6.0  # … for an order that nobody may give
_AFTER_REFUSAL = 2.0
_NAGGED = 12.0  # seconds without a new commit, and the nagging is in vain


class People:
    """`numbers` is filled with the issues' numbers as they are opened."""

    def __init__(
        self,
        system: System,
        reader: Reader,
        numbers: dict[str, int],
        until: Callable[[float], Awaitable[None]],
        needs: frozenset[Need],
    ) -> None:
        self._system = system
        self._reader = reader
        self._numbers = numbers
        self._until = until
        self._needs = needs

    async def open(self, issue: Issue) -> None:
        await self._until(issue.at)
        number = await self._system.open_issue(issue.title, issue.body, issue.act)
        self._numbers[issue.key] = number

    async def do(self, deed: Deed) -> None:
        """What cannot be done in time is left: the judge will see what comes of that."""
        await self._until(deed.at)
        try:
            async with asyncio.timeout(None if deed.doing in _PATIENT else _PATIENCE):
                if deed.after_done:
                    await self._until_done(deed.key)
                await self._do(deed)
        except (TimeoutError, Unreadable) as error:
            raise Unreadable(f"nobody could {deed.doing} about {deed.key}: {error!r}") from error

    async def _do(self, deed: Deed) -> None:
        match deed.doing:
            case Doing.REWRITE:
                text = body(f"torture/{deed.key}-rewritten.md", deed.text, Act.HONEST)
                await self._reader.act("PATCH", f"/issues/{self._number(deed)}", {"body": text})
            case Doing.ORDER:
                await self._order(deed)
            case Doing.STATUS:
                await self._status(await self._pull(deed), deed.text)
            case Doing.NAG:
                await self._nag(deed)
            case Doing.MERGE:
                await self._merge(await self._pull(deed))

    def _number(self, deed: Deed) -> int:
        return self._numbers.get(deed.key, 0)

    async def _order(self, deed: Deed) -> None:
        """Say it, confirm it if that is asked, and again where it could not be done just then."""
        patience = _IN_VAIN if Need.NOBODY_ORDERS in self._needs else _INSISTS
        begun, order = time.monotonic(), _Order(self._system.marks, self._reader, deed)
        while time.monotonic() - begun < patience and not await order.is_there():
            await order.go_on()
            await asyncio.sleep(_LOOK)

    async def _nag(self, deed: Deed) -> None:
        """Until nothing new has come for a while."""
        head, since = "", time.monotonic()
        while time.monotonic() - since < _NAGGED:
            pull = await self._pull(deed)
            if pull["head"]["sha"] != head:
                head, since = pull["head"]["sha"], time.monotonic()
                await self._review(pull, deed.text)
            await asyncio.sleep(_LOOK)

    async def _status(self, pull: dict[str, Any], state: str) -> None:
        row = {"state": state, "context": CI, "description": f"CI is {state}"}
        await self._reader.act("POST", f"/statuses/{pull['head']['sha']}", row)

    async def _review(self, pull: dict[str, Any], text: str) -> None:
        review = {"event": "REQUEST_CHANGES", "body": text, "commit_id": pull["head"]["sha"]}
        await self._reader.act("POST", f"/pulls/{pull['number']}/reviews", review)

    async def _merge(self, pull: dict[str, Any]) -> None:
        """As soon as the forge knows whether it can be."""
        how = {"Do": "merge", "head_commit_id": pull["head"]["sha"]}
        while True:
            try:
                await self._reader.act("POST", f"/pulls/{pull['number']}/merge", how)
                return
            except Unreadable:
                await asyncio.sleep(_LOOK)

    async def _pull(self, deed: Deed) -> dict[str, Any]:
        """The issue's open pull request, once there is one."""
        marks = self._system.marks
        while True:
            for row in await self._reader.act("GET", "/pulls?state=open&page=1&limit=50", None):
                if marks.fits(marks.branch, row["head"]["ref"], self._number(deed)):
                    return dict(row)
            await asyncio.sleep(_LOOK)

    async def _until_done(self, key: str) -> None:
        while True:
            issue = (await self._reader.issues()).get(self._numbers.get(key, 0))
            if issue and self._system.marks.done_label in issue.labels:
                return
            await asyncio.sleep(_LOOK)


class _Order:
    """One order in the room, until the issue is there; said again only where it was refused."""

    def __init__(self, marks: Marks, reader: Reader, deed: Deed) -> None:
        self._marks = marks
        self._reader = reader
        self._title = deed.text
        self._key = f"{deed.key}-{deed.at:.3f}"
        self._words: dict[str, tuple[str, str]] = {}  # what was said, and in reply to what, by id
        self._seen: set[str] = set()

    async def is_there(self) -> bool:
        issues = (await self._reader.issues()).values()
        return any(issue.title == self._title for issue in issues)

    async def go_on(self) -> None:
        if not self._words:
            await self._say(self._marks.order.replace("{title}", self._title))
        for said in await self._reader.room():
            if said.id in self._seen:
                continue
            self._seen.add(said.id)
            if self._marks.asks_about(self._title, said.first):
                await self._say("yes", said.id)
            elif said.answers in self._words and self._marks.fits(
                self._marks.refusal, said.first, 0
            ):
                await asyncio.sleep(_AFTER_REFUSAL)
                await self._say(*self._words[said.answers])

    async def _say(self, text: str, answers: str = "") -> None:
        key = f"{self._key}-{len(self._words)}"
        self._words[await self._reader.say(text, key, answers)] = (text, answers)
