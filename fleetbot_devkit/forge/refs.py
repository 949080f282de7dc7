"""What follows from branches that moved: events, pull requests in step, issues closed by commits.

However a ref moves (a push, a merge, a commit made here), :func:`refs_changed` is told afterwards.
"""

from __future__ import annotations

import json
from functools import partial

from fleetbot_devkit.forge.accounts import Access, Account
from fleetbot_devkit.forge.events import Notifier
from fleetbot_devkit.forge.git import ZERO
from fleetbot_devkit.forge.pull_state import Pull
from fleetbot_devkit.forge.references import references
from fleetbot_devkit.forge.state import Happening, Repo, Ticket, World


async def refs_changed(world: World, notify: Notifier, repo: Repo, actor: Account) -> None:
    """Compare the refs on disk with those last seen, and tell of each that differs."""
    before, after = repo.refs, await repo.git.refs()
    repo.refs = after
    for ref in sorted(before.keys() | after.keys()):
        old, new = before.get(ref, ZERO), after.get(ref, ZERO)
        if old != new:
            await notify.ref_changed(repo, actor, ref, old, new)
            await _follow(world, notify, repo, actor, ref, old, new)


async def close_named_issues(
    world: World, notify: Notifier, repo: Repo, actor: Account, text: str, commit_id: str
) -> None:
    """Close and reopen the issues that ``text`` says it does, here and where ``actor`` may; but for
    those that depend on open ones, of which nothing is said."""
    for found in dict.fromkeys(references(text, world.url)):
        where = world.repo(found.repo) if found.repo else repo
        if where is None or not found.action or world.access(actor, where) < Access.WRITE:
            continue
        ticket = where.tickets.get(found.number)
        if ticket is None or ticket.pull is not None:
            continue
        if found.action == "closes" and ticket.state == "open" and not ticket.is_blocked:
            close(world, ticket, actor)
            await notify.ticket(where, ticket, actor, "closed", commit_id=commit_id)
        elif found.action == "reopens" and ticket.state == "closed":
            reopen(world, ticket, actor)
            await notify.ticket(where, ticket, actor, "reopened", commit_id=commit_id)


def close(world: World, ticket: Ticket, actor: Account) -> None:
    ticket.state = "closed"
    ticket.closed = ticket.updated = world.now()
    ticket.happenings.append(Happening(world.next_id(), "close", actor, ticket.updated))


def reopen(world: World, ticket: Ticket, actor: Account) -> None:
    ticket.state, ticket.closed, ticket.updated = "open", None, world.now()
    ticket.happenings.append(Happening(world.next_id(), "reopen", actor, ticket.updated))


def end_by_merge(
    world: World, ticket: Ticket, pull: Pull, actor: Account, sha: str, base: str
) -> None:
    ticket.state = "closed"
    ticket.closed = ticket.updated = world.now()
    pull.merged, pull.merged_by, pull.merge_sha = ticket.closed, actor, sha
    pull.base_sha_at_end, pull.scheduled = base, None
    ticket.happenings.append(Happening(world.next_id(), "merge_pull", actor, ticket.updated))


async def _follow(
    world: World, notify: Notifier, repo: Repo, actor: Account, ref: str, old: str, new: str
) -> None:
    branch = ref.removeprefix("refs/heads/")
    if branch == ref:
        return
    if new == ZERO:
        await _close_pulls_of(world, notify, repo, actor, branch, old)
        return
    for ticket in list(repo.tickets.values()):
        pull = ticket.pull
        if pull and ticket.state == "open" and pull.head == branch and pull.head_sha != new:
            pull.head_sha = new
            ticket.updated = world.now()
            catch_up = partial(_catch_up, world, notify, repo, actor, ticket, pull, old)
            await world.pull_refs.put(catch_up)
        elif pull and ticket.state == "open" and pull.base == branch:
            await world.pull_refs.put(partial(check_merge, world, repo, ticket))
    if branch == repo.default_branch and old != ZERO:
        for commit in await repo.git.commits(new, f"^{old}"):
            await close_named_issues(world, notify, repo, actor, commit.message, commit.sha)


