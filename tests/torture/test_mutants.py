"""What is broken on purpose is caught by the kit, and the product passes each of those stories."""

from __future__ import annotations

import asyncio
import itertools
import os
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest
import pytest_asyncio

from fleetbot_devkit.homeserver import Homeserver
from tests.torture.mutants import MUTANTS, Mutant, Patch, archive
from torture.play import Round, play
from torture.story import Need, Story
from torture.systems.fleetbot_system import FleetbotPlug

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(240)]

CHOSEN = tuple(its for its in MUTANTS if not its.is_more or os.environ.get("MUTANTS"))
"""All of them where MUTANTS is set in the environment, as by `make torture MUTANTS=1`."""
_AT_ONCE = 5  # a maubot for each
_CONFIG = {
    "forge": {"reconcile_seconds": 2},
    "runs": {
        "heartbeat_seconds": 1,
        "lease_seconds": 4,
        "ack_seconds": 4,
        "claim_wait_seconds": 5,
        "max_refutations": 0,
    },
    "retry": {"max_attempts": 2, "base_seconds": 0.2, "cap_seconds": 1},
}

Played = dict[tuple[tuple[Patch, ...], str], Round]
"""By what was changed in the product, and story."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def played(
    homeserver: Homeserver, archive: Path, tmp_path_factory: pytest.TempPathFactory
) -> Played:
    """All of them at once: they wait more than they compute."""
    stage = _Stage(homeserver, archive, tmp_path_factory.mktemp("mutants"))
    plays = [stage.play(*world, stories) for world, stories in _worlds(CHOSEN).items()]
    rounds: Played = {}
    for some in await asyncio.gather(*plays):
        rounds |= some
    return rounds


@pytest.mark.parametrize("mutant", CHOSEN, ids=lambda mutant: mutant.name)
async def test_a_mutant_is_caught(played: Played, mutant: Mutant) -> None:
    round_ = played[mutant.broken, mutant.story.name]

    assert round_.not_run == []
    assert mutant.caught_as in {finding.kind for finding in round_.findings}


@pytest.mark.parametrize("mutant", CHOSEN, ids=lambda mutant: mutant.name)
async def test_the_product_passes_that_story(played: Played, mutant: Mutant) -> None:
    round_ = played[mutant.without, mutant.story.name]

    assert round_.not_run == []
    assert round_.findings == []


class _Stage:
    def __init__(self, homeserver: Homeserver, product: Path, root: Path) -> None:
        self._homeserver = homeserver
        self._product = product
        self._root = root
        self._slots = asyncio.Semaphore(_AT_ONCE)
        self._numbers = itertools.count(1)

    async def play(
        self, patches: tuple[Patch, ...], needs: frozenset[Need], stories: Mapping[str, Story]
    ) -> Played:
        """The stories, one after the other in one world."""
        root = self._root / str(next(self._numbers))
        root.mkdir()
        product = archive(self._product, root / "plugin.mbp", patches)
        plug = FleetbotPlug(
            root, self._homeserver, product, workers=(), actors=("actor", "other"), config=_CONFIG
        )
        first = next(iter(stories.values()))
        async with self._slots, plug(first) as system:
            return {(patches, name): await play(system, its) for name, its in stories.items()}


def _worlds(
    mutants: Iterable[Mutant],
) -> dict[tuple[tuple[Patch, ...], frozenset[Need]], dict[str, Story]]:
    """The stories to be told of each product and setup."""
    worlds: defaultdict[tuple[tuple[Patch, ...], frozenset[Need]], dict[str, Story]] = defaultdict(
        dict
    )
    for mutant in mutants:
        for patches in (mutant.without, mutant.broken):
            worlds[patches, mutant.story.needs][mutant.story.name] = mutant.story
    return worlds
