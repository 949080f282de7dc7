"""What is wrong with a request is said in words, with its place and the way out."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from yarl import URL

from fleetbot import wire
from fleetbot.web.decoding import decode_json, decode_query
from fleetbot.web.problems import Refusal
from fleetbot.web.tasks import TasksQuery
from fleetbot.web.usage import UsageQuery
from tests.nasty import spoiled

CLAUDE = {"name": "claude-1", "adapter": "command"}


@pytest.mark.parametrize(
    ("message", "body", "words"),
    [
        (wire.RegisterRequest, [], "The body must be a JSON object, not a list."),
        (wire.RegisterRequest, {"name": "a"}, "adapter is missing: give it."),
        (
            wire.RegisterRequest,
            CLAUDE | {"name": "A"},
            "name must be 1 to 40 of a-z 0-9 . _ -, beginning and ending with a letter or digit.",
        ),
        (
            wire.RegisterRequest,
            CLAUDE | {"capabilities": ["ok", "Not Ok"]},
            "capabilities[1] must be 1 to 40 of a-z 0-9 . _ + # -.",
        ),
        (
            wire.RegisterRequest,
            CLAUDE | {"max_concurrency": 65},
            "max_concurrency must be a whole number, at least 1 and at most 64.",
        ),
        (
            wire.RegisterRequest,
            CLAUDE | {"host": "h" * 201},
            "host must be text, of a length of at most 200.",
        ),
        (
            wire.HeartbeatRequest,
            {"run": []},
            "run is not known here; known: runs, usage, machine, files.",
        ),
        (
            wire.HeartbeatRequest,
            {"runs": "r1"},
            "runs must be a list, of a length of at most 64, not text.",
        ),
        (
            wire.LogRequest,
            {"offset": 0, "lines": [{"at": 1}]},
            "lines[0].text is missing: give it.",
        ),
        (
            wire.FailRequest,
            {"reason": "timeout", "until": -1},
            "until must be a whole number, at least 0 and at most 9007199254740992 "
            "(milliseconds since the beginning of 1970).",
        ),
        (
            wire.HeartbeatRequest,
            {"usage": {"r1": {"input_tokens": 2**53}}},
            "usage[...].input_tokens must be a whole number, at least 0 and at most 1000000000000.",
        ),
        (
            wire.FailRequest,
            {"reason": "timeout", "usage": {"cost_usd": 2e6}},
            "usage.cost_usd must be a number, at least 0 and at most 1000000.",
        ),
        (
            wire.AskRequest,
            {"id": "1", "kind": "question", "title": "?", "request": {"x": "y" * 16_384}},
            "request has 16392 bytes of JSON; 16384 are the most.",
        ),
        (wire.AnswerRequest, {"behavior": "maybe"}, "behavior must be one of allow, always, deny."),
    ],
)
def test_a_wrong_body_is_explained(message: type, body: object, words: str) -> None:
    with pytest.raises(Refusal) as refusal:
        decode_json(json.dumps(body).encode(), message)

    assert str(refusal.value) == words


@pytest.mark.parametrize(
    ("query", "words"),
    [
        (
            "limit=0",
            "limit must be a whole number, at least 1 and at most 500 (how many to give).",
        ),
        ("repo=app", "repo must be owner/name."),
        ("limit=1&limit=2", "limit is given 2 times: give it once."),
        ("=2", '"" is not known here; known: state, repo, agent, limit, before.'),
        ("page=2", "page is not known here; known: state, repo, agent, limit, before."),
    ],
)
def test_a_wrong_parameter_is_explained(query: str, words: str) -> None:
    with pytest.raises(Refusal) as refusal:
        decode_query(URL(f"?{query}").query, TasksQuery, {"state"})

    assert str(refusal.value) == words


@pytest.mark.parametrize("said", ["null", "NULL"])
def test_a_parameter_that_is_left_out_is_not_called_null(said: str) -> None:
    with pytest.raises(Refusal, match="until must be a whole number, at least 0"):
        decode_query(URL(f"?until={said}").query, UsageQuery, ())


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"{", "input data was truncated"),
        (b"{,}", "object keys must be strings (byte 1)"),
        (b'{"name": "\xff"}', "it is not UTF-8"),
    ],
)
def test_what_is_not_json_is_explained(body: bytes, why: str) -> None:
    with pytest.raises(Refusal) as refusal:
        decode_json(body, wire.RegisterRequest)

    assert str(refusal.value) == f"The body is not JSON in UTF-8: {why}."


def test_a_repeated_parameter_gathers_its_values() -> None:
    query = decode_query(URL("?state=created&state=failed").query, TasksQuery, {"state"})

    assert query.state == ("created", "failed")


USED = {"input_tokens": 1, "output_tokens": 2, "cost_usd": 0.5}
GOOD: dict[type, dict[str, object]] = {
    wire.RegisterRequest: CLAUDE | {"health": [{"name": "login", "ok": True, "detail": "in"}]},
    wire.HeartbeatRequest: {
        "runs": ["r"],
        "usage": {"r": USED},
        "machine": {"git": "2.43.0"},
        "files": {"r": ["a.py"]},
    },
    wire.LogRequest: {"offset": 0, "lines": [{"at": 1, "text": "Hm.", "kind": "stderr"}]},
    wire.FailRequest: {"reason": "timeout", "detail": "late", "usage": USED, "until": 5},
    wire.AskRequest: {"id": "q", "kind": "question", "title": "?", "request": {"a": [{"b": 1}]}},
    wire.ReceiptRequest: {
        "run": "r",
        "pull_request": 7,
        "branch": "fleet/7",
        "head": "a" * 40,
        "usage": USED,
        "replies": [{"thread": 1, "answer": "fixed", "commit": "abcdef1"}],
    },
}


@settings(max_examples=120)
@given(kind=st.sampled_from([*GOOD]), data=st.data())
def test_whatever_an_agent_sends_is_understood_or_refused_in_words(
    kind: type, data: st.DataObject
) -> None:
    assert isinstance(decode_json(json.dumps(GOOD[kind]).encode(), kind), kind)
    said, wrong = data.draw(spoiled(GOOD[kind])), None
    try:
        message: Any = decode_json(said, kind)
        assert msgspec.json.decode(msgspec.json.encode(message), type=kind) == message
    except Refusal as refused:
        wrong = refused

    if wrong:
        assert str(wrong).endswith(".")
        assert len(msgspec.json.encode(wrong.problem)) < 2000, "no echo of what was sent"
