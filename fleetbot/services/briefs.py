"""The briefs of rounds: kept whole in the journal, given out with the runs."""

from __future__ import annotations

import msgspec

from fleetbot import wire
from fleetbot.domain import events as ev
from fleetbot.domain.model import Task, TaskId
from fleetbot.domain.pulls import Brief, Words
from fleetbot.domain.state import task_stream
from fleetbot.services.fleet import Fleet
from fleetbot.store.interface import Store


async def brief_of(fleet: Fleet, task_id: TaskId) -> wire.RoundBrief | None:
    """What the task's round is about, as its runner is told; None where it is in none."""
    task = fleet.state.tasks[task_id]
    brief = await kept_brief(fleet, task)
    if brief is None or task.round is None or task.pull is None:
        return None
    return wire.RoundBrief(
        number=task.round.number,
        kinds=brief.kinds,
        pull_request=task.pull.number,
        head=brief.head,
        words=tuple(_said(one) for one in brief.words if one.text.strip() or not brief.threads),
        threads=tuple(
            wire.ReviewThread(
                id=thread.id,
                path=thread.path,
                line=thread.line,
                words=tuple(map(_said, thread.words)),
                hunk=thread.hunk,
                url=thread.url,
            )
            for thread in brief.threads
        ),
        checks=msgspec.convert(brief.checks, tuple[wire.FailedCheck, ...], from_attributes=True),
        base=brief.base,
        base_head=brief.base_head,
    )


async def kept_brief(fleet: Fleet, task: Task) -> Brief | None:
    """The brief of the task's round, from the journal. Raises `StoreUnavailable`, `Unreadable`."""
    if task.round is None:
        return None
    return await brief_at(fleet.store, task.id, task.round.said)


async def brief_at(store: Store, task: TaskId, seq: int) -> Brief:
    """The brief that the line `seq` of the journal begins a round with."""
    (line,) = await store.events(task_stream(task), after=seq - 1, limit=1)
    assert isinstance(line.event, ev.TaskRequeued)  # rounds begin with nothing else
    assert line.event.brief is not None
    return line.event.brief


def _said(words: Words) -> wire.SaidWords:
    return wire.SaidWords(
        author=words.author,
        text=words.text,
        may_write=bool(words.may_write),
        at=words.at,
        url=words.url,
    )
