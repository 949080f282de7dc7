"""The runner's own small link to the forge: issues, who is trusted, pull requests."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar
from urllib.parse import quote

import aiohttp
import msgspec

from fleetbot.domain.reasons import ReasonCode
from fleetbot.runner.failure import RunFailed

_T = TypeVar("_T")
_TIMEOUT = aiohttp.ClientTimeout(total=20)
_OWN_COMMENT = "<!-- fleetbot "
_WRITERS = frozenset({"write", "admin", "owner"})
_PAGE = 50


class User(msgspec.Struct, frozen=True):
    login: str = ""


class Issue(msgspec.Struct, frozen=True):
    """An issue of the forge; the fields the runner uses."""

    number: int
    title: str = ""
    body: str | None = ""
    html_url: str = ""
    user: User | None = None

    @property
    def author(self) -> str:
        return self.user.login if self.user else ""


class Comment(msgspec.Struct, frozen=True):
    body: str | None = ""
    user: User | None = None
    created_at: str = ""

    @property
    def author(self) -> str:
        return self.user.login if self.user else ""

    @property
    def is_ours(self) -> bool:
        return _OWN_COMMENT in (self.body or "")


class Branch(msgspec.Struct, frozen=True):
    ref: str = ""
    sha: str = ""
    repo_id: int = 0


class PullRequest(msgspec.Struct, frozen=True):
    number: int
    head: Branch
    base: Branch
    state: str = "open"
    html_url: str = ""

    def joins(self, branch: str, base: str) -> bool:
        """Whether it is of these two branches; anybody's fork may have one of the same name."""
        within = self.head.repo_id == self.base.repo_id
        return within and (self.head.ref, self.base.ref) == (branch, base)


class Commit(msgspec.Struct, frozen=True):
    id: str


class Head(msgspec.Struct, frozen=True):
    """A branch and its newest commit."""

    commit: Commit


class Permission(msgspec.Struct, frozen=True):
    permission: str = "none"


class Away(Exception):
    """The forge did not answer; asking again later may help."""


