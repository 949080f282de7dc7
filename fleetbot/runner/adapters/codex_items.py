"""What Codex's items mean: pure parsing, for `app-server` and for `exec --json`.

The two spell names differently (`commandExecution` and `command_execution`); items are read in the
first spelling, in which the app-server's schema describes them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from fleetbot.runner.session.contract import LogLine, PermissionDenial, ToolUse
from fleetbot.runner.session.driver import Step
from fleetbot.runner.session.text import one_line

_SHELL = re.compile(r"^(?:/\S*/)?(?:ba|z|da)?sh -l?c (.*)\Z", re.DOTALL)


def camel(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The same fields with the app-server's spelling."""
    return {_camel(name): value for name, value in fields.items()}


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(map(str.capitalize, rest))


class Items:
    """Reads items as they start and complete, and keeps what the end of the run needs."""

    def __init__(self) -> None:
        self.summary = ""
        self.denials: list[PermissionDenial] = []
        self._shown: dict[str, dict[str, Any]] = {}

    def started(self, item: Mapping[str, Any]) -> Iterable[Step]:
        item = camel(item)
        if tool := _tool(item):
            self._shown[item["id"]] = item
            return [tool]
        return []

    def completed(self, item: Mapping[str, Any]) -> Iterable[Step]:
        item = camel(item)
        tool = _tool(item)
        if tool and item["id"] not in self._shown:
            yield tool
        if tool and item.get("status") == "declined":
            self.denials.append(PermissionDenial(tool.name, tool.summary))
        match _camel(item["type"]):
            case "agentMessage" if item["text"].strip():
                self.summary = item["text"]
                yield LogLine(item["text"], "assistant")
            case "commandExecution" if output := item.get("aggregatedOutput"):
                yield LogLine(output.rstrip("\n"), "tool_output")
            case "error":
                yield LogLine(item["message"], "system")

    def changes(self, item_id: str) -> Any:
        """The file changes of an item; a request to approve them does not repeat them."""
        return self._shown.get(item_id, {}).get("changes")


def _tool(item: Mapping[str, Any]) -> ToolUse | None:
    match _camel(item["type"]):
        case "commandExecution":
            return ToolUse("command", command_summary(item["command"]))
        case "fileChange":
            return ToolUse("edit", one_line(", ".join(c["path"] for c in item["changes"])))
        case "mcpToolCall":
            name = f"{item['server']}.{item['tool']}"
            return ToolUse(name, one_line(json.dumps(item.get("arguments"), ensure_ascii=False)))
        case "collabAgentToolCall":
            return ToolUse(f"agent: {item['tool']}", one_line(str(item.get("prompt") or "")))
        case "webSearch":
            return ToolUse("web search", one_line(str(item.get("query") or "")))
    return None


def awaited(item: Mapping[str, Any]) -> set[str]:
    """The threads of sub-agents that a completed item has made, and whose turn is yet to begin."""
    states = item.get("agentsStates") or {}
    return {thread for thread, its in states.items() if its.get("status") == "pendingInit"}


def command_summary(command: str) -> str:
    """A command line without the shell around it."""
    inner = _SHELL.match(command)
    text = inner[1] if inner else command
    quoted = inner and len(text) > 1 and text[0] == text[-1] and text[0] in "'\""
    return one_line(text[1:-1] if quoted else text)
