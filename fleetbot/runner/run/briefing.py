"""What the forge says of a task: the issue, what trusted people add, and who they are."""

from __future__ import annotations

from dataclasses import dataclass

from fleetbot.runner.concurrency import together
from fleetbot.runner.forge import Comment, Forge, Issue


@dataclass(frozen=True)
class Briefing:
    """`comments` are those of trusted people; `left_out` counts the others."""

    issue: Issue
    comments: tuple[Comment, ...]
    left_out: int
    author_trusted: bool


async def read(forge: Forge, repo: str, number: int) -> Briefing:
    """Raises RunFailed."""
    issue, comments = await together(forge.issue(repo, number), forge.comments(repo, number))
    people = sorted({issue.author, *(comment.author for comment in comments)})
    trust = await forge.trust(repo, people)
    heeded = tuple(comment for comment in comments if comment.author in trust.trusted)
    return Briefing(issue, heeded, len(comments) - len(heeded), issue.author in trust.trusted)
