"""Which adapters there are: one table, and what other packages add to it by entry points."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Any, NamedTuple

import msgspec

from fleetbot.misfits import told
from fleetbot.runner.adapters.claude_code import ClaudeCodeAdapter, ClaudeConfig
from fleetbot.runner.adapters.codex import CodexAdapter, CodexConfig
from fleetbot.runner.adapters.command import CommandAdapter, CommandConfig
from fleetbot.runner.session.contract import Adapter

GROUP = "fleetbot.adapters"
"""The group of entry points: the name is the adapter's, the object a `Kind`."""


class Kind(NamedTuple):
    """A kind of adapter: the struct of its settings, and what makes an adapter of them.

    `table` names its table of settings in an agent's configuration; a built-in one has its own.
    """

    settings: type[msgspec.Struct]
    adapter: Callable[[Any], Adapter]
    table: str = "settings"


BUILT_IN: dict[str, Kind] = {
    "claude-code": Kind(ClaudeConfig, ClaudeCodeAdapter, "claude"),
    "codex": Kind(CodexConfig, CodexAdapter, "codex"),
    "command": Kind(CommandConfig, CommandAdapter, "command"),
}


class AdapterConfigError(ValueError):
    """An adapter's settings are wrong; the text names the field."""


def known() -> tuple[str, ...]:
    """The names of all adapters, the built-in ones first."""
    return (*BUILT_IN, *sorted(set(_added()) - set(BUILT_IN)))


def kind(name: str) -> Kind:
    """The adapter of this name. Raises AdapterConfigError."""
    if built_in := BUILT_IN.get(name):
        return built_in
    if entry := _added().get(name):
        return _loaded(entry)
    raise AdapterConfigError(f"adapter: {name!r} is unknown; use one of {', '.join(known())}")


def build(name: str, table: Mapping[str, Any]) -> Adapter:
    """Make the adapter from its table of settings. Raises AdapterConfigError."""
    found = kind(name)
    try:
        return found.adapter(msgspec.convert(table, found.settings))
    except msgspec.ValidationError as problem:
        text = told(problem, found.settings, "a table", "the table")
        raise AdapterConfigError(f"{name}: {text}") from problem
    except ValueError as problem:  # a rule of the adapter's own
        raise AdapterConfigError(f"{name}: {problem}") from problem


def _added() -> dict[str, EntryPoint]:
    return {entry.name: entry for entry in entry_points(group=GROUP)}


def _loaded(entry: EntryPoint) -> Kind:
    package = entry.dist.name if entry.dist else entry.module
    try:
        found = entry.load()
    except Exception as problem:  # whatever a package does when it is imported
        detail = f"adapter: {entry.name!r} of the package {package} cannot be loaded: {problem}"
        raise AdapterConfigError(detail) from problem
    if not isinstance(found, Kind):
        detail = f"adapter: {entry.name!r} of the package {package} is no fleetbot adapter Kind"
        raise AdapterConfigError(detail)
    return found
