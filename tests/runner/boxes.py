"""A bubblewrap for tests: the system's, or the one that comes with Codex's wheel."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path

import pytest

from fleetbot.runner.sandbox.bubblewrap import Sandbox, SandboxUnavailable, probe


async def found_sandbox() -> Sandbox:
    """A sandbox that works here; the test is skipped where none does."""
    found = Sandbox(program=shutil.which("bwrap") or _bundled() or "bwrap")
    try:
        await probe(found)
    except SandboxUnavailable as problem:
        pytest.skip(str(problem))
    return found


def _bundled() -> str | None:
    spec = importlib.util.find_spec("codex_cli_bin")
    where = (spec and spec.submodule_search_locations) or []
    return next((str(Path(p, "codex-resources", "bwrap")) for p in where), None)
