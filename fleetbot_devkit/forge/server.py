"""The development forge: start it, fill it, disturb it, look at what it was asked and sent."""

from __future__ import annotations

import re
import secrets
import socket
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Literal, Self

from aiohttp import web
from aiohttp.typedefs import Handler

from fleetbot_devkit.forge import (
    actions,
    commits,
    contents,
    dependencies,
    hooks,
    issues,
    labels,
    merging,
    orgs,
    protection,
    pulls,
    repos,
    reviews,
)
from fleetbot_devkit.forge.accounts import Access, Account, Team
from fleetbot_devkit.forge.api import (
    ApiError,
    Call,
    Json,
    Route,
    error_answer,
    json_of,
    prepare,
)
from fleetbot_devkit.forge.events import Notifier
from fleetbot_devkit.forge.failures import Failure, Failures
from fleetbot_devkit.forge.githttp import GitHttp
from fleetbot_devkit.forge.moved import moved
from fleetbot_devkit.forge.pages import Pages
from fleetbot_devkit.forge.pull_state import Protection
from fleetbot_devkit.forge.queues import Queue
from fleetbot_devkit.forge.refs import refs_changed
from fleetbot_devkit.forge.runs import ENDED, Job, Run
from fleetbot_devkit.forge.state import Repo, Status, World
from fleetbot_devkit.forge.webhooks import Delivery, Webhooks

ROUTES: tuple[Route, ...] = (
    *repos.ROUTES,
    *hooks.ROUTES,
    *labels.ROUTES,
    *issues.ROUTES,
    *dependencies.ROUTES,
    *reviews.ROUTES,
    *merging.ROUTES,
    *pulls.ROUTES,
    *commits.ROUTES,
    *contents.ROUTES,
    *orgs.ROUTES,
    *protection.ROUTES,
    *actions.ROUTES,
)
_MAX_BODY = 256 * 1024 * 1024  # a push is one body
_PERMISSIONS = {"read": Access.READ, "write": Access.WRITE, "admin": Access.ADMIN}


@dataclass(frozen=True)
class Seen:
    """A request that was answered; ``status`` 0 where the connection was cut instead."""

    method: str
    path: str
    query: Mapping[str, str]
    json: Json
    login: str
    status: int


