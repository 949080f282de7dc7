"""The kit plays a short round with real servers, and the product comes through it."""

from __future__ import annotations

from pathlib import Path

import pytest

from fleetbot_devkit.homeserver import Homeserver
from torture.play import play
from torture.stories import generate
from torture.story import Act, Bounds
from torture.systems.fleetbot_system import FleetbotPlug


@pytest.mark.timeout(180)
async def test_a_short_round(homeserver: Homeserver, archive: Path, tmp_path: Path) -> None:
    plug = FleetbotPlug(tmp_path, homeserver, archive, workers=("w1",))
    story = generate(
        *(6,),
        acts=plug.acts - {Act.HANGS},
        workers=plug.workers,
        lines=plug.lines,
        seconds=9.0,
        issues=5,
        strikes=3,
        spells=6,
        bounds=Bounds(recover=90.0, silence=60.0, idle=1.0),
    )

    async with plug(story) as system:
        round_ = await play(system, story)

    assert round_.findings == []
    assert round_.recovered is not None
    assert sum(landed.hits for landed in round_.landed) >= 3
    assert round_.idle_launches == 0
