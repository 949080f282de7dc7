"""An agent that the test plays itself, over HTTP: it does nothing that it is not told to."""

from __future__ import annotations

import io
import itertools
from typing import Any, NamedTuple

import aiohttp

from fleetbot_devkit.rest import call
from fleetbot_devkit.world import World


class Answer(NamedTuple):
    status: int
    body: Any


class Puppet:
    """A registered agent. Calls answer whatever fleetbot answers, also a refusal."""

    def __init__(self, world: World, name: str, token: str) -> None:
        self.name = name
        self.token = token
        self._world = world
        self._keys = itertools.count(1)

    @classmethod
    async def register(cls, world: World, name: str) -> Puppet:
        answer = await call(
            "POST",
            f"{world.api}/agents/register",
            token=world.enrolment_token,
            json={"name": name, "adapter": "command"},
        )
        return cls(world, name, answer["token"])

    async def post(self, path: str, body: object) -> Answer:
        headers = {"Idempotency-Key": f"{self.name}-{next(self._keys)}"}
        return await post(self._world, path, body, token=self.token, headers=headers)

    async def claim(self, wait: float = 10) -> dict[str, Any]:
        """The run it is given."""
        answer = await self.post("agents/claim", {"wait": wait})
        assert answer.status == 200, answer
        return dict(answer.body)

    async def claim_until_served(self) -> dict[str, Any]:
        """As a runner does: whatever sends the claim home, it comes again."""
        while (answer := await self.post("agents/claim", {"wait": 10})).status != 200:
            assert answer.status in (204, 503), answer
        return dict(answer.body)

    async def running(self, wait: float = 10) -> dict[str, Any]:
        """A run it has claimed and started."""
        run = await self.claim(wait)
        started = await self.post(f"runs/{run['run']}/start", {})
        assert started.status == 200, started
        return run

    async def file(self, run: dict[str, Any], pull: int, head: str, **fields: Any) -> Answer:
        receipt = {
            "run": run["run"],
            "pull_request": pull,
            "branch": run["branch"],
            "head": head,
            **fields,
        }
        return await self.post("receipts", receipt)

    async def verdict(self, filed: Answer) -> dict[str, Any]:
        """What came of a receipt that was taken."""
        assert filed.status == 200, filed
        url = f"{self._world.api}/receipts/{filed.body['receipt']}?wait=20"
        return dict(await call("GET", url, token=self.token))


async def post(
    world: World,
    path: str,
    body: object = None,
    *,
    data: bytes | None = None,
    token: str = "",
    headers: dict[str, str] | None = None,
) -> Answer:
    """One request as it is, refusals included."""
    sent = {**(headers or {}), **({"Authorization": f"Bearer {token}"} if token else {})}
    async with (
        aiohttp.ClientSession() as session,
        session.post(
            f"{world.api}/{path}",
            json=body,
            data=None if data is None else io.BytesIO(data),
            headers=sent,
        ) as response,
    ):
        return Answer(response.status, await response.json(content_type=None))
