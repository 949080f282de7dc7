"""A worker of fleetbot's without a runner: it speaks the worker's HTTP itself, does the work at the
forge if it does any, and says what the issue's act has it say."""

from __future__ import annotations

import asyncio
import itertools
import re
import secrets
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from fleetbot_devkit.rest import CallFailed, call
from torture.story import Act

ACTS = frozenset({Act.LIES, Act.BORROWS, Act.LIMIT_ONCE})
"""What only such a worker does; the others a program does as well."""
_PAUSE = 0.3
_CLAIM_SECONDS = 5


@dataclass(frozen=True)
class Stage:
    """What actors share. `api`: of the orchestrator; `clock` gives epoch milliseconds; `work` does
    an issue's work, as a person at a keyboard would: path, line, branch and issue go in, number and
    head of the pull request come out."""

    api: str
    enrolment_token: str
    body_of: Callable[[int], Awaitable[str]]
    pulls: Callable[[], Awaitable[list[dict[str, Any]]]]
    work: Callable[[str, str, str, int], Awaitable[tuple[int, str]]]
    clock: Callable[[], int]
    turns: Counter[int] = field(default_factory=Counter)
    successors: defaultdict[int, asyncio.Event] = field(
        default_factory=lambda: defaultdict(asyncio.Event)
    )
    late_words: defaultdict[int, asyncio.Event] = field(
        default_factory=lambda: defaultdict(asyncio.Event)
    )


class Actor:
    """Plays until it is cancelled, over whatever the lines do to it."""

    def __init__(self, stage: Stage, name: str) -> None:
        self.name = name
        self._stage = stage
        self._token = stage.enrolment_token
        self._keys = itertools.count(1)
        self._run = ""

    async def play(self) -> None:
        answer = await self._insist("agents/register", {"name": self.name, "adapter": "command"})
        self._token = answer["token"]
        async with asyncio.TaskGroup() as group:
            group.create_task(self._beat())
            while True:
                await self._turn()

    async def _turn(self) -> None:
        with suppress(CallFailed):  # the run is not ours any more
            if run := await self._insist("agents/claim", {"wait": _CLAIM_SECONDS}, self._key()):
                self._run = run["run"]
                await self._insist(f"runs/{self._run}/start", {})
                await self._do(run)
        self._run = ""

    async def _beat(self) -> None:
        while True:
            with suppress(CallFailed, aiohttp.ClientError, TimeoutError):
                await self._post("agents/heartbeat", {"runs": [self._run] if self._run else []})
            await asyncio.sleep(0.7)

    # -- what it does

    async def _do(self, run: dict[str, Any]) -> None:
        issue, stage = run["issue"], self._stage
        said = dict(re.findall(r"torture-(\w+): (\S+)", await stage.body_of(issue)))
        stage.turns[issue] += 1
        is_first = stage.turns[issue] == 1
        match said.get("act"):
            case Act.LIES | Act.BORROWS:
                await self._file(lambda: self._lie(run, said["act"]))
            case Act.LIMIT_ONCE if is_first:
                reset = stage.clock() + int(float(said["reset"]) * 1000)
                await self._fail(run, "usage_limit", until=reset)
            case Act.SILENT_ONCE if is_first:
                return
            case Act.LATE if is_first:
                self._run = ""
                await stage.successors[issue].wait()
                try:
                    await self._fail(run, "no_changes")
                finally:
                    stage.late_words[issue].set()
            case None:
                await self._fail(run, "no_changes")
            case act:
                if act == Act.LATE:
                    stage.successors[issue].set()
                    await stage.late_words[issue].wait()
                await self._file(lambda: self._honest(run, said["path"], said["line"]))

    async def _fail(self, run: dict[str, Any], reason: str, until: int | None = None) -> None:
        failure = {"reason": reason, "detail": "so it says", "until": until}
        await self._insist(f"runs/{run['run']}/fail", failure)

    async def _file(self, claim: Callable[[], Awaitable[dict[str, Any]]]) -> None:
        """Until nobody wants to hear it any more."""
        is_final = False
        while not is_final:
            filed = await self._insist("receipts", await claim(), self._key())
            is_final = await self._verdict(filed["receipt"])

    async def _honest(self, run: dict[str, Any], path: str, line: str) -> dict[str, Any]:
        pull, head = await self._stage.work(path, line, run["branch"], run["issue"])
        return self._receipt(run, pull, head)

    async def _lie(self, run: dict[str, Any], act: str) -> dict[str, Any]:
        """A receipt of a commit that is nowhere, or of what somebody else has done."""
        pulls = await self._stage.pulls()
        others = [its for its in pulls if its["head"]["ref"] != run["branch"]]
        if act == Act.BORROWS and others:
            return self._receipt(run, others[0]["number"], others[0]["head"]["sha"])
        return self._receipt(run, 1, secrets.token_hex(20))

    def _receipt(self, run: dict[str, Any], pull: int, head: str) -> dict[str, Any]:
        return {
            "run": run["run"],
            "pull_request": pull,
            "branch": run["branch"],
            "head": head,
            "summary": "All tests are green.",
        }

    async def _verdict(self, receipt: str) -> bool:
        """Wait for it; whether it is the last word."""
        while True:
            said = await self._insist(f"receipts/{receipt}?wait=5", None)
            if said["final"] or said["verdict"] == "refuted":
                return bool(said["final"])
            await asyncio.sleep(_PAUSE)

    # -- how it speaks

    def _key(self) -> str:
        return f"{self.name}-{next(self._keys)}"

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
        """A GET where there is nothing to post."""
        headers = {"Idempotency-Key": key} if key else {}
        url, method = f"{self._stage.api}/{path}", "GET" if body is None else "POST"
        async with asyncio.timeout(30):
            return await call(method, url, token=self._token, json=body, headers=headers)


def _is_final(refusal: CallFailed) -> bool:
    """Not "later", and the orchestrator's own: maubot says 404 while the plugin is not up."""
    of_plugin = refusal.body.lstrip().startswith("{")
    return of_plugin and refusal.status < 500 and refusal.status != 429
