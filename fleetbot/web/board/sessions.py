"""A link is exchanged for a session: a cookie that no script can read, good on the board alone."""

from __future__ import annotations

from http import HTTPStatus

import msgspec
from aiohttp import web

from fleetbot import wire
from fleetbot.services.board.board import Board
from fleetbot.web.endpoint import JSON, Call, Endpoint, NoBody, NoQuery, Who
from fleetbot.web.guard import SESSION_COOKIE
from fleetbot.web.problems import Code, Refusal

SESSION = f"/{wire.API}/board/session"


class SessionCalls:
    def __init__(self, board: Board) -> None:
        self._board = board

    def endpoints(self) -> tuple[Endpoint, ...]:
        return (
            Endpoint(
                "POST",
                Who.ANYONE,
                SESSION,
                self.open,
                "Exchange what stands in a link, which is good once, or a reader's token,"
                " for the board's session: a cookie.",
                sends=wire.BoardViewer,
                refusals=(Code.FORBIDDEN,),
                limit=8192,
            ),
            Endpoint(
                "DELETE",
                Who.ANYONE,
                SESSION,
                self.leave,
                "Have the browser forget its session.",
                empty="Done.",
                refusals=(Code.FORBIDDEN,),
            ),
        )

    async def open(self, call: Call[wire.BoardSessionRequest, NoQuery]) -> web.Response:
        _check_origin(call.request)
        session = await self._board.passes.open(call.body.key)
        await self._board.fleet.durable()
        framed = call.body.framed and bool(self._board.frames)
        seconds = max(0, session.viewer.until - self._board.fleet.clock()) // 1000
        return web.Response(
            body=msgspec.json.encode(self._board.view_of(session.viewer)),
            content_type=JSON,
            headers={
                "Cache-Control": "no-store",
                "Set-Cookie": _cookie(call.request, session.text, seconds, framed=framed),
            },
        )

    async def leave(self, call: Call[NoBody, NoQuery]) -> web.Response:
        """Of a tab or of a widget: a browser keeps the two apart, and does not say which it is."""
        _check_origin(call.request)
        response = web.Response(status=HTTPStatus.NO_CONTENT)
        for framed in (False, True):
            response.headers.add("Set-Cookie", _cookie(call.request, "", 0, framed=framed))
        return response


def _check_origin(request: web.Request) -> None:
    """Browsers say which page asks; no other page may let somebody in, or out.

    Without https they do not say it. What another page sends then without that we are asked first,
    and refuse, is a form or a text, never JSON (Fetch, "CORS-preflight fetch").
    """
    is_another = request.headers.get("Sec-Fetch-Site", "none") not in ("same-origin", "none")
    may_be_another = "Origin" in request.headers and request.content_type != JSON
    if is_another or (request.method == "POST" and may_be_another):
        raise Refusal(Code.FORBIDDEN, "Only the board itself may ask for this.")


def _cookie(request: web.Request, text: str, seconds: int, *, framed: bool) -> str:
    """It has no path, and so that of the address under which the browser knows us, whatever stands
    before it: a proxy may have put us anywhere (RFC 6265, "Paths and Path-Match").

    A browser sends a cookie to a page within a page of another site only where it is `None`, and
    keeps it apart by that site then (`Partitioned`).
    """
    is_https = request.headers.get("Origin", "").startswith("https://") or request.secure
    parts = [f"{SESSION_COOKIE}={text}", f"Max-Age={seconds}", "HttpOnly"]
    if is_https and framed:
        parts += ["Secure", "SameSite=None", "Partitioned"]
    else:
        parts += [*(["Secure"] if is_https else []), "SameSite=Strict"]
    return "; ".join(parts)
