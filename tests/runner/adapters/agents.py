"""The real programs with the scripted model behind them, one `Agent` for each and each mode."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fleetbot.runner.adapters import Adapter, build
from fleetbot_devkit.model import Line, Reply, Request, ScriptedModel, Tool
from tests.runner.adapters.harness import KEY

COMMIT = "echo hi > hello.txt && git add -A && git commit -qm 'Add hello'"
# Editing files is allowed, also with some commands; running a program is not.
RISKY_COMMIT = f"python3 -c 'print()' && {COMMIT}"
HELPER = "You are the helper."
_HELPERS = "multi_agent_v1"  # where Codex has its tools for sub-agents
_THREAD = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
ERROR_TYPES = {401: "authentication_error", 404: "not_found_error", 429: "rate_limit_error"}


@dataclass(frozen=True)
class Agent:
    """One program in one mode."""

    kind: str
    mode: str
    program: str
    model: ScriptedModel

    @property
    def live(self) -> bool:
        return self.mode == "live"

    def adapter(self, **settings: Any) -> Adapter:
        """The adapter with the settings for the scripted model, changed by `settings`."""
        return build(self.kind, {**self.adapter_settings(), **settings})

    def adapter_settings(self) -> dict[str, Any]:
        more = {"max_retries": 0} if self.kind == "claude-code" else _codex(self.model.url)
        return {"program": self.program, "mode": self.mode, **more}

    @property
    def env(self) -> dict[str, str]:
        if self.kind == "claude-code":
            return {"ANTHROPIC_API_KEY": KEY, "ANTHROPIC_BASE_URL": self.model.url}
        return {"SCRIPT_KEY": KEY}

    def shell(self, command: str, **more: Any) -> Reply:
        """The model has the program run a command."""
        if self.kind == "claude-code":
            return Reply(tools=(Tool("Bash", {"command": command, "description": "x", **more}),))
        # Without the time, a busy machine sees the command go on in the background.
        arguments = {"cmd": command, "yield_time_ms": 30_000, **more}
        return Reply(tools=(Tool("exec_command", arguments),))

    def asks(self) -> Reply:
        """The model wants to know which color."""
        options = [{"label": name, "description": "x"} for name in ("Red", "Blue")]
        question: dict[str, Any] = {
            "question": "Which color?",
            "header": "Color",
            "options": options,
        }
        if self.kind == "claude-code":
            question["multiSelect"] = False
            return Reply(tools=(Tool("AskUserQuestion", {"questions": [question]}),))
        return Reply(tools=(Tool("request_user_input", {"questions": [{"id": "c", **question}]}),))

    def with_helper(self, does: Line, *, background: bool = False) -> Line:
        """The model gives a sub-agent something to do, and says "main" at the end.

        It waits for the sub-agent unless it works in the background.
        """
        steps = itertools.count()

        def line(request: Request) -> Reply:
            if _is_of_a_helper(request):
                return does if isinstance(does, Reply) else does(request)
            if (step := next(steps)) == 0:
                return self._begins_a_helper(background)
            if step == 1 and not background and self.kind == "codex":
                helper = _THREAD.findall(request.text)[-1]
                arguments = {"targets": [helper], "timeout_ms": 30_000}
                return Reply(tools=(Tool("wait_agent", arguments, _HELPERS),))
            return Reply(text="main")

        return line

    def _begins_a_helper(self, background: bool) -> Reply:
        if self.kind == "codex":
            return Reply(tools=(Tool("spawn_agent", {"message": HELPER}, _HELPERS),))
        helper = {"description": "help", "prompt": HELPER, "run_in_background": background}
        return Reply(tools=(Tool("Agent", {**helper, "subagent_type": "general-purpose"}),))

    def error(self, status: int, message: str = "no") -> Reply:
        kind = ERROR_TYPES.get(status, "api_error")
        return Reply(status=status, body=_error(kind, message), headers={"retry-after": "0"})

    def usage_limit(self, resets_at: int) -> Reply:
        """The answer to an account whose five hours are used up."""
        if self.kind == "claude-code":
            headers = {
                "anthropic-ratelimit-unified-status": "rejected",
                "anthropic-ratelimit-unified-representative-claim": "five_hour",
                "anthropic-ratelimit-unified-reset": str(resets_at),
                "anthropic-ratelimit-unified-5h-status": "rejected",
                "anthropic-ratelimit-unified-5h-utilization": "1",
                "anthropic-ratelimit-unified-5h-reset": str(resets_at),
                "retry-after": "3600",
            }
            body = _error("rate_limit_error", "limit")
            return Reply(status=429, headers=headers, body=body)
        headers = {
            "x-codex-primary-used-percent": "100",
            "x-codex-primary-window-minutes": "300",
            "x-codex-primary-reset-at": str(resets_at),
        }
        limit = {"type": "usage_limit_reached", "message": "limit", "resets_at": resets_at}
        return Reply(status=429, headers=headers, body={"error": {**limit, "plan_type": "plus"}})


def stand_in(path: Path, version: str, body: str) -> str:
    """A program that says it has a version and otherwise runs a few lines of shell."""
    tell = f"""if [ "$1" = --version ]; then echo "{version}"; exit; fi"""
    path.write_text(f"#!/bin/sh\n{tell}\n{body}\n")
    path.chmod(0o755)
    return str(path)


def _is_of_a_helper(request: Request) -> bool:
    """Whether what it was told by its user is the helper's task."""
    said = request.body.get("messages") or request.body.get("input") or []
    return any(entry.get("role") == "user" and HELPER in str(entry["content"]) for entry in said)


def _error(kind: str, message: str) -> Mapping[str, Any]:
    return {"type": "error", "error": {"type": kind, "message": message}}


def _codex(url: str) -> dict[str, Any]:
    provider = {
        "name": "scripted",
        "base_url": f"{url}/v1",
        "env_key": "SCRIPT_KEY",
        "wire_api": "responses",
        "request_max_retries": 0,
        "stream_max_retries": 0,
    }
    config = {"model_provider": "scripted", "model_providers": {"scripted": provider}}
    return {"model": "scripted-model", "config": config}
