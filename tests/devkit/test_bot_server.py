"""The maubot starter, its administrator, and the builder of plugin archives."""

from __future__ import annotations

import re
import shutil
import zipfile
from pathlib import Path
from typing import Any

import pytest

from fleetbot import __version__
from fleetbot_devkit.bot_server import BotServer
from fleetbot_devkit.build import BuildFailed, build_plugin
from fleetbot_devkit.maubot_admin import InstanceNotStarted, from_yaml
from fleetbot_devkit.reloading import Reloader
from fleetbot_devkit.rest import CallFailed, call
from tests.conftest import Register, StartBotServer

_FLEETBOT = Path(__file__).parents[2] / "fleetbot"

# A plugin in the shape of fleetbot's: a package that exports its class to maubot alone.
_PLUGIN = {
    "maubot.yaml": """
maubot: 0.6.0
id: test.echo
version: 1.0.0
license: Apache-2.0
modules: [echo]
main_class: EchoBot
extra_files: [base-config.yaml]
config: true
webapp: true
""",
    "base-config.yaml": "prefix: 'echo: '\n",
    "echo/__init__.py": (
        (_FLEETBOT / "__init__.py").read_text().replace("FleetBot", "EchoBot")
    ).replace(__version__, "1.0.0"),
    "echo/requirements.py": (_FLEETBOT / "requirements.py").read_text(),
    "echo/plugin.py": """
from aiohttp import web
from maubot import MessageEvent, Plugin
from maubot.handlers import event
from mautrix.types import EventType
from mautrix.util.config import BaseProxyConfig, ConfigUpdateHelper


class Config(BaseProxyConfig):
    def do_update(self, helper: ConfigUpdateHelper) -> None:
        helper.copy("prefix")


class EchoBot(Plugin):
    @classmethod
    def get_config_class(cls):
        return Config

    async def start(self):
        self.on_external_config_update()
        if not isinstance(self.config["prefix"], str):
            raise ValueError("prefix must be a text")
        # After a start maubot drops what ends its first long poll, unless it is told not to.
        self.client.ignore_first_sync = False
        self.webapp.add_routes([web.get("/prefix", self.prefix)])
        self.log.info("echo is listening")

    async def prefix(self, request):
        return web.json_response(self.config["prefix"])

    @event.on(EventType.ROOM_MESSAGE)
    async def echo(self, event: MessageEvent) -> None:
        if event.sender != self.client.mxid:
            await event.respond(self.config["prefix"] + event.content.body)
""",
}


@pytest.fixture(scope="session")
def echo_source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    source = tmp_path_factory.mktemp("echo-source")
    for name, content in _PLUGIN.items():
        (source / name).parent.mkdir(exist_ok=True)
        (source / name).write_text(content)
    return source


