"""A person in encrypted rooms, with a client that shares no code with the bot's.

The bot encrypts with mautrix and libolm; this is matrix-nio with vodozemac. What the one says and
the other reads is what the specification says.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from nio import (
    AsyncClient,
    AsyncClientConfig,
    ErrorResponse,
    MegolmEvent,
    RoomKeyRequest,
    RoomSendResponse,
    SyncResponse,
    ToDeviceError,
)
from nio.crypto import OlmDevice
from nio.crypto.attachments import decrypt_attachment
from nio.exceptions import EncryptionError
from nio.store import SqliteMemoryStore

from fleetbot_devkit.matrix_user import MatrixUser, RoomEvent

_FILTER = {"room": {"timeline": {"limit": 1000}}, "presence": {"types": []}}
_LONG_POLL_MS = 30_000


class SealedUser(MatrixUser):
    """Encrypts what it says and reads what others do; its keys live as long as it does.

    With `wary`, it says nothing while a device of the room is not verified, as strict clients do.
    """

    def __init__(self, user: MatrixUser, *, wary: bool = False) -> None:
        super().__init__(user.homeserver_url, user.user_id, user.access_token, user.device_id)
        self.wary = wary
        self._opened: dict[str, RoomEvent] = {}
        self._closed: dict[str, MegolmEvent] = {}
        config = AsyncClientConfig(store=SqliteMemoryStore, encryption_enabled=True)
        self._nio = AsyncClient(user.homeserver_url, user.user_id, store_path="", config=config)
        self._nio.restore_login(user.user_id, user.device_id, user.access_token)

    @classmethod
    @asynccontextmanager
    async def of(cls, user: MatrixUser, *, wary: bool = False) -> AsyncIterator[SealedUser]:
        """A client of the account's own device, which must have no keys yet."""
        person = cls(user, wary=wary)
        try:
            await person._sync(0)
            yield person
        finally:
            await person._nio.close()

    @property
    def unread(self) -> list[str]:
        """The ids of messages that came and could not be decrypted."""
        return list(self._closed)

    @property
    def fingerprint(self) -> str:
        """What another person compares with what their client shows (Ed25519 key, base64)."""
        return str(self._nio.olm.account.identity_keys["ed25519"])

    def wire(self) -> MatrixUser:
        """The same account as somebody sees it who has no keys."""
        return MatrixUser(self.homeserver_url, self.user_id, self.access_token, self.device_id)

    async def send_event(self, room: str, event_type: str, content: Mapping[str, Any]) -> str:
        """Send any event, encrypted where the room is; returns its id.

        Raises OlmUnverifiedDeviceError where it is `wary` and has a reason.
        """
        await self._catch_up()  # who is in the room now, and with which devices
        answer = await self._nio.room_send(
            room, event_type, dict(content), ignore_unverified_devices=not self.wary
        )
        if not isinstance(answer, RoomSendResponse):
            raise RuntimeError(f"{self.user_id} could not send to {room}: {answer}")
        return str(answer.event_id)

    async def send_losing_key(self, room: str, text: str) -> str:
        """As `send`, with a new key that is lost on its way to everybody."""
        await self._catch_up()
        nio, olm = self._nio, self._nio.olm
        if missing := nio.get_missing_sessions(room):
            await nio.keys_claim(missing)
        olm.create_outbound_group_session(room)
        key = olm.outbound_group_sessions[room]
        key.shared = True
        for user in nio.rooms[room].users:
            devices = nio.device_store.active_user_devices(user)
            key.users_shared_with.update((user, device.id) for device in devices)
        return await self.send(room, text)

    async def messages(self, room: str, *, limit: int = 100) -> list[RoomEvent]:
        """The room's last events, oldest first; those that were decrypted as they were meant."""
        await self._catch_up()
        events = await super().messages(room, limit=limit)
        return [self._opened.get(event.event_id, event) for event in events]

    async def read_file(self, event: RoomEvent) -> bytes:
        """What is in the file of an `m.file` or `m.image` that came encrypted."""
        sealed = event.content.get("m.new_content", event.content)["file"]
        data = await self.download(sealed["url"])
        key, hashes = sealed["key"]["k"], sealed["hashes"]["sha256"]
        return bytes(decrypt_attachment(data, key, hashes, sealed["iv"]))

    # trust

    async def verify(self, user_id: str, fingerprint: str) -> None:
        """Trust the device that has this fingerprint, told on another way. Raises LookupError."""
        await self._sync(0)
        for device in self._nio.device_store.active_user_devices(user_id):
            if device.ed25519 == fingerprint:
                self._nio.verify_device(device)
                return
        raise LookupError(f"{user_id} has no device with the fingerprint {fingerprint}")

    def trusts(self, other: MatrixUser) -> bool:
        """Whether that device of theirs is verified."""
        return bool(self._device(other).verified)

    async def verify_by_emoji(self, other: SealedUser) -> None:
        """Compare emoji with another person, each on their own screen; both trust each other then.

        Raises ValueError if they see different ones.
        """
        for person in (self, other):  # who has which devices
            await person._sync(0)
        start = self._nio.create_key_verification(self._device(other))
        id = start.content["transaction_id"]
        await self._check(self._nio.to_device(start))
        await other._sync(0)
        await self._check(other._nio.accept_key_verification(id))
        for person in (self, other, self):  # their keys go to and fro
            await person._sync(0)
        if self._emoji(id) != other._emoji(id):
            raise ValueError("the emoji are not the same")
        for person in (self, other):
            await self._check(person._nio.confirm_short_auth_string(id))
        for person in (self, other):
            await person._sync(0)

    def _emoji(self, id: str) -> list[tuple[str, str]]:
        return list(self._nio.key_verifications[id].get_emoji())

    @staticmethod
    async def _check(sending: Any) -> None:
        if isinstance(answer := await sending, ToDeviceError):
            raise RuntimeError(str(answer))

    def _device(self, other: MatrixUser) -> OlmDevice:
        return self._nio.device_store[other.user_id][other.device_id]

    # hearing

    async def _read_on(self, known: int) -> None:
        async with self._syncing:
            if len(self._timeline) <= known:
                await self._sync(_LONG_POLL_MS)

    async def _catch_up(self) -> None:
        if not self._syncing.locked():
            async with self._syncing:
                await self._sync(0)

    async def _sync(self, timeout_ms: int) -> None:
        answer = await self._nio.sync(timeout_ms, _FILTER)
        if not isinstance(answer, SyncResponse):
            raise RuntimeError(f"{self.user_id} could not sync: {answer}")
        for sealed in list(self._closed.values()):
            self._take(sealed.room_id, self._read_again(sealed))
        for room, update in answer.rooms.join.items():
            for event in update.timeline.events:
                self._take(room, event)
        for event in answer.to_device_events:
            if isinstance(event, RoomKeyRequest):
                self._give_again(event)
        await self._keep_keys()

    def _read_again(self, sealed: MegolmEvent) -> Any:
        try:
            return self._nio.decrypt_event(sealed)
        except EncryptionError:
            return sealed

    def _take(self, room: str, event: Any) -> None:
        if isinstance(event, MegolmEvent):
            self._closed[event.event_id] = event
            return
        self._closed.pop(event.event_id, None)
        told = msgspec.convert({**event.source, "room_id": room}, RoomEvent)
        if event.decrypted:
            self._opened[event.event_id] = told
        self._timeline.append(told)

    def _give_again(self, asked: RoomKeyRequest) -> None:
        """The key of what we have said, to a device that was to have it: so does Element."""
        olm = self._nio.olm
        key = olm.outbound_group_sessions.get(asked.room_id)
        asking = (asked.sender, asked.requesting_device_id)
        if key is None or key.id != asked.session_id or asking not in key.users_shared_with:
            return
        device = self._nio.device_store[asked.sender][asked.requesting_device_id]
        own = olm.account.identity_keys["curve25519"]
        kept = olm.inbound_group_store.get(asked.room_id, own, asked.session_id)
        session = olm.session_store.get(device.curve25519)
        message = olm._encrypt_forwarding_key(asked.room_id, kept, session, device)
        olm.outgoing_to_device_messages.append(message)

    async def _keep_keys(self) -> None:
        """What a client does beside its syncs: offer keys, and learn those of others."""
        nio = self._nio
        answers: list[Any] = []
        if nio.should_upload_keys:
            answers.append(await nio.keys_upload())
        if nio.should_query_keys:
            answers.append(await nio.keys_query())
        if nio.should_claim_keys:
            answers.append(await nio.keys_claim(nio.get_users_for_key_claiming()))
        answers += await nio.send_to_device_messages()
        if failed := [answer for answer in answers if isinstance(answer, ErrorResponse)]:
            raise RuntimeError(f"{self.user_id} could not keep its keys: {failed}")
