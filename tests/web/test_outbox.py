"""Dead letters over HTTP: seen by readers, sent again and let go by operators."""

from __future__ import annotations

import pytest

from fleetbot.store.records import Change, GivenUp, OutboxEntry
from tests.web.site import Site

DEAD = "/api/v1/outbox/dead"
NAMES = ("forgejo:task/t1", "matrix:!room:example.org", "forgejo:commit/abc")


@pytest.fixture
async def letters(site: Site) -> list[str]:
    """Three effects were given up, one after the other; their ids."""
    entries = tuple(
        OutboxEntry(id=f"1.0@1/{to}", destination=to, kind="note", payload=b"{}", due_at=site.now)
        for to in NAMES
    )
    await site.store.append(Change(outbox=entries))
    for number, entry in enumerate(entries):
        given_up = GivenUp(id=entry.id, at=site.now + number, error="404: it is gone")
        await site.store.append(Change(given_up=(given_up,)))
    return [letter["id"] for letter in (await site.reader.get(DEAD)).body["letters"]]


async def test_a_reader_sees_what_was_given_up(site: Site, letters: list[str]) -> None:
    answer = (await site.reader.get(DEAD)).body

    assert [letter["destination"] for letter in answer["letters"]] == list(NAMES)
    assert answer["letters"][0] == {
        "id": letters[0],
        "destination": "forgejo:task/t1",
        "kind": "note",
        "due_at": site.now,
        "given_up_at": site.now,
        "error": "404: it is gone",
    }


async def test_a_long_list_comes_in_pages(site: Site, letters: list[str]) -> None:
    first = (await site.reader.get(DEAD, limit=2)).body
    rest = (await site.reader.get(DEAD, after=first["next"])).body

    assert [one["id"] for one in (*first["letters"], *rest["letters"])] == letters
    assert rest.get("next") is None


async def test_one_is_sent_again(site: Site, letters: list[str]) -> None:
    answer = await site.operator.post(f"{DEAD}/{letters[1]}/retry")

    assert answer.body == {"letters": 1}
    [due] = await site.store.due(site.now, {"matrix": 9, "forgejo": 9})
    assert due.entry.destination == NAMES[1]
    again = await site.operator.post(f"{DEAD}/{letters[1]}/retry")
    assert "any more" in again.refuses(404, "not_found", "letter")


async def test_all_are_sent_again(site: Site, letters: list[str]) -> None:
    assert (await site.operator.post(f"{DEAD}/retry")).body == {"letters": 3}
    assert (await site.operator.post(f"{DEAD}/retry")).body == {"letters": 0}
    assert len(await site.store.due(site.now, {"matrix": 9, "forgejo": 9})) == 3


async def test_they_can_be_let_go(site: Site, letters: list[str]) -> None:
    assert (await site.operator.post(f"{DEAD}/{letters[0]}/dismiss")).body == {"letters": 1}
    assert (await site.operator.post(f"{DEAD}/dismiss")).body == {"letters": 2}
    assert (await site.reader.get(DEAD)).body["letters"] == []
    assert await site.store.due(site.now, {"matrix": 9, "forgejo": 9}) == []


@pytest.mark.parametrize("call", ["retry", "dismiss"])
async def test_a_reader_changes_nothing(site: Site, letters: list[str], call: str) -> None:
    (await site.reader.post(f"{DEAD}/{letters[0]}/{call}")).refuses(403, "forbidden")
    (await site.reader.post(f"{DEAD}/{call}")).refuses(403, "forbidden")
    (await site.nobody.get(DEAD)).refuses(401, "unauthorized")


@pytest.mark.parametrize("id", ["0", "abc", "-1", "1e3", "9" * 30])
async def test_what_is_no_letter_is_not_found(site: Site, letters: list[str], id: str) -> None:
    (await site.operator.post(f"{DEAD}/{id}/retry")).refuses(404, "not_found", "letter")


async def test_the_numbers_tell_of_dead_letters(site: Site, letters: list[str]) -> None:
    site.now += 9_000
    text = (await site.reader.get("/metrics")).body
    assert "fleetbot_outbox_dead_letters 3.0" in text
    assert "fleetbot_outbox_dead_letters_oldest_seconds 9.0" in text
