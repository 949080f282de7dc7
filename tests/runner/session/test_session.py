"""What the session does for every program, seen on small commands; and its mask."""

from __future__ import annotations

import sys
from typing import Any

import msgspec
import pytest

from fleetbot.domain.reasons import ReasonCode
from fleetbot.runner.adapters import (
    Event,
    Finished,
    LimitReached,
    Limits,
    LogLine,
    PermissionDenial,
    Question,
    Session,
    SessionStarted,
    ToolUse,
    build,
)
from fleetbot.runner.sandbox.masking import Masker
from fleetbot.runner.sandbox.process import survivors
from fleetbot.runner.session.masked import TEXT_LIMIT, fit, masked
from tests.runner.adapters.harness import RUN, Place, collect, end, of


async def launched(place: Place, *argv: str, prompt: str = "file", **settings: Any) -> Session:
    adapter = build("command", {"argv": list(argv), "prompt": prompt})
    return await adapter.launch(place.spec("the prompt", **settings))


@pytest.mark.parametrize(
    ("prompt", "script"),
    [
        ("file", 'cat "$FLEETBOT_PROMPT_FILE"; echo'),
        ("stdin", "cat; echo"),
        ("argument", 'echo "$0"'),
    ],
)
async def test_a_command_gets_its_prompt_the_way_it_wants(
    place: Place, prompt: str, script: str
) -> None:
    events = await collect(await launched(place, "sh", "-c", script, prompt=prompt))

    assert end(events) == Finished(outcome="done", summary="the prompt")
    assert not list(place.home.glob("prompt-*"))


async def test_a_prompt_too_long_for_an_argument_is_refused(place: Place) -> None:
    adapter = build("command", {"argv": ["echo"], "prompt": "argument"})

    last = end(await collect(await adapter.launch(place.spec("x" * 200_000))))

    assert last.outcome == "failed"
    assert "set prompt to 'file'" in last.detail


async def test_output_of_both_streams_is_logged_with_its_kind(place: Place) -> None:
    events = await collect(await launched(place, "sh", "-c", "echo out; echo err >&2"))

    assert {(line.text, line.kind) for line in of(events, LogLine)} == {
        ("out", "assistant"),
        ("err", "stderr"),
    }


async def test_a_long_line_of_the_log_is_cut(place: Place) -> None:
    events = await collect(await launched(place, sys.executable, "-c", "print('x' * 10_000)"))

    assert of(events, LogLine)[0].text.endswith("x … [6000 more characters]")


async def test_a_flood_nobody_reads_does_not_fill_the_memory(place: Place) -> None:
    session = await launched(place, "yes", limits=Limits(wall_seconds=1, grace_seconds=1))
    await session.stop(ReasonCode.CANCELLED_BY_USER)

    events = await collect(session)

    assert end(events).outcome == "cancelled"
    assert len(events) <= 2001


async def test_a_full_mailbox_makes_the_program_wait_and_loses_nothing(place: Place) -> None:
    session = await launched(place, "seq", "1", "5000")

    lines = [line.text for line in of(await collect(session), LogLine)]

    assert lines == [str(number) for number in range(1, 5001)]


async def test_what_a_finished_command_left_running_is_ended(place: Place) -> None:
    last = end(await collect(await launched(place, "sh", "-c", "setsid tail -f /dev/null & :")))

    assert last.outcome == "done"
    assert survivors(RUN) == []


async def test_a_relative_program_is_looked_up_in_the_worktree(place: Place) -> None:
    (place.repo / "agent.sh").write_text("#!/bin/sh\necho from the repository\n")
    (place.repo / "agent.sh").chmod(0o755)
    adapter = build("command", {"argv": ["./agent.sh"]})
    spec = place.spec()

    assert end(await collect(await adapter.launch(spec))).summary == "from the repository"
    assert [line.ok for line in await adapter.check(spec.env, spec.home)] == [True]


