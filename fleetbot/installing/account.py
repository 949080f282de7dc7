"""The bot's Matrix account: made where it can be, logged in with a device of its own, maubot's."""

from __future__ import annotations

import secrets
from collections.abc import Sequence

from fleetbot.installing.given import ways_of
from fleetbot.installing.servers import Refused
from fleetbot.installing.site import Site
from fleetbot.installing.stage import Stage
from fleetbot.installing.state import Login
from fleetbot.services.findings import Finding, Mark

_WAYS = ("matrix-secret", "matrix-token", "bot-password", "bot-token")
_DISPLAYED = "fleetbot"


class Account(Stage):
    def __init__(self, site: Site) -> None:
        self._site = site
        self._bot = site.answers.bot

    async def look(self) -> Sequence[Finding]:
        site = self._site
        if await site.maubot.client(self._bot):
            return [Finding("bot", Mark.WELL, f"`{self._bot}` is logged in for maubot")]
        if site.kept.state.login is not None:
            await site.matrix.whoami(site.kept.state.login.token)
            device = site.kept.state.login.device
            return [Finding("bot", Mark.WELL, f"`{self._bot}` is logged in, device {device}")]
        if site.kept.state.password or site.given.any("bot-password", "bot-token"):
            return [self._to_do(f"log `{self._bot}` in, with a device of its own")]
        if site.given.any("matrix-secret", "matrix-token") or await self._maubot_may():
            return [self._to_do(f"make the account `{self._bot}`, and log it in")]
        remedy = ("One of these is needed:", *map(ways_of, _WAYS))
        return [Finding("bot", Mark.BAD, f"nothing to log `{self._bot}` in with", remedy)]

    def _to_do(self, offer: str) -> Finding:
        return Finding("bot", Mark.BAD, "not logged in", offer=offer)

    async def _maubot_may(self) -> bool:
        return self._site.answers.server_name in await self._site.maubot.homeservers()

    async def do(self) -> None:
        site = self._site
        if token := site.given.get("bot-token"):
            site.kept.keep(login=await self._login_of(token))
            return
        password = site.given.get("bot-password") or await self._register()
        device = f"fleetbot_{secrets.token_hex(4)}"
        login = await site.matrix.login(self._bot, password, device)
        site.kept.keep(login=login, device=login.device)
        await site.matrix.name(login.token, self._bot, _DISPLAYED)

    async def _login_of(self, token: str) -> Login:
        user, device = await self._site.matrix.whoami(token)
        if user != self._bot:
            raise Refused(f"the token is of {user}, not of {self._bot}: name that with --bot")
        return Login(token, device)

    async def _register(self) -> str:
        """Its password. That is kept before anything is done: what is gone on with is not lost."""
        kept = self._site.kept
        if kept.state.account:
            return kept.state.password
        was_begun, password = bool(kept.state.password), kept.state.password
        password = password or secrets.token_urlsafe(24)
        kept.keep(password=password)
        if not await self._made(password) and not was_begun:
            kept.keep(password="")
            remedy = (ways_of("bot-password"), "Or choose another name with --bot")
            raise Refused(f"{self._bot} is there already", 0, "", *remedy)
        kept.keep(account=True)
        return password

    async def _made(self, password: str) -> bool:
        site, name = self._site, self._site.answers.bot_name
        if secret := site.given.get("matrix-secret"):
            return await site.matrix.register(secret, name, password)
        if admin := site.given.get("matrix-token"):
            return await site.matrix.create(admin, self._bot, password)
        try:
            await site.maubot.register(site.answers.server_name, name, password)
        except Refused as refused:
            if refused.code == "M_USER_IN_USE":
                return False
            remedy = ("maubot's configuration has no secret for it (`homeservers`); instead:",)
            ways = (*remedy, *map(ways_of, _WAYS))
            raise Refused(str(refused), refused.status, refused.code, *ways) from None
        return True

    def made(self) -> str:
        state = self._site.kept.state
        if state.account and self._site.deactivates:
            return f"deactivate `{self._bot}`, so that nobody can ever have that name again"
        return f"log `{self._bot}` out" if state.device else ""

    async def undo(self) -> None:
        """The account cannot be unmade: it stays, and its password with us, or is nobody's."""
        matrix, kept = self._site.matrix, self._site.kept
        login, password = kept.state.login, kept.state.password
        if kept.state.account and self._site.deactivates:
            login = login or await matrix.login(self._bot, password, "fleetbot_end")
            await matrix.deactivate(login.token, self._bot, password)
            kept.keep(account=False, password="")
        elif login is not None:
            await matrix.logout(login.token)
        kept.keep(login=None, device="")


