"""An encrypted room: everything works as in a plain one, and nobody else reads a word of it.

The bot encrypts with maubot's own keys (libolm); people have a client of other hands (vodozemac).
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
import pytest_asyncio
from nio.exceptions import OlmUnverifiedDeviceError

from fleetbot_devkit.matrix_user import RoomEvent
from fleetbot_devkit.rest import call
from fleetbot_devkit.sealed_user import SealedUser
from fleetbot_devkit.story import until
from fleetbot_devkit.world import REPO, World
from tests.flow.agents import agent
from tests.flow.seen import answer_to, ask, journal_of, says, until_state

pytest.importorskip("olm", reason="libolm has no wheel for this Python")
pytestmark = pytest.mark.asyncio(loop_scope="module")

SECRET = "Zebrafish"  # in every title and every log line
BY_TITLE = f"""
title = os.environ["FLEETBOT_TITLE"]
for line in range(1200 if "long" in title else 3):
    print(f"{SECRET} {{line}} " + "x" * 100)
if "wait" in title:
    wait_for(pathlib.Path(__file__).parent / f"gate-{{issue}}")
commit(f"notes/{{issue}}.md", os.environ["FLEETBOT_RUN"])
"""


@pytest.fixture(scope="module")
def shared_encrypted() -> bool:
    return True


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(shared_world: World) -> AsyncIterator[World]:
    """`smith` is at work."""
    shared_world.start_runner(
        agent(shared_world.root, "smith", BY_TITLE, extra="max_concurrency = 4")
    )
    yield shared_world


@pytest.fixture
def alice(world: World) -> SealedUser:
    assert isinstance(world.alice, SealedUser)
    return world.alice


@pytest.fixture
def bob(world: World) -> SealedUser:
    assert isinstance(world.bob, SealedUser)
    return world.bob


async def issue_of(world: World, what: str) -> int:
    return await world.open_issue(f"{SECRET} {what}")


async def test_a_command_is_answered_and_only_the_room_can_read_it(
    world: World, bob: SealedUser
) -> None:
    asked = await bob.send(world.room, "!fleet status")

    answer = await bob.wait_for(answer_to(asked))

    assert answer.text.startswith("🚦")
    (on_the_wire,) = [e for e in await bob.wire().messages(world.room) if answer_to(asked)(e)]
    assert on_the_wire.type == "m.room.encrypted"
    assert set(on_the_wire.content) >= {"algorithm", "ciphertext", "m.relates_to"}
    assert "body" not in on_the_wire.content


async def test_a_task_is_followed_by_everybody_in_the_room(
    world: World, alice: SealedUser, bob: SealedUser
) -> None:
    """Notices, the agent's thread, and edits of what was said there."""
    issue = await issue_of(world, "is misspelt")

    for person in (alice, bob):
        await person.wait_for(says(world, "✅", f"{REPO}#{issue}", SECRET))
        page = await person.wait_for(in_a_thread(world, f"#{issue} "))
        await person.wait_for(edit_of(page, f"{SECRET} 2", "verified"))
    assert alice.unread == bob.unread == []


async def test_the_end_of_a_long_log_is_a_file_that_the_homeserver_cannot_read(
    world: World, alice: SealedUser
) -> None:
    issue = await issue_of(world, "has a long log")
    await until_state(world, issue, "completed")

    async def is_whole() -> bool:
        return any([f"{SECRET} 1199" in await read(file) for file in await files()])

    async def files() -> list[RoomEvent]:
        events = await alice.messages(world.room, limit=500)
        return [event for event in events if event.content.get("msgtype") == "m.file"]

    async def read(file: RoomEvent) -> str:
        return (await alice.read_file(file)).decode()

    await until(is_whole, "the whole log")
    for file in await files():
        content = file.content.get("m.new_content", file.content)
        assert "url" not in content
        assert SECRET.encode() not in await alice.download(content["file"]["url"])


def in_a_thread(world: World, *words: str) -> Callable[[RoomEvent], bool]:
    def matches(event: RoomEvent) -> bool:
        written = event.sender == world.bot.user_id and bool(event.thread)
        return written and all(word in event.text for word in words)

    return matches


def edit_of(page: RoomEvent, *words: str) -> Callable[[RoomEvent], bool]:
    def matches(event: RoomEvent) -> bool:
        return event.replaces == page.event_id and all(word in event.text for word in words)

    return matches


# words for one person, and words of others


async def test_a_token_is_told_alone_and_encrypted(world: World, alice: SealedUser) -> None:
    asked = await alice.send(world.room, "!fleet enrol newcomer")
    answer = await alice.wait_for(answer_to(asked))
    assert answer.text.startswith("🔑 I have sent you a direct message with a token for newcomer.")
    (room,) = (await alice._call("GET", "/sync"))["rooms"]["invite"]

    await alice.join(room)

    told = await alice.wait_for(lambda e: e.room_id == room and "enrolment_token" in e.text)
    on_the_wire = await alice.wire().messages(room)
    (sealed,) = [event for event in on_the_wire if event.event_id == told.event_id]
    assert sealed.type == "m.room.encrypted"
    assert alice.unread == []


async def test_what_an_encrypted_message_says_can_become_an_issue(
    world: World, alice: SealedUser, bob: SealedUser
) -> None:
    words = await bob.send(world.room, f"The {SECRET} squeaks.")
    relation = {"m.in_reply_to": {"event_id": words}}
    wish = {"msgtype": "m.text", "body": "!fleet new Oil it", "m.relates_to": relation}

    asked = await alice.send_event(world.room, "m.room.message", wish)

    draft = await alice.wait_for(answer_to(asked))
    assert draft.text.startswith(f"📝 Open this issue in {REPO}?\nOil it\n")
    assert f"The {SECRET} squeaks." in draft.text


