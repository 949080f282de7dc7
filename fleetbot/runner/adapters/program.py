"""Finding an agent program and its version."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from pathlib import Path

import msgspec

from fleetbot.domain.reasons import ReasonCode
from fleetbot.runner.sandbox.complete import complete
from fleetbot.runner.session.contract import HealthLine

Version = tuple[int, ...]
_VERSION = re.compile(r"\d+(?:\.\d+)+")
_SECONDS = 20


class ProgramProblem(Exception):
    """The program cannot be used; carries the reason code and what to do."""

    def __init__(self, reason: ReasonCode, detail: str, remedy: str) -> None:
        super().__init__(f"{detail}; {remedy}")
        self.reason = reason
        self.detail = detail
        self.remedy = remedy


class Supported(msgspec.Struct, frozen=True):
    """The versions an adapter was built for: from `first` on, and tested before `end`.

    A program updates itself: one that is newer works until it is seen not to.
    """

    first: Version
    end: Version

    def __str__(self) -> str:
        return f"from {_dotted(self.first)} on; {_dotted(self.end)} and newer were not tried"


class Program:
    """One agent program on this machine; its version is asked once per installed file."""

    def __init__(self, name: str, supported: Supported, install: str) -> None:
        self._name = name
        self._supported = supported
        self._install = install
        self._known: dict[tuple[str, float], Version] = {}

    async def find(self, env: Mapping[str, str]) -> tuple[str, Version]:
        """The program's path and version. Raises ProgramProblem."""
        path = shutil.which(self._name, path=env.get("PATH"))
        if path is None:
            detail = f"{self._name} was not found"
            raise ProgramProblem(ReasonCode.PROGRAM_MISSING, detail, self._install)
        key = _identity(path)
        if key not in self._known:
            self._known[key] = await self._ask(path, env)
        version = self._known[key]
        if version < self._supported.first:
            detail = f"{path} is version {_dotted(version)}"
            remedy = f"install a version {self._supported}"
            raise ProgramProblem(ReasonCode.PROGRAM_UNSUPPORTED, detail, remedy)
        return path, version

    async def check(self, env: Mapping[str, str]) -> HealthLine:
        try:
            path, version = await self.find(env)
        except ProgramProblem as problem:
            return HealthLine("program", False, problem.detail, problem.remedy)
        detail = f"{path} {_dotted(version)}"
        if version < self._supported.end:
            return HealthLine("program", True, detail)
        newer = f"newer than this adapter was tested with ({self._supported})"
        return HealthLine("program", True, f"{detail}, {newer}")

    async def _ask(self, path: str, env: Mapping[str, str]) -> Version:
        said = await _output(path, env)
        if (found := _VERSION.search(said)) is None:
            detail = f"{path} --version says no version"
            raise ProgramProblem(ReasonCode.PROGRAM_UNSUPPORTED, detail, self._install)
        return tuple(int(part) for part in found[0].split("."))


async def _output(path: str, env: Mapping[str, str]) -> str:
    try:
        done = await complete([path, "--version"], cwd=Path("/"), env=env, timeout=_SECONDS)
    except (OSError, TimeoutError):
        return ""
    return done.stdout


def _identity(path: str) -> tuple[str, float]:
    return path, Path(path).stat().st_mtime


def _dotted(version: Version) -> str:
    return ".".join(map(str, version))
