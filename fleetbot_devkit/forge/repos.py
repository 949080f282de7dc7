"""The server, accounts and tokens, repositories, collaborators."""

from __future__ import annotations

import re
from pathlib import Path

from aiohttp import web

from fleetbot_devkit.forge import shapes
from fleetbot_devkit.forge.accounts import Access, Account
from fleetbot_devkit.forge.api import NOT_FOUND, ApiError, Call, Route, answer, nothing
from fleetbot_devkit.forge.git import GitRepository
from fleetbot_devkit.forge.pull_state import MergeSettings
from fleetbot_devkit.forge.state import Repo, World

VERSION = "15.0.3-devforge+gitea-1.22.0"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_EMAIL = re.compile(r"[^\s@]+@[^\s@]+")
_STYLES = {
    "allow_merge_commits": "merge",
    "allow_rebase": "rebase",
    "allow_rebase_explicit": "rebase-merge",
    "allow_squash_merge": "squash",
    "allow_fast_forward_only_merge": "fast-forward-only",
}
_PERMISSIONS = {"read": Access.READ, "write": Access.WRITE, "admin": Access.ADMIN}


async def version(call: Call) -> web.Response:
    return answer({"version": VERSION})


async def api_settings(call: Call) -> web.Response:
    return answer(
        {
            "max_response_items": 50,
            "default_paging_num": 30,
            "default_git_trees_per_page": 1000,
            "default_max_blob_size": 10485760,
        }
    )


async def current_user(call: Call) -> web.Response:
    return answer(shapes.user(call.world, call.user))


async def get_user(call: Call) -> web.Response:
    return answer(shapes.user(call.world, call.account(call.part("username"))))


async def admin_create_user(call: Call) -> web.Response:
    if not call.user.is_admin:
        raise ApiError(403)
    login, password = call.required("username"), call.required("password")
    if not _EMAIL.fullmatch(call.required("email")):
        raise ApiError(422, "[Email]: Email")
    if call.world.account(login):
        raise ApiError(422, f"user already exists [name: {login}]")
    return answer(shapes.user(call.world, new_account(call.world, login, password)), 201)


async def admin_delete_user(call: Call) -> web.Response:
    if not call.user.is_admin:
        raise ApiError(403)
    account = call.account(call.part("username"))
    if any(repo.owner is account for repo in call.world.repos.values()):
        raise ApiError(422, f"user still has ownership of repositories [uid: {account.id}]")
    call.world.forget(account)
    return nothing()


async def create_token(call: Call) -> web.Response:
    """With the account's password only, and for oneself."""
    if not call.request.headers.get("Authorization", "").lower().startswith("basic "):
        raise ApiError(401, "auth required")
    if call.account(call.part("username")) is not call.user:
        raise ApiError(403)
    name, scopes = call.required("name"), call.field("scopes", list, [])
    if not scopes:
        raise ApiError(400, "access token must have a scope")
    token = call.world.new_token(call.user.login, frozenset(map(str, scopes)), name)
    return answer({**_token(call.world, token), "sha1": token}, 201)


async def list_tokens(call: Call) -> web.Response:
    """One's own, with any token that may read the account; never what they are."""
    if call.account(call.part("username")) is not call.user and not call.user.is_admin:
        raise ApiError(403)
    own = [one for one, row in call.world.tokens.items() if row.login == call.part("username")]
    page, headers = call.page(own, always=True)
    return answer([_token(call.world, one) for one in page], headers=headers)


def _token(world: World, token: str) -> dict[str, object]:
    row = world.tokens[token]
    return {
        "id": row.id,
        "name": row.name,
        "sha1": "",
        "token_last_eight": token[-8:],
        "scopes": sorted(row.scopes),
        "repositories": None,
    }


# -- repositories


async def create_repo(call: Call) -> web.Response:
    return await create_repo_of(call, call.user)


async def create_repo_of(call: Call, owner: Account) -> web.Response:
    name = call.required("name")
    if not NAME.fullmatch(name):
        raise ApiError(422, f"name is invalid: {name}")
    if call.world.repo(f"{owner.login}/{name}"):
        raise ApiError(409, "The repository with the same name already exists.")
    root = call.request.app[REPOSITORIES]
    branch = call.field("default_branch", str, "") or "main"
    repo = new_repo(call.world, root, owner, name, default_branch=branch)
    repo.private = call.field("private", bool, False)
    repo.description = call.field("description", str, "")
    if call.field("auto_init", bool, False):
        await repo.git.commit_files(
            branch, {"README.md": f"# {name}\n"}, "Initial commit", parent=None
        )
        repo.refs = await repo.git.refs()
    return answer(shapes.repository(call.world, repo, call.user), 201)


async def get_repo(call: Call) -> web.Response:
    return answer(shapes.repository(call.world, call.repo, call.actor))


async def edit_repo(call: Call) -> web.Response:
    repo = call.repo
    repo.private = call.field("private", bool, repo.private)
    repo.default_branch = call.field("default_branch", str, repo.default_branch)
    repo.archived = call.field("archived", bool, repo.archived)
    repo.has_issues = call.field("has_issues", bool, repo.has_issues)
    pulls = call.field("has_pull_requests", bool, repo.has_pull_requests)
    repo.has_pull_requests = pulls
    repo.has_actions = call.field("has_actions", bool, repo.has_actions)
    repo.has_dependencies = _has_dependencies(call, repo)
    repo.merging = _merging(call, repo.merging)
    name = call.field("name", str, repo.name)
    if name != repo.name:
        other = call.world.repo(f"{repo.owner.login}/{name}")
        if not NAME.fullmatch(name) or other not in (None, repo):
            raise ApiError(422, f"repo name is taken or invalid [name: {name}]")
        call.world.move(repo, repo.owner, name)
    return answer(shapes.repository(call.world, repo, call.actor))