async def test_a_reaction_is_a_button(world: World, alice: SealedUser) -> None:
    asked = await alice.send(world.room, "!fleet new Paint it")
    draft = await alice.wait_for(answer_to(asked))

    await alice.react(world.room, draft.event_id, "❌")

    done = await alice.wait_for(answer_to(draft.event_id))
    assert done.text == "🗑️ Let go of; nothing was done."


# restarts, and who comes later


@asynccontextmanager
async def newcomer(world: World, name: str, *, wary: bool = False) -> AsyncIterator[SealedUser]:
    """Somebody else in the room for a while."""
    user = await world.homeserver.register(f"{name}-{secrets.token_hex(3)}", "password")
    async with SealedUser.of(user, wary=wary) as person:
        await world.alice.invite(world.room, person.user_id)
        await person.join(world.room)
        yield person
    await world.alice.kick(world.room, person.user_id)


async def test_what_is_said_while_maubot_is_down_is_obeyed_once_after_it(
    world: World, alice: SealedUser
) -> None:
    issue = await issue_of(world, "has to wait")
    await until_state(world, issue, "running")

    await world.bots.kill()
    said = [await alice.send(world.room, f"!fleet {x} #{issue}") for x in ("cancel", "retry")]
    await world.bots.restart()

    for event in said:
        await alice.wait_for(answer_to(event), timeout=40)
    assert (await journal_of(world, issue)).count("task.cancelled") == 1
    assert "🚦" in await ask(world, "!fleet status", who="bob")
    events = await alice.messages(world.room, limit=500)
    assert [sum(map(answer_to(event), events)) for event in said] == [1, 1]
    (world.root / f"gate-{issue}").touch()


async def test_who_joins_later_reads_what_is_said_from_then_on(world: World) -> None:
    async with newcomer(world, "carol") as carol:
        asked = await carol.send(world.room, "!fleet status")

        assert (await carol.wait_for(answer_to(asked))).text.startswith("🚦")


# trust


async def test_a_client_that_speaks_to_verified_devices_only_can_be_used(
    world: World, alice: SealedUser, bob: SealedUser
) -> None:
    async with newcomer(world, "dora", wary=True) as dora:
        with pytest.raises(OlmUnverifiedDeviceError):
            await dora.send(world.room, "!fleet status")

        for person in (alice, bob):
            await dora.verify_by_emoji(person)
            assert dora.trusts(person)
            assert person.trusts(dora)
        await dora.verify(world.bot.user_id, await world.bots.admin.fingerprint(world.bot))
        asked = await dora.send(world.room, "!fleet status")

        assert (await dora.wait_for(answer_to(asked))).text.startswith("🚦")


async def test_the_bot_signs_its_own_device(world: World) -> None:
    """What an operator does once: clients show no warning beside its messages then."""
    await world.bots.admin.generate_recovery_key(world.bot)

    answer = await call(
        "POST",
        f"{world.homeserver.url}/_matrix/client/v3/keys/query",
        token=world.alice.access_token,
        json={"device_keys": {world.bot.user_id: []}},
    )
    (signing,) = answer["self_signing_keys"][world.bot.user_id]["keys"]
    device = answer["device_keys"][world.bot.user_id][world.bot.device_id]
    assert signing in device["signatures"][world.bot.user_id]


# what goes wrong


async def test_a_bot_without_encryption_says_so_once_and_nothing_else(
    world: World, bob: SealedUser
) -> None:
    await world.bots.kill()
    before = len(await bob.wire().messages(world.room, limit=1000))
    hides_libolm = world.root / "maubot" / "olm.py"
    hides_libolm.write_text("raise ImportError('libolm is not installed')")
    await world.bots.restart()
    issue = await issue_of(world, "must not be told")
    await until_state(world, issue, "completed")
    await until(lambda: rooms_say(world, "install maubot's encryption extra"), "health")

    said = [
        event
        for event in (await bob.wire().messages(world.room, limit=1000))[before:]
        # What is encrypted was on its way when the one with libolm was killed.
        if event.sender == world.bot.user_id and event.type != "m.room.encrypted"
    ]
    assert [event.text for event in said] == [
        "🔒 This room is encrypted and I am not set up for that: I hear nothing here, and say "
        "nothing but this. Whoever runs me finds the way out in docs/howto/encrypted-rooms.md."
    ]

    hides_libolm.unlink()
    await world.bots.restart()
    await bob.wait_for(says(world, "✅", f"{REPO}#{issue}"))
    await until(lambda: rooms_say(world, "ok"), "health to be good again")


async def rooms_say(world: World, words: str) -> bool:
    health = await call("GET", f"{world.instance_url}healthz", token=world.reader_token)
    return words in health["checks"]["rooms"]


async def test_nobody_else_has_read_a_word_of_it(world: World, alice: SealedUser) -> None:
    """All that the homeserver has of the room, after all that was said above."""
    events = await alice.wire().messages(world.room, limit=1000)
    said = [
        event for event in events if event.state_key is None and event.sender == world.bot.user_id
    ]
    assert len(said) > 20
    assert {event.type for event in said if "🔒" not in event.text} <= {
        "m.room.encrypted",
        "m.reaction",
    }
    assert not [event for event in events if SECRET in str(event.content)]
    assert any(SECRET in event.text for event in await alice.messages(world.room, limit=1000))
