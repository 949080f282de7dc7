"""The plugin in maubot, its instance with what that has to know, and the address of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fleetbot import __version__
from fleetbot.installing import yaml
from fleetbot.installing.archive import order_of, version_of
from fleetbot.installing.servers import Refused
from fleetbot.installing.site import PLUGIN, Site
from fleetbot.installing.stage import Stage
from fleetbot.installing.state import digest
from fleetbot.services.findings import Finding, Mark

_LOG = (
    "maubot's log has the reason; a module that is missing: `pip install 'fleetbot[plugin]'` there"
)
_STALE = (
    "Where this version was uploaded before, in another build: restart maubot, and run this again"
)
_OF_ITS_MACHINE = (
    "`forge.ca_file` is read where maubot runs: put the file there at the same place, or name the"
    " one that is there in the instance's configuration"
)
_LISTS = frozenset({"enrolment_tokens", "reader_tokens", "operator_tokens", "operators"})


class Plugin(Stage):
    def __init__(self, site: Site) -> None:
        self._site = site

    async def look(self) -> Sequence[Finding]:
        there, archive = await self._site.maubot.plugin(PLUGIN), self._site.archive
        if archive is None:
            return [_without_archive(there)]
        given = version_of(archive)
        if there is None:
            offer = f"upload fleetbot {given} to maubot"
            return [Finding("plugin", Mark.BAD, "maubot has no fleetbot", offer=offer)]
        known = str(there["version"])
        if order_of(known) < order_of(given):
            offer = f"upload fleetbot {given} in its place"
            return [Finding("plugin", Mark.WARN, f"maubot has fleetbot {known}", offer=offer)]
        if order_of(known) > order_of(given):
            says = f"maubot has fleetbot {known}, newer than the file; it stays"
            return [Finding("plugin", Mark.WARN, says)]
        return [Finding("plugin", Mark.WELL, f"maubot has fleetbot {known}")]

    async def do(self) -> None:
        archive, is_new = self._site.archive, await self._site.maubot.plugin(PLUGIN) is None
        assert archive is not None  # nothing is offered without
        try:
            await self._site.maubot.upload(archive)
        except Refused as refused:
            remedy = refused.remedy or (_LOG,)
            raise Refused(str(refused), refused.status, refused.code, *remedy) from None
        if is_new:
            self._site.kept.keep(plugin=True)

    def made(self) -> str:
        return "take the plugin out of maubot" if self._site.kept.state.plugin else ""

    async def undo(self) -> None:
        await self._site.maubot.delete_plugin(PLUGIN)
        self._site.kept.keep(plugin=False)


def _without_archive(there: dict[str, Any] | None) -> Finding:
    if there is None:
        remedy = ("Give its file with --mbp: of the release, or `make plugin` in a checkout",)
        return Finding("plugin", Mark.BAD, "maubot has no fleetbot, and no file was given", remedy)
    if there["version"] != __version__:
        says = f"maubot has fleetbot {there['version']}, this is {__version__}"
        remedy = ("Give the newer one's file with --mbp",)
        return Finding("plugin", Mark.WARN, says, remedy)
    return Finding("plugin", Mark.WELL, f"maubot has fleetbot {there['version']}")


class Instance(Stage):
    """Whatever is filled in already stays, but a Forgejo token that does not work any more."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._id = site.answers.instance

    async def look(self) -> Sequence[Finding]:
        instance = await self._site.maubot.instance(self._id)
        if instance is None:
            offer = (
                f"make the instance `{self._id}`: Forgejo's address and token, secrets of its own"
            )
            return [Finding("instance", Mark.BAD, "there is none", offer=offer)]
        if instance["type"] != PLUGIN:
            remedy = ("Name another with --instance",)
            says = f"`{self._id}` is an instance of {instance['type']}"
            return [Finding("instance", Mark.BAD, says, remedy)]
        if instance["primary_user"] != self._site.answers.bot:
            says = f"`{self._id}` belongs to {instance['primary_user']}"
            remedy = ("Name that with --bot, or another instance with --instance",)
            return [Finding("instance", Mark.BAD, says, remedy)]
        return [self._of(instance)]

    def _of(self, instance: dict[str, Any]) -> Finding:
        missing = self._wanted(yaml.load(instance["config"]))
        if missing:
            names = ", ".join(f"`{name}`" for name in missing)
            offer = f"fill in {names}"
            return Finding("instance", Mark.BAD, f"{names} is to be said", offer=offer)
        if not instance["started"]:
            says = "it is not started"
            return Finding("instance", Mark.BAD, says, (_LOG,), offer="start it")
        return Finding("instance", Mark.WELL, f"`{self._id}` is configured, and started")

    async def do(self) -> None:
        site, instance = self._site, await self._site.maubot.instance(self._id)
        config = yaml.load(instance["config"]) if instance else {}
        filled = self._fill(config)
        fields: dict[str, object] = {"config": yaml.dump(config)}
        if instance is None:
            site.kept.keep(instance=True)
            fields |= {"type": PLUGIN, "primary_user": site.answers.bot}
        elif not site.kept.state.instance:
            site.kept.keep(settings={**site.kept.state.settings, **filled})
        await self._put(fields)
        there = await site.maubot.instance(self._id) or {}
        if not there.get("started"):
            raise Refused(f"maubot could not start the instance `{self._id}`", 0, "", _LOG)
        await self._comes_up()
        tokens = site.kept.state.tokens
        site.kept.keep(tokens={who: its for who, its in tokens.items() if who != self._forge_bot})

    async def _put(self, fields: Mapping[str, object]) -> None:
        try:
            await self._site.maubot.put_instance(self._id, **fields, enabled=True, started=True)
        except Refused as refused:
            remedy = (_LOG, _STALE) if refused.status >= 500 else refused.remedy
            raise _explained(refused, *remedy) from None

    async def _comes_up(self) -> None:
        try:
            await (await self._site.orchestrator()).up()
        except Refused as refused:
            raise _explained(refused, *refused.remedy) from None

    @property
    def _forge_bot(self) -> str:
        return self._site.answers.forge_bot

    def _fill(self, config: dict[str, Any]) -> dict[str, str]:
        """Put in what is missing; by setting the hash of what was put in."""
        filled = {}
        for name, value in self._wanted(config).items():
            section, _, key = name.partition(".")
            if config.get(section) is None:
                config[section] = {}
            config[section][key] = [*value] if isinstance(value, tuple) else value
            filled[name] = digest(value)
        return filled

    def _wanted(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """What has to be put in, as it would be."""
        site, answers = self._site, self._site.answers
        token = site.tokens.get(answers.forge_bot, "")
        wanted: dict[str, Any] = {}
        if _at(config, "forge.url") != answers.forge:
            wanted["forge.url"] = answers.forge
        if not _at(config, "forge.ca_file") and (trusted := answers.ca_file_for(answers.forge)):
            wanted["forge.ca_file"] = trusted
        if not _at(config, "forge.token") or (token and _at(config, "forge.token") != token):
            wanted["forge.token"] = token
        if not _at(config, "forge.webhook_secret"):
            wanted["forge.webhook_secret"] = site.secret()
        for kind in ("enrolment", "reader", "operator"):
            if not _at(config, f"auth.{kind}_tokens"):
                wanted[f"auth.{kind}_tokens"] = (site.secret(),)
        if answers.people and not _at(config, "chat.operators"):
            wanted["chat.operators"] = answers.people
        return wanted

    def made(self) -> str:
        if self._site.kept.state.instance:
            return f"delete the instance `{self._id}`, with its journal"
        names = ", ".join(f"`{name}`" for name in self._site.kept.state.settings)
        return f"take {names} out of the instance's configuration" if names else ""

    async def undo(self) -> None:
        site = self._site
        if site.kept.state.instance:
            await site.maubot.delete_instance(self._id)
        elif instance := await site.maubot.instance(self._id):
            config = yaml.load(instance["config"])
            for name, its in site.kept.state.settings.items():
                section, _, key = name.partition(".")
                if digest(_at(config, name)) == its:
                    config[section][key] = [] if key in _LISTS else ""
            await site.maubot.put_instance(self._id, config=yaml.dump(config))
        site.kept.keep(instance=False, settings={})


def _explained(refused: Refused, *remedy: str) -> Refused:
    """With what to do about it."""
    way = (_OF_ITS_MACHINE,) if "forge.ca_file" in str(refused) else remedy
    return Refused(str(refused), refused.status, refused.code, *way)


def _at(config: Mapping[str, Any], name: str) -> Any:
    section, _, key = name.partition(".")
    return (config.get(section) or {}).get(key)


class Address(Stage):
    """What maubot calls itself is where Forgejo delivers to, and runners ask."""

    def __init__(self, site: Site) -> None:
        self._site = site

    async def look(self) -> Sequence[Finding]:
        site = self._site
        if await site.settings() is None:
            return [Finding("address", Mark.WELL, "told by the instance, once it is there")]
        told = (await (await site.orchestrator()).webhooks()).url.partition("/api/")[0]
        address = await site.address()
        remedy = (
            "Set `server.public_url` in maubot's config.yaml to its address, and restart it",
            "Or say with --public how Forgejo and runners reach it",
        )
        if problem := await self._problem(address):
            return [Finding("address", Mark.BAD, problem, remedy)]
        if told != address:
            says = f"{address}; maubot thinks {told}, and so do `!fleet setup` and the bot's links"
            return [Finding("address", Mark.WARN, says, remedy[:1])]
        return [Finding("address", Mark.WELL, address)]

    async def _problem(self, address: str) -> str:
        """What keeps the instance from being found there, from here."""
        server = await self._site.servers.of("fleetbot", address)
        try:
            await server.call("GET", "/healthz")
        except Refused as refused:
            return str(refused)
        return ""
