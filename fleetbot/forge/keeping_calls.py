"""What keeps a repository in order: hooks, branch protection, and what our own token may do.

All but the last is for administrators of the repository (``ForgeForbidden`` for others).
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from fleetbot.forge.errors import ForgeNotFound
from fleetbot.forge.models import Object
from fleetbot.forge.paths import path_of, repo_path
from fleetbot.forge.transport import Calls


class Protection(Object, frozen=True):
    """A rule for branches. ``enable_push``: who may write may push, or where there is a whitelist,
    who is on it. Without a merge whitelist whoever may write may merge."""

    rule_name: str
    enable_push: bool = False
    enable_push_whitelist: bool = False
    push_whitelist_usernames: tuple[str, ...] = ()
    enable_merge_whitelist: bool = False
    merge_whitelist_usernames: tuple[str, ...] = ()
    required_approvals: int = 0
    enable_status_check: bool = False
    status_check_contexts: tuple[str, ...] = ()


class Hook(Object, frozen=True):
    """``config`` never holds the secret; ``events`` are not valid as input again."""

    id: int
    type: str = ""
    active: bool = False
    config: dict[str, str] = msgspec.field(default_factory=dict)
    events: tuple[str, ...] = ()


class AccessToken(Object, frozen=True):
    """``scopes`` as Forgejo keeps them: ``all`` stands for every one."""

    id: int
    name: str = ""
    token_last_eight: str = ""
    scopes: tuple[str, ...] = ()


class KeepingCalls(Calls):
    # -- hooks

    async def hooks(self, repo: str) -> list[Hook]:
        return [hook async for hook in self._http.pages(Hook, repo_path(repo) + "/hooks")]

    async def create_hook(self, repo: str, url: str, secret: str, events: Sequence[str]) -> Hook:
        """An active JSON hook. Unknown events are ignored by the server; ``issues`` and
        ``pull_request`` each switch on their whole family."""
        body = {
            "type": "forgejo",
            "active": True,
            "branch_filter": "*",
            "events": list(events),
            "config": {"url": url, "content_type": "json", "secret": secret},
        }
        return await self._http.call(Hook, "POST", repo_path(repo) + "/hooks", json=body)

    async def delete_hook(self, repo: str, hook_id: int) -> None:
        await self._http.send("DELETE", repo_path(repo) + path_of("/hooks/{}", hook_id))

    async def test_hook(self, repo: str, hook_id: int) -> None:
        """Have a push of the default branch delivered to it, whatever it is for. Not to be had in
        an empty repository (``ForgeNotFound``)."""
        await self._http.send("POST", repo_path(repo) + path_of("/hooks/{}/tests", hook_id))

    # -- who may write

    async def add_collaborator(self, repo: str, login: str, permission: str) -> None:
        """``read``, ``write`` or ``admin``; what they were before is gone."""
        path = repo_path(repo) + path_of("/collaborators/{}", login)
        await self._http.send("PUT", path, json={"permission": permission})

    async def remove_collaborator(self, repo: str, login: str) -> None:
        """Whoever is none already stays that."""
        await self._http.send("DELETE", repo_path(repo) + path_of("/collaborators/{}", login))

    # -- branch protection

    async def protection(self, repo: str, rule: str) -> Protection | None:
        try:
            return await self._http.get(Protection, _rule_path(repo, rule))
        except ForgeNotFound:
            return None

    async def protect(self, repo: str, rule: str, contexts: Sequence[str]) -> Protection:
        """A new rule: nobody pushes, and what is merged is green in these contexts."""
        body = {
            "rule_name": rule,
            "enable_push": False,
            "enable_status_check": bool(contexts),
            "status_check_contexts": list(contexts),
        }
        path = repo_path(repo) + "/branch_protections"
        return await self._http.call(Protection, "POST", path, json=body)

    async def require(self, repo: str, rule: str, contexts: Sequence[str]) -> Protection:
        """Have a rule want these contexts, and no others; without any it wants none."""
        body = {"enable_status_check": bool(contexts), "status_check_contexts": list(contexts)}
        return await self._http.call(Protection, "PATCH", _rule_path(repo, rule), json=body)

    async def unprotect(self, repo: str, rule: str) -> None:
        await self._http.send("DELETE", _rule_path(repo, rule))

    # -- our own token

    async def tokens(self, login: str) -> list[AccessToken]:
        """One's own tokens, without what they are; needs ``read:user``."""
        path = path_of("/users/{}/tokens", login)
        return [token async for token in self._http.pages(AccessToken, path)]


def _rule_path(repo: str, rule: str) -> str:
    return repo_path(repo) + path_of("/branch_protections/{}", rule)
