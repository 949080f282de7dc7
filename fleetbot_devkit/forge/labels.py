"""Labels of repositories and organisations, and of issues and pull requests."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from aiohttp import web

from fleetbot_devkit.forge import shapes
from fleetbot_devkit.forge.accounts import Access, Account, Label
from fleetbot_devkit.forge.api import (
    NOT_FOUND,
    ApiError,
    Call,
    Route,
    answer,
    labels_by_id,
    nothing,
)
from fleetbot_devkit.forge.state import Happening, Ticket

_COLOR = re.compile(r"#?([0-9a-fA-F]{6}|[0-9a-fA-F]{3})")


async def list_labels(call: Call) -> web.Response:
    return _page(call, call.repo.labels)


async def create_label(call: Call) -> web.Response:
    row = _new_label(call, call.repo.labels)
    return answer(shapes.label(call.world, call.repo, row), 201)


async def delete_label(call: Call) -> web.Response:
    """From every issue, too. What is not there is as good as deleted."""
    label = call.repo.labels.pop(call.number("id"), None)
    for ticket in call.repo.tickets.values():
        ticket.labels = [one for one in ticket.labels if one is not label]
    return nothing()


async def list_org_labels(call: Call) -> web.Response:
    return _page(call, _org(call).labels)


async def create_org_label(call: Call) -> web.Response:
    row = _new_label(call, _org(call).labels)
    return answer(shapes.label(call.world, None, row), 201)


async def list_issue_labels(call: Call) -> web.Response:
    return answer(_shaped(call, call.ticket()))


async def add_issue_labels(call: Call) -> web.Response:
    ticket = call.ticket()
    return await _changed(call, ticket, _with(ticket.labels, _meant(call)))


async def replace_issue_labels(call: Call) -> web.Response:
    return await _changed(call, call.ticket(), _with([], _meant(call)))


async def remove_issue_label(call: Call) -> web.Response:
    ticket, word = call.ticket(), call.part("label")
    labels = call.repo.all_labels().values()
    named = [one for one in labels if one.name == word] or [
        one for one in labels if str(one.id) == word
    ]
    if not named:
        raise ApiError(422, "label does not exist")
    await _changed(call, ticket, [one for one in ticket.labels if one is not named[0]])
    return nothing()


async def clear_issue_labels(call: Call) -> web.Response:
    ticket = call.ticket()
    _wear(call, ticket, [])
    await call.notify.ticket(call.repo, ticket, call.user, "label_cleared", kind="label")
    return nothing()


def add_label(
    labels: dict[int, Label], number: int, name: str, color: str, *, exclusive: bool = False
) -> Label:
    """Names may be doubled, as in Forgejo."""
    digits = color.removeprefix("#").lower()
    full = digits if len(digits) == 6 else "".join(digit * 2 for digit in digits)
    labels[number] = Label(number, name, full, exclusive=exclusive)
    return labels[number]


async def _changed(call: Call, ticket: Ticket, labels: list[Label]) -> web.Response:
    """Told of on every call, whether it changed anything or not, as Forgejo does."""
    _wear(call, ticket, labels)
    await call.notify.ticket(call.repo, ticket, call.user, "label_updated", kind="label")
    return answer(_shaped(call, ticket))


def _meant(call: Call) -> list[Label]:
    """The labels sent, by ids or by names; what is unknown is ignored, a mixture refused."""
    sent = call.field("labels", list, [])
    known = call.repo.all_labels()
    if all(isinstance(one, int) for one in sent):
        return [known[one] for one in labels_by_id(call, sent)]
    if not all(isinstance(one, str) for one in sent):
        raise ApiError(400, "a label must be an integer or a string, and all of the same kind")
    return [one for name in sent for one in known.values() if one.name == name]


def _with(there: list[Label], more: list[Label]) -> list[Label]:
    """An exclusive label takes the place of the others of its scope."""
    for label in more:
        rivals = [one for one in there if label.scope and one.scope == label.scope]
        there = [one for one in there if one not in rivals and one is not label]
        there.append(label)
    return sorted(there, key=lambda one: one.name)


def _wear(call: Call, ticket: Ticket, labels: list[Label]) -> None:
    """From now on; the timeline tells of each that comes or goes."""
    gone = [one for one in ticket.labels if one not in labels]
    new = [one for one in labels if one not in ticket.labels]
    ticket.labels, ticket.updated = labels, call.world.now()
    for body, ones in {"": gone, "1": new}.items():
        relabelled(call, ticket, ones, body)


def relabelled(call: Call, ticket: Ticket, labels: Iterable[Label], body: str) -> None:
    for one in labels:
        entry = Happening(call.world.next_id(), "label", call.user, ticket.updated, body, label=one)
        ticket.happenings.append(entry)


def _new_label(call: Call, labels: dict[int, Label]) -> Label:
    name, color = call.required("name"), call.required("color")
    if not _COLOR.fullmatch(color):
        raise ApiError(422, f"bad colour code: {color}")
    row = add_label(labels, call.world.next_id(), name, color)
    row.description = call.field("description", str, "")
    row.exclusive = call.field("exclusive", bool, False)
    return row


def _org(call: Call) -> Account:
    org = call.world.account(call.part("org"))
    if org is None or not org.is_org:
        raise ApiError(404, NOT_FOUND)
    return org


def _page(call: Call, labels: dict[int, Label]) -> web.Response:
    page, headers = call.page(sorted(labels.values(), key=lambda one: one.name))
    return answer([shapes.label(call.world, call.found_repo, one) for one in page], headers=headers)


def _shaped(call: Call, ticket: Ticket) -> list[dict[str, Any]]:
    return [shapes.label(call.world, call.repo, one) for one in ticket.labels]


_R = "/repos/{owner}/{repo}"
ROUTES = (
    Route("GET", f"{_R}/labels", list_labels),
    Route("POST", f"{_R}/labels", create_label, Access.WRITE),
    Route("DELETE", f"{_R}/labels/{{id}}", delete_label, Access.WRITE),
    Route("GET", "/orgs/{org}/labels", list_org_labels, "anybody"),
    Route("POST", "/orgs/{org}/labels", create_org_label, "user"),
    Route("GET", f"{_R}/issues/{{index}}/labels", list_issue_labels),
    Route("POST", f"{_R}/issues/{{index}}/labels", add_issue_labels, Access.WRITE),
    Route("PUT", f"{_R}/issues/{{index}}/labels", replace_issue_labels, Access.WRITE),
    Route("DELETE", f"{_R}/issues/{{index}}/labels", clear_issue_labels, Access.WRITE),
    Route("DELETE", f"{_R}/issues/{{index}}/labels/{{label}}", remove_issue_label, Access.WRITE),
)