@pytest.fixture(scope="session")
def echo_archive(echo_source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_plugin(tmp_path_factory.mktemp("dist"), source=echo_source)


async def _echo_instance(server: BotServer, archive: Path, register: Register) -> str:
    """Run the echo plugin as a bot; returns the bot's user id."""
    bot = await register("echo")
    await server.add_bot(bot)
    plugin = await server.admin.upload(archive)
    await server.admin.put_instance("echo", plugin=plugin, user_id=bot.user_id)
    return bot.user_id


async def test_an_uploaded_plugin_answers_in_a_room_and_over_http(
    start_bot_server: StartBotServer, register: Register, echo_archive: Path
) -> None:
    server = await start_bot_server()
    bot = await _echo_instance(server, echo_archive, register)
    alice = await register("alice")
    room = await alice.create_room("canyon", invite=[bot])
    await alice.wait_for(lambda e: e.type == "m.room.member" and e.state_key == bot)
    await alice.wait_for(lambda e: e.sender == bot and e.content.get("membership") == "join")

    await alice.send(room, "hello")
    await alice.wait_for(lambda e: e.sender == bot and e.text == "echo: hello")

    # The configuration can be changed while it runs.
    assert await server.admin.config("echo") == {"prefix": "echo: "}
    await server.admin.put_config("echo", {"prefix": "> "})
    assert (await server.admin.config("echo"))["prefix"] == "> "
    await server.admin.wait_for_log("echo is listening")


def test_a_configuration_is_read_as_maubot_writes_it() -> None:
    assert from_yaml("forge: {url: http://127.0.0.1:4}") == {"forge": {"url": "http://127.0.0.1:4"}}


async def test_a_killed_server_starts_again_where_it_was(
    start_bot_server: StartBotServer, register: Register, echo_archive: Path
) -> None:
    server = await start_bot_server()
    bot = await _echo_instance(server, echo_archive, register)
    alice = await register("alice")
    room = await alice.create_room("canyon", invite=[bot])
    await alice.wait_for(lambda e: e.sender == bot and e.content.get("membership") == "join")

    await server.kill()
    assert server.process.pid is None
    await server.restart()

    assert (await server.admin.instance("echo"))["started"]
    assert await call("GET", server.admin.instance_url("echo") + "prefix") == "echo: "
    await alice.send(room, "still there?")
    await alice.wait_for(lambda e: e.text == "echo: still there?")


async def test_an_instance_that_does_not_start_is_reported_with_its_log(
    start_bot_server: StartBotServer, register: Register, echo_archive: Path
) -> None:
    server = await start_bot_server()
    bot = await register("echo")
    await server.add_bot(bot)
    plugin = await server.admin.upload(echo_archive)
    with pytest.raises(InstanceNotStarted, match="prefix must be a text"):
        await server.admin.put_instance(
            "echo", plugin=plugin, user_id=bot.user_id, config={"prefix": 12}
        )
    # With a better configuration it runs, and a deleted one is gone.
    answer = await server.admin.put_instance(
        "echo", plugin=plugin, user_id=bot.user_id, config='prefix: "? "'
    )
    assert answer["started"]
    await server.admin.delete_instance("echo")
    with pytest.raises(CallFailed, match="404"):
        await server.admin.instance("echo")


async def test_an_upload_replaces_the_running_version(
    start_bot_server: StartBotServer, register: Register, echo_archive: Path
) -> None:
    server = await start_bot_server()
    await _echo_instance(server, echo_archive, register)
    await server.admin.upload(echo_archive)
    assert (await server.admin.instance("echo"))["started"]
    assert await call("GET", server.admin.instance_url("echo") + "prefix") == "echo: "


async def test_changed_sources_are_in_force_at_once_and_broken_ones_are_told(
    start_bot_server: StartBotServer, register: Register, echo_source: Path, tmp_path: Path
) -> None:
    source = tmp_path / "echo"
    shutil.copytree(echo_source, source)
    server = await start_bot_server()
    await _echo_instance(server, build_plugin(tmp_path / "dist", source=source), register)
    told: list[tuple[bool, str]] = []
    admin, out = server.admin, tmp_path / "dist"
    reloader = Reloader(admin, "echo", source, out, lambda *words: told.append(words))
    code = (source / "echo" / "plugin.py").read_text()

    async def change(old: str, new: str) -> tuple[bool, str]:
        assert old in code
        (source / "echo" / "plugin.py").write_text(code.replace(old, new))
        assert await reloader.tick() == [Path("echo/plugin.py")]
        return told[-1]

    async def answers() -> Any:
        return await call("GET", server.admin.instance_url("echo") + "prefix")

    assert await reloader.tick() == [], "nothing has changed"
    well, text = await change('(self.config["prefix"])', '("changed")')
    assert well, text
    assert re.fullmatch(r"reloaded in \d\.\d s: echo/plugin.py", text)
    assert await answers() == "changed"

    well, text = await change("async def start(self):", "async def start(self:")
    assert not well
    assert re.fullmatch(r"echo/plugin.py:\d+: '\(' was never closed; the old one goes on", text)
    well, text = await change("class EchoBot", "import no_such_module\nclass EchoBot")
    assert not well
    assert "No module named 'no_such_module'" in text
    assert await answers() == "changed"

    well, text = await change("self.on_external_config_update()", "raise ValueError('not now')")
    assert not well
    assert "ValueError: not now" in text
    assert (await change("echo is listening", "echo listens again"))[0], "it is enabled again"
    assert await answers() == "echo: "


def test_the_archive_holds_sources_and_no_caches(echo_source: Path, tmp_path: Path) -> None:
    cache = echo_source / "echo" / "__pycache__"
    cache.mkdir(exist_ok=True)
    (cache / "plugin.cpython-311.pyc").write_bytes(b"stale")
    archive = build_plugin(tmp_path / "dist", source=echo_source)
    assert archive == tmp_path / "dist" / "test.echo-v1.0.0.mbp"
    with zipfile.ZipFile(archive) as content:
        assert sorted(content.namelist()) == [
            "base-config.yaml",
            "echo/__init__.py",
            "echo/plugin.py",
            "echo/requirements.py",
            "maubot.yaml",
        ]


def test_a_missing_file_fails_the_build_by_name(tmp_path: Path) -> None:
    with pytest.raises(BuildFailed, match=r"maubot\.yaml is missing"):
        build_plugin(tmp_path / "dist", source=tmp_path)