async def test_a_missing_command_is_named(place: Place) -> None:
    adapter = build("command", {"argv": ["no-such-program"]})
    spec = place.spec()

    last = end(await collect(await adapter.launch(spec)))
    [health] = await adapter.check(spec.env, spec.home)

    assert last.reason is ReasonCode.PROGRAM_MISSING
    assert "no-such-program" in last.detail
    assert (health.ok, health.remedy) == (
        False,
        "install it, or correct argv in the agent's settings",
    )


async def test_an_odd_prompt_reaches_a_program_that_takes_it_as_an_argument(place: Place) -> None:
    adapter = build("command", {"argv": ["echo"], "prompt": "argument"})

    last = end(await collect(await adapter.launch(place.spec("half \ud83d, \0 and all"))))

    assert (last.outcome, last.summary) == ("done", "half \ufffd,  and all")


ODD = "half \ud83d, \0, \x1b[31mred\x1b[0m"
CLEAN = "half \ufffd, , red"


@pytest.mark.parametrize(
    "event",
    [
        LogLine(ODD, "assistant"),
        ToolUse(ODD, ODD),
        Question(id=ODD, kind="question", title=ODD, request={ODD: [ODD]}, options=(ODD,)),
        SessionStarted(ODD),
        LimitReached(ODD),
        Finished(outcome="done", summary=ODD, permission_denials=(PermissionDenial(ODD, ODD),)),
    ],
    ids=lambda event: type(event).__name__,
)
def test_every_text_of_every_event_can_be_written_down_and_shown(event: Event) -> None:
    written = msgspec.json.encode(fit(event, Masker({}))).decode()

    assert CLEAN in written
    assert not {"\0", "\x1b", "\\u0000", "\\u001b"} & set(written)


def test_a_request_as_deep_as_the_sea_can_be_written_down() -> None:
    request: dict[str, Any] = {}
    for _ in range(900):
        request = {"in": [request]}
    question = Question(id="1", kind="permission", title="x", request=request)

    fitting = fit(question, Masker({}))

    assert len(msgspec.json.encode(fitting)) < 1000
    assert isinstance(fitting, Question)
    assert fitting.cut


@pytest.mark.parametrize(
    ("command", "cut"),
    [
        ("make test\n\tand more", False),
        ("curl -H 'Authorization: Bearer abcdefghijklmnop'", False),  # a secret is no part of it
        ("rm -rf /\x1b[2K\rls", True),
        ("ls \ud83d", True),
        ("ls " + "x" * TEXT_LIMIT, True),
    ],
)
def test_a_request_that_cannot_be_shown_as_it_is_says_so(command: str, cut: bool) -> None:
    question = Question(id="1", kind="permission", title="x", request={"command": command})

    fitting = fit(question, Masker({}))

    assert isinstance(fitting, Question)
    assert fitting.cut is cut


# Secrets


@pytest.mark.parametrize(
    "secret",
    [
        "sk-ant-api03-abcdefghijklmnop",
        "ghp_abcdefghijklmnopqrstuvwxyz",
        "AKIAABCDEFGHIJKLMNOP",
        "a value of the run",
        "-----BEGIN OPENSSH PRIVATE KEY-----\nabc\n-----END OPENSSH PRIVATE KEY-----",
    ],
)
def test_secrets_do_not_leave_in_any_event(secret: str) -> None:
    mask = Masker({"MY_TOKEN": "a value of the run", "EDITOR": "vi"})
    text = f"it is {secret}!"

    for event in (
        LogLine(text, "assistant"),
        ToolUse("Bash", text),
        Question(id="1", kind="permission", title=text, request={"input": [{"x": text}]}),
        Finished(
            outcome="done",
            detail=text,
            summary=text,
            permission_denials=(PermissionDenial("Bash", text),),
        ),
    ):
        assert secret not in str(masked(event, mask))
        assert "it is [masked]!" in str(masked(event, mask))


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("https://bot:secret@forge.example/x", "https://[masked]@forge.example/x"),
        ("Authorization: Bearer abcdefghijklmnop", "Authorization: Bearer [masked]"),
        ("a task-force of sk-eptics", "a task-force of sk-eptics"),
        ("http://host:8080/a@b", "http://host:8080/a@b"),
    ],
)
def test_only_secrets_are_masked(text: str, masked: str) -> None:
    assert Masker({}).text(text) == masked
