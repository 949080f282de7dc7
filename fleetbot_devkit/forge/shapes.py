"""The JSON of Forgejo's API, made from our rows. Field names: ``modules/structs`` of Forgejo."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from fleetbot_devkit.forge.accounts import Access, Account, Label, Team
from fleetbot_devkit.forge.pull_state import MergeSettings
from fleetbot_devkit.forge.runs import ENDED, Run
from fleetbot_devkit.forge.state import Comment, Happening, Hook, Repo, Ticket, World

Json = dict[str, Any]
_OF_OTHER_ENTRIES = (
    "old_milestone",
    "milestone",
    "tracked_time",
    "ref_issue",
    "ref_comment",
    "assignee",
    "assignee_team",
    "resolve_doer",
)
NEVER = "0001-01-01T00:00:00Z"


def when(moment: datetime | None) -> str | None:
    """RFC 3339 as Go writes it: whole seconds, ``Z`` for UTC."""
    return None if moment is None else moment.isoformat(timespec="seconds").replace("+00:00", "Z")


def user(world: World, account: Account) -> Json:
    return {
        "id": account.id,
        "login": account.login,
        "login_name": "",
        "source_id": 0,
        "full_name": "",
        "email": f"{account.login}@noreply.localhost",
        "avatar_url": f"{world.url}/avatars/{account.login}",
        "html_url": f"{world.url}/{account.login}",
        "language": "",
        "is_admin": account.is_admin,
        "last_login": NEVER,
        "created": NEVER,
        "restricted": False,
        "active": True,
        "prohibit_login": False,
        "location": "",
        "pronouns": "",
        "website": "",
        "description": "",
        "visibility": "public",
        "followers_count": 0,
        "following_count": 0,
        "starred_repos_count": 0,
        "username": account.login,
    }


def repository(world: World, repo: Repo, viewer: Account | None) -> Json:
    access = world.access(viewer, repo)
    html = f"{world.url}/{repo.full_name}"
    return {
        "id": repo.id,
        "owner": user(world, repo.owner),
        "name": repo.name,
        "full_name": repo.full_name,
        "description": repo.description,
        "empty": not repo.refs,
        "private": repo.private,
        "fork": False,
        "template": False,
        "parent": None,
        "mirror": False,
        "size": 0,
        "language": "",
        "link": "",
        "url": f"{world.url}/api/v1/repos/{repo.full_name}",
        "html_url": html,
        "clone_url": f"{html}.git",
        "ssh_url": f"git@localhost:{repo.full_name}.git",
        "original_url": "",
        "website": "",
        "stars_count": 0,
        "forks_count": 0,
        "watchers_count": 1,
        "open_issues_count": _open(repo, pulls=False),
        "open_pr_counter": _open(repo, pulls=True),
        "release_counter": 0,
        "default_branch": repo.default_branch,
        "archived": repo.archived,
        "archived_at": "1970-01-01T00:00:00Z",
        "created_at": when(repo.created),
        "updated_at": when(repo.created),
        "permissions": {
            "admin": access >= Access.ADMIN,
            "push": access >= Access.WRITE,
            "pull": access >= Access.READ,
        },
        "has_issues": repo.has_issues,
        **_tracker(repo),
        "has_pull_requests": repo.has_pull_requests,
        "has_wiki": False,
        "has_actions": repo.has_actions,
        **_merging(repo.merging),
        "internal": False,
        "avatar_url": "",
        "object_format_name": "sha1",
        "topics": [],
        "repo_transfer": None,
    }


def _tracker(repo: Repo) -> Json:
    """Where there is another one, issues are shown as switched on, and those here are not."""
    if not repo.external_tracker:
        return {}
    fields = (
        "external_tracker_format",
        "external_tracker_style",
        "external_tracker_regexp_pattern",
    )
    return {
        "external_tracker": {
            "external_tracker_url": repo.external_tracker,
            **dict.fromkeys(fields, ""),
        }
    }


def team(row: Team) -> Json:
    mode = row.access.name.lower()
    units = ["repo.code", "repo.issues", "repo.pulls"]
    return {
        "id": row.id,
        "name": row.name,
        "description": "",
        "organization": None,
        "includes_all_repositories": True,
        "permission": mode,
        "units": units,
        "units_map": dict.fromkeys(units, mode),
        "can_create_org_repo": False,
    }


def label(world: World, repo: Repo | None, row: Label) -> Json:
    where = f"repos/{repo.full_name}" if repo else "orgs"
    return {
        "id": row.id,
        "name": row.name,
        "exclusive": row.exclusive,
        "is_archived": False,
        "color": row.color,
        "description": row.description,
        "url": f"{world.url}/api/v1/{where}/labels/{row.id}",
    }


def ticket_url(world: World, repo: Repo, ticket: Ticket) -> str:
    kind = "pulls" if ticket.pull else "issues"
    return f"{world.url}/{repo.full_name}/{kind}/{ticket.number}"


def happening(world: World, repo: Repo, ticket: Ticket, row: Happening) -> Json:
    """An entry of the timeline; most of its fields are for kinds that there are none of here."""
    html = ticket_url(world, repo, ticket)
    return {
        "id": row.id,
        "type": row.kind,
        "html_url": f"{html}#issuecomment-{row.id}",
        "pull_request_url": html if ticket.pull else "",
        "issue_url": "" if ticket.pull else html,
        "user": user(world, row.author),
        "body": row.body,
        "created_at": when(row.created),
        "updated_at": when(row.created),
        **dict.fromkeys(("old_project_id", "project_id"), 0),
        "review_id": row.review_id,
        **dict.fromkeys(("old_title", "new_title", "old_ref", "new_ref", "ref_commit_sha"), ""),
        **dict.fromkeys(_OF_OTHER_ENTRIES),
        "dependent_issue": issue(world, *row.other) if row.other else None,
        "label": label(world, repo, row.label) if row.label else None,
        "ref_action": "none",
        "removed_assignee": False,
    }


def issue(world: World, repo: Repo, ticket: Ticket) -> Json:
    """Also of a pull request, which is an issue with ``pull_request`` filled."""
    html = ticket_url(world, repo, ticket)
    return {
        **ticket_fields(world, repo, ticket),
        "url": f"{world.url}/api/v1/repos/{repo.full_name}/issues/{ticket.number}",
        "html_url": html,
        "original_author": "",
        "original_author_id": 0,
        "ref": ticket.ref,
        "assets": [],
        "pull_request": _pull_meta(ticket, html),
        "repository": {
            "id": repo.id,
            "name": repo.name,
            "owner": repo.owner.login,
            "full_name": repo.full_name,
        },
    }


def run(world: World, repo: Repo, row: Run) -> Json:
    stopped = when(row.created) if row.status in ENDED else NEVER
    return {
        "id": row.id,
        "title": row.title,
        "repository": repository(world, repo, repo.owner),
        "workflow_id": row.workflow,
        "index_in_repo": row.number,
        "trigger_user": user(world, row.doer),
        "ScheduleID": 0,
        "prettyref": row.ref.removeprefix("refs/heads/"),
        "is_ref_deleted": False,
        "commit_sha": row.sha,
        "is_fork_pull_request": False,
        "need_approval": False,
        "approved_by": 0,
        "event": row.event,
        "event_payload": "{}",
        "trigger_event": row.event,
        "status": row.status,
        "started": when(row.created),
        "stopped": stopped,
        "created": when(row.created),
        "updated": when(row.created),
        "duration": 1_000_000_000,
        "html_url": f"{world.url}/{repo.full_name}/actions/runs/{row.number}",
    }


def hidden_issue(title: str) -> Json:
    """What is left of an issue that nobody may see: Go's zero values."""
    empty = dict.fromkeys(("url", "html_url", "body", "original_author", "ref"), "")
    nothing = ("user", "labels", "milestone", "assignee", "assignees", "closed_at", "due_date")
    return {
        **empty,
        **dict.fromkeys((*nothing, "pull_request", "repository", "assets")),
        **dict.fromkeys(("id", "number", "original_author_id", "comments", "pin_order"), 0),
        "title": title,
        "state": "open" if title else "",
        "is_locked": False,
        "created_at": NEVER,
        "updated_at": NEVER,
    }


