"""Merging: who may, when, how; at once, or when the checks succeed; and the base into the head.

After ``routers/api/v1/repo/pull.go`` (``MergePullRequest``, ``UpdatePullRequest``),
``services/pull/check.go`` and ``services/automerge/automerge.go`` of Forgejo, order included.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from fnmatch import fnmatchcase
from functools import partial
from typing import Literal

from aiohttp import web

from fleetbot_devkit.forge import pull_shapes
from fleetbot_devkit.forge.accounts import Access, Account
from fleetbot_devkit.forge.api import NOT_FOUND, ApiError, Call, Route, nothing
from fleetbot_devkit.forge.events import Notifier
from fleetbot_devkit.forge.git import GitError
from fleetbot_devkit.forge.pull_state import Protection, Pull, Scheduled
from fleetbot_devkit.forge.refs import close_named_issues, end_by_merge, refs_changed
from fleetbot_devkit.forge.state import Happening, Repo, Ticket, World

_STYLES = ("merge", "rebase", "rebase-merge", "squash", "fast-forward-only", "manually-merged")
_ALREADY = "pull request is already scheduled to auto merge when checks succeed"


async def is_merged(call: Call) -> web.Response:
    if _pull(call)[1].merged is None:
        raise ApiError(404, NOT_FOUND)
    return nothing()


async def merge_pull(call: Call) -> web.Response:
    ticket, pull = _pull(call)
    style = call.required("Do")
    if style not in _STYLES:
        raise ApiError(422, "[Do]: In")
    waits = call.field("merge_when_checks_succeed", bool, False)
    async with call.repo.lock:
        force = call.field("force_merge", bool, False)
        await _check(call.world, call.repo, ticket, call.user, waits=waits, force=force)
        title = call.field("MergeTitleField", str, "") or _title(ticket, pull)
        deletes = call.field("delete_branch_after_merge", bool, False)
        wanted = Scheduled(call.user, style, title, deletes)
        if waits:
            return _schedule(call, ticket, pull, wanted)
        head = call.field("head_commit_id", str, "")
        await _merge(call.world, call.notify, call.repo, ticket, wanted, head)
    return nothing(200)


async def cancel_merge(call: Call) -> web.Response:
    ticket, pull = _pull(call)
    if pull.scheduled is None:
        raise ApiError(404, NOT_FOUND)
    if pull.scheduled.doer is not call.user and not _may_merge(call.world, call.repo, pull, call):
        raise ApiError(403, "user has no permission to cancel the scheduled auto merge")
    pull.scheduled = None
    _happened(call.world, ticket, call.user, "pull_cancel_scheduled_merge")
    return nothing()


async def update_pull(call: Call) -> web.Response:
    """Up to date is a 500, in v15."""
    ticket, pull = _pull(call)
    if ticket.state != "open":
        raise ApiError(422)
    style: Literal["rebase", "merge"] = "rebase" if call.query("style") == "rebase" else "merge"
    rule = call.repo.protection(pull.head)
    may = rule is None or (style == "merge" and rule.may_push(call.user.login, call.access))
    if call.access < Access.WRITE or not may:
        raise ApiError(403)
    async with call.repo.lock:
        await _update(call, pull, style)
    return nothing(200)


async def _update(call: Call, pull: Pull, style: Literal["rebase", "merge"]) -> None:
    git, base, head = call.repo.git, call.repo.branch(pull.base), call.repo.branch(pull.head)
    if base is None or head is None or await git.is_ancestor(base, head):
        raise ApiError(500, "the head is up to date")
    message = f"Merge branch '{pull.base}' into {pull.head}"
    ours, theirs = (base, head) if style == "rebase" else (head, base)
    try:
        sha = await git.merge(ours, theirs, style, message)
    except GitError:
        raise ApiError(409, f"{style} failed because of conflict") from None
    await git.set_ref(f"refs/heads/{pull.head}", sha)
    await refs_changed(call.world, call.notify, call.repo, call.user)


# -- by itself, when the checks succeed


def _schedule(call: Call, ticket: Ticket, pull: Pull, wanted: Scheduled) -> web.Response:
    """Until the next success of the head, whatever its statuses are by now, and whatever the head
    is by then."""
    if pull.scheduled:
        raise ApiError(409, f"{_ALREADY} [pull_id: {ticket.id}]")
    pull.scheduled = wanted
    _happened(call.world, ticket, call.user, "pull_scheduled_merge")
    return nothing(201)


def merges_by_itself(world: World, notify: Notifier, repo: Repo, ticket: Ticket) -> None:
    """Have it merged beside what goes on, where that waits and all is well."""
    if ticket.pull and ticket.pull.scheduled:
        world.later(_merge_scheduled(world, notify, repo, ticket, ticket.pull))


def succeeded(world: World, repo: Repo, sha: str) -> None:
    """A commit has got a status that is a success."""
    for ticket in repo.tickets.values():
        if ticket.pull and ticket.pull.ref_sha == sha and not ticket.pull.checking:
            world.on_mergeable(repo, ticket)


async def _merge_scheduled(
    world: World, notify: Notifier, repo: Repo, ticket: Ticket, pull: Pull
) -> None:
    async with repo.lock:
        wanted, rule = pull.scheduled, repo.protection(pull.base)
        if wanted is None or (rule and not _statuses_pass(repo, pull, rule)):
            return
        try:
            await _check(world, repo, ticket, wanted.doer)
            pull.scheduled = None
            await _merge(world, notify, repo, ticket, wanted, "")
        except ApiError:
            return  # Forgejo writes it into its log


# -- whether it may be merged


async def _check(
    world: World,
    repo: Repo,
    ticket: Ticket,
    doer: Account,
    *,
    waits: bool = False,
    force: bool = False,
) -> None:
    pull = pull_shapes.pull_of(ticket)
    if ticket.state != "open":
        raise ApiError(405) if pull.merged else ApiError(404, NOT_FOUND)
    access = world.access(doer, repo)
    rule = repo.protection(pull.base)
    if not (rule.may_merge(doer.login, access) if rule else access >= Access.WRITE):
        raise ApiError(405, "User not allowed to merge PR")
    if ticket.is_draft:
        raise ApiError(405, "Work in progress PRs cannot be merged")
    if not await pull_shapes.is_mergeable(repo, ticket):
        raise ApiError(405, "Please try again later")
    missing = await _missing(repo, pull, rule) if rule else ""
    skips = force and rule is not None and access >= Access.ADMIN and not rule.binds_admins
    if missing and not waits and not (skips or (force and doer.is_admin)):
        raise ApiError(405, f"not allowed to merge [reason: {missing}]")
    if ticket.is_blocked:
        raise ApiError(500, "is blocked by an open dependency")


async def _missing(repo: Repo, pull: Pull, rule: Protection) -> str:
    """What the branch's protection wants besides; the first of it."""
    wants: tuple[tuple[str, Callable[[], Awaitable[bool]]], ...] = (
        ("Not all required status checks successful", _sure(_statuses_pass(repo, pull, rule))),
        ("Does not have enough approvals", _sure(_is_approved(pull, rule))),
        ("There are requested changes", _sure(not _is_rejected(pull, rule))),
        ("There are official review requests", _sure(not _is_asked(pull, rule))),
        ("The head branch is behind the base branch", partial(_is_near, repo, pull, rule)),
    )
    for words, holds in wants:
        if not await holds():
            return words
    return ""


