"""Clients are told of the commands by the room's state, where the settings wish it (MSC4391)."""

from __future__ import annotations

import base64
from hashlib import sha256

from fleetbot.chat.commands.described import KIND, descriptions
from fleetbot.chat.commands.grammar import Misspelt, structured
from fleetbot.chat.commands.table import COMMANDS
from fleetbot.chat.hearing.describing import Describing
from fleetbot.chat.speaking.link import Link
from fleetbot_devkit.matrix_user import MatrixUser
from tests.chat.rooms import Answer, MoodyHomeserver, client_of, error, moody_homeserver, sent
from tests.conftest import Register
from tests.services.stage import Stage

ROOM, BOT = "!team:localhost", "@bot:localhost"


def test_each_command_is_described_as_it_is_understood() -> None:
    told = descriptions(BOT)

    assert len(told) == len(COMMANDS)
    for key, its in told.items():
        digest = sha256(f"{its['command']}{BOT}".encode()).digest()
        assert key == base64.b64encode(digest).decode()
        assert its["command"].startswith("fleet ")
        assert not isinstance(structured(its["command"], {}), Misspelt)
        for parameter in its["parameters"]:
            assert {"key", "schema", "description"} <= set(parameter)


def test_what_may_be_left_out_and_what_may_be_said_is_told() -> None:
    by_name = {its["command"]: its for its in descriptions(BOT).values()}

    agent, issue = by_name["fleet assign"]["parameters"]
    assert (agent["key"], agent.get("optional")) == ("agent", None)
    assert (issue["key"], issue.get("optional")) == ("issue", True)
    (_, priority) = by_name["fleet priority"]["parameters"]
    said = [variant["value"] for variant in priority["schema"]["variants"]]
    assert said == ["low", "normal", "high", "urgent"]
    states = by_name["fleet tasks"]["parameters"][0]["schema"]
    assert states["schema_type"] == "array"
    assert by_name["fleet tasks"]["description"]["m.text"][0]["body"].startswith("the open tasks")


async def describe(stage: Stage, server: MoodyHomeserver, *, is_wanted: bool) -> list[object]:
    """A process of ours tells the room; what it has set."""
    server.requests.clear()
    async with client_of(server.user()) as client:
        await Describing(Link(client), stage.store, BOT, is_wanted=is_wanted).describe(ROOM)
    puts = [(path, body) for method, path, body in server.requests if method == "PUT"]
    assert all(f"/state/{KIND}/" in path for path, _ in puts)
    return [body for _, body in puts]


async def test_only_what_has_changed_is_told(stage: Stage) -> None:
    async with moody_homeserver() as server:
        server.answers = [sent()]
        assert await describe(stage, server, is_wanted=False) == []
        assert len(await describe(stage, server, is_wanted=True)) == len(COMMANDS)
        assert await describe(stage, server, is_wanted=True) == []

        taken_back = await describe(stage, server, is_wanted=False)
        assert taken_back == [{}] * len(COMMANDS)
        assert await describe(stage, server, is_wanted=False) == []


async def test_a_real_room_has_them_as_state(stage: Stage, register: Register) -> None:
    ann, bot = await register("ann"), await register("bot")
    room = await ann.create_room("Fleet", invite=[bot.user_id])
    await bot.join(room)
    async with client_of(bot) as client:
        describing = Describing(Link(client), stage.store, bot.user_id, is_wanted=True)
        await describing.describe(room)
        assert not await described(ann, room)

        await ann.set_power_level(room, bot.user_id, 50)
        await describing.describe(room)

    assert await described(ann, room) == descriptions(bot.user_id)


async def described(user: MatrixUser, room: str) -> dict[str, object]:
    """What clients are told, by state key."""
    events = await user.messages(room, limit=500)
    return {e.state_key: e.content for e in events if e.type == KIND and e.state_key}


async def test_a_room_that_does_not_let_us_is_left_alone(stage: Stage) -> None:
    async with moody_homeserver() as server:
        server.answers = [error(403, "M_FORBIDDEN")]
        assert len(await describe(stage, server, is_wanted=True)) == 1

        server.answers = [Answer(200, {"event_id": "$x"})]
        assert len(await describe(stage, server, is_wanted=True)) == len(COMMANDS)
