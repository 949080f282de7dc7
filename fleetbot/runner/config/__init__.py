"""The runner's configuration: `config.toml`, decoded once into frozen values.

Every error names the field and the way out. Paths are relative to the file.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path

import msgspec

from fleetbot.misfits import told
from fleetbot.runner.config.lookup import Lookup
from fleetbot.runner.config.tables import (
    KEEP_BRANCH,
    AgentConfig,
    Config,
    ConfigFile,
    Hook,
    HooksConfig,
    WorkspaceConfig,
)

__all__ = [
    "KEEP_BRANCH",
    "AgentConfig",
    "Config",
    "ConfigError",
    "ConfigFile",
    "Hook",
    "HooksConfig",
    "WorkspaceConfig",
    "decode",
    "examine",
    "load",
]


class ConfigError(Exception):
    """The configuration cannot be used; one line says what is wrong and what to write instead."""


def load(path: Path, env: Mapping[str, str] = os.environ) -> Config:
    """Read the file, its token files and token variables. Raises ConfigError."""
    config, problems = examine(path, env)
    if problems:
        raise ConfigError(f"{path}: {problems[0]}")
    return config


def examine(path: Path, env: Mapping[str, str] = os.environ) -> tuple[Config, list[str]]:
    """The same, with what is wrong with the files and variables it names: those are left empty.

    Raises ConfigError where the file itself cannot be read.
    """
    try:
        text = path.read_text("utf-8")
    except OSError as problem:
        raise ConfigError(f"{path}: {problem.strerror}; {_way_out(problem)}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: not UTF-8 text") from None
    try:
        return Lookup(path.resolve(), env).resolve(decode(text))
    except ConfigError as problem:
        raise ConfigError(f"{path}: {problem}") from None


def decode(text: str) -> ConfigFile:
    """The file's text as it stands, with nothing looked up. Raises ConfigError."""
    try:
        return msgspec.convert(tomllib.loads(text), ConfigFile)
    except tomllib.TOMLDecodeError as problem:
        raise ConfigError(f"not TOML: {problem}") from None
    except msgspec.ValidationError as problem:
        raise ConfigError(told(problem, ConfigFile, "a table [{}]", "the file")) from None


def _way_out(problem: OSError) -> str:
    if isinstance(problem, PermissionError):
        return "give it and its tokens to the user that runs the runner (chown -R), or be that user"
    return "name it with -c, or make one: docs/howto/add-a-runner.md shows a short one"
