"""The systemd units of `deploy/`: systemd takes them, they are hardened, runs can be bounded."""

from __future__ import annotations

import re
import shutil
import subprocess
from configparser import RawConfigParser
from pathlib import Path

import pytest

from fleetbot.runner.config.tables import RunnerConfig
from tests.deploy.proxies import DEPLOY

UNITS = {"maubot.service": 1.5, "fleetbot-runner.service": 5.0}
"""And how exposed each may be at most: `systemd-analyze security`, of 10."""


def analyze(*words: str) -> str:
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("systemd-analyze is not installed")
    done = subprocess.run([program, *words], capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


@pytest.fixture
def unit(name: str, tmp_path: Path) -> Path:
    """As it is, but for programs that are not installed here."""
    text = (DEPLOY / "systemd" / name).read_text()
    (tmp_path / name).write_text(re.sub(r"(?m)^ExecStart=\S+", "ExecStart=/bin/true", text))
    return tmp_path / name


@pytest.mark.parametrize("name", UNITS)
def test_systemd_has_nothing_to_say_against_it(unit: Path) -> None:
    assert analyze("verify", str(unit)) == ""


@pytest.mark.parametrize("name", UNITS)
def test_it_is_hardened(unit: Path, name: str) -> None:
    told = analyze("security", "--offline=true", str(unit))
    [exposure] = re.findall(r"exposure level for \S+: ([\d.]+)", told)
    assert float(exposure) <= UNITS[name], told


def test_a_runner_may_bound_its_runs_wait_for_them_and_use_its_sandbox() -> None:
    parsed = RawConfigParser(strict=False)
    parsed.optionxform = str  # type: ignore[assignment,method-assign]  # systemd minds the case
    parsed.read(DEPLOY / "systemd" / "fleetbot-runner.service")
    service = parsed["Service"]
    assert service["Delegate"] == "yes"
    assert int(service["TimeoutStopSec"]) > RunnerConfig().drain_seconds
    assert {"RestrictNamespaces", "ProtectKernelTunables", "ProtectControlGroups"}.isdisjoint(
        service
    )