def _has_dependencies(call: Call, repo: Repo) -> bool:
    tracker = call.field("internal_tracker", dict, {})
    return bool(tracker.get("enable_issue_dependencies", repo.has_dependencies))


def _merging(call: Call, old: MergeSettings) -> MergeSettings:
    styles = {
        style for flag, style in _STYLES.items() if call.field(flag, bool, style in old.styles)
    }
    return MergeSettings(
        styles=frozenset(styles),
        default=call.field("default_merge_style", str, old.default),
        deletes_branch=call.field("default_delete_branch_after_merge", bool, old.deletes_branch),
    )


async def get_repo_by_id(call: Call) -> web.Response:
    repo = call.world.repo_by_id(call.number("id"))
    if repo is None or call.world.access(call.actor, repo) < Access.READ:
        raise ApiError(404, NOT_FOUND)
    return answer(shapes.repository(call.world, repo, call.actor))


async def transfer_repo(call: Call) -> web.Response:
    """At once, as between one's own organisations; a person would have to accept it."""
    owner = call.account(call.required("new_owner"))
    if call.world.repo(f"{owner.login}/{call.repo.name}"):
        raise ApiError(422, "repository already exists")
    call.world.move(call.repo, owner, call.repo.name)
    return answer(shapes.repository(call.world, call.repo, call.actor), 202)


async def delete_repo(call: Call) -> web.Response:
    call.notify.repository(call.repo, call.user, "deleted")
    call.world.remove(call.repo)
    return nothing()


async def set_collaborator(call: Call) -> web.Response:
    account = call.account(call.part("login"))
    wanted = call.field("permission", str, "write")
    call.repo.collaborators[account.login] = _PERMISSIONS.get(wanted, Access.READ)
    return nothing()


async def remove_collaborator(call: Call) -> web.Response:
    call.repo.collaborators.pop(call.account(call.part("login")).login, None)
    return nothing()


async def get_permission(call: Call) -> web.Response:
    account = call.account(call.part("login"))
    if call.access < Access.ADMIN and account is not call.user:
        raise ApiError(403, "Only admins can query all permissions")
    word = call.world.access(account, call.repo).name.lower()
    shape = {"permission": word, "role_name": word, "user": shapes.user(call.world, account)}
    return answer(shape)


async def list_assignees(call: Call) -> web.Response:
    rows = call.world.assignable(call.repo)
    return answer([shapes.user(call.world, one) for one in rows])


async def list_teams(call: Call) -> web.Response:
    if not call.repo.owner.is_org:
        raise ApiError(405, "repo is not owned by an organization")
    return answer([shapes.team(one) for one in call.repo.owner.teams])


# -- also used by the forge's Python interface


def new_account(
    world: World, login: str, password: str = "", *, admin: bool = False, org: bool = False
) -> Account:
    if not NAME.fullmatch(login):
        raise ValueError(f"not a login: {login!r}")
    if world.account(login):
        raise ValueError(f"there is a {login} already")
    account = Account(world.next_id(), login, password, is_admin=admin, is_org=org)
    world.accounts[login.lower()] = account
    return account


def new_repo(
    world: World, root: Path, owner: Account, name: str, *, default_branch: str = "main"
) -> Repo:
    number = world.next_id()
    git = GitRepository.create(root / f"{number}.git", default_branch)
    repo = Repo(number, owner, name, git, world.now(), default_branch)
    world.add(repo)
    return repo


REPOSITORIES: web.AppKey[Path] = web.AppKey("repositories", Path)

_R = "/repos/{owner}/{repo}"
ROUTES = (
    Route("GET", "/version", version, "anybody"),
    Route("GET", "/settings/api", api_settings, "anybody"),
    Route("GET", "/user", current_user, "user"),
    Route("GET", "/users/{username}", get_user, "anybody"),
    Route("GET", "/users/{username}/tokens", list_tokens, "user"),
    Route("POST", "/users/{username}/tokens", create_token, "user"),
    Route("POST", "/admin/users", admin_create_user, "user"),
    Route("DELETE", "/admin/users/{username}", admin_delete_user, "user"),
    Route("POST", "/user/repos", create_repo, "user"),
    Route("GET", _R, get_repo),
    Route("PATCH", _R, edit_repo, Access.ADMIN),
    Route("DELETE", _R, delete_repo, Access.OWNER),
    Route("POST", f"{_R}/transfer", transfer_repo, Access.OWNER),
    Route("GET", "/repositories/{id}", get_repo_by_id, "anybody"),
    Route("GET", f"{_R}/assignees", list_assignees),
    Route("GET", f"{_R}/teams", list_teams, "user"),
    Route("PUT", f"{_R}/collaborators/{{login}}", set_collaborator, Access.ADMIN),
    Route("DELETE", f"{_R}/collaborators/{{login}}", remove_collaborator, Access.ADMIN),
    Route("GET", f"{_R}/collaborators/{{login}}/permission", get_permission, "user"),
)
