"""The bot leads to the board: a link for who asks, alone; a widget for a room; an end to all."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from typing import Any

import pytest

from fleetbot.chat.commands.boarding import Boarding
from fleetbot.chat.commands.desk import Desk
from fleetbot.chat.commands.said import Said
from fleetbot.chat.commands.spec import Board
from fleetbot.chat.speaking.direct import Begun, Told
from fleetbot.chat.speaking.power import Power
from fleetbot.chat.speaking.widgets import KEY, KIND, Widgets
from fleetbot.chat.words.rich import Rich
from fleetbot.domain.errors import Conflict, Forbidden, Invalid
from fleetbot.services.outbox import RetryLater
from fleetbot.settings import RoomSettings
from tests.services.stage import REPO, Stage

BOT, ANN = "@fleetbot:hs", "@ann:hs"


def said(event: str = "$1", *repos: str) -> Said:
    return Said(ANN, event, "!now:hs", "!r:hs", RoomSettings(repos=repos), "!fleet board")


class Room:
    """Whom the bot tells what alone, and the room's state; `levels` are those of its people."""

    def __init__(self, stage: Stage, *, is_framed: bool = True) -> None:
        self.stage = stage
        self.told: list[tuple[str, Rich]] = []
        self.state: dict[tuple[str, str], Any] = {}
        self.levels: dict[str, int] = {ANN: 50, BOT: 50}
        self.why = ""
        self.admitted: list[str] = []
        widgets = Widgets(self.set_state, self.power, BOT, "https://fleet.example/plugin")
        desk = Desk(stage.fleet, stage.tasks, stage.references, stage.labels.trigger)
        self.boarding = Boarding(
            desk, stage.passes, widgets, self.tell, self.admit, is_framed=is_framed
        )

    async def tell(self, user: str, words: Rich, named: str, begun: Begun) -> Told:
        if self.why:
            raise RetryLater(None, self.why)
        self.told.append((user, words))
        return Told("!alone:hs", "$told", waits=False)

    async def set_state(self, room: str, kind: str, key: str, content: Any) -> None:
        self.state[room, kind] = content
        assert key == KEY

    async def power(self, room: str, event: str) -> Power:
        return Power({"users": self.levels}, {"sender": "@admin:hs", "content": {}})

    async def admit(self, name: str, said: Said) -> None:
        self.admitted.append(name)

    async def says(self, word: str = "", event: str = "$1", *repos: str) -> str:
        answer = await self.boarding.board(Board(word), said(event, *repos))
        return answer.body.text

    @property
    def key(self) -> str:
        """That of the link told last, as it stands in its address."""
        found = re.search(r"https://fleet\.example/plugin/board/#key=(\S+)", self.told[-1][1].text)
        assert found
        return found[1]


@pytest.fixture
def room(stage: Stage) -> Room:
    return Room(stage)


async def test_a_link_is_told_to_who_asked_and_to_nobody_else(room: Room) -> None:
    answer = await room.says("", "$1", REPO)

    assert answer == "🗺️ I have sent you a direct message with a link to the board."
    ((user, words),) = room.told
    assert user == ANN
    assert f"It shows {REPO}, as !r:hs hears of, and changes nothing." in words.text
    assert "good once, for 15 min" in words.text
    assert f'<a href="https://fleet.example/plugin/board/#key={room.key}">' in words.html
    viewer = (await room.stage.passes.open(room.key)).viewer
    assert (viewer.user, viewer.room) == (ANN, "!r:hs")


async def test_the_link_is_in_no_file_of_ours(room: Room) -> None:
    await room.says()

    with closing(sqlite3.connect(room.stage.root / "fleet.db")) as database:
        dump = "\n".join(database.iterdump())
    assert room.key not in dump


async def test_the_same_message_gets_one_link_only(room: Room) -> None:
    await room.says()
    assert await room.says() == "🗺️ I have sent you a direct message with a link to the board."
    assert len(room.told) == 1


async def test_where_it_cannot_be_told_alone_there_is_no_link(room: Room) -> None:
    room.why = "403 no invitations, please"
    with pytest.raises(Conflict, match="could not be sent to you alone, so there is none: 403"):
        await room.says()


async def test_a_widget_is_added_and_lets_nobody_in_by_itself(room: Room) -> None:
    assert "widget of this room now" in await room.says("widget")

    widget = room.state["!now:hs", KIND]
    assert widget["url"] == "https://fleet.example/plugin/board/"
    assert (widget["type"], widget["creatorUserId"]) == ("m.custom", BOT)
    assert "no widget" in await room.says("remove")
    assert room.state["!now:hs", KIND] == {}


async def test_a_widget_takes_the_power_of_both(room: Room) -> None:
    room.levels[BOT] = 0
    with pytest.raises(Forbidden, match=r"takes power level 50, and I have 0.*/addwidget https:"):
        await room.says("widget")
    room.levels[ANN] = 10
    with pytest.raises(Forbidden, match="take power level 50 in this room, and you have 10"):
        await room.says("remove")
    assert room.state == {}


async def test_a_widget_that_no_page_may_show_is_not_added(stage: Stage) -> None:
    with pytest.raises(Conflict, match=r"`board\.frames`"):
        await Room(stage, is_framed=False).says("widget")


async def test_all_links_and_sessions_can_be_withdrawn(room: Room) -> None:
    await room.says()
    assert "No link and no session" in await room.says("withdraw", "$2")

    assert room.admitted == ["revoke"]
    with pytest.raises(Forbidden, match="withdrawn"):
        await room.stage.passes.open(room.key)
    await room.says("", "$3")
    await room.says("withdraw", "$2")
    await room.stage.passes.open(room.key)


async def test_other_words_are_named(room: Room) -> None:
    with pytest.raises(Invalid, match=r"'now'\. There is: widget, remove, withdraw"):
        await room.says("now")
