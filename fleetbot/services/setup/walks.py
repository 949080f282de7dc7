"""How far each room is on its way to a repository: what was offered, skipped, made. Durable."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from fleetbot.domain.errors import Conflict, Invalid
from fleetbot.services.findings import Finding, Mark
from fleetbot.services.setup.deeds import Deeds, Made
from fleetbot.services.setup.facts import Survey
from fleetbot.services.setup.steps import Step, check
from fleetbot.store.interface import Store
from fleetbot.store.records import Anchor, Change

_WALKS = "setup:walks"


class Walk(msgspec.Struct, frozen=True, omit_defaults=True):
    """`number` counts what was offered, so that an old yes is none to something new. `offered`:
    what a yes would do, or take back where it is `undoing`. `is_due`: the configuration is being
    changed, and the room has to hear how it is then."""

    repo: str
    number: int = 0
    offered: Step | None = None
    undoing: bool = False
    skipped: tuple[Step, ...] = ()
    made: Made = Made()
    is_due: bool = False


class View(NamedTuple):
    """What a room is shown. `offer`: what a yes does, "" for nothing; it is number `number`."""

    repo: str
    findings: Sequence[Finding]
    skipped: Sequence[str]
    offer: str
    step: str
    number: int
    is_due: bool = False


_walks = msgspec.json.Decoder(dict[str, Walk])


class Walks:
    """One at a time. Rooms go by the ids that the settings have, or shall have, for them."""

    def __init__(self, store: Store, survey: Survey, deeds: Deeds) -> None:
        self._store = store
        self._survey = survey
        self._deeds = deeds
        self._turn = asyncio.Lock()
        self._changing: set[str] = set()  # rooms whose change is not in force yet

    async def begin(self, room: str, repo: str) -> View:
        """How it is with the repository, and the first thing to do about it. What was made for it
        from here before can still be taken back."""
        async with self._turn:
            before = (await self._load()).get(room)
            known = before if before and before.repo.lower() == repo.lower() else Walk(repo)
            return await self._next(room, replace(known, skipped=()))

    async def show(self, room: str) -> View:
        """The same again, as it is now. Raises `Invalid` where nothing was begun."""
        async with self._turn:
            return await self._next(room, await self._walk(room))

    async def again(self, room: str) -> View:
        """The same, and what was skipped counts again."""
        async with self._turn:
            return await self._next(room, replace(await self._walk(room), skipped=()))

    async def is_of_others(self, room: str, repo: str) -> bool:
        """Whether the fleet works on the repository, and the room does not hear of it."""
        return await self._survey.is_of_others(room, repo)

    async def knows(self, room: str) -> bool:
        """Whether something was begun there."""
        return room in await self._load()

    async def agree(self, room: str, number: int | None = None) -> View:
        """Do what was offered; with `number` only if that is the last offer."""
        async with self._turn:
            walk = await self._offered(room, number)
            step = walk.offered
            assert step is not None  # something is offered
            facts = await self._survey.facts(room, walk.repo)
            made, act = walk.made, self._deeds.undo if walk.undoing else self._deeds.do
            finding = next((one for one in check(facts) if one.name == step), None)
            if walk.undoing or (finding and finding.offer):  # else it was done meanwhile
                made = await act(step, facts, room, made, partial(self._keep, room, walk))
            skipped = (*walk.skipped, step) if walk.undoing else walk.skipped
            return await self._next(
                room, replace(walk, made=made, skipped=skipped, is_due=step is Step.ROOM)
            )

    async def skip(self, room: str, number: int | None = None) -> View:
        """Leave what was offered as it is, and go on."""
        async with self._turn:
            walk = await self._offered(room, number)
            assert walk.offered is not None  # something is offered
            return await self._next(room, replace(walk, skipped=(*walk.skipped, walk.offered)))

    async def undo(self, room: str, step: Step) -> View:
        """Offer to take back what was made in a step. Raises `Conflict` where that is nothing."""
        async with self._turn:
            walk = await self._walk(room)
            if not walk.made.of(step):
                raise Conflict(f"I have made nothing in the step {step} that I could take back.")
            return await self._next(room, walk, undo=step)

    async def due(self) -> list[tuple[str, View, Anchor]]:
        """The rooms that wait to hear what came of a change of the configuration; the anchor, kept
        together with the message, remembers that they have been told."""
        async with self._turn:
            told = []
            for room, walk in (await self._load()).items():
                if walk.is_due and room not in self._changing:
                    walk, view = await self._following(room, replace(walk, is_due=False))
                    told.append((room, view, _anchor({**await self._load(), room: walk})))
            return told

    def settled(self) -> None:
        """The configuration stays as it was."""
        self._changing.clear()

    # how it goes on

    async def _next(self, room: str, walk: Walk, *, undo: Step | None = None) -> View:
        walk, view = await self._following(room, walk, undo)
        await self._store.append(Change(anchors=(_anchor({**await self._load(), room: walk}),)))
        return view

    async def _following(
        self, room: str, walk: Walk, undo: Step | None = None
    ) -> tuple[Walk, View]:
        """Nothing is looked at while the configuration changes: it would be as it was."""
        if walk.is_due:
            self._changing.add(room)
            walk = replace(walk, offered=None)
            return walk, _view(walk, ())
        findings = check(await self._survey.facts(room, walk.repo))
        offered = undo or _first_offer(findings, walk.skipped)
        number = walk.number + 1
        walk = replace(walk, number=number, offered=offered, undoing=undo is not None)
        return walk, _view(walk, findings)

    async def _keep(self, room: str, walk: Walk, made: Made) -> None:
        """What has been made so far, should the rest of it fail."""
        walk = replace(walk, made=made)
        await self._store.append(Change(anchors=(_anchor({**await self._load(), room: walk}),)))

    async def _offered(self, room: str, number: int | None) -> Walk:
        walk = await self._walk(room)
        if walk.offered is None:
            raise Conflict("There is nothing to say yes or no to: `!fleet setup` tells how it is.")
        if number is not None and number != walk.number:
            raise Conflict("That was offered before; something else is now: `!fleet setup`.")
        return walk

    async def _walk(self, room: str) -> Walk:
        walk = (await self._load()).get(room)
        if walk is None:
            raise Invalid("Which repository? `!fleet setup owner/repo`.", field="text")
        return walk

    async def _load(self) -> dict[str, Walk]:
        kept = await self._store.anchor(_WALKS)
        return _walks.decode(kept) if kept else {}


def _anchor(walks: dict[str, Walk]) -> Anchor:
    return Anchor(key=_WALKS, value=msgspec.json.encode(walks).decode())


def _first_offer(findings: Sequence[Finding], skipped: Sequence[Step]) -> Step | None:
    open_ones = (f for f in findings if f.offer and f.mark is not Mark.WELL)
    return next((Step(f.name) for f in open_ones if f.name not in skipped), None)


def _view(walk: Walk, findings: Sequence[Finding]) -> View:
    offer = ""
    if walk.offered and walk.undoing:
        offer = walk.made.of(walk.offered)
    elif walk.offered:
        offer = next(f.offer for f in findings if f.name == walk.offered)
    step = walk.offered or ""
    return View(walk.repo, findings, walk.skipped, offer, step, walk.number, walk.is_due)
