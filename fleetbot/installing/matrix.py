"""The homeserver, as far as setup needs it: the client-server API, and Synapse's for its admins."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from typing import Any, NamedTuple
from urllib.parse import quote

from fleetbot.installing.servers import Refused, Server
from fleetbot.installing.state import Login

_CLIENT = "/_matrix/client/v3"
_ADMIN = "/_synapse/admin"
_TAKEN = "M_USER_IN_USE"
_DEVICE = "fleetbot"


class Levels(NamedTuple):
    """Of a room: what the bot has, and what a message needs."""

    own: float
    needed: float


class Matrix:
    """`server` is the homeserver's address; who speaks there is said with each call."""

    def __init__(self, server: Server) -> None:
        self._server = server

    async def versions(self) -> list[str]:
        """Of the specification."""
        return list((await self._server.call("GET", "/_matrix/client/versions"))["versions"])

    # -- accounts

    async def login(self, user: str, password: str, device: str) -> Login:
        """With a device of its own. Raises Refused."""
        body = {
            "type": "m.login.password",
            "identifier": {"type": "m.id.user", "user": user},
            "password": password,
            "device_id": device,
            "initial_device_display_name": _DEVICE,
        }
        said = await self._server.call("POST", f"{_CLIENT}/login", body)
        return Login(said["access_token"], said["device_id"])

    async def whoami(self, token: str) -> tuple[str, str]:
        """The account and the device of a token."""
        said = await self._as(token, "GET", "/account/whoami")
        return said["user_id"], said.get("device_id", "")

    async def register(self, secret: str, name: str, password: str) -> bool:
        """Make an account by Synapse's shared secret; False where the name is taken."""
        path = f"{_ADMIN}/v1/register"
        nonce = (await self._server.call("GET", path))["nonce"]
        said = "\0".join((nonce, name, password, "notadmin")).encode()
        body = {
            "nonce": nonce,
            "username": name,
            "password": password,
            "admin": False,
            "mac": hmac.new(secret.encode(), said, hashlib.sha1).hexdigest(),
            "inhibit_login": True,
        }
        try:
            await self._server.call("POST", path, body)
        except Refused as refused:
            if refused.code == _TAKEN:
                return False
            raise
        return True

    async def create(self, admin: str, user: str, password: str) -> bool:
        """The same by an administrator's token."""
        path = f"{_ADMIN}/v2/users/{quote(user)}"
        if await self._server.find(path, authorization=f"Bearer {admin}") is not None:
            return False
        body = {"password": password, "admin": False}
        await self._server.call("PUT", path, body, authorization=f"Bearer {admin}")
        return True

    async def name(self, token: str, user: str, displayed: str) -> None:
        body = {"displayname": displayed}
        await self._as(token, "PUT", f"/profile/{quote(user)}/displayname", body)

    async def logout(self, token: str) -> None:
        """End the token, and its device."""
        await self._as(token, "POST", "/logout", {})

    async def deactivate(self, token: str, user: str, password: str) -> None:
        """For good: nobody can ever have the name again."""
        identifier = {"type": "m.id.user", "user": user}
        auth = {"type": "m.login.password", "identifier": identifier, "password": password}
        await self._as(token, "POST", "/account/deactivate", {"auth": auth, "erase": False})

    async def is_unlimited(self, admin: str, user: str) -> bool:
        path = f"{_ADMIN}/v1/users/{quote(user)}/override_ratelimit"
        its = await self._server.call("GET", path, authorization=f"Bearer {admin}")
        return bool(its) and its.get("messages_per_second") == 0

    async def set_unlimited(self, admin: str, user: str, *, on: bool) -> None:
        """Have it send as fast as it likes, or as everybody does."""
        path = f"{_ADMIN}/v1/users/{quote(user)}/override_ratelimit"
        method = "POST" if on else "DELETE"
        await self._server.call(method, path, {}, authorization=f"Bearer {admin}")

    # -- rooms

    async def rooms(self, token: str) -> list[str]:
        return list((await self._as(token, "GET", "/joined_rooms"))["joined_rooms"])

    async def resolve(self, token: str, alias: str) -> str:
        return str((await self._as(token, "GET", f"/directory/room/{quote(alias)}"))["room_id"])

    async def create_room(self, token: str, name: str) -> str:
        """A private one, unencrypted; its maker has all power."""
        body = {"name": name, "preset": "private_chat", "topic": "The fleet at work: !fleet help"}
        return str((await self._as(token, "POST", "/createRoom", body))["room_id"])

    async def empower(self, token: str, room: str, people: Sequence[str], level: int) -> None:
        path = f"/rooms/{quote(room)}/state/m.room.power_levels/"
        levels = await self._as(token, "GET", path)
        users = {**levels.get("users", {}), **dict.fromkeys(people, level)}
        await self._as(token, "PUT", path, {**levels, "users": users})

    async def levels(self, token: str, room: str, user: str) -> Levels:
        state = await self._as(token, "GET", f"/rooms/{quote(room)}/state")
        by_type = {event["type"]: event for event in state if event.get("state_key") == ""}
        content = by_type.get("m.room.power_levels", {}).get("content", {})
        created = by_type["m.room.create"]
        makers = [created["sender"], *created["content"].get("additional_creators", [])]
        if user in makers and user not in content.get("users", {}):
            return Levels(float("inf"), 0)  # from room version 12 on, and before any level was set
        own = content.get("users", {}).get(user, content.get("users_default", 0))
        needed = content.get("events", {}).get("m.room.message", content.get("events_default", 0))
        return Levels(own, needed)

    async def members(self, token: str, room: str) -> dict[str, str]:
        """Their ids, with `join`, `invite`, …"""
        said = await self._as(token, "GET", f"/rooms/{quote(room)}/members")
        return {event["state_key"]: event["content"]["membership"] for event in said["chunk"]}

    async def invite(self, token: str, room: str, user: str) -> None:
        await self._as(token, "POST", f"/rooms/{quote(room)}/invite", {"user_id": user})

    async def uninvite(self, token: str, room: str, user: str) -> None:
        await self._as(token, "POST", f"/rooms/{quote(room)}/kick", {"user_id": user})

    async def join(self, token: str, room: str) -> None:
        await self._as(token, "POST", f"/join/{quote(room)}", {})

    async def leave(self, token: str, room: str) -> None:
        await self._as(token, "POST", f"/rooms/{quote(room)}/leave", {})
        await self._as(token, "POST", f"/rooms/{quote(room)}/forget", {})

    async def _as(self, token: str, method: str, path: str, body: object = None) -> Any:
        authorization = f"Bearer {token}"
        return await self._server.call(
            method, f"{_CLIENT}{path}", body, authorization=authorization
        )
