"""What is in the folders of a repository: names and kinds, not the contents themselves."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping

from aiohttp import web

from fleetbot_devkit.forge.api import NOT_FOUND, ApiError, Call, Route, answer
from fleetbot_devkit.forge.git import TreeEntry
from fleetbot_devkit.forge.shapes import Json

_TREE_PAGE = 1000
_WHOLE = re.compile(r"[0-9a-f]{40}\Z")
_LINK = "160000"
_KINDS = {"040000": "tree", "160000": "commit"}
_TYPES = {"040000": "dir", "120000": "symlink", "160000": "submodule"}


async def get_contents(call: Call) -> web.Response:
    """A list for a folder, one object for anything else."""
    path = call.request.match_info.get("path", "").strip("/")
    sha = await call.repo.git.resolve(call.query("ref") or call.repo.default_branch)
    if sha is None:
        raise ApiError(404, NOT_FOUND)
    entries, modules = await call.repo.git.entries(sha, path), await call.repo.git.submodules(sha)
    if entries is not None:
        return answer([_shape(path, entry, modules) for entry in entries])
    folder, _, name = path.rpartition("/")
    for entry in await call.repo.git.entries(sha, folder) or []:
        if entry.name == name:
            return answer(_shape(folder, entry, modules))
    raise ApiError(404, NOT_FOUND)


async def get_tree(call: Call) -> web.Response:
    """The root of a commit, whose ``sha`` is the commit's, as Forgejo has it; or a folder's."""
    wanted = call.part("sha")
    sha = await call.repo.git.resolve(wanted) or (wanted if _WHOLE.match(wanted) else None)
    entries = await call.repo.git.entries(sha, "") if sha else None
    if entries is None:
        raise ApiError(400, f"sha not found: {call.part('sha')}")
    api = f"{call.world.url}/api/v1/repos/{call.repo.full_name}/git"
    size = min(call.positive("per_page") or _TREE_PAGE, _TREE_PAGE)
    page = max(call.positive("page"), 1)
    start = (page - 1) * size
    return answer(
        {
            "sha": sha,
            "url": f"{api}/trees/{sha}",
            "tree": [
                {
                    "path": entry.name,
                    "mode": entry.mode,
                    "type": _KINDS.get(entry.mode, "blob"),
                    "size": 0,
                    "sha": entry.sha,
                    "url": f"{api}/trees/{entry.sha}",
                }
                for entry in entries[start : start + size]
            ],
            "truncated": start + size < len(entries),
            "page": page,
            "total_count": len(entries),
        }
    )


async def get_blob(call: Call) -> web.Response:
    sha = call.part("sha")
    content = await call.repo.git.blob(sha) if _WHOLE.match(sha) else None
    if content is None:
        raise ApiError(400, f"object does not exist [id: {sha}, rel_path: ]")
    return answer(
        {
            "content": base64.b64encode(content).decode(),
            "encoding": "base64",
            "url": f"{call.world.url}/api/v1/repos/{call.repo.full_name}/git/blobs/{sha}",
            "sha": sha,
            "size": len(content),
        }
    )


def _shape(folder: str, entry: TreeEntry, modules: Mapping[str, str]) -> Json:
    path = f"{folder}/{entry.name}" if folder else entry.name
    return {
        "name": entry.name,
        "path": path,
        "type": _TYPES.get(entry.mode, "file"),
        "sha": entry.sha,
        "submodule_git_url": modules.get(path) if entry.mode == _LINK else None,
    }


_R = "/repos/{owner}/{repo}"
ROUTES = (
    Route("GET", f"{_R}/contents", get_contents),
    Route("GET", f"{_R}/git/trees/{{sha}}", get_tree),
    Route("GET", f"{_R}/git/blobs/{{sha}}", get_blob),
    Route("GET", f"{_R}/contents/{{path:.+}}", get_contents),
)