def comment(world: World, repo: Repo, ticket: Ticket, row: Comment) -> Json:
    html = ticket_url(world, repo, ticket)
    return {
        "id": row.id,
        "html_url": f"{html}#issuecomment-{row.id}",
        "pull_request_url": html if ticket.pull else "",
        "issue_url": "" if ticket.pull else html,
        "user": user(world, row.author),
        "original_author": "",
        "original_author_id": 0,
        "body": row.body,
        "assets": [],
        "created_at": when(row.created),
        "updated_at": when(row.updated),
    }


def hook(row: Hook) -> Json:
    """Never with the secret; ``events`` are fine names, which are no valid input."""
    return {
        "id": row.id,
        "type": row.kind,
        "branch_filter": row.branch_filter,
        "url": row.url,
        "config": {"content_type": row.content_type, "url": row.url},
        "content_type": row.content_type,
        "metadata": None,
        "events": sorted(row.events),
        "authorization_header": "",
        "active": row.active,
        "created_at": when(row.created),
        "updated_at": when(row.created),
    }


def ticket_fields(world: World, repo: Repo, ticket: Ticket) -> Json:
    """What an issue and a pull request have in common."""
    assignees = [user(world, one) for one in ticket.assignees]
    return {
        "id": ticket.id,
        "number": ticket.number,
        "user": user(world, ticket.author),
        "title": ticket.title,
        "body": ticket.body,
        "labels": [label(world, repo, one) for one in ticket.labels],
        "milestone": None,
        "assignee": assignees[0] if assignees else None,
        "assignees": assignees or None,  # null, not [], in Forgejo too
        "state": ticket.state,
        "is_locked": False,
        "comments": len(ticket.comments),
        "created_at": when(ticket.created),
        "updated_at": when(ticket.updated),
        "closed_at": when(ticket.closed),
        "due_date": None,
        "pin_order": 0,
    }


def _merging(settings: MergeSettings) -> Json:
    styles = settings.styles
    return {
        "allow_merge_commits": "merge" in styles,
        "allow_rebase": "rebase" in styles,
        "allow_rebase_explicit": "rebase-merge" in styles,
        "allow_squash_merge": "squash" in styles,
        "allow_fast_forward_only_merge": "fast-forward-only" in styles,
        "allow_rebase_update": True,
        "default_merge_style": settings.default,
        "default_update_style": "merge",
        "default_delete_branch_after_merge": settings.deletes_branch,
    }


def _pull_meta(ticket: Ticket, html: str) -> Json | None:
    if ticket.pull is None:
        return None
    return {
        "merged": ticket.pull.merged is not None,
        "merged_at": when(ticket.pull.merged),
        "draft": ticket.is_draft,
        "html_url": html,
    }


def _open(repo: Repo, *, pulls: bool) -> int:
    return sum(
        one.state == "open" and (one.pull is not None) is pulls for one in repo.tickets.values()
    )
