"""What the forge says of a task: the issue, what trusted people add, and who they are.

And how much of that goes into a prompt: what its session was not told before, and of a long thread
the issue and the newest comments.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from fleetbot.runner.concurrency import together
from fleetbot.runner.failure import RunFailed
from fleetbot.runner.forge import Comment, Forge, Issue
from fleetbot.runner.run.prompt import CommentContext, IssueContext
from fleetbot.runner.run.wording import cut_at_line


@dataclass(frozen=True)
class Briefing:
    """`comments` are those of trusted people; `left_out` counts the others.

    `unknown`: of whom the forge does not tell whether they may write; they are not trusted.
    """

    issue: Issue
    comments: tuple[Comment, ...]
    left_out: int
    author_trusted: bool
    unknown: tuple[str, ...] = ()


async def read(forge: Forge, repo: str, number: int) -> Briefing:
    """Raises RunFailed."""
    issue, comments = await together(forge.issue(repo, number), forge.comments(repo, number))
    people = sorted({issue.author, *(comment.author for comment in comments)})
    trust = await forge.trust(repo, people)
    heeded = tuple(comment for comment in comments if comment.author in trust.trusted)
    return Briefing(
        issue,
        heeded,
        len(comments) - len(heeded),
        issue.author in trust.trusted,
        tuple(sorted(trust.unknown)),
    )


async def read_again(forge: Forge, before: Briefing, repo: str, number: int) -> Briefing:
    """What people have written meanwhile; where that cannot be read, what is known already."""
    try:
        return await read(forge, repo, number)
    except RunFailed:
        return before


def about_trust(briefing: Briefing) -> str:
    """For the run's log: whose words are not taken as instructions for want of an answer."""
    if not briefing.unknown:
        return ""
    return (
        f"the forge does not tell whether {', '.join(briefing.unknown)} may write, so their words "
        "are no instructions: name them in forge.trusted, or make the runner's account an "
        "administrator of the repository"
    )


@dataclass(frozen=True)
class Telling:
    """The part of a briefing that goes into one prompt.

    `older` counts comments left out for the prompt's length. `marks` stand for what is told with
    this one or was before, so that a session hears nothing twice.
    """

    issue: IssueContext
    comments: tuple[CommentContext, ...]
    older: int
    marks: tuple[str, ...]


def telling(briefing: Briefing, kind: str, told: Collection[str], room: int) -> Telling:
    """What to tell a session that was `told` some of it, in about `room` characters.

    Half of them may be the issue's own text, an eighth each comment. Comments that people have
    edited are told again, and so is the issue.
    """
    issue = briefing.issue
    text = cut_at_line(issue.body, room // 2)
    mark = _mark(issue.title, issue.body)
    marks = {_mark(str(one.id), one.body): one for one in briefing.comments}
    new = [comment for each, comment in marks.items() if each not in told]
    bodies = newest((comment.body for comment in new), room // 8, room - len(text))
    kept = new[len(new) - len(bodies) :]
    context = IssueContext(
        number=issue.number,
        title=issue.title,
        kind=kind,
        body=text,
        author=issue.author,
        url=issue.html_url,
        trusted=briefing.author_trusted,
        known=mark in told,
    )
    comments = tuple(
        CommentContext(comment.author, body, _when(comment))
        for comment, body in zip(kept, bodies, strict=True)
    )
    return Telling(context, comments, len(new) - len(kept), (mark, *marks))


def newest(texts: Iterable[str], each: int, left: int) -> Sequence[str]:
    """The last of the texts, in their order, as many as fit into what is `left` of a prompt.

    One longer than `each` is cut; one that does not fit any more is left out, and so is what came
    before it, as half a talk is understood from its end.
    """
    kept: list[str] = []
    for text in reversed(list(texts)):
        text = cut_at_line(text, each)
        left -= len(text)
        if left < 0:
            break
        kept.append(text)
    return kept[::-1]


def fitted(texts: Sequence[str], room: int) -> tuple[str, ...]:
    """The newest of the texts that fit; the first says how many are left out, if any are."""
    kept = newest(texts, room // 2, room)
    left_out = len(texts) - len(kept)
    return (f"({left_out} older ones are left out)", *kept) if left_out else tuple(kept)


def _when(comment: Comment) -> str:
    return comment.created_at.isoformat() if comment.created_at else ""


def _mark(*texts: str) -> str:
    return hashlib.sha256("\0".join(texts).encode("utf-8", "replace")).hexdigest()[:16]