def _sure(value: bool) -> Callable[[], Awaitable[bool]]:
    async def told() -> bool:
        return value

    return told


def _is_approved(pull: Pull, rule: Protection) -> bool:
    rows = [one for one in pull.reviews if one.state == "APPROVED" and one.official]
    counted = [one for one in rows if not one.dismissed and not (rule.ignores_stale and one.stale)]
    return len(counted) >= rule.required_approvals


def _is_rejected(pull: Pull, rule: Protection) -> bool:
    rows = [one for one in pull.reviews if one.state == "REQUEST_CHANGES" and one.official]
    return rule.blocks_on_rejection and any(not one.dismissed for one in rows)


def _is_asked(pull: Pull, rule: Protection) -> bool:
    asked = [one for one in pull.reviews if one.state == "REQUEST_REVIEW" and one.official]
    return rule.blocks_on_requests and bool(asked)


async def _is_near(repo: Repo, pull: Pull, rule: Protection) -> bool:
    base = repo.branch(pull.base)
    near = base is None or await repo.git.is_ancestor(base, pull.ref_sha)
    return not rule.blocks_on_outdated or near


def _statuses_pass(repo: Repo, pull: Pull, rule: Protection) -> bool:
    """Every pattern must fit something, and all that it fits be green; without a pattern, all."""
    if not rule.checks_statuses:
        return True
    rows = repo.latest_statuses(pull.head_sha)
    for pattern in rule.contexts or ("*",):
        states = {row.state for row in rows if fnmatchcase(row.context, pattern)}
        if states != {"success"}:
            return False
    return True


