"""Where in a room a run's log is: told by who writes it, asked by who points to it."""

from __future__ import annotations

from urllib.parse import quote

from fleetbot.domain.model import RunId
from fleetbot.store.interface import Store
from fleetbot.store.records import Anchor


def begins(room: str, run: RunId, event: str, root: str) -> tuple[Anchor, ...]:
    """The run's log begins with `event`, in the thread that `root` opened."""
    return (
        Anchor(key=_begin_key(room, run), value=event),
        Anchor(key=_thread_key(room, root), value=run),
    )


async def run_link(store: Store, room: str, run: RunId) -> str | None:
    """A link to where the run's log begins; None while nothing of it is there.

    `room` is the id under which the room goes on now.
    """
    event = await store.anchor(_begin_key(room, run))
    return event_link(room, event) if event else None


async def run_in_thread(store: Store, room: str, root: str) -> RunId | None:
    """The run that began last in the thread; None where it is none of the threads of runs."""
    found = await store.anchor(_thread_key(room, root))
    return RunId(found) if found else None


def event_link(room: str, event: str) -> str:
    """A matrix.to link, which clients open in the room (Matrix specification, appendix "matrix.to
    navigation")."""
    server = room.partition(":")[2]
    via = f"?via={quote(server, safe=':.-')}" if server else ""
    return f"https://matrix.to/#/{quote(room, safe='!:.-')}/{quote(event, safe='$:.-_')}{via}"


def _begin_key(room: str, run: RunId) -> str:
    return f"run:{room}:{run}"


def _thread_key(room: str, root: str) -> str:
    return f"thread-run:{room}:{root}"
