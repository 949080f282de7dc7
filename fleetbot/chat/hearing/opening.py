"""Encrypted events made readable, where the bot has their key."""

from __future__ import annotations

from typing import NamedTuple

from mautrix.client import Client
from mautrix.errors import DecryptionError, DuplicateMessageIndex, SessionNotFound
from mautrix.types import EncryptedEvent, MessageEvent, ReactionEvent

from fleetbot.chat.hearing.heard import Heard
from fleetbot.logs import log_of

log = log_of("fleetbot.chat")


class Closed(NamedTuple):
    """An event that we cannot read; `may_open`: its key is missing, which may come yet."""

    event: EncryptedEvent
    may_open: bool


async def opened(client: Client, event: EncryptedEvent) -> Heard | Closed | None:
    """What it says; None where that is nothing of a person's, or was said before."""
    if client.crypto is None:
        return Closed(event, may_open=False)
    try:
        clear = await client.crypto.decrypt_megolm_event(event)
    except DuplicateMessageIndex:
        log.warning(
            "%s in %s repeats what was said before, and is not obeyed",
            event.event_id,
            event.room_id,
        )
        return None
    except DecryptionError as error:
        log.info("%s in %s cannot be decrypted: %s", event.event_id, event.room_id, error)
        return Closed(event, may_open=isinstance(error, SessionNotFound))
    return clear if isinstance(clear, MessageEvent | ReactionEvent) else None


def was_encrypted(event: Heard) -> bool:
    """Whether it is what maubot made of an encrypted event."""
    return bool(event.get("mautrix", {}).get("was_encrypted"))
