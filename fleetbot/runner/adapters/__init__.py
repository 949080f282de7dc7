"""Adapters: one per agent program, behind one contract (`contract`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from fleetbot.runner.adapters.claude_code import ClaudeCodeAdapter, ClaudeConfig
from fleetbot.runner.adapters.codex import CodexAdapter, CodexConfig
from fleetbot.runner.adapters.command import CommandAdapter, CommandConfig
from fleetbot.runner.session.contract import (
    Adapter,
    Answer,
    Event,
    Finished,
    HealthLine,
    LaunchSpec,
    LimitReached,
    Limits,
    LogLine,
    PermissionDenial,
    Question,
    QuestionWithdrawn,
    Session,
    SessionStarted,
    ToolUse,
    Usage,
)

__all__ = [
    "KINDS",
    "Adapter",
    "AdapterConfigError",
    "Answer",
    "Event",
    "Finished",
    "HealthLine",
    "LaunchSpec",
    "LimitReached",
    "Limits",
    "LogLine",
    "PermissionDenial",
    "Question",
    "QuestionWithdrawn",
    "Session",
    "SessionStarted",
    "ToolUse",
    "Usage",
    "build",
]

KINDS = ("claude-code", "codex", "command")


class AdapterConfigError(ValueError):
    """An adapter's settings are wrong; the text names the field."""


def build(kind: str, table: Mapping[str, Any]) -> Adapter:
    """Make the adapter `kind` from its table of settings. Raises AdapterConfigError."""
    try:
        if kind == "claude-code":
            return ClaudeCodeAdapter(msgspec.convert(table, ClaudeConfig))
        if kind == "codex":
            return CodexAdapter(msgspec.convert(table, CodexConfig))
        if kind == "command":
            return CommandAdapter(msgspec.convert(table, CommandConfig))
    except (msgspec.ValidationError, ValueError) as problem:
        raise AdapterConfigError(f"{kind}: {problem}") from problem
    raise AdapterConfigError(f"adapter: {kind!r} is unknown; use one of {', '.join(KINDS)}")
