"""`make demo`: the story on embedded defaults, and its end."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from asyncio.subprocess import Process
from pathlib import Path

from fleetbot.devkit import demo_person
from fleetbot.devkit.story import EXPECTED

PROJECT = Path(__file__).parents[2]


async def start(home: Path, *options: str) -> Process:
    """The demo as its own process, with its servers' directories below `home`."""
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "fleetbot", "demo", *options),
        cwd=PROJECT,
        env={"PATH": os.environ["PATH"], "HOME": str(home), "TMPDIR": str(home)},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )


async def read_until(demo: Process, words: str) -> str:
    """What the demo says up to the line with these words."""
    assert demo.stdout is not None
    said = ""
    while words not in said:
        line = await demo.stdout.readline()
        assert line, said
        said += line.decode()
    return said


def left_behind(home: Path) -> list[str]:
    """Processes that work in the demo's directories."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if str(home) in command and process.name != str(os.getpid()):
            found.append(command)
    return found


async def test_the_story_is_told_step_by_step_and_ends_well(tmp_path: Path) -> None:
    demo = await start(tmp_path, "--once")

    said = (await demo.communicate())[0].decode()

    assert demo.returncode == 0, said
    told = {line[11:25].strip() for line in said.splitlines()}
    assert told >= {*EXPECTED, *demo_person.EXPECTED}
    assert left_behind(tmp_path) == []
    assert list(tmp_path.glob("fleetbot-demo-*")) == []


async def type_in(demo: Process, line: str) -> None:
    assert demo.stdin is not None
    demo.stdin.write(f"{line}\n".encode())
    await demo.stdin.drain()


async def ended(demo: Process, home: Path, number: signal.Signals) -> None:
    """The demo ends in order, and leaves nothing behind."""
    demo.send_signal(number)
    await demo.communicate()
    assert demo.returncode == 0
    assert left_behind(home) == []
    assert list(home.glob("fleetbot-demo-*")) == []


async def test_one_talks_to_the_bot_and_ends_it_without_a_trace(tmp_path: Path) -> None:
    demo = await start(tmp_path)
    await read_until(demo, "/issue <title>")

    await type_in(demo, "!fleet status")

    assert "smith is free" in await read_until(demo, "smith")
    await ended(demo, tmp_path, signal.SIGTERM)


async def test_one_steers_the_agent_and_answers_it_by_hand(tmp_path: Path) -> None:
    demo = await start(tmp_path)
    await read_until(demo, "/issue <title>")
    await type_in(demo, "/issue Greet the moon as well")
    await read_until(demo, "asks permission: run the tests")
    await read_until(demo, "(thread)")

    await type_in(demo, "/thread And mind the step")
    await read_until(demo, " ✅")  # the agent has read it
    await type_in(demo, "/react ✅")

    await read_until(demo, "✅ Allowed by alice")
    await read_until(demo, "✅ Done: acme/shop#")
    await ended(demo, tmp_path, signal.SIGINT)
