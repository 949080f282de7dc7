"""The facts that a receipt is judged by, read from Forgejo so that they belong to one another."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable
from hashlib import sha256
from typing import NamedTuple, TypeVar

from fleetbot.domain.facts import CommitFact, Facts, LinkFact, PullFacts, ReviewFact, Unread
from fleetbot.domain.model import Receipt
from fleetbot.domain.receipts import Expectation, Rules, not_shown_yet
from fleetbot.forge.client import ForgeClient
from fleetbot.forge.errors import ForgeError, ForgeNotFound
from fleetbot.forge.models import ChangedFile, PullRequest
from fleetbot.forge.reviews import Review
from fleetbot.services.ci_facts import read_ci
from fleetbot.services.its_pull import OfAnother, its_pull
from fleetbot.services.link_facts import read_links

T = TypeVar("T")

_STANDING = frozenset({"APPROVED", "REQUEST_CHANGES"})


async def gather(
    client: ForgeClient, expected: Expectation, receipt: Receipt, rules: Rules
) -> Facts:
    """Read the facts of a receipt. Each that could not be read is `Unread`, whatever the cause."""
    repo, number = expected.repo, receipt.pull_request
    pull = await _pull(client, expected, number)
    if pull is None or isinstance(pull, Unread):
        return Facts(pull=pull)
    left_base = await _read("The base", _has_left_base(client, expected, pull))
    changes, reviews, may_write, ci, tree, verified_trees = await asyncio.gather(
        _changes(client, repo, pull),
        _read("The reviews", _reviews(client, repo, pull)),
        _read("The author's rights", _author_may_write(client, repo, pull.author)),
        _read(
            "The commit's CI", read_ci(client, repo, pull, expected.base or pull.base.ref, rules)
        ),
        _read("The commit's files", _tree(client, repo, pull.head.sha)),
        _read("What was verified before", _verified_trees(client, expected)),
    )
    return Facts(
        pull=await _unmoved(client, expected, _pull_facts(pull)),
        files=changes.files,
        links=changes.links,
        commits=changes.commits,
        reviews=reviews,
        author_may_write=may_write,
        ci=ci,
        tree=tree,
        verified_trees=verified_trees,
        left_base=left_base,
    )


async def _read(what: str, reading: Awaitable[T | Unread]) -> T | Unread:
    try:
        return await reading
    except ForgeError as error:
        return Unread(f"{what} could not be read: {error}.")


async def _pull(
    client: ForgeClient, expected: Expectation, number: int
) -> PullRequest | Unread | None:
    """As it was merged, where it was."""
    try:
        pull = await its_pull(client, expected.repo, expected.repo_id, number)
        return await client.as_merged(expected.repo, pull) if pull else None
    except OfAnother:
        return Unread(f"{expected.repo} is another repository by now.", soon=True)
    except ForgeError as error:
        return Unread(f"The pull request could not be read: {error}.")


async def _unmoved(
    client: ForgeClient, expected: Expectation, seen: PullFacts
) -> PullFacts | Unread:
    """What was seen, if it is still so: else the other facts may be those of another head."""
    again = await _pull(client, expected, seen.number)
    if isinstance(again, Unread):
        return again
    unmoved = again is not None and _pull_facts(again) == seen
    return seen if unmoved else Unread("The pull request is changing.", soon=True)


def _pull_facts(pull: PullRequest) -> PullFacts:
    return PullFacts(
        number=pull.number,
        state=pull.state,
        merged=pull.merged,
        author=pull.author,
        title=pull.title,
        body=pull.body,
        base=pull.base.ref,
        head_branch=pull.head_branch,
        head_sha=pull.head.sha,
        head_repo=pull.head.repo.full_name if pull.head.repo else "",
        head_repo_id=pull.head.repo_id,
        draft=pull.draft,
        merged_at=int(pull.merged_at.timestamp() * 1000) if pull.merged_at else None,
        base_gone=not pull.merged and not pull.base.sha,
    )


async def _has_left_base(client: ForgeClient, expected: Expectation, pull: PullRequest) -> bool:
    if not expected.base or pull.base.ref in (expected.base, expected.base_before):
        return False
    return await client.branch(expected.repo, expected.base) is None


class _Changes(NamedTuple):
    files: tuple[str, ...] | Unread
    links: tuple[LinkFact, ...] | Unread
    commits: tuple[CommitFact, ...] | Unread


async def _changes(client: ForgeClient, repo: str, pull: PullRequest) -> _Changes:
    """Files and commits, both of the head that `pull` shows, or neither.

    Forgejo reads the head from the branch, but these from `refs/pull/N/head`, which follows a push
    about a second later. The commits come first: where they end at the head, the ref has moved,
    and an empty diff read after them is really empty.
    """
    commits = await _read("The commits", _commits(client, repo, pull))
    if isinstance(commits, Unread):
        return _Changes(commits, commits, commits)
    files = await _read("The diff", _files(client, repo, pull))
    if isinstance(files, Unread):
        return _Changes(files, files, commits)
    links = await _read("The submodules", read_links(client, repo, pull.head.sha, files))
    return _Changes(_names(files), links, commits)


def _still_follows(pull: PullRequest) -> bool:
    """What was merged or closed stays as it is, whatever is pushed to its branch."""
    return pull.state == "open"


async def _files(
    client: ForgeClient, repo: str, pull: PullRequest
) -> tuple[ChangedFile, ...] | Unread:
    """Every file says of which commit it is, so that no push in between can swap some of them."""
    files = await client.pull_files(repo, pull.number)
    of_head = all(file.contents_url.endswith(pull.head.sha) for file in files)
    if not of_head and _still_follows(pull):
        return not_shown_yet(pull.head.sha)
    return tuple(files)


def _names(files: Iterable[ChangedFile]) -> tuple[str, ...]:
    """Both names of a renamed file: either may be a forbidden path."""
    names = [name for file in files for name in (file.filename, file.previous_filename) if name]
    return tuple(dict.fromkeys(names))


async def _commits(
    client: ForgeClient, repo: str, pull: PullRequest
) -> tuple[CommitFact, ...] | Unread:
    """Newest first. A branch without commits of its own stands where it left its base."""
    commits = await client.pull_commits(repo, pull.number)
    newest = commits[0].sha if commits else pull.merge_base
    if newest != pull.head.sha and _still_follows(pull):
        return not_shown_yet(pull.head.sha)
    return tuple(CommitFact(sha=one.sha, message=one.commit.message) for one in commits)


async def _reviews(client: ForgeClient, repo: str, pull: PullRequest) -> tuple[ReviewFact, ...]:
    """Anybody who can see a pull request may review it: only the word of those who may write
    counts. Official reviews are by such; where only some of them approve, others' are not."""
    standing = standing_reviews(await client.reviews(repo, pull.number))
    doubtful = [one for one in standing if one.state == "REQUEST_CHANGES" and not one.official]
    writers = await client.writers(repo, map(_reviewer, doubtful))
    return tuple(
        ReviewFact(
            reviewer=_reviewer(review),
            state=review.state,
            commit=review.commit_id,
            stale=review.stale,
            may_write=writers.may_write(_reviewer(review)) if review in doubtful else True,
        )
        for review in standing
    )


