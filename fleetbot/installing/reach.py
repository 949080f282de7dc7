"""Whether the servers are there, and take what was given: all of them, before anything is done."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from fleetbot.forge.errors import ForgeError
from fleetbot.installing.given import ways_of
from fleetbot.installing.servers import Refused
from fleetbot.installing.site import Site
from fleetbot.installing.stage import Stage
from fleetbot.services.findings import Finding, Mark

_OLDEST_FORGEJO = 11


class Reach(Stage):
    def __init__(self, site: Site) -> None:
        self._site = site

    async def look(self) -> Sequence[Finding]:
        looks: dict[str, Callable[[], Awaitable[Finding]]] = {
            "homeserver": self._homeserver,
            "maubot": self._maubot,
            "Forgejo": self._forgejo,
        }
        return [await _told(name, look) for name, look in looks.items()]

    async def _homeserver(self) -> Finding:
        versions = await self._site.matrix.versions()
        says = f"{self._site.answers.homeserver}, up to {versions[-1]} of Matrix"
        return Finding("homeserver", Mark.WELL, says)

    async def _maubot(self) -> Finding:
        who = await self._site.maubot.who()
        return Finding("maubot", Mark.WELL, f"{self._site.answers.maubot} as {who}")

    async def _forgejo(self) -> Finding:
        forge, url = self._site.forge, self._site.answers.forge
        if not self._site.given.get("forge-token"):
            raise Refused("Forgejo: nobody said who asks", 0, "", ways_of("forge-token"))
        version, who = await forge.version(), await forge.current_user()
        as_whom = f"{who.login}, an administrator" if who.is_admin else who.login
        says = f"{url} {version.version.partition('+')[0]} as {as_whom}"
        if version.is_before(_OLDEST_FORGEJO):
            return Finding("Forgejo", Mark.WARN, says, ("fleetbot is made for Forgejo 11 on",))
        return Finding("Forgejo", Mark.WELL, says)


async def _told(name: str, look: Callable[[], Awaitable[Finding]]) -> Finding:
    try:
        return await look()
    except Refused as refused:
        return Finding(name, Mark.BAD, str(refused), refused.remedy)
    except ForgeError as error:
        remedy = (
            f"Is the address right, and does its token have `all` scopes? {ways_of('forge-token')}"
        )
        return Finding(name, Mark.BAD, f"Forgejo: {error}", (remedy,))
