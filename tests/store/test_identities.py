"""Who is who, and who may enrol: kept, and forgotten when it is long over."""

from __future__ import annotations

from msgspec.structs import replace

from fleetbot.domain.model import AgentName
from fleetbot.store.identities import Claim, Enrolment, Person
from fleetbot.store.interface import Store
from fleetbot.store.records import Change
from tests.store.backend import Backend

ANN = Person(login="Ann", mxid="@ann:hs", proven_at=1_000)
CLAIM = Claim(
    mxid="@ann:hs", login="Ann", code="fleet-1", room="!r:hs", asked_at=1_000, expires_at=2_000
)
ENROLMENT = Enrolment(
    id="matrix:$1",
    agent=AgentName("claude-1"),
    hash=b"\x01" * 32,
    actor="matrix:@ann:hs",
    made_at=1_000,
    expires_at=2_000,
)


async def test_people_are_known_at_once_and_after_a_restart(backend: Backend) -> None:
    async with backend.open() as store:
        await store.append(Change(people=(ANN,)))
        assert store.people == {"ann": "@ann:hs"}

    async with backend.open() as store:
        assert store.people == {"ann": "@ann:hs"}


async def test_an_account_has_one_owner_however_it_is_spelt(backend: Backend) -> None:
    bob = Person(login="ANN", mxid="@bob:hs", proven_at=2_000)
    async with backend.open() as store:
        await store.append(Change(people=(ANN,)))
        await store.append(Change(people=(bob,)))
        assert store.people == {"ann": "@bob:hs"}

    async with backend.open() as store:
        assert store.people == {"ann": "@bob:hs"}


async def test_a_person_claims_one_account_at_a_time(store: Store) -> None:
    other = replace(CLAIM, login="annie", code="fleet-2")
    await store.append(Change(claims=(CLAIM,)))
    await store.append(Change(claims=(other,)))

    assert await store.claim("@ann:hs") == other
    assert await store.claims(1_999) == [other]
    assert await store.claims(2_000) == []
    assert await store.claim("@bob:hs") is None


async def test_an_enrolment_is_found_by_its_token_and_by_its_agent(store: Store) -> None:
    told = replace(ENROLMENT, room="!d:hs", event="$2")
    await store.append(Change(enrolments=(ENROLMENT,)))
    assert await store.enrolments_told() == []
    begun = replace(told, event="")
    await store.append(Change(enrolments=(begun,)))
    assert await store.enrolments_told() == [begun], "its message may be there"
    await store.append(Change(enrolments=(told,)))

    assert await store.enrolment(ENROLMENT.hash) == told
    assert await store.enrolments_of(ENROLMENT.agent) == [told]
    assert await store.enrolments_told() == [told]
    assert await store.enrolment(b"\x02" * 32) is None
    assert await store.enrolments_of(AgentName("codex-1")) == []


async def test_what_is_over_is_forgotten_but_for_a_token_that_still_stands(store: Store) -> None:
    told = replace(ENROLMENT, id="matrix:$3", hash=b"\x03" * 32, room="!d:hs", event="$4")
    await store.append(Change(claims=(CLAIM,), enrolments=(ENROLMENT, told)))

    await store.prune(2_000)
    assert await store.claim("@ann:hs") == CLAIM
    assert await store.enrolments_of(ENROLMENT.agent) == [ENROLMENT, told]

    await store.prune(2_001)
    assert await store.claim("@ann:hs") is None
    assert await store.enrolments_of(ENROLMENT.agent) == [told]
