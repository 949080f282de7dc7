"""`!fleet doctor`: what is not well, what to do about it, and the rest in one line."""

from __future__ import annotations

import asyncio

import pytest

from fleetbot.domain import commands as cmd
from fleetbot.domain.events import AgentRegistered
from fleetbot.domain.model import AgentName
from fleetbot.services.doctor import Doctor
from fleetbot.services.findings import Finding, Mark
from fleetbot.store.records import Change, GivenUp, OutboxEntry
from tests.chat.dialogue import Dialogue
from tests.services.stage import BOT, REPO, TEST, Stage


async def examined(stage: Stage) -> dict[str, Finding]:
    await stage.probe.tick()
    return {finding.name: finding for finding in await stage.doctor.examine()}


async def given_dead_letter(stage: Stage) -> None:
    entry = OutboxEntry(
        id="1", destination="forgejo:task/t1", kind="note", payload=b"{}", due_at=stage.clock()
    )
    await stage.store.append(Change(outbox=(entry,)))
    given_up = GivenUp(id="1", at=stage.clock(), error="404: it is gone")
    await stage.store.append(Change(given_up=(given_up,)))


async def test_what_is_wrong_comes_first_with_what_to_do(chat: Dialogue) -> None:
    await chat.stage.probe.tick()
    await given_dead_letter(chat.stage)

    await chat.says("mod", "!fleet doctor")

    told = chat.answers("🩺 … things to look at\n…\n✅ …").text
    assert "❌ dead letters: 1 given up, the first 0 s ago" in told
    assert "• !fleet doctor retry sends them again, in order" in told
    assert told.index("❌ dead letters") < told.index("⚠️ branch ann/app: main is open")
    assert "are well: leadership, journal, forge, webhooks," in told
    assert "ann/app (account" in told
    assert "fleetbot may write" not in told, "what is well of a repository is only named"


async def test_dead_letters_are_sent_again(chat: Dialogue) -> None:
    await given_dead_letter(chat.stage)

    await chat.says("mod", "!fleet doctor retry")
    chat.answers("📮 1 dead letter sent again, in order.")

    await chat.says("mod", "!fleet doctor retry")
    chat.answers("🩺 There is no dead letter to send again.")


async def test_the_doctor_is_for_moderators(chat: Dialogue) -> None:
    await chat.says("bob", "!fleet doctor")
    chat.answers("⚠️ Sorry, doctor takes power level 50 …")


async def test_a_wrong_word_is_told_the_right_ones(chat: Dialogue) -> None:
    await chat.says("mod", "!fleet doctor who")
    chat.answers("⚠️ Say !fleet doctor, or !fleet doctor retry.")


async def test_a_forge_that_is_away_is_told_and_the_rest_is_examined(stage: Stage) -> None:
    stage.forge.fail_next("", "/api/v1", 502, times=1000)

    found = await examined(stage)

    assert found["forge"].mark is Mark.BAD
    assert "502" in found["forgejo"].says
    assert found["disk"].mark is Mark.WELL


async def test_what_takes_too_long_is_told_so(stage: Stage) -> None:
    async def for_ever() -> list[Finding]:
        await asyncio.get_running_loop().create_future()
        return []

    doctor = Doctor(stage.health.check, {"slow": for_ever}, seconds=0.01)

    found = {finding.name: finding.says for finding in await doctor.examine()}
    assert found["slow"] == "no answer within 0.01 s"


async def test_a_bug_in_one_examination_is_in_the_log_and_the_rest_is_told(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken() -> list[Finding]:
        raise KeyError("scopes")

    found = {one.name: one for one in await Doctor(stage.health.check, {"x": broken}).examine()}

    assert found["x"].mark is Mark.WARN
    assert "the log says why" in found["x"].says
    assert "journal" in found
    (line,) = [line for line in caplog.records if line.name == "fleetbot.doctor"]
    assert (line.levelname, line.exc_info is not None) == ("ERROR", True)


async def test_an_agent_that_is_offline_or_unwell_is_named(stage: Stage) -> None:
    assert (await examined(stage))["agents"].says == "there are none"
    unwell = AgentRegistered(
        adapter="command", health=("git: too old", "disk: full"), remedies=("install git 2.34",)
    )
    for name, told in (("well", AgentRegistered(adapter="command")), ("sick", unwell)):
        await stage.fleet.commit(cmd.RegisterAgent(AgentName(name), told), TEST)

    said = [(x.says, x.remedy) for x in await stage.doctor.examine() if x.name == "agent sick"]
    assert ("git: too old", ("install git 2.34",)) in said
    assert ("disk: full", ("`fleetbot check` on its machine says what to do",)) in said


async def test_a_token_without_a_scope_is_told_which(stage: Stage) -> None:
    stage.forge.set_scopes(stage.bot_token, ["write:repository", "read:issue", "read:user"])
    account = (await examined(stage))["account ann/app"]
    assert account.mark is Mark.BAD
    assert account.says == "the bot's token lacks `write:issue`"
    assert "/user/settings/applications" in account.remedy[0]


async def test_a_repository_that_no_webhook_came_from_is_named(stage: Stage) -> None:
    await stage.known.look(REPO)
    assert (await examined(stage))["webhook ann/app"].says == "none has come yet"

    await stage.issue()
    await stage.hear()

    found = await examined(stage)
    assert found["webhook ann/app"].mark is Mark.WELL
    assert "webhook secret" not in found


async def test_that_the_last_delivery_was_refused_is_said_until_one_is_taken(stage: Stage) -> None:
    """Whoever changed the secret in one place only heard nothing of it for minutes."""
    await stage.known.look(REPO)
    stage.clock.advance(60)
    stage.webhooks.refused()
    stage.clock.advance(60)

    found = (await examined(stage))["webhook secret"]

    assert found.says == "the last delivery was refused 60 s ago: it has no right signature"
    assert found.mark is Mark.WARN
    await stage.issue()
    await stage.hear()
    assert "webhook secret" not in await examined(stage)


async def test_who_of_the_fleet_could_merge_alone_is_named(stage: Stage) -> None:
    await stage.ann.protect(REPO, "main", [])
    branch = (await examined(stage))["branch ann/app"]
    assert branch.mark is Mark.WARN
    assert branch.says == f"`{BOT}` could merge into `main` alone"


@pytest.mark.parametrize("letters", [0, 1])
async def test_all_that_healthz_complains_of_is_among_the_findings(
    stage: Stage, letters: int
) -> None:
    for _ in range(letters):
        await given_dead_letter(stage)
    found = await examined(stage)
    health = await stage.health.check()
    assert {name for name, said in health.checks.items() if said != "ok"} == {
        name for name in health.checks if found[name].mark is Mark.BAD
    }
