"""Whether all is well, and what is not."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import pytest

from fleetbot.domain import commands as cmd
from fleetbot.domain.effects import FleetNotice, NoticeKind
from fleetbot.domain.patience import with_outbox
from fleetbot.domain.receipts import Verified
from fleetbot.forge.client import ForgeClient
from fleetbot.forge.errors import ForgeError, Unauthorized
from fleetbot.services.health import HealthReport
from fleetbot.services.outbox import Courier, RetryLater, Sender
from fleetbot.services.probe import ForgeProbe
from fleetbot.store.records import Due
from fleetbot_devkit.docs import ROOT
from tests.services.stage import BOT, REPO, TEST, Stage
from tests.store.disk import overwrite

LOG = logging.getLogger("health")


def probe_of(stage: Stage) -> ForgeProbe:
    return ForgeProbe(stage.fleet, stage.client, stage.repositories, LOG)


Look = Callable[[], Awaitable[Sequence[str]]]


def report_of(
    stage: Stage, probe: ForgeProbe, *rooms: str, look: Look | None = None
) -> HealthReport:
    """`look`: at the rooms, where not just `rooms` come of it."""

    async def troubles() -> Sequence[str]:
        return rooms

    return HealthReport(
        stage.fleet,
        probe,
        stage.webhooks,
        stage.known,
        "1.0",
        stage.followups,
        look or troubles,
        lambda: "ok",
    )


async def checks(
    stage: Stage, probe: ForgeProbe, *rooms: str, look: Look | None = None
) -> dict[str, str]:
    """What is not well."""
    health = await report_of(stage, probe, *rooms, look=look).check()
    found = {name: finding for name, finding in health.checks.items() if finding != "ok"}
    assert health.status == ("degraded" if found else "ok")
    return found


async def test_all_is_well_when_forgejo_answers(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    probe = probe_of(stage)
    assert await checks(stage, probe) == {"forge": "not asked yet"}

    with caplog.at_level(logging.INFO):
        assert await probe.tick() is None
        assert await probe.tick() is None

    assert await checks(stage, probe) == {}
    assert caplog.messages == ["Forgejo answers; the bot is fleetbot there"]


async def test_the_operations_manual_leads_on_from_each_check(stage: Stage) -> None:
    health = await report_of(stage, probe_of(stage)).check()

    manual = (ROOT / "docs" / "howto" / "operate.md").read_text("utf-8")
    table = manual.partition("## First look")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `degraded`: (.*?) \|", table, re.MULTILINE)
    assert sorted(re.findall(r"`(\w+)`", " ".join(rows))) == sorted(health.checks)


async def test_forgejo_that_is_away_is_asked_again_soon_and_reported_once(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    probe = probe_of(stage)
    await probe.tick()
    stage.forge.fail_next("GET", f"/repos/{REPO}$", 503, times=2)

    with caplog.at_level(logging.INFO):
        assert await probe.tick() == 5
        assert "503" in (await checks(stage, probe))["forge"]
        assert await probe.tick() == 5
        assert await probe.tick() is None

    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
    assert await checks(stage, probe) == {}


async def test_what_others_meet_with_counts_before_the_next_look(stage: Stage) -> None:
    """The outbox saw 401 for most of a minute while all was said to be well."""
    doubts: list[str] = []

    def doubt() -> None:
        doubts.append("one")

    probe = ForgeProbe(stage.fleet, stage.client, [REPO], LOG, on_doubt=doubt)
    await probe.tick()
    async with ForgeClient(stage.forge.url, "revoked", delays=(), on_failure=probe.heard) as client:
        with pytest.raises(Unauthorized):
            await client.issue(REPO, 1)
    stage.clock.advance(180)

    told = (await checks(stage, probe))["forge"]
    assert "401" in told
    assert "give `forge.token` a new one" in told
    assert told.endswith("for 3 min")
    assert doubts == ["one"], "it looks at once"

    assert await probe.tick() is None
    assert await checks(stage, probe) == {}


async def test_a_single_refusal_is_no_doubt_about_forgejo(stage: Stage) -> None:
    probe = probe_of(stage)
    await probe.tick()
    for status in (403, 404, 429, 500):
        stage.forge.fail_next("GET", "/issues/1$", status)
        async with ForgeClient(
            stage.forge.url, stage.forge.add_token(BOT, ["all"]), delays=(), on_failure=probe.heard
        ) as client:
            with pytest.raises(ForgeError):
                await client.issue(REPO, 1)
    assert await checks(stage, probe) == {}


async def test_the_room_hears_once_that_forgejo_is_away_and_that_it_is_back(stage: Stage) -> None:
    probe = probe_of(stage)
    await probe.tick()
    stage.forge.fail_next("GET", f"/repos/{REPO}$", 503, times=5)
    await probe.tick()
    stage.clock.advance(240)
    await probe.tick()
    assert stage.notices == []
    for _ in range(3):
        stage.clock.advance(120)
        await probe.tick()
    [away] = stage.notices
    assert isinstance(away, FleetNotice)
    assert (away.notice, away.since) == (NoticeKind.FORGE_AWAY, stage.clock() - 600_000)

    again = probe_of(stage)
    await again.tick()
    await again.tick()
    assert [notice.notice for notice in stage.notices] == ["forge_away", "forge_back"]


async def test_a_repository_out_of_reach_is_found_out(stage: Stage) -> None:
    stage.forge.repo(REPO).private = True
    stage.forge.repo(REPO).collaborators.clear()
    probe = probe_of(stage)
    await probe.tick()
    assert "404" in (await checks(stage, probe))["forge"]


async def test_a_token_that_may_not_ask_who_it_is_is_well_with_a_login(stage: Stage) -> None:
    token = stage.forge.add_token(BOT, ["write:issue", "write:repository"])
    async with ForgeClient(stage.forge.url, token, login=BOT) as client:
        probe = ForgeProbe(stage.fleet, client, [REPO], LOG)
        await probe.tick()
        assert probe.problem is None
        assert probe.login == BOT
    async with ForgeClient(stage.forge.url, token) as client:
        probe = ForgeProbe(stage.fleet, client, [REPO], LOG)
        await probe.tick()
        assert "give the bot's login" in str(probe.problem)


async def test_without_repositories_forgejo_itself_is_asked(stage: Stage) -> None:
    await stage.change(repositories=[])
    probe = probe_of(stage)
    await probe.tick()
    assert await checks(stage, probe) == {}


async def test_what_is_stuck_in_the_outbox_is_told_by_the_issues_name(stage: Stage) -> None:
    probe = probe_of(stage)
    await probe.tick()
    await stage.issue()
    await stage.hear()
    stage.forge.fail_next("GET", "/issues/1$", 403, times=2)
    await stage.courier.tick()
    stage.clock.advance(2)
    await stage.courier.tick()

    told = (await checks(stage, probe))["outbox"]
    assert told.startswith(f"{REPO}#1: GET /repos/{REPO}/issues/1 -> 403")
    assert "it has failed for 2 s, tried again in " in told


async def test_a_room_that_holds_messages_back_is_told_even_when_forgejo_is_away(
    stage: Stage,
) -> None:
    """Thrown out, or not invited yet: what is held there is on its way."""

    async def thrown_out(due: Due) -> str:
        raise RetryLater(None, "403 M_FORBIDDEN: not in the room")

    probe = probe_of(stage)
    await probe.tick()
    stage.fleet.route = lambda notice: ("matrix:!room:example.org",)
    for _ in range(10):
        await stage.issue()
    await stage.hear()
    await stage.given_running()
    stage.forge.fail_next("GET", "/", 502, times=100)
    senders: dict[str, Sender] = {"forgejo": stage.sender, "matrix": thrown_out}
    await Courier(stage.store, senders, stage.clock, with_outbox(1)).tick()

    found = await checks(stage, probe)
    assert found["rooms"].startswith("matrix:!room:example.org: 403 M_FORBIDDEN: not in the room;")
    assert found["outbox"].count("; tried") + found["outbox"].count("tried again") == 5
    assert found["outbox"].endswith("; and more")


async def test_dead_letters_are_told_until_somebody_deals_with_them(stage: Stage) -> None:
    probe = probe_of(stage)
    await probe.tick()
    await stage.issue()
    await stage.hear()
    del stage.forge.repo(REPO).tickets[1]
    await stage.courier.tick()
    stage.clock.advance(7200)

    told = (await checks(stage, probe))["dead_letters"]
    assert told == "1 given up, the first 2 h ago: see GET /api/v1/outbox/dead"
    await stage.dead_letters.dismiss(None)
    assert await checks(stage, probe) == {}


async def test_the_rooms_have_their_say(stage: Stage) -> None:
    probe = probe_of(stage)
    await probe.tick()

    found = await checks(stage, probe, "!a:b: invite the bot", "!c:d: invite it there too")

    assert found == {"rooms": "!a:b: invite the bot; !c:d: invite it there too"}


async def test_a_journal_that_cannot_be_read_is_said_beside_all_else(stage: Stage) -> None:
    """Whoever asked heard 503, and that `healthz` says why."""
    probe = probe_of(stage)
    await probe.tick()
    await stage.fleet.start()
    await stage.store.close()

    found = await checks(stage, probe)

    assert found["journal"] == "the journal cannot be written: the store is not open"
    unread = {name for name, says in found.items() if "which cannot be read" in says}
    assert unread == {"outbox", "rooms", "dead_letters"}
    assert found.keys() - unread == {"journal"}


async def test_that_only_reading_fails_is_said_before_somebody_writes(
    stage: Stage, tmp_path: Path
) -> None:
    await stage.fleet.start()
    await stage.store.close()
    overwrite(tmp_path / "fleet.db", "queues_failing")
    stage.restart()
    await stage.fleet.start()

    told = (await checks(stage, probe_of(stage)))["journal"]

    assert told.startswith("the journal cannot be read: ")
    assert told.endswith("(the file is damaged: restore a backup)")


async def test_a_database_that_hangs_is_said_in_time(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fleetbot.services.health._SECONDS", 0.02)
    probe = probe_of(stage)
    await probe.tick()

    async def hangs() -> Sequence[str]:
        await asyncio.get_running_loop().create_future()
        return ()

    found = await checks(stage, probe, look=hangs)

    assert found.keys() == {"outbox", "rooms", "dead_letters"}
    assert all("the database has not answered within" in says for says in found.values())


async def test_a_pull_request_that_cannot_be_looked_at_is_told(stage: Stage) -> None:
    _, pull, receipt = await stage.given_filed()
    await stage.fleet.commit(cmd.Conclude(receipt, Verified()), TEST)
    stage.forge.fail_next("GET", rf"/pulls/{pull.number}$", 503, times=1)

    await stage.followups.tick()

    told = (await checks(stage, probe_of(stage)))["pull_requests"]
    assert told.startswith("the pull request of ann/app#1 cannot be looked at: ")