class DevForge:
    """``async with DevForge.start(root) as forge``; everything is done on the running loop."""

    def __init__(
        self,
        root: Path,
        listener: socket.socket,
        now: Callable[[], datetime],
        pull_refs: Queue,
        merge_checks: Queue,
    ) -> None:
        host, port = listener.getsockname()[:2]
        self.url = f"http://{host}:{port}"
        self.requests: list[Seen] = []
        self._failures = Failures()
        self._root = root
        self._pull_refs = pull_refs
        self._merge_checks = merge_checks
        self._world = World(self.url, now, pull_refs, merge_checks)
        self._webhooks = Webhooks()
        self._notify = Notifier(self._world, self._webhooks)
        by_itself = partial(merging.merges_by_itself, self._world, self._notify)
        self._world.on_mergeable = by_itself
        self._world.on_rerun = self._job_said

    @classmethod
    @asynccontextmanager
    async def start(
        cls,
        root: Path,
        port: int = 0,
        *,
        redirects: Literal[301, 307] = 301,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        ref_lag: float = 0.0,
        merge_lag: float = 0.0,
        tells_of_jobs: bool = False,
    ) -> AsyncIterator[Self]:
        """Listen on loopback, with repositories below ``root``; stopped at the end of the block.

        ``redirects``: how a former name answers; 307 from versions before 12.
        ``ref_lag``: for how many seconds after a push an open pull request shows the new head with
        the old files and commits, and is mergeable or not as with its old base. Forgejo's is 0.2 to
        1.1; for the base it is 2 and more, the more pull requests there are.
        ``merge_lag``: for how long after that nobody can merge it, as it is being found out whether
        it conflicts. Forgejo's is 0.8 to 1.6.
        ``tells_of_jobs``: of Actions, and what they wrote, as from v16 on.
        """
        listener = socket.create_server(("127.0.0.1", port))
        forge = cls(root, listener, now, Queue(ref_lag), Queue(merge_lag))
        forge._world.redirects_by = redirects
        forge._world.tells_of_jobs = tells_of_jobs
        runner = web.AppRunner(forge._app(), access_log=None, shutdown_timeout=2.0)
        await runner.setup()
        await web.SockSite(runner, listener).start()
        await forge._webhooks.start()
        try:
            yield forge
        finally:
            await forge._webhooks.stop()
            await runner.cleanup()
            await forge._pull_refs.release()
            await forge._merge_checks.release()
            await forge._world.settled()

    # -- fill it

    def add_user(
        self,
        login: str,
        password: str | None = None,
        *,
        admin: bool = False,
        scopes: Iterable[str] = ("all",),
    ) -> str:
        """A new account; answers a token for it. Without a password there is a random one."""
        repos.new_account(self._world, login, password or secrets.token_hex(16), admin=admin)
        return self.add_token(login, scopes)

    def add_token(self, login: str, scopes: Iterable[str] = ("all",)) -> str:
        return self._world.new_token(self._account(login).login, frozenset(scopes))

    def set_scopes(self, token: str, scopes: Iterable[str]) -> None:
        """From now on it may do this only."""
        row = self._world.tokens[token]
        self._world.tokens[token] = replace(row, scopes=frozenset(scopes))

    def revoke_token(self, token: str) -> None:
        """From now on it is not known."""
        del self._world.tokens[token]

    def add_org(self, login: str) -> None:
        """An organisation; its repositories are reached through collaborators and teams."""
        repos.new_account(self._world, login, org=True)

    def add_team(
        self,
        org: str,
        name: str,
        permission: Literal["read", "write", "admin"],
        members: Iterable[str],
    ) -> None:
        """A team of the organisation, with all its repositories."""
        people = [self._account(login) for login in members]
        team = Team(self._world.next_id(), name, _PERMISSIONS[permission], people)
        self._account(org).teams.append(team)

    async def create_repo(
        self,
        owner: str,
        name: str,
        files: Mapping[str, str] | None = None,
        *,
        labels: Iterable[str] = (),
        private: bool = False,
    ) -> Repo:
        """A repository with ``files`` in a first commit on ``main``; empty without any."""
        account = self._account(owner)
        repo = repos.new_repo(self._world, self._root, account, name)
        repo.private = private
        for label in labels:
            self.add_label(repo.full_name, label)
        if files:
            first = repo.git.begin(repo.default_branch, files, "Initial commit")
            repo.refs = {f"refs/heads/{repo.default_branch}": first}
        return repo

    def add_label(self, repo: str, name: str, color: str = "#6e7781") -> int:
        """Answers the label's id."""
        return labels.add_label(self.repo(repo).labels, self._world.next_id(), name, color).id

    def add_collaborator(
        self, repo: str, login: str, permission: Literal["read", "write", "admin"] = "write"
    ) -> None:
        account = self._account(login)
        self.repo(repo).collaborators[account.login] = _PERMISSIONS[permission]

    async def commit(
        self,
        repo: str,
        branch: str,
        files: Mapping[str, str],
        message: str,
        *,
        by: str,
        base: str = "main",
    ) -> str:
        """Commit to a branch as a push would, made from ``base`` where it is new; the hash."""
        row = self.repo(repo)
        async with row.lock:
            parent = row.branch(branch) or row.branch(base)
            sha = await row.git.commit_files(branch, files, message, parent=parent)
            await refs_changed(self._world, self._notify, row, self._account(by))
        return sha

    async def force(
        self, repo: str, branch: str, files: Mapping[str, str], *, by: str, base: str = "main"
    ) -> str:
        """Push one commit upon ``base`` by force, whatever the branch was; its hash."""
        row = self.repo(repo)
        async with row.lock:
            sha = await row.git.commit_files(branch, files, "By force", parent=row.branch(base))
            await refs_changed(self._world, self._notify, row, self._account(by))
        return sha

    def delete_user(self, login: str) -> None:
        """As an administrator does; what it wrote is a ghost's."""
        self._world.forget(self._account(login))

    def rename_user(self, old: str, new: str) -> None:
        """As an administrator does; tokens, rights and assignments are those of the account."""
        self._world.rename(self._account(old), new)

    async def rename_branch(self, repo: str, old: str, new: str, *, by: str) -> None:
        """As on the page of branches: open pull requests follow, issues that name it do not, and
        no hook tells of it."""
        row = self.repo(repo)
        async with row.lock:
            await row.git.rename_branch(old, new)
            row.refs = await row.git.refs()
        if row.default_branch == old:
            row.default_branch = new
        for ticket in row.tickets.values():
            if ticket.pull and ticket.state == "open" and ticket.pull.base == old:
                ticket.pull.base = new

    async def delete_branch(self, repo: str, branch: str, *, by: str) -> None:
        """As the button on a merged pull request's page does."""
        row = self.repo(repo)
        async with row.lock:
            await row.git.delete_ref(f"refs/heads/{branch}")
            await refs_changed(self._world, self._notify, row, self._account(by))

    def protect(self, repo: str, rule: str, contexts: Iterable[str]) -> None:
        """Have what is merged to the branches of ``rule`` be green in the contexts that fit."""
        row = Protection(rule, checks_statuses=True, contexts=tuple(contexts))
        protection.put_rule(self.repo(repo), row)

    def reserve(self, repo: str, rule: str, people: Iterable[str]) -> None:
        """Have only these push to the branches of ``rule``, and merge into them."""
        row = Protection(rule, pushers=tuple(people), mergers=tuple(people))
        protection.put_rule(self.repo(repo), row)

    # -- look at it

    def repo(self, full_name: str) -> Repo:
        repo = self._world.repo(full_name)
        if repo is None:
            raise LookupError(f"no repository {full_name}")
        return repo

    @property
    def deliveries(self) -> list[Delivery]:
        """Every webhook message so far, lost ones too, in the order of what caused them."""
        return self._webhooks.deliveries

    async def delivered(self) -> None:
        """Return once every queued delivery has been answered or has failed, and every merge that
        waited for nothing any more is done."""
        await self._world.settled()
        await self._webhooks.drained()

    # -- disturb it

    def lose_webhooks(self, count: int) -> None:
        """The next ``count`` deliveries never leave."""
        self._webhooks.lose(count)

    def hold_pull_refs(self) -> None:
        """Pull requests keep their old files and commits under a new head, until released."""
        self._pull_refs.hold()

    async def release_pull_refs(self) -> None:
        """Files and commits are those of the head again, and the hooks are told."""
        await self._pull_refs.release()

    def hold_merge_checks(self) -> None:
        """Pull requests that are opened or pushed to cannot be merged, until released."""
        self._merge_checks.hold()

    async def release_merge_checks(self) -> None:
        """It is known which of them can be merged."""
        await self._merge_checks.release()

    def report(
        self, repo: str, sha: str, context: str, state: str, *, by: str | None = None, **said: str
    ) -> None:
        """What CI says of a commit: that of Actions, whose statuses have no creator, or of an
        account. ``said``: ``description`` and ``target_url``."""
        creator = self._account(by) if by else None
        self.repo(repo).statuses.setdefault(sha, []).append(
            Status(
                id=self._world.next_id(),
                creator=creator,
                state=state,
                context=context,
                description=said.get("description", ""),
                target_url=said.get("target_url", ""),
                created=self._world.now(),
            )
        )
        if state == "success":
            merging.succeeded(self._world, self.repo(repo), sha)

    def ran(
        self,
        repo: str,
        sha: str,
        status: str,
        *,
        by: str,
        workflow: str = "ci.yml",
        job: str = "test",
        branch: str = "",
        log: str | None = None,
    ) -> Run:
        """Actions have run a workflow of one job for a commit: its run, the commit's status, and
        where it has ended, what the hooks are told."""
        row = self.repo(repo)
        earlier = [run for run in row.runs if run.workflow == workflow]
        run = Run(
            id=self._world.next_id(),
            number=len(row.runs) + 1,
            workflow=workflow,
            event="push",
            sha=sha,
            ref=f"refs/heads/{branch}",
            status=status,
            title="Run",
            doer=self._account(by),
            created=self._world.now(),
            jobs=[Job(self._world.next_id(), job, status, log)],
        )
        row.runs.append(run)
        self._job_said(row, run, run.jobs[0])
        if status in ENDED:
            self._notify.run_ended(row, run, earlier[-1] if earlier else None)
        return run

    def ran_again(self, repo: str, run: Run, status: str, *, log: str | None = None) -> None:
        """The job of a run has ended once more."""
        job = run.jobs[0]
        run.status, job.status, job.log = status, status, log
        self._job_said(self.repo(repo), run, job)
        self._notify.run_ended(self.repo(repo), run, None)

    def _job_said(self, repo: Repo, run: Run, job: Job) -> None:
        state = {"cancelled": "failure", "running": "pending", "waiting": "pending"}
        said = state.get(job.status, job.status)
        place = f"/{repo.full_name}/actions/runs/{run.number}/jobs/{run.jobs.index(job)}"
        self.report(repo.full_name, run.sha, run.context(job), said, target_url=place)

    def run_jobs_again(self) -> None:
        """It is of a version that has a call for that, and tells of jobs, from now on."""
        self._world.tells_of_jobs = self._world.reruns_jobs = True

    def redeliver(self, delivery: Delivery) -> Delivery:
        """Send a payload again, as an administrator can: it gets a new id."""
        for repo in self._world.repos.values():
            if delivery.hook_id in repo.hooks:
                return self._webhooks.redeliver(delivery, repo.hooks[delivery.hook_id])
        raise LookupError("the hook is gone")

    def fail_next(
        self,
        method: str,
        path: str,
        status: int,
        times: int = 1,
        *,
        retry_after: int | None = None,
        applied: bool = False,
        after: int = 0,
        text: str = "",
    ) -> None:
        """Fail the next ``times`` requests whose path matches the regular expression ``path``, or
        those until ``recover``; an empty ``method`` is any.

        ``status`` 0 cuts the connection. With ``applied`` the request is carried out first, and
        only its answer is lost. ``after`` so many, which are let through. ``text``: a proxy's.
        """
        failure = Failure(
            method, re.compile(path), status, times, retry_after, applied, after, text
        )
        self._failures.add(failure)

    def recover(self) -> None:
        """Fail no more."""
        self._failures.clear()

    # -- how it works

    def _account(self, login: str) -> Account:
        account = self._world.account(login)
        if account is None:
            raise LookupError(f"no account {login}")
        return account

    def _app(self) -> web.Application:
        app = web.Application(client_max_size=_MAX_BODY, middlewares=[self._disturbed])
        app[repos.REPOSITORIES] = self._root
        app[_ITSELF] = self
        for resource in _RESOURCES:
            app.router.register_resource(resource)
        app.router.add_route("*", "/api/v1/{rest:.*}", self._no_such_call)
        GitHttp(self._world, self._notify).add_routes(app)
        Pages(self._world).add_routes(app)
        return app

    @web.middleware
    async def _disturbed(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        failure = self._failures.of(request)
        if failure is None:
            return await handler(request)
        if failure.applied:
            await handler(request)
        else:
            await request.read()
            self._saw(request, {}, None, failure.status)
        return failure.answer(request)

    async def _handle(self, route: Route, request: web.Request) -> web.StreamResponse:
        redirect = self._moved(request)
        if redirect is not None:
            return redirect
        call = Call(request, self._world, self._notify, {})
        try:
            call.sent = json_of(await request.read())
            prepare(call, route)
            response = await route.handler(call)
        except ApiError as error:
            response = error_answer(self._world, error)
        self._saw(request, call.sent, call.actor, response.status)
        return response

    def _moved(self, request: web.Request) -> web.Response | None:
        """The redirect from a repository's old name; to the same call, below the new one."""
        old = "{owner}/{repo}".format_map({"owner": "", "repo": "", **request.match_info})
        return moved(self._world, request, old)

    async def _no_such_call(self, request: web.Request) -> web.StreamResponse:
        self._saw(request, {}, None, 404)
        return web.Response(status=404, text="404 page not found\n")  # Go's own, as proxies' are

    def _saw(self, request: web.Request, sent: Json, actor: Account | None, status: int) -> None:
        login = actor.login if actor else ""
        query = dict(request.query)
        self.requests.append(Seen(request.method, request.path, query, sent, login, status))


_ITSELF = web.AppKey("itself", DevForge)


async def _answer(route: Route, request: web.Request) -> web.StreamResponse:
    return await request.app[_ITSELF]._handle(route, request)


def _resources() -> tuple[web.AbstractResource, ...]:
    router = web.UrlDispatcher()
    for route in ROUTES:
        router.add_route(route.method, f"/api/v1{route.path}", partial(_answer, route))
    return tuple(router.resources())


_RESOURCES = _resources()
"""Where all forges are called: to make these takes twice as long as all else at a start."""
