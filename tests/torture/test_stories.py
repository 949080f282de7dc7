"""Stories from a seed, and those with a name."""

from __future__ import annotations

import pytest

from torture.incidents import INCIDENTS
from torture.stories import generate
from torture.story import ORCHESTRATOR, Act, Doing, Issue, Line, Spell, Story, Strike, blob
from torture.systems.fleetbot_world import FleetbotSystem

WORKERS = ("w1", "w2")


def story(seed: int, acts: frozenset[Act] = frozenset(Act)) -> Story:
    return generate(seed, acts=acts, workers=WORKERS, lines=tuple(Line), seconds=30.0)


def test_the_same_seed_is_the_same_story() -> None:
    assert story(5) == story(5)
    assert story(5) != story(6)


@pytest.mark.parametrize("seed", range(40))
def test_a_story_stays_within_what_can_be_asked_for(seed: int) -> None:
    acts = frozenset({Act.HONEST, Act.IDLE, Act.BORROWS})

    its = story(seed, acts)

    assert {issue.act for issue in its.issues} <= acts
    assert its.issues[0].is_honest
    assert its.seconds <= 30.0
    for fault in its.faults:
        assert 0 <= fault.at <= 30.0
        if isinstance(fault, Strike):
            assert fault.target in (ORCHESTRATOR, *WORKERS)


def test_all_lines_and_harms_come_up() -> None:
    spells = [f for seed in range(60) for f in story(seed).faults if isinstance(f, Spell)]

    assert {spell.line for spell in spells} == set(Line)
    assert len({spell.harm for spell in spells}) == 9


def test_what_honest_work_writes_cannot_be_guessed_from_another_issue() -> None:
    one, two = Issue("s1-1", Act.HONEST, 0, 1), Issue("s1-2", Act.HONEST, 0, 1)

    assert one.wanted in one.body
    assert two.wanted not in one.body
    assert not one.blobs & two.blobs


def test_a_file_is_known_by_its_name_in_git() -> None:
    assert blob("hello\n") == "ce013625030ba8dba906f756967f9e9ca394464a"
    issue = Issue("s1-1", Act.HONEST, 0, 1)
    assert blob(f"{issue.wanted}\n") in issue.blobs


@pytest.mark.parametrize("name", INCIDENTS)
def test_an_incident_can_be_played_and_says_where_it_is_known_from(name: str) -> None:
    its = INCIDENTS[name]

    assert its.told
    assert {issue.act for issue in its.issues} <= FleetbotSystem.acts
    keys = {issue.key for issue in its.issues}
    assert {deed.key for deed in its.deeds if deed.doing is not Doing.ORDER} <= keys
