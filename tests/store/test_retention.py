"""What is over is let go of after a while; what goes on, and the journal, stays."""

from __future__ import annotations

import pytest

from fleetbot.domain import events as ev
from fleetbot.domain.model import RunId
from fleetbot.domain.reasons import ReasonCode
from fleetbot.store.audit import examine
from fleetbot.store.interface import Store
from fleetbot.store.records import Anchor, Change, LogChunk, LogLine
from tests.store.history import AGENT, History

ROOM = "!room:example.org"
LONG = 10**9


@pytest.fixture
async def logs(store: Store, history: History) -> None:
    """One run has ended, one goes on; each has a log, a page in a room and a status comment."""
    await store.append(history.registered())
    for change in history.story("done"):
        await store.append(change)
    for change in (history.created("doing"), history.assigned("doing", "doing-run")):
        await store.append(change)
    for task in ("done", "doing"):
        run = RunId(f"{task}-run")
        lines = (LogLine(at=1, kind="out", text="one"), LogLine(at=2, kind="out", text="two"))
        await store.append_log(LogChunk(run=run, offset=0, lines=lines))
        keys = (
            f"log:{ROOM}:{run}",
            f"run:{ROOM}:{run}",
            f"said:message:{run}",
            f"forgejo:comment:{task}",
        )
        anchors = [Anchor(key=key, value="x") for key in (*keys, f"task-thread:{ROOM}:{task}")]
        anchors.append(Anchor(key=f"thread-run:{ROOM}:${task}", value=run))
        await store.append(Change(anchors=tuple(anchors)))
    threads = (f"thread:{ROOM}:{AGENT}", f"logs:{AGENT}")
    await store.append(Change(anchors=tuple(Anchor(key=key, value="[]") for key in threads)))


async def kept(store: Store, *keys: str) -> list[str]:
    return [key for key in keys if await store.anchor(key) is not None]


@pytest.mark.usefixtures("logs")
async def test_old_logs_of_runs_that_have_ended_go_with_what_was_remembered_of_them(
    store: Store,
) -> None:
    assert await store.prune_logs(LONG) == 2

    assert await store.log_lines(RunId("done-run")) == []
    assert len(await store.log_lines(RunId("doing-run"))) == 2
    pages = (f"log:{ROOM}:done-run", f"log:{ROOM}:doing-run")
    comments = ("forgejo:comment:done", "forgejo:comment:doing")
    assert await kept(store, *pages, *comments) == [pages[1], comments[1]]
    places = [
        f"{kind}{end}"
        for end in ("done", "doing")
        for kind in (f"task-thread:{ROOM}:", f"thread-run:{ROOM}:$")
    ]
    begun = (f"run:{ROOM}:done-run", f"run:{ROOM}:doing-run")
    words = ("said:message:done-run", "said:message:doing-run")
    assert await kept(store, *places, *begun, *words) == [*places[2:], begun[1], words[1]]
    assert await examine(store) == []
    assert await store.prune_logs(LONG) == 0


@pytest.mark.usefixtures("logs")
async def test_what_ended_not_long_ago_stays(store: Store) -> None:
    assert await store.prune_logs(1_000) == 0

    assert len(await store.log_lines(RunId("done-run"))) == 2
    assert await store.anchor(f"log:{ROOM}:done-run") == "x"
    assert await store.anchor("forgejo:comment:done") == "x"


@pytest.mark.usefixtures("logs")
async def test_the_thread_of_an_agent_goes_when_it_is_forgotten(
    store: Store, history: History
) -> None:
    threads = (f"thread:{ROOM}:{AGENT}", f"logs:{AGENT}")
    await store.append(history.agent_event(AGENT, ev.AgentRevoked()))
    await store.prune_logs(LONG)
    assert await kept(store, *threads) == list(threads)

    lost = ev.TaskAgentLost(run=RunId("doing-run"), reason=ReasonCode.AGENT_REVOKED)
    await store.append(history.task_event("doing", lost))
    await store.append(history.agent_event(AGENT, ev.AgentForgotten()))
    await store.prune_logs(LONG)
    assert await kept(store, *threads) == []


async def test_logs_of_a_forgotten_agent_that_are_still_to_be_written_are_remembered(
    store: Store, history: History
) -> None:
    await store.append(history.registered())
    await store.append(history.agent_event(AGENT, ev.AgentRevoked()))
    await store.append(history.agent_event(AGENT, ev.AgentForgotten()))
    await store.append(Change(anchors=(Anchor(key=f"logs:{AGENT}", value='["r1"]'),)))
    await store.prune_logs(LONG)
    assert await store.anchor(f"logs:{AGENT}") == '["r1"]'


async def test_of_waits_only_those_are_remembered_that_go_on(store: Store) -> None:
    over, on = f"stuck:{ROOM}:next:claude-1", f"stuck:{ROOM}:nobody_can:gpu"
    await store.append(Change(anchors=(Anchor(key=over, value=""), Anchor(key=on, value="{}"))))
    await store.prune_logs(LONG)
    assert await kept(store, over, on) == [on]


async def test_many_logs_go_in_portions(store: Store, history: History) -> None:
    await store.append(history.registered())
    for number in range(50):
        for change in history.story(f"t{number}"):
            await store.append(change)
        line = (LogLine(at=1, kind="out", text="one"),)
        await store.append_log(LogChunk(run=RunId(f"t{number}-run"), offset=0, lines=line))

    assert await store.prune_logs(LONG) == 50
