"""Issues, their comments and dependencies."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from fleetbot_devkit.forge import shapes
from fleetbot_devkit.forge.accounts import Access, Account
from fleetbot_devkit.forge.api import (
    NOT_FOUND,
    ApiError,
    Call,
    Route,
    answer,
    labels_by_id,
    nothing,
)
from fleetbot_devkit.forge.labels import relabelled
from fleetbot_devkit.forge.pull_state import Pull
from fleetbot_devkit.forge.refs import close, reopen
from fleetbot_devkit.forge.state import Comment, Happening, Ticket

_SORTS: dict[str, tuple[Callable[[Ticket], Any], bool]] = {
    "latest": (lambda one: (one.created, one.id), True),
    "oldest": (lambda one: (one.created, one.id), False),
    "recentupdate": (lambda one: (one.updated, one.id), True),
    "leastupdate": (lambda one: (one.updated, one.id), False),
    "mostcomment": (lambda one: len(one.comments), True),
    "leastcomment": (lambda one: len(one.comments), False),
}


async def list_issues(call: Call) -> web.Response:
    for name in ("created_by", "assigned_by"):
        if call.query(name):
            call.account(call.query(name))  # 404 for nobody, whatever else is asked
    rows = [one for one in call.repo.tickets.values() if _matches(call, one)]
    key, reverse = _SORTS.get(call.query("sort"), _SORTS["latest"])
    page, headers = call.page(sorted(rows, key=key, reverse=reverse), always=True)
    return answer([_issue(call, one) for one in page], headers=headers)


async def get_issue(call: Call) -> web.Response:
    return answer(_issue(call, call.ticket()))


async def create_issue(call: Call) -> web.Response:
    ticket = new_ticket(call, call.required("title"))
    if call.field("closed", bool, False):
        close(call.world, ticket, call.user)
    await call.notify.ticket_created(call.repo, ticket, call.user)
    return answer(_issue(call, ticket), 201)


def new_ticket(call: Call, title: str, pull: Pull | None = None) -> Ticket:
    """Made from what was sent. Who may not write gets no labels or assignees, and no error."""
    may_write = call.access >= Access.WRITE
    logins = call.field("assignees", list, []) if may_write else []
    labels = call.field("labels", list, []) if may_write else []
    assignees = [_assignee(call, login, 422) for login in logins]
    known = call.repo.all_labels()
    now = call.world.now()
    ticket = Ticket(
        id=call.world.next_id(),
        number=max(call.repo.tickets, default=0) + 1,
        author=call.user,
        title=title,
        body=call.field("body", str, ""),
        created=now,
        updated=now,
        labels=[known[one] for one in labels_by_id(call, labels)],
        assignees=assignees,
        pull=pull,
        ref=call.field("ref", str, ""),
    )
    call.repo.tickets[ticket.number] = ticket
    relabelled(call, ticket, ticket.labels, "1")
    return ticket


async def edit_issue(call: Call) -> web.Response:
    ticket = call.ticket()
    await edit_ticket(call, ticket)
    return answer(_issue(call, ticket), 201)  # 201, not 200, in Forgejo too


async def edit_ticket(call: Call, ticket: Ticket) -> None:
    """The part of an edit that issues and pull requests share."""
    if call.access < Access.WRITE and ticket.author is not call.user:
        raise ApiError(403)
    assignees = call.field("assignees", list, [])
    new = [_assignee(call, login, 500) for login in assignees]
    state = call.field("state", str, ticket.state)
    if state == "closed" and ticket.is_blocked:
        kind = "pull request" if ticket.pull else "issue"
        raise ApiError(412, f"cannot close this {kind} because it still has open dependencies")
    await _change_texts(call, ticket)
    ticket.ref = call.field("ref", str, ticket.ref)  # no hook tells of it
    if "assignees" in call.sent and call.access >= Access.WRITE:
        await _change_assignees(call, ticket, new)
    await _change_state(call, ticket, state)


async def _change_texts(call: Call, ticket: Ticket) -> None:
    title = call.field("title", str, "")
    if title and title != ticket.title:
        old, ticket.title, ticket.updated = ticket.title, title, call.world.now()
        changes = {"title": {"from": old}}
        await call.notify.ticket(call.repo, ticket, call.user, "edited", changes=changes)
    if call.sent.get("body") is not None:  # told of even when it is the same
        old, ticket.body, ticket.updated = (
            ticket.body,
            call.field("body", str, ""),
            call.world.now(),
        )
        changes = {"body": {"from": old}}
        await call.notify.ticket(call.repo, ticket, call.user, "edited", changes=changes)


async def _change_assignees(call: Call, ticket: Ticket, new: list[Account]) -> None:
    for account in [one for one in ticket.assignees if one not in new]:
        ticket.assignees.remove(account)
        await _assigned(call, ticket, "unassigned")
    for account in [one for one in new if one not in ticket.assignees]:
        ticket.assignees.append(account)
        await _assigned(call, ticket, "assigned")


async def _assigned(call: Call, ticket: Ticket, action: str) -> None:
    ticket.updated = call.world.now()
    await call.notify.ticket(call.repo, ticket, call.user, action, kind="assign")


async def _change_state(call: Call, ticket: Ticket, state: str) -> None:
    if state == ticket.state:
        return
    if state == "closed":
        close(call.world, ticket, call.user)
        await call.notify.ticket(call.repo, ticket, call.user, "closed")
    elif state == "open":
        reopen(call.world, ticket, call.user)
        await call.notify.ticket(call.repo, ticket, call.user, "reopened")


async def delete_issue(call: Call) -> web.Response:
    """No hook tells of it. What waited for it waits for it no more."""
    gone = call.ticket()
    del call.repo.tickets[gone.number]
    for repo in call.world.repos.values():
        for ticket in repo.tickets.values():
            ticket.blockers = [place for place in ticket.blockers if place[1] is not gone]
    return nothing()


async def timeline(call: Call) -> web.Response:
    """Comments among what happened, oldest first. The total is that of the page, none is null."""
    ticket, since = call.ticket(), _moment(call.query("since"))
    said = [Happening(c.id, "comment", c.author, c.created, c.body) for c in ticket.comments]
    rows = sorted([*ticket.happenings, *said], key=lambda one: (one.created, one.id))
    page, _ = call.page([one for one in rows if since is None or one.created >= since])
    shaped = [shapes.happening(call.world, call.repo, ticket, one) for one in page]
    return answer(shaped or None, headers={"X-Total-Count": str(len(shaped))})


# -- comments


async def list_comments(call: Call) -> web.Response:
    """All of them: Forgejo does not page here."""
    ticket = call.ticket()
    since = _moment(call.query("since"))
    rows = [one for one in ticket.comments if since is None or one.updated >= since]
    shaped = [shapes.comment(call.world, call.repo, ticket, one) for one in rows]
    return answer(shaped, headers={"X-Total-Count": str(len(shaped))})


async def create_comment(call: Call) -> web.Response:
    ticket, now = call.ticket(), call.world.now()
    row = Comment(call.world.next_id(), call.user, call.required("body"), now, now)
    ticket.comments.append(row)
    ticket.updated = now
    await call.notify.comment(call.repo, ticket, row, call.user, "created")
    return answer(shapes.comment(call.world, call.repo, ticket, row), 201)


async def get_comment(call: Call) -> web.Response:
    return answer(shapes.comment(call.world, call.repo, *_comment(call)))


async def edit_comment(call: Call) -> web.Response:
    ticket, row = _own_comment(call)
    old, row.body = row.body, call.required("body")
    row.updated = ticket.updated = call.world.now()
    changes = {"body": {"from": old}}
    await call.notify.comment(call.repo, ticket, row, call.user, "edited", changes=changes)
    return answer(shapes.comment(call.world, call.repo, ticket, row))


async def delete_comment(call: Call) -> web.Response:
    ticket, row = _own_comment(call)
    ticket.comments.remove(row)
    ticket.updated = call.world.now()
    await call.notify.comment(call.repo, ticket, row, call.user, "deleted")
    return nothing()


def _matches(call: Call, ticket: Ticket) -> bool:
    query = call.query
    wanted_state = query("state", "open")
    since, before = _moment(query("since")), _moment(query("before"))
    kind = query("type")
    return (
        wanted_state in ("all", ticket.state)
        and (not kind or (ticket.pull is not None) is (kind == "pulls"))
        and (since is None or ticket.updated >= since)
        and (before is None or ticket.updated <= before)
        and _known_labels(call) <= {label.name for label in ticket.labels}
        and _is_by(call, "created_by", [ticket.author])
        and _is_by(call, "assigned_by", ticket.assignees)
        and query("q").lower() in f"{ticket.title}\n{ticket.body}".lower()
    )


def _known_labels(call: Call) -> set[str]:
    """Names nobody knows are dropped, down to no filter at all."""
    known = {label.name for label in call.repo.all_labels().values()}
    return set(call.query("labels").split(",")) & known


def _is_by(call: Call, name: str, accounts: list[Account]) -> bool:
    login = call.query(name)
    return not login or call.account(login) in accounts


def _moment(text: str) -> datetime | None:
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text.replace(" ", "+"))
    except ValueError:
        raise ApiError(422, f"parsing time {text!r}") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _assignee(call: Call, login: object, status: int) -> Account:
    account = call.account(str(login), status)
    if account not in call.world.assignable(call.repo):
        raise ApiError(status, f"user doesn't have access to repo [user: {login}]")
    return account


def _comment(call: Call) -> tuple[Ticket, Comment]:
    wanted = call.number("id")
    for ticket in call.repo.tickets.values():
        for row in ticket.comments:
            if row.id == wanted:
                return ticket, row
    raise ApiError(404, NOT_FOUND)


def _own_comment(call: Call) -> tuple[Ticket, Comment]:
    ticket, row = _comment(call)
    if row.author is not call.user and call.access < Access.ADMIN:
        raise ApiError(403)
    return ticket, row


def _issue(call: Call, ticket: Ticket) -> dict[str, Any]:
    return shapes.issue(call.world, call.repo, ticket)


_R = "/repos/{owner}/{repo}"
ROUTES = (
    Route("GET", f"{_R}/issues", list_issues),
    Route("POST", f"{_R}/issues", create_issue, "user", frozen=True),
    Route("GET", f"{_R}/issues/comments/{{id}}", get_comment),
    Route("PATCH", f"{_R}/issues/comments/{{id}}", edit_comment, "user", frozen=True),
    Route("DELETE", f"{_R}/issues/comments/{{id}}", delete_comment, "user"),
    Route("GET", f"{_R}/issues/{{index}}", get_issue),
    Route("PATCH", f"{_R}/issues/{{index}}", edit_issue, "user"),
    Route("DELETE", f"{_R}/issues/{{index}}", delete_issue, Access.ADMIN),
    Route("GET", f"{_R}/issues/{{index}}/timeline", timeline),
    Route("GET", f"{_R}/issues/{{index}}/comments", list_comments),
    Route("POST", f"{_R}/issues/{{index}}/comments", create_comment, "user", frozen=True),
)
