"""The JSON of reviews and of what they say of lines."""

from __future__ import annotations

from fleetbot_devkit.forge.pull_state import LineRemark, Review
from fleetbot_devkit.forge.shapes import Json, ticket_url, user, when
from fleetbot_devkit.forge.state import Repo, Ticket, World


def review(world: World, repo: Repo, ticket: Ticket, row: Review) -> Json:
    html = ticket_url(world, repo, ticket)
    return {
        "id": row.id,
        "user": user(world, row.author),
        "team": None,
        "state": row.state,
        "body": row.body,
        "commit_id": row.commit_id,
        "stale": row.stale,
        "official": row.official,
        "dismissed": row.dismissed,
        "comments_count": len(row.remarks),
        "submitted_at": when(row.created),
        "updated_at": when(row.updated),
        "html_url": f"{html}#issuecomment-{row.listed}" if row.listed else "",
        "pull_request_url": html,
    }


def remark(world: World, repo: Repo, ticket: Ticket, of: Review, row: LineRemark) -> Json:
    html = ticket_url(world, repo, ticket)
    return {
        "id": row.id,
        "body": row.body,
        "user": user(world, row.author),
        "resolver": user(world, row.resolver) if row.resolver else None,
        "pull_request_review_id": of.id,
        "created_at": when(row.created),
        "updated_at": when(row.created),
        "path": row.path,
        "commit_id": row.commit,
        "original_commit_id": "",
        "diff_hunk": row.patch,
        "position": max(row.line, 0),
        "original_position": max(-row.line, 0),
        "html_url": f"{html}#issuecomment-{row.id}",
        "pull_request_url": html,
    }
