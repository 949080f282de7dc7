"""A token for one agent, once and within an hour."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.web.site import ENROL, Answer, Site

AGENTS = "/api/v1/agents"
HOUR = 3_600_000


async def enrolled(site: Site, name: str = "claude-2") -> str:
    """The token that an operator is given for the agent."""
    answer = await site.operator.post(f"{AGENTS}/{name}/enrol")
    assert answer.status == 200, answer.body
    assert (answer.body["agent"], answer.body["expires_at"]) == (name, site.now + HOUR)
    token: str = answer.body["token"]
    return token


async def registers(site: Site, token: str, name: str = "claude-2") -> Answer:
    body = {"name": name, "adapter": "command"}
    return await site.caller(token).post(f"{AGENTS}/register", body)


async def test_its_agent_enrols_with_it_and_has_a_token_of_its_own_then(site: Site) -> None:
    token = await enrolled(site)

    answer = await registers(site, token)

    assert answer.status == 200
    assert (await registers(site, answer.body["token"])).status == 200


async def test_it_is_used_up(site: Site) -> None:
    token = await enrolled(site)
    await registers(site, token)
    await site.operator.post(f"{AGENTS}/claude-2/revoke")
    site.now += 60_000

    refused = (await registers(site, token)).refuses(403, "forbidden")

    assert refused == (
        "The enrolment token has been used at 2023-11-14 22:13 UTC:"
        " ask for a new one with !fleet enrol claude-2."
    )


async def test_of_two_who_use_it_at_once_one_enrols(site: Site) -> None:
    token = await enrolled(site)

    answers = await asyncio.gather(*(registers(site, token) for _ in range(4)))

    assert [answer.status for answer in answers].count(200) == 1


async def test_it_expires(site: Site) -> None:
    token = await enrolled(site)
    site.now += HOUR

    refused = (await registers(site, token)).refuses(403, "forbidden")

    assert refused == (
        "The enrolment token has expired at 2023-11-14 23:13 UTC:"
        " ask for a new one with !fleet enrol claude-2."
    )
    assert await site.journal() == []


async def test_it_is_good_for_its_agent_only(site: Site) -> None:
    token = await enrolled(site)

    refused = (await registers(site, token, "claude-3")).refuses(403, "forbidden", "name")

    assert refused == "This token is claude-2's, not claude-3's."
    assert (await registers(site, token)).status == 200, "it is not used up by that"


async def test_it_is_good_for_enrolling_only(site: Site) -> None:
    token = await enrolled(site)
    for path in ("heartbeat", "claim", "deregister"):
        (await site.caller(token).post(f"{AGENTS}/{path}", {})).refuses(403, "forbidden")
    (await site.caller(token).get(AGENTS)).refuses(403, "forbidden")


async def test_a_newer_one_takes_its_place(site: Site) -> None:
    first = await enrolled(site)
    second = await enrolled(site)

    assert "has expired" in (await registers(site, first)).refuses(403, "forbidden")
    assert (await registers(site, second)).status == 200


async def test_of_several_made_at_once_one_is_good(site: Site) -> None:
    tokens = await asyncio.gather(*(enrolled(site) for _ in range(4)))

    answers = [await registers(site, token) for token in tokens]

    assert [answer.status for answer in answers].count(200) == 1
    assert [answer.status for answer in answers].count(403) == 3


async def test_revoking_the_agent_withdraws_it(site: Site) -> None:
    token = await enrolled(site)

    (await site.operator.post(f"{AGENTS}/claude-2/revoke")).refuses(404, "not_found", "agent")

    (await registers(site, token)).refuses(403, "forbidden")


async def test_a_token_that_was_never_made_is_not_known(site: Site) -> None:
    await enrolled(site)
    (await registers(site, "fbe_made-up")).refuses(401, "unauthorized")


async def test_an_agent_that_is_online_needs_none(site: Site) -> None:
    await site.agent("claude-2")
    answer = await site.operator.post(f"{AGENTS}/claude-2/enrol")
    assert "is online" in answer.refuses(409, "conflict", "agent")


@pytest.mark.parametrize("name", ["Claude", "a b", "-x", "x" * 41])
async def test_a_name_that_no_agent_can_have_is_refused(site: Site, name: str) -> None:
    answer = await site.operator.post(f"{AGENTS}/{name.replace(' ', '%20')}/enrol")
    answer.refuses(422, "invalid", "agent")


async def test_only_operators_ask_for_one(site: Site) -> None:
    for caller in (site.reader, site.caller(ENROL), await site.agent("claude-1")):
        (await caller.post(f"{AGENTS}/claude-2/enrol")).refuses(403, "forbidden")


async def test_it_is_nowhere_in_the_database(site: Site, tmp_path: Path) -> None:
    token = await enrolled(site)
    await registers(site, token)

    with closing(sqlite3.connect(tmp_path / "fleet.db")) as database:
        dump = "\n".join(database.iterdump())

    assert token not in dump
    assert token.removeprefix("fbe_") not in dump
