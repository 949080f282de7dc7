"""The configuration in maubot's management UI: applied without a restart, or refused as a whole."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from fleetbot_devkit.matrix_user import RoomEvent
from fleetbot_devkit.rest import CallFailed, call
from fleetbot_devkit.story import until
from fleetbot_devkit.world import FILES, INSTANCE, REPO, World
from tests.flow.agents import DILIGENT, agent, gated
from tests.flow.puppet import Puppet
from tests.flow.seen import (
    TOLD_ONCE,
    answer_to,
    ask,
    journal_of,
    journal_problems,
    task_of,
    until_state,
)

NOBODY = "agent:nobody"  # issues for which no agent comes
pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(loop_scope="module")
async def world(shared_world: World) -> AsyncIterator[World]:
    """The shared world, with its own configuration again after each test."""
    shared_world.forge.add_label(REPO, NOBODY)
    yield shared_world
    await configure(shared_world)
    assert await journal_problems(shared_world) == []


async def configure(world: World, **sections: Any) -> None:
    """Save the world's configuration with `sections` replaced, as one does in the UI."""
    await world.bots.admin.put_config(INSTANCE, {**world.config, **sections})


def with_forge(own: Mapping[str, Any], **fields: str) -> dict[str, Any]:
    return {**own, "forge": {**own["forge"], **fields}}


# What is saved, made from the world's own configuration, and what is said of it.
REFUSED: Mapping[str, tuple[Callable[[dict[str, Any]], dict[str, Any] | str], str]] = {
    "a wrong type": (
        lambda own: {**own, "runs": {"heartbeat_seconds": "often"}},
        "runs.heartbeat_seconds must be a number, more than 0 and at most 31536000, not text.",
    ),
    "an unknown key": (
        lambda own: with_forge(own, tokn="x"),
        "forge.tokn is an unknown setting; did you mean token?",
    ),
    "an unknown section": (
        lambda own: {**own, "room": {}},
        "room is an unknown setting; did you mean rooms?",
    ),
    "a missing token": (
        lambda own: with_forge(own, token=""),
        "forge.token is missing: make one on Forgejo for the bot's account.",
    ),
    "a section that is a word": (
        lambda own: {**own, "runs": "fast"},
        "runs must be a section of settings, not text.",
    ),
    "a level for no command": (
        lambda own: {**own, "rooms": {"!r:localhost": {"levels": {"asign": 0}}}},
        "rooms.!r:localhost.levels.asign is no command; did you mean assign?",
    ),
    "a number for a section's name": (lambda own: "7: {}\n", "7 is an unknown setting"),
    "a list": (lambda own: "- forge\n- runs\n", "the configuration must have sections"),
    "no YAML": (lambda own: "rooms: [\n", "the configuration is not YAML: line 2"),
    "one key twice": (lambda own: "rooms: {}\nrooms: {}\n", "is not YAML: line 2"),
}


@pytest.mark.parametrize("what", REFUSED)
async def test_a_wrong_configuration_is_refused_and_the_last_good_one_stays(
    world: World, what: str
) -> None:
    made, told = REFUSED[what]
    before = await world.bots.admin.config(INSTANCE)

    with pytest.raises(CallFailed) as refusal:
        await world.bots.admin.put_config(INSTANCE, made(world.config))

    assert refusal.value.status == 400
    assert told in refusal.value.body
    logged = await world.bots.admin.wait_for_log(told)
    assert logged["msg"].startswith("The new configuration is refused: ")
    assert await world.bots.admin.config(INSTANCE) == before
    assert (await ask(world, "!fleet status")).startswith("🚦")


async def test_a_refused_secret_is_not_in_the_log(world: World) -> None:
    with pytest.raises(CallFailed):
        await world.bots.admin.put_config(INSTANCE, 'forge:\n  token: "hush-hush\n')
    logged = "\n".join(str(record) for record in await world.bots.admin.logs())
    assert "hush-hush" not in logged


async def test_a_new_room_is_heard_at_once(world: World) -> None:
    room = await world.alice.create_room("Second", invite=[world.bot.user_id])
    await until(lambda: _is_in(world, room), "the bot to join")

    await configure(world, rooms={**world.config["rooms"], room: {"repos": [REPO]}})

    asked = await world.alice.send(room, "!fleet status")
    assert (await world.alice.wait_for(answer_to(asked))).text.startswith("🚦")
    assert (await ask(world, "!fleet status")).startswith("🚦")


