"""A worker of fleetbot's that is no honest runner: it speaks the worker's HTTP itself, and claims
what the issue's act says, whatever it has done."""

from __future__ import annotations

import asyncio
import itertools
import re
import secrets
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import aiohttp

from fleetbot.devkit.rest import CallFailed, call
from torture.story import Act

NAME = "actor"
ACTS = frozenset({Act.LIES, Act.BORROWS, Act.LIMIT_ONCE})
_PAUSE = 0.3
_RESET_MS = 3_000

# Does the work of an issue for a branch, as a person at a keyboard would: path, line, branch and
# issue go in, number and head of the pull request come out.
Work = Callable[[str, str, str, int], Awaitable[tuple[int, str]]]
Pulls = Callable[[], Awaitable[list[dict[str, Any]]]]


class Actor:
    """`api`: of the orchestrator; `clock` gives epoch milliseconds."""

    def __init__(
        self,
        api: str,
        enrolment_token: str,
        body_of: Callable[[int], Awaitable[str]],
        pulls: Pulls,
        work: Work,
        clock: Callable[[], int],
        name: str = NAME,
    ) -> None:
        self.name = name
        self._api = api
        self._token = enrolment_token
        self._body_of = body_of
        self._pulls = pulls
        self._work = work
        self._clock = clock
        self._keys = itertools.count(1)
        self._limited: set[int] = set()
        self._run = ""

    async def play(self) -> None:
        """Until it is cancelled."""
        answer = await self._insist("agents/register", {"name": self.name, "adapter": "command"})
        self._token = answer["token"]
        async with asyncio.TaskGroup() as group:
            group.create_task(self._beat())
            while True:
                await self._turn()

    async def _turn(self) -> None:
        key = f"{self.name}-{next(self._keys)}"
        with suppress(CallFailed):  # the run is not ours any more
            if run := await self._insist("agents/claim", {"wait": 5}, key):
                self._run = run["run"]
                await self._insist(f"runs/{self._run}/start", {})
                await self._do(run)
        self._run = ""

    async def _beat(self) -> None:
        while True:
            with suppress(CallFailed, aiohttp.ClientError, TimeoutError):
                await self._post("agents/heartbeat", {"runs": [self._run] if self._run else []})
            await asyncio.sleep(1)

    # -- what it does

    async def _do(self, run: dict[str, Any]) -> None:
        text = await self._body_of(run["issue"])
        said = dict(re.findall(r"torture-(\w+): (\S+)", text))
        if said["act"] == Act.LIMIT_ONCE:
            await self._limit(run, said["path"], said["line"])
            return
        for _ in range(10):
            receipt = await self._lie(run, said["act"])
            filed = await self._insist("receipts", receipt, f"{self.name}-{next(self._keys)}")
            if (await self._verdict(filed["receipt"]))["final"]:
                return

    async def _limit(self, run: dict[str, Any], path: str, line: str) -> None:
        if run["issue"] not in self._limited:
            self._limited.add(run["issue"])
            reset = self._clock() + _RESET_MS
            failure = {"reason": "usage_limit", "detail": "come back later", "until": reset}
            await self._insist(f"runs/{self._run}/fail", failure)
            return
        pull, head = await self._work(path, line, run["branch"], run["issue"])
        receipt = {"run": self._run, "pull_request": pull, "branch": run["branch"], "head": head}
        filed = await self._insist("receipts", receipt, f"{self.name}-{next(self._keys)}")
        await self._verdict(filed["receipt"])

    async def _lie(self, run: dict[str, Any], act: str) -> dict[str, Any]:
        """A receipt of a commit that is nowhere, or of what somebody else has done."""
        lie = {
            "run": self._run,
            "pull_request": 1,
            "branch": run["branch"],
            "head": secrets.token_hex(20),
            "summary": "All tests are green.",
        }
        pulls = [its for its in await self._pulls() if its["head"]["ref"] != run["branch"]]
        if act == Act.BORROWS and pulls:
            other = pulls[0]
            lie |= {"pull_request": other["number"], "head": other["head"]["sha"]}
        return lie

    async def _verdict(self, receipt: str) -> dict[str, Any]:
        while True:
            with suppress(aiohttp.ClientError, TimeoutError):
                try:
                    url = f"{self._api}/receipts/{receipt}?wait=5"
                    said: dict[str, Any] = await call("GET", url, token=self._token)
                except CallFailed as refusal:
                    if _is_final(refusal):
                        raise
                else:
                    if said["final"] or said["verdict"] == "refuted":
                        return said
            await asyncio.sleep(_PAUSE)

    # -- how it speaks

    async def _insist(self, path: str, body: object, key: str = "") -> Any:
        """Again and again with the same key, until there is an answer. Raises CallFailed for a
        refusal that is final."""
        while True:
            with suppress(aiohttp.ClientError, TimeoutError):
                try:
                    return await self._post(path, body, key)
                except CallFailed as refusal:
                    if _is_final(refusal):
                        raise
            await asyncio.sleep(_PAUSE)

    async def _post(self, path: str, body: object, key: str = "") -> Any:
        headers = {"Idempotency-Key": key} if key else {}
        async with asyncio.timeout(30):
            url = f"{self._api}/{path}"
            return await call("POST", url, token=self._token, json=body, headers=headers)


def _is_final(refusal: CallFailed) -> bool:
    """Not "later", and the orchestrator's own: maubot says 404 while the plugin is not up."""
    of_plugin = refusal.body.lstrip().startswith("{")
    return of_plugin and refusal.status < 500 and refusal.status != 429
