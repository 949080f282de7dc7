"""A comment of ours that stands there twice: one of the two is taken away.

Every comment is looked up by its marker before it is posted. But one that was on its way when its
sender was frozen, or died, may arrive after the next one has looked.
"""

from __future__ import annotations

from contextlib import suppress

from fleetbot.domain.model import same_name
from fleetbot.forge.client import ForgeClient
from fleetbot.forge.errors import ForgeNotFound
from fleetbot.forge.issue_calls import marker_of
from fleetbot.logs import log_of

log = log_of("fleetbot.forge")


async def remove_repeats(client: ForgeClient, repo: str, number: int) -> int:
    """Of comments of ours under one marker the first stays; how many went. Raises `ForgeError`."""
    bot, known, gone = await client.login(), set[str](), 0
    async for comment in client.iter_comments(repo, number):
        marker = marker_of(comment.body) if same_name(comment.author, bot) else None
        if marker in known:
            log.warning("%s#%d: comment %d is there twice: removed", repo, number, comment.id)
            with suppress(ForgeNotFound):
                await client.delete_comment(repo, comment.id)
            gone += 1
        elif marker is not None:
            known.add(marker)
    return gone
