"""Events on their way to the journal and back."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any, get_args, get_origin

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetbot.domain import events as ev
from fleetbot.domain import upcasts
from fleetbot.domain.draft import Draft
from fleetbot.domain.model import Agent, AgentStatus, FiledReceipt, Repo, Run, Task, TaskState
from fleetbot.domain.reasons import ReasonCode
from fleetbot.domain.state import FleetState, agent_stream, task_stream
from fleetbot.domain.upcasts import SCHEMA
from fleetbot.domain.usage import Usage
from tests.domain.builders import A1, R1, T1, running
from tests.nasty import spoiled

KINDS = (*ev.TASK_EVENTS, *ev.AGENT_EVENTS, *ev.FLEET_EVENTS)
MOST = 2**53  # what JSON of other programs still holds exactly


def made_of(kind: Any) -> st.SearchStrategy[Any]:
    """Any value of a type that events are made of."""
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        fields = {f.encode_name: made_of(f.type) for f in msgspec.structs.fields(kind)}
        return st.fixed_dictionaries(fields).map(lambda values: kind(**values))
    inner = get_args(kind)
    if get_origin(kind) is tuple:
        return st.lists(made_of(inner[0]), max_size=3).map(tuple)
    if get_origin(kind) is dict:  # an agent program's own JSON
        return st.dictionaries(st.text(max_size=5), st.text(max_size=5) | st.integers(), max_size=3)
    if type(None) in inner:
        return st.one_of(*map(made_of, inner))
    if kind is int:
        return st.integers(0, MOST) | st.integers(-MOST, MOST) | st.integers()
    if kind is float:
        return st.floats(0, 1e9) | st.floats(allow_nan=False, allow_infinity=False)
    if kind is str or getattr(kind, "__supertype__", None) is str:
        return st.text(max_size=20)
    return st.from_type(kind)


@pytest.mark.parametrize("kind", KINDS, ids=ev.event_type)
@given(data=st.data())
def test_every_event_comes_back_as_it_went(kind: type[ev.Event], data: st.DataObject) -> None:
    event = data.draw(made_of(kind))
    line = ev.encode(event)
    assert ev.decode(line) == event
    assert ev.decode(line.decode()) == event
    assert ev.encode(ev.decode(line)) == line, "the hash chain needs one form only"


KEPT = [
    json.loads("{" + line.partition("{")[2])
    for line in (Path(__file__).parents[1] / "data" / "journal-0.1.txt").read_text().splitlines()
    if "{" in line
]


@given(data=st.data(), schema=st.sampled_from([1, SCHEMA, SCHEMA + 1]))
def test_a_line_that_somebody_wrote_into_is_read_or_said_to_be_unreadable(
    data: st.DataObject, schema: int
) -> None:
    line = data.draw(spoiled(data.draw(st.sampled_from(KEPT))))
    with suppress(msgspec.DecodeError):
        assert ev.encode(ev.decode(line, schema))


def test_names_are_unique_and_say_whose_event_it_is() -> None:
    names = [ev.event_type(kind) for kind in KINDS]
    assert len(set(names)) == len(names)
    assert all(
        n.split(".")[0] in ("task", "receipt", "run", "pull") for n in names[: len(ev.TASK_EVENTS)]
    )
    assert all(n.split(".")[0] in ("agent", "fleet") for n in names[len(ev.TASK_EVENTS) :])


def test_the_name_is_in_the_line() -> None:
    assert json.loads(ev.encode(ev.AgentOnline())) == {"type": "agent.online"}


@pytest.mark.parametrize(
    "line",
    [b"", b"[]", b"{}", b'{"type":"task.forgotten"}', b'{"type":"task.started"}', b"\xff"],
)
def test_a_line_that_is_no_event_is_refused(line: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        ev.decode(line)


def test_nothing_that_is_kept_has_a_limit() -> None:
    """Who would be told? Limits are for what comes in, where its sender hears of them."""
    kept = (*KINDS, Task, Run, Agent, FiledReceipt, Repo)
    _, shapes = msgspec.json.schema_components(kept)
    limits = ("minimum", "maximum", "exclusiveM", "minL", "maxL", "minI", "maxI", "pattern")
    limited = [
        f"{name}.{field}"
        for name, shape in shapes.items()
        for field, its in shape.get("properties", {}).items()
        if any(limit in key for key in str(its).split("'") for limit in limits)
    ]
    assert limited == []


def test_an_event_cannot_be_changed() -> None:
    event = ev.AgentParked(until=1, reason=ReasonCode.USAGE_LIMIT)
    with pytest.raises(AttributeError, match="immutable"):
        event.until = 2  # type: ignore[misc]  # what is being tried


# lines of an earlier schema


def test_a_question_of_before_its_request_was_json_is_read_as_one_of_today() -> None:
    line = (
        '{"type":"run.asked","run":"r1","ask":"q1","kind":"permission","title":"May it?",'
        '"expires_at":9000,"request":"{\\"command\\":\\"make \\\\\\"all\\\\\\"\\"}"}'
    )
    event = ev.decode(line, schema=1)
    assert isinstance(event, ev.RunAsked)
    assert event.request == {"command": 'make "all"'}
    assert ev.decode(ev.encode(event)) == event


def test_a_question_that_was_nested_too_deeply_to_be_followed_is_read_as_its_text() -> None:
    request = '{"x":' * 2_000 + "{}" + "}" * 2_000
    line = {"type": "run.asked", "run": "r1", "ask": "q1", "kind": "question", "title": "?"}
    old = msgspec.json.encode({**line, "expires_at": 1, "request": request})
    event = ev.decode(old, schema=1)
    assert isinstance(event, ev.RunAsked)
    assert event.request == {"text": request}


@pytest.mark.parametrize(("stream", "line"), [("task:t1", '{"type":"agent.online"}')])
def test_a_line_that_did_not_change_is_read_as_it_is(stream: str, line: str) -> None:
    assert ev.decode(line, schema=1) == ev.decode(line) == ev.AgentOnline()


def test_each_step_of_a_long_way_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    steps = {1: {"a": _adds("one")}, 3: {"a": _adds("three"), "b": _adds("other")}}
    monkeypatch.setattr(upcasts, "UPCASTS", steps)
    monkeypatch.setattr(upcasts, "SCHEMA", 4)
    assert upcasts.upcast({"type": "a"}, 1) == {"type": "a", "one": True, "three": True}
    assert upcasts.upcast({"type": "a"}, 2) == {"type": "a", "three": True}
    assert upcasts.upcast({"type": "a"}, 4) == {"type": "a"}


def _adds(field: str) -> upcasts.Upcast:
    return lambda line: {**line, field: True}


@pytest.mark.parametrize("schema", [0, SCHEMA + 1])
def test_a_line_of_a_schema_that_is_not_known_is_refused_with_what_to_do(schema: int) -> None:
    with pytest.raises(msgspec.DecodeError, match=f"newer fleetbot wrote it, with schema {schema}"):
        ev.decode('{"type":"agent.online"}', schema)


@pytest.mark.parametrize("line", [b"", b"[]", b"{}", b'"x"', b'{"type":"run.asked"}'])
def test_an_old_line_that_is_no_event_is_refused(line: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        ev.decode(line, schema=1)


# lines from before a field was added


def test_lines_of_before_there_were_owners_are_read_as_they_were_meant() -> None:
    parked = ev.decode('{"type":"agent.parked","until":5,"reason":"usage_limit"}')
    assert parked == ev.AgentParked(until=5, reason=ReasonCode.USAGE_LIMIT)
    again = ev.decode('{"type":"task.requeued","reason":"usage_limit","uncounted":true}')
    assert again == ev.TaskRequeued(reason=ReasonCode.USAGE_LIMIT, uncounted=True)
    assert again.excuse == 0


def test_a_journal_of_before_there_were_owners_folds() -> None:
    world = running()
    world.record(Draft(agent_stream(A1), ev.AgentParked(until=5, reason=ReasonCode.USAGE_LIMIT)))
    world.record(Draft(task_stream(T1), ev.TaskFailed(run=R1, reason=ReasonCode.USAGE_LIMIT)))
    requeued = ev.TaskRequeued(reason=ReasonCode.USAGE_LIMIT, uncounted=True)
    world.record(Draft(task_stream(T1), requeued))
    assert (world.task().attempt, world.task().excused) == (0, ())
    assert (world.agent().parked_for, world.agent().unwell) == (ReasonCode.USAGE_LIMIT, None)


def test_an_agent_as_it_was_kept_before_is_read() -> None:
    kept = b"""{"name":"claude-1","version":3,"adapter":"command","status":"online",
        "registered_at":1,"parked_until":9,"draining":true}"""
    agent = msgspec.json.decode(kept, type=Agent)
    assert (agent.parked_until, agent.parked_for, agent.unwell) == (9, None, None)


OLD_JOURNAL = Path(__file__).parents[1] / "data" / "journal-0.1.txt"
"""One line of each kind as 0.1 wrote them: the stream, and the event."""


def old_lines() -> list[tuple[str, str]]:
    lines = OLD_JOURNAL.read_text().splitlines()
    return [(stream, line) for stream, _, line in (line.partition(" ") for line in lines)]


@pytest.mark.parametrize(("stream", "line"), old_lines())
def test_what_the_first_version_wrote_is_read_and_would_be_written_so_again(
    stream: str, line: str
) -> None:
    assert ev.encode(ev.decode(line, schema=1)).decode() == line, f"{stream} changes its meaning"


def test_a_journal_of_the_first_version_leads_to_where_it_led_then() -> None:
    state = FleetState()
    for seq, (stream, line) in enumerate(old_lines(), 1):
        recorded = ev.Recorded(
            seq=seq,
            stream=stream,
            version=state.version(stream) + 1,
            at=1_000 + seq,
            actor="timer",
            cause="",
            event=ev.decode(line, schema=1),
        )
        state.apply(recorded)

    task, agent = state.tasks[T1], state.agents[A1]
    assert (task.state, task.receipt, task.attempt) == (TaskState.COMPLETED, "c2", 2)
    assert task.spent == Usage(
        input_tokens=2000, output_tokens=400, cached_tokens=100, cost_usd=0.5
    )
    assert [run.number for run in state.runs.values() if run.task == T1] == [1, 2, 3]
    assert agent.status is AgentStatus.DEREGISTERED
    assert agent.unwell is None
    assert agent.faults == 0
