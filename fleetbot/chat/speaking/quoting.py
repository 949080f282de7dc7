"""What was said in a room before, so that it can be quoted."""

from __future__ import annotations

from typing import Any, cast

from mautrix.client import Client
from mautrix.errors import DecryptionError
from mautrix.types import JSON, EncryptedEvent, SerializerError

from fleetbot.chat.speaking.content import message_of
from fleetbot.chat.speaking.link import Link


class Quoting:
    """Reads what the bot can read, also in encrypted rooms."""

    def __init__(self, link: Link, client: Client) -> None:
        self._link = link
        self._client = client

    async def message(self, room: str, event: str) -> tuple[str, str] | None:
        """Who said a message, and what it says now; None where it cannot be read.

        Raises what the link raises.
        """
        found = await self._link.event(room, event)
        return message_of(await self._opened(found)) if found else None

    async def _opened(self, event: dict[str, Any]) -> dict[str, Any]:
        """The event in clear, where it can be decrypted."""
        if event.get("type") != "m.room.encrypted" or not self._client.crypto:
            return event
        try:
            sealed = EncryptedEvent.deserialize(cast(JSON, event))
            opened = await self._client.crypto.decrypt_megolm_event(sealed)
        except (DecryptionError, SerializerError):
            return event
        return dict(opened.serialize())
