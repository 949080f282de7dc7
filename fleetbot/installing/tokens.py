"""Forgejo's accounts of the fleet: made where there are none, with tokens of the least scopes."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Sequence

from fleetbot.forge.errors import ForgeForbidden, ForgeNotFound, Unauthorized
from fleetbot.installing.given import ways_of
from fleetbot.installing.servers import Refused
from fleetbot.installing.site import Site
from fleetbot.installing.stage import Stage
from fleetbot.services.findings import Finding, Mark
from fleetbot.services.setup.steps import SCOPES

RUNNER_SCOPES = ("read:user", "write:issue", "write:repository")

Find = Callable[[], Awaitable[str]]


class ForgeAccount(Stage):
    """`secret`: by which name its token may be given. `find`: it may be where it belongs already.
    `role`: for what it is, as findings are called."""

    def __init__(
        self, site: Site, login: str, role: str, secret: str, find: Find, scopes: Sequence[str]
    ) -> None:
        self._site = site
        self._login = login
        self._role = role
        self._secret = secret
        self._find = find
        self._scopes = scopes

    async def look(self) -> Sequence[Finding]:
        for token in (self._site.given.get(self._secret), *await self._candidates()):
            if token and await self._works(token):
                self._site.tokens[self._login] = token
                return [await self._of(token)]
        if self._login in self._site.kept.state.passwords:
            offer = f"make a token of `{self._login}`, which may {_may(self._scopes)}"
            return [Finding(self._role, Mark.BAD, "it has no token that works", offer=offer)]
        if await self._site.accounts.exists(self._login):
            return [self._not_ours()]
        return [await self._to_make()]

    async def _candidates(self) -> list[str]:
        return [self._site.kept.state.tokens.get(self._login, ""), await self._find()]

    async def _works(self, token: str) -> bool:
        try:
            who = (await self._site.forge_as(token).current_user()).login
        except (Unauthorized, ForgeForbidden):
            return False
        if who.lower() != self._login.lower() and token == self._site.given.get(self._secret):
            raise Refused(f"{self._secret} is of {who}, not of {self._login}")
        return who.lower() == self._login.lower()

    async def _of(self, token: str) -> Finding:
        try:
            known = await self._site.forge_as(token).tokens(self._login)
        except (ForgeForbidden, ForgeNotFound):
            known = []
        own = [one for one in known if one.token_last_eight == token[-8:]]
        if any("all" in one.scopes for one in own):
            says = f"the token of `{self._login}` may do all"
            remedy = (f"One that may {_may(self._scopes)} is enough",)
            return Finding(self._role, Mark.WARN, says, remedy)
        return Finding(self._role, Mark.WELL, f"`{self._login}` has a token that works")

    def _not_ours(self) -> Finding:
        page = f"{self._site.answers.forge}/user/settings/applications"
        remedy = (
            f"Give {ways_of(self._secret)}",
            f"Signed in as it, one is made at {page}: {_may(self._scopes)}",
            f"Or choose another name with --forge-{self._role.rpartition(' ')[2]}",
        )
        says = f"`{self._login}` is there already, and no token of it is known"
        return Finding(self._role, Mark.BAD, says, remedy)

    async def _to_make(self) -> Finding:
        if (await self._site.forge.current_user()).is_admin:
            offer = f"make the account `{self._login}`, with a token that may {_may(self._scopes)}"
            return Finding(self._role, Mark.BAD, "there is none", offer=offer)
        remedy = (
            f"Only administrators of Forgejo may make accounts: {ways_of('forge-token')} of one",
            f"Or sign up as `{self._login}`, and give {ways_of(self._secret)}",
        )
        return Finding(self._role, Mark.BAD, f"there is no `{self._login}`", remedy)

    async def do(self) -> None:
        kept, accounts = self._site.kept, self._site.accounts
        password = kept.state.passwords.get(self._login, "")
        if not password:
            password = secrets.token_urlsafe(24)
            kept.keep(passwords={**kept.state.passwords, self._login: password})
        if not await accounts.exists(self._login):
            await accounts.create(self._login, password)
        name = f"fleetbot {secrets.token_hex(3)}"
        token = await accounts.token(self._login, password, name, self._scopes)
        kept.keep(tokens={**kept.state.tokens, self._login: token})
        self._site.tokens[self._login] = token

    def made(self) -> str:
        if self._login not in self._site.kept.state.passwords:
            return ""
        return f"delete the account `{self._login}`; what it wrote stays, as that of a ghost"

    async def undo(self) -> None:
        kept = self._site.kept
        await self._site.accounts.delete(self._login)
        kept.keep(
            passwords=_without(kept.state.passwords, self._login),
            tokens=_without(kept.state.tokens, self._login),
        )


def _without(known: dict[str, str], name: str) -> dict[str, str]:
    return {key: value for key, value in known.items() if key != name}


def _may(scopes: Sequence[str]) -> str:
    return ", ".join(f"`{scope}`" for scope in scopes)


def forge_accounts(site: Site, find_runners: Find | None) -> list[ForgeAccount]:
    """Of the bot, and where there shall be a runner, of that; one where they are the same."""

    async def find_bots() -> str:
        return str(((await site.config() or {}).get("forge") or {}).get("token") or "")

    answers = site.answers
    bot = ForgeAccount(site, answers.forge_bot, "forge bot", "forge-bot-token", find_bots, SCOPES)
    if find_runners is None or answers.forge_runner == answers.forge_bot:
        return [bot]
    runner = ForgeAccount(
        site,
        answers.forge_runner,
        "forge runner",
        "forge-runner-token",
        find_runners,
        RUNNER_SCOPES,
    )
    return [bot, runner]
