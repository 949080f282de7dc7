"""Another version over maubot's management API, on a database with data of the last one."""

from __future__ import annotations

import json
import re
import sqlite3
import zipfile
from collections.abc import Callable, Mapping
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import unused_port

from fleetbot.store.backup import back_up
from fleetbot.store.place import SqlitePlace
from fleetbot.store.restoring import restore
from fleetbot_devkit.bot_server import BotServer
from fleetbot_devkit.rest import CallFailed, call
from tests.conftest import Register, StartBotServer
from tests.services.test_upgrade import old_database

READER = "reader-" + "r" * 20
CONFIG: dict[str, dict[str, Any]] = {
    "forge": {"token": "t", "webhook_secret": "s" * 16, "repositories": ["ann/app"]},
    "auth": {"reader_tokens": [READER]},
}
MIGRATIONS = "fleetbot/store/migrations/sqlite"
GOOD = {f"{MIGRATIONS}/9998-good.sql": "ALTER TABLE tasks ADD COLUMN mood TEXT;\n"}
BAD = {f"{MIGRATIONS}/9999-bad.sql": "ALTER TABLE no_such_table ADD COLUMN mood TEXT;\n"}

Variant = Callable[..., Path]


@pytest.fixture
def variant(archive: Path, tmp_path: Path) -> Variant:
    """Makes an archive of another version, with files more than this one's."""

    def make(version: str, more: Mapping[str, str] | None = None, requires: str = "") -> Path:
        made = tmp_path / f"{version}.mbp"
        with zipfile.ZipFile(archive) as ours, zipfile.ZipFile(made, "w") as theirs:
            for name in ours.namelist():
                text = ours.read(name)
                if name == "maubot.yaml":
                    text = re.sub(rb"(?m)^version: .*$", f"version: {version}".encode(), text)
                if name in ("fleetbot/__init__.py", "fleetbot/requirements.py"):
                    text = re.sub(rb'"\d+\.\d+\.\d+"', f'"{version}"'.encode(), text)
                    text = text.replace(b"msgspec>=0.19,<1", (requires or "msgspec").encode())
                if not name.startswith(("fleetbot/__init__.pyc", "fleetbot/requirements.pyc")):
                    theirs.writestr(name, text)
            for name, sql in (more or {}).items():
                theirs.writestr(name, sql)
        return made

    return make


class Fleet:
    """An instance on a maubot with nothing else."""

    def __init__(self, server: BotServer, bot: str, database: Path) -> None:
        self.server = server
        self._bot = bot
        self._database = database

    async def put(self) -> Any:
        forge = {**CONFIG["forge"], "url": f"http://127.0.0.1:{unused_port()}"}
        return await self.server.admin.put_instance(
            "fleet", plugin="dev.fleetbot", user_id=self._bot, config={**CONFIG, "forge": forge}
        )

    async def refused(self, archive: Path) -> str:
        """Why maubot does not take it."""
        with pytest.raises(CallFailed) as refusal:
            await self.server.admin.upload(archive)
        return str(json.loads(refusal.value.body)["error"])

    async def is_at_work_as(self, version: str) -> bool:
        """Whether this version runs, with all that the fleet has done."""
        assert (await self.server.admin.instance("fleet"))["started"]
        url = self.server.admin.instance_url("fleet")
        found = await call("GET", f"{url}api/v1/tasks?state=completed", token=READER)
        assert found["tasks"]
        return bool((await call("GET", f"{url}healthz", token=READER))["version"] == version)

    async def backup(self) -> Path:
        made = self._database.with_suffix(".backup")
        await back_up(SqlitePlace(self._database), made)
        return made

    async def restore(self, backup: Path) -> None:
        place = SqlitePlace(self._database)
        await restore(backup, place, lambda: datetime.now(UTC), replace=True)

    def columns(self) -> set[str]:
        with closing(sqlite3.connect(self._database)) as database:
            return {row[1] for row in database.execute("PRAGMA table_info(tasks)")}


@pytest.fixture
async def fleet(start_bot_server: StartBotServer, register: Register) -> Fleet:
    """Its database is one that fleetbot 0.1 left behind."""
    server, bot = await start_bot_server(), await register("fleetbot")
    await server.add_bot(bot)
    database = server.process.log_path.parent / "plugins" / "fleet.db"
    old_database(database, "fleet-0.1.sql")
    return Fleet(server, bot.user_id, database)


async def test_only_a_version_that_can_go_on_with_the_data_takes_over(
    fleet: Fleet, archive: Path, variant: Variant
) -> None:
    # Installed for the first time: the plugin says what its maubot lacks, and so does one that is
    # uploaded in its place. A later upload mends it.
    await fleet.server.admin.upload(variant("0.0.9", requires="msgspec>=99"))
    with pytest.raises(CallFailed, match="pip install 'msgspec>=99' in maubot's environment"):
        await fleet.put()
    why = await fleet.refused(variant("0.2.0", requires="msgspec>=99"))
    assert why.startswith("pip install 'msgspec>=99' in maubot's environment, then try again:")
    await fleet.server.admin.upload(archive)
    await fleet.put()
    assert await fleet.is_at_work_as("0.1.0")

    # An upgrade whose second migration fails, after the first went well.
    why = await fleet.refused(variant("0.2.0", {**GOOD, **BAD}))
    assert re.fullmatch(r".*fleet\.db cannot be brought up to date: no such table.*", why)
    assert await fleet.is_at_work_as("0.1.0")
    assert "mood" not in fleet.columns()

    # One that goes well, and the way back, which only a backup makes possible.
    backup = await fleet.backup()
    await fleet.server.admin.upload(variant("0.2.0", GOOD))
    assert await fleet.is_at_work_as("0.2.0")
    assert "mood" in fleet.columns()
    assert "made by a newer fleetbot: install that one" in await fleet.refused(archive)
    assert await fleet.is_at_work_as("0.2.0")
    await fleet.server.admin.stop_instance("fleet")
    await fleet.restore(backup)
    await fleet.server.admin.upload(archive)
    assert await fleet.is_at_work_as("0.1.0")

    record = await fleet.server.admin.wait_for_log("pip install 'msgspec>=99' in maubot's")
    assert record["levelname"] == "ERROR", "a line of its own, besides maubot's traceback"
