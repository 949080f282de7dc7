"""Every line says what it is about, plainly or as JSON, and nothing from strangers breaks it."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterator
from io import StringIO
from typing import Any

import pytest

from fleetbot.forge.errors import ForgeError
from fleetbot.logs import JsonLines, OwnLines, Verbatim, about, log_of, subject
from fleetbot.loops import Loop
from tests.web.site import Site

log = log_of("fleetbot.tests")


class Lines(logging.Handler):
    """What was logged, as JSON lines and as plain ones."""

    def __init__(self) -> None:
        super().__init__()
        self.plain: list[str] = []
        self.fields: list[dict[str, Any]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.plain.append(record.getMessage())
        self.fields.append(json.loads(JsonLines().format(record)))


@pytest.fixture
def lines() -> Iterator[Lines]:
    handler, fleetbot = Lines(), logging.getLogger("fleetbot")
    fleetbot.addHandler(handler)
    yield handler
    fleetbot.removeHandler(handler)


def test_a_line_says_what_it_is_about_and_one_about_nothing_says_nothing_more(lines: Lines) -> None:
    log.warning("nothing of %s", "note")
    with about(task="t-1", run=""), about(agent="smith"):
        log.warning("the disk is %d %% full", 90)
    log.warning("over")

    assert lines.plain == [
        "nothing of note",
        "the disk is 90 % full [task=t-1 agent=smith]",
        "over",
    ]
    told = lines.fields[1]
    assert (told["message"], told["task"], told["agent"]) == (
        "the disk is 90 % full",
        "t-1",
        "smith",
    )
    assert (told["level"], told["logger"]) == ("warning", "fleetbot.tests")
    assert told["at"].endswith("+00:00")
    assert "run" not in told
    assert set(lines.fields[0]) == {"at", "level", "logger", "message"}


def test_a_traceback_is_one_field_of_its_line(lines: Lines) -> None:
    with about(run="r-1"):
        try:
            raise ValueError("it broke")
        except ValueError:
            log.exception("what was tried")

    assert lines.fields[0]["error"].endswith("ValueError: it broke")
    assert lines.fields[0]["run"] == "r-1"


@pytest.mark.parametrize("name", ["a\nb", "x] [run=y", "%s %d", "ä" * 1000, "\x1b[31m", "level"])
def test_what_strangers_call_things_makes_no_line_and_no_field_of_its_own(
    lines: Lines, name: str
) -> None:
    with about(repository=name, level=name):
        log.warning("%s", "said")

    [plain], [fields] = lines.plain, lines.fields
    assert "\n" not in plain
    assert "\x1b" not in plain
    assert len(plain) < 500
    assert plain.count("[") == plain.count("]") == 1
    assert (fields["level"], fields["message"]) == ("warning", "said")
    assert set(fields) == {"at", "level", "logger", "message", "repository"}


async def test_what_it_is_about_goes_along_into_tasks_and_not_beyond(lines: Lines) -> None:
    async def deal() -> None:
        log.warning("dealt with")

    with about(task="t-1"):
        begun = asyncio.create_task(deal())
    await begun

    assert lines.fields[0]["task"] == "t-1"
    assert not subject()


def test_what_strangers_say_begins_no_line_and_does_not_fill_the_disk(lines: Lines) -> None:
    forged = ForgeError(500, "GET", "/x", "no\n2026-11-27 ERROR fleetbot \x1b[31mthe disk is gone")

    log.warning("%s could not be read: %s", "a\u2028b", forged)
    log.warning("%s: %d of %.1f s", "x" * 100_000, 7, 1.5)
    log.error("it broke: %s", TimeoutError())
    log.error("by a fault of ours:\n%s", Verbatim("line 1\nline 2"))

    assert lines.plain == [
        "a\\u2028b could not be read: GET /x -> 500:"
        " no\\n2026-11-27 ERROR fleetbot \\x1b[31mthe disk is gone",
        f"{'x' * 1000}…: 7 of 1.5 s",
        "it broke: TimeoutError",
        "by a fault of ours:\nline 1\nline 2",
    ]


async def test_a_loop_that_fails_says_which_it_is(lines: Lines) -> None:
    failed = asyncio.Event()

    async def tick() -> None:
        try:
            raise ValueError("no")
        finally:
            failed.set()

    loop = Loop("deliver", tick, 60, logging.getLogger("fleetbot.tests"))
    loop.start()
    await failed.wait()
    await loop.stop()

    assert lines.fields[0]["loop"] == "deliver"


def test_own_lines_go_out_as_json_while_they_are_on_and_as_before_afterwards(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    out = StringIO()
    monkeypatch.setattr("sys.stdout", out)
    own = OwnLines(logging.getLogger("fleetbot"))
    with about(task="t-1"):
        log.warning("seen as JSON")
    own.off()
    log.warning("seen as before")

    assert [json.loads(text)["task"] for text in out.getvalue().splitlines()] == ["t-1"]
    assert caplog.messages == ["seen as before"]


def test_two_instances_of_one_process_write_each_line_once_until_the_last_has_stopped(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    out = StringIO()
    monkeypatch.setattr("sys.stdout", out)
    shared, own = logging.getLogger("fleetbot"), logging.getLogger("maubot.instance.two")
    one, two = OwnLines(shared), OwnLines(shared, own)
    log.warning("both")
    one.off()
    one.off()  # that it is off is no news
    log.warning("the second")
    own.warning("its own")
    two.off()
    log.warning("nobody")

    said = [json.loads(text)["message"] for text in out.getvalue().splitlines()]
    assert said == ["both", "the second", "its own"]
    assert caplog.messages == ["nobody"]


async def test_a_request_that_fails_says_on_its_line_which_it_was_and_of_what(
    site: Site, lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = await site.agent()
    await site.task(1)
    run = await site.running(agent)
    monkeypatch.setattr(site.fleet, "saw", None)  # bugs
    monkeypatch.setattr(site.store, "append_log", None)

    answer = await agent.post(f"/api/v1/runs/{run}/log", {"offset": 0, "lines": []})
    own = await agent.post(
        "/api/v1/agents/heartbeat", {"runs": []}, headers={"X-Request-Id": "proxy-7"}
    )

    assert f"request={lines.fields[0]['request']}" in answer.refuses(500, "internal")
    its = {name: lines.fields[0][name] for name in ("run", "task", "agent", "repository", "issue")}
    assert its == {
        "run": run,
        "task": "task-of-1",
        "agent": "claude-1",
        "repository": "team/app",
        "issue": "1",
    }
    assert "request=proxy-7" in own.refuses(500, "internal")
    assert (lines.fields[1]["request"], lines.fields[1]["agent"]) == ("proxy-7", "claude-1")
