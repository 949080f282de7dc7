"""What the doctor says of a homeserver that limits how much we say."""

from __future__ import annotations

import logging
from contextlib import suppress

import pytest

from fleetbot.chat.speaking.content import content
from fleetbot.chat.speaking.homeserver import examine
from fleetbot.chat.speaking.link import Link
from fleetbot.chat.speaking.pace import Pace, Urgency
from fleetbot.chat.words.rich import say
from fleetbot.services.findings import Mark
from fleetbot.services.outbox import RetryLater
from tests.chat.rooms import Answer, client_of, limited_homeserver
from tests.services.stage import Clock


async def test_that_a_limit_makes_rooms_hear_late_is_said_with_how_to_lift_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock = Clock()
    async with limited_homeserver(clock) as server, client_of(server.user()) as client:
        server.answers = [Answer(200, {"server": {"name": "Synapse", "version": "1.163.2"}})]
        link = Link(client, Pace(clock))
        with suppress(RetryLater):
            for number in range(11):
                words = content(say(f"log {number}"))
                await link.send("!room:localhost", words, f"{number}", urgency=Urgency.LOG)
        assert [finding.name for finding in await examine(link, 0)] == ["homeserver"], "it is soon"

        since = clock()
        clock.advance(61)
        for _ in range(3):
            link.pace.hold(Urgency.LOG, 20, since)
        _, limit = await examine(link, 0)

    assert (limit.name, limit.mark) == ("message limit", Mark.WARN)
    assert limit.says == (
        "the homeserver takes about 12 messages a minute from the bot: 20 logs waiting, the first"
        " for 61 s; nothing is lost"
    )
    (remedy,) = limit.remedy
    assert "`POST /_synapse/admin/v1/users/@bot:localhost/override_ratelimit` with `{}`" in remedy
    said = [r for r in caplog.records if r.levelno == logging.WARNING and "limit" in r.message]
    assert len(said) == 1
