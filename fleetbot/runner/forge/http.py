"""One call of the forge's API: who asks, how long, and what an answer means for the run."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple, NoReturn, TypeVar
from urllib.parse import quote

import aiohttp
import msgspec

from fleetbot.domain.reasons import ReasonCode
from fleetbot.runner.failure import RunFailed

_T = TypeVar("_T")
_TIMEOUT = aiohttp.ClientTimeout(total=20)
_LONGEST_WAIT = 30.0  # seconds; who asks to be left alone for longer is away
_SAID_LIMIT = 300
_NO_ANSWER = frozenset({408, 429})
_MOVED = re.compile(r"/repos/([^/?#]+/[^/?#]+)")
_ADVICE = {
    401: "it does not know the runner's token, which was revoked or has expired: give it a new one",
    403: "the runner's account or its token may not do this: it needs write access to the "
    "repository, and the scopes write:repository and write:issue",
    404: "it does not exist, or the runner's account cannot see it: make it a collaborator",
    423: "the repository is archived",
}


class Away(Exception):
    """Nothing was found out: asking again may help, after `wait` seconds where it says so."""

    def __init__(self, said: str, wait: float = 0) -> None:
        super().__init__(said)
        self.wait = wait


class Answer(NamedTuple):
    """`location` is where a redirect leads to."""

    status: int
    body: bytes
    location: str = ""


class Calls:
    """Calls with the token that is the right one now. Methods raise RunFailed unless they say Away.

    `delays`: seconds to wait before each further try of a call that got no answer.
    """

    def __init__(
        self,
        http: aiohttp.ClientSession,
        url: str,
        token: Callable[[], str],
        *,
        delays: Sequence[float] = (1, 3, 10),
    ) -> None:
        self.url = url
        self._http = http
        self._token = token
        self._delays = delays

    async def get(self, kind: type[_T], path: str, doing: str) -> _T:
        """What is at the path; `doing` names the attempt where it fails."""
        answer = await self.ask("GET", path)
        return self.read(answer, kind, doing)

    async def ask(self, method: str, path: str, fields: dict[str, Any] | None = None) -> Answer:
        """Any answer that is one; only of calls that may be made twice."""
        return await self.patiently(lambda: self.send(method, path, fields))

    async def patiently(self, call: Callable[[], Awaitable[_T]]) -> _T:
        """Try again while the forge is away, for as long as it may take within a run."""
        for delay in self._delays:
            try:
                return await call()
            except Away as problem:
                if problem.wait > _LONGEST_WAIT:
                    self._give_up(problem)
                await asyncio.sleep(max(delay, problem.wait))
        try:
            return await call()
        except Away as problem:
            self._give_up(problem)

    def _give_up(self, problem: Away) -> NoReturn:
        raise RunFailed(ReasonCode.FORGE_UNAVAILABLE, f"{self.url}: {problem}") from None

    async def send(self, method: str, path: str, fields: dict[str, Any] | None = None) -> Answer:
        """Raises Away where the forge gave no answer of its own."""
        headers = {"Authorization": f"token {self._token()}", "User-Agent": "fleetbot-runner"}
        try:
            async with self._http.request(
                method,
                f"{self.url}/api/v1{path}",
                json=fields,
                headers=headers,
                allow_redirects=False,
                timeout=_TIMEOUT,
            ) as response:
                body = await response.read()
        except (aiohttp.ClientError, TimeoutError) as problem:
            raise Away(str(problem) or type(problem).__name__) from None
        if response.status >= 500 or response.status in _NO_ANSWER:
            wait = response.headers.get("Retry-After", "")
            seconds = float(wait) if wait.isdecimal() else 0
            raise Away(f"it answered {response.status}", seconds)
        return Answer(response.status, body, response.headers.get("Location", ""))

    def read(self, answer: Answer, kind: type[_T], doing: str) -> _T:
        if not 200 <= answer.status < 300:
            raise self.refused(answer, doing)
        try:
            return msgspec.json.decode(answer.body, type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError) as problem:
            # Not the forge's: a proxy's page, as while the forge is being restarted.
            said = f"{doing}: unreadable answer: {problem}"
            raise RunFailed(ReasonCode.FORGE_UNAVAILABLE, said) from None

    def refused(self, answer: Answer, doing: str) -> RunFailed:
        """What an answer that is no success means, by its status alone."""
        advice = _ADVICE.get(answer.status, "")
        if 300 <= answer.status < 400:
            advice = _moved_to(answer.location)
        parts = (f"the forge answered {answer.status}", self._message(answer.body), advice)
        unknown = answer.status == 401
        reason = ReasonCode.FORGE_LOGIN_FAILED if unknown else ReasonCode.FORGE_REFUSED
        return RunFailed(reason, f"{doing}: {'; '.join(filter(None, parts))}")

    def _message(self, body: bytes) -> str:
        """What Forgejo says; it may repeat the token."""
        try:
            decoded = msgspec.json.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return ""
        said = decoded.get("message") if isinstance(decoded, dict) else None
        text = str(said or "")
        if token := self._token():
            text = text.replace(token, "[masked]")
        return text[:_SAID_LIMIT]


def repo_path(repo: str) -> str:
    """The path of a repository named `owner/name`."""
    return "/repos/" + "/".join(quote(part, safe="") for part in repo.split("/", 1))


def _moved_to(location: str) -> str:
    if found := _MOVED.search(location):
        return f"the repository has moved: it is {found[1]} now; correct that name in fleetbot"
    return "it leads elsewhere: the repository has moved, or forge.url is not Forgejo's own address"
