"""A scripted model on loopback, for the real agent programs: no account, no network, no surprise.

It speaks as much of the Anthropic Messages API and the OpenAI Responses API as Claude Code and
Codex use: server-sent events, tool calls, errors, broken streams. Each request of a program's main
loop is answered by the next `Reply` of the script; side requests (titles, classifiers) get a short
text and do not use one up.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from aiohttp import web

_BODY_LIMIT = 64 * 2**20
_CUT_AFTER = 2


@dataclass(frozen=True)
class Tool:
    """A tool call of the model; Codex offers some of its tools in a `namespace`."""

    name: str
    input: Mapping[str, Any]
    namespace: str = ""


@dataclass(frozen=True)
class Reply:
    """What the model answers one request with.

    `status` other than 200 answers with the JSON `body`; `raw` is sent instead of proper events;
    `cut` closes the connection in mid-stream; `hold` is awaited before anything is sent; `stop` is
    the API's own word for why the answer ends here, where it is no ordinary end.
    """

    text: str | None = None
    tools: tuple[Tool, ...] = ()
    status: int = 200
    body: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    raw: str | None = None
    cut: bool = False
    hold: asyncio.Event | None = None
    stop: str = ""
    input_tokens: int = 1000
    output_tokens: int = 25


@dataclass(frozen=True)
class Request:
    """One request of a program's main loop."""

    path: str
    body: Mapping[str, Any]
    authorization: str = ""

    @property
    def text(self) -> str:
        """The whole conversation as it was sent, for looking for words in it."""
        return json.dumps([self.body.get("messages"), self.body.get("input")], ensure_ascii=False)

    @property
    def streams(self) -> bool:
        return bool(self.body.get("stream"))


Line = Reply | Callable[[Request], Reply]
"""One line of a script: a reply, or what makes one from the request."""


