"""A person in Matrix rooms, for tests and the demo: speaks, reacts, waits for what others say."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any
from urllib.parse import quote

import msgspec

from fleetbot_devkit.rest import call, fetch

_SYNC_FILTER = '{"room":{"timeline":{"limit":1000}},"presence":{"types":[]}}'
_LONG_POLL_MS = "30000"


class RoomEvent(msgspec.Struct, frozen=True):
    """An event of a room's timeline (Matrix client-server API, "Room events")."""

    event_id: str
    room_id: str
    sender: str
    type: str
    content: dict[str, Any]
    state_key: str | None = None

    @property
    def text(self) -> str:
        """The body of a message; of an edit, the body that replaces the old one."""
        content = self.content.get("m.new_content", self.content)
        return str(content.get("body", ""))

    @property
    def thread(self) -> str | None:
        """The event that opened the thread this one is in."""
        return self._related("m.thread")

    @property
    def replaces(self) -> str | None:
        """The event that this one is an edit of."""
        return self._related("m.replace")

    @property
    def reaction(self) -> tuple[str, str] | None:
        """The event reacted to, and the emoji."""
        target = self._related("m.annotation")
        return (target, str(self.content["m.relates_to"]["key"])) if target else None

    def _related(self, kind: str) -> str | None:
        relation = self.content.get("m.relates_to", {})
        return str(relation["event_id"]) if relation.get("rel_type") == kind else None


