"""What the development forge remembers: accounts, repositories, tickets, hooks. Plain rows."""

from __future__ import annotations

import asyncio
import itertools
import secrets
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import Any

from fleetbot_devkit.forge.accounts import Access, Account, Label, Token
from fleetbot_devkit.forge.git import GitRepository
from fleetbot_devkit.forge.pull_state import MergeSettings, Protection, Pull
from fleetbot_devkit.forge.queues import Queue
from fleetbot_devkit.forge.runs import Job, Run


@dataclass
class Comment:
    id: int
    author: Account
    body: str
    created: datetime
    updated: datetime


@dataclass(frozen=True)
class Happening:
    """An entry of an issue's timeline; ``kind``: close, reopen, comment, merge_pull, pull_push,
    review, label, add_dependency, … ``other``: the issue of a dependency. ``label``: the one that
    was put on, with "1" for a body, or taken off."""

    id: int
    kind: str
    author: Account
    created: datetime
    body: str = ""
    review_id: int = 0
    other: tuple[Repo, Ticket] | None = None
    label: Label | None = None


@dataclass
class Status:
    """``creator`` is None for one of Actions."""

    id: int
    creator: Account | None
    state: str
    context: str
    description: str
    target_url: str
    created: datetime


@dataclass
class Ticket:
    """An issue or a pull request: they share their numbers, as in Forgejo."""

    id: int
    number: int
    author: Account
    title: str
    body: str
    created: datetime
    updated: datetime
    state: str = "open"
    closed: datetime | None = None
    labels: list[Label] = field(default_factory=list)
    assignees: list[Account] = field(default_factory=list)
    comments: list[Comment] = field(default_factory=list)
    blockers: list[tuple[Repo, Ticket]] = field(default_factory=list)
    happenings: list[Happening] = field(default_factory=list)
    ref: str = ""
    pull: Pull | None = None

    @property
    def is_blocked(self) -> bool:
        return any(blocker.state == "open" for _, blocker in self.blockers)

    @property
    def is_draft(self) -> bool:
        return self.title.upper().startswith(("WIP:", "[WIP]"))


@dataclass
class Hook:
    id: int
    url: str
    secret: str
    events: frozenset[str]
    active: bool
    content_type: str
    kind: str
    branch_filter: str
    created: datetime


@dataclass
class Repo:
    id: int
    owner: Account
    name: str
    git: GitRepository
    created: datetime
    default_branch: str = "main"
    private: bool = False
    archived: bool = False
    has_issues: bool = True
    has_pull_requests: bool = True
    external_tracker: str = ""
    description: str = ""
    collaborators: dict[str, Access] = field(default_factory=dict)
    labels: dict[int, Label] = field(default_factory=dict)
    tickets: dict[int, Ticket] = field(default_factory=dict)
    hooks: dict[int, Hook] = field(default_factory=dict)
    statuses: dict[str, list[Status]] = field(default_factory=dict)
    protections: dict[str, Protection] = field(default_factory=dict)
    has_actions: bool = True
    has_dependencies: bool = True
    merging: MergeSettings = field(default_factory=MergeSettings)
    runs: list[Run] = field(default_factory=list)
    refs: dict[str, str] = field(default_factory=dict)
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def full_name(self) -> str:
        return f"{self.owner.login}/{self.name}"

    def branch(self, name: str) -> str | None:
        """The commit of a branch."""
        return self.refs.get(f"refs/heads/{name}")

    def protection(self, branch: str) -> Protection | None:
        """A rule of the branch's own name comes before one that only fits."""
        fitting = [one for one in self.protections.values() if fnmatchcase(branch, one.rule)]
        own = [one for one in fitting if one.rule == branch]
        return next(iter(own or fitting), None)

    def latest_statuses(self, sha: str) -> list[Status]:
        """The newest of each context, the newest first."""
        latest = {row.context: row for row in self.statuses.get(sha, [])}
        return sorted(latest.values(), key=lambda row: row.id, reverse=True)

    def all_labels(self) -> dict[int, Label]:
        return {**self.owner.labels, **self.labels}


