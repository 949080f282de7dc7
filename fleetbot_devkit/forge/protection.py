"""Branch protection: who may push and merge, and what a merge needs.

Pushes are refused by a hook of git's, as in Forgejo (``routers/private/hook_pre_receive.go``);
merges are no pushes.
"""

from __future__ import annotations

import re
from dataclasses import replace

from aiohttp import web

from fleetbot_devkit.forge.accounts import Access, Account
from fleetbot_devkit.forge.api import NOT_FOUND, ApiError, Call, Route, answer
from fleetbot_devkit.forge.pull_state import Protection
from fleetbot_devkit.forge.shapes import Json
from fleetbot_devkit.forge.state import Repo, World

PUSHER = "DEVFORGE_PUSHER"  # the environment variable that tells the hook who pushes
_RULE = re.compile(r"[\w./*?-]+", re.ASCII)
_HOOK = """\
#!/bin/sh
refuse() {{ echo "Forgejo: $1" >&2; exit 1; }}
zero=0000000000000000000000000000000000000000
while read -r old new ref; do
branch=${{ref#refs/heads/}}
case "$ref" in
{cases}
*) continue ;;
esac
[ "$new" = $zero ] && refuse "branch $branch is protected from deletion"
if [ "$old" != $zero ] && [ -n "$(git rev-list --max-count=1 "$old" "^$new")" ]; then
refuse "branch $branch is protected from force push"
fi
case " ${pusher} " in
*" $rule "*) ;;
*) refuse "Not allowed to push to protected branch $branch" ;;
esac
done
"""


async def create_protection(call: Call) -> web.Response:
    rule = call.field("rule_name", str, "") or call.required("branch_name")
    if not _RULE.fullmatch(rule):
        raise ApiError(422, "this forge takes plain names and globs only")
    if rule in call.repo.protections:
        raise ApiError(403, "Branch protection already exist")
    row = _filled(call, Protection(rule, takes_pushes=False))
    put_rule(call.repo, row)
    return answer(_shape(row), 201)


async def list_protections(call: Call) -> web.Response:
    return answer([_shape(row) for row in call.repo.protections.values()])


async def get_protection(call: Call) -> web.Response:
    return answer(_shape(_rule(call)))


async def edit_protection(call: Call) -> web.Response:
    """What is left out stays as it is."""
    row = _filled(call, _rule(call))
    put_rule(call.repo, row)
    return answer(_shape(row))


async def delete_protection(call: Call) -> web.Response:
    del call.repo.protections[_rule(call).rule]
    _guard(call.repo)
    return web.Response(status=204)


def pusher_of(world: World, repo: Repo, account: Account) -> str:
    """The rules of a repository by which an account may push."""
    access = world.access(account, repo)
    rules = [row for row in repo.protections.values() if row.may_push(account.login, access)]
    return " ".join(row.rule for row in rules)


def put_rule(repo: Repo, row: Protection) -> None:
    repo.protections[row.rule] = row
    _guard(repo)


def _rule(call: Call) -> Protection:
    row = call.repo.protections.get(call.part("name"))
    if row is None:
        raise ApiError(404, NOT_FOUND)
    return row


def _filled(call: Call, old: Protection) -> Protection:
    def flag(name: str, was: bool) -> bool:  # as it was, where nothing is sent
        return call.field(name, bool, was)

    contexts = call.field("status_check_contexts", list, list(old.contexts))
    return replace(
        old,
        checks_statuses=flag("enable_status_check", old.checks_statuses),
        contexts=tuple(map(str, contexts)),
        takes_pushes=flag("enable_push", old.takes_pushes),
        pushers=_people(call, "enable_push_whitelist", "push_whitelist_usernames", old.pushers),
        mergers=_people(call, "enable_merge_whitelist", "merge_whitelist_usernames", old.mergers),
        approvers=_people(
            call, "enable_approvals_whitelist", "approvals_whitelist_username", old.approvers
        ),
        required_approvals=call.field("required_approvals", int, old.required_approvals),
        blocks_on_rejection=flag("block_on_rejected_reviews", old.blocks_on_rejection),
        blocks_on_requests=flag("block_on_official_review_requests", old.blocks_on_requests),
        blocks_on_outdated=flag("block_on_outdated_branch", old.blocks_on_outdated),
        dismisses_stale=flag("dismiss_stale_approvals", old.dismisses_stale),
        ignores_stale=flag("ignore_stale_approvals", old.ignores_stale),
        binds_admins=flag("apply_to_admins", old.binds_admins),
    )


def _people(
    call: Call, flag: str, names: str, old: tuple[str, ...] | None
) -> tuple[str, ...] | None:
    if not call.field(flag, bool, old is not None):
        return None
    named = call.field(names, list, list(old or ()))
    return tuple(call.account(str(login), 422).login for login in named)


def _guard(repo: Repo) -> None:
    """A rule of the branch's own name comes first, as in :meth:`Repo.protection`."""
    hook = repo.git.path / "hooks" / "pre-receive"
    hook.unlink(missing_ok=True)
    rules = sorted(repo.protections, key=lambda rule: any(mark in rule for mark in "*?"))
    if rules:
        hook.parent.mkdir(exist_ok=True)
        hook.write_text(_HOOK.format(cases="\n".join(map(_case, rules)), pusher=f"{{{PUSHER}}}"))
        hook.chmod(0o755)


def _case(rule: str) -> str:
    return f'refs/heads/{rule}) rule="{rule}" ;;'


def _shape(row: Protection) -> Json:
    return {
        "rule_name": row.rule,
        "branch_name": row.rule,
        "enable_push": row.takes_pushes,
        "enable_push_whitelist": row.pushers is not None,
        "push_whitelist_usernames": list(row.pushers or ()),
        "enable_merge_whitelist": row.mergers is not None,
        "merge_whitelist_usernames": list(row.mergers or ()),
        "enable_approvals_whitelist": row.approvers is not None,
        "approvals_whitelist_username": list(row.approvers or ()),
        "required_approvals": row.required_approvals,
        "enable_status_check": row.checks_statuses,
        "status_check_contexts": list(row.contexts),
        "block_on_rejected_reviews": row.blocks_on_rejection,
        "block_on_official_review_requests": row.blocks_on_requests,
        "block_on_outdated_branch": row.blocks_on_outdated,
        "dismiss_stale_approvals": row.dismisses_stale,
        "ignore_stale_approvals": row.ignores_stale,
        "apply_to_admins": row.binds_admins,
    }


_B = "/repos/{owner}/{repo}/branch_protections"
ROUTES = (
    Route("GET", _B, list_protections, Access.ADMIN),
    Route("POST", _B, create_protection, Access.ADMIN),
    Route("GET", f"{_B}/{{name}}", get_protection, Access.ADMIN),
    Route("PATCH", f"{_B}/{{name}}", edit_protection, Access.ADMIN),
    Route("DELETE", f"{_B}/{{name}}", delete_protection, Access.ADMIN),
)
