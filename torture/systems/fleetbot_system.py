"""The plug of fleetbot: the built plugin in a real maubot, on a real Synapse that rounds share."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from fleetbot_devkit.build import build_plugin
from fleetbot_devkit.homeserver import Homeserver
from torture.proxy import Proxy
from torture.story import CI, Line, Need, Story
from torture.system import Refused, System
from torture.systems.fleetbot_actor import Actor
from torture.systems.fleetbot_world import (
    OF_ACTOR,
    OF_PROGRAMS,
    REPO,
    DegradedWorld,
    FleetbotSystem,
)

WORKERS = ("w1", "w2")
ACTORS = ("actor",)


class FleetbotPlug:
    """Starts fleets on one homeserver; each round has a maubot, a forge and a room of its own."""

    acts = FleetbotSystem.acts
    lines = tuple(Line)
    takes_orders = True

    def __init__(
        self,
        root: Path,
        homeserver: Homeserver,
        archive: Path,
        *,
        workers: Sequence[str] = WORKERS,
        actors: Sequence[str] = ACTORS,
        config: Mapping[str, Any] | None = None,
        database: Callable[[str], str] = lambda name: "",
    ) -> None:
        """`database`: makes an empty one of that name for a round, and answers its address."""
        self.workers = workers
        self._actors = actors
        self._root = root
        self._homeserver = homeserver
        self._archive = archive
        self._config = config or {}
        self._database = database
        self._count = 0

    @asynccontextmanager
    async def __call__(self, story: Story) -> AsyncIterator[System]:
        self._count += 1
        root = self._root / f"{self._count:04}"
        async with AsyncExitStack() as stack:
            lines = await _lines(stack, story.seed)
            world = await self._world(stack, root, lines, story)
            system = FleetbotSystem(world, self.workers)
            for worker in self.workers:
                await system.start(worker)
            stage = system.stage()
            for name in self._actors:
                playing = asyncio.create_task(Actor(stage, name).play())
                stack.push_async_callback(_end, playing)
            yield system

    async def _world(
        self, stack: AsyncExitStack, root: Path, lines: Mapping[Line, Proxy], story: Story
    ) -> DegradedWorld:
        overrides, database = dict(self._config), self._database(f"round_{self._count}")
        if Need.GREEN_CI in story.needs:
            overrides["verify"] = {"require_ci": True, "required_contexts": [CI]}

        class Prepared(DegradedWorld):
            def __init__(self, root: Path, *, encrypted: bool, postgres: str) -> None:
                super().__init__(root, encrypted=encrypted, postgres=postgres)
                self.lines, self.overrides = lines, overrides
                if Need.NOBODY_ORDERS in story.needs:
                    self.room_settings = {"allow": {"new": []}}

        world = await stack.enter_async_context(
            Prepared.start(
                root, homeserver=self._homeserver, archive=self._archive, postgres=database
            )
        )
        for label in (OF_ACTOR, OF_PROGRAMS):
            world.forge.add_label(REPO, label)
        return world


async def _lines(stack: AsyncExitStack, seed: int) -> Mapping[Line, Proxy]:
    lines = {line: Proxy(line, seed) for line in Line}
    for proxy in lines.values():
        await proxy.start()
        stack.push_async_callback(proxy.stop)
    return lines


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


@asynccontextmanager
async def open_plug(options: Mapping[str, str]) -> AsyncIterator[FleetbotPlug]:
    """What `python -m torture` asks of a module: the plug, for the length of the block."""
    unknown = options.keys() - {"keep", "database"}
    if unknown:
        raise Refused(f"fleetbot's plug has no option {', '.join(sorted(unknown))}")
    async with AsyncExitStack() as stack:
        database = _database(stack, options.get("database", "sqlite"))
        root = _root(stack, options.get("keep"))
        archive = build_plugin(root / "dist")
        homeserver = await stack.enter_async_context(Homeserver.start(root / "synapse"))
        yield FleetbotPlug(root, homeserver, archive, database=database)


def _root(stack: AsyncExitStack, kept: str | None) -> Path:
    """Where all is written: a folder that somebody wants to look at later, or one that goes."""
    if kept is None:
        return Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="torture-")))
    Path(kept).mkdir(parents=True, exist_ok=True)
    return Path(kept).resolve()


def _database(stack: AsyncExitStack, kind: str) -> Callable[[str], str]:
    """A Postgres of the tests' kind, for rounds that want one."""
    if kind == "sqlite":
        return lambda name: ""
    if kind != "postgres":
        raise Refused(f"database is sqlite or postgres, not {kind}")
    import psycopg

    from tests.postgres import NoPostgres, postgres_server

    try:
        server = stack.enter_context(postgres_server())
    except NoPostgres as error:
        raise Refused(str(error)) from error

    def make(name: str) -> str:
        with psycopg.connect(server.url(), autocommit=True) as connection:
            connection.execute(
                psycopg.sql.SQL("CREATE DATABASE {}").format(psycopg.sql.Identifier(name))
            )
        return server.tcp_url(name)

    return make