async def test_another_trigger_label_counts_at_once(world: World) -> None:
    world.forge.add_label(REPO, "robot")
    await configure(world, labels={"trigger": "robot"})

    mine = await world.open_issue("With the new label", labels=("robot", NOBODY))
    await until_state(world, mine, "created")
    old = await world.open_issue("With the old label", labels=("fleet", NOBODY))
    later = await world.open_issue("With the new label again", labels=("robot", NOBODY))
    await until_state(world, later, "created")
    assert await task_of(world, old) is None


async def test_what_is_not_said_has_its_default_and_is_shown(world: World) -> None:
    await configure(world)
    stored = await world.bots.admin.config(INSTANCE)
    assert stored["runs"]["max_refutations"] == 2
    assert stored["labels"]["trigger"] == "fleet"
    assert stored["forge"]["token"] == world.tokens["fleetbot"]


async def test_a_change_loses_no_run_and_no_waiting_claim(world: World) -> None:
    gate = world.root / "gate"
    for name in ("smith", "puppet"):
        world.forge.add_label(REPO, f"agent:{name}")
    runner = world.start_runner(agent(world.root, "smith", gated(gate)), name="busy")
    issue = await world.open_issue("Go on", labels=("fleet", "agent:smith"))
    await until_state(world, issue, "running")
    waiting = await Puppet.register(world, "puppet")
    claim = asyncio.create_task(waiting.claim_until_served())
    await until(lambda: _waits(world), "the claim to wait")

    await configure(world, retry={"max_attempts": 7, "base_seconds": 0.2, "cap_seconds": 1})

    gate.touch()
    await until_state(world, issue, "completed")
    assert await journal_of(world, issue) == TOLD_ONCE
    second = await world.open_issue("For whoever waits", labels=("fleet", "agent:puppet"))
    assert (await claim)["issue"] == second
    await runner.stop()


async def test_changes_at_the_same_time_leave_one_authority(world: World) -> None:
    await Puppet.register(world, "silent")  # each authority there is would call it offline
    attempts = range(4, 9)

    await asyncio.gather(*(configure(world, retry={"max_attempts": n}) for n in attempts))

    await until(lambda: _is_offline(world, "silent"), "the agent to be missed", timeout=15)
    logged = [str(record["msg"]) for record in await world.bots.admin.logs()]
    assert not [line for line in logged if "what was not durable is given up" in line]
    assert (await world.bots.admin.config(INSTANCE))["retry"]["max_attempts"] in attempts


async def test_an_instance_without_configuration_waits_for_one(world: World) -> None:
    bot = await world.homeserver.register(f"fresh-{secrets.token_hex(3)}", "password")
    await world.bots.add_bot(bot)
    room = await world.alice.create_room("Fresh", invite=[bot.user_id])
    admin, plugin = world.bots.admin, (await world.bots.admin.instance(INSTANCE))["type"]
    await admin.put_instance("fresh", plugin=plugin, user_id=bot.user_id)
    url = admin.instance_url("fresh")

    health = await call("GET", f"{url}healthz")
    assert health["status"] == "degraded"
    assert "forge.token is missing" in health["checks"]["configuration"]
    with pytest.raises(CallFailed, match=r"forge\.token is missing") as refusal:
        await call("GET", f"{url}api/v1/tasks", token=world.reader_token)
    assert refusal.value.status == 503
    assert (await admin.config("fresh"))["labels"]["trigger"] == "fleet"  # there is all to fill in

    with pytest.raises(CallFailed, match=r"forge\.webhook_secret is missing"):
        await admin.put_config("fresh", with_forge(world.config, webhook_secret=""))
    await admin.put_config("fresh", {**world.config, "rooms": {room: {}}})

    assert (await call("GET", f"{url}api/v1/tasks", token=world.reader_token))["tasks"] == []
    asked = await world.alice.send(room, "!fleet status")
    assert "No agents yet" in (await world.alice.wait_for(answer_to(asked))).text
    await admin.delete_instance("fresh")


