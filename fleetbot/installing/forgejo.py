"""Accounts on Forgejo, as an administrator makes them; all else is the forge client's."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from urllib.parse import quote, urlsplit

from fleetbot.installing.servers import Refused, Server

_API = "/api/v1"


def address_of(login: str, forge: str) -> str:
    """An e-mail address that nobody reads, of an account of ours; commits by it are its own."""
    return f"{login}@noreply.{urlsplit(forge).hostname}"


class Accounts:
    """`server` is Forgejo's address, with the administrator's token."""

    def __init__(self, server: Server) -> None:
        self._server = server

    async def exists(self, login: str) -> bool:
        return await self._server.find(f"{_API}/users/{quote(login)}") is not None

    async def create(self, login: str, password: str) -> None:
        body = {
            "username": login,
            "email": address_of(login, self._server.url),
            "password": password,
            "must_change_password": False,
            "send_notify": False,
        }
        await self._server.call("POST", f"{_API}/admin/users", body)

    async def delete(self, login: str) -> None:
        """What it wrote stays, under the name Ghost."""
        try:
            await self._server.call("DELETE", f"{_API}/admin/users/{quote(login)}")
        except Refused as refused:
            if refused.status != 404:
                raise

    async def token(self, login: str, password: str, name: str, scopes: Sequence[str]) -> str:
        """A new one of the account; Forgejo gives them for its password only."""
        basic = base64.b64encode(f"{login}:{password}".encode()).decode()
        path, body = f"{_API}/users/{quote(login)}/tokens", {"name": name, "scopes": list(scopes)}
        said = await self._server.call("POST", path, body, authorization=f"Basic {basic}")
        return str(said["sha1"])
