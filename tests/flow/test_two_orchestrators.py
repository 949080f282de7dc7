"""Two maubots on one Postgres: whatever becomes of the one that leads, the other goes on."""

from __future__ import annotations

import secrets
import zipfile
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import psycopg
import pytest
import pytest_asyncio

from fleetbot import __version__
from fleetbot.forge.issue_calls import marker_of
from fleetbot.store.audit import examine
from fleetbot.store.postgres.store import PostgresStore
from fleetbot_devkit.homeserver import Homeserver
from fleetbot_devkit.story import until
from tests.flow.agents import DILIGENT, agent
from tests.flow.pair import LEASE, Bot, Pair
from tests.flow.seen import said_in_room, task_of, until_state
from tests.postgres import PostgresServer

IN_TIME = 2 * LEASE  # a lease and what it takes to begin, on a machine that has other things to do
MIGRATIONS = "fleetbot/store/migrations/postgres"
SLOW = "time.sleep(0.5)\n" + DILIGENT  # so that something is under way when it happens


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pair(
    homeserver: Homeserver,
    archive: Path,
    postgres: PostgresServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[Pair]:
    class Here(Pair):
        database = f"pair_{secrets.token_hex(4)}"

    Here.server = postgres
    with psycopg.connect(postgres.url(), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {Here.database}".encode())
    root = tmp_path_factory.mktemp("pair")
    async with Here.start(root, homeserver=homeserver, archive=archive) as pair:
        agents = [agent(root, name, SLOW, extra="max_concurrency = 2") for name in ("ann", "bob")]
        pair.start_runner("\n".join(agents))
        yield pair
    assert await problems(pair) == [], "whatever has happened to who wrote it"


@pytest_asyncio.fixture(loop_scope="module")
async def leader(pair: Pair) -> AsyncIterator[Bot]:
    """The one that leads, with the other beside it."""
    leader = await pair.leader()
    await until(pair.other(leader).stands_by, "the other to stand by")
    yield leader
    for bot in pair.both:
        bot.wire.mend()
        if bot.server.process.pid is None:
            await bot.server.restart()
        bot.wake()


async def under_way(pair: Pair, count: int = 2) -> list[int]:
    """Issues that have just been opened, at least one of which is worked on."""
    issues = [await pair.open_issue(f"Work {n}") for n in range(count)]
    await until_any(pair, issues)
    return issues


async def until_any(pair: Pair, issues: Sequence[int]) -> None:
    async def running() -> bool:
        tasks = [await task_of(pair, issue) for issue in issues]
        return any(task is not None and task["state"] == "running" for task in tasks)

    await until(running, "a run")


async def done_once(pair: Pair, issues: Sequence[int]) -> None:
    """Everything is done, and was said and written once."""
    for issue in issues:
        await until_state(pair, issue, "completed", timeout=60)
    await settled(pair)
    for issue in issues:
        markers = Counter(filter(None, map(marker_of, await pair.comments(issue))))
        assert set(markers.values()) == {1}, markers
        assert any(key.startswith("receipt:") for key in markers)
    said = Counter(await said_in_room(pair))
    for issue in issues:
        name = f"{pair.repo}#{issue} "
        its = {line: n for line, n in said.items() if name in line}
        assert set(its.values()) == {1}, its
        assert sum(line.startswith(f"✅ Done: {name}") for line in its) == 1, its
        assert sum(f" · {name}" in line for line in its) == 1, f"one card: {its}"


async def settled(pair: Pair) -> None:
    async def nothing_waits() -> bool:
        with psycopg.connect(pair.server.url(pair.database)) as connection:
            found = connection.execute("SELECT count(*) FROM mbp_fleet.queues").fetchone()
        return found == (0,)

    await until(nothing_waits, "the outbox to be empty")


async def problems(pair: Pair) -> list[str]:
    """What is wrong with the journal; both have to be stopped, as who looks at it leads."""
    store = PostgresStore(pair.server.url(pair.database), "mbp_fleet")
    try:
        await store.load()
        return [str(problem) for problem in await examine(store)]
    finally:
        await store.close()


def writes(pair: Pair) -> list[str]:
    return [
        f"{one.method} {one.path}"
        for one in pair.forge.requests
        if one.login == "fleetbot" and one.method != "GET"
    ]


@pytest.mark.asyncio(loop_scope="module")
async def test_a_frozen_leader_is_followed_and_does_nothing_when_it_wakes(
    pair: Pair, leader: Bot
) -> None:
    other, issues = pair.other(leader), await under_way(pair)

    leader.freeze()
    took = await pair.taken_over(other)

    assert took < IN_TIME
    await done_once(pair, issues)
    before, said = writes(pair), await said_in_room(pair)
    leader.wake()
    await until(leader.stands_by, "the woken one to stand by")
    assert writes(pair) == before
    assert await said_in_room(pair) == said
    assert await other.leads()


@pytest.mark.asyncio(loop_scope="module")
async def test_a_killed_leader_is_followed(pair: Pair, leader: Bot) -> None:
    other, issues = pair.other(leader), await under_way(pair)

    await leader.server.kill()

    assert await pair.taken_over(other) < IN_TIME
    await done_once(pair, issues)


@pytest.mark.asyncio(loop_scope="module")
async def test_a_leader_that_is_cut_off_from_the_database_is_followed(
    pair: Pair, leader: Bot
) -> None:
    other, issues = pair.other(leader), await under_way(pair)

    leader.wire.cut()

    assert await pair.taken_over(other) < IN_TIME
    await done_once(pair, issues)
    leader.wire.mend()
    await until(leader.stands_by, "the other to stand by")
    assert await other.leads()


@pytest.mark.asyncio(loop_scope="module")
async def test_one_after_the_other_is_upgraded_while_work_goes_on(
    pair: Pair, leader: Bot, archive: Path
) -> None:
    newer, version = newer_than(archive, pair.root / "newer")
    other, issues = pair.other(leader), await under_way(pair)

    await other.server.admin.upload(newer)
    await until(lambda: other.is_at(version), "the upgrade")
    await until(other.stands_by, "the upgraded one to stand by")
    assert await leader.leads()
    assert not has_migrated(pair), "who stands by leaves the schema alone"

    issues += await under_way(pair)
    await leader.server.admin.upload(newer)
    await until(lambda: leader.is_at(version), "the upgrade")
    leads = await pair.leader()
    await until(pair.other(leads).stands_by, "the other to stand by")

    assert has_migrated(pair)
    await done_once(pair, issues)


def newer_than(archive: Path, folder: Path) -> tuple[Path, str]:
    """The same plugin as a later version, with one migration more; and what that is called."""
    version = "0.99.0"
    folder.mkdir()
    newer = folder / f"dev.fleetbot-v{version}.mbp"
    with zipfile.ZipFile(archive) as source, zipfile.ZipFile(newer, "w") as target:
        for name in source.namelist():
            if name == "fleetbot/__init__.pyc":  # it would go by what was compiled
                continue
            content = source.read(name)
            if name in ("maubot.yaml", "fleetbot/__init__.py"):
                content = content.replace(__version__.encode(), version.encode())
            target.writestr(name, content)
        target.writestr(f"{MIGRATIONS}/9001-newer.sql", "CREATE TABLE newer (id BIGINT);\n")
    return newer, version


def has_migrated(pair: Pair) -> bool:
    with psycopg.connect(pair.server.url(pair.database)) as connection:
        found = connection.execute("SELECT to_regclass('mbp_fleet.newer')").fetchone()
    return found != (None,)
