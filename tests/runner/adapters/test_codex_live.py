"""The app-server conversation alone, where the order of messages matters."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import pytest

from fleetbot.domain.reasons import ReasonCode
from fleetbot.runner.adapters import (
    Answer,
    Finished,
    LaunchSpec,
    LogLine,
    Question,
    QuestionWithdrawn,
)
from fleetbot.runner.adapters.codex_live import AppServerDriver, Thread
from fleetbot.runner.session.driver import Hangup, Rested, Send, Step


class Talk:
    """A driver and a server that says what the test says."""

    def __init__(self, **settings: Any) -> None:
        spec = LaunchSpec(
            run="r", prompt="go", workdir=Path("/w"), home=Path("/h"), env={}, **settings
        )
        self.driver = AppServerDriver([], spec, Thread("/w", "on-request", "workspace-write"))
        self.opening = sent(self.driver.opening())

    def hears(self, **message: Any) -> list[Step]:
        return list(self.driver.line(json.dumps(message)))

    def begins(self) -> None:
        """The conversation up to a running turn."""
        self.hears(id=1, result={})
        self.hears(id=2, result={"thread": {"id": "t"}})
        self.hears(id=3, result={"turn": {"id": "turn-1"}})

    def completes(self, status: str = "completed") -> list[Step]:
        turn = {"id": "turn", "status": status, "error": None}
        return self.hears(method="turn/completed", params={"turn": turn})

    def end(self) -> Finished:
        [last] = self.driver.exited(0)
        assert isinstance(last, Finished)
        return last


def sent(steps: Iterable[Step] | None) -> list[dict[str, Any]]:
    return [json.loads(step.line) for step in steps or () if isinstance(step, Send)]


def test_a_turn_begins_after_the_handshake() -> None:
    talk = Talk()

    assert [message["method"] for message in talk.opening] == ["initialize"]
    handshake = sent(talk.hears(id=1, result={}))
    assert [message["method"] for message in handshake] == ["initialized", "thread/start"]
    [turn] = sent(talk.hears(id=2, result={"thread": {"id": "t"}}))
    assert turn["params"] == {"threadId": "t", "input": [{"type": "text", "text": "go"}]}


def test_a_thread_that_cannot_be_resumed_is_begun_anew() -> None:
    talk = Talk(session="gone")
    [_, resume] = sent(talk.hears(id=1, result={}))

    said, *start = talk.hears(id=2, error={"code": -32600, "message": "no rollout found"})

    assert resume["method"] == "thread/resume"
    assert said == LogLine("starting anew, the earlier session is gone: no rollout found", "system")
    assert [message["method"] for message in sent(start)] == ["thread/start"]


def test_a_refused_start_is_the_end() -> None:
    talk = Talk()
    talk.hears(id=1, result={})

    assert talk.hears(id=2, error={"code": -1, "message": "bad sandbox"}) == [Hangup()]
    assert talk.end() == Finished(
        outcome="failed", reason=ReasonCode.AGENT_FAILED, detail="bad sandbox"
    )


def test_a_message_that_comes_too_late_for_the_turn_begins_another() -> None:
    talk = Talk()
    talk.begins()
    [steer] = sent(talk.driver.steer("one more thing"))

    assert talk.completes() == []
    [turn] = sent(talk.hears(id=steer["id"], error={"code": -32600, "message": "no active turn"}))

    assert turn["method"] == "turn/start"
    assert turn["params"]["input"][0]["text"].endswith("one more thing")
    talk.hears(id=turn["id"], result={"turn": {"id": "turn-2"}})
    assert talk.completes() == [Hangup()]


def test_a_message_heard_as_the_turn_ended_was_part_of_it() -> None:
    talk = Talk()
    talk.begins()
    [steer] = sent(talk.driver.steer("one more thing"))

    assert talk.completes() == []
    assert talk.hears(id=steer["id"], result={}) == [Hangup()]
    assert talk.end().outcome == "done"


def test_a_late_message_that_finds_no_turn_does_not_undo_the_work() -> None:
    talk = Talk()
    talk.begins()
    [steer] = sent(talk.driver.steer("one more thing"))
    talk.completes()
    [turn] = sent(talk.hears(id=steer["id"], error={"code": -1, "message": "no"}))

    assert talk.hears(id=turn["id"], error={"code": -1, "message": "no"}) == [Hangup()]
    assert talk.end().outcome == "done"


def test_an_interrupt_needs_a_turn() -> None:
    talk = Talk()
    assert talk.driver.interrupt() == []

    talk.begins()

    [interrupt] = sent(talk.driver.interrupt())
    assert interrupt["params"] == {"threadId": "t", "turnId": "turn-1"}


def test_several_questions_are_answered_together() -> None:
    talk = Talk()
    talk.begins()
    questions = [{"id": "c", "question": "Color?"}, {"id": "s", "question": "Size?"}]
    talk.hears(id=0, method="item/tool/requestUserInput", params={"questions": questions})

    assert talk.driver.answer("0:0", Answer("allow", "Blue")) == []
    [answer] = sent(talk.driver.answer("0:1", Answer("allow", "L")))

    assert answer["result"] == {"answers": {"c": {"answers": ["Blue"]}, "s": {"answers": ["L"]}}}
    assert talk.driver.answer("0:1", Answer("allow", "L")) is None


@pytest.mark.parametrize(
    ("verdict", "decision"),
    [("allow", "accept"), ("deny", "decline"), ("always", "acceptForSession")],
)
def test_no_answer_is_written_into_the_programs_settings(
    verdict: Literal["allow", "deny", "always"], decision: str
) -> None:
    talk = Talk()
    talk.begins()
    params = {
        "itemId": "i",
        "command": "ls",
        "availableDecisions": ["acceptForSession"],
        "proposedExecpolicyAmendment": ["ls"],
    }
    [question] = talk.hears(id=5, method="item/commandExecution/requestApproval", params=params)

    [answer] = sent(talk.driver.answer("5", Answer(verdict)))

    assert isinstance(question, Question)
    assert question.always == "this same command"
    assert answer == {"id": 5, "result": {"decision": decision}}


def test_a_request_the_server_takes_back_is_withdrawn() -> None:
    talk = Talk()
    talk.begins()
    params = {"itemId": "i", "command": "ls"}
    talk.hears(id=5, method="item/commandExecution/requestApproval", params=params)

    resolved = talk.hears(method="serverRequest/resolved", params={"requestId": 5})

    assert resolved == [QuestionWithdrawn("5")]
    assert talk.driver.answer("5", Answer("allow")) is None


def test_a_request_of_an_unknown_kind_is_refused_and_not_left_waiting() -> None:
    [answer] = sent(Talk().hears(id=9, method="attestation/generate", params={}))

    assert answer["error"]["code"] == -32601


def test_a_helper_that_has_not_begun_when_the_turn_ends_is_waited_for() -> None:
    talk = Talk()
    talk.begins()
    states = {"helper": {"status": "pendingInit", "message": None}}
    spawned = {"type": "collabAgentToolCall", "id": "1", "tool": "spawnAgent"}
    talk.hears(
        method="item/completed",
        params={"threadId": "t", "item": {**spawned, "agentsStates": states}},
    )

    assert talk.completes() == [Rested()]
    talk.hears(method="turn/started", params={"threadId": "helper", "turn": {"id": "turn-2"}})
    over = talk.hears(
        method="turn/completed", params={"threadId": "helper", "turn": {"id": "turn-2"}}
    )

    assert over == [Hangup()]
