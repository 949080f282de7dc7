"""Branch protection: who may push, and which contexts must be green before a merge."""

from __future__ import annotations

import re

from aiohttp import web

from fleetbot.devkit.forge.api import ApiError, Call, Route, answer
from fleetbot.devkit.forge.shapes import Json
from fleetbot.devkit.forge.state import Access, Protection, Repo

_RULE = re.compile(r"[\w./*?-]+", re.ASCII)
_REFUSES = """\
#!/bin/sh
while read -r old new ref; do
case "$ref" in
{patterns})
echo "Forgejo: Not allowed to push to protected branch ${{ref#refs/heads/}}" >&2
exit 1
esac
done
"""


async def create_protection(call: Call) -> web.Response:
    rule = call.field("rule_name", str, "") or call.required("branch_name")
    if not _RULE.fullmatch(rule):
        raise ApiError(422, "this forge takes plain names and globs only")
    if rule in call.repo.protections:
        raise ApiError(403, "Branch protection already exist")
    contexts = call.field("status_check_contexts", list, [])
    row = Protection(
        rule=rule,
        checks_statuses=call.field("enable_status_check", bool, False),
        contexts=tuple(map(str, contexts)),
        takes_pushes=call.field("enable_push", bool, False),
    )
    call.repo.protections[rule] = row
    _guard(call.repo)
    return answer(_shape(row), 201)


async def delete_protection(call: Call) -> web.Response:
    if call.repo.protections.pop(call.part("name"), None) is None:
        raise ApiError(404)
    _guard(call.repo)
    return web.Response(status=204)


def _guard(repo: Repo) -> None:
    """Have git refuse what is pushed, as Forgejo's own hook does; merges are not pushes."""
    closed = [row.rule for row in repo.protections.values() if not row.takes_pushes]
    hook = repo.git.path / "hooks" / "pre-receive"
    hook.unlink(missing_ok=True)
    if closed:
        hook.parent.mkdir(exist_ok=True)
        patterns = "|".join(f"refs/heads/{rule}" for rule in closed)
        hook.write_text(_REFUSES.format(patterns=patterns))
        hook.chmod(0o755)


def _shape(row: Protection) -> Json:
    return {
        "rule_name": row.rule,
        "branch_name": row.rule,
        "enable_push": row.takes_pushes,
        "enable_status_check": row.checks_statuses,
        "status_check_contexts": list(row.contexts),
    }


_B = "/repos/{owner}/{repo}/branch_protections"
ROUTES = (
    Route("POST", _B, create_protection, Access.ADMIN),
    Route("DELETE", f"{_B}/{{name}}", delete_protection, Access.ADMIN),
)
