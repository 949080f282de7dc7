"""Branch protection: who may push, and which contexts must be green before a merge."""

from __future__ import annotations

import re
from dataclasses import replace

from aiohttp import web

from fleetbot.devkit.forge.api import NOT_FOUND, ApiError, Call, Route, answer
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
        mergers=_mergers(call, None),
    )
    _put(call.repo, row)
    return answer(_shape(row), 201)


async def get_protection(call: Call) -> web.Response:
    return answer(_shape(_rule(call)))


async def edit_protection(call: Call) -> web.Response:
    """What is left out stays as it is."""
    old = _rule(call)
    row = replace(
        old,
        checks_statuses=call.field("enable_status_check", bool, old.checks_statuses),
        contexts=tuple(map(str, call.field("status_check_contexts", list, list(old.contexts)))),
        takes_pushes=call.field("enable_push", bool, old.takes_pushes),
        mergers=_mergers(call, old.mergers),
    )
    _put(call.repo, row)
    return answer(_shape(row))


async def delete_protection(call: Call) -> web.Response:
    del call.repo.protections[_rule(call).rule]
    _guard(call.repo)
    return web.Response(status=204)


def _rule(call: Call) -> Protection:
    row = call.repo.protections.get(call.part("name"))
    if row is None:
        raise ApiError(404, NOT_FOUND)
    return row


def _mergers(call: Call, old: tuple[str, ...] | None) -> tuple[str, ...] | None:
    if not call.field("enable_merge_whitelist", bool, old is not None):
        return None
    named = call.field("merge_whitelist_usernames", list, list(old or ()))
    return tuple(call.account(str(login), 422).login for login in named)


def _put(repo: Repo, row: Protection) -> None:
    repo.protections[row.rule] = row
    _guard(repo)


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
        "enable_push_whitelist": False,
        "push_whitelist_usernames": [],
        "enable_merge_whitelist": row.mergers is not None,
        "merge_whitelist_usernames": list(row.mergers or ()),
        "required_approvals": 0,
        "enable_status_check": row.checks_statuses,
        "status_check_contexts": list(row.contexts),
    }


_B = "/repos/{owner}/{repo}/branch_protections"
ROUTES = (
    Route("POST", _B, create_protection, Access.ADMIN),
    Route("GET", f"{_B}/{{name}}", get_protection, Access.ADMIN),
    Route("PATCH", f"{_B}/{{name}}", edit_protection, Access.ADMIN),
    Route("DELETE", f"{_B}/{{name}}", delete_protection, Access.ADMIN),
)
