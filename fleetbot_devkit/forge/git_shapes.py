"""The JSON of commits, branches and commit statuses."""

from __future__ import annotations

from collections.abc import Mapping

from fleetbot_devkit.forge.accounts import Access, Account
from fleetbot_devkit.forge.git import FileChange, GitCommit, Person
from fleetbot_devkit.forge.shapes import NEVER, Json, user, when
from fleetbot_devkit.forge.state import Repo, Status, World


def status(world: World, repo: Repo, sha: str, row: Status) -> Json:
    return {
        "id": row.id,
        "status": row.state,
        "target_url": row.target_url,
        "description": row.description,
        "url": f"{world.url}/api/v1/repos/{repo.full_name}/statuses/{sha}",
        "context": row.context,
        "creator": user(world, row.creator) if row.creator else None,
        "created_at": when(row.created),
        "updated_at": when(row.created),
    }


def changed_file(world: World, repo: Repo, sha: str, change: FileChange) -> Json:
    api = f"{world.url}/api/v1/repos/{repo.full_name}"
    place = f"{repo.full_name}/{{}}/commit/{sha}/{change.path}"
    shape: Json = {
        "filename": change.path,
        "status": change.status,
        "additions": change.additions,
        "deletions": change.deletions,
        "changes": change.additions + change.deletions,
        "html_url": f"{world.url}/{place.format('src')}",
        "contents_url": f"{api}/contents/{change.path}?ref={sha}",
        "raw_url": f"{world.url}/{place.format('raw')}",
    }
    return {**shape, "previous_filename": change.previous} if change.previous else shape


def ref(world: World, repo: Repo, name: str, sha: str) -> Json:
    api = f"{world.url}/api/v1/repos/{repo.full_name}/git"
    return {
        "ref": name,
        "url": f"{api}/{name}",
        "object": {"type": "commit", "sha": sha, "url": f"{api}/commits/{sha}"},
    }


_UNSIGNED = {
    "verified": False,
    "reason": "gpg.error.not_signed_commit",
    "signature": "",
    "signer": None,
    "payload": "",
}


async def commit(
    world: World, repo: Repo, row: GitCommit, options: Mapping[str, str] | None = None
) -> Json:
    """``options`` are the query's ``files=false`` and the like."""
    api = f"{world.url}/api/v1/repos/{repo.full_name}/git"
    wants_files = (options or {}).get("files") != "false"
    files = [{"filename": path, "status": state} for path, state in await repo.git.touched(row.sha)]
    return {
        "url": f"{api}/commits/{row.sha}",
        "sha": row.sha,
        "created": when(row.committer.date),
        "html_url": f"{world.url}/{repo.full_name}/commit/{row.sha}",
        "commit": {
            "url": f"{api}/commits/{row.sha}",
            "author": _commit_user(row.author),
            "committer": _commit_user(row.committer),
            "message": row.message,
            "tree": {"url": f"{api}/trees/{row.sha}", "sha": row.sha, "created": NEVER},
            "verification": _UNSIGNED,
        },
        "author": _known(world, row.author),
        "committer": _known(world, row.committer),
        "parents": [
            {"url": f"{api}/commits/{sha}", "sha": sha, "created": NEVER} for sha in row.parents
        ],
        "files": files if wants_files else None,
        "stats": None,
    }


async def payload_commit(world: World, repo: Repo, row: GitCommit) -> Json:
    """The other form of a commit: in pushes and branches."""
    touched = await repo.git.touched(row.sha)
    by_state = {
        state: [path for path, was in touched if was == state]
        for state in ("added", "removed", "modified")
    }
    return {
        "id": row.sha,
        "message": row.message,
        "url": f"{world.url}/{repo.full_name}/commit/{row.sha}",
        "author": _payload_user(world, row.author),
        "committer": _payload_user(world, row.committer),
        "verification": _UNSIGNED,
        "timestamp": when(row.committer.date),
        **by_state,
    }


async def branch(
    world: World, repo: Repo, name: str, sha: str, viewer: Account | None, access: Access
) -> Json:
    """What ``viewer`` may do with it is told; which rule it is under, to administrators only."""
    [tip] = await repo.git.commits(sha, limit=1)
    rule, login = repo.protection(name), viewer.login if viewer else ""
    writes, is_admin = access >= Access.WRITE, access >= Access.ADMIN
    return {
        "name": name,
        "commit": {
            **await payload_commit(world, repo, tip),
            **dict.fromkeys(("added", "removed", "modified")),  # left out here
        },
        "protected": rule is not None,
        "required_approvals": rule.required_approvals if rule else 0,
        "enable_status_check": rule is not None and rule.checks_statuses,
        "status_check_contexts": list(rule.contexts) if rule else [],
        "user_can_push": rule.may_push(login, access) if rule else writes,
        "user_can_merge": rule.may_merge(login, access) if rule else writes,
        "effective_branch_protection_name": rule.rule if rule and is_admin else "",
    }


def _commit_user(person: Person) -> Json:
    return {"name": person.name, "email": person.email, "date": when(person.date)}


def _payload_user(world: World, person: Person) -> Json:
    known = _known(world, person)
    username = known["login"] if known else ""
    return {"name": person.name, "email": person.email, "username": username}


def _known(world: World, person: Person) -> Json | None:
    login, _, host = person.email.partition("@")
    account = world.account(login) if host == "noreply.localhost" else None
    return user(world, account) if account else None