async def test_a_fresh_room_and_repository_are_connected_from_the_room(world: World) -> None:
    repo = "acme/attic"
    await world.forge.create_repo("acme", "attic", FILES)
    for who in ("alice", "fleetbot"):
        world.forge.add_collaborator(repo, who, "admin")
    world.forge.add_collaborator(repo, "fleet-runner", "write")
    await configure(world, chat={"operators": [world.alice.user_id]})
    room = await world.alice.create_room("Attic", invite=[world.bot.user_id])
    await until(lambda: _is_in(world, room), "the bot to join")

    assert "👉 labels" in await _setup(world, room, repo)
    assert "👉 room" in await _setup(world, room, "yes")
    assert "being changed" in await _setup(world, room, "yes")
    mapped = await world.alice.wait_for(_tells(world, room, "✅ room: this room hears of it"))
    assert "👉 webhook" in mapped.text
    await world.alice.react(room, mapped.event_id, "✅")
    hooked = await world.alice.wait_for(_tells(world, room, "✅ webhook: deliveries arrive"))
    await world.alice.react(room, hooked.event_id, "✅")
    protected = await world.alice.wait_for(_tells(world, room, "👉 receipt"))
    await world.alice.react(room, protected.event_id, "✅")
    await world.alice.wait_for(_tells(world, room, "🎉 Ready"))

    world.start_runner(agent(world.root, "mover", DILIGENT), name="mover")
    labels = await world.forge_api("alice", "GET", f"/repos/{repo}/labels")
    trigger = next(label["id"] for label in labels if label["name"] == "fleet")
    issue = {"title": "Tidy up", "labels": [trigger]}
    await world.forge_api("alice", "POST", f"/repos/{repo}/issues", issue)
    await world.alice.wait_for(_tells(world, room, "✅", "#1", "verified"), timeout=40)


async def test_the_doctor_looks_at_everything_around_the_fleet(world: World) -> None:
    told = await ask(world, "!fleet doctor")

    assert told.startswith("🩺 ")
    for well in ("journal", "homeserver (Synapse ", "versions (fleetbot ", "disk (journal "):
        assert well in told.rpartition("✅ ")[2]
    headers = {"Authorization": f"Bearer {world.operator_token}"}
    async with (
        aiohttp.ClientSession() as http,
        http.get(f"{world.api}/doctor", headers=headers) as a,
    ):
        names = {finding["name"] for finding in (await a.json())["findings"]}
    assert {"journal", "homeserver", "agents", "disk", "versions", f"branch {REPO}"} <= names


async def test_what_the_ui_saves_while_setup_writes_is_not_lost(world: World) -> None:
    await world.forge.create_repo("acme", "cellar", FILES)
    world.forge.add_collaborator("acme/cellar", "fleetbot", "write")
    await _setup(world, world.room, "acme/cellar")
    await _setup(world, world.room, "skip")

    await asyncio.gather(
        _setup(world, world.room, "yes"),
        configure(world, retry={"max_attempts": 9, "base_seconds": 0.2, "cap_seconds": 1}),
    )

    asked = await ask(world, "!fleet status")
    assert asked.startswith("🚦")
    assert (await world.bots.admin.config(INSTANCE))["retry"]["max_attempts"] == 9


async def _setup(world: World, room: str, text: str) -> str:
    said = await world.alice.send(room, f"!fleet setup {text}")
    return (await world.alice.wait_for(answer_to(said))).text


def _tells(world: World, room: str, *words: str) -> Callable[[RoomEvent], bool]:
    def matches(event: RoomEvent) -> bool:
        is_bots = event.room_id == room and event.sender == world.bot.user_id
        return is_bots and not event.thread and all(word in event.text for word in words)

    return matches


async def _is_in(world: World, room: str) -> bool:
    return world.bot.user_id in await world.alice.members(room)


async def _is_offline(world: World, name: str) -> bool:
    offline = (await world.get("/agents?status=offline"))["agents"]
    return name in [agent["name"] for agent in offline]


async def _waits(world: World) -> bool:
    """Whether a claim waits at this moment."""
    headers = {"Authorization": f"Bearer {world.reader_token}"}
    url = f"{world.instance_url}metrics"
    async with aiohttp.ClientSession() as http, http.get(url, headers=headers) as response:
        return "fleetbot_claims_waiting 1.0" in await response.text()
