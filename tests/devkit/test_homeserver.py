"""The homeserver starter and the people that talk through it."""

from __future__ import annotations

import asyncio
import os
import select
import socket
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from fleetbot_devkit.homeserver import SYNAPSE_RATE_LIMITS, Homeserver
from fleetbot_devkit.process import ServerDied, ServerProcess, free_port
from fleetbot_devkit.rest import CallFailed
from tests.conftest import Register


async def test_a_message_goes_round(register: Register) -> None:
    alice, bob = await register("alice"), await register("bob")
    room = await alice.create_room("kitchen", invite=[bob.user_id])
    await bob.join(room)

    question = await alice.send(room, "tea?")
    heard = await bob.wait_for(lambda event: event.text == "tea?")
    assert (heard.event_id, heard.sender) == (question, alice.user_id)

    answer = await bob.send(room, "please", thread=question)
    await alice.react(room, answer, "👍")
    reaction = await bob.wait_for(lambda event: event.reaction is not None)
    assert reaction.reaction == (answer, "👍")
    assert (await alice.wait_for(lambda event: event.thread == question)).text == "please"
    assert [event.text for event in await bob.messages(room) if event.text] == ["tea?", "please"]


async def test_waiting_after_an_event_passes_over_what_came_before_it(register: Register) -> None:
    alice = await register("alice")
    room = await alice.create_room("echo chamber")
    first = await alice.send(room, "again")
    waiting = asyncio.create_task(alice.wait_for(lambda event: event.text == "again", after=first))
    second = await alice.send(room, "again")
    assert (await waiting).event_id == second


async def test_a_wait_in_vain_tells_what_was_heard(register: Register) -> None:
    alice = await register("alice")
    room = await alice.create_room("desert")
    sent = await alice.send(room, "anybody here?")
    await alice.wait_for(lambda event: event.event_id == sent)
    with pytest.raises(TimeoutError, match=r"anybody here\?"):
        await alice.wait_for(lambda event: event.text == "yes", timeout=0.1)


@pytest.mark.parametrize("version", ["11", "12"])
async def test_power_levels_are_set_at_creation_and_later(register: Register, version: str) -> None:
    alice, bob = await register("alice"), await register("bob")
    room = await alice.create_room(
        "office", invite=[bob.user_id], power_levels={bob.user_id: 50}, room_version=version
    )
    await bob.join(room)
    carol = await register("carol")
    await bob.invite(room, carol.user_id)
    await carol.join(room)
    await alice.set_power_level(room, bob.user_id, 0)
    assert await alice.members(room) == sorted([alice.user_id, bob.user_id, carol.user_id])
    with pytest.raises(CallFailed, match="M_FORBIDDEN"):
        await bob.set_power_level(room, carol.user_id, 50)


async def test_synapses_own_rate_limits_can_be_asked_for(tmp_path: Path) -> None:
    async with Homeserver.start(tmp_path, rate_limits=SYNAPSE_RATE_LIMITS) as homeserver:
        alice = await homeserver.register("alice", "password")
        room = await alice.create_room("loud")
        words = (alice.send(room, str(number)) for number in range(30))
        with pytest.raises(CallFailed, match="M_LIMIT_EXCEEDED"):
            await asyncio.gather(*words)
    assert homeserver.process.pid is None


async def test_a_server_that_dies_at_its_start_is_reported_with_its_log(tmp_path: Path) -> None:
    with pytest.raises(ServerDied, match="rc_message"):
        async with Homeserver.start(tmp_path, rate_limits={"rc_message": "plenty"}):
            pass


async def test_a_server_that_never_answers_is_ended(tmp_path: Path) -> None:
    argv = [sys.executable, "-c", "import signal; signal.pause()"]
    process = ServerProcess("mute", argv, cwd=tmp_path, ready_url="http://127.0.0.1:9/")
    with pytest.raises(ServerDied, match="not ready"):
        await process.start(timeout=0.2)
    assert process.pid is None


_PARENT = """
import asyncio, sys
from pathlib import Path
from fleetbot_devkit.process import ServerProcess, free_port

async def main():
    port = free_port()
    argv = [sys.executable, "-m", "http.server", "--bind", "127.0.0.1", str(port)]
    url = f"http://127.0.0.1:{port}/"
    server = ServerProcess("files", argv, cwd=Path(sys.argv[1]), ready_url=url)
    await server.start()
    print(server.pid, flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends children with their parent")
def test_a_server_does_not_outlive_a_killed_parent(tmp_path: Path) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", _PARENT, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    with parent:
        assert parent.stdout is not None
        server = os.pidfd_open(int(parent.stdout.readline()))
        parent.kill()
    ended, _, _ = select.select([server], [], [], 10)  # readable once the process is gone
    os.close(server)
    assert ended


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere it is free at that moment only")
def test_a_free_port_is_nobody_elses_until_a_server_takes_it() -> None:
    ports = {free_port() for _ in range(20)}
    with ExitStack() as sockets:
        others = [sockets.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(99)]
        assert ports.isdisjoint(other.getsockname()[1] for other in others)
        for port in ports:
            sockets.enter_context(socket.create_server(("127.0.0.1", port)))
    assert len(ports) == 20
