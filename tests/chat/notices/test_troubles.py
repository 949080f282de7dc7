"""Troubles of agents, repositories and the fleet: what comes together is told together."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import pytest

from fleetbot.domain import commands as cmd
from fleetbot.domain.effects import FleetNotice, NoticeKind
from fleetbot.domain.model import AgentName, Policy
from fleetbot.domain.reasons import ReasonCode
from fleetbot.domain.usage import Budget, Usage
from fleetbot.services.notices import tell
from fleetbot.settings import RoomSettings
from fleetbot.store.records import Anchor
from tests.chat.coordination import OPERATOR, ROOM, Coordination, coordination
from tests.domain.builders import A1, A2, R1, R2, T2, a_task, an_agent, dispatch, fail, start
from tests.services.stage import Stage

OTHER = "!other:localhost"
TWELVE = [AgentName(f"a{number}") for number in range(1, 13)]


@pytest.fixture
async def room(stage: Stage) -> AsyncIterator[Coordination]:
    async with coordination(stage) as made:
        yield made


async def nobody_is_heard_of(room: Coordination) -> None:
    room.stage.clock.advance(3600)
    await room.when(cmd.Expire())


async def test_an_agent_that_goes_offline_rings_for_those_who_look_after_the_fleet(
    room: Coordination,
) -> None:
    await room.when(an_agent())
    await nobody_is_heard_of(room)
    assert room.only.lines == [
        "🔌 claude-1 is offline",
        "What it was doing goes back to the queue. Look at its runner.",
        "🙋 olga",
    ]
    assert room.only.rings
    assert room.only.mentions == [OPERATOR]


async def test_that_it_is_back_is_an_edit(room: Coordination) -> None:
    await room.when(an_agent())
    await nobody_is_heard_of(room)
    await room.restart()
    await room.later(715)
    await room.when(cmd.AgentSeen(A1))
    assert room.only.lines == ["🟢 claude-1 is back online, after 12 min"]
    assert room.only.edits == 1


async def test_twelve_agents_that_go_offline_at_once_are_one_message(room: Coordination) -> None:
    await room.when(*map(an_agent, TWELVE))
    await nobody_is_heard_of(room)
    assert room.only.first == "🔌 12 agents are offline: a1, a2, a3, a4, a5 and 7 more"
    assert room.only.edits == 0
    await room.when(*map(cmd.AgentSeen, TWELVE[:2]))
    assert room.only.lines[0] == "🔌 10 agents are offline: a3, a4, a5, a6, a7 and 5 more"
    assert room.only.lines[-1] == "🟢 Over: a1, a2"
    await room.when(*map(cmd.AgentSeen, TWELVE[2:]))
    assert room.only.first == "🟢 All over: a1, a2, a3, a4, a5 and 7 more"


async def test_one_that_comes_and_goes_is_counted(room: Coordination) -> None:
    await room.when(an_agent())
    await nobody_is_heard_of(room)
    for _ in range(2):
        await room.when(cmd.AgentSeen(A1))
        room.stage.fleet.saw(A1, ())
        await room.later(300)
        await room.when(cmd.Expire())
    assert room.only.first == "🔌 claude-1 is offline"
    assert room.only.lines[-1].startswith("🔂 3 times in 10 min, last on ")


async def test_hours_later_it_is_news_again(room: Coordination) -> None:
    await room.when(an_agent())
    await nobody_is_heard_of(room)
    await room.when(cmd.AgentSeen(A1))
    await nobody_is_heard_of(room)
    back, gone = room.news
    assert (back.first[0], gone.first[0]) == ("🟢", "🔌")
    assert gone.rings


@pytest.mark.parametrize("leave", [cmd.DeregisterAgent, cmd.RevokeAgent])
async def test_one_that_has_left_and_comes_again_is_heard_of_when_it_goes_offline_again(
    room: Coordination, leave: Callable[[AgentName], cmd.Command]
) -> None:
    await room.when(an_agent())
    await nobody_is_heard_of(room)
    await room.when(leave(A1))
    await room.when(an_agent())
    await nobody_is_heard_of(room)
    about = [message.first for message in room.news if "lost its token" not in message.first]
    assert about == ["🟢 claude-1 is back online, after 10 s", "🔌 claude-1 is offline"]


async def test_one_that_was_resumed_by_a_person_is_heard_of_when_it_is_unwell_again(
    room: Coordination,
) -> None:
    await room.when(an_agent(), a_task(), dispatch(), start())
    await room.when(fail(ReasonCode.AUTH_FAILED))
    await room.when(cmd.ResumeAgent(A1))
    room.stage.clock.advance(3600)
    room.stage.fleet.saw(A1, ())
    await room.when(dispatch(run=R2), start(R2), fail(ReasonCode.AUTH_FAILED, run=R2))
    assert [message.first for message in room.news if "is unwell" in message.first] == [
        "🤒 claude-1 is unwell: the agent program is not logged in",
        "🤒 claude-1 is unwell: the agent program is not logged in",
    ]


async def test_agents_that_never_come_back_are_not_remembered_for_ever(room: Coordination) -> None:
    for number in range(60):
        name = AgentName(f"ci-{number}")
        await room.when(an_agent(name))
        await nobody_is_heard_of(room)
        await room.when(cmd.RevokeAgent(name))
    kept = await room.stage.store.anchor(f"troubles:{ROOM}:offline")
    assert kept
    assert kept.count("ci-") == 50


async def test_what_is_over_before_the_room_could_hear_is_not_said(room: Coordination) -> None:
    await room.when(an_agent())
    room.server.away = True
    await nobody_is_heard_of(room)
    await room.given(cmd.AgentSeen(A1))
    room.server.away = False
    await room.later(3600)
    assert room.news == []


async def test_an_agent_that_is_unwell_is_told_with_what_to_do(room: Coordination) -> None:
    await room.when(an_agent(), a_task(), dispatch(), start())
    await room.when(fail(ReasonCode.AUTH_FAILED, detail="Invalid API key"))
    assert room.only.lines[:4] == [
        "🤒 claude-1 is unwell: the agent program is not logged in",
        "> Invalid API key",
        "Log in on the agent's machine; fleetbot check there says whether that was all.",
        "It takes nothing until its check passes; no task pays for it.",
    ]
    await room.when(an_agent())
    assert room.only.first.startswith("🟢 claude-1 is well again, after ")


async def test_a_usage_limit_rings_nobody(room: Coordination) -> None:
    await room.when(an_agent(), a_task(), dispatch(), start())
    until = room.stage.clock() + 3_600_000
    await room.when(fail(ReasonCode.USAGE_LIMIT, until=until))
    assert room.only.first == "💤 claude-1 has reached its usage limit"
    assert room.only.lines[1].startswith("It takes tasks again from ")
    assert not room.only.rings
    assert room.only.mentions == []


async def test_a_spent_day_is_told_once_and_its_end_is_an_edit(room: Coordination) -> None:
    fleet = room.stage.fleet
    fleet.policy = Policy(day_budget=Budget(usd=1))
    await room.when(an_agent(), a_task(), dispatch(), start())
    fleet.note_usage(A1, {R1: Usage(output_tokens=1200, cost_usd=1.5)})
    await room.when(cmd.Expire())
    assert room.only.lines[:2] == [
        "🌙 The fleet rests: the fleet's budget for the day is used up",
        "Spent today: 1.2k out, $1.50.",
    ]
    assert room.only.mentions == [OPERATOR]
    fleet.policy = Policy()
    await room.when(cmd.Expire())
    assert room.only.first.startswith("▶️ The fleet goes on, after ")


async def test_repositories_that_are_held_together_are_one_message(room: Coordination) -> None:
    names = ("team/app", "team/site", "team/docs")
    for number, name in enumerate(names, 1):
        await room.given(cmd.NoteRepo(number, name, "main", name))
    await room.when(*(cmd.HoldRepo(n, ReasonCode.REPO_ARCHIVED) for n in (1, 2, 3)))
    assert room.only.lines[:2] == [
        "⏸️ 3 repositories are held",
        "• team/app, team/site, team/docs: the repository is archived",
    ]
    await room.when(cmd.ReleaseRepo(1))
    assert "🟢 Over: team/app" in room.only.lines


async def test_forgejo_that_is_away_and_back_is_one_message(room: Coordination) -> None:
    fleet, since = room.stage.fleet, room.stage.clock() - 300_000
    away = FleetNotice(notice=NoticeKind.FORGE_AWAY, since=since, detail="GET /user -> 401")
    await tell(fleet, away, Anchor(key="x", value="1"))
    await room.later(5)
    assert room.only.first.startswith("🔌 Forgejo cannot be used, since ")
    assert room.only.lines[1] == "> GET /user -> 401"
    back = FleetNotice(notice=NoticeKind.FORGE_BACK, since=since)
    await tell(fleet, back, Anchor(key="x", value=""))
    await room.later(5)
    assert room.only.lines == ["🔌 Forgejo can be used again, after 5 min; what waited goes on"]


async def test_letters_that_could_not_be_delivered_are_counted_with_the_way_out(
    room: Coordination,
) -> None:
    for letters in (1, 2):
        notice = FleetNotice(notice=NoticeKind.GIVEN_UP, letters=letters)
        await tell(room.stage.fleet, notice, Anchor(key="x", value=str(letters)))
        await room.later(60)
    assert room.only.lines[:2] == [
        "📪 2 messages to Forgejo or a room could not be delivered",
        "Nothing of it is lost: !fleet doctor shows it and sends it again.",
    ]
    assert room.only.edits == 1


async def test_a_room_hears_of_the_agents_that_work_for_it(stage: Stage) -> None:
    rooms = {
        ROOM: RoomSettings(repos=("team/app",)),
        OTHER: RoomSettings(repos=("team/site",)),
        "!all:localhost": RoomSettings(),
    }
    async with coordination(stage, rooms) as room:
        await room.when(an_agent(A1), an_agent(A2), a_task(), a_task(T2, repo="team/site"))
        await room.when(dispatch(A1), start(), dispatch(A2, "r2"), start("r2", A2))  # type: ignore[arg-type]  # ids are strings
        await room.restart()
        await nobody_is_heard_of(room)
        firsts = {message.room: message.first for message in room.news}
    assert firsts == {
        ROOM: "🔌 claude-1 is offline",
        OTHER: "🔌 codex-1 is offline",
        "!all:localhost": "🔌 2 agents are offline: claude-1, codex-1",
    }


async def test_an_agent_that_nobody_would_hear_of_is_everybodys(stage: Stage) -> None:
    rooms = {ROOM: RoomSettings(repos=("team/app",)), OTHER: RoomSettings(repos=("team/site",))}
    async with coordination(stage, rooms) as room:
        await room.when(an_agent())
        await nobody_is_heard_of(room)
        assert {message.room for message in room.news} == {ROOM, OTHER}


@pytest.mark.parametrize("leave", [cmd.DeregisterAgent, cmd.RevokeAgent])
async def test_one_that_was_forgotten_while_it_was_offline_is_heard_of_once_it_is_enrolled_again(
    room: Coordination, leave: Callable[[AgentName], cmd.Command]
) -> None:
    await room.when(an_agent())
    await nobody_is_heard_of(room)
    await room.when(leave(A1), cmd.ForgetAgent(A1))
    await room.when(an_agent())
    await nobody_is_heard_of(room)
    about = [message.first for message in room.news if "lost its token" not in message.first]
    assert about == ["🟢 claude-1 is back online, after 10 s", "🔌 claude-1 is offline"]
