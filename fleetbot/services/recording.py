"""A decision as it is kept: its lines, the values they lead to, and what the outside is told."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import zip_longest

from fleetbot.domain import announce
from fleetbot.domain import effects as fx
from fleetbot.domain.draft import Drafts
from fleetbot.domain.events import AgentForgotten, AgentRevoked, Recorded
from fleetbot.domain.model import AgentName
from fleetbot.domain.state import Changed, FleetState
from fleetbot.services.entries import entry_of
from fleetbot.store.records import AgentToken, Change, OutboxEntry

Route = Callable[[fx.RoomEffect], Sequence[str]]


def record(
    state: FleetState, drafts: Drafts, now: int, route: Route, *, actor: str, cause: str
) -> Change:
    """Fold the drafts into `state`, as lines of `now` (epoch ms); what is to be kept of it.

    `route` names the destinations of what rooms are told. Raises what folding raises: then `state`
    may hold a part of it.
    """
    changed = Changed()
    lines: list[Recorded] = []
    outbox: list[OutboxEntry] = []
    for draft, after in zip_longest(drafts, drafts[1:]):
        line = Recorded(
            seq=state.seq + 1,
            stream=draft.stream,
            version=state.version(draft.stream) + 1,
            at=now,
            actor=actor,
            cause=cause,
            event=draft.event,
        )
        state.apply(line, changed)
        follows = after.event if after and after.stream == draft.stream else None
        outbox += _entries(line, announce.effects(line, state, follows), route)
        lines.append(line)
    return Change(
        events=tuple(lines),
        tasks=tuple(map(state.tasks.__getitem__, changed.tasks)),
        runs=tuple(map(state.runs.__getitem__, changed.runs)),
        agents=tuple(filter(None, map(state.known_agent, changed.agents))),
        receipts=tuple(map(state.receipts.__getitem__, changed.receipts)),
        repos=tuple(map(state.places.repos.__getitem__, changed.repos)),
        outbox=_newest(outbox) if len(lines) > 1 else tuple(outbox),
        tokens=tuple(_taken_tokens(lines)),
    )


def _entries(
    line: Recorded, effects: Iterable[fx.AnyEffect], route: Route
) -> Iterator[OutboxEntry]:
    for place, effect in enumerate(effects):
        for destination in _destinations(effect, route):
            # With its time: after a backup is restored, numbers are given anew.
            id = f"{line.seq}.{place}@{line.at}/{destination}"
            yield entry_of(effect, destination, id=id, at=line.at, seq=line.seq)


def _destinations(effect: fx.AnyEffect, route: Route) -> Sequence[str]:
    return route(effect) if isinstance(effect, fx.RoomEffect) else (fx.destination(effect),)


def _newest(entries: Iterable[OutboxEntry]) -> tuple[OutboxEntry, ...]:
    """Of entries that replace each other the last one: the others would never go out."""
    kept: dict[object, OutboxEntry] = {}
    for entry in entries:
        key = (entry.destination, entry.collapse) if entry.collapse else entry.id
        kept.pop(key, None)
        kept[key] = entry
    return tuple(kept.values())


def _taken_tokens(lines: Iterable[Recorded]) -> Iterator[AgentToken]:
    """An agent that is revoked or forgotten loses its token with the line that says so."""
    for line in lines:
        if isinstance(line.event, AgentRevoked | AgentForgotten):
            agent = AgentName(line.stream.partition(":")[2])
            yield AgentToken(agent=agent, hash=None)
