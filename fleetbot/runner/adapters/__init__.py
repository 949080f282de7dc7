"""Adapters: one per agent program, behind one contract (`session.contract`)."""

from __future__ import annotations

from fleetbot.domain.usage import Usage
from fleetbot.runner.adapters.registry import BUILT_IN, AdapterConfigError, Kind, build, kind, known
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
    Used,
)

__all__ = [
    "BUILT_IN",
    "Adapter",
    "AdapterConfigError",
    "Answer",
    "Event",
    "Finished",
    "HealthLine",
    "Kind",
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
    "Used",
    "build",
    "kind",
    "known",
]
