"""Who speaks first to a homeserver that limits us; time passes when the test says so."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest

from fleetbot.chat.speaking.content import content
from fleetbot.chat.speaking.link import Link
from fleetbot.chat.speaking.pace import Limited, Pace, Urgency
from fleetbot.chat.speaking.sender import RoomSender
from fleetbot.chat.words.post import Post
from fleetbot.chat.words.rich import say
from fleetbot.services.outbox import RetryLater, TooSoon
from fleetbot_devkit.homeserver import MESSAGES_LIMITED, Homeserver
from tests.chat.rooms import LimitedHomeserver, client_of, limited_homeserver, same
from tests.services.stage import Clock, Stage

ROOM = "!room:localhost"


class Hours(Clock):
    """A clock whose sleepers wake when it is advanced."""

    def __init__(self) -> None:
        super().__init__()
        self._asleep: set[asyncio.Event] = set()

    async def rest(self, seconds: float, news: asyncio.Event) -> None:
        self._asleep.add(woken := asyncio.Event())
        reasons = [asyncio.create_task(event.wait()) for event in (woken, news)]
        try:
            await asyncio.wait(reasons, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for reason in reasons:
                reason.cancel()

    def advance(self, seconds: float) -> None:
        super().advance(seconds)
        for sleeper in self._asleep:
            sleeper.set()
        self._asleep.clear()


class Speech:
    """The bot says words to a homeserver with Synapse's own limits: ten, and one every 5 s."""

    def __init__(self, server: LimitedHomeserver, link: Link, clock: Hours) -> None:
        self.server, self.link, self.clock = server, link, clock
        self.pace = link.pace

    async def says(self, word: str, urgency: Urgency) -> None:
        await self.link.send(ROOM, content(say(word)), word, urgency=urgency)

    async def logs(self) -> int:
        """Says as much as logs may, and how much that was."""
        for number in range(100):
            if self.pace.wait_ms(Urgency.LOG):
                return number
            try:
                await self.says(f"log {self.clock()} {number}", Urgency.LOG)
            except RetryLater:
                return number
        raise AssertionError("there is no limit")


@pytest.fixture
async def speech() -> AsyncIterator[Speech]:
    clock = Hours()
    async with limited_homeserver(clock) as server, client_of(server.user()) as client:
        speech = Speech(server, Link(client, Pace(clock, clock.rest)), clock)
        assert await speech.logs() == 10
        assert speech.pace.report().refusals == 1
        yield speech


async def test_a_question_overtakes_the_logs_that_wait(speech: Speech) -> None:
    async with asyncio.TaskGroup() as said:
        said.create_task(speech.says("may I?", Urgency.QUESTION))
        await asyncio.sleep(0)
        assert speech.pace.report().waiting["question"] == 1

        speech.clock.advance(5)
        assert await speech.logs() == 0

    assert speech.server.lines[-1] == "may I?"
    assert speech.server.refused == 1


async def test_answers_go_before_questions_that_came_first(speech: Speech) -> None:
    async with asyncio.TaskGroup() as said:
        question = said.create_task(speech.says("may I?", Urgency.QUESTION))
        answer = said.create_task(speech.says("3 tasks", Urgency.ANSWER))
        await asyncio.sleep(0)
        speech.clock.advance(5)
        await answer
        assert not question.done()
        speech.clock.advance(5)

    assert speech.server.lines[-2:] == ["3 tasks", "may I?"]


async def test_logs_leave_a_part_to_what_people_wait_for(speech: Speech) -> None:
    for _ in range(60):
        speech.clock.advance(5)
        await speech.logs()

    for number in range(4):
        await speech.says(f"answer {number}", Urgency.ANSWER)
    assert speech.server.lines[-4:] == [f"answer {number}" for number in range(4)]
    assert speech.server.refused == 1
    assert speech.pace.report().rate == pytest.approx(0.2)


async def test_cards_leave_less_than_logs_and_notices_less_than_cards(speech: Speech) -> None:
    waits = [speech.pace.wait_ms(urgency) for urgency in Urgency]

    assert waits == sorted(waits)
    assert len(set(waits[2:])) == 3


async def test_logs_that_have_waited_for_long_go_in_turn_with_cards(speech: Speech) -> None:
    speech.clock.advance(15)
    said = []
    for turn in range(6):
        speech.pace.hold(Urgency.LOG, 3, since=speech.clock() - 31_000)
        for urgency in (Urgency.CARD, Urgency.LOG):
            with suppress(RetryLater):
                await speech.says(f"{urgency.name} {turn}", urgency)
                said.append(urgency.name)
        speech.clock.advance(5)

    assert said == ["CARD", "LOG"] * 3
    assert speech.server.left >= 2, "the rest is for people"


async def test_logs_that_have_just_come_wait_for_cards(speech: Speech) -> None:
    speech.clock.advance(25)
    for turn in range(3):
        speech.pace.hold(Urgency.LOG, 3, since=speech.clock())
        await speech.says(f"card {turn}", Urgency.CARD)
        with pytest.raises(TooSoon):
            await speech.says(f"log {turn}", Urgency.LOG)
        speech.clock.advance(5)


