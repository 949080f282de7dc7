"""The pages behind the links: a repository, an issue, a pull request. For people, to look at."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import commonmark  # type: ignore[import-untyped]  # it publishes no types
from aiohttp import web
from jinja2 import Environment, FileSystemLoader
from markupsafe import Markup

from fleetbot_devkit.forge import pull_shapes
from fleetbot_devkit.forge.accounts import Access
from fleetbot_devkit.forge.state import Repo, Ticket, World


class Pages:
    """Public repositories only: there is no signing in here."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._templates = Environment(
            loader=FileSystemLoader(Path(__file__).with_name("templates")),
            autoescape=True,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.filters["markdown"] = _markdown

    def add_routes(self, app: web.Application) -> None:
        app.router.add_get("/", self.home)
        app.router.add_get("/{owner}/{repo}", self.repository)
        app.router.add_get("/{owner}/{repo}/issues", self.repository)
        app.router.add_get("/{owner}/{repo}/pulls", self.repository)
        app.router.add_get("/{owner}/{repo}/issues/{number:\\d+}", self.ticket)
        app.router.add_get("/{owner}/{repo}/pulls/{number:\\d+}", self.ticket)
        app.router.add_get("/{owner}/{repo}/commit/{sha:[0-9a-f]{4,40}}", self.commit)

    async def home(self, request: web.Request) -> web.Response:
        repos = [one for one in self._world.repos.values() if self._is_public(one)]
        return self._page("home.html", repos=repos)

    async def repository(self, request: web.Request) -> web.Response:
        repo = self._repo(request)
        tickets = sorted(repo.tickets.values(), key=lambda one: -one.number)
        branches = {ref.removeprefix("refs/heads/"): sha for ref, sha in repo.refs.items()}
        return self._page("repo.html", repo=repo, tickets=tickets, branches=branches)

    async def ticket(self, request: web.Request) -> web.Response:
        repo = self._repo(request)
        ticket = repo.tickets.get(int(request.match_info["number"]))
        if ticket is None:
            raise web.HTTPNotFound(text="There is no such issue or pull request.")
        return self._page("ticket.html", repo=repo, ticket=ticket, **await _changes(repo, ticket))

    async def commit(self, request: web.Request) -> web.Response:
        repo = self._repo(request)
        sha = await repo.git.resolve(request.match_info["sha"])
        if sha is None:
            raise web.HTTPNotFound(text="There is no such commit.")
        [commit] = await repo.git.commits(sha, limit=1)
        diff = await repo.git.diff(commit.parents[0], sha) if commit.parents else ""
        statuses = {row.context: row for row in repo.statuses.get(sha, [])}
        return self._page("commit.html", repo=repo, commit=commit, diff=diff, statuses=statuses)

    def _repo(self, request: web.Request) -> Repo:
        repo = self._world.repo(f"{request.match_info['owner']}/{request.match_info['repo']}")
        if repo is None or not self._is_public(repo):
            raise web.HTTPNotFound(text="There is no such repository.")
        return repo

    def _is_public(self, repo: Repo) -> bool:
        return self._world.access(None, repo) >= Access.READ

    def _page(self, template: str, **values: Any) -> web.Response:
        html = self._templates.get_template(template).render(**values)
        headers = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'"}
        return web.Response(text=html, content_type="text/html", headers=headers)


async def _changes(repo: Repo, ticket: Ticket) -> dict[str, Any]:
    if ticket.pull is None:
        return {}
    pull, base = ticket.pull, pull_shapes.base_commit(repo, ticket.pull)
    statuses = {row.context: row for row in repo.statuses.get(pull.head_sha, [])}
    return {
        "files": await pull_shapes.pull_changes(repo, pull),
        "commits": await repo.git.commits(pull.head_sha, f"^{base}"),
        "statuses": statuses,
        "diff": await repo.git.diff(await repo.git.merge_base(base, pull.head_sha), pull.head_sha),
    }


def _markdown(text: str) -> Markup:
    """Raw HTML and links that run code are left out by commonmark's safe mode."""
    tree = commonmark.Parser().parse(text)
    # Markup marks it as safe for the page, which safe mode has made it.
    return Markup(commonmark.HtmlRenderer({"safe": True}).render(tree))
