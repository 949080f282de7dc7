"""What is read of the room, and what is told of rounds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torture.faults import Landed
from torture.judge import Finding, Kind
from torture.outcome import said
from torture.play import Round
from torture.report import kills, others, row, table
from torture.story import ORCHESTRATOR, Act, Blow, Harm, Issue, Line, Spell, Story, Strike


def message(
    id: str, text: str, content: Mapping[str, Any] | None = None, sender: str = "@bot:x"
) -> dict[str, Any]:
    body = {"msgtype": "m.text", "body": text, **(content or {})}
    return {"event_id": id, "type": "m.room.message", "sender": sender, "content": body}


def edit(of: str, text: str, sender: str = "@bot:x") -> dict[str, Any]:
    relation = {"rel_type": "m.replace", "event_id": of}
    new = {"msgtype": "m.text", "body": text}
    content = {"m.relates_to": relation, "m.new_content": new}
    return message("$e", f"* {text}", content, sender)


def test_an_edit_is_no_message_of_its_own() -> None:
    (one,) = said([message("$1", "first"), edit("$1", "second")])

    assert (one.first, one.text) == ("first", "second")


def test_nobody_edits_the_words_of_another() -> None:
    (one,) = said([message("$1", "first"), edit("$1", "a lie", sender="@eve:x")])

    assert one.text == "first"


def test_what_is_in_a_thread_is_marked() -> None:
    relation = {"rel_type": "m.thread", "event_id": "$1"}

    (one,) = said([message("$2", "a log", {"m.relates_to": relation})])

    assert one.thread


def test_reactions_and_what_was_removed_are_no_messages() -> None:
    gone = {"event_id": "$1", "type": "m.room.message", "sender": "@bot:x", "content": {}}
    reaction = {**gone, "type": "m.reaction", "content": {"m.relates_to": {}}}

    assert said([gone, reaction]) == ()


def played() -> Round:
    kill = Strike(1.0, 2.0, "w1", Blow.KILL)
    freeze = Strike(1.0, 2.0, ORCHESTRATOR, Blow.FREEZE)
    cut = Spell(0.0, 5.0, Line.WORKER_FORGE, Harm.CUT)
    return Round(
        Story("round 7", 7, (Issue("s7-1", Act.HONEST, 0.0, 7),), (kill, freeze, cut)),
        "fleetbot",
        findings=[Finding(Kind.LOST, "s7-1", "no label")],
        landed=[
            Landed(kill, 1, "pid 1 gone"),
            Landed(freeze, 0, "not run: nothing to hit"),
            Landed(cut, 12, "12 requests"),
        ],
        recovered=3.5,
        idle=30.0,
        idle_launches=0,
        idle_requests=50,
        ended={"issues": 1, "done": 0, "failed": 0},
    )


def test_faults_that_did_not_land_count_for_nothing() -> None:
    its = row(played())

    assert its["faults"] == {"cut worker-forge": 12, "kill worker": 1}
    assert its["not_run"] == ["freeze of orchestrator at 1.0 s: not run: nothing to hit"]
    assert (kills([its]), others([its])) == (1, 12)


def test_the_table_has_the_score_and_what_is_needed_to_see_it_again() -> None:
    text = table([row(played()), {**row(played()), "seed": 8, "story": "round 8"}])

    lines = {
        line[:24].strip(): line[24:].strip() for line in text.splitlines() if line[:1].isalpha()
    }
    assert lines["rounds"] == "2  (seeds 7-8)"
    assert lines["kills"] == "2"
    assert lines["other faults"] == "24"
    assert lines["faults not run"] == "2"
    assert lines["lost"] == "2"
    assert lines["done twice"] == "0"
    assert lines["time to recover"] == "median 3.5 s, max 3.5 s"
    assert lines["while idle"] == "0 agent starts, 100 requests a minute"
    assert "round 7 (seed 7): lost: s7-1: no label" in text
