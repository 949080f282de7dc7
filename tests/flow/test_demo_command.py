"""`make demo`: the story on embedded defaults, and what one does by hand after it."""

from __future__ import annotations

import signal
from pathlib import Path

from fleetbot_devkit import demo_person
from fleetbot_devkit.story import EXPECTED
from tests.flow.demos import ended, read_until, start, type_in


async def test_the_story_is_told_and_one_talks_on_and_steers_the_agent_by_hand(
    tmp_path: Path,
) -> None:
    demo = await start(tmp_path)

    said = await read_until(demo, "/issue <title>")
    told = {line[11:25].strip() for line in said.splitlines() if line[8:9] == "s"}
    assert told >= {*EXPECTED, *demo_person.EXPECTED}
    assert not [name for name in told if "." in name], "words of the story, no types of the journal"

    await type_in(demo, "!fleet status")
    assert "smith is free" in await read_until(demo, "smith")

    await type_in(demo, "/issue Greet the moon as well")
    await read_until(demo, "asks permission: run the tests")
    await read_until(demo, "(thread)")
    await type_in(demo, "/thread And mind the step")
    await read_until(demo, " ✅")  # the agent has read it
    await type_in(demo, "/react ✅")
    await read_until(demo, "✅ Allowed by alice")
    await read_until(demo, "✅ Done: acme/shop#")

    await ended(demo, tmp_path, signal.SIGINT)
