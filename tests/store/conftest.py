"""Every test of a store runs on every database there is a store for."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fleetbot.store.interface import Store
from tests.store.backend import Backend, PostgresBackend, SqliteBackend
from tests.store.history import History


@pytest.fixture(params=["sqlite", "postgres"])
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Backend:
    if request.param == "sqlite":
        return SqliteBackend(tmp_path)
    made: PostgresBackend = request.getfixturevalue("postgres_backend")
    return made


@pytest.fixture
async def store(backend: Backend) -> AsyncIterator[Store]:
    async with backend.open() as opened:
        yield opened


@pytest.fixture
def history() -> History:
    return History()