def _may_merge(world: World, repo: Repo, pull: Pull, call: Call) -> bool:
    rule = repo.protection(pull.base)
    return rule.may_merge(call.user.login, call.access) if rule else call.access >= Access.WRITE


# -- merging it


async def _merge(
    world: World, notify: Notifier, repo: Repo, ticket: Ticket, wanted: Scheduled, head: str
) -> None:
    """``head``: what its head has to be; whatever it is where that is empty."""
    pull = pull_shapes.pull_of(ticket)
    if wanted.style not in repo.merging.styles:
        words = f"{wanted.style} is not an allowed merge style for this repository"
        raise ApiError(405, words)
    if head not in ("", pull.head_sha):
        raise ApiError(409, "head out of date")
    base = pull_shapes.base_commit(repo, pull)
    try:
        sha = await repo.git.merge(base, pull.head_sha, wanted.style, wanted.title)
    except GitError as error:
        raise ApiError(409, str(error)) from None
    await repo.git.set_ref(f"refs/heads/{pull.base}", sha)
    end_by_merge(world, ticket, pull, wanted.doer, sha, base)
    await notify.ticket(repo, ticket, wanted.doer, "closed")
    for text in (ticket.title, ticket.body):
        await close_named_issues(world, notify, repo, wanted.doer, text, sha)
    await refs_changed(world, notify, repo, wanted.doer)
    if wanted.deletes_branch:
        await _delete_branch(world, notify, repo, ticket, wanted.doer)


async def _delete_branch(
    world: World, notify: Notifier, repo: Repo, ticket: Ticket, doer: Account
) -> None:
    """Not while another pull request comes from it; those that go to it go to its base instead."""
    pull = pull_shapes.pull_of(ticket)
    others = [one for one in repo.tickets.values() if one.pull and one.state == "open"]
    if any(one.pull and one.pull.head == pull.head for one in others):
        return
    if pull.head == repo.default_branch:
        raise ApiError(403, "the head branch is the default branch")
    if repo.protection(pull.head):
        raise ApiError(403, "the head branch is protected")
    for other in others:
        if other.pull and other.pull.base == pull.head:
            other.pull.base = pull.base
            changes = {"ref": {"from": pull.head}}
            await notify.ticket(repo, other, doer, "edited", changes=changes)
    await repo.git.delete_ref(f"refs/heads/{pull.head}")
    _happened(world, ticket, doer, "delete_branch")
    await refs_changed(world, notify, repo, doer)


def _title(ticket: Ticket, pull: Pull) -> str:
    where = f"from {pull.head} into {pull.base}"
    return f"Merge pull request '{ticket.title}' (#{ticket.number}) {where}"


def _happened(world: World, ticket: Ticket, actor: Account, kind: str) -> None:
    ticket.happenings.append(Happening(world.next_id(), kind, actor, world.now()))


def _pull(call: Call) -> tuple[Ticket, Pull]:
    ticket = call.ticket(pull=True)
    return ticket, pull_shapes.pull_of(ticket)


_P = "/repos/{owner}/{repo}/pulls/{index:\\d+}"
ROUTES = (
    Route("GET", f"{_P}/merge", is_merged),
    Route("POST", f"{_P}/merge", merge_pull, "user", frozen=True),
    Route("DELETE", f"{_P}/merge", cancel_merge, "user", frozen=True),
    Route("POST", f"{_P}/update", update_pull, "user"),
)