class ScriptedModel:
    """The server, as an asynchronous context manager; `after` answers when the script is over."""

    def __init__(self, script: Iterable[Line] = (), after: Line | None = None) -> None:
        self.requests: list[Request] = []
        self._script = list(script)
        self._after: Line = after or Reply(text="(the script is over)")
        self._arrived = asyncio.Event()
        self._app = web.Application(client_max_size=_BODY_LIMIT)
        self._app.router.add_post("/v1/messages", self._messages)
        self._app.router.add_post("/v1/responses", self._responses)
        self._app.router.add_get("/v1/models", self._models)
        self._runner = web.AppRunner(self._app, handler_cancellation=True, shutdown_timeout=1)
        self.url = ""

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{port}"
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._runner.cleanup()

    def begin(self, script: Iterable[Line]) -> None:
        """Start over with this script, as if nothing had been asked yet."""
        self.requests.clear()
        self._script = list(script)

    def then(self, *lines: Line) -> None:
        """Add to the end of the script."""
        self._script.extend(lines)

    def always(self, line: Line) -> None:
        """Answer everything with this once the script is over."""
        self._after = line

    async def request(self, number: int) -> Request:
        """Wait for request `number`, counted from 1."""
        while len(self.requests) < number:
            self._arrived.clear()
            await self._arrived.wait()
        return self.requests[number - 1]

    def _next(self, request: web.Request, body: Mapping[str, Any]) -> Reply:
        asked = Request(request.path, body, request.headers.get("Authorization", ""))
        self.requests.append(asked)
        self._arrived.set()
        line = self._script.pop(0) if self._script else self._after
        return line if isinstance(line, Reply) else line(asked)

    async def _messages(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        reply = self._next(request, body) if body.get("tools") else Reply(text="side")
        number = len(self.requests)
        if body.get("stream"):
            return await _answer(request, reply, _anthropic(reply, body["model"], number))
        if reply.hold is not None:
            await reply.hold.wait()
        if reply.status != 200 or reply.raw is not None or reply.cut:
            return web.json_response(reply.body, status=max(reply.status, 400))
        return web.json_response(_anthropic_message(reply, body["model"], number))

    async def _responses(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        side = body.get("text", {}).get("format", {}).get("type") == "json_schema"
        reply = Reply(text="{}") if side else self._next(request, body)
        return await _answer(request, reply, _openai(reply, body["model"], len(self.requests)))

    async def _models(self, request: web.Request) -> web.Response:
        return web.json_response({"object": "list", "data": [], "models": []})


async def _answer(
    request: web.Request, reply: Reply, events: Iterator[dict[str, Any]]
) -> web.StreamResponse:
    if reply.hold is not None:
        await reply.hold.wait()
    if reply.status != 200:
        return web.json_response(reply.body, status=reply.status, headers=reply.headers)
    response = web.StreamResponse(
        headers={"Content-Type": "text/event-stream", **reply.headers},
    )
    await response.prepare(request)
    if reply.raw is not None:
        await response.write(reply.raw.encode())
        return response
    for count, event in enumerate(events):
        await response.write(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode())
        if reply.cut and count == _CUT_AFTER and request.transport is not None:
            request.transport.close()
            return response
    return response


def _anthropic_content(reply: Reply, number: int) -> list[dict[str, Any]]:
    content: list[dict[str, Any]] = []
    if reply.text is not None:
        content.append({"type": "text", "text": reply.text})
    for index, tool in enumerate(reply.tools):
        call = {"type": "tool_use", "id": f"toolu_{number:04d}_{index}", "name": tool.name}
        content.append({**call, "input": dict(tool.input)})
    return content


def _anthropic_message(reply: Reply, model: str, number: int) -> dict[str, Any]:
    return {
        "id": f"msg_{number:04d}",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": _anthropic_content(reply, number),
        "stop_reason": reply.stop or ("tool_use" if reply.tools else "end_turn"),
        "stop_sequence": None,
        "usage": {
            "input_tokens": reply.input_tokens,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0,
            "output_tokens": reply.output_tokens,
        },
    }


def _anthropic(reply: Reply, model: str, number: int) -> Iterator[dict[str, Any]]:
    message = _anthropic_message(reply, model, number)
    start = {**message, "content": [], "stop_reason": None}
    yield {"type": "message_start", "message": start}
    for index, block in enumerate(message["content"]):
        if block["type"] == "text":
            empty, delta = {**block, "text": ""}, {"type": "text_delta", "text": block["text"]}
        else:
            empty = {**block, "input": {}}
            delta = {"type": "input_json_delta", "partial_json": json.dumps(block["input"])}
        yield {"type": "content_block_start", "index": index, "content_block": empty}
        yield {"type": "content_block_delta", "index": index, "delta": delta}
        yield {"type": "content_block_stop", "index": index}
    end = {"stop_reason": message["stop_reason"], "stop_sequence": None}
    usage = {"output_tokens": reply.output_tokens}
    yield {"type": "message_delta", "delta": end, "usage": usage}
    yield {"type": "message_stop"}


def _openai_items(reply: Reply, number: int) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    if reply.text is not None:
        text = {"type": "output_text", "text": reply.text, "annotations": []}
        message = {"type": "message", "id": f"msg_{number}", "role": "assistant"}
        items.append({**message, "status": "completed", "content": [text]})
    for index, tool in enumerate(reply.tools):
        call = {
            "type": "function_call",
            "id": f"fc_{number}_{index}",
            "call_id": f"call_{number}_{index}",
            "name": tool.name,
            "arguments": json.dumps(dict(tool.input)),
            "status": "completed",
            **({"namespace": tool.namespace} if tool.namespace else {}),
        }
        items.append(call)
    return items


def _openai(reply: Reply, model: str, number: int) -> Iterator[dict[str, Any]]:
    items = _openai_items(reply, number)
    base = {"id": f"resp_{number:04d}", "object": "response", "created_at": 0, "model": model}
    usage = {
        "input_tokens": reply.input_tokens,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": reply.output_tokens,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": reply.input_tokens + reply.output_tokens,
    }
    started = {**base, "status": "in_progress", "output": []}
    yield {"type": "response.created", "response": started}
    for index, item in enumerate(items):
        place = {"output_index": index, "item": item}
        yield {"type": "response.output_item.added", **place}
        yield {"type": "response.output_item.done", **place}
    done = {**base, "output": items, "usage": usage}
    if reply.stop:
        cut = {**done, "status": "incomplete", "incomplete_details": {"reason": reply.stop}}
        yield {"type": "response.incomplete", "response": cut}
    else:
        yield {"type": "response.completed", "response": {**done, "status": "completed"}}
