"""States, reasons and events, out of the domain."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Mapping

from fleetbot.domain import events as ev
from fleetbot.domain.faults import IN_A_ROW
from fleetbot.domain.lifecycle import TABLE, Rule
from fleetbot.domain.model import Policy, TaskState
from fleetbot.domain.patience import with_fault, with_owner
from fleetbot.domain.reasons import REASONS, REASONS_OF_AGENTS, Owner, ReasonCode
from fleetbot.domain.upcasts import SCHEMA
from fleetbot_devkit.docs.markdown import block, code, codes, page, prose, table
from fleetbot_devkit.docs.schema import Shape, fields, schemas, sections

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
        "Only what the task itself is to blame for counts as an attempt. After the fault of an "
        "agent, an account, a provider, the forge or the runner the task goes back to the queue "
        "uncounted, as often as [reasons](reasons.md) says; an agent's fault sends it elsewhere "
        "first. `day_budget_exceeded` is tried again when the fleet goes on. `!fleet retry` "
        "forgets the attempts so far, and gives a fresh budget.",
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


_FOLLOWS = {
    Owner.TASK: "counts as an attempt; tried again by itself where that can help, up to "
    "`retry.max_attempts` times",
    Owner.AGENT: "the agent is unwell: it is given nothing until its check passes and it "
    f"registers again. {IN_A_ROW} faults without a receipt between them, or tasks that it did "
    "not acknowledge, set it aside, with growing pauses. One that is gone needs nothing of it",
    Owner.ACCOUNT: "all agents of the account rest: until the reset and one to three minutes "
    "more, or with growing pauses where no reset is known",
    Owner.PROVIDER: "all agents of the account rest, with growing pauses",
    Owner.FORGE: "all agents of the machine rest, with growing pauses; so does the task",
    Owner.RUNNER: f"a bug. {IN_A_ROW} in a row set the agent aside, with growing pauses",
}


def reasons() -> str:
    """`reasons.md`."""
    owners = ((code(owner), _FOLLOWS[owner], _pauses(owner)) for owner in Owner)
    return page(
        "Reason codes",
        "Why a task failed, waits or was cancelled. `!fleet why <issue>` and the comment on the "
        "issue say it in words. Each has an owner: whose fault it is decides what follows.",
        "## Owners",
        table(("owner", "what follows", "pauses"), owners),
        "What the task does not own costs it no attempt: it is *excused*, as often as the last "
        "column of the next table says since a person last asked for it. After that it counts "
        "like the task's own, so that nothing goes on for ever. Pauses are never longer than "
        "`retry.cap_seconds`, and begin at `retry.base_seconds` where that is shorter.",
        "## Codes",
        table(
            ("code", "meaning", "owner", "what helps", "said by", "tried again"),
            map(_reason, ReasonCode),
        ),
    )


def _pauses(owner: Owner) -> str:
    its = with_owner(owner)
    return f"{its.base_ms // 1000} s to {its.cap_ms // 60_000} min" if its else "as configured"


def _reason(reason: ReasonCode) -> tuple[str, ...]:
    its = REASONS[reason]
    by = "agents" if reason in REASONS_OF_AGENTS else "fleetbot"
    if reason in (ReasonCode.TIMEOUT, ReasonCode.BUDGET_EXCEEDED):
        by = "agents, fleetbot"
    return code(reason), its.text, its.owner, its.advice, by, _again(reason)


def _again(reason: ReasonCode) -> str:
    its = REASONS[reason]
    if reason is ReasonCode.DAY_BUDGET_EXCEEDED:
        return "when the fleet goes on"
    if its.owner is Owner.TASK:
        return "yes" if its.retry_helps else "no"
    return f"uncounted, {with_fault(reason, Policy()).give_up} times"


def events() -> str:
    """`events.md`."""
    kinds = (*ev.TASK_EVENTS, *ev.AGENT_EVENTS, *ev.FLEET_EVENTS, *ev.REPO_EVENTS)
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
        f"Lines are written with schema {SCHEMA}; in the database each has the number of its own. "
        "Older ones are brought up to date when they are read, so that here all are alike.",
        "## Of tasks",
        *_events(ev.TASK_EVENTS, components),
        "## Of agents",
        *_events(ev.AGENT_EVENTS, components),
        "## Of the fleet",
        *_events(ev.FLEET_EVENTS, components),
        "## Of repositories",
        *_events(ev.REPO_EVENTS, components),
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
