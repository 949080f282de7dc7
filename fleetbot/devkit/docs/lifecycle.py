"""States, reasons and events, out of the domain."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Mapping

from fleetbot.devkit.docs.markdown import block, code, codes, page, prose, table
from fleetbot.devkit.docs.schema import Shape, fields, schemas, sections
from fleetbot.domain import events as ev
from fleetbot.domain.lifecycle import TABLE, Rule
from fleetbot.domain.model import TaskState
from fleetbot.domain.reasons import REASONS, REASONS_OF_AGENTS, ReasonCode

_MEANINGS = {
    TaskState.CREATED: "waits in the queue for an agent, or for the end of a back-off",
    TaskState.ASSIGNED: "given to an agent that has not acknowledged it yet",
    TaskState.RUNNING: "an agent works on it, or its receipt is being checked",
    TaskState.COMPLETED: "a receipt was checked against Forgejo and holds",
    TaskState.FAILED: "no retry is left or could help: waits for a person",
    TaskState.AGENT_LOST: "its agent is gone and no attempt is left: waits for a person",
    TaskState.CANCELLED: "nobody works on it, because a person or the issue said so",
}


def states() -> str:
    """`states.md`: the table is the code."""
    return page(
        "States of a task",
        "A pair of state and event that is not in the table cannot happen. "
        "The code itself is this table: `fleetbot/domain/lifecycle.py`.",
        table(("state", "meaning"), ((code(s), _MEANINGS[s]) for s in TaskState)),
        "## Transitions",
        table(("from", "event", "to", "note"), map(_transition, TABLE)),
        "A retry by itself comes after a wait that doubles with every attempt, from "
        "`retry.base_seconds` to `retry.cap_seconds`, less up to a quarter of it by chance. "
        "`agent_lost` is tried again at once, with another agent first if there is one. After "
        "`usage_limit` the agents of the account rest until the reset, and the attempt does not "
        "count; nor does it after `day_budget_exceeded`, which is tried again on the next day. "
        "`!fleet retry` forgets the attempts so far, and gives a fresh budget.",
        "## As a picture",
        block(_diagram(), "mermaid"),
        "Whether a reason allows a retry: [reasons](reasons.md). What an event carries: "
        "[events](events.md).",
    )


def _transition(rule: Rule) -> tuple[str, str, str, str]:
    target = code(rule.target) if rule.target else "the same"
    return codes(rule.sources) or "nothing", code(ev.event_type(rule.event)), target, rule.note


def _diagram() -> str:
    arrows: dict[tuple[str, str], list[str]] = {}
    for rule in TABLE:
        for source in rule.sources or ("[*]",):
            if rule.target:
                name = ev.event_type(rule.event).removeprefix("task.")
                names = arrows.setdefault((source, rule.target), [])
                names += [name] if name not in names else []
    lines = [f"    {a} --> {b}: {', '.join(names)}" for (a, b), names in arrows.items()]
    return "\n".join(["stateDiagram-v2", *lines])


def reasons() -> str:
    """`reasons.md`."""
    return page(
        "Reason codes",
        "Why a task failed, waits or was cancelled. `!fleet why <issue>` and the comment on the "
        "issue say it in words. *Tried again* by itself happens up to `retry.max_attempts` times.",
        table(
            ("code", "meaning", "tried again", "what helps", "said by"),
            map(_reason, ReasonCode),
        ),
    )


def _reason(reason: ReasonCode) -> tuple[str, ...]:
    its = REASONS[reason]
    by = "agents" if reason in REASONS_OF_AGENTS else "fleetbot"
    if reason in (ReasonCode.TIMEOUT, ReasonCode.BUDGET_EXCEEDED):
        by = "agents, fleetbot"
    return code(reason), its.text, "yes" if its.retry_helps else "no", its.advice, by


def events() -> str:
    """`events.md`."""
    kinds = (*ev.TASK_EVENTS, *ev.AGENT_EVENTS, *ev.FLEET_EVENTS)
    components = schemas(kinds)
    line = prose(inspect.cleandoc(ev.Recorded.__doc__ or "").partition("\n\n")[2])
    return page(
        "Events",
        "The journal is the truth; every table beside it can be rebuilt from it. Read it at "
        "`GET /api/v1/tasks/{task}/events`, or follow it at `GET /api/v1/events` "
        "([HTTP](http.md)).",
        f"A line has `seq`, `stream`, `version`, `at`, `actor`, `cause`, and its event. {line}",
        "Fields that have their default are left out. Times are in milliseconds since the "
        "beginning of 1970.",
        "## Of tasks",
        *_events(ev.TASK_EVENTS, components),
        "## Of agents",
        *_events(ev.AGENT_EVENTS, components),
        "## Of the fleet",
        *_events(ev.FLEET_EVENTS, components),
        "## Values in them",
        *sections(components, skip=[kind.__name__ for kind in kinds]),
    )


def _events(kinds: Iterable[type[ev.Event]], components: Mapping[str, Shape]) -> Iterator[str]:
    for kind in kinds:
        shape = components[kind.__name__]
        properties = {k: v for k, v in shape["properties"].items() if k != "type"}
        yield f"### {ev.event_type(kind)}"
        yield prose(kind.__dict__.get("__doc__"))
        yield fields({**shape, "properties": properties})
