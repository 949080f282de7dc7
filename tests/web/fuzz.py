"""Requests that the description allows, and such as it forbids, by the thousand; every answer is
held against it.

    python -m tests.web.fuzz [--requests 10000] [--seed 1]

The orchestrator is that of the other tests, on loopback in a thread of its own. A run with the same
seed and number sends the same. What is found is told with the request that shows it; the exit
status is then 1.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import sys
import threading
from collections import Counter
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from requests.auth import AuthBase
from schemathesis import Case, Config, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.schemas import APIOperation
from schemathesis.specs.openapi import checks as openapi

from fleetbot_devkit.forge import DevForge
from fleetbot_devkit.forge_user import ForgeUser
from tests.web.furnished import Furnished
from tests.web.site import REPO, Site, signature

T = TypeVar("T")
Operation = APIOperation[Any, Any, Any, Any]
Asked = Case[Any]

FRESH = 20
"""After so many requests the agent and its run are made anew: others may have ended them."""
LONGEST_WAIT = 0.01
PATIENCE = 60.0
"""Seconds for anything, on a machine that has other things to do."""
EVENT_TYPES = ("issues", "pull_request", "push", "issue_comment", "repository")
_REFUSED = [400, 403, 404, 409, 413, 422]
_CONFIG = {
    "generation": {"with-security-parameters": False},  # tests/web/test_authorisation.py has those
    "checks": {"negative_data_rejection": {"expected-statuses": _REFUSED}},
}
_CHECKS = [
    not_a_server_error,
    openapi.status_code_conformance,
    openapi.content_type_conformance,
    openapi.response_headers_conformance,
    openapi.response_schema_conformance,
    openapi.negative_data_rejection,
]


class Place:
    """A furnished site in a thread of its own, for callers that block."""

    def __init__(self, scene: Furnished, loop: asyncio.AbstractEventLoop) -> None:
        self._scene = scene
        self._loop = loop
        self.url = scene.site.url
        self.document = scene.site.document
        self.parts = scene.place

    def renew(self) -> None:
        self._await(self._renewed())
        self.parts = self._scene.place

    async def _renewed(self) -> None:
        await self._scene.site.operator.post("/api/v1/fleet/resume", {})
        await self._scene.agent()

    def token(self, kinds: set[str]) -> str:
        """The best of those that an operation takes."""
        if "agent" in kinds:
            return self._scene.own
        return self._scene.tokens["operator" if "operator" in kinds else "none"]

    def _await(self, made: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(made, self._loop).result(PATIENCE)


@asynccontextmanager
async def _furnished(folder: Path) -> AsyncIterator[Furnished]:
    async with DevForge.start(folder / "forge") as forge:
        token = forge.add_user("fleetbot", admin=True)
        owner, _, name = REPO.partition("/")
        forge.add_org(owner)
        await forge.create_repo(owner, name, {"README.md": "hello"})
        label = forge.add_label(REPO, "fleet")
        async with (
            ForgeUser(forge.url, forge.add_user("ann", admin=True)) as ann,
            Site.start(folder, forge.url, token) as site,
        ):

            async def new_issue() -> int:
                return (await ann.create_issue(REPO, "Mend the door", label_ids=[label])).number

            yield await Furnished.of(site, new_issue)


@contextmanager
def serving(folder: Path) -> Iterator[Place]:
    ready: list[Place] = []
    begun, done = threading.Event(), threading.Event()

    async def serve() -> None:
        try:
            async with _furnished(folder) as scene:
                ready.append(Place(scene, asyncio.get_running_loop()))
                begun.set()
                await asyncio.to_thread(done.wait)
        finally:
            begun.set()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    try:
        begun.wait()
        yield ready[0]
    finally:
        done.set()
        thread.join()


@dataclass
class Findings:
    """`answers`: how many there were of each status; `wrong`: what is not as it should be, with the
    first request that shows it."""

    answers: Counter[int] = field(default_factory=Counter)
    wrong: dict[str, str] = field(default_factory=dict)

    @property
    def requests(self) -> int:
        return self.answers.total()


class Shown(AuthBase):
    """The token of the operation, or Forgejo's signature of what is sent."""

    def __init__(self, place: Place, operation: Operation) -> None:
        self._place = place
        self._kinds = {kind for its in operation.definition.raw["security"] for kind in its}
        self._numbers = itertools.count()

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self._kinds == {"forgejo"}:
            self._sign(request)
        elif self._kinds:
            request.headers["Authorization"] = f"Bearer {self._place.token(self._kinds)}"
        return request

    def _sign(self, request: requests.PreparedRequest) -> None:
        body = request.body.encode() if isinstance(request.body, str) else request.body or b""
        assert isinstance(body, bytes)
        number = next(self._numbers)
        request.headers["X-Forgejo-Signature"] = signature(body)
        request.headers["X-Forgejo-Delivery"] = f"delivery-{number}"
        request.headers["X-Forgejo-Event-Type"] = EVENT_TYPES[number % len(EVENT_TYPES)]


