"""What CI says of a pull request's head, and what is to be expected of it: read from Forgejo."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from urllib.parse import urljoin

from fleetbot.domain.ci import OWN_CONTEXT, PENDING, CiFacts, StatusFact
from fleetbot.domain.facts import Unread
from fleetbot.domain.receipts import Rules
from fleetbot.forge.client import ForgeClient
from fleetbot.forge.models import PullRequest

_RECENT = 5  # commits of the base; the newest with a status tells what CI there is
_ACTIONS = (".forgejo", ".gitea", ".github")
_OTHER_CI = frozenset({".woodpecker", ".woodpecker.yml", ".woodpecker.yaml", ".drone.yml"})


async def read_ci(
    client: ForgeClient, repo: str, pull: PullRequest, base: str, rules: Rules
) -> CiFacts | Unread:
    """Where CI is not required, only what it says of the head, as that is shown with a verdict."""
    statuses = await statuses_of(client, repo, pull.head.sha)
    if not rules.require_ci:
        return CiFacts(statuses=statuses)
    branch = await client.branch(repo, base)
    if branch is None or branch.commit is None:
        return Unread(f"The branch `{base}` is gone: what CI it requires is not known.")
    bot = await client.login()
    fleet = {name.lower() for name in (*rules.ci.fleet, bot)}
    on_base = await _contexts_on(client, repo, branch.commit.id, fleet)
    return CiFacts(
        statuses=statuses,
        required=branch.status_check_contexts if branch.enable_status_check else (),
        on_base=on_base,
        has_workflows=not on_base and await _has_workflows(client, repo, pull, branch.commit.id),
        bot=bot,
    )


async def _contexts_on(
    client: ForgeClient, repo: str, base: str, fleet: Collection[str]
) -> tuple[str, ...]:
    """The contexts of the base's newest commit that has any; of some, CI may have been told not to
    look. While one is at work others may be still to come: those of the commits before it count."""
    found: set[str] = set()
    for commit in await client.recent_commits(repo, base, _RECENT):
        facts = await statuses_of(client, repo, commit.sha)
        theirs = [x for x in facts if x.context != OWN_CONTEXT and x.creator.lower() not in fleet]
        found |= {status.context for status in theirs}
        if theirs and all(status.state != PENDING for status in theirs):
            break
    return tuple(sorted(found))


async def _has_workflows(client: ForgeClient, repo: str, pull: PullRequest, base: str) -> bool:
    """On the base or on the head: what a pull request adds or takes away is CI as well."""
    actions = (await client.repo(repo)).has_actions
    found = await asyncio.gather(
        *(_has_ci_files(client, repo, ref, actions=actions) for ref in (base, pull.head.sha))
    )
    return any(found)


async def _has_ci_files(client: ForgeClient, repo: str, ref: str, *, actions: bool) -> bool:
    names = {entry.name for entry in await client.folder(repo, "", ref)}
    if names & _OTHER_CI:
        return True
    places = [f"{name}/workflows" for name in _ACTIONS if actions and name in names]
    return any([await client.folder(repo, place, ref) for place in places])


async def statuses_of(client: ForgeClient, repo: str, sha: str) -> tuple[StatusFact, ...]:
    """Actions give the address of their log without the forge's."""
    return tuple(
        StatusFact(
            context=one.context,
            state=one.status,
            creator=one.creator.login if one.creator else "",
            description=one.description,
            url=urljoin(f"{client.url}/", one.target_url) if one.target_url else "",
            id=one.id,
        )
        for one in await client.contexts(repo, sha)
    )
