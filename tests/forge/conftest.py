"""The forges that the contract is held against, and the judge of every call made there."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fleetbot_devkit.forge import DevForge
from tests.forge.api_description import VERSIONS, ApiDescription
from tests.forge.recorder import Recorder
from tests.forge.site import Person, Receiver, Site

REAL_URL, REAL_TOKEN = "FLEETBOT_FORGEJO_URL", "FLEETBOT_FORGEJO_TOKEN"


@pytest.fixture(params=["devforge", "real"])
async def site(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Site]:
    """A forge; at the end, every call a test made there is held against Forgejo's description.

    A real one comes from the environment: its address, and an administrator's token. Its
    configuration must allow webhooks to loopback.
    """
    recorder = Recorder()
    if request.param == "devforge":
        async with DevForge.start(tmp_path / "forge") as forge:
            token = forge.add_user("root", admin=True)
            site = Site(forge.url, token, recorder, tmp_path)
            yield site
            await site.close()
    else:
        if REAL_URL not in os.environ:
            pytest.skip(f"no real Forgejo: {REAL_URL} is not set")
        url, token = os.environ[REAL_URL].rstrip("/"), os.environ[REAL_TOKEN]
        site = Site(url, token, recorder, tmp_path)
        yield site
        await site.close()
    for version in VERSIONS:
        strict = request.param == "devforge" and version == VERSIONS[0]
        description = ApiDescription(version, strict=strict)
        for exchange in recorder.exchanges:
            description.check(exchange)


@pytest.fixture
async def ann(site: Site) -> Person:
    """She owns the repository."""
    return await site.person("ann")


@pytest.fixture
async def bot(site: Site) -> Person:
    """The account that fleetbot uses."""
    return await site.person("bot")


@pytest.fixture
async def repo(site: Site, ann: Person, bot: Person) -> str:
    """Ann's repository, which the bot may write to."""
    repo = await site.repository(ann)
    await site.collaborator(repo, ann, bot)
    return repo


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with Receiver.start() as receiver:
        yield receiver
