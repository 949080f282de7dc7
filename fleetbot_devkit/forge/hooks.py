"""The hooks of a repository."""

from __future__ import annotations

from aiohttp import web

from fleetbot_devkit.forge import shapes
from fleetbot_devkit.forge.accounts import Access
from fleetbot_devkit.forge.api import NOT_FOUND, ApiError, Call, Route, answer, nothing
from fleetbot_devkit.forge.state import Hook
from fleetbot_devkit.forge.webhooks import subscribed


async def list_hooks(call: Call) -> web.Response:
    page, headers = call.page(list(call.repo.hooks.values()), always=True)
    return answer([shapes.hook(one) for one in page], headers=headers)


async def create_hook(call: Call) -> web.Response:
    config = call.field("config", dict, {})
    url, content_type = config.get("url"), config.get("content_type")
    if not isinstance(url, str) or content_type not in ("json", "form"):
        raise ApiError(422, "Missing config option: url or content_type")
    if content_type == "form":
        raise ApiError(422, "this forge sends JSON only; use content_type json")
    row = Hook(
        id=call.world.next_id(),
        url=url,
        secret=str(config.get("secret", "")),
        events=subscribed([str(one) for one in call.field("events", list, [])]),
        active=call.field("active", bool, False),
        content_type=content_type,
        kind=call.required("type"),
        branch_filter=call.field("branch_filter", str, ""),
        created=call.world.now(),
    )
    call.repo.hooks[row.id] = row
    return answer(shapes.hook(row), 201)


async def get_hook(call: Call) -> web.Response:
    return answer(shapes.hook(_hook(call)))


async def delete_hook(call: Call) -> web.Response:
    del call.repo.hooks[_hook(call).id]
    return nothing()


async def test_hook(call: Call) -> web.Response:
    """A push that was none, whatever the hook is for; nothing in an empty repository."""
    hook, repo = _hook(call), call.repo
    if repo.branch(repo.default_branch):
        await call.notify.test(repo, call.user, hook)
    return nothing()


def _hook(call: Call) -> Hook:
    hook = call.repo.hooks.get(call.number("id"))
    if hook is None:
        raise ApiError(404, NOT_FOUND)
    return hook


_R = "/repos/{owner}/{repo}"
ROUTES = (
    Route("GET", f"{_R}/hooks", list_hooks, Access.ADMIN),
    Route("POST", f"{_R}/hooks", create_hook, Access.ADMIN),
    Route("GET", f"{_R}/hooks/{{id}}", get_hook, Access.ADMIN),
    Route("DELETE", f"{_R}/hooks/{{id}}", delete_hook, Access.ADMIN),
    Route("POST", f"{_R}/hooks/{{id}}/tests", test_hook, Access.ADMIN),
)
