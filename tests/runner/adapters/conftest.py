"""The real agent programs, a place to work in, and a model that follows a script."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from fleetbot.runner.sandbox.process import survivors
from fleetbot.testing import RUN as CONTRACT
from fleetbot_devkit.model import ScriptedModel
from tests.runner.adapters.harness import RUN, Fifo, Place


def bundled(package: str, *path: str) -> str:
    """A program inside an installed wheel."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        pytest.skip(f"the program is not installed: no package {package}")
    return str(Path(spec.submodule_search_locations[0], *path))


@pytest.fixture(scope="session")
def claude() -> str:
    return bundled("claude_agent_sdk", "_bundled", "claude")


@pytest.fixture(scope="session")
def codex() -> str:
    return bundled("codex_cli_bin", "bin", "codex")


@pytest.fixture
async def model() -> AsyncIterator[ScriptedModel]:
    async with ScriptedModel() as server:
        yield server


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """A repository with one commit; nothing a failed test started stays."""
    yield Place(tmp_path)
    for pid in (*survivors(RUN), *survivors(CONTRACT)):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


@pytest.fixture
def fifo(tmp_path: Path) -> Iterator[Fifo]:
    pipe = Fifo(tmp_path / "fifo")
    yield pipe
    pipe.close()
