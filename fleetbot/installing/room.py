"""The room: one that is there, or a new one; the people in it, and what the bot may do there."""

from __future__ import annotations

from collections.abc import Sequence

from fleetbot.installing.servers import Refused
from fleetbot.installing.site import Site
from fleetbot.installing.stage import Stage
from fleetbot.services.findings import Finding, Mark

_NAME = "Fleet"
_ALL_POWER = 100
_IS_THERE = frozenset({"join", "invite", "ban"})  # who was banned is not asked again


class Room(Stage):
    """`state.room` is its id, known once the bot is in it."""

    def __init__(self, site: Site) -> None:
        self._site = site

    async def look(self) -> Sequence[Finding]:
        site, token = self._site, await self._site.bot_token()
        wanted, kept = site.answers.room, site.kept.state.room
        if not token:
            what = f"join {wanted}" if wanted else self._making
            return [Finding("room", Mark.BAD, "there is none of the bot's", offer=what)]
        room = await site.matrix.resolve(token, wanted) if wanted.startswith("#") else wanted
        if not room and not kept:
            return [Finding("room", Mark.BAD, "there is none yet", offer=self._making)]
        room = room or kept
        if room not in await site.matrix.rooms(token):
            return [Finding("room", Mark.BAD, f"the bot is not in {room}", offer=f"join {room}")]
        site.kept.keep(room=room)
        return [await self._of(token, room)]

    @property
    def _making(self) -> str:
        people = ", ".join(self._site.answers.people) or "nobody"
        return f"make the room {_NAME}, and invite {people}, with all power"

    async def _of(self, token: str, room: str) -> Finding:
        site = self._site
        levels = await site.matrix.levels(token, room, site.answers.bot)
        if levels.own < levels.needed:
            says = f"in {room} the bot has power level {levels.own:g}, and to speak takes"
            remedy = (f"Give it {levels.needed:g}: room settings, Roles & Permissions",)
            return Finding("room", Mark.BAD, f"{says} {levels.needed:g}", remedy)
        missing = await self._missing(token, room)
        if missing and site.kept.state.room_made:
            offer = f"invite {', '.join(missing)}"
            return Finding("room", Mark.WARN, f"not all people are in {room}", offer=offer)
        return Finding("room", Mark.WELL, f"the bot is in {room}, and may speak")

    async def _missing(self, token: str, room: str) -> list[str]:
        members = await self._site.matrix.members(token, room)
        return [one for one in self._site.answers.people if members.get(one) not in _IS_THERE]

    async def do(self) -> None:
        site, token = self._site, await self._site.bot_token()
        if site.answers.room or (site.kept.state.room and not site.kept.state.room_made):
            await self._join(token, site.answers.room or site.kept.state.room)
            return
        if not site.kept.state.room:
            room = await site.matrix.create_room(token, _NAME)
            site.kept.keep(room=room, room_made=True)
        room = site.kept.state.room
        people = await self._missing(token, room)
        if people:
            await site.matrix.empower(token, room, people, _ALL_POWER)
        for person in people:
            await site.matrix.invite(token, room, person)

    async def _join(self, token: str, room: str) -> None:
        try:
            await self._site.matrix.join(token, room)
            self._site.kept.keep(room_joined=True)
        except Refused as refused:
            remedy = f"Invite `{self._site.answers.bot}` into it, then run this again"
            raise Refused(str(refused), refused.status, refused.code, remedy) from None

    def made(self) -> str:
        state = self._site.kept.state
        if state.room and not state.room_made and (state.room_joined or state.account):
            return f"leave {state.room}"
        if not state.room_made:
            return ""
        return (
            f"take back invitations to {state.room}, and leave it; the room stays to who is in it"
        )

    async def undo(self) -> None:
        site, token = self._site, await self._site.bot_token()
        room = site.kept.state.room
        if token and room in await site.matrix.rooms(token):
            for person, membership in (await site.matrix.members(token, room)).items():
                if membership == "invite":
                    await site.matrix.uninvite(token, room, person)
            await site.matrix.leave(token, room)
        site.kept.keep(room="", room_made=False, room_joined=False)
