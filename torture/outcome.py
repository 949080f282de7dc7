"""What came of it, read from the forge and the room alone, as a person could."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import aiohttp

from torture.system import ForgeAt, RoomAt

_PAGE = 50


@dataclass(frozen=True)
class Comment:
    id: int
    author: str
    body: str


@dataclass(frozen=True)
class IssueSeen:
    number: int
    is_open: bool
    labels: frozenset[str]
    comments: tuple[Comment, ...] = ()
    title: str = ""


@dataclass(frozen=True)
class PullSeen:
    """`notes`: the files below `torture/` at its head, as git's names of their contents, by path;
    `files`: all it changes; `success`: the contexts that are green on the head."""

    number: int
    is_open: bool
    is_merged: bool
    branch: str
    head: str
    files: frozenset[str]
    notes: dict[str, str]
    success: frozenset[str]


@dataclass(frozen=True)
class Said:
    """A message as it was first sent, and the newest text of it; `thread`: it is in one; `answers`:
    the message it replies to."""

    id: str
    sender: str
    first: str
    text: str
    thread: bool
    answers: str = ""


@dataclass(frozen=True)
class Outcome:
    """`base`: the commit of the default branch, `base_files` what is at its root and below
    `torture/`."""

    issues: dict[int, IssueSeen]
    pulls: tuple[PullSeen, ...]
    room: tuple[Said, ...]
    base: str = ""
    base_files: frozenset[str] = frozenset()


class Unreadable(Exception):
    """The forge or the room does not answer as it should."""


class Reader:
    """Reads one forge's repository and one room, past the degraded lines."""

    def __init__(self, forge: ForgeAt, room: RoomAt) -> None:
        self._forge = forge
        self._room = room
        self._notes: dict[tuple[str, str], str] = {}
        self._events: list[dict[str, Any]] = []
        self._since = ""

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._session.close()

    async def issues(self) -> dict[int, IssueSeen]:
        """All issues with their labels, without comments: cheap enough to be asked often."""
        rows = await self._pages("/issues?state=all&type=issues")
        return {
            row["number"]: IssueSeen(
                row["number"],
                row["state"] == "open",
                frozenset(label["name"] for label in row["labels"]),
                title=row["title"],
            )
            for row in rows
        }

    async def outcome(self) -> Outcome:
        """All of it, as it is now."""
        issues = await self.issues()
        with_words = await asyncio.gather(*map(self._with_comments, issues.values()))
        rows = await self._pages("/pulls?state=all")
        pulls = await asyncio.gather(*map(self._pull, rows))
        branch = (await self._get(""))["default_branch"]
        base = (await self._get(f"/branches/{branch}"))["commit"]["id"]
        files = [row["path"] for row in await self._get(f"/contents?ref={base}")]
        return Outcome(
            {issue.number: issue for issue in with_words},
            tuple(pulls),
            await self.room(),
            base,
            frozenset(files),
        )

    async def room(self) -> tuple[Said, ...]:
        """The room's messages, oldest first."""
        while await self._read_on():
            pass
        return said(self._events)

    # -- the forge

    async def _with_comments(self, issue: IssueSeen) -> IssueSeen:
        rows = await self._get(f"/issues/{issue.number}/comments")
        comments = tuple(Comment(row["id"], row["user"]["login"], row["body"]) for row in rows)
        return replace(issue, comments=comments)

    async def _pull(self, row: dict[str, Any]) -> PullSeen:
        head, number = row["head"]["sha"], row["number"]
        changed = await self._pages(f"/pulls/{number}/files")
        files = frozenset(its["filename"] for its in changed)
        status = await self._get(f"/commits/{head}/status")
        green = {its["context"] for its in status["statuses"] or () if its["status"] == "success"}
        ours = [path for path in files if path.startswith("torture/")]
        return PullSeen(
            number,
            row["state"] == "open",
            bool(row["merged"]),
            row["head"]["ref"],
            head,
            files,
            {path: await self._note(head, path) for path in ours},
            frozenset(green),
        )

    async def _note(self, commit: str, path: str) -> str:
        if (commit, path) not in self._notes:
            row = await self._get(f"/contents/{quote(path)}?ref={commit}", missing={})
            self._notes[commit, path] = str(row.get("sha", ""))
        return self._notes[commit, path]

    async def _pages(self, path: str) -> list[Any]:
        rows: list[Any] = []
        sign = "&" if "?" in path else "?"
        for page in range(1, 100):
            got = await self._get(f"{path}{sign}page={page}&limit={_PAGE}")
            rows += got
            if len(got) < _PAGE:
                break
        return rows

    async def _get(self, path: str, missing: Any = None) -> Any:
        url = f"{self._forge.url}/api/v1/repos/{self._forge.repo}{path}"
        return await self._ask("GET", url, self._forge.token, None, missing)

    async def act(self, method: str, path: str, body: object) -> Any:
        """What a person does on the forge, below the repository."""
        url = f"{self._forge.url}/api/v1/repos/{self._forge.repo}{path}"
        return await self._ask(method, url, self._forge.token, body)

    # -- the room

    async def say(self, text: str, key: str, answers: str = "") -> str:
        """A person says something, in reply to a message where one is named; `key` is not to be
        used twice. Answers the message's id."""
        room = quote(self._room.room)
        url = f"{self._room.url}/_matrix/client/v3/rooms/{room}/send/m.room.message/{key}"
        content: dict[str, Any] = {"msgtype": "m.text", "body": text}
        if answers:
            content["m.relates_to"] = {"m.in_reply_to": {"event_id": answers}}
        return str((await self._ask("PUT", url, self._room.token, content))["event_id"])

    async def _read_on(self) -> bool:
        """The next part of the room's history; whether there was one."""
        room = quote(self._room.room)
        url = f"{self._room.url}/_matrix/client/v3/rooms/{room}/messages?dir=f&limit=500"
        url += f"&from={quote(self._since)}" if self._since else ""
        answer = await self._ask("GET", url, self._room.token, None)
        self._events += answer["chunk"]
        self._since = answer.get("end") or answer["start"] if answer["chunk"] else self._since
        return bool(answer["chunk"])

    async def _ask(
        self, method: str, url: str, token: str, body: object, missing: Any = None
    ) -> Any:
        headers = {"Authorization": f"Bearer {token}"}
        try:
            async with self._session.request(
                method, url, headers=headers, json=body, timeout=aiohttp.ClientTimeout(20)
            ) as answer:
                if answer.status == 404 and missing is not None:
                    return missing
                if not answer.ok:
                    raise Unreadable(f"{method} {url}: {answer.status} {await answer.text()}")
                return await answer.json() if await answer.read() else None
        except (aiohttp.ClientError, TimeoutError) as error:
            raise Unreadable(f"{method} {url}: {error!r}") from error


def said(events: Iterable[dict[str, Any]]) -> tuple[Said, ...]:
    """Messages of a room's timeline, each with its newest text."""
    found: dict[str, Said] = {}
    for event in events:
        content = event["content"]
        if event["type"] != "m.room.message" or "body" not in content:
            continue
        relation = content.get("m.relates_to", {})
        if relation.get("rel_type") == "m.replace":
            _edit(found, relation["event_id"], event["sender"], content)
            continue
        text, thread = str(content["body"]), relation.get("rel_type") == "m.thread"
        answers = relation.get("m.in_reply_to", {}).get("event_id", "")
        id = event["event_id"]
        found[id] = Said(id, event["sender"], text, text, thread, answers)
    return tuple(found.values())


def _edit(found: dict[str, Said], event: str, sender: str, content: dict[str, Any]) -> None:
    old = found.get(event)
    if old and old.sender == sender:
        text = str(content.get("m.new_content", content).get("body", ""))
        found[event] = replace(old, text=text)
