"""What people say for a command, where its letters would lead to another one or to none."""

from __future__ import annotations

from collections.abc import Mapping

OTHER_WORDS: Mapping[str, str] = {
    "abort": "cancel",
    "ask": "tell",
    "budget": "cost",
    "close": "cancel",
    "commands": "help",
    "continue": "resume",
    "costs": "cost",
    "create": "new",
    "dashboard": "board",
    "enroll": "enrol",
    "explain": "why",
    "give": "assign",
    "health": "doctor",
    "hold": "pause",
    "issue": "task",
    "issues": "tasks",
    "kill": "cancel",
    "list": "tasks",
    "logs": "log",
    "me": "iam",
    "mute": "quiet",
    "open": "new",
    "prio": "priority",
    "register": "enrol",
    "rerun": "retry",
    "restart": "retry",
    "say": "tell",
    "show": "task",
    "start": "assign",
    "stop": "cancel",
    "token": "enrol",
    "unpause": "resume",
    "urgent": "priority",
    "who": "agents",
    "whoami": "iam",
    **dict.fromkeys(("failed", "running", "waiting", "done", "all"), "tasks"),
}