class Forge:
    """A few calls of Forgejo's API with the runner's token. Methods raise RunFailed.

    `token` is asked for each call: people replace it. `delays`: seconds to wait before each further
    try of a call that got no answer.
    """

    def __init__(
        self,
        http: aiohttp.ClientSession,
        url: str,
        token: Callable[[], str],
        *,
        trusted: Sequence[str] = (),
        delays: Sequence[float] = (1, 3, 10),
    ) -> None:
        self._http = http
        self.url = url
        self._token = token
        self._trusted = frozenset(login.lower() for login in trusted)
        self._delays = delays

    async def login(self) -> str:
        """Whose token it is; empty where the token may not ask (it is limited to repositories)."""
        status, body = await self._patiently(lambda: self._send("GET", "/user"))
        if status == 403:
            return ""
        return _read(status, body, User, "asking who the token belongs to").login

    async def check_scopes(self, owner: str, absent: str) -> None:
        """Prove that the token may write, by asking for a change of a repository that is not there.

        Forgejo looks at a token's scopes before it looks for the repository: 404 is a yes.
        """
        for scope, what in (("write:repository", "pulls"), ("write:issue", "issues")):
            path = f"/repos/{_repo(f'{owner}/{absent}')}/{what}"
            status, body = await self._patiently(lambda: self._send("POST", path, {}))  # noqa: B023 - awaited at once
            if status != 404:
                raise RunFailed(
                    ReasonCode.FORGE_REFUSED, f"scope {scope}: {_refusal(status, body)}"
                )

    async def heads(self, repo: str, *branches: str) -> dict[str, str] | None:
        """The newest commits of those of the branches that there are; None where it is not told.

        One quick look, which spares a `git ls-remote`: whoever gets None asks with git.
        """
        try:
            answers = await asyncio.gather(*(self._head(repo, branch) for branch in branches))
        except (Away, RunFailed):
            return None
        found = zip(branches, answers, strict=True)
        return {branch: commit for branch, commit in found if commit is not None}

    async def _head(self, repo: str, branch: str) -> str | None:
        path = f"/repos/{_repo(repo)}/branches/{quote(branch)}"
        status, body = await self._send("GET", path)
        if status == 404:
            return None
        return _read(status, body, Head, f"reading {repo}'s branch {branch}").commit.id

    async def issue(self, repo: str, number: int) -> Issue:
        path = f"/repos/{_repo(repo)}/issues/{number}"
        status, body = await self._patiently(lambda: self._send("GET", path))
        return _read(status, body, Issue, f"reading {repo}#{number}")

    async def comments(self, repo: str, number: int) -> list[Comment]:
        """The issue's comments, oldest first, without fleetbot's own."""
        path = f"/repos/{_repo(repo)}/issues/{number}/comments"
        status, body = await self._patiently(lambda: self._send("GET", path))
        comments = _read(status, body, list[Comment], f"reading the comments of {repo}#{number}")
        return [comment for comment in comments if not comment.is_ours]

    async def is_trusted(self, repo: str, login: str) -> bool:
        """Whether a person may tell agents what to do: named in the settings, or able to write."""
        if not login or login.lower() in self._trusted:
            return bool(login)
        path = f"/repos/{_repo(repo)}/collaborators/{quote(login, safe='')}/permission"
        status, body = await self._patiently(lambda: self._send("GET", path))
        if status == 403:
            return await self._is_assignable(repo, login)
        if status == 404:
            return False
        found = _read(status, body, Permission, f"asking what {login} may do in {repo}")
        return found.permission in _WRITERS

    async def _is_assignable(self, repo: str, login: str) -> bool:
        """Only administrators are told who may write; everybody, who can be assigned: the same."""
        path = f"/repos/{_repo(repo)}/assignees"
        status, body = await self._patiently(lambda: self._send("GET", path))
        people = _read(status, body, list[User], f"asking who may be assigned in {repo}")
        return login.lower() in {person.login.lower() for person in people}

    async def pull_request(
        self, repo: str, branch: str, base: str, *, title: str, body: str
    ) -> PullRequest:
        """The open pull request of the branch; made if there is none."""

        async def find_or_make() -> PullRequest:
            return await self._find(repo, branch, base) or await self._make(
                repo, {"head": branch, "base": base, "title": title, "body": body}
            )

        # A try that got no answer may have made it: the next one looks first.
        return await self._patiently(find_or_make)

    async def await_head(self, repo: str, number: int, commit: str) -> bool:
        """Wait a little until the forge has noticed the push; False if it takes longer."""
        path = f"/repos/{_repo(repo)}/pulls/{number}"
        for delay in (0, 0.2, 0.5, 1, 2, 4):
            await asyncio.sleep(delay)
            status, body = await self._patiently(lambda: self._send("GET", path))
            found = _read(status, body, PullRequest, f"reading {repo}#{number}")
            if found.head.sha == commit:
                return True
        return False

    async def _find(self, repo: str, branch: str, base: str) -> PullRequest | None:
        for page in range(1, 1000):
            path = f"/repos/{_repo(repo)}/pulls?state=open&page={page}&limit={_PAGE}"
            status, body = await self._send("GET", path)
            found = _read(
                status, body, list[PullRequest | None], f"listing pull requests of {repo}"
            )
            for pull in filter(None, found):
                if pull.joins(branch, base):
                    return pull
            if not found:
                break
        return None

    async def _make(self, repo: str, fields: dict[str, str]) -> PullRequest:
        status, body = await self._send("POST", f"/repos/{_repo(repo)}/pulls", fields)
        if status == 409:  # somebody was faster, or an earlier try got through
            raise Away(f"a pull request of {fields['head']} exists but is not listed yet")
        return _read(status, body, PullRequest, f"opening a pull request in {repo}")

    async def _patiently(self, call: Callable[[], Awaitable[_T]]) -> _T:
        for delay in self._delays:
            try:
                return await call()
            except Away:
                await asyncio.sleep(delay)
        try:
            return await call()
        except Away as problem:
            raise RunFailed(ReasonCode.FORGE_UNAVAILABLE, f"{self.url}: {problem}") from None

    async def _send(
        self, method: str, path: str, fields: dict[str, str] | None = None
    ) -> tuple[int, bytes]:
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
        if response.status in (429, 500, 502, 503, 504):
            raise Away(f"it answered {response.status}")
        return response.status, body


def _repo(repo: str) -> str:
    return "/".join(quote(part, safe="") for part in repo.split("/", 1))


def _read(status: int, body: bytes, kind: type[_T], doing: str) -> _T:
    if 200 <= status < 300:
        try:
            return msgspec.json.decode(body, type=kind)
        except msgspec.DecodeError as problem:
            raise Away(f"{doing}: unreadable answer: {problem}") from None
    unknown = status == 401
    reason = ReasonCode.FORGE_LOGIN_FAILED if unknown else ReasonCode.FORGE_REFUSED
    raise RunFailed(reason, f"{doing}: {_refusal(status, body)}")


def _refusal(status: int, body: bytes) -> str:
    advice = {
        301: "it was renamed or moved; correct the task's repository",
        401: "the runner's forge token is not valid; make a new one",
        403: "the runner's forge token may not do this; it needs write:repository and write:issue",
        404: "it does not exist, or the runner's account cannot see it",
    }
    said: Any = None
    try:
        decoded = msgspec.json.decode(body)
        said = decoded.get("message") if isinstance(decoded, dict) else None
    except msgspec.DecodeError:
        pass
    parts = [f"the forge answered {status}", str(said or "")[:300], advice.get(status, "")]
    return "; ".join(filter(None, parts))
