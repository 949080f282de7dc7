"""Whether a receipt holds: judged on facts read from Forgejo, never on the agent's word."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase

from fleetbot.domain.model import Receipt, Value


@dataclass(frozen=True, slots=True)
class Unread:
    """A fact that could not be read, and why: never taken for a yes or a no.

    `soon`: Forgejo is about to show it, so that it is worth asking again within a second.
    """

    why: str
    soon: bool = False


class PullFacts(Value, frozen=True):
    """The pull request as Forgejo shows it; `number` is its own.

    `merged_at` by Forgejo's clock, epoch milliseconds; None while it is not merged.
    """

    number: int
    state: str
    merged: bool
    author: str
    title: str
    body: str
    base: str
    head_branch: str
    head_sha: str
    head_repo: str
    head_repo_id: int = 0
    draft: bool = False
    merged_at: int | None = None


class ReviewFact(Value, frozen=True):
    """A standing review: the reviewer's latest that was not dismissed."""

    reviewer: str
    state: str


@dataclass(frozen=True, slots=True)
class Facts:
    """What Forgejo shows. `pull` None: it says that there is no such pull request.

    `commits` are their ids, newest first. `author_may_write`: whether the pull request's author
    may write to the repository. `ci`: the combined commit status, "" where there is none.
    """

    pull: PullFacts | Unread | None
    files: tuple[str, ...] | Unread = ()
    commits: tuple[str, ...] | Unread = ()
    reviews: tuple[ReviewFact, ...] | Unread = ()
    author_may_write: bool | Unread = True
    ci: str | Unread = ""


class Expectation(Value, frozen=True):
    """What the task's run was given: a receipt must fit it. `not_before` is when the task's first
    run began, in epoch milliseconds.

    `repo_id` is 0 where only the name is known; `former`: names that the repository had before.
    `verified`: the heads of earlier receipts that held; who asks for the task again wants more.
    """

    repo: str
    issue: int
    issue_url: str
    base: str
    branch: str
    not_before: int
    repo_id: int = 0
    former: tuple[str, ...] = ()
    verified: tuple[str, ...] = ()


class Rules(Value, frozen=True):
    """The operator's rules. `authors` empty: any account that may write to the repository."""

    authors: tuple[str, ...] = ()
    forbidden_paths: tuple[str, ...] = ()
    require_ci: bool = False
    clock_skew_ms: int = 300_000


class Verified(Value, frozen=True):
    pass


class Refuted(Value, frozen=True):
    """Each reason tells the agent what to mend."""

    reasons: tuple[str, ...]


class Unknown(Value, frozen=True):
    """What could not be read, or is not decided yet; `soon` where all of it is about to be."""

    unread: tuple[str, ...]
    soon: bool = False


Finding = Verified | Refuted | Unknown


def verify(receipt: Receipt, expected: Expectation, facts: Facts, rules: Rules) -> Finding:
    """A refutation that is certain stands even where other facts could not be read."""
    pull = facts.pull
    if isinstance(pull, Unread):
        return Unknown(unread=(pull.why,), soon=pull.soon)
    if pull is None:
        return Refuted(
            reasons=(f"There is no pull request {expected.repo}#{receipt.pull_request}.",)
        )
    checks = (
        _pull_fits(receipt, expected, pull),
        _is_new(expected, pull, rules),
        _author_fits(facts, pull, rules),
        _commits_fit(receipt, expected, pull, facts),
        _files_fit(receipt, facts, rules),
        _reviews_fit(facts),
        _ci_fits(facts, rules),
    )
    found = [finding for check in checks for finding in check]
    if reasons := tuple(text for text in found if isinstance(text, str)):
        return Refuted(reasons=reasons)
    if gaps := [gap for gap in found if isinstance(gap, Unread)]:
        unread = tuple(dict.fromkeys(gap.why for gap in gaps))
        return Unknown(unread=unread, soon=all(gap.soon for gap in gaps))
    return Verified()


def _pull_fits(receipt: Receipt, expected: Expectation, pull: PullFacts) -> Iterator[str]:
    name = f"Pull request #{pull.number}"
    if pull.state != "open" and not pull.merged:
        yield f"{name} is closed without being merged: reopen it or open a new one."
    if expected.base and pull.base != expected.base:
        yield f"{name} goes to `{pull.base}`, not to `{expected.base}`."
    if not _is_at_home(expected, pull):
        where = pull.head_repo or "a repository that is gone"
        yield f"{name} comes from {where}, not from {expected.repo}."
    if pull.head_branch != expected.branch or receipt.branch != expected.branch:
        yield f"{name} must come from the run's branch `{expected.branch}`."
    if pull.head_sha != receipt.head:
        found, claimed = pull.head_sha[:12], receipt.head[:12]
        yield f"The head of pull request #{pull.number} is {found}, the receipt says {claimed}."
    if not names_issue(f"{pull.title}\n{pull.body}", expected):
        yield f"{name} does not name the issue: write `#{expected.issue}` in its text."


