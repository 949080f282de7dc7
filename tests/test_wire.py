"""What a message says to a reader of another version."""

from __future__ import annotations

import msgspec
import pytest

from fleetbot.domain.model import RunState
from fleetbot.domain.reasons import ReasonCode
from fleetbot.wire import (
    ASK_BYTES,
    SUPERSEDED,
    AskRequest,
    CancelOrder,
    LineKind,
    LogLine,
    RunAnswer,
)


def test_a_line_of_a_kind_that_only_newer_runners_know_is_output() -> None:
    line = msgspec.json.decode(b'{"at": 1, "text": "Hm.", "kind": "thinking"}', type=LogLine)

    assert line.kind is LineKind.OUTPUT


@pytest.mark.parametrize(
    ("message", "field", "values"),
    [
        (RunAnswer, "state", {*RunState}),
        (CancelOrder, "reason", {*ReasonCode, SUPERSEDED}),
    ],
)
def test_a_newer_orchestrators_word_is_read_though_the_description_is_closed(
    message: type[msgspec.Struct], field: str, values: set[str]
) -> None:
    fields = dict.fromkeys(message.__struct_fields__, "new")

    read = msgspec.convert(fields, message)

    assert getattr(read, field) == "new"
    _, components = msgspec.json.schema_components([message])
    assert set(components[message.__name__]["properties"][field]["enum"]) == values


def test_a_question_of_any_size_is_refused_above_a_bound() -> None:
    def question(characters: int) -> bytes:
        request = {"command": "x" * (characters - len('{"command":""}'))}
        return msgspec.json.encode(
            {"id": "1", "kind": "question", "title": "?", "request": request}
        )

    msgspec.json.decode(question(ASK_BYTES), type=AskRequest)

    with pytest.raises(msgspec.ValidationError, match="request has 16385 bytes"):
        msgspec.json.decode(question(ASK_BYTES + 1), type=AskRequest)
