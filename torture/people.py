"""What people do in a story: they open issues, edit, review, merge, speak."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from torture.outcome import Reader, Unreadable
from torture.story import Act, Deed, Doing, Issue, body
from torture.system import System

_PATIENCE = 60.0  # seconds for an issue to be shown as done, or its pull request to be there
_LOOK = 0.3


class People:
    """`numbers` is filled with the issues' numbers as they are opened."""

    def __init__(
        self,
        system: System,
        reader: Reader,
        numbers: dict[str, int],
        until: Callable[[float], Awaitable[None]],
    ) -> None:
        self._system = system
        self._reader = reader
        self._numbers = numbers
        self._until = until

    async def open(self, issue: Issue) -> None:
        await self._until(issue.at)
        number = await self._system.open_issue(issue.title, issue.body, issue.act)
        self._numbers[issue.key] = number

    async def do(self, deed: Deed) -> None:
        """What cannot be done in time is left: the judge will see what comes of that."""
        await self._until(deed.at)
        try:
            async with asyncio.timeout(_PATIENCE):
                if deed.after_done:
                    await self._until_done(deed.key)
                await self._do(deed)
        except (TimeoutError, Unreadable) as error:
            raise Unreadable(f"nobody could {deed.doing} about {deed.key}: {error!r}") from error

    async def _do(self, deed: Deed) -> None:
        act, number = self._reader.act, self._numbers.get(deed.key, 0)
        match deed.doing:
            case Doing.REWRITE:
                text = body(f"torture/{deed.key}-rewritten.md", deed.text, Act.HONEST)
                await act("PATCH", f"/issues/{number}", {"body": text})
            case Doing.SAY:
                await self._reader.say(deed.text, f"{deed.key}-{deed.at}")
            case Doing.COMMENT:
                pull = await self._pull(deed.key)
                await act("POST", f"/issues/{pull['number']}/comments", {"body": deed.text})
            case Doing.STATUS:
                await self._status(await self._pull(deed.key), deed.text)
            case Doing.REVIEW:
                await self._review(await self._pull(deed.key), deed.text)
            case Doing.MERGE:
                await self._merge(await self._pull(deed.key))

    async def _status(self, pull: dict[str, Any], state: str) -> None:
        row = {"state": state, "context": "ci/test", "description": f"CI is {state}"}
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

    async def _pull(self, key: str) -> dict[str, Any]:
        """The issue's open pull request, once there is one."""
        marks = self._system.marks
        while True:
            for row in await self._reader.act("GET", "/pulls?state=open&page=1&limit=50", None):
                if marks.fits(marks.branch, row["head"]["ref"], self._numbers.get(key, 0)):
                    return dict(row)
            await asyncio.sleep(_LOOK)

    async def _until_done(self, key: str) -> None:
        while True:
            issue = (await self._reader.issues()).get(self._numbers.get(key, 0))
            if issue and self._system.marks.done_label in issue.labels:
                return
            await asyncio.sleep(_LOOK)
