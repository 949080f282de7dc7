"""maubot's management API, as far as setup needs it (maubot 0.6, `management/api/spec.yaml`)."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from fleetbot.installing.servers import Refused, Server

_API = "/_matrix/maubot/v1"


class Maubot:
    """`server` is maubot's address, with an administrator's token."""

    def __init__(self, server: Server) -> None:
        self._server = server

    @property
    def url(self) -> str:
        return self._server.url

    def plugin_url(self, instance: str) -> str:
        """Where the instance answers, without a slash."""
        return f"{self.url}/_matrix/maubot/plugin/{instance}"

    async def who(self) -> str:
        """The administrator whose token it is. Raises Refused."""
        return str((await self._call("POST", "/auth/ping"))["username"])

    # -- clients

    async def client(self, user: str) -> dict[str, Any] | None:
        return await self._server.find(f"{_API}/client/{quote(user)}")

    async def put_client(self, user: str, **fields: object) -> None:
        await self._call("PUT", f"/client/{quote(user)}", fields)

    async def delete_client(self, user: str) -> None:
        await self._gone(f"/client/{quote(user)}")

    async def homeservers(self) -> dict[str, str]:
        """The addresses, by their names, of those that its own configuration has."""
        return dict(await self._call("GET", "/client/auth/servers"))

    async def register(self, server: str, username: str, password: str) -> None:
        """Make an account there, with the secret of maubot's configuration."""
        body = {"username": username, "password": password}
        await self._call("POST", f"/client/auth/{quote(server)}/register", body)

    # -- plugins

    async def plugin(self, id: str) -> dict[str, Any] | None:
        return await self._server.find(f"{_API}/plugin/{id}")

    async def upload(self, archive: bytes) -> None:
        """New, or instead of what is there; running instances go on with it."""
        path = f"{_API}/plugins/upload?allow_override=true"
        try:
            await self._server.call("POST", path, data=archive)
        except Refused as refused:
            if refused.status == 413:
                mebi = 1 + (len(archive) >> 20)
                remedy = f"The proxy before it takes no {mebi} MiB: nginx, `client_max_body_size`"
                raise Refused(str(refused), 413, refused.code, remedy) from None
            raise

    async def delete_plugin(self, id: str) -> None:
        await self._gone(f"/plugin/{id}")

    # -- instances

    async def instance(self, id: str) -> dict[str, Any] | None:
        return await self._server.find(f"{_API}/instance/{id}")

    async def put_instance(self, id: str, **fields: object) -> None:
        await self._call("PUT", f"/instance/{id}", fields)

    async def delete_instance(self, id: str) -> None:
        """With its database."""
        await self._gone(f"/instance/{id}")

    async def _gone(self, path: str) -> None:
        try:
            await self._call("DELETE", path)
        except Refused as refused:
            if refused.status != 404:
                raise

    async def _call(self, method: str, path: str, json: object = None) -> Any:
        return await self._server.call(method, f"{_API}{path}", json)
