"""The redirects from names that repositories had before."""

from __future__ import annotations

from aiohttp import web

from fleetbot_devkit.forge.state import World


def moved(
    world: World, request: web.Request, in_path: str, full_name: str = ""
) -> web.Response | None:
    """To the same call below the new name; None where ``full_name`` (by default what stands in the
    path) is no former name."""
    name = (full_name or in_path).lower()
    repo = world.repo_by_id(world.redirects.get(name, 0))
    if repo is None or world.repo(name) is not None:
        return None
    location = str(request.rel_url).replace(in_path, repo.full_name, 1)
    return web.Response(status=world.redirects_by, headers={"Location": location})