class Limits(Stage):
    """A bot that speaks for many agents needs more messages than a person."""

    is_needed = False

    def __init__(self, site: Site) -> None:
        self._site = site

    async def look(self) -> Sequence[Finding]:
        admin, bot = self._site.given.get("matrix-token"), self._site.answers.bot
        if not admin:
            says = "the homeserver's rate limits hold for it; busy fleets are told of late"
            remedy = (f"{ways_of('matrix-token')}; then setup lifts them (rc_message)",)
            return [Finding("limits", Mark.WARN, says, remedy)]
        try:
            unlimited = await self._site.matrix.is_unlimited(admin, bot)
        except Refused as refused:
            if refused.status != 404:
                raise
            unlimited = False  # nobody there yet
        if unlimited:
            return [Finding("limits", Mark.WELL, "it may send as fast as it likes")]
        offer = f"lift the homeserver's rate limits for `{bot}`"
        return [Finding("limits", Mark.WARN, "they hold for it", offer=offer)]

    async def do(self) -> None:
        admin, bot = self._site.given.get("matrix-token"), self._site.answers.bot
        await self._site.matrix.set_unlimited(admin, bot, on=True)
        self._site.kept.keep(unlimited=True)

    def made(self) -> str:
        return (
            "have the homeserver's rate limits hold again"
            if self._site.kept.state.unlimited
            else ""
        )

    async def undo(self) -> None:
        admin = self._site.given.get("matrix-token")
        if not admin:
            raise Refused("needs an administrator of Synapse", 0, "", ways_of("matrix-token"))
        await self._site.matrix.set_unlimited(admin, self._site.answers.bot, on=False)
        self._site.kept.keep(unlimited=False)


class Client(Stage):
    """maubot's side of the account. It encrypts where maubot can."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._bot = site.answers.bot

    async def look(self) -> Sequence[Finding]:
        client = await self._site.maubot.client(self._bot)
        if client is None:
            offer = f"have maubot run `{self._bot}`, encrypting where it can"
            return [Finding("client", Mark.BAD, "maubot does not run it yet", offer=offer)]
        if not (client["enabled"] and client["started"]):
            says = f"maubot does not run `{self._bot}`; its log says why"
            return [Finding("client", Mark.BAD, says, offer="start it")]
        encrypts = "and encrypts" if client["fingerprint"] else "in clear: maubot cannot encrypt"
        return [Finding("client", Mark.WELL, f"maubot runs `{self._bot}`, {encrypts}")]

    async def do(self) -> None:
        maubot, login = self._site.maubot, self._site.kept.state.login
        if await maubot.client(self._bot):
            await maubot.put_client(self._bot, enabled=True, started=True)
            return
        assert login is not None  # the account's stage comes before
        self._site.kept.keep(client=True)
        await self._put(login.token, login.device)
        client = await maubot.client(self._bot) or {}
        if login.device and client.get("started") and not client.get("fingerprint"):
            await maubot.delete_client(self._bot)  # maubot cannot take a device away
            await self._put(login.token, "")
        self._site.kept.keep(login=None)

    async def _put(self, token: str, device: str) -> None:
        """maubot may reach the homeserver by another way than we do."""
        answers = self._site.answers
        known = await self._site.maubot.homeservers()
        address = known.get(answers.server_name, answers.homeserver)
        access = {"homeserver": address, "access_token": token}
        flags = {"enabled": True, "sync": True, "autojoin": True}
        await self._site.maubot.put_client(self._bot, **access, device_id=device, **flags)

    def made(self) -> str:
        return f"take `{self._bot}` out of maubot" if self._site.kept.state.client else ""

    async def undo(self) -> None:
        """Its token is ours again, to be ended."""
        maubot, kept = self._site.maubot, self._site.kept
        client = await maubot.client(self._bot)
        if client:
            kept.keep(login=Login(client["access_token"], kept.state.device))
            await maubot.delete_client(self._bot)
        kept.keep(client=False)
