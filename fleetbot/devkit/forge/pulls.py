"""Pull requests on real branches: what they change, reviews, merging."""

from __future__ import annotations

from fnmatch import fnmatchcase

from aiohttp import web

from fleetbot.devkit.forge import git_shapes, pull_shapes, shapes
from fleetbot.devkit.forge.api import NOT_FOUND, ApiError, Call, Route, answer, nothing
from fleetbot.devkit.forge.git import GitError
from fleetbot.devkit.forge.issues import edit_ticket, new_ticket
from fleetbot.devkit.forge.refs import check_merge, close, close_named_issues, refs_changed
from fleetbot.devkit.forge.state import Access, Protection, Pull, Review, Ticket

_STYLES = ("merge", "rebase", "squash", "fast-forward-only")
_STATES = {
    "APPROVED": "APPROVED",
    "REQUEST_CHANGES": "REQUEST_CHANGES",
    "COMMENT": "COMMENT",
    "": "PENDING",
    "PENDING": "PENDING",
}


async def list_pulls(call: Call) -> web.Response:
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
    await check_merge(call.world, pull)
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


async def list_reviews(call: Call) -> web.Response:
    ticket, pull = _pull(call)
    page, headers = call.page(pull.reviews)
    shaped = [pull_shapes.review(call.world, call.repo, ticket, one) for one in page]
    return answer(shaped, headers=headers)


async def create_review(call: Call) -> web.Response:
    ticket, pull = _pull(call)
    state = _STATES.get(call.field("event", str, ""))
    body = call.field("body", str, "")
    if state is None or (state in ("REQUEST_CHANGES", "COMMENT") and not body):
        raise ApiError(422, f"review event {state or call.sent.get('event')} requires a body")
    if state in ("APPROVED", "REQUEST_CHANGES") and ticket.author is call.user:
        verb = "approve" if state == "APPROVED" else "reject"
        raise ApiError(422, f"{verb} your own pull is not allowed")
    commit_id = call.field("commit_id", str, "") or pull.head_sha
    row = Review(call.world.next_id(), call.user, state, body, commit_id, call.world.now())
    pull.reviews.append(row)
    ticket.updated = call.world.now()
    if state != "PENDING":
        await call.notify.reviewed(call.repo, ticket, row)
    return answer(pull_shapes.review(call.world, call.repo, ticket, row))


async def is_merged(call: Call) -> web.Response:
    if _pull(call)[1].merged is None:
        raise ApiError(404, NOT_FOUND)
    return nothing()


async def merge_pull(call: Call) -> web.Response:
    ticket, pull = _pull(call)
    async with call.repo.lock:
        _check_mergeable(call, ticket, pull)
        await _merge(call, ticket, pull)
    return nothing(200)


async def get_diff(call: Call) -> web.Response:
    _, pull = _pull(call)
    base = await call.repo.git.merge_base(pull_shapes.base_commit(call.repo, pull), pull.head_sha)
    return web.Response(text=await call.repo.git.diff(base, pull.head_sha))


def _check_mergeable(call: Call, ticket: Ticket, pull: Pull) -> None:
    if ticket.state != "open":
        raise ApiError(405) if pull.merged else ApiError(404, NOT_FOUND)
    if call.required("Do") not in _STYLES:
        raise ApiError(405, "wrong style")
    if ticket.is_draft:
        raise ApiError(405, "Work in progress PRs cannot be merged")
    if call.field("head_commit_id", str, pull.head_sha) != pull.head_sha:
        raise ApiError(409, "head out of date")
    if pull.checking:
        raise ApiError(405, "Please try again later")
    rule = call.repo.protection(pull.base)
    if rule and not rule.may_merge(call.user.login, call.access):
        raise ApiError(405, "User not allowed to merge PR")
    if rule and rule.checks_statuses and not _statuses_pass(call, pull, rule):
        raise ApiError(405, "Not all required status checks successful")


def _statuses_pass(call: Call, pull: Pull, rule: Protection) -> bool:
    """Every pattern must fit something, and all that it fits be green; without a pattern, all."""
    rows = call.repo.latest_statuses(pull.head_sha)
    for pattern in rule.contexts or ("*",):
        states = {row.state for row in rows if fnmatchcase(row.context, pattern)}
        if states != {"success"}:
            return False
    return True


async def _merge(call: Call, ticket: Ticket, pull: Pull) -> None:
    repo, base = call.repo, pull_shapes.base_commit(call.repo, pull)
    title = call.field("MergeTitleField", str, "") or (
        f"Merge pull request '{ticket.title}' (#{ticket.number}) from {pull.head} into {pull.base}"
    )
    try:
        sha = await repo.git.merge(base, pull.head_sha, call.required("Do"), title)
    except GitError as error:
        raise ApiError(409, str(error)) from None
    await repo.git.set_ref(f"refs/heads/{pull.base}", sha)
    close(call.world, ticket, call.user)
    pull.merged, pull.merged_by, pull.merge_sha = ticket.closed, call.user, sha
    pull.base_sha_at_end = base
    await call.notify.ticket(repo, ticket, call.user, "closed")
    for text in (ticket.title, ticket.body):
        await close_named_issues(call.world, call.notify, repo, call.user, text, sha)
    await refs_changed(call.world, call.notify, repo, call.user)


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
    Route("GET", f"{_P}/{{index:\\d+}}/reviews", list_reviews),
    Route("POST", f"{_P}/{{index}}/reviews", create_review, "user"),
    Route("GET", f"{_P}/{{index:\\d+}}/merge", is_merged),
    Route("POST", f"{_P}/{{index}}/merge", merge_pull, Access.WRITE, frozen=True),
    Route("GET", f"{_P}/{{base}}/{{head:.+}}", find_pull),
)
