"""Real servers for the tests that need them. Synapse is started once; names keep tests apart."""

from __future__ import annotations

import gc
import itertools
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import pytest_asyncio
from hypothesis import settings

from fleetbot.store.migrate import migrate_postgres
from fleetbot_devkit.bot_server import BotServer
from fleetbot_devkit.homeserver import Homeserver
from fleetbot_devkit.matrix_user import MatrixUser
from tests.archives import built_once
from tests.postgres import NoPostgres, PostgresServer, postgres_server
from tests.shared_homeserver import SharedHomeserver
from tests.store.backend import PostgresBackend

Register = Callable[[str], Awaitable[MatrixUser]]
StartBotServer = Callable[[], Awaitable[BotServer]]
WORKER = os.environ.get("PYTEST_XDIST_WORKER", "")

# Properties are tried with the same examples everywhere, so that a red run is red again.
settings.register_profile("fleetbot", derandomize=True, deadline=None, max_examples=60)
settings.load_profile("fleetbot")

# Python looks for garbage after every 700 new objects: a tenth of what collecting takes, and a
# twentieth of the tests.
gc.set_threshold(50_000)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whatever needs the homeserver is marked, so that `make test-fast` can leave it out."""
    for item in items:
        if "homeserver" in getattr(item, "fixturenames", ()):
            item.add_marker("servers")


def pytest_collection_finish() -> None:
    """What was imported and collected stays to the end: no need to look for garbage in it again
    and again."""
    gc.collect()
    gc.freeze()


def of_all_workers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that the workers of a run have in common."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if WORKER else base


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def homeserver(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Homeserver:
    """A Synapse without rate limits, shared by all tests."""
    shared = SharedHomeserver(of_all_workers(tmp_path_factory) / "homeserver")
    # At the end of the worker: to wait for the others has no limit, as tests have one.
    request.config.add_cleanup(shared.close)
    return await shared.open()


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A Postgres, shared by all tests of a worker that need one."""
    try:
        with postgres_server() as server:
            yield server
    except NoPostgres as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def postgres_schema(postgres: PostgresServer) -> PostgresBackend:
    backend = PostgresBackend(postgres.url(), "mbp_fleet-bot")
    migrate_postgres(backend.url, backend.schema)
    return backend


@pytest.fixture
def postgres_backend(postgres_schema: PostgresBackend) -> PostgresBackend:
    """A migrated schema with nothing in it. It is the same for all tests: to make another takes
    twenty times as long as to empty it."""
    postgres_schema.empty()
    return postgres_schema


@pytest.fixture(scope="session")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The plugin, built once."""
    return built_once(of_all_workers(tmp_path_factory) / "plugin")


@pytest.fixture(scope="session")
def register(homeserver: Homeserver) -> Register:
    """Makes a Matrix account whose name begins with the given word and is like no other."""
    numbers = itertools.count(1)

    async def register(name: str) -> MatrixUser:
        return await homeserver.register(f"{name}-{WORKER}{next(numbers)}", "password")

    return register


@pytest_asyncio.fixture
async def start_bot_server(
    homeserver: Homeserver, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[StartBotServer]:
    """Starts a maubot of the test's own; it is stopped when the test ends."""
    async with AsyncExitStack() as servers:

        async def start() -> BotServer:
            root: Path = tmp_path_factory.mktemp("maubot")
            return await servers.enter_async_context(BotServer.start(root, homeserver))

        yield start
