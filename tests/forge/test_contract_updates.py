"""What people have made of a branch by bringing it up to date is told from other work."""

from __future__ import annotations

from typing import Literal

import pytest

from fleetbot.services.merges import is_clean_merge
from fleetbot.services.updates import is_update
from tests.forge.site import Person, Site

LIST = "one\ntwo\nthree\nfour\nfive\n"


@pytest.mark.parametrize("style", ["merge", "rebase"])
async def test_an_updated_branch_is_the_same_work(
    site: Site, repo: str, ann: Person, bot: Person, style: Literal["merge", "rebase"]
) -> None:
    start = await site.push(repo, ann, "main", {"deep/list.txt": LIST}, "Base")
    was = await site.push(repo, bot, "work", {"deep/list.txt": LIST.replace("one", "uno")}, "Work")
    pull = await bot.forge.create_pull(repo, head="work", base="main", title="Work")
    theirs = await site.push(repo, ann, "main", {"deep/list.txt": LIST + "six\n"}, "Theirs")

    head = await site.updated(ann, repo, pull, style)

    assert await is_update(bot.forge, repo, "main", was, head)
    assert not await is_clean_merge(bot.forge, repo, start, was, theirs, was)
    more = await site.push(repo, bot, "work", {"deep/new.txt": "x\n"}, "More")
    assert not await is_update(bot.forge, repo, "main", was, more)