class Fuzz:
    """Asks one operation after the other; `each` times as is described, and as often otherwise."""

    def __init__(self, place: Place, each: int, number: int = 1) -> None:
        self._place = place
        self._each = each
        self._seed = number
        self._session = requests.Session()
        self.found = Findings()

    def run(self) -> Findings:
        config = Config.from_dict(_CONFIG)
        described = schemathesis.openapi.from_dict(self._place.document, config=config)
        with self._session:
            for one in described.get_all_operations():
                operation: Operation = one.ok()  # type: ignore[union-attr]  # or raise
                self._session.auth = Shown(self._place, operation)
                self._place.renew()
                for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
                    self._ask(operation, mode)
        return self.found

    def _ask(self, operation: Operation, mode: GenerationMode) -> None:
        @seed(self._seed)
        @settings(
            max_examples=self._each,
            database=None,
            deadline=None,
            derandomize=False,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(operation.as_strategy(mode), st.integers(0, 3))
        def ask(case: Asked, unknown: int) -> None:
            self._call(case, known=bool(unknown))

        with suppress(Unsatisfiable):  # there is nothing to be said otherwise
            ask()

    def _call(self, case: Asked, *, known: bool) -> None:
        if self.found.requests % FRESH == FRESH - 1:
            self._place.renew()
        if known:
            case.path_parameters = {name: self._place.parts[name] for name in case.path_parameters}
        _hurry(case)
        if not _is_sent(case):
            return
        try:
            response = case.call(self._place.url, session=self._session, timeout=PATIENCE)
            self.found.answers[response.status_code] += 1
            case.validate_response(response, checks=_CHECKS)
        except FailureGroup as failures:
            for failure in failures.exceptions:
                what = f"{case.method} {case.operation.path}: {failure.title}: {failure.message}"
                self.found.wrong.setdefault(what, case.as_curl_command())


def _is_sent(case: Asked) -> bool:
    """All of it: an empty list or object in a query is no word of an address."""
    return all(value not in ([], {}) for value in case.query.values())


def _hurry(case: Asked) -> None:
    """Wait for news no longer than it takes to find out, and follow from where there is some."""
    body: Any = case.body
    if case.operation.path.endswith("/claim") and isinstance(body, dict):
        body.setdefault("wait", 0)
    for part in (case.query, body):
        wait: Any = part.get("wait") if isinstance(part, dict) else None
        if type(wait) in (int, float) and LONGEST_WAIT < wait <= 60:
            part["wait"] = LONGEST_WAIT
    if case.operation.path.endswith("/events") and "{" not in case.operation.path:
        case.headers.pop("Last-Event-ID", None)
        if isinstance(case.query.get("after", 0), int):
            case.query["after"] = min(case.query.get("after", 0), 0)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    wanted = parser.parse_args()
    with TemporaryDirectory() as folder, serving(Path(folder)) as place:
        operations = sum(len(its) for its in place.document["paths"].values())
        found = Fuzz(place, -(-wanted.requests // (2 * operations)), wanted.seed).run()
    for what, request in found.wrong.items():
        print(f"{what}\n  {request}\n")
    told = ", ".join(f"{status}: {number}" for status, number in sorted(found.answers.items()))
    print(f"{found.requests} requests ({told}), {len(found.wrong)} kinds of wrong answers")
    return int(bool(found.wrong))


if __name__ == "__main__":
    sys.exit(main())
