"""Commits, branches, comparisons, commit statuses."""

from __future__ import annotations

from aiohttp import web

from fleetbot_devkit.forge import git_shapes, shapes
from fleetbot_devkit.forge.accounts import Access
from fleetbot_devkit.forge.api import NOT_FOUND, ApiError, Call, Route, answer, nothing
from fleetbot_devkit.forge.merging import succeeded
from fleetbot_devkit.forge.refs import refs_changed
from fleetbot_devkit.forge.shapes import Json
from fleetbot_devkit.forge.state import Status

_WORST_FIRST = ("error", "failure", "warning", "pending", "success")


async def get_commit(call: Call) -> web.Response:
    sha = await _resolve(call, call.part("sha"))
    [commit] = await call.repo.git.commits(sha, limit=1)
    return answer(await git_shapes.commit(call.world, call.repo, commit, call.request.query))


async def list_commits(call: Call) -> web.Response:
    sha = await _resolve(call, call.query("sha") or call.repo.default_branch)
    commits, headers = call.page(await call.repo.git.commits(sha), always=True)
    options = call.request.query
    shaped = [await git_shapes.commit(call.world, call.repo, one, options) for one in commits]
    return answer(shaped, headers=headers)


async def compare(call: Call) -> web.Response:
    """The files are those of each commit, one after the other, and may repeat."""
    base, dots, head = call.part("basehead").partition("...")
    if not dots:
        base, _, head = call.part("basehead").partition("..")
    ends = await _resolve(call, base), await _resolve(call, head)
    commits = await call.repo.git.commits(ends[1], f"^{ends[0]}")
    shaped = [await git_shapes.commit(call.world, call.repo, one) for one in commits]
    files = [file for one in shaped for file in one["files"]]
    return answer({"total_commits": len(commits), "commits": shaped, "files": files})


async def list_branches(call: Call) -> web.Response:
    prefix = "refs/heads/"
    heads = sorted(ref for ref in call.repo.refs if ref.startswith(prefix))
    page, headers = call.page(heads, always=True)
    shaped = [await _branch(call, ref.removeprefix(prefix), call.repo.refs[ref]) for ref in page]
    return answer(shaped, headers=headers)


async def get_branch(call: Call) -> web.Response:
    name = call.part("branch")
    sha = call.repo.branch(name)
    if sha is None:
        raise ApiError(404, NOT_FOUND)
    return answer(await _branch(call, name, sha))


async def delete_branch(call: Call) -> web.Response:
    """One that is not there is a 500, in v15."""
    name, repo = call.part("branch"), call.repo
    async with repo.lock:
        if name == repo.default_branch:
            raise ApiError(403, "can not delete default branch")
        if repo.protection(name):
            raise ApiError(403, "branch protected")
        if repo.branch(name) is None:
            raise ApiError(500, "object does not exist")
        await repo.git.delete_ref(f"refs/heads/{name}")
        await refs_changed(call.world, call.notify, repo, call.user)
    return nothing()


async def _branch(call: Call, name: str, sha: str) -> Json:
    return await git_shapes.branch(call.world, call.repo, name, sha, call.actor, call.access)


async def list_refs(call: Call) -> web.Response:
    """All whose names begin so."""
    wanted = call.part("ref")
    found = await call.repo.git.refs_below(f"refs/{wanted}")
    if not found:
        raise ApiError(404, NOT_FOUND)
    return answer([git_shapes.ref(call.world, call.repo, *row) for row in found.items()])


async def create_status(call: Call) -> web.Response:
    sha = await _resolve(call, call.part("sha"))
    state = call.required("state")
    row = Status(
        id=call.world.next_id(),
        creator=call.user,
        state=state,
        context=call.field("context", str, ""),
        description=call.field("description", str, ""),
        target_url=call.field("target_url", str, ""),
        created=call.world.now(),
    )
    call.repo.statuses.setdefault(sha, []).append(row)
    if state == "success":
        succeeded(call.world, call.repo, sha)
    return answer(git_shapes.status(call.world, call.repo, sha, row), 201)


async def list_statuses(call: Call) -> web.Response:
    sha = await _resolve(call, call.part("sha"))
    rows, headers = call.page(list(reversed(call.repo.statuses.get(sha, []))), always=True)
    return answer(
        [git_shapes.status(call.world, call.repo, sha, one) for one in rows], headers=headers
    )


async def combined_status(call: Call) -> web.Response:
    """The latest of each context; nothing is in it without any, or for a ref nobody knows.

    The newest contexts are on the first page, the oldest of a page first; ``total_count`` is that
    of the page.
    """
    sha = await call.repo.git.resolve(call.part("ref")) or ""
    page, headers = call.page(call.repo.latest_statuses(sha), always=True)
    rows = sorted(page, key=lambda row: row.id)
    body = {"state": "", "sha": "", "total_count": 0, "statuses": None, "repository": None}
    if rows:
        body = {
            "state": _combined([row.state for row in rows]),
            "sha": sha,
            "total_count": len(rows),
            "statuses": [git_shapes.status(call.world, call.repo, sha, one) for one in rows],
            "repository": shapes.repository(call.world, call.repo, call.actor),
        }
    return answer({**body, "commit_url": "", "url": ""}, headers=headers if rows else None)


def _combined(states: list[str]) -> str:
    """The worst of them; an error counts as a failure. A state is not checked when it is set."""
    known = [state for state in states if state in _WORST_FIRST]
    worst = min(known, key=_WORST_FIRST.index, default="")
    return "failure" if worst == "error" else worst


async def _resolve(call: Call, name: str) -> str:
    sha = await call.repo.git.resolve(name)
    if sha is None:
        raise ApiError(404, NOT_FOUND)
    return sha


_R = "/repos/{owner}/{repo}"
ROUTES = (
    Route("GET", f"{_R}/git/commits/{{sha}}", get_commit),
    Route("GET", f"{_R}/commits", list_commits),
    Route("GET", f"{_R}/compare/{{basehead:.+}}", compare),
    Route("GET", f"{_R}/git/refs/{{ref:.+}}", list_refs),
    Route("GET", f"{_R}/branches", list_branches),
    Route("GET", f"{_R}/branches/{{branch:.+}}", get_branch),
    Route("DELETE", f"{_R}/branches/{{branch:.+}}", delete_branch, Access.WRITE, frozen=True),
    Route("POST", f"{_R}/statuses/{{sha}}", create_status, Access.WRITE),
    Route("GET", f"{_R}/statuses/{{sha}}", list_statuses),
    Route("GET", f"{_R}/commits/{{ref:.+}}/status", combined_status),
)