class MatrixUser:
    """A registered account with an access token."""

    def __init__(
        self, homeserver_url: str, user_id: str, access_token: str, device_id: str
    ) -> None:
        self.homeserver_url = homeserver_url
        self.user_id = user_id
        self.access_token = access_token
        self.device_id = device_id
        self._transactions = itertools.count()
        self._timeline: list[RoomEvent] = []
        self._since: str | None = None
        self._syncing = asyncio.Lock()

    async def create_room(
        self,
        name: str,
        *,
        invite: Sequence[str] = (),
        power_levels: Mapping[str, int] | None = None,
        room_version: str | None = None,
        replaces: str | None = None,
    ) -> str:
        """Create a private, unencrypted room; `power_levels` is by user id, `replaces` the room
        that it says to follow. Returns the room id.

        The creator has level 100; from room version 12 on, all power and no entry among the levels.
        """
        body: dict[str, Any] = {"name": name, "preset": "private_chat", "invite": list(invite)}
        if room_version is not None:
            body["room_version"] = room_version
        if replaces is not None:
            predecessor = {"room_id": replaces, "event_id": "$unknown"}
            body["creation_content"] = {"predecessor": predecessor}
        room = str((await self._call("POST", "/createRoom", json=body))["room_id"])
        for user_id, level in (power_levels or {}).items():
            await self.set_power_level(room, user_id, level)
        return room

    async def invite(self, room: str, user_id: str) -> None:
        await self._call("POST", f"/rooms/{quote(room)}/invite", json={"user_id": user_id})

    async def join(self, room: str) -> None:
        await self._call("POST", f"/rooms/{quote(room)}/join", json={})

    async def send(self, room: str, text: str, *, thread: str | None = None) -> str:
        """Send a text message, in the thread that the event `thread` opened if there is one.

        Returns the event id.
        """
        content: dict[str, Any] = {"msgtype": "m.text", "body": text}
        if thread is not None:
            content["m.relates_to"] = {"rel_type": "m.thread", "event_id": thread}
        return await self.send_event(room, "m.room.message", content)

    async def reply(self, room: str, event_id: str, text: str) -> str:
        """Send a text message in reply to an event; returns its event id."""
        relation = {"m.in_reply_to": {"event_id": event_id}}
        content = {"msgtype": "m.text", "body": text, "m.relates_to": relation}
        return await self.send_event(room, "m.room.message", content)

    async def react(self, room: str, event_id: str, key: str) -> str:
        """React to an event with an emoji; returns the reaction's event id."""
        relation = {"rel_type": "m.annotation", "event_id": event_id, "key": key}
        return await self.send_event(room, "m.reaction", {"m.relates_to": relation})

    async def send_event(self, room: str, event_type: str, content: Mapping[str, Any]) -> str:
        """Send any event; returns its id."""
        path = f"/rooms/{quote(room)}/send/{event_type}/{next(self._transactions)}"
        return str((await self._call("PUT", path, json=content))["event_id"])

    async def set_power_level(self, room: str, user_id: str, level: int) -> None:
        path = f"/rooms/{quote(room)}/state/m.room.power_levels/"
        levels = await self._call("GET", path)
        levels["users"] = {**levels.get("users", {}), user_id: level}
        await self._call("PUT", path, json=levels)

    async def encrypt(self, room: str) -> None:
        """Switch encryption on, which cannot be undone. What this user sends stays in clear."""
        await self.set_state(room, "m.room.encryption", {"algorithm": "m.megolm.v1.aes-sha2"})

    async def state(self, room: str, event_type: str) -> dict[str, Any]:
        """The content of a state event without a key."""
        path = f"/rooms/{quote(room)}/state/{event_type}/"
        content: dict[str, Any] = await self._call("GET", path)
        return content

    async def set_state(self, room: str, event_type: str, content: Mapping[str, Any]) -> None:
        """Set a state event without a key."""
        await self._call("PUT", f"/rooms/{quote(room)}/state/{event_type}/", json=content)

    async def display_name(self, user_id: str) -> str:
        """What a user is called on this homeserver."""
        answer = await self._call("GET", f"/profile/{quote(user_id)}/displayname")
        return str(answer["displayname"])

    async def kick(self, room: str, user_id: str) -> None:
        await self._call("POST", f"/rooms/{quote(room)}/kick", json={"user_id": user_id})

    async def upgrade(self, room: str, version: str) -> str:
        """Replace the room by a new one of another version; returns its id."""
        path = f"/rooms/{quote(room)}/upgrade"
        answer = await self._call("POST", path, json={"new_version": version})
        return str(answer["replacement_room"])

    async def members(self, room: str) -> list[str]:
        """The user ids of everybody who has joined."""
        answer = await self._call("GET", f"/rooms/{quote(room)}/joined_members")
        return sorted(answer["joined"])

    async def messages(self, room: str, *, limit: int = 100) -> list[RoomEvent]:
        """The room's last events, oldest first."""
        params = {"dir": "b", "limit": str(limit)}
        answer = await self._call("GET", f"/rooms/{quote(room)}/messages", params=params)
        return [msgspec.convert(event, RoomEvent) for event in reversed(answer["chunk"])]

    async def rooms(self) -> list[str]:
        """The ids of the rooms that the user is in."""
        answer = await self._call("GET", "/joined_rooms")
        return sorted(answer["joined_rooms"])

    async def history(self, room: str) -> AsyncIterator[dict[str, Any]]:
        """All events of the room that the user may see, newest first, as they were sent."""
        place: dict[str, str] = {}
        while True:
            params = {"dir": "b", "limit": "500", **place}
            answer = await self._call("GET", f"/rooms/{quote(room)}/messages", params=params)
            for event in answer["chunk"]:
                yield event
            if "end" not in answer:
                return
            place = {"from": answer["end"]}

    async def download(self, address: str) -> bytes:
        """What is at an `mxc://` address, as the homeserver has it."""
        media = quote(address.removeprefix("mxc://"))
        url = f"{self.homeserver_url}/_matrix/client/v1/media/download/{media}"
        return await fetch(url, token=self.access_token)

    async def wait_for(
        self,
        wanted: Callable[[RoomEvent], bool],
        *,
        after: str | None = None,
        timeout: float = 20.0,
    ) -> RoomEvent:
        """The first event in any of the user's rooms that is `wanted`.

        Looks at all events since the account was made, so nothing that came before the call is
        missed; with `after`, only at what follows that event. Raises TimeoutError, with the texts
        that did come, after `timeout` seconds.
        """
        looked_at = 0
        started = after is None
        try:
            async with asyncio.timeout(timeout):
                while True:
                    for event in self._timeline[looked_at:]:
                        if started and wanted(event):
                            return event
                        started = started or event.event_id == after
                    looked_at = len(self._timeline)
                    await self._read_on(looked_at)
        except TimeoutError:
            heard = "\n".join(f"  {e.sender} {e.type} {e.text[:200]}" for e in self._timeline[-20:])
            raise TimeoutError(
                f"{self.user_id} waited {timeout} s in vain; heard:\n{heard}"
            ) from None

    async def _read_on(self, known: int) -> None:
        """Long-poll for more than the `known` events; waiters at the same time share one poll."""
        async with self._syncing:
            if len(self._timeline) > known:
                return
            params = {"filter": _SYNC_FILTER, "timeout": _LONG_POLL_MS}
            if self._since is not None:
                params["since"] = self._since
            answer = await self._call("GET", "/sync", params=params)
            self._since = answer["next_batch"]
            for room, update in answer.get("rooms", {}).get("join", {}).items():
                for event in update["timeline"]["events"]:
                    self._timeline.append(msgspec.convert({**event, "room_id": room}, RoomEvent))

    async def _call(
        self,
        method: str,
        path: str,
        *,
        json: object = None,
        params: Mapping[str, str] | None = None,
    ) -> Any:
        url = f"{self.homeserver_url}/_matrix/client/v3{path}"
        return await call(method, url, token=self.access_token, json=json, params=params)