async def _close_pulls_of(
    world: World, notify: Notifier, repo: Repo, actor: Account, branch: str, old: str
) -> None:
    """A branch that is gone takes with it the pull requests that come from it or go to it."""
    for ticket in list(repo.tickets.values()):
        pull = ticket.pull
        if pull and ticket.state == "open" and branch in (pull.base, pull.head):
            pull.base_sha_at_end = old if branch == pull.base else ""
            close(world, ticket, actor)
            await notify.ticket(repo, ticket, actor, "closed")


async def check_merge(world: World, repo: Repo, ticket: Ticket) -> None:
    """Find out whether the pull request can be merged; it takes Forgejo about a second, and begins
    as long after a push to its base as after one to its head."""
    if ticket.pull is None:
        return
    ticket.pull.checking = True
    await world.merge_checks.put(partial(_checked, world, repo, ticket, ticket.pull))


async def _checked(world: World, repo: Repo, ticket: Ticket, pull: Pull) -> None:
    pull.checking, pull.tried_base = False, repo.branch(pull.base) or ""
    world.on_mergeable(repo, ticket)


async def _catch_up(
    world: World,
    notify: Notifier,
    repo: Repo,
    actor: Account,
    ticket: Ticket,
    pull: Pull,
    old: str,
) -> None:
    """Files and commits are those of the head from now on; only then is the hook told of it, and
    are reviews stale."""
    head = pull.head_sha
    await repo.git.set_ref(f"refs/pull/{ticket.number}/head", head)
    pull.ref_sha = head
    await check_merge(world, repo, ticket)
    pushed = await _pushed(repo, pull, old, head)
    entry = Happening(world.next_id(), "pull_push", actor, world.now(), json.dumps(pushed))
    ticket.happenings.append(entry)
    await _age_reviews(world, repo, ticket, pull, actor, old)
    await notify.ticket(repo, ticket, actor, "synchronized", kind="sync")


async def first_push(world: World, repo: Repo, ticket: Ticket, pull: Pull) -> None:
    """The timeline of a pull request begins with the push of the commits that it has."""
    base = repo.branch(pull.base)
    commits = await repo.git.commits(pull.ref_sha, *([f"^{base}"] if base else []))
    pushed = {"is_force_push": False, "commit_ids": [one.sha for one in reversed(commits)]}
    entry = Happening(world.next_id(), "pull_push", ticket.author, world.now(), json.dumps(pushed))
    ticket.happenings.append(entry)


async def _pushed(repo: Repo, pull: Pull, old: str, new: str) -> dict[str, object]:
    if not await repo.git.is_ancestor(old, new):
        return {"is_force_push": True, "commit_ids": [old, new]}
    known = [f"^{old}", *([f"^{base}"] if (base := repo.branch(pull.base)) else [])]
    commits = await repo.git.commits(new, *known)
    return {"is_force_push": False, "commit_ids": [one.sha for one in reversed(commits)]}


async def _age_reviews(
    world: World, repo: Repo, ticket: Ticket, pull: Pull, actor: Account, old: str
) -> None:
    """All reviews are stale once what they are about is another diff; those of the new head not."""
    base = repo.branch(pull.base)
    if base and not await repo.git.is_same_change(base, old, pull.ref_sha):
        rule = repo.protection(pull.base)
        for review in pull.reviews:
            review.stale = True
            if rule and rule.dismisses_stale and review.state == "APPROVED":
                review.dismissed = True
                entry = Happening(
                    world.next_id(), "dismiss_review", actor, world.now(), review_id=review.id
                )
                ticket.happenings.append(entry)
    for review in pull.reviews:
        if review.commit_id == pull.ref_sha:
            review.stale = False
