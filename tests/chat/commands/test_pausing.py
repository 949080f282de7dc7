"""People hold the fleet, a repository or an agent, and let it go on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from fleetbot.chat.speaking.destinations import destination
from fleetbot.domain import commands as cmd
from fleetbot.domain.events import AgentRegistered
from fleetbot.domain.model import Policy, RunId, TaskState
from fleetbot.domain.usage import Budget, Usage
from fleetbot.settings import RoomSettings
from tests.chat.dialogue import ROOM, Dialogue, dialogue
from tests.services.stage import CLAUDE, REPO, TEST, Stage

RUN = RunId("r-new")


@pytest.fixture
async def chat(stage: Stage) -> AsyncIterator[Dialogue]:
    """Issue 1 is a task that waits, and claude-1 could take it."""
    await stage.issue()
    await stage.hear()
    await stage.fleet.commit(cmd.RegisterAgent(CLAUDE, AgentRegistered(adapter="command")), TEST)
    async with dialogue(stage) as chat:
        stage.told = [destination(ROOM)]
        yield chat


async def state_after_a_claim(chat: Dialogue) -> TaskState:
    run = RunId(f"r{chat.stage.fleet.state.seq}")
    await chat.stage.fleet.commit(cmd.Dispatch(CLAUDE, run), TEST)
    return (await chat.stage.task()).state


@pytest.mark.parametrize("target", ["", " fleet", " ann/app", " app", " claude-1", " @Claude-1"])
async def test_nothing_new_is_given_until_somebody_resumes(chat: Dialogue, target: str) -> None:
    await chat.says("mod", f"!fleet pause{target}")
    assert await state_after_a_claim(chat) is TaskState.CREATED

    await chat.says("mod", f"!fleet resume{target}")
    assert await state_after_a_claim(chat) is TaskState.ASSIGNED


async def test_a_pause_outlives_a_restart(chat: Dialogue) -> None:
    await chat.says("mod", "!fleet pause")
    await chat.says("mod", "!fleet pause app")
    await chat.says("mod", "!fleet drain claude-1")
    await chat.stage.fleet.close()
    chat.stage.restart()
    await chat.stage.fleet.start()

    state = chat.stage.fleet.state
    assert state.frozen
    assert state.frozen.by == "matrix:@mod:localhost"
    assert list(state.places.frozen) == [chat.stage.repo_id]
    assert state.agents[CLAUDE].draining


async def test_the_fleet_is_paused_and_says_what_goes_on(chat: Dialogue) -> None:
    await chat.stage.given_running()

    await chat.says("mod", "!fleet pause")
    chat.answers(
        "⏸️ The fleet is paused. Nothing new is given out.\n"
        "It goes on with:\n"
        "• ann/app#1 Add a greeting, with claude-1\n"
        "Go on: !fleet resume"
    )
    chat.stage.clock.advance(300)
    await chat.says("ann", "!fleet pause")
    chat.answers("⏸️ The fleet is paused already, by mod, 5 min ago. Nothing new is given out.\n…")

    await chat.says("ann", "!fleet resume")
    chat.answers("▶️ The fleet goes on.")
    await chat.says("ann", "!fleet resume")
    chat.answers("▶️ The fleet is not paused.")


async def test_a_repository_is_paused(chat: Dialogue) -> None:
    await chat.says("mod", "!fleet pause app")
    chat.answers(
        "⏸️ ann/app is paused. Nothing new is given out.\n"
        "Nothing is at work.\n"
        "Go on: !fleet resume ann/app"
    )
    await chat.says("bob", "!fleet why #1")
    chat.answers("…mod has paused ann/app.\n…\n👉 Go on: !fleet resume ann/app.")

    await chat.says("mod", "!fleet resume ann/app")
    chat.answers("▶️ ann/app goes on.")


async def test_an_agent_is_drained_and_says_when_it_can_be_switched_off(chat: Dialogue) -> None:
    await chat.says("mod", "!fleet drain claude-1")
    chat.answers(
        "💤 claude-1 takes nothing new.\n"
        "It is at nothing: it can be switched off.\n"
        "Go on: !fleet resume claude-1"
    )
    await chat.says("mod", "!fleet pause claude-1")
    chat.answers("💤 claude-1 takes nothing new already.\n…")

    await chat.says("mod", "!fleet resume claude-1")
    chat.answers("▶️ claude-1 takes tasks again.")
    await chat.says("mod", "!fleet resume claude-1")
    chat.answers("▶️ claude-1 is not paused.")


async def test_the_status_tells_first_that_the_fleet_is_paused(chat: Dialogue) -> None:
    await chat.says("mod", "!fleet pause")

    await chat.says("bob", "!fleet status")

    chat.answers("…⏸️ The fleet is paused, by mod, just now …👉 Go on: !fleet resume…")


async def test_other_rooms_hear_who_it_was_and_this_one_its_answer_only(chat: Dialogue) -> None:
    chat.stage.told = [destination(ROOM), destination("!other:localhost")]
    for command in ("pause", "resume", "pause app", "resume app", "drain claude-1"):
        await chat.says("mod", f"!fleet {command}")

    due = await chat.stage.store.due(chat.stage.clock.now, {"matrix": 10})
    assert [entry.entry.destination for entry in due] == [destination("!other:localhost")]


async def test_a_room_hears_what_was_wished_elsewhere(chat: Dialogue) -> None:
    fleet, by = chat.stage.fleet, TEST
    for command in (cmd.PauseFleet(), cmd.ResumeFleet(), cmd.DrainAgent(CLAUDE)):
        await fleet.commit(command, by)

    await chat.tells(
        "⏸️ The fleet is paused, says test\n"
        "Nothing new is given out. What is at work goes on.\n"
        "Go on: !fleet resume",
        "▶️ The fleet goes on, says test",
        "💤 claude-1 takes nothing new, says test\n"
        "What is at work goes on.\n"
        "Go on: !fleet resume claude-1",
    )


async def test_people_who_pause_at_once_pause_it_once(chat: Dialogue) -> None:
    async def pauses(who: str) -> None:
        await chat.says(who, "!fleet pause")

    await asyncio.gather(pauses("ann"), pauses("mod"))

    said = [message.text.splitlines()[0] for message in chat.server.messages]
    assert sorted("already" in line for line in said) == [False, True]
    assert len(await chat.stage.journal("fleet")) == 1


async def test_a_fleet_that_rests_for_its_budget_as_well_says_so(chat: Dialogue) -> None:
    fleet = chat.stage.fleet
    fleet.policy = Policy(day_budget=Budget(tokens=1))
    run = await chat.stage.given_running()
    fleet.note_usage(CLAUDE, {run.id: Usage(output_tokens=2)})
    await chat.says("mod", "!fleet pause")
    await fleet.commit(cmd.Expire(), TEST)

    await chat.says("mod", "!fleet resume")
    chat.answers("▶️ The fleet goes on.\n🌙 The fleet rests: the fleet's budget for the day …")
    await chat.says("mod", "!fleet resume")
    chat.answers("▶️ The fleet is not paused.\n🌙 The fleet rests: …")


async def test_the_same_message_does_not_pause_again_what_was_resumed(chat: Dialogue) -> None:
    said = {"msgtype": "m.text", "body": "!fleet pause"}
    await chat.sends("mod", "m.room.message", said, event="$once")
    await chat.says("mod", "!fleet resume")

    await chat.sends("mod", "m.room.message", said, event="$once")

    assert chat.stage.fleet.state.frozen is None


@pytest.mark.parametrize(
    ("target", "answer"),
    [
        ("claud-1", "⚠️ There is no agent or repository claud-1; did you mean claude-1?"),
        ("ap", "⚠️ There is no agent or repository ap; did you mean app?"),
        ("fleat", "⚠️ There is no agent or repository fleat; did you mean fleet?"),
        ("xyzzy", "⚠️ There is no agent or repository xyzzy; !fleet agents tells what there is."),
        ("ann/other", "⚠️ The fleet does not work on ann/other; it does on: ann/app."),
    ],
)
async def test_what_is_unknown_gets_the_nearest(chat: Dialogue, target: str, answer: str) -> None:
    for command in ("pause", "resume"):
        await chat.says("mod", f"!fleet {command} {target}")
        chat.answers(answer)


async def test_who_may_not_is_refused(chat: Dialogue) -> None:
    for command in ("pause", "resume", "drain claude-1"):
        await chat.says("bob", f"!fleet {command}")
        chat.answers("⚠️ Sorry, … takes power level 50 …")
    assert chat.stage.fleet.state.frozen is None


async def test_a_repository_of_another_room_is_not_paused(stage: Stage) -> None:
    async with dialogue(stage, RoomSettings(repos=("team/web",))) as chat:
        await chat.says("mod", f"!fleet pause {REPO}")
        chat.answers("⚠️ ann/app is not a repository of this room.")
