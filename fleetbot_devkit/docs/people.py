"""What people type in a shell, write for agents, and put on issues."""

from __future__ import annotations

import inspect
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

from fleetbot.domain.model import TaskState
from fleetbot.runner.run import prompt
from fleetbot_devkit.docs.markdown import block, code, page, prose, table

_ROOT = Path(__file__).parents[2]

# the shell


def shell() -> str:
    """`cli.md`, from what the command says of itself."""
    return page("The fleetbot command", *_shell())


def _shell(*words: str) -> Iterator[str]:
    text = _help(*words)
    if words:
        yield f"## fleetbot {' '.join(words)}"
    yield block(text)
    for name in re.findall(r"^  (\w+)  ", text.partition("Commands:")[2], re.MULTILINE):
        yield from _shell(*words, name)


def _help(*words: str) -> str:
    argv = [sys.executable, "-m", "fleetbot", *words, "--help"]
    env = {**os.environ, "COLUMNS": "80", "LC_ALL": "C.UTF-8", "NO_COLOR": "1"}
    done = subprocess.run(argv, capture_output=True, check=True, text=True, env=env, cwd=_ROOT)
    return done.stdout.replace("python -m fleetbot", "fleetbot")


# the prompt


def prompts() -> str:
    """`prompt.md`."""
    return page(
        "Prompt templates",
        "What an agent is told is a [Jinja](https://jinja.palletsprojects.com/) template: "
        "fleetbot's own, or the file that `prompt` of an agent names. A variable that does not "
        "exist is an error that names it; `fleetbot check` fills every template with a sample.",
        prose(inspect.cleandoc(prompt.Context.__doc__ or "")),
        "The filter `fenced` sets text apart so that nothing in it can end the fence: use it for "
        "the words of people who are not trusted.",
        *map(_variables, _CONTEXTS),
        "## fleetbot's own template",
        block((prompt.TEMPLATES / "prompt.md.j2").read_text("utf-8"), "jinja"),
        "## What it includes about rounds: `round.md.j2`",
        block((prompt.TEMPLATES / "round.md.j2").read_text("utf-8"), "jinja"),
    )


_CONTEXTS = {
    prompt.Context: "Variables",
    prompt.IssueContext: "issue",
    prompt.CommentContext: "each of comments",
    prompt.RoundContext: "round",
    prompt.SaidContext: "each of round.words, and of a thread's words",
    prompt.ThreadContext: "each of round.threads",
    prompt.CheckContext: "each of round.checks",
}


def _variables(kind: type) -> str:
    rows = (
        (code(field.name), code(str(field.type).replace(" | ", " or "))) for field in fields(kind)
    )
    words = "" if kind is prompt.Context else f"{prose(inspect.cleandoc(kind.__doc__ or ''))}\n\n"
    return f"## {_CONTEXTS[kind]}\n\n{words}" + table(("name", "type"), rows)


# labels


def labels(configured: dict[str, Any]) -> str:
    """`labels.md`; `configured` is the section `labels` of base-config.yaml."""
    return page(
        "Labels",
        "What an issue's labels say to the fleet, and what the fleet says with them. Every name "
        "here is a default: the section `labels` of the [configuration](configuration-plugin.md) "
        "changes it. Labels that mean nothing to the fleet are left alone.",
        "## Read from the issue",
        table(("label", "meaning"), _read(configured)),
        "Of several types the first of the configuration counts, of several priorities the "
        "highest, of several agents the first by name; all of several needs count. A name that no "
        "agent or capability can have is ignored.",
        "Taking the trigger label away stops the task, also a running one; so do `!fleet cancel`, "
        "closing the issue, and taking back the assignment where that asked for the fleet. "
        "Reopening the issue, or giving the label back, queues the task again. "
        "Changes of the other labels count for a task that waits; a run keeps what it was given.",
        "## Written on the issue",
        table(("state", "label"), _written(configured["states"])),
        "A label that the repository lacks is made. The others of this table are taken off.",
    )


def _read(configured: dict[str, Any]) -> Iterable[tuple[str, str]]:
    yield code(configured["trigger"]), "the issue is the fleet's; assigning it to the bot also is"
    for label, kind in configured["types"].items():
        yield code(label), f"type {kind}"
    for label, priority in configured["priorities"].items():
        yield code(label), f"{priority} priority; without one it is normal"
    agent, need = configured["agent_prefix"], configured["needs_prefix"]
    yield code(f"{agent}claude-1"), "only the agent `claude-1` may take it"
    yield code(f"{need}python"), "only agents with the capability `python` may take it"


def _written(states: dict[str, str]) -> Iterable[tuple[str, str]]:
    return ((code(state), code(states.get(state, "")) or "none") for state in TaskState)
