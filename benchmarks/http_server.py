"""The plugin's HTTP interface in a process of its own, as maubot serves it; for `benchmarks.http`.

    python -m benchmarks.http_server DIRECTORY TASKS FORGE TOKEN

Writes one line of JSON, `Ready`, when it listens, and ends when its stdin does. The background
loops are not running: what is measured is the interface and the journal below it.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from pathlib import Path

import msgspec
from aiohttp import web
from maubot.matrix import MaubotMatrixClient
from maubot.plugin_server import PluginWebApp

from fleetbot.domain.commands import CreateTask
from fleetbot.domain.model import TaskId, Traits
from fleetbot.runtime import Runtime
from fleetbot.services.fleet import Context
from fleetbot.settings import AuthSettings, ForgeSettings, Settings
from fleetbot.store.migrate import migrate_sqlite
from fleetbot.store.sqlite import SqliteStore

REPO = "acme/shop"
SECRET = "the-secret-of-the-webhook"
BOT = "fleetbot"
ENROL, READER, OPERATOR = (
    f"{word}-token-of-the-benchmark" for word in ("enrol", "read", "operate")
)


def settings(forge: str, token: str) -> Settings:
    """`forge`: the address of one where `token` is the bot's."""
    return Settings(
        forge=ForgeSettings(
            url=forge,
            token=token,
            webhook_secret=SECRET,
            login=BOT,
            repositories=(REPO,),
        ),
        auth=AuthSettings(
            enrolment_tokens=(ENROL,), reader_tokens=(READER,), operator_tokens=(OPERATOR,)
        ),
    )


class Ready(msgspec.Struct):
    """Where it listens on loopback."""

    port: int


def task(number: int) -> TaskId:
    """The tasks that wait for an agent at the start, counted from 1."""
    return TaskId(f"task-{number}")


async def serve(folder: Path, tasks: int, forge: str, token: str) -> None:
    path = folder / "fleet.db"
    migrate_sqlite(path)
    store = SqliteStore(path)
    matrix = MaubotMatrixClient(mxid="@fleetbot:localhost", base_url="http://127.0.0.1:1")
    runtime = Runtime(
        settings(forge, token), store, matrix, logging.getLogger("fleetbot"), "http://localhost"
    )
    await runtime.fleet.start()
    for number in range(1, tasks + 1):
        await _make_task(runtime, number)
    server = web.AppRunner(_app(runtime), access_log=None, shutdown_timeout=1)
    await server.setup()
    await web.TCPSite(server, "127.0.0.1", 0).start()
    sys.stdout.buffer.write(msgspec.json.encode(Ready(server.addresses[0][1])) + b"\n")
    sys.stdout.buffer.flush()
    await asyncio.to_thread(sys.stdin.buffer.read)
    await runtime.stop()
    await server.cleanup()
    await store.close()
    await matrix.api.session.close()


async def _make_task(runtime: Runtime, number: int) -> None:
    url = f"https://forge.example/{REPO}/issues/{number}"
    traits = Traits(title="The greeting is misspelled")
    command = CreateTask(task(number), REPO, number, url, "alice", traits, base="main")
    await runtime.fleet.commit(command, Context(actor="benchmark"))


def _app(runtime: Runtime) -> web.Application:
    plugin = PluginWebApp()  # type: ignore[no-untyped-call]  # maubot leaves it untyped
    plugin.add_routes([web.post("/trivial", _trivial), *runtime.routes()])
    outer = web.Application()
    outer.router.add_route("*", r"/{tail:[\s\S]*}", plugin.handle)
    return outer


async def _trivial(request: web.Request) -> web.Response:
    """The least a POST can be: read it, answer a few bytes of JSON."""
    await request.read()
    return web.Response(body=b'{"ok":true}', content_type="application/json")


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:5]))
