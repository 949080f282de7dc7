"""People let an agent in and take it out; the token is for who asked, alone."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from fleetbot.chat.commands.desk import Desk
from fleetbot.chat.commands.enrolling import Enrolling, TokenMessages
from fleetbot.chat.commands.said import Said
from fleetbot.chat.commands.spec import Enrol, Revoke
from fleetbot.chat.speaking.direct import Begun, Told
from fleetbot.chat.words.rich import Rich
from fleetbot.domain import commands as cmd
from fleetbot.domain.errors import Conflict, Invalid, NotFound
from fleetbot.domain.events import AgentRegistered
from fleetbot.domain.model import AgentName, TaskState
from fleetbot.services.access import Access, TokenSets
from fleetbot.services.enrolments import why_over
from fleetbot.services.outbox import RetryLater
from fleetbot.settings import RoomSettings
from fleetbot.store.identities import Enrolment
from tests.services.stage import CLAUDE, REPO, TEST, Stage

NEW = AgentName("claude-2")


def said(event: str = "$1", body: str = "!fleet enrol claude-2") -> Said:
    return Said("@ann:hs", event, "!r:hs", "!r:hs", RoomSettings(default_repo=REPO), body)


class Killed(BaseException):
    """The process ends there."""


class Alone:
    """What people were told alone; `why`: they cannot be; `is_killed`: once they have been."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.words: list[tuple[str, str]] = []
        self.names: list[str] = []
        self.why = ""
        self.waits = self.is_killed = False
        self.desk = Desk(stage.fleet, stage.tasks, stage.references, stage.labels.trigger)
        self.enrolling = Enrolling(self.desk, stage.enrolments, self.tell, "https://fleet.example")

    async def tell(self, user: str, words: Rich, named: str, begun: Begun) -> Told:
        await begun("!alone:hs")
        if self.why:
            raise RetryLater(None, self.why)
        self.words.append((user, words.text))
        self.names.append(named)
        if self.is_killed:
            raise Killed
        return Told("!alone:hs", f"$told{len(self.words)}", self.waits)

    @property
    def token(self) -> str:
        """The one told last."""
        _, text = self.words[-1]
        return text.partition('enrolment_token = "')[2].partition('"')[0]

    async def enrolment(self) -> Enrolment:
        found = await Access(self.stage.store, TokenSets()).enrolment(self.token)
        assert found
        return found


@pytest.fixture
def alone(stage: Stage) -> Alone:
    return Alone(stage)


async def test_the_token_is_told_to_who_asked_and_to_nobody_else(alone: Alone) -> None:
    answer = await alone.enrolling.enrol(Enrol(NEW), said())

    assert answer.body.text == "🔑 I have sent you a direct message with a token for claude-2."
    ((user, words),) = alone.words
    assert user == "@ann:hs"
    assert words.splitlines() == [
        "🔑 A token for claude-2, good once, until used or lapsed.",
        "In the runner's config.toml:",
        "[orchestrator]",
        'url = "https://fleet.example"',
        f'enrolment_token = "{alone.token}"',
        "",
        "[[agents]]",
        'name = "claude-2"',
        'adapter = "claude-code"  # or codex, command',
        "Then: fleetbot runner -c config.toml",
        words.splitlines()[-1],
    ]
    assert words.splitlines()[-1].startswith("It lapses in 60 min, at ")
    assert why_over(await alone.enrolment(), alone.stage.clock.now) == ""


async def test_the_token_is_in_no_file_of_ours(alone: Alone) -> None:
    await alone.enrolling.enrol(Enrol(NEW), said())

    with closing(sqlite3.connect(alone.stage.root / "fleet.db")) as database:
        dump = "\n".join(database.iterdump())
    assert alone.token
    assert alone.token not in dump


async def test_who_must_accept_an_invitation_is_told_so(alone: Alone) -> None:
    alone.waits = True
    answer = await alone.enrolling.enrol(Enrol(NEW), said())
    assert answer.body.text.endswith("\nAccept the invitation to read it.")


async def test_where_it_cannot_be_told_there_is_no_token(alone: Alone) -> None:
    alone.why = "403 M_FORBIDDEN no invitations, please"

    with pytest.raises(Conflict, match="could not be sent to you alone, so there is none: 403"):
        await alone.enrolling.enrol(Enrol(NEW), said())

    (made,) = await alone.stage.store.enrolments_of(NEW)
    assert "has expired" in why_over(made, alone.stage.clock.now)
    assert not await alone.desk.is_done(said())


