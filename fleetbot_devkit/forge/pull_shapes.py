"""The JSON of pull requests and their reviews."""

from __future__ import annotations

from fleetbot_devkit.forge.accounts import Account
from fleetbot_devkit.forge.git import FileChange, GitError
from fleetbot_devkit.forge.pull_state import Pull
from fleetbot_devkit.forge.shapes import Json, repository, ticket_fields, ticket_url, user, when
from fleetbot_devkit.forge.state import Repo, Ticket, World


async def pull_request(world: World, repo: Repo, ticket: Ticket, viewer: Account | None) -> Json:
    pull = pull_of(ticket)
    html = ticket_url(world, repo, ticket)
    base_sha = base_commit(repo, pull)
    merge_base = await repo.git.merge_base(base_sha, pull.ref_sha)
    changes = await pull_changes(repo, pull)
    return {
        **ticket_fields(world, repo, ticket),
        "url": html,
        "html_url": html,
        "diff_url": f"{html}.diff",
        "patch_url": f"{html}.patch",
        "requested_reviewers": [user(world, one) for one in pull.requested],
        "requested_reviewers_teams": [],
        "draft": ticket.is_draft,
        "review_comments": sum(len(one.remarks) for one in pull.reviews),
        "additions": sum(change.additions for change in changes),
        "deletions": sum(change.deletions for change in changes),
        "changed_files": len(changes),
        "mergeable": await is_mergeable(repo, ticket),
        "merged": pull.merged is not None,
        "merged_at": when(pull.merged),
        "merge_commit_sha": pull.merge_sha or None,
        "merged_by": user(world, pull.merged_by) if pull.merged_by else None,
        "allow_maintainer_edit": False,
        "base": _branch_side(world, repo, pull.base, pull.base, shown_base(repo, pull), viewer),
        "head": _branch_side(
            world, repo, pull.head, _head_ref(repo, ticket), _shown_head(repo, pull), viewer
        ),
        "merge_base": merge_base,
        "flow": 0,
    }


def base_commit(repo: Repo, pull: Pull) -> str:
    """The base's tip, as it was when it was merged, or when the base was deleted."""
    return pull.base_sha_at_end or repo.branch(pull.base) or pull.head_sha


def shown_base(repo: Repo, pull: Pull) -> str:
    """Nothing where the branch is gone."""
    return base_commit(repo, pull) if pull.merged or repo.branch(pull.base) else ""


async def pull_changes(repo: Repo, pull: Pull) -> list[FileChange]:
    """What the pull request changes, counted from where it left its base."""
    merge_base = await repo.git.merge_base(base_commit(repo, pull), pull.ref_sha)
    return await repo.git.changes(merge_base, pull.ref_sha) if merge_base else []


async def is_mergeable(repo: Repo, ticket: Ticket) -> bool:
    """As it was found out last: of the commits that the pull request's ref shows, and of the base
    as it was then."""
    pull = pull_of(ticket)
    base = repo.branch(pull.base)
    if ticket.is_draft or ticket.state != "open" or base is None:
        return pull.merged is not None
    if pull.checking:
        return False
    base = pull.tried_base or base
    if await repo.git.merge_base(base, pull.ref_sha) == base:
        return True  # nothing to conflict with, so the costly try can be spared
    try:
        await repo.git.merge(base, pull.ref_sha, "merge", "try")
    except GitError:
        return False
    return True


def _branch_side(
    world: World, repo: Repo, name: str, ref: str, sha: str, viewer: Account | None
) -> Json:
    return {
        "label": name,
        "ref": ref,
        "sha": sha,
        "repo_id": repo.id,
        "repo": repository(world, repo, viewer),
    }


def _shown_head(repo: Repo, pull: Pull) -> str:
    """Where the branch is, also once it was merged or closed: whatever was pushed there since."""
    return repo.branch(pull.head) or pull.head_sha


def _head_ref(repo: Repo, ticket: Ticket) -> str:
    head = pull_of(ticket).head
    return head if repo.branch(head) else f"refs/pull/{ticket.number}/head"


def pull_of(ticket: Ticket) -> Pull:
    if ticket.pull is None:
        raise ValueError(f"#{ticket.number} is no pull request")
    return ticket.pull
