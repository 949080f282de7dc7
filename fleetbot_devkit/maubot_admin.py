"""maubot's management API, as far as tests and the demo need it.

Source: maubot 0.6.0, `maubot/management/api/spec.yaml`; the log is a websocket that the
specification leaves out (`maubot/management/api/log.py`).
"""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp
from ruamel.yaml import YAML

from fleetbot_devkit.matrix_user import MatrixUser
from fleetbot_devkit.rest import call


class InstanceNotStarted(Exception):
    """maubot took an instance but could not start it; the text has what it logged about it."""


class MaubotAdmin:
    """A logged-in administrator. The login outlives a restart of the server."""

    def __init__(self, server_url: str, token: str) -> None:
        self._server_url = server_url
        self._api = f"{server_url}/_matrix/maubot/v1"
        self._token = token

    @classmethod
    async def login(cls, server_url: str, username: str, password: str) -> MaubotAdmin:
        url = f"{server_url}/_matrix/maubot/v1/auth/login"
        answer = await call("POST", url, json={"username": username, "password": password})
        return cls(server_url, answer["token"])

    async def upload(self, archive: Path) -> str:
        """Upload a .mbp, new or instead of the version that is there; returns the plugin's id.

        Running instances are restarted on the new code.
        """
        content = await asyncio.to_thread(archive.read_bytes)
        params = {"allow_override": "true"}
        return str((await self._call("POST", "/plugins/upload", data=content, params=params))["id"])

    async def plugins(self) -> list[dict[str, Any]]:
        """What is installed: `id`, `version`, `instances`."""
        return list(await self._call("GET", "/plugins"))

    async def put_client(
        self,
        user: MatrixUser,
        *,
        autojoin: bool = True,
        sync: bool = True,
        encryption: bool = False,
    ) -> dict[str, Any]:
        """Make a bot account of a Matrix account. A client with `encryption` has a device id."""
        client = {
            "homeserver": user.homeserver_url,
            "access_token": user.access_token,
            "device_id": user.device_id if encryption else "",
            "enabled": True,
            "autojoin": autojoin,
            "sync": sync,
        }
        return await self._dict("PUT", f"/client/{quote(user.user_id)}", json=client)

    async def client(self, user: MatrixUser) -> dict[str, Any]:
        """What maubot says about a bot account: `started`, `fingerprint`, `trust_state`, …"""
        return await self._dict("GET", f"/client/{quote(user.user_id)}")

    async def fingerprint(self, user: MatrixUser) -> str:
        """The Ed25519 key of the account's device (base64), as an operator reads it there."""
        return str((await self.client(user))["fingerprint"]).replace(" ", "")

    async def generate_recovery_key(self, user: MatrixUser) -> str:
        """Have the account's device signed by the account; what is needed to sign another."""
        path = f"/client/{quote(user.user_id)}/generate_recovery_key"
        return str((await self._call("POST", path))["recovery_key"])

    async def put_instance(
        self,
        instance: str,
        *,
        plugin: str,
        user_id: str,
        config: Mapping[str, Any] | str = "",
    ) -> dict[str, Any]:
        """Create an instance of a plugin, or change and start the one that has this id.

        `config` is the instance's configuration as a mapping or as YAML. Raises InstanceNotStarted
        if it does not run afterwards.
        """
        settings = {
            "type": plugin,
            "primary_user": user_id,
            "enabled": True,
            "started": True,
            "config": config if isinstance(config, str) else _to_yaml(config),
        }
        answer = await self._dict("PUT", f"/instance/{quote(instance)}", json=settings)
        if not answer["started"]:
            raise InstanceNotStarted(f"{instance} did not start:\n{await self._log_of(instance)}")
        return answer

    async def put_config(self, instance: str, config: Mapping[str, Any] | str) -> None:
        """Replace a running instance's configuration, as the management UI does."""
        text = config if isinstance(config, str) else _to_yaml(config)
        await self._call("PUT", f"/instance/{quote(instance)}", json={"config": text})

    async def instance(self, instance: str) -> dict[str, Any]:
        """What maubot says about an instance: `started`, `enabled`, `config` (YAML), …"""
        return await self._dict("GET", f"/instance/{quote(instance)}")

    async def config(self, instance: str) -> dict[str, Any]:
        """An instance's configuration."""
        text = (await self.instance(instance))["config"]
        return from_yaml(text)

    async def start_instance(self, instance: str) -> None:
        """Also where maubot has disabled it; nothing where it runs. Raises InstanceNotStarted."""
        settings = {"enabled": True, "started": True}
        answer = await self._dict("PUT", f"/instance/{quote(instance)}", json=settings)
        if not answer["started"]:
            raise InstanceNotStarted(f"{instance} did not start:\n{await self._log_of(instance)}")

    async def stop_instance(self, instance: str) -> None:
        """Until it is started, maubot is, or another version of its plugin is uploaded."""
        await self._call("PUT", f"/instance/{quote(instance)}", json={"started": False})

    async def delete_instance(self, instance: str) -> None:
        await self._call("DELETE", f"/instance/{quote(instance)}")

    def instance_url(self, instance: str) -> str:
        """Where the instance's own HTTP handlers are; ends with a slash."""
        return f"{self._server_url}/_matrix/maubot/plugin/{instance}/"

    async def logs(self) -> list[dict[str, Any]]:
        """The server's last 2,048 log records, oldest first: `name`, `levelname`, `msg`, …"""
        async with aclosing(self._log_stream()) as stream:
            return await anext(stream)

    async def wait_for_log(self, text: str, *, timeout: float = 20.0) -> dict[str, Any]:
        """The first log record, old or new, whose message contains `text`.

        Raises TimeoutError after `timeout` seconds.
        """
        async with asyncio.timeout(timeout), aclosing(self._log_stream()) as stream:
            async for records in stream:
                for record in records:
                    if text in record["msg"]:
                        return record
        raise ConnectionError("maubot closed the log stream")

    async def _log_stream(self) -> AsyncGenerator[list[dict[str, Any]]]:
        """The history of the log, then each new record."""
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(f"{self._api}/logs") as socket,
        ):
            await socket.send_str(self._token)
            await socket.receive_json()  # {"auth_success": true}
            yield (await socket.receive_json())["history"]
            async for message in socket:
                yield [message.json()]

    async def _log_of(self, instance: str) -> str:
        lines = [
            "\n".join(filter(None, (record["msg"], record.get("exc_info"))))
            for record in await self.logs()
            if record["name"].endswith(f".{instance}")
        ]
        return "\n".join(lines[-10:])

    async def _dict(self, method: str, path: str, *, json: object = None) -> dict[str, Any]:
        return dict(await self._call(method, path, json=json))

    async def _call(
        self,
        method: str,
        path: str,
        *,
        json: object = None,
        data: bytes | None = None,
        params: Mapping[str, str] | None = None,
    ) -> Any:
        url = f"{self._api}{path}"
        return await call(method, url, token=self._token, json=json, data=data, params=params)


def from_yaml(text: str) -> dict[str, Any]:
    """As maubot has written it: the C parser of ruamel does not take all that ruamel writes."""
    return dict(YAML(typ="safe", pure=True).load(text) or {})


def _to_yaml(config: Mapping[str, Any]) -> str:
    buffer = io.StringIO()
    YAML(typ="safe").dump(dict(config), buffer)
    return buffer.getvalue()