def standing_reviews(reviews: Iterable[Review]) -> list[Review]:
    """Each reviewer's latest word, unless it was dismissed; a comment takes no word back, nor does
    being asked to look again."""
    latest: dict[str, Review] = {}
    for review in sorted(reviews, key=lambda review: review.id):
        if review.state in _STANDING:
            latest[_reviewer(review)] = review
    return [review for review in latest.values() if not review.dismissed]


def _reviewer(review: Review) -> str:
    return review.user.login if review.user else "somebody"


async def _author_may_write(client: ForgeClient, repo: str, login: str) -> bool | Unread:
    if not login:
        return False  # the account is gone
    may_write = (await client.writers(repo, [login])).may_write(login)
    if may_write is None:
        return Unread(
            f"Forgejo does not tell whether {login} may write: make the bot an admin of the"
            " repository, or list `verify.authors`."
        )
    return may_write


async def _tree(client: ForgeClient, repo: str, sha: str) -> str:
    """A digest of all files of a commit, as the entries of its root tell them."""
    entries = await client.root_entries(repo, sha)
    told = "\0".join(sorted(f"{one.mode} {one.sha} {one.path}" for one in entries))
    return sha256(told.encode()).hexdigest()


async def _verified_trees(client: ForgeClient, expected: Expectation) -> tuple[str, ...] | Unread:
    """That of the last one: to go back to what was before it is a change. One that was not kept
    when it was verified is read; its commit may be gone since."""
    if not expected.verified:
        return ()
    last = expected.verified[-1]
    if last.tree:
        return (last.tree,)
    try:
        await client.commit(expected.repo, last.head)
    except ForgeNotFound:
        return ()
    return (await _tree(client, expected.repo, last.head),)
