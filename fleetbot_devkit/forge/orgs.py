"""Organisations and their teams; each team has all the repositories of its organisation."""

from __future__ import annotations

from aiohttp import web

from fleetbot_devkit.forge import shapes
from fleetbot_devkit.forge.accounts import Access, Account, Team
from fleetbot_devkit.forge.api import NOT_FOUND, ApiError, Call, Route, answer, nothing
from fleetbot_devkit.forge.repos import create_repo_of, new_account

_PERMISSIONS = {"read": Access.READ, "write": Access.WRITE, "admin": Access.ADMIN}


async def create_org(call: Call) -> web.Response:
    """Who makes it is its owner, by being in the team of that name."""
    login = call.required("username")
    if call.world.account(login):
        raise ApiError(422, f"user already exists [name: {login}]")
    org = new_account(call.world, login, org=True)
    org.teams.append(Team(call.world.next_id(), "Owners", Access.OWNER, [call.user]))
    return answer({"id": org.id, "name": login, "username": login, "full_name": ""}, 201)


async def create_org_repo(call: Call) -> web.Response:
    return await create_repo_of(call, _org(call))


async def create_team(call: Call) -> web.Response:
    org = _org(call)
    permission = _PERMISSIONS.get(call.field("permission", str, "read"))
    if permission is None:
        raise ApiError(422, "[Permission]: In")
    team = Team(call.world.next_id(), call.required("name"), permission, [])
    org.teams.append(team)
    return answer(shapes.team(team), 201)


async def add_team_member(call: Call) -> web.Response:
    number, account = call.number("id"), call.account(call.part("username"))
    for org in call.world.accounts.values():
        for team in org.teams:
            if team.id == number and _is_owner(call, org):
                team.members.append(account)
                return nothing()
    raise ApiError(404, NOT_FOUND)


def _org(call: Call) -> Account:
    org = call.account(call.part("org"))
    if not org.is_org:
        raise ApiError(404, NOT_FOUND)
    if not _is_owner(call, org):
        raise ApiError(403, "Must be an organization owner")
    return org


def _is_owner(call: Call, org: Account) -> bool:
    return any(team.access is Access.OWNER and call.user in team.members for team in org.teams)


ROUTES = (
    Route("POST", "/orgs", create_org, "user"),
    Route("POST", "/orgs/{org}/repos", create_org_repo, "user"),
    Route("POST", "/orgs/{org}/teams", create_team, "user"),
    Route("PUT", "/teams/{id}/members/{username}", add_team_member, "user"),
)
