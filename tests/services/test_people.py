"""Who is who on Forgejo and in Matrix."""

from __future__ import annotations

from fleetbot.services.people import People
from fleetbot.store.identities import Person
from fleetbot.store.records import Change
from tests.services.stage import Stage


async def given_proven(stage: Stage, login: str, mxid: str) -> None:
    person = Person(login=login, mxid=mxid, proven_at=stage.clock())
    await stage.store.append(Change(people=(person,)))


def test_the_settings_say_who_is_who(stage: Stage) -> None:
    people = People(stage.store, {"Ann": "@ann:hs"})

    assert people.mxid_of("ann") == people.mxid_of("ANN") == "@ann:hs"
    assert people.login_of("@ann:hs") == "ann"
    assert people.mxid_of("bob") is None
    assert people.login_of("@Ann:hs") is None, "Matrix ids are compared as they are"


async def test_people_say_it_themselves(stage: Stage) -> None:
    people = People(stage.store, {})
    await given_proven(stage, "Ann", "@ann:hs")

    assert people.mxid_of("ANN") == "@ann:hs"
    assert people.login_of("@ann:hs") == "ann"


async def test_the_settings_hold_before_what_was_proven(stage: Stage) -> None:
    people = People(stage.store, {"ann": "@boss:hs"})
    await given_proven(stage, "ann", "@ann:hs")

    assert people.mxid_of("ann") == "@boss:hs"
    assert people.login_of("@ann:hs") is None
    assert people.login_of("@boss:hs") == "ann"


async def test_of_two_accounts_the_one_counts_that_was_proven_last(stage: Stage) -> None:
    people = People(stage.store, {})
    await given_proven(stage, "ann", "@ann:hs")
    await given_proven(stage, "ann-at-work", "@ann:hs")
    assert people.login_of("@ann:hs") == "ann-at-work"

    await given_proven(stage, "ann", "@ann:hs")
    assert people.login_of("@ann:hs") == "ann"