async def test_the_same_message_sends_one_token(alone: Alone) -> None:
    await alone.enrolling.enrol(Enrol(NEW), said())
    again = await alone.enrolling.enrol(Enrol(NEW), said())

    assert len(alone.words) == 1
    assert again.body.text.startswith("🔑 I have sent you a direct message")


async def test_a_newer_token_takes_the_place_of_the_first(alone: Alone) -> None:
    await alone.enrolling.enrol(Enrol(NEW), said("$1"))
    first = await alone.enrolment()
    await alone.enrolling.enrol(Enrol(NEW), said("$2"))

    now, store = alone.stage.clock.now, alone.stage.store
    again = await store.enrolment(first.hash)
    assert again
    assert "has expired" in why_over(again, now)
    assert why_over(await alone.enrolment(), now) == ""


async def test_an_agent_that_is_online_is_not_enrolled(alone: Alone) -> None:
    await alone.stage.fleet.commit(cmd.RegisterAgent(NEW, AgentRegistered(adapter="command")), TEST)
    with pytest.raises(Conflict, match="is online and has a token: stop or revoke it first"):
        await alone.enrolling.enrol(Enrol(NEW), said())
    with pytest.raises(Invalid, match="cannot be an agent's name"):
        await alone.enrolling.enrol(Enrol(AgentName("Ann's")), said())
    assert alone.words == []


# messages that have a token


async def test_the_message_is_taken_away_when_the_token_is_over(alone: Alone) -> None:
    stage, taken = alone.stage, Taken()
    messages = TokenMessages(stage.enrolments, taken)
    await alone.enrolling.enrol(Enrol(NEW), said())
    await messages.tick()
    assert taken.away == []

    stage.clock.advance(3600)
    taken.why = "the homeserver is away"
    await messages.tick()
    taken.why = ""
    await messages.tick()
    await messages.tick()

    assert taken.away == [("!alone:hs", "$told1")]


async def test_so_is_one_that_was_told_just_before_we_were_killed(alone: Alone) -> None:
    """It is known by its name; the person has got another token meanwhile."""
    stage, taken = alone.stage, Taken()
    messages = TokenMessages(stage.enrolments, taken)
    alone.is_killed = True
    with pytest.raises(Killed):
        await alone.enrolling.enrol(Enrol(NEW), said())
    first, alone.is_killed = await alone.enrolment(), False

    await alone.enrolling.enrol(Enrol(NEW), said())
    await messages.tick()

    assert taken.away == [("!alone:hs", "")]
    assert taken.names == alone.names[:1]
    assert "has expired" in why_over(
        await stage.store.enrolment(first.hash) or first, stage.clock.now
    )
    stage.clock.advance(3600)
    await messages.tick()
    assert taken.away == [("!alone:hs", ""), ("!alone:hs", "$told2")]


class Taken:
    """What was taken away; `why`: nothing can be now."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.away: list[tuple[str, str]] = []
        self.why = ""

    async def __call__(self, room: str, named: str, event: str) -> None:
        if self.why:
            raise RetryLater(None, self.why)
        self.names.append(named)
        self.away.append((room, event))


# revoking


async def test_an_agent_is_revoked_and_what_it_was_at_goes_back(alone: Alone) -> None:
    stage = alone.stage
    await stage.issue()
    await stage.hear()
    await stage.given_running()

    answer = await alone.enrolling.revoke(Revoke(CLAUDE), said(body="!fleet revoke claude-1"))

    assert answer.body.text == (
        "🔑 claude-1 has lost its token. Nobody speaks for it any more.\n"
        "What it was at goes back to the queue:\n"
        "• ann/app#1 Add a greeting\n"
        "A runner with a token of auth.enrolment_tokens has it back within seconds: to keep it "
        "out, take that one away, too.\n"
        "Anew: !fleet enrol claude-1"
    )
    assert stage.fleet.state.agents[CLAUDE].revoked
    assert (await stage.task()).state is TaskState.CREATED

    again = await alone.enrolling.revoke(Revoke(CLAUDE), said("$2"))
    assert again.body.text.startswith("🔑 claude-1 has lost its token already.")


async def test_a_token_that_nobody_has_used_yet_is_withdrawn(alone: Alone) -> None:
    await alone.enrolling.enrol(Enrol(NEW), said("$1"))

    answer = await alone.enrolling.revoke(Revoke(NEW), said("$2"))

    assert answer.body.text == "🔑 The token to enrol claude-2 with is withdrawn."
    assert "has expired" in why_over(await alone.enrolment(), alone.stage.clock.now)


async def test_an_agent_that_nobody_knows_cannot_be_revoked(alone: Alone) -> None:
    with pytest.raises(NotFound, match="There is no agent claude-2"):
        await alone.enrolling.revoke(Revoke(NEW), said())
