"""Events without secrets in their free texts."""

from __future__ import annotations

import msgspec

from fleetbot.runner.sandbox.masking import Masker
from fleetbot.runner.session.contract import (
    Event,
    Finished,
    LogLine,
    PermissionDenial,
    Question,
    ToolUse,
)


def masked(event: Event, masker: Masker) -> Event:
    """The same event with its free texts masked; ids and answers to choose from stay."""
    if isinstance(event, LogLine):
        return LogLine(masker.text(event.text), event.kind)
    if isinstance(event, ToolUse):
        return ToolUse(event.name, masker.text(event.summary))
    if isinstance(event, Question):
        title, request = masker.text(event.title), masker.tree(event.request)
        return msgspec.structs.replace(event, title=title, request=request)
    return _finished(event, masker) if isinstance(event, Finished) else event


def _finished(event: Finished, masker: Masker) -> Finished:
    denials = tuple(
        PermissionDenial(d.tool, masker.text(d.summary)) for d in event.permission_denials
    )
    detail, summary = masker.text(event.detail), masker.text(event.summary)
    return msgspec.structs.replace(
        event, detail=detail, summary=summary, permission_denials=denials
    )