async def test_whoever_has_to_come_again_is_told_when_the_next_may_go(speech: Speech) -> None:
    """And no turn is lost to one that was told to come and does not."""
    speech.clock.advance(5)
    for number in range(3):
        with pytest.raises(TooSoon) as told:
            await speech.says(f"card {number}", Urgency.CARD)
        assert told.value.at - speech.clock() == 10_000

    speech.clock.advance(10)
    for number in (2, 0, 1):
        await speech.says(f"card {number}", Urgency.CARD)
        assert speech.pace.wait_ms(Urgency.CARD) == 5_000
        speech.clock.advance(5)
    assert speech.server.refused == 1


async def test_there_is_plenty_while_hardly_anything_has_gone() -> None:
    clock = Hours()
    async with limited_homeserver(clock) as server, client_of(server.user()) as client:
        speech = Speech(server, Link(client, Pace(clock, clock.rest)), clock)
        assert speech.pace.has_plenty()
        assert not speech.pace.has_plenty(ahead=2)
        for number in range(2):
            assert speech.pace.has_plenty()
            await speech.says(f"card {number}", Urgency.CARD)
        assert not speech.pace.has_plenty()
        speech.clock.advance(5)
        assert speech.pace.has_plenty()


async def test_who_takes_more_than_synapse_does_by_default_has_plenty() -> None:
    clock = Hours()
    async with (
        limited_homeserver(clock, rate=5, burst=50) as server,
        client_of(server.user()) as client,
    ):
        speech = Speech(server, Link(client, Pace(clock, clock.rest)), clock)
        for number in range(12):
            await speech.says(f"card {number}", Urgency.CARD)
        assert speech.pace.has_plenty()


async def test_a_question_goes_before_the_buttons_of_another(speech: Speech, stage: Stage) -> None:
    """Which can be answered in words; this one cannot be answered before it is asked."""
    sender = RoomSender(speech.link, stage.store, speech.clock, same)
    for number in range(2):
        speech.clock.advance(5)
        question = Post(say(f"may I {number}?"), buttons=("✅", "❌"))
        with pytest.raises(TooSoon):
            await sender.post(ROOM, question, f"q{number}", urgency=Urgency.QUESTION)

    assert speech.server.lines[-2:] == ["may I 0?", "may I 1?"]


async def test_an_answer_that_would_come_too_late_is_not_waited_for() -> None:
    clock = Hours()
    async with (
        limited_homeserver(clock, rate=0.01, burst=1) as server,
        client_of(server.user()) as client,
    ):
        speech = Speech(server, Link(client, Pace(clock, clock.rest)), clock)
        await speech.says("3 tasks", Urgency.ANSWER)
        with pytest.raises(RetryLater) as told:
            await speech.says("4 tasks", Urgency.ANSWER)
    assert told.value.seconds == 100
    assert speech.pace.report().waiting["answer"] == 0


async def test_who_is_cut_off_leaves_the_line(speech: Speech) -> None:
    question = asyncio.create_task(speech.says("may I?", Urgency.QUESTION))
    await asyncio.sleep(0)
    speech.clock.advance(3)
    assert speech.pace.report().lag_ms == 3_000

    question.cancel()
    await asyncio.gather(question, return_exceptions=True)
    assert speech.pace.report().waiting["question"] == 0
    assert speech.pace.report().lag_ms == 0


async def logs_without_end(link: Link, room: str) -> None:
    for number in itertools.count():
        await link.send(room, content(say(f"log {number}")), f"{number}", urgency=Urgency.LOG)


async def test_synapse_itself_is_asked_for_no_more_than_it_gives(tmp_path: Path) -> None:
    async with Homeserver.start(tmp_path, rate_limits=MESSAGES_LIMITED) as homeserver:
        bot = await homeserver.register("bot", "password")
        room = await bot.create_room("Fleet")
        async with client_of(bot) as client:
            link = Link(client)
            with pytest.raises(RetryLater):
                await logs_without_end(link, room)
            question = content(say("may I?"))
            await link.send(room, question, "question", urgency=Urgency.QUESTION)

        assert link.pace.report().refusals <= 2
        assert link.pace.wait_ms(Urgency.LOG) > 0
        texts = [event.text for event in await bot.messages(room) if event.text]
    assert texts[-1] == "may I?"


async def test_a_clock_that_is_set_back_silences_nobody() -> None:
    clock = Hours()
    pace = Pace(clock, clock.rest)
    with pytest.raises(Limited):
        await pace.take(Urgency.LOG, refused)
    before = {urgency: pace.wait_ms(urgency) for urgency in Urgency}

    clock.advance(-3600)

    assert {urgency: pace.wait_ms(urgency) for urgency in Urgency} == before


async def refused() -> str:
    raise Limited(5.0, "429")