class World:
    """Everything the forge knows, with the look-ups that several places need."""

    def __init__(
        self, url: str, now: Callable[[], datetime], pull_refs: Queue, merge_checks: Queue
    ) -> None:
        self.url = url
        self.pull_refs = pull_refs
        self.merge_checks = merge_checks
        self.on_mergeable: Callable[[Repo, Ticket], None] = lambda repo, ticket: None
        self._background: set[asyncio.Task[None]] = set()
        self._now = now
        self._ids: Iterator[int] = itertools.count(1)
        self.accounts: dict[str, Account] = {}
        self.tokens: dict[str, Token] = {}
        self.repos: dict[str, Repo] = {}
        self.redirects_by = 301
        self.tells_of_jobs = False  # of Actions, as from v16 on
        self.reruns_jobs = False  # as on the branch after that
        self.on_rerun: Callable[[Repo, Run, Job], None] = lambda repo, run, job: None
        self.redirects: dict[str, int] = {}  # from a name in small letters to a repository's id

    def now(self) -> datetime:
        """Whole seconds, like every time Forgejo shows."""
        return self._now().astimezone(UTC).replace(microsecond=0)

    def next_id(self) -> int:
        return next(self._ids)

    def later(self, work: Coroutine[Any, Any, None]) -> None:
        """Do it beside what goes on now."""
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def settled(self) -> None:
        """Return once nothing is done beside any more."""
        while self._background:
            await asyncio.gather(*self._background)

    def account(self, login: str) -> Account | None:
        return self.accounts.get(login.lower())

    def repo(self, full_name: str) -> Repo | None:
        return self.repos.get(full_name.lower())

    def forget(self, account: Account) -> None:
        """Delete it. What it wrote is a ghost's from now on."""
        del self.accounts[account.login.lower()]
        self.tokens = {key: row for key, row in self.tokens.items() if row.login != account.login}
        for repo in self.repos.values():
            repo.collaborators.pop(account.login, None)
        account.id, account.login, account.is_admin = -1, "Ghost", False

    def rename(self, account: Account, login: str) -> None:
        """Whoever has repositories takes them along; no name leads anywhere from then on."""
        old = account.login
        self.accounts[login.lower()] = self.accounts.pop(old.lower())
        account.login = login
        for key, row in self.tokens.items():
            if row.login == old:
                self.tokens[key] = replace(row, login=login)
        for repo in self.repos.values():
            if old in repo.collaborators:
                repo.collaborators[login] = repo.collaborators.pop(old)
        self.repos = {repo.full_name.lower(): repo for repo in self.repos.values()}

    def new_token(self, login: str, scopes: frozenset[str], name: str = "token") -> str:
        token = secrets.token_hex(20)
        self.tokens[token] = Token(self.next_id(), name, login, scopes)
        return token

    def repo_by_id(self, number: int) -> Repo | None:
        return next((repo for repo in self.repos.values() if repo.id == number), None)

    def add(self, repo: Repo) -> None:
        """Whoever takes a name ends its redirect."""
        self.redirects.pop(repo.full_name.lower(), None)
        self.repos[repo.full_name.lower()] = repo

    def move(self, repo: Repo, owner: Account, name: str) -> None:
        """Rename or transfer; the old name leads to the new one."""
        old = repo.full_name.lower()
        del self.repos[old]
        repo.owner, repo.name = owner, name
        self.add(repo)
        if old != repo.full_name.lower():
            self.redirects[old] = repo.id

    def remove(self, repo: Repo) -> None:
        """Delete; no name leads anywhere any more."""
        del self.repos[repo.full_name.lower()]
        self.redirects = {name: one for name, one in self.redirects.items() if one != repo.id}

    def access(self, account: Account | None, repo: Repo) -> Access:
        if account is None:
            return Access.NONE if repo.private else Access.READ
        if account is repo.owner:
            return Access.OWNER
        if account.is_admin:
            return Access.ADMIN
        public = Access.NONE if repo.private else Access.READ
        teams = (team.access for team in repo.owner.teams if account in team.members)
        return max(public, repo.collaborators.get(account.login, Access.NONE), *teams)

    def assignable(self, repo: Repo) -> list[Account]:
        """Who an issue can be assigned to: whoever may write by explicit right, and the members of
        every team of an organisation, also of those that may only read."""
        people = [repo.owner, *(self.accounts[name.lower()] for name in repo.collaborators)]
        writers = [one for one in people if self.access(one, repo) >= Access.WRITE]
        members = [one for team in repo.owner.teams for one in team.members]
        found = {one.login: one for one in (*writers, *members) if not one.is_org}
        return list(found.values())
