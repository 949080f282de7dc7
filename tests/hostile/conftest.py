"""A runner with an agent that means harm, in each sandbox setting.

What the tests of a file claim they claim for the settings that they run in; the table in
docs/explanation/security.md says the same in words.
"""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from fleetbot.wire import Assignment
from tests.runner.adapters.conftest import claude, fifo, model  # noqa: F401 - fixtures
from tests.runner.boxes import found_sandbox
from tests.runner.scene import Scene, open_scene

BOXES = ("none", "bubblewrap")


def in_turn(name: str, ways: Mapping[str, str]) -> pytest.MarkDecorator:
    """Each way in one of the settings, the next one in the next.

    For what is left behind: on the disk that is the same, whatever the setting was.
    """
    cases = [
        pytest.param(box, way, id=f"{box}-{key}")
        for box, (key, way) in zip(itertools.cycle(BOXES), ways.items(), strict=False)
    ]
    return pytest.mark.parametrize(("hostile", name), cases, indirect=["hostile"])


@dataclass
class Hostile:
    """A scene whose agent is hostile. `box`: the sandbox's setting; `escaped`: a way out did it."""

    scene: Scene
    box: str
    program: str

    @property
    def escaped(self) -> Path:
        """What a way out would make. Programs in a sandbox do not see it; the runner would."""
        return self.scene.root / "escaped"

    def settings(self, more: str = "", inside: str = "") -> str:
        """The agent's part of the configuration; `inside`: of the sandbox's."""
        if self.box == "none":
            return more
        table = f'[agents.bubblewrap]\nprogram = "{self.program}"\n{inside}'
        return f'{more}\nsandbox = "bubblewrap"\n{table}'

    async def run(
        self, script: str, order: Assignment, *, more: str = "", inside: str = "", **parts: str
    ) -> None:
        """The script as the agent, to the run's end."""
        settings = self.settings(more, inside)
        await self.scene.carry_out(script, order, agent=settings, **parts)

    async def again(self, order: Assignment, script: str = "date > again.txt") -> Assignment:
        """The next attempt at the same task, by an agent that means well."""
        fields: dict[str, Any] = {"issue": order.issue, "branch": order.branch}
        next_one = await self.scene.order(order.title, attempt=order.attempt + 1, **fields)
        await self.run(script, next_one)
        return next_one

    def lines(self, order: Assignment) -> list[str]:
        """What the program said."""
        return self.scene.orchestrator.log_of(order.run).splitlines()


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    async with open_scene(tmp_path) as scene:
        yield scene


async def _hostile(scene: Scene, box: str) -> Hostile:
    program = (await found_sandbox()).program if box == "bubblewrap" else ""
    return Hostile(scene, box, program)


@pytest.fixture(params=BOXES)
async def hostile(request: pytest.FixtureRequest, scene: Scene) -> Hostile:
    """In each setting."""
    return await _hostile(scene, request.param)


@pytest.fixture
async def boxed(scene: Scene) -> Hostile:
    """In a sandbox, where only that keeps the program from something."""
    return await _hostile(scene, "bubblewrap")
