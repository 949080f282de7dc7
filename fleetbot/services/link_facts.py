"""Links to other repositories that a pull request adds or moves, and whether they lead there."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from urllib.parse import urljoin

from fleetbot.domain.facts import LinkFact
from fleetbot.forge.client import ForgeClient
from fleetbot.forge.errors import ForgeError, ForgeNotFound
from fleetbot.forge.git_models import ContentEntry
from fleetbot.forge.models import ChangedFile
from fleetbot.forge.paths import parse_repo

_LINK = "submodule"


async def read_links(
    client: ForgeClient, repo: str, head: str, files: Iterable[ChangedFile]
) -> tuple[LinkFact, ...]:
    """A link is one line of a diff, so that only the folders of such files are looked into."""
    paths = {file.filename for file in files if file.additions == 1 and file.deletions <= 1}
    folders = sorted({path.rpartition("/")[0] for path in paths})
    listed = await asyncio.gather(*(client.folder(repo, folder, head) for folder in folders))
    links = [x for found in listed for x in found if x.type == _LINK and x.path in paths]
    return tuple(await asyncio.gather(*(_link(client, repo, link) for link in links)))


async def _link(client: ForgeClient, repo: str, link: ContentEntry) -> LinkFact:
    url = link.submodule_git_url
    there = await _is_there(client, urljoin(f"{client.url}/{repo}/", url), link.sha)
    return LinkFact(path=link.path, commit=link.sha, url=url, there=there if url else None)


async def _is_there(client: ForgeClient, address: str, commit: str) -> bool | None:
    """Whether the commit is at the address; None of other servers, and of what we may not see."""
    home = f"{client.url}/"
    name = address.removeprefix(home).removesuffix(".git")
    try:
        parse_repo(name)
        await client.commit(name, commit)
    except ValueError:
        return None
    except ForgeNotFound:
        return False if await _is_seen(client, name) else None
    return True


async def _is_seen(client: ForgeClient, repo: str) -> bool:
    try:
        await client.repo(repo)
    except ForgeError:
        return False
    return True