def _is_at_home(expected: Expectation, pull: PullFacts) -> bool:
    """By id, since names change while an agent works; one that is gone has none."""
    if expected.repo_id:
        return pull.head_repo_id == expected.repo_id
    return pull.head_repo.lower() == expected.repo.lower()


def _is_new(expected: Expectation, pull: PullFacts, rules: Rules) -> Iterator[str | Unread]:
    """By Forgejo's clock: the dates of commits are whatever their author says."""
    name = f"Pull request #{pull.number}"
    if pull.merged_at is not None and pull.merged_at < expected.not_before - rules.clock_skew_ms:
        yield f"{name} was merged before the task's first run: it cannot be what that came to."
    if pull.draft and not pull.merged:
        yield Unread(f"{name} is a draft: somebody has to say that it is ready.")


def names_issue(text: str, expected: Expectation) -> bool:
    """Whether the text refers to the issue: `#12`, `owner/name#12` or its address, be it by a name
    that the repository had before.

    Not to another's: `my-owner/name#12` and the colour `#12ab34` name something else.
    """
    names = "|".join(re.escape(name) for name in (expected.repo, *expected.former))
    number = rf"(?<![\w/.&-])(?:{names})?#{expected.issue}(?!\w)"
    if re.search(number, text, re.IGNORECASE):
        return True
    root = expected.issue_url.removesuffix(f"{expected.repo}/issues/{expected.issue}")
    address = rf"{re.escape(root)}(?:{names})/issues/{expected.issue}(?!\w)"
    return bool(expected.issue_url and re.search(address, text, re.IGNORECASE))


def _author_fits(facts: Facts, pull: PullFacts, rules: Rules) -> Iterator[str | Unread]:
    if rules.authors:
        if pull.author.lower() not in {name.lower() for name in rules.authors}:
            yield f"{pull.author} is not an account that the fleet may use."
    elif isinstance(facts.author_may_write, Unread):
        yield facts.author_may_write
    elif not facts.author_may_write:
        yield f"{pull.author}, the author of the pull request, may not write to the repository."


def _commits_fit(
    receipt: Receipt, expected: Expectation, pull: PullFacts, facts: Facts
) -> Iterator[str | Unread]:
    if isinstance(facts.commits, Unread):
        yield facts.commits
        return
    if receipt.head not in facts.commits:
        yield _missing_head(receipt, pull)
    if receipt.head in expected.verified:
        yield f"Commit {receipt.head[:12]} was verified before: the task was asked for again since."


def _missing_head(receipt: Receipt, pull: PullFacts) -> str | Unread:
    """The head of an open pull request is one of its commits, however late Forgejo shows it."""
    if pull.state == "open" and pull.head_sha == receipt.head:
        return not_shown_yet(receipt.head)
    return f"Commit {receipt.head[:12]} is not a commit of the pull request."


def not_shown_yet(head: str) -> Unread:
    """After a push Forgejo shows the new head first, and for a moment the old changes under it."""
    return Unread(f"Forgejo does not show the changes of commit {head[:12]} yet.", soon=True)


def _files_fit(receipt: Receipt, facts: Facts, rules: Rules) -> Iterator[str | Unread]:
    if isinstance(facts.files, Unread):
        yield facts.files
        return
    if not facts.files:
        yield "The pull request changes nothing: its diff is empty."
    if missing := sorted(set(receipt.files) - set(facts.files)):
        yield f"Not in the diff: {_some(missing)}."
    if forbidden := name_forbidden(facts.files, rules.forbidden_paths):
        yield forbidden


def name_forbidden(files: Iterable[str], patterns: Collection[str]) -> str:
    """What to tell an agent of those files that it may not change; empty if there are none."""
    forbidden = [path for path in files if is_forbidden(path, patterns)]
    return f"These paths may not be changed by an agent: {_some(forbidden)}." if forbidden else ""


def is_forbidden(path: str, patterns: Collection[str]) -> bool:
    """Whether a pattern fits the path (`*` also stands for slashes), or names its folder."""
    return any(
        fnmatchcase(path, pattern) or f"{path}/".startswith(pattern.rstrip("/") + "/")
        for pattern in patterns
    )


def _some(paths: list[str], most: int = 5) -> str:
    more = f" and {len(paths) - most} more" if len(paths) > most else ""
    return ", ".join(f"`{path}`" for path in paths[:most]) + more


def _reviews_fit(facts: Facts) -> Iterator[str | Unread]:
    if isinstance(facts.reviews, Unread):
        yield facts.reviews
        return
    for review in facts.reviews:
        if review.state == "REQUEST_CHANGES":
            yield f"{review.reviewer} requests changes on the pull request."


def _ci_fits(facts: Facts, rules: Rules) -> Iterator[str | Unread]:
    if not rules.require_ci:
        return
    if isinstance(facts.ci, Unread):
        yield facts.ci
    elif facts.ci in ("", "pending"):
        yield Unread("The commit's CI has not finished.")
    elif facts.ci != "success":
        yield f"The commit's CI says {facts.ci}."
