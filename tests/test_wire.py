"""What a message says to a reader of another version."""

from __future__ import annotations

from math import inf, nan

import msgspec
import pytest

from fleetbot.domain.machine import MachineFacts
from fleetbot.domain.model import RunState
from fleetbot.domain.reasons import ReasonCode
from fleetbot.domain.usage import Usage
from fleetbot.wire import (
    ASK_BYTES,
    ASK_DEPTH,
    SUPERSEDED,
    AskRequest,
    CancelOrder,
    HeartbeatRequest,
    LineKind,
    LogLine,
    MachineReport,
    RunAnswer,
    UsageReport,
)
from fleetbot.wire.retry_after import retry_after


def test_a_line_of_a_kind_that_only_newer_runners_know_is_output() -> None:
    line = msgspec.json.decode(b'{"at": 1, "text": "Hm.", "kind": "thinking"}', type=LogLine)

    assert line.kind is LineKind.OUTPUT


def test_what_only_newer_runners_tell_of_a_machine_is_left_out() -> None:
    read = msgspec.json.decode(b'{"machine": {"git": "2.43.0", "gpu": "2"}}', type=HeartbeatRequest)

    assert read.machine is not None
    assert read.machine.machine == MachineFacts(git="2.43.0")
    assert MachineReport.of(read.machine.machine) == read.machine


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


def test_a_question_nested_too_deeply_for_later_readers_is_refused() -> None:
    def question(depth: int) -> bytes:
        request = '{"x":' * depth + "[1]" + "}" * depth
        return f'{{"id":"1","kind":"question","title":"?","request":{request}}}'.encode()

    msgspec.json.decode(question(ASK_DEPTH - 1), type=AskRequest)

    with pytest.raises(msgspec.ValidationError, match="nested more than 32 deep"):
        msgspec.json.decode(question(ASK_DEPTH), type=AskRequest)


# what a run used


@pytest.mark.parametrize(
    "told",
    [
        '{"input_tokens":1000000000001}',
        '{"output_tokens":-1}',
        '{"cached_tokens":9007199254740992}',
        '{"cost_usd":1000001}',
        '{"cost_usd":-0.01}',
        '{"cost_usd":1e999}',
        '{"cost_usd":NaN}',
    ],
)
def test_no_run_uses_so_much_or_less_than_nothing(told: str) -> None:
    with pytest.raises(msgspec.DecodeError):
        msgspec.json.decode(told, type=UsageReport)


@pytest.mark.parametrize(
    ("said", "sent"),
    [
        (Usage(input_tokens=2**70, cost_usd=inf), UsageReport(input_tokens=10**12, cost_usd=1e6)),
        (Usage(output_tokens=-5, cost_usd=-1.0), UsageReport(cost_usd=0)),
        (Usage(cached_tokens=7, cost_usd=nan), UsageReport(cached_tokens=7)),
        (Usage(), UsageReport()),
    ],
)
def test_a_program_that_miscounts_does_not_lose_its_run(said: Usage, sent: UsageReport) -> None:
    report = UsageReport.of(said)

    assert report == sent
    assert msgspec.json.decode(msgspec.json.encode(report), type=UsageReport) == report


NOW = "Thu, 26 Nov 2026 07:00:00 GMT"


@pytest.mark.parametrize(
    ("value", "date", "seconds"),
    [
        ("120", None, 120),
        (" 7 ", NOW, 7),
        ("Thu, 26 Nov 2026 07:02:00 GMT", NOW, 120),
        ("Thu, 26 Nov 2026 06:00:00 GMT", NOW, 0),
        ("1000000000", NOW, 3600),
        ("9" * 5000, NOW, 3600),
        ("Thu, 26 Nov 2099 07:02:00 GMT", NOW, 3600),
        ("Thu, 26 Nov 2026 07:02:00 GMT", None, None),
        ("Thu, 26 Nov 2026 07:02:00 GMT", "yesterday", None),
        ("soon", NOW, None),
        ("-5", NOW, None),
        ("\u0663", NOW, None),
        ("", NOW, None),
    ],
)
def test_a_server_says_in_seconds_or_by_its_clock_when_to_come_back(
    value: str, date: str | None, seconds: float | None
) -> None:
    headers = {"Retry-After": value} | ({"Date": date} if date else {})
    assert retry_after(headers) == seconds
