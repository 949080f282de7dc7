"""The board's page, its style and its scripts, as they are in the package or the plugin's archive.

Nothing of it comes from anywhere else, and nothing may: the policy that goes with the page says so
to the browser (Content Security Policy Level 3).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from http import HTTPStatus
from importlib import resources

from aiohttp import web

from fleetbot.web.board.kept import Kept
from fleetbot.web.endpoint import Call, Endpoint, NoBody, NoQuery, anyone_gets
from fleetbot.web.problems import Code, Refusal

_TYPES = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
}
_INDEX = "index.html"
_KEPT = "It is what the caller has, by its ETag."


class Pages:
    """`frames`: the origins of pages that may show the board inside them; none where empty."""

    def __init__(self, frames: Sequence[str]) -> None:
        self._policy = policy_of(frames)

    def endpoints(self) -> tuple[Endpoint, ...]:
        return (
            anyone_gets(
                "/board",
                self.lead,
                "Leads to the board's page.",
                moved="To `board/`.",
            ),
            anyone_gets(
                "/board/",
                self.index,
                "The board's page, for browsers.",
                sends=str,
                media="text/html",
                kept=_KEPT,
            ),
            anyone_gets(
                "/board/{file}",
                self.file,
                "What the board's page is made of.",
                sends=str,
                media="*/*",
                kept=_KEPT,
            ),
        )

    async def lead(self, call: Call[NoBody, NoQuery]) -> web.Response:
        """Relative, as only the browser knows what stands before it."""
        headers = {"Location": "board/", "Content-Security-Policy": self._policy}
        return web.Response(status=HTTPStatus.PERMANENT_REDIRECT, headers=headers)

    async def index(self, call: Call[NoBody, NoQuery]) -> web.Response:
        return self._answer(call, _INDEX)

    async def file(self, call: Call[NoBody, NoQuery]) -> web.Response:
        return self._answer(call, call.part("file"))

    def _answer(self, call: Call[NoBody, NoQuery], name: str) -> web.Response:
        found = self._files.get(name)
        if found is None:
            raise Refusal(Code.NOT_FOUND, f"The board has no {name}.", field="file")
        headers = {
            "Cache-Control": "no-cache",
            "Content-Security-Policy": self._policy,
            "Referrer-Policy": "no-referrer",
            "X-Content-Type-Options": "nosniff",
            "Cross-Origin-Resource-Policy": "same-origin",
            "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
        }
        return found.answer(call.request, headers)

    @cached_property
    def _files(self) -> dict[str, Kept]:
        """All of them, read when the first is asked for."""
        folder = resources.files("fleetbot.web.board") / "static"
        return {file.name: _kept(file.name, file.read_bytes()) for file in folder.iterdir()}


def _kept(name: str, body: bytes) -> Kept:
    media = _TYPES[name[name.rindex(".") :]]
    return Kept.of(body, f"{media}; charset=utf-8")


def policy_of(frames: Sequence[str]) -> str:
    return "; ".join(
        (
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "img-src 'self'",
            "connect-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
            f"frame-ancestors {' '.join(frames) or chr(39) + 'none' + chr(39)}",
        )
    )
