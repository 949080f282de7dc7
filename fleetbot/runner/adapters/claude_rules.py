"""What Claude Code suggests to allow from now on, with a request for one permission."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

_MODES = {"acceptEdits": "all edits of files"}


def for_the_session(suggestions: object) -> list[dict[str, Any]]:
    """Those suggestions that can be told in words, for this session only.

    As they come they would be written into the repository, and committed.
    """
    if not isinstance(suggestions, list):
        return []
    known = [one for one in suggestions if isinstance(one, dict) and _in_words(one)]
    return [{**one, "destination": "session"} for one in known]


def in_short(updates: Sequence[Mapping[str, Any]]) -> str:
    """`Bash(git add *), all edits of files`."""
    return ", ".join(map(_in_words, updates))


def _in_words(update: Mapping[str, Any]) -> str:
    """What the update allows, whole; empty where a part of it is not understood."""
    match update:
        case {"type": "addRules", "behavior": "allow", "rules": [*rules]}:
            words = list(map(_rule, rules))
        case {"type": "addDirectories", "directories": [*directories]}:
            words = [f"work in {directory}" for directory in directories]
        case {"type": "setMode", "mode": str(mode)}:
            words = [_MODES.get(mode, "")]
        case _:
            return ""
    return ", ".join(words) if all(words) else ""


def _rule(rule: object) -> str:
    match rule:
        case {"toolName": str(tool), "ruleContent": str(content)} if content:
            return f"{tool}({content})"
        case {"toolName": str(tool), **more} if not more.get("ruleContent"):
            return tool
        case _:
            return ""
