"""The frame of every API call: who asks, may they, what did they send; Forgejo's error shapes."""

from __future__ import annotations

import base64
import binascii
import hmac
import json
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from aiohttp import web

from fleetbot_devkit.forge.accounts import Access, Account, Token
from fleetbot_devkit.forge.events import Notifier
from fleetbot_devkit.forge.state import Repo, Ticket, World

T = TypeVar("T")
Json = dict[str, Any]

_CATEGORIES = {
    "user": "user",
    "users": "user",
    "orgs": "organization",
    "teams": "organization",
    "admin": "admin",
}
MAX_PAGE = 50
DEFAULT_PAGE = 30
NOT_FOUND = "The target couldn't be found."


class ApiError(Exception):
    def __init__(self, status: int, message: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.message = message


class Call:
    """One request being answered. ``repo`` is set on the routes of a repository."""

    def __init__(self, request: web.Request, world: World, notify: Notifier, sent: Json) -> None:
        self.request = request
        self.world = world
        self.notify = notify
        self.sent = sent
        self.actor: Account | None = None
        self.found_repo: Repo | None = None

    @property
    def repo(self) -> Repo:
        if self.found_repo is None:
            raise ApiError(404, NOT_FOUND)
        return self.found_repo

    @property
    def user(self) -> Account:
        if self.actor is None:
            raise ApiError(401, "token is required")
        return self.actor

    @property
    def access(self) -> Access:
        return self.world.access(self.actor, self.repo)

    def part(self, name: str) -> str:
        """A part of the path."""
        return self.request.match_info[name]

    def number(self, name: str) -> int:
        value = self.part(name)
        if not value.isdecimal():
            raise ApiError(404, NOT_FOUND)
        return int(value)

    def query(self, name: str, default: str = "") -> str:
        return self.request.query.get(name, default)

    def positive(self, name: str) -> int:
        """A number of the query; 0 where it is none."""
        return _positive(self.query(name))

    def field(self, name: str, kind: type[T], default: T) -> T:
        """A field of the sent JSON; null is as good as absent."""
        value = self.sent.get(name)
        if value is None:
            return default
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise ApiError(422, f"[]: json: cannot unmarshal field {name}")
        return value

    def required(self, name: str) -> str:
        value = self.field(name, str, "")
        if not value.strip():
            raise ApiError(422, f"[{name.title()}]: Required")
        return value

    def ticket(self, *, pull: bool | None = None) -> Ticket:
        """The issue (or pull request) the path names."""
        ticket = self.repo.tickets.get(self.number("index"))
        if ticket is None or (pull is not None and (ticket.pull is not None) is not pull):
            raise ApiError(404, NOT_FOUND)
        keeps_issues = self.repo.has_issues and not self.repo.external_tracker
        if not (self.repo.has_pull_requests if ticket.pull else keeps_issues):
            raise ApiError(404, NOT_FOUND)  # of a unit that is switched off nothing is shown
        return ticket

    def account(self, login: str, status: int = 404) -> Account:
        account = self.world.account(login)
        if account is None:
            raise ApiError(status, f"user does not exist [uid: 0, name: {login}]")
        return account

    def need(self, access: Access) -> None:
        if self.access < access:
            raise ApiError(403, "")

    def page(self, rows: Sequence[T], *, always: bool = False) -> tuple[list[T], dict[str, str]]:
        """The page asked for and the total, as headers.

        Without ``page`` most lists ignore ``limit`` and give everything; some page ``always``.
        """
        total = {"X-Total-Count": str(len(rows))}
        page = _positive(self.query("page"))
        if page == 0 and not always:
            return list(rows), total
        size = min(_positive(self.query("limit")) or DEFAULT_PAGE, MAX_PAGE)
        start = (max(page, 1) - 1) * size
        return list(rows[start : start + size]), total


Handler = Callable[[Call], Awaitable[web.StreamResponse]]


@dataclass(frozen=True)
class Route:
    """``needs``: anybody, a signed-in user, or a right in the repository of the path.

    ``frozen``: refused while the repository is archived. Forgejo refuses fewer calls than one
    would think: labels, states, assignees and commit statuses can still be changed.
    """

    method: str
    path: str
    handler: Handler
    needs: Access | Literal["anybody", "user"] = Access.READ
    frozen: bool = False


def answer(data: object, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    return web.json_response(data, status=status, headers=headers)


def nothing(status: int = 204) -> web.Response:
    return web.Response(status=status)


def error_answer(world: World, error: ApiError) -> web.Response:
    """Forgejo's error object; 404 has ``errors`` too, and many a 403 has no body at all."""
    if error.status == 403 and not error.message:
        return web.Response(status=403)
    message = "" if error.status >= 500 else error.message  # details are for administrators
    body: Json = {"message": message, "url": f"{world.url}/api/swagger"}
    if error.status == 404:
        body = {"errors": [], **body}
    return web.json_response(body, status=error.status)


def prepare(call: Call, route: Route) -> None:
    """Find the account and the repository; :class:`ApiError` where the call is not allowed."""
    call.actor, token = authenticate(call.request, call.world)
    if token is not None:
        _check_scope(call.request, token)
    if "{owner}" in route.path:
        full_name = f"{call.part('owner')}/{call.part('repo')}"
        call.found_repo = call.world.repo(full_name)
        if call.found_repo is None or call.access < Access.READ:
            raise ApiError(404, NOT_FOUND)  # what one may not see does not exist
    if route.needs == "anybody" or route.needs is Access.READ:
        return
    _ = call.user
    if isinstance(route.needs, Access):
        call.need(route.needs)
    if route.frozen and call.repo.archived:
        raise ApiError(423, f"<Repository {call.repo.id}:{call.repo.full_name}> is archived")


def authenticate(request: web.Request, world: World) -> tuple[Account | None, Token | None]:
    """By token, or by name with password or token, as git sends it; nobody without a header."""
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    if not scheme:
        return None, None
    if scheme.lower() in ("token", "bearer"):
        return _by_token(world, given)
    if scheme.lower() != "basic":
        raise ApiError(401, "unknown authorization scheme")
    name, password = _basic(given)
    account = world.account(name)
    if account and account.password and hmac.compare_digest(_b(account.password), _b(password)):
        return account, None
    return _by_token(world, password or name)


def json_of(body: bytes) -> Json:
    """What was sent; an empty body is an empty object."""
    if not body.strip():
        return {}
    try:
        data = json.loads(body)
    except ValueError:
        raise ApiError(422, "[]: invalid JSON") from None
    if not isinstance(data, dict):
        raise ApiError(422, "[]: not a JSON object")
    return data


def labels_by_id(call: Call, ids: Iterable[object]) -> list[int]:
    known = call.repo.all_labels()
    return [one for one in ids if isinstance(one, int) and one in known]


def _by_token(world: World, given: str) -> tuple[Account, Token]:
    token = world.tokens.get(given)
    account = world.account(token.login) if token else None
    if token is None or account is None:
        raise ApiError(401, f"access token does not exist [sha: {given}]")  # Forgejo says it too
    return account, token


def _basic(given: str) -> tuple[str, str]:
    try:
        name, _, password = base64.b64decode(given, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        raise ApiError(401, "malformed credentials") from None
    return name, password


def _check_scope(request: web.Request, token: Token) -> None:
    level = "read" if request.method in ("GET", "HEAD") else "write"
    category = _category(request.path)
    allowed = {"all", f"write:{category}"} | ({f"read:{category}"} if level == "read" else set())
    if category and not allowed & token.scopes:
        raise ApiError(
            403, f"token does not have at least one of required scope(s): [{level}:{category}]"
        )


def _category(path: str) -> str:
    """The scope category of a path; tokens need none for ``/version`` and ``/settings``."""
    words = path.removeprefix("/api/v1").strip("/").split("/")
    if words[0] == "repositories":
        return "repository"
    if words[0] == "repos":
        is_issue = len(words) > 3 and words[3] in ("issues", "labels", "milestones")
        return "issue" if is_issue else "repository"
    return _CATEGORIES.get(words[0], "")


def _positive(text: str) -> int:
    return int(text) if text.isdecimal() else 0


def _b(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
