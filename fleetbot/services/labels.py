"""What an issue's labels mean to the fleet, and which of them show a task's state. Pure.

Every name is configuration; labels that mean nothing are left alone.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Literal

import msgspec

from fleetbot.domain.model import (
    AGENT_NAME,
    CAPABILITY,
    AgentName,
    Priority,
    Task,
    TaskState,
    Traits,
)
from fleetbot.forge.label_calls import LabelSpec
from fleetbot.forge.models import Issue

PriorityName = Literal["low", "normal", "high", "urgent"]

MAX_TITLE = 200
_MAX_NEEDS = 20

_STATE_LOOKS = {
    TaskState.CREATED: ("#8c959f", "Waits for an agent of the fleet"),
    TaskState.ASSIGNED: ("#0969da", "An agent of the fleet works on it"),
    TaskState.RUNNING: ("#0969da", "An agent of the fleet works on it"),
    TaskState.COMPLETED: ("#1a7f37", "Done by the fleet, and verified"),
    TaskState.FAILED: ("#cf222e", "The fleet could not do it: a person should look"),
    TaskState.AGENT_LOST: ("#cf222e", "The fleet could not do it: a person should look"),
    TaskState.CANCELLED: ("#8c959f", "The fleet no longer works on it"),
}

_PRIORITY_COLORS: Mapping[PriorityName, str] = {
    "low": "#c5def5",
    "normal": "#bfd4f2",
    "high": "#f9a03f",
    "urgent": "#d93f0b",
}


def _types() -> dict[str, str]:
    plain = {"bug": "bug", "enhancement": "feature", "documentation": "docs"}
    kinds = ("bug", "feature", "docs", "refactor", "test", "chore")
    return plain | {f"type:{kind}": kind for kind in kinds}


def _priorities() -> dict[str, PriorityName]:
    return {
        "priority:low": "low",
        "priority:normal": "normal",
        "priority:high": "high",
        "priority:urgent": "urgent",
    }


def _states() -> dict[TaskState, str]:
    return {
        TaskState.CREATED: "status:todo",
        TaskState.ASSIGNED: "status:doing",
        TaskState.RUNNING: "status:doing",
        TaskState.COMPLETED: "status:done",
        TaskState.FAILED: "status:failed",
        TaskState.AGENT_LOST: "status:failed",
    }


class LabelMaps(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Label names and their meanings.

    `types` and `priorities` go from label to meaning, `states` from a task's state to its label; a
    state without one shows none. What follows `agent_prefix` and `needs_prefix` is a name.
    """

    trigger: str = "fleet"
    types: dict[str, str] = msgspec.field(default_factory=_types)
    priorities: dict[str, PriorityName] = msgspec.field(default_factory=_priorities)
    agent_prefix: str = "agent:"
    needs_prefix: str = "needs:"
    states: dict[TaskState, str] = msgspec.field(default_factory=_states)


def wants_fleet(issue: Issue, maps: LabelMaps, bot_login: str) -> bool:
    """Whether the issue carries the trigger label or is assigned to the bot."""
    assigned = {login.lower() for login in issue.assignee_logins}
    return maps.trigger in issue.label_names or bot_login.lower() in assigned


def still_wants_fleet(issue: Issue, task: Task, maps: LabelMaps, bot_login: str) -> bool:
    """Where the label asked, only the label counts: the assignment may be our own, made to show
    that an agent works."""
    if task.traits.labelled:
        return maps.trigger in issue.label_names
    return wants_fleet(issue, maps, bot_login)


def traits_of(issue: Issue, maps: LabelMaps) -> Traits:
    """What the issue says of its task. Of several types the first of the map holds, of several
    priorities the highest; a name that no agent or capability can have is ignored."""
    names = issue.label_names
    kinds = [kind for label, kind in maps.types.items() if label in names]
    priorities = [
        Priority[name.upper()] for label, name in maps.priorities.items() if label in names
    ]
    agents = [n for n in _after(maps.agent_prefix, names) if AGENT_NAME.match(n)]
    needs = [n for n in _after(maps.needs_prefix, names) if CAPABILITY.match(n)]
    return Traits(
        title=" ".join(issue.title.split())[:MAX_TITLE],
        kind=kinds[0] if kinds else "task",
        priority=max(priorities, default=Priority.NORMAL),
        agent=AgentName(agents[0]) if agents else None,
        needs=tuple(needs[:_MAX_NEEDS]),
        labelled=maps.trigger in names,
    )


def _after(prefix: str, names: Collection[str]) -> Iterator[str]:
    """The names behind the prefix, in order; no prefix, no names."""
    for name in sorted({name.lower() for name in names}):
        if prefix and name.startswith(prefix.lower()):
            yield name.removeprefix(prefix.lower()).strip()


def priority_labels_after(
    current: Collection[str], priority: Priority, maps: LabelMaps
) -> tuple[str | None, set[str]]:
    """The label to add ("" for none) and those to remove so that an issue has the priority; None
    where no label says it. A normal one needs none."""
    means = {label: Priority[name.upper()] for label, name in maps.priorities.items()}
    fitting = [label for label, its in means.items() if its is priority]
    others = {label for label in means if label not in fitting} & set(current)
    if priority is Priority.NORMAL or any(label in current for label in fitting):
        return "", others
    return (fitting[0] if fitting else None), others


def state_labels_after(
    current: Collection[str], state: TaskState, maps: LabelMaps
) -> tuple[set[str], set[str]]:
    """The labels to add and to remove so that the issue shows `state`."""
    shown = {maps.states[state]} if maps.states.get(state) else set()
    ours = {label for label in maps.states.values() if label}
    return shown - set(current), (ours - shown) & set(current)


def state_label(state: TaskState, maps: LabelMaps) -> LabelSpec:
    """How the label of a state is made where the repository lacks it."""
    color, description = _STATE_LOOKS[state]
    return _spec(maps.states[state], color, description)


def priority_label(name: str, maps: LabelMaps) -> LabelSpec:
    """`name` is that of the label."""
    meaning = maps.priorities[name]
    return _spec(name, _PRIORITY_COLORS[meaning], f"The fleet takes its turn as {meaning}")


def trigger_label(maps: LabelMaps) -> LabelSpec:
    return _spec(maps.trigger, "#8250df", "The fleet takes this issue")


def _spec(name: str, color: str, description: str) -> LabelSpec:
    """A name with a slash is scoped in Forgejo: one of its scope at a time."""
    return LabelSpec(name=name, color=color, description=description, exclusive="/" in name)


def priority_spec(name: str) -> LabelSpec:
    return _spec(name, "#d4a72c", "How urgent it is to the fleet")
