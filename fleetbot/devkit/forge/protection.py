"""Branch protection: which contexts must be green before a pull request is merged."""

from __future__ import annotations

from aiohttp import web

from fleetbot.devkit.forge.api import ApiError, Call, Route, answer
from fleetbot.devkit.forge.shapes import Json
from fleetbot.devkit.forge.state import Access, Protection


async def create_protection(call: Call) -> web.Response:
    rule = call.field("rule_name", str, "") or call.required("branch_name")
    if rule in call.repo.protections:
        raise ApiError(403, "Branch protection already exist")
    contexts = call.field("status_check_contexts", list, [])
    row = Protection(
        rule=rule,
        checks_statuses=call.field("enable_status_check", bool, False),
        contexts=tuple(map(str, contexts)),
    )
    call.repo.protections[rule] = row
    return answer(_shape(row), 201)


async def delete_protection(call: Call) -> web.Response:
    if call.repo.protections.pop(call.part("name"), None) is None:
        raise ApiError(404)
    return web.Response(status=204)


def _shape(row: Protection) -> Json:
    return {
        "rule_name": row.rule,
        "branch_name": row.rule,
        "enable_status_check": row.checks_statuses,
        "status_check_contexts": list(row.contexts),
    }


_B = "/repos/{owner}/{repo}/branch_protections"
ROUTES = (
    Route("POST", _B, create_protection, Access.ADMIN),
    Route("DELETE", f"{_B}/{{name}}", delete_protection, Access.ADMIN),
)
