"""One that takes over does not say again what the one before it has said."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
from mautrix.client import Client

from fleetbot.chat.speaking.link import Link, transaction
from fleetbot.chat.speaking.said import MARK
from fleetbot_devkit.homeserver import Homeserver
from fleetbot_devkit.matrix_user import MatrixUser
from fleetbot_devkit.rest import call
from tests.chat.rooms import client_of, said
from tests.conftest import Register

HELLO = {"msgtype": "m.text", "body": "hello"}


@dataclass
class Scene:
    """The bot's account in a room of ann's, with two logins."""

    ann: MatrixUser
    bot: MatrixUser
    room: str
    first: Client
    second: Client

    async def heard(self) -> int:
        return len(await said(self.ann, self.room, self.bot))


@pytest.fixture
async def scene(homeserver: Homeserver, register: Register) -> AsyncIterator[Scene]:
    ann, password = await register("ann"), secrets.token_hex(8)
    bot = await homeserver.register(f"twice-{secrets.token_hex(4)}", password)
    room = await ann.create_room("Fleet", invite=[bot.user_id])
    await bot.join(room)
    login = {
        "type": "m.login.password",
        "identifier": {"type": "m.id.user", "user": bot.user_id},
        "password": password,
    }
    answer = await call("POST", f"{homeserver.url}/_matrix/client/v3/login", json=login)
    async with client_of(bot) as first, client_of(bot) as second:
        second.api.token = answer["access_token"]
        yield Scene(ann, bot, room, first, second)


async def test_the_homeserver_itself_drops_repeats_of_the_same_login_only(scene: Scene) -> None:
    """Or all of this would not be needed, or would be for nothing."""
    event = await Link(scene.first).send(scene.room, HELLO, "t1")

    assert await Link(scene.first).send(scene.room, HELLO, "t1") == event
    assert await Link(scene.second).send(scene.room, HELLO, "t1") != event


async def test_who_follows_knows_what_was_said_by_another_login(scene: Scene) -> None:
    event = await Link(scene.first).send(scene.room, HELLO, transaction("outbox", "e1"))
    follows = Link(scene.second, follows=lambda: True)

    assert await follows.send(scene.room, HELLO, transaction("outbox", "e1")) == event
    assert await scene.heard() == 1

    await follows.send(scene.room, HELLO, transaction("outbox", "e2"))
    assert await scene.heard() == 2


async def test_nobody_elses_mark_counts(scene: Scene) -> None:
    """Anybody in the room may write one."""
    marked = {**HELLO, MARK: "t1"}
    await scene.ann.send_event(scene.room, "m.room.message", marked)

    await Link(scene.second, follows=lambda: True).send(scene.room, HELLO, "t1")

    assert await scene.heard() == 1
