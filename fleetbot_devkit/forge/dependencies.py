"""Dependencies of issues and pull requests; no hook tells of any.

After ``routers/api/v1/repo/issue_dependency.go`` of Forgejo.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from aiohttp import web

from fleetbot_devkit.forge import shapes
from fleetbot_devkit.forge.accounts import Access
from fleetbot_devkit.forge.api import NOT_FOUND, ApiError, Call, Route, answer
from fleetbot_devkit.forge.state import Happening, Repo, Ticket

Place = tuple[Repo, Ticket]


async def list_blockers(call: Call) -> web.Response:
    """Those that one may not see are there too, with nothing in them but a title, for who may not
    write here."""
    _enabled(call.repo)
    page, _ = call.page(_ordered(call.repo, call.ticket().blockers), always=True)
    return answer([_shown(call, place) for place in page])


async def list_blocked(call: Call) -> web.Response:
    ticket = call.ticket()
    rows = [
        (repo, one)
        for repo in call.world.repos.values()
        for one in repo.tickets.values()
        if any(blocker is ticket for _, blocker in one.blockers)
    ]
    page, _ = call.page(_ordered(call.repo, rows), always=True)
    seen = [place for place in page if _may_see(call, place)]
    return answer([shapes.issue(call.world, *place) for place in seen])


async def add_blocker(call: Call) -> web.Response:
    return _add(call, (call.repo, call.ticket()), _named(call))


async def remove_blocker(call: Call) -> web.Response:
    return _remove(call, (call.repo, call.ticket()), _named(call))


async def add_blocked(call: Call) -> web.Response:
    return _add(call, _named(call), (call.repo, call.ticket()))


async def remove_blocked(call: Call) -> web.Response:
    return _remove(call, _named(call), (call.repo, call.ticket()))


def _add(call: Call, target: Place, blocker: Place) -> web.Response:
    _allowed(call, target, blocker)
    circular = any(one is target[1] for _, one in blocker[1].blockers)
    if blocker in target[1].blockers or circular:
        raise ApiError(500)  # Forgejo has no better word for a duplicate or a circle
    target[1].blockers.append(blocker)
    return _told(call, target, blocker, "add_dependency")


def _remove(call: Call, target: Place, blocker: Place) -> web.Response:
    _allowed(call, target, blocker)
    if blocker not in target[1].blockers:
        raise ApiError(500)  # nor for one that is not there
    target[1].blockers.remove(blocker)
    return _told(call, target, blocker, "remove_dependency")


def _told(call: Call, target: Place, blocker: Place, kind: str) -> web.Response:
    now = call.world.now()
    for (_, ticket), other in ((target, blocker), (blocker, target)):
        ticket.updated = now
        ticket.happenings.append(Happening(call.world.next_id(), kind, call.user, now, other=other))
    return answer(shapes.issue(call.world, call.repo, call.ticket()), 201)  # described as 200


def _allowed(call: Call, target: Place, blocker: Place) -> None:
    _enabled(target[0])
    may_write = call.world.access(call.actor, target[0]) >= Access.WRITE
    if target[0].archived or not may_write or not _may_see(call, blocker):
        raise ApiError(404, NOT_FOUND)


def _enabled(repo: Repo) -> None:
    if not repo.has_dependencies:
        raise ApiError(404, NOT_FOUND)


def _named(call: Call) -> Place:
    repo = call.world.repo(f"{call.field('owner', str, '')}/{call.field('repo', str, '')}")
    ticket = repo.tickets.get(call.field("index", int, 0)) if repo else None
    if repo is None or ticket is None:
        raise ApiError(404, NOT_FOUND)
    return repo, ticket


def _may_see(call: Call, place: Place) -> bool:
    return call.world.access(call.actor, place[0]) >= Access.READ


def _ordered(home: Repo, places: Iterable[Place]) -> Sequence[Place]:
    """Those of the same repository first, of each the newest first."""
    newest = sorted(places, key=lambda place: (place[1].created, place[1].id), reverse=True)
    return sorted(newest, key=lambda place: 0 if place[0] is home else place[0].id)


def _shown(call: Call, place: Place) -> dict[str, Any]:
    if _may_see(call, place):
        return shapes.issue(call.world, *place)
    return shapes.hidden_issue("" if call.access >= Access.WRITE else "HIDDEN")


_R = "/repos/{owner}/{repo}/issues/{index}"
ROUTES = (
    Route("GET", f"{_R}/dependencies", list_blockers),
    Route("POST", f"{_R}/dependencies", add_blocker, "user"),
    Route("DELETE", f"{_R}/dependencies", remove_blocker, "user"),
    Route("GET", f"{_R}/blocks", list_blocked),
    Route("POST", f"{_R}/blocks", add_blocked, "user"),
    Route("DELETE", f"{_R}/blocks", remove_blocked, "user"),
)
