"""The bot in a real room, and a homeserver that answers as a test says."""

from __future__ import annotations

import json
import math
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from aiohttp import web
from mautrix.client import Client
from mautrix.types import UserID

from fleetbot_devkit.matrix_user import MatrixUser, RoomEvent


@asynccontextmanager
async def client_of(user: MatrixUser) -> AsyncIterator[Client]:
    client = Client(UserID(user.user_id), base_url=user.homeserver_url, token=user.access_token)
    try:
        yield client
    finally:
        await client.api.session.close()


async def same(room: str) -> str:
    """Where a room is that was never upgraded."""
    return room


async def said(person: MatrixUser, room: str, by: MatrixUser) -> list[RoomEvent]:
    """All messages of `by`, as `person` sees them."""
    events = await person.messages(room, limit=500)
    return [e for e in events if e.sender == by.user_id and e.type == "m.room.message"]


Server = TypeVar("Server", bound="MoodyHomeserver")


class Answer:
    """One HTTP answer; the last one of a list is given again and again."""

    def __init__(self, status: int, body: object, headers: Mapping[str, str] | None = None) -> None:
        self.status, self.body, self.headers = status, body, headers or {}


def sent(event: str = "$event") -> Answer:
    return Answer(200, {"event_id": event})


def error(status: int, code: str, **fields: Any) -> Answer:
    return Answer(status, {"errcode": code, "error": "No.", **fields})


IS_ENCRYPTED = "/state/m.room.encryption"


class MoodyHomeserver:
    """Answers every request with the next of `answers`, and keeps what was asked.

    A path that ends as one of `refuses` gets that answer instead. Its rooms are not encrypted, and
    it takes all files.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.answers: list[Answer] = []
        self.refuses: dict[str, Answer] = {IS_ENCRYPTED: error(404, "M_NOT_FOUND")}
        self.requests: list[tuple[str, str, dict[str, Any]]] = []
        self.uploads: list[bytes] = []

    def user(self) -> MatrixUser:
        return MatrixUser(self.url, "@bot:localhost", "token", "DEVICE")

    async def handle(self, request: web.Request) -> web.Response:
        data = await request.read()
        for end, refusal in self.refuses.items():
            if request.path.endswith(end):
                return web.json_response(refusal.body, status=refusal.status)
        if request.path.endswith("/upload"):
            self.uploads.append(data)
            return web.json_response({"content_uri": f"mxc://localhost/{len(self.uploads)}"})
        self.requests.append((request.method, request.raw_path, json.loads(data or "{}")))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        body = answer.body if isinstance(answer.body, str) else json.dumps(answer.body)
        return web.Response(status=answer.status, text=body, headers=answer.headers)

    @property
    def transactions(self) -> Sequence[str]:
        return [path.rsplit("/", 1)[1] for method, path, _ in self.requests if method == "PUT"]


class ForgettingHomeserver(MoodyHomeserver):
    """Keeps what is sent, a transaction once; the answer to the one that is `lost` never arrives.

    `lost` counts down with each new message.
    """

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.answers = [Answer(200, {})]  # whatever is asked for is there
        self.lost = 0
        self._sent: dict[str, tuple[str, dict[str, Any]]] = {}

    async def handle(self, request: web.Request) -> web.Response:
        if request.method != "PUT":
            return await super().handle(request)
        transaction = request.path.rsplit("/", 1)[1]
        if transaction not in self._sent:
            self._sent[transaction] = (f"${len(self._sent)}", await request.json())
            self.lost -= 1
            if self.lost == 0:
                return web.Response(status=502, text="the line is dead")
        return web.json_response({"event_id": self._sent[transaction][0]})

    @property
    def texts(self) -> list[str]:
        """All that was sent, in order."""
        bodies = [body.get("m.new_content", body) for _, body in self._sent.values()]
        return [str(body["body"]) for body in bodies]

    @property
    def lines(self) -> list[str]:
        """What people read: the lines of the newest text of each message."""
        shown: dict[str, str] = {}
        for event, body in self._sent.values():
            relation = body.get("m.relates_to", {})
            place = relation["event_id"] if relation.get("rel_type") == "m.replace" else event
            shown[place] = body.get("m.new_content", body)["body"]
        return [line for text in shown.values() for line in text.splitlines()]


class LimitedHomeserver(ForgettingHomeserver):
    """Takes `rate` messages a second from us, by `clock`, and `burst` at once, as Synapse does."""

    def __init__(self, url: str, clock: Callable[[], int], rate: float, burst: float) -> None:
        super().__init__(url)
        self._clock = clock
        self._rate, self._burst = rate, burst
        self._level, self._at = burst, clock()
        self.refused = 0

    async def handle(self, request: web.Request) -> web.Response:
        if request.method == "PUT" and (wait := self._wait_ms()):
            self.refused += 1
            body = {"errcode": "M_LIMIT_EXCEEDED", "error": "No.", "retry_after_ms": wait}
            return web.json_response(body, status=429)
        return await super().handle(request)

    def has_burst(self, burst: float) -> None:
        """From now on it takes so many at once."""
        self._level, self._at, self._burst = burst, self._clock(), burst

    @property
    def left(self) -> float:
        """How many messages it would take now."""
        passed = (self._clock() - self._at) / 1000
        return min(self._burst, self._level + passed * self._rate)

    def _wait_ms(self) -> int:
        level = self.left
        taken = level >= 1 - 1e-6
        self._level, self._at = level - taken, self._clock()
        return 0 if taken else math.ceil((1 - level) / self._rate * 1000)


@asynccontextmanager
async def limited_homeserver(
    clock: Callable[[], int], *, rate: float = 0.2, burst: float = 10
) -> AsyncIterator[LimitedHomeserver]:
    """By default with the limits that Synapse has by default."""
    async with served(LimitedHomeserver("", clock, rate, burst)) as server:
        yield server


@asynccontextmanager
async def moody_homeserver() -> AsyncIterator[MoodyHomeserver]:
    async with served(MoodyHomeserver("")) as server:
        yield server


@asynccontextmanager
async def forgetting_homeserver() -> AsyncIterator[ForgettingHomeserver]:
    async with served(ForgettingHomeserver("")) as server:
        yield server


@asynccontextmanager
async def served(server: Server) -> AsyncIterator[Server]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", server.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    server.url = f"http://{host}:{port}"
    try:
        yield server
    finally:
        await runner.cleanup()
