"""Encryption for the rooms that have it, with the keys that maubot keeps for the bot."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from mautrix.client import Client
from mautrix.types import DeviceLists, EventType, RoomID, UserID

from fleetbot.services.outbox import RetryLater

_NO_DEVICE = "give its client in maubot a device id and the access token of that device"
_NO_LIBRARY = "install maubot's encryption extra: pip install 'maubot[encryption]'"


class Sealing:
    """Raises `RetryLater` where something cannot be encrypted now."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._begun: set[str] = set()
        self._beginning = asyncio.Lock()

    @property
    def missing(self) -> str | None:
        """What an operator has to do before we can encrypt; None where we can."""
        if self._client.crypto_enabled:
            return None
        mend = _NO_LIBRARY if self._client.device_id else _NO_DEVICE
        return (
            "the room is encrypted and the bot is not set up for that, so nothing is heard or said"
            f" there: {mend}"
        )

    @property
    def fingerprint(self) -> str | None:
        """The Ed25519 key of the bot's device, which people compare; None where it has none."""
        crypto = self._client.crypto
        return str(crypto.account.signing_key) if crypto and crypto.account else None

    async def message(self, room: str, content: Mapping[str, Any]) -> dict[str, Any]:
        """An `m.room.message` as the `m.room.encrypted` that goes out in its place."""
        try:
            await self._begin(room)
            sealed = await self._client.encrypt(
                RoomID(room),
                EventType.ROOM_MESSAGE,
                content,  # type: ignore[arg-type]  # encrypt takes plain content as well
            )
        except Exception as error:  # of the homeserver, of libolm, of maubot's database
            raise RetryLater(None, f"could not encrypt: {error!r}") from error
        return dict(sealed.serialize())

    async def _begin(self, room: str) -> None:
        """At first, learn who is in the room and with which devices, and have a new key for them.

        maubot drops the first answer to a sync, and with it who came, or got a new device, while it
        was down: they could read nothing that we say.
        """
        async with self._beginning:
            if room in self._begun:
                return
            members = await self._client.get_joined_members(RoomID(room))
            await self._begin_for(room, list(members))

    async def _begin_for(self, room: str, users: list[UserID]) -> None:
        crypto = self._client.crypto
        await crypto.handle_device_lists(DeviceLists(changed=users, left=[]))
        await crypto.crypto_store.remove_outbound_group_session(RoomID(room))
        self._begun.add(room)

    async def share(self, room: str, users: Sequence[str]) -> None:
        """Have a new key for these, whether they are in the room or only invited yet."""
        whom = [UserID(user) for user in users]
        try:
            async with self._beginning:
                await self._begin_for(room, whom)
                await self._client.crypto.share_group_session(RoomID(room), whom)
        except Exception as error:  # as in `message`
            raise RetryLater(None, f"could not share a key: {error!r}") from error

    async def file(self, data: bytes) -> tuple[bytes, dict[str, Any]]:
        """What is uploaded of a file, and how it is read again: an `EncryptedFile` without `url`
        (client-server API, "Sending encrypted attachments")."""
        from mautrix.crypto.attachments import encrypt_attachment  # libolm may be missing

        sealed, key = await asyncio.to_thread(encrypt_attachment, data)
        return sealed, dict(key.serialize())
