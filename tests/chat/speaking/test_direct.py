"""Words for one person alone, on a real homeserver."""

from __future__ import annotations

from collections.abc import AsyncIterator
from urllib.parse import quote

import pytest

from fleetbot.chat.speaking.direct import Direct
from fleetbot.chat.speaking.link import Link
from fleetbot.chat.words.rich import say
from fleetbot_devkit.matrix_user import MatrixUser
from tests.chat.rooms import client_of
from tests.conftest import Register
from tests.services.stage import Stage


async def nobody(room: str) -> None:
    """Nobody hears where it will be told."""


class Scene:
    def __init__(
        self, ann: MatrixUser, bob: MatrixUser, bot: MatrixUser, link: Link, stage: Stage
    ) -> None:
        self.ann, self.bob, self.bot, self.link = ann, bob, bot, link
        self.direct = Direct(link, stage.store)

    async def tells(self, words: str, to: MatrixUser | None = None) -> str:
        """The room that the person was told it in."""
        told = await self.direct.tell((to or self.ann).user_id, say(words), words, nobody)
        return told.room


@pytest.fixture
async def scene(register: Register, stage: Stage) -> AsyncIterator[Scene]:
    ann, bob, bot = await register("ann"), await register("bob"), await register("bot")
    async with client_of(bot) as client:
        yield Scene(ann, bob, bot, Link(client), stage)


async def test_a_person_is_invited_and_reads_it(scene: Scene) -> None:
    told = await scene.direct.tell(scene.ann.user_id, say("For you alone"), "1", nobody)
    assert told.waits

    await scene.ann.join(told.room)

    assert [e.text for e in await scene.ann.messages(told.room) if e.text] == ["For you alone"]
    assert await scene.ann.members(told.room) == sorted([scene.ann.user_id, scene.bot.user_id])


async def test_the_room_is_used_again(scene: Scene) -> None:
    room = await scene.tells("first")
    assert await scene.tells("second") == room, "she is invited there"
    await scene.ann.join(room)

    told = await scene.direct.tell(scene.ann.user_id, say("third"), "3", nobody)

    assert (told.room, told.waits) == (room, False)
    texts = [e.text for e in await scene.ann.messages(room) if e.text]
    assert texts == ["first", "second", "third"]


async def test_it_is_a_direct_chat_of_the_bots_account(scene: Scene) -> None:
    rooms = {
        scene.ann.user_id: [await scene.tells("for ann")],
        scene.bob.user_id: [await scene.tells("for bob", scene.bob)],
    }

    path = f"/user/{scene.bot.user_id}/account_data/m.direct"
    assert await scene.bot._call("GET", path) == rooms


async def test_a_room_with_somebody_else_in_it_is_not_for_her_alone(scene: Scene) -> None:
    room = await scene.tells("first")
    await scene.ann.join(room)
    await scene.ann.invite(room, scene.bob.user_id)

    assert await scene.tells("second") != room


async def test_who_has_left_is_invited_anew(scene: Scene) -> None:
    room = await scene.tells("first")
    await scene.ann._call("POST", f"/rooms/{quote(room)}/leave", json={})

    again = await scene.tells("second")

    assert again != room
    await scene.ann.join(again)


async def test_what_was_told_is_taken_back(scene: Scene) -> None:
    told = await scene.direct.tell(scene.ann.user_id, say("a secret"), "1", nobody)
    await scene.ann.join(told.room)

    await scene.link.redact(told.room, told.event)
    await scene.link.redact(told.room, told.event)

    assert "a secret" not in [e.text for e in await scene.ann.messages(told.room)]


async def test_what_was_told_is_taken_back_by_its_name(scene: Scene) -> None:
    """We were killed before we knew its event."""
    told = await scene.direct.tell(scene.ann.user_id, say("the token"), "named", nobody)
    await scene.ann.join(told.room)

    await scene.direct.take_back(told.room, "named")

    assert not await scene.link.holds(told.room, told.event)
    assert [e.text for e in await scene.ann.messages(told.room) if e.text] == []


async def test_what_had_never_arrived_leaves_nothing_behind(scene: Scene) -> None:
    room = await scene.tells("first")
    await scene.ann.join(room)
    await scene.direct.take_back(room, "never told")
    assert [e.text for e in await scene.ann.messages(room) if e.text] == ["first"]
    await scene.direct.take_back("!nowhere:localhost", "never told")
