"""What all stages stand on: the servers, what was answered and given, what is kept."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import aiohttp

from fleetbot.forge.client import ForgeClient
from fleetbot.installing import yaml
from fleetbot.installing.answers import Answers
from fleetbot.installing.fleet import Orchestrator
from fleetbot.installing.forgejo import Accounts
from fleetbot.installing.given import Given, ways_of
from fleetbot.installing.matrix import Matrix
from fleetbot.installing.maubot import Maubot
from fleetbot.installing.servers import CA_OPTION, Refused, Server
from fleetbot.installing.state import Kept
from fleetbot.network import open_session
from fleetbot.parsing import parse
from fleetbot.services.setup.mapping import Edit
from fleetbot.settings import Settings, SettingsError

PLUGIN = "dev.fleetbot"


class Read(NamedTuple):
    """A configuration as text, parsed, and as values where it is complete."""

    text: str | None
    config: dict[str, Any] | None
    settings: Settings | None

    @classmethod
    def of(cls, text: str | None) -> Read:
        """Raises Refused where it is no YAML."""
        config = None if text is None else yaml.plain(yaml.load(text))
        try:
            return cls(text, config, parse(config or {}))
        except SettingsError:
            return cls(text, config, None)


@dataclass
class Site:
    """`forge` is the administrator's. `tokens`: of Forgejo's accounts, those that are known to
    work. `archive`: the plugin's, None where it was not given. `deactivates`: with all else that is
    taken back, the bot's account goes for good."""

    answers: Answers
    given: Given
    kept: Kept
    maubot: Maubot
    matrix: Matrix
    accounts: Accounts
    forge: ForgeClient
    to_forge: aiohttp.ClientSession
    archive: bytes | None
    servers: Servers
    tokens: dict[str, str] = field(default_factory=dict)
    deactivates: bool = False
    secret: Callable[[], str] = lambda: secrets.token_urlsafe(32)
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep
    _was_read: Read | None = None

    @classmethod
    @asynccontextmanager
    async def open(
        cls, answers: Answers, given: Given, kept: Kept, archive: bytes | None = None
    ) -> AsyncIterator[Site]:
        """Raises Refused where maubot does not take the password."""
        async with AsyncExitStack() as stack:
            servers = Servers(stack, given, answers.ca_file)
            forge_token = given.get("forge-token")
            session = await servers.session(answers.forge)
            yield cls(
                answers,
                given,
                kept,
                Maubot(await servers.of("maubot", answers.maubot, await servers.maubot(answers))),
                Matrix(await servers.of("the homeserver", answers.homeserver)),
                Accounts(await servers.of("Forgejo", answers.forge, f"token {forge_token}")),
                ForgeClient(answers.forge, forge_token, session=session, ca_setting=CA_OPTION),
                session,
                archive,
                servers,
            )

    def forge_as(self, token: str, login: str | None = None) -> ForgeClient:
        """A client of another account's."""
        url, session = self.answers.forge, self.to_forge
        return ForgeClient(
            url, token, login=login, session=session, ca_setting=CA_OPTION, delays=()
        )

    async def bot_token(self) -> str:
        """Of the bot's Matrix account; "" where nobody has one."""
        if self.kept.state.login is not None:
            return self.kept.state.login.token
        client = await self.maubot.client(self.answers.bot)
        return str(client["access_token"]) if client else ""

    async def config(self) -> Mapping[str, Any] | None:
        """The instance's configuration, to be read only; None where there is no instance."""
        return (await self._read()).config

    async def settings(self) -> Settings | None:
        """The same as values; None where it is not complete."""
        return (await self._read()).settings

    async def _read(self) -> Read:
        """Parsed once as long as it is the same: comments that stay cost a tenth of a second."""
        instance = await self.maubot.instance(self.answers.instance)
        text = None if instance is None else str(instance["config"])
        if self._was_read is None or self._was_read.text != text:
            self._was_read = Read.of(text)
        return self._was_read

    async def amend(self, edit: Edit) -> None:
        """Have the instance's configuration changed, and in force. Raises Refused."""
        instance = await self.maubot.instance(self.answers.instance)
        config = yaml.load(instance["config"]) if instance else {}
        edit(config)
        await self.maubot.put_instance(self.answers.instance, config=yaml.dump(config))
        await (await self.orchestrator()).up()

    async def orchestrator(self) -> Orchestrator:
        """The instance, where maubot has it, with its own operator's token."""
        tokens = (await self.config() or {}).get("auth", {}).get("operator_tokens") or [""]
        url = self.maubot.plugin_url(self.answers.instance)
        server = await self.servers.of("fleetbot", url, f"Bearer {tokens[0]}")
        return Orchestrator(server, self.sleep)

    async def address(self) -> str:
        """Where Forgejo and runners find the instance; "" while only it could tell."""
        if self.answers.public:
            return f"{self.answers.public}/_matrix/maubot/plugin/{self.answers.instance}"
        if await self.settings() is None:
            return ""
        told = (await (await self.orchestrator()).webhooks()).url
        return told.partition("/api/")[0]


@dataclass
class Servers:
    """Each address has one session, closed with the `stack`."""

    stack: AsyncExitStack
    given: Given
    ca_file: str
    _sessions: dict[str, aiohttp.ClientSession] = field(default_factory=dict)

    async def session(self, url: str) -> aiohttp.ClientSession:
        if url not in self._sessions:
            session = open_session(self.ca_file, url)
            self._sessions[url] = await self.stack.enter_async_context(session)
        return self._sessions[url]

    async def of(self, name: str, url: str, authorization: str = "") -> Server:
        session = await self.session(url)
        return Server(name, url, session, authorization, masked=self.given.values)

    async def maubot(self, answers: Answers) -> str:
        """The header of an administrator. Raises Refused."""
        if token := self.given.get("maubot-token"):
            return f"Bearer {token}"
        user, _, password = self.given.get("maubot-password").rpartition(":")
        if not password:
            ways = f"{ways_of('maubot-password')}; or {ways_of('maubot-token')}"
            raise Refused(f"maubot: nobody said who asks; give {ways}")
        server = await self.of("maubot", answers.maubot)
        body = {"username": user or "admin", "password": password}
        said = await server.call("POST", "/_matrix/maubot/v1/auth/login", body)
        return f"Bearer {said['token']}"
