"""Pull requests on real branches, and what they change."""

from __future__ import annotations

from aiohttp import web

from fleetbot_devkit.forge import git_shapes, pull_shapes, shapes
from fleetbot_devkit.forge.api import NOT_FOUND, ApiError, Call, Route, answer
from fleetbot_devkit.forge.issues import edit_ticket, new_ticket
from fleetbot_devkit.forge.pull_state import Pull
from fleetbot_devkit.forge.refs import check_merge, first_push
from fleetbot_devkit.forge.state import Ticket


async def list_pulls(call: Call) -> web.Response:
    if not call.repo.has_pull_requests:
        raise ApiError(404, NOT_FOUND)
    state = call.query("state", "open")
    rows = [one for one in call.repo.tickets.values() if one.pull and state in ("all", one.state)]
    sort = call.query("sort")
    ordered = sorted(rows, key=lambda one: one.number, reverse=sort != "oldest")
    if sort == "recentupdate":
        ordered.sort(key=lambda one: one.updated, reverse=True)
    page, headers = call.page(ordered, always=True)
    return answer([await _shape(call, one) for one in page], headers=headers)


async def get_pull(call: Call) -> web.Response:
    return answer(await _shape(call, call.ticket(pull=True)))


async def find_pull(call: Call) -> web.Response:
    """By branches, open or not; the first there ever was, which may be an old one."""
    for ticket in call.repo.tickets.values():
        if ticket.pull and _sides(ticket.pull) == (call.part("base"), call.part("head")):
            return answer(await _shape(call, ticket))
    raise ApiError(404, NOT_FOUND)


async def create_pull(call: Call) -> web.Response:
    title, base = call.required("title"), call.required("base")
    head = call.required("head").removeprefix(f"{call.repo.owner.login}:")
    if head == base:
        raise ApiError(
            422, "Invalid PullRequest: There are no changes between the head and the base"
        )
    head_sha = call.repo.branch(head)
    if head_sha is None or call.repo.branch(base) is None:
        raise ApiError(404, NOT_FOUND)
    for other in call.repo.tickets.values():
        if other.pull and other.state == "open" and _sides(other.pull) == (base, head):
            raise ApiError(409, f"pull request already exists for these targets [id: {other.id}]")
    pull = Pull(base, head, head_sha, head_sha)
    ticket = new_ticket(call, title, pull)
    await call.repo.git.set_ref(f"refs/pull/{ticket.number}/head", head_sha)
    await first_push(call.world, call.repo, ticket, pull)
    await check_merge(call.world, call.repo, ticket)
    await call.notify.ticket_created(call.repo, ticket, call.user)
    return answer(await _shape(call, ticket), 201)


async def edit_pull(call: Call) -> web.Response:
    ticket, pull = _pull(call)
    base = call.field("base", str, pull.base)
    if call.repo.branch(base) is None:
        raise ApiError(404, NOT_FOUND)
    await edit_ticket(call, ticket)
    if base != pull.base:
        old, pull.base, ticket.updated = pull.base, base, call.world.now()
        changes = {"ref": {"from": old}}
        await check_merge(call.world, call.repo, ticket)
        await call.notify.ticket(call.repo, ticket, call.user, "edited", changes=changes)
    return answer(await _shape(call, ticket), 201)


async def list_files(call: Call) -> web.Response:
    _, pull = _pull(call)
    changes, headers = call.page(await pull_shapes.pull_changes(call.repo, pull), always=True)
    shaped = [git_shapes.changed_file(call.world, call.repo, pull.ref_sha, one) for one in changes]
    return answer(shaped, headers=headers)


async def list_commits(call: Call) -> web.Response:
    _, pull = _pull(call)
    if not pull_shapes.shown_base(call.repo, pull):
        raise ApiError(500, "the base branch does not exist")
    base = pull_shapes.base_commit(call.repo, pull)
    commits, headers = call.page(await call.repo.git.commits(pull.ref_sha, f"^{base}"), always=True)
    options = call.request.query
    shaped = [await git_shapes.commit(call.world, call.repo, one, options) for one in commits]
    return answer(shaped, headers=headers)


async def get_diff(call: Call) -> web.Response:
    _, pull = _pull(call)
    base = await call.repo.git.merge_base(pull_shapes.base_commit(call.repo, pull), pull.head_sha)
    return web.Response(text=await call.repo.git.diff(base, pull.head_sha))


def _pull(call: Call) -> tuple[Ticket, Pull]:
    ticket = call.ticket(pull=True)
    if ticket.pull is None:
        raise ApiError(404, NOT_FOUND)
    return ticket, ticket.pull


def _sides(pull: Pull) -> tuple[str, str]:
    return pull.base, pull.head


async def _shape(call: Call, ticket: Ticket) -> shapes.Json:
    return await pull_shapes.pull_request(call.world, call.repo, ticket, call.actor)


_P = "/repos/{owner}/{repo}/pulls"
ROUTES = (
    Route("GET", _P, list_pulls),
    Route("POST", _P, create_pull, "user", frozen=True),
    Route("GET", f"{_P}/{{index:\\d+}}.diff", get_diff),
    Route("GET", f"{_P}/{{index}}", get_pull),
    Route("PATCH", f"{_P}/{{index}}", edit_pull, "user"),
    Route("GET", f"{_P}/{{index:\\d+}}/files", list_files),
    Route("GET", f"{_P}/{{index:\\d+}}/commits", list_commits),
    Route("GET", f"{_P}/{{base}}/{{head:.+}}", find_pull),
)
