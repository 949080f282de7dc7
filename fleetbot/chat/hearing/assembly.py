"""All that hears put together, for the plugin and for its tests."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from mautrix.client import Client

from fleetbot.chat.commands.door import Chat
from fleetbot.chat.hearing.describing import Describing
from fleetbot.chat.hearing.history import History
from fleetbot.chat.hearing.inbound import Inbound
from fleetbot.chat.hearing.listening import Listening
from fleetbot.chat.hearing.names import Names
from fleetbot.chat.hearing.obeying import LookedAt, Obeying, nobody_looks
from fleetbot.chat.hearing.sealed import Sealed
from fleetbot.chat.hearing.visits import Visits
from fleetbot.chat.speaking.link import Link
from fleetbot.chat.speaking.rooms import Rooms
from fleetbot.chat.speaking.sender import RoomSender
from fleetbot.store.interface import Store


class Ears(NamedTuple):
    names: Names
    inbound: Inbound
    sealed: Sealed
    listening: Listening

    async def close(self) -> None:
        """Hear nothing more, and end what is under way; it is taken up at the next start."""
        self.listening.stop()
        await self.sealed.close()
        await self.inbound.close()


def ears_of(
    chat: Chat,
    client: Client,
    link: Link,
    rooms: Rooms,
    sender: RoomSender,
    store: Store,
    clock: Callable[[], int],
    *,
    wake: Callable[[], None],
    on_kept: Callable[[], None],
    on_admitted: Callable[[], None],
    on_looked_at: LookedAt = nobody_looks,
    on_heard: Callable[[int], None] = lambda ms: None,
    is_shared: Callable[[], bool] = lambda: False,
    describes: bool = False,
) -> Ears:
    """`wake` runs the listening's `tick` soon; `on_kept` is called when the outbox has got words to
    deliver, `on_admitted` when a room can be used again. `on_looked_at`, `on_heard`: see `Obeying`;
    `is_shared`: see `Visits`; `describes`: rooms are told of the commands by their state."""
    names = Names(link, client.mxid)
    visits = Visits(link, rooms, store, clock, is_shared=is_shared)
    obeying = Obeying(
        chat,
        sender,
        rooms,
        visits,
        store,
        names.us,
        clock,
        on_kept=on_kept,
        on_looked_at=on_looked_at,
        on_heard=on_heard,
    )
    inbound = Inbound(obeying, rooms, store, on_missed=wake)
    sealed = Sealed(client, link, inbound, rooms, store, clock, on_kept=on_kept)
    history = History(client, link, client.mxid)
    listening = Listening(
        client,
        rooms,
        history,
        inbound,
        sealed,
        names,
        visits,
        Describing(link, store, client.mxid, is_wanted=describes),
        store,
        clock,
        wake=wake,
        on_admitted=on_admitted,
    )
    return Ears(names, inbound, sealed, listening)
