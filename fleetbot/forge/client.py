"""The REST client: what fleetbot asks of Forgejo, one method per call, a thin layer.

A repository is named ``owner/name`` (``ValueError`` for another shape). Every call may raise the
errors of :mod:`fleetbot.forge.errors`. Source: Forgejo's API description (``/swagger.v1.json``).
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from types import TracebackType
from typing import Self

import aiohttp

from fleetbot.fence import Leads, always
from fleetbot.forge.action_calls import ActionCalls
from fleetbot.forge.errors import ForgeError, ForgeForbidden
from fleetbot.forge.issue_calls import IssueCalls
from fleetbot.forge.keeping_calls import KeepingCalls
from fleetbot.forge.label_calls import LabelCalls
from fleetbot.forge.merge_calls import MergeCalls
from fleetbot.forge.models import Comment, Repository, User, Version
from fleetbot.forge.paths import path_of, repo_path
from fleetbot.forge.people import PeopleCalls
from fleetbot.forge.push_calls import PushCalls
from fleetbot.forge.review_calls import ReviewCalls
from fleetbot.forge.transport import DELAYS, Transport


class ForgeClient(
    IssueCalls,
    LabelCalls,
    MergeCalls,
    ReviewCalls,
    ActionCalls,
    PeopleCalls,
    KeepingCalls,
    PushCalls,
):
    """``async with ForgeClient(url, token) as forge``; or call :meth:`close` at the end.

    ``login`` is the account of the token; it is asked for when it is needed and not given. A token
    restricted to some repositories may not ask, so it has to be given for one. The other options
    are those of :class:`Transport`.
    """

    def __init__(
        self,
        url: str,
        token: str | Callable[[], str],
        *,
        login: str | None = None,
        session: aiohttp.ClientSession | None = None,
        ca_file: str = "",
        ca_setting: str = "forge.ca_file",
        timeout: float = 15.0,
        concurrency: int = 4,
        delays: Sequence[float] = DELAYS,
        longest_wait: float = 5.0,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        jitter: Callable[[], float] = random.random,
        on_failure: Callable[[ForgeError], None] = lambda error: None,
        leads: Leads = always,
    ) -> None:
        super().__init__(
            Transport(
                url,
                token,
                session=session,
                ca_file=ca_file,
                ca_setting=ca_setting,
                timeout=timeout,
                concurrency=concurrency,
                delays=delays,
                longest_wait=longest_wait,
                sleep=sleep,
                jitter=jitter,
                on_failure=on_failure,
                leads=leads,
            )
        )
        self._given, self._login = login, login

    @property
    def url(self) -> str:
        return self._http.url

    async def close(self) -> None:
        await self._http.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    # -- the server and the account

    async def version(self) -> Version:
        return await self._http.get(Version, "/version")

    async def current_user(self) -> User:
        return await self._http.get(User, "/user")

    async def login(self, *, anew: bool = False) -> str:
        """The login of the token's account; asked once, or `anew`, as accounts are renamed."""
        if self._login is None or (anew and not self._given):
            try:
                self._login = (await self.current_user()).login
            except ForgeForbidden as error:
                raise ForgeForbidden(
                    error.status,
                    error.method,
                    error.path,
                    "the token may not ask who it is; give the bot's login in the configuration",
                ) from error
        return self._login

    # -- repositories

    async def repo(self, repo: str) -> Repository:
        """Its ``full_name`` differs from ``repo`` where the repository was renamed."""
        return await self._http.get(Repository, repo_path(repo))

    async def repo_by_id(self, repo_id: int) -> Repository:
        """Whatever it is called now: the id stays through a rename and a transfer."""
        return await self._http.get(Repository, path_of("/repositories/{}", repo_id))

    # -- said once

    async def comment_once(
        self, repo: str, number: int, marker: str, body: str, *, like: str = ""
    ) -> Comment:
        """Comment under a hidden marker; where our comment with it is there already, answer that,
        or else one with a marker that begins with ``like``.

        Safe to call again after any failure. A comment of somebody else never counts.
        """
        author = await self.login()
        existing = await self.find_comment(repo, number, marker, author=author, like=like)
        return existing or await self.create_comment(repo, number, body, marker=marker)
