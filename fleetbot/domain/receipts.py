"""Whether a receipt holds: judged on facts read from Forgejo, never on the agent's word."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from fleetbot.domain.ci import CiFinding, CiRules, CiState, judge, switches_off
from fleetbot.domain.evidence import evidence
from fleetbot.domain.facts import CommitFact, Facts, PullFacts, Unread
from fleetbot.domain.forbidden import name_forbidden, some_of
from fleetbot.domain.model import Evidence, Receipt, ReceiptCheck, same_name
from fleetbot.domain.pulls import RoundKind, words_suffice
from fleetbot.domain.values import Value


class Earlier(Value, frozen=True):
    """A commit of the task that was verified before; `tree` "" where it was not kept."""

    head: str
    tree: str = ""


class Expectation(Value, frozen=True):
    """What the task's run was given: a receipt must fit it. `not_before` is when the task's first
    run began, in epoch milliseconds.

    `repo_id` is 0 where only the name is known; `former`: names that the repository had before.
    `base_before`: the base's name until it was renamed in mid-run.
    `verified`: what held of earlier receipts; who asks for the task again wants more, unless it is
    an answer in words to its `round`, with these `threads`.
    """

    repo: str
    issue: int
    issue_url: str
    base: str
    branch: str
    not_before: int
    repo_id: int = 0
    former: tuple[str, ...] = ()
    base_before: str = ""
    verified: tuple[Earlier, ...] = ()
    round: tuple[RoundKind, ...] = ()
    threads: tuple[int, ...] = ()

    def is_answered_by(self, receipt: Receipt) -> bool:
        """Whether it says in words all that its round asks for."""
        said = {reply.thread: reply.answer for reply in receipt.replies}
        return words_suffice(self.round, self.threads, said, receipt.summary)


class Rules(Value, frozen=True):
    """The operator's rules. `authors` empty: any account that may write to the repository.

    `refuse_without_ci`: where CI is required, a repository that has none refutes a receipt.
    """

    authors: tuple[str, ...] = ()
    forbidden_paths: tuple[str, ...] = ()
    require_ci: bool = False
    refuse_without_ci: bool = False
    ci: CiRules = CiRules()
    clock_skew_ms: int = 300_000


class Verified(Value, frozen=True):
    """`evidence`: what was seen, value by value."""

    evidence: Evidence | None = None


class Refuted(Value, frozen=True):
    """Each reason tells the agent what to mend. `own_head`: the receipt's commit is the head of the
    run's own pull request, so that a status may be set on it. `checks`: those that say no."""

    reasons: tuple[str, ...]
    own_head: bool = False
    checks: tuple[ReceiptCheck, ...] = ()


class Unknown(Value, frozen=True):
    """What could not be read, or is not decided yet; `soon` where all of it is about to be.
    `own_head` as in `Refuted`; `checks`: those that could not be made."""

    unread: tuple[str, ...]
    soon: bool = False
    own_head: bool = False
    checks: tuple[ReceiptCheck, ...] = ()


Finding = Verified | Refuted | Unknown


def verify(receipt: Receipt, expected: Expectation, facts: Facts, rules: Rules) -> Finding:
    """A refutation that is certain stands even where other facts could not be read."""
    pull = facts.pull
    if isinstance(pull, Unread):
        return Unknown(unread=(pull.why,), soon=pull.soon, checks=(ReceiptCheck.PULL,))
    if pull is None:
        missing = f"There is no pull request {expected.repo}#{receipt.pull_request}."
        return Refuted(reasons=(missing,), checks=(ReceiptCheck.PULL,))
    if pull.base_gone and pull.base == expected.base:
        return Unknown(unread=(_without_base(pull),), checks=(ReceiptCheck.PULL,))
    if facts.left_base is True:
        return Unknown(unread=(_led_elsewhere(expected, pull),), checks=(ReceiptCheck.PULL,))
    found = [
        (check, one)
        for check, ones in _checks(receipt, expected, facts, pull, rules)
        for one in ones
    ]
    own_head = _is_own_head(receipt, expected, pull, facts)
    if noes := [(check, text) for check, text in found if isinstance(text, str)]:
        reasons = tuple(text for _, text in noes)
        return Refuted(reasons=reasons, own_head=own_head, checks=_named(noes))
    if gaps := [(check, gap) for check, gap in found if isinstance(gap, Unread)]:
        unread = tuple(dict.fromkeys(gap.why for _, gap in gaps))
        soon = all(gap.soon for _, gap in gaps)
        return Unknown(unread=unread, soon=soon, own_head=own_head, checks=_named(gaps))
    seen = evidence(pull, facts, rules.ci, required=rules.require_ci)
    return Verified(evidence=seen)


def _checks(
    receipt: Receipt, expected: Expectation, facts: Facts, pull: PullFacts, rules: Rules
) -> Iterator[tuple[ReceiptCheck, Iterator[str | Unread]]]:
    yield ReceiptCheck.PULL, _pull_fits(receipt, expected, pull, facts)
    yield ReceiptCheck.NEW, _is_new(expected, pull, rules)
    yield ReceiptCheck.AUTHOR, _author_fits(facts, pull, rules)
    yield ReceiptCheck.COMMITS, _commits_fit(receipt, expected, pull, facts)
    yield ReceiptCheck.TREE, _is_another_tree(receipt, expected, facts)
    yield ReceiptCheck.FILES, _files_fit(receipt, facts, rules)
    yield ReceiptCheck.LINKS, _links_fit(facts)
    yield ReceiptCheck.REVIEWS, _reviews_fit(receipt, expected, facts, pull)
    yield ReceiptCheck.CI, _ci_fits(receipt, facts, pull, rules)


def _named(found: Iterable[tuple[ReceiptCheck, object]]) -> tuple[ReceiptCheck, ...]:
    return tuple(dict.fromkeys(check for check, _ in found))


def _is_own_head(receipt: Receipt, expected: Expectation, pull: PullFacts, facts: Facts) -> bool:
    """Whether a status may be set on the receipt's commit: it is the head of the run's branch, and
    no commit that the base has too."""
    return (
        _is_of_repo(expected, pull)
        and pull.head_branch == expected.branch
        and pull.head_sha == receipt.head
        and _head_commit(receipt, facts) is not None
    )


def _is_of_repo(expected: Expectation, pull: PullFacts) -> bool:
    """By id, since names change while an agent works; one that is gone has none."""
    if expected.repo_id:
        return pull.head_repo_id == expected.repo_id
    return same_name(pull.head_repo, expected.repo)


def _head_commit(receipt: Receipt, facts: Facts) -> CommitFact | None:
    commits = () if isinstance(facts.commits, Unread) else facts.commits
    return next((commit for commit in commits if commit.sha == receipt.head), None)


def _pull_fits(
    receipt: Receipt, expected: Expectation, pull: PullFacts, facts: Facts
) -> Iterator[str | Unread]:
    name = f"Pull request #{pull.number}"
    if pull.state != "open" and not pull.merged:
        yield f"{name} is closed without being merged: reopen it or open a new one."
    if isinstance(facts.left_base, Unread):
        yield facts.left_base
    elif expected.base and not _goes_to_base(expected, pull):
        yield f"{name} goes to `{pull.base}`, not to `{expected.base}`."
    if not _is_of_repo(expected, pull):
        where = pull.head_repo or "a repository that is gone"
        yield f"{name} comes from {where}, not from {expected.repo}."
    if pull.head_branch != expected.branch or receipt.branch != expected.branch:
        yield f"{name} must come from the run's branch `{expected.branch}`."
    if pull.head_sha != receipt.head:
        found, claimed = pull.head_sha[:12], receipt.head[:12]
        yield f"The head of pull request #{pull.number} is {found}, the receipt says {claimed}."
    if not names_issue(f"{pull.title}\n{pull.body}", expected):
        yield f"{name} does not name the issue: write `#{expected.issue}` in its text."


def _goes_to_base(expected: Expectation, pull: PullFacts) -> bool:
    """What is merged keeps the name that its base had then."""
    return pull.base == expected.base or (pull.merged and pull.base == expected.base_before)


def _without_base(pull: PullFacts) -> str:
    """It is no fault of the work, nor for the agent to mend."""
    return (
        f"The branch `{pull.base}`, to which pull request #{pull.number} goes, is gone, and so the"
        " pull request is closed: bring the branch back and reopen it, or have the issue name"
        " another branch."
    )


def _led_elsewhere(expected: Expectation, pull: PullFacts) -> str:
    """Where a branch is merged and deleted, Forgejo has what goes to it go where that went."""
    return (
        f"The branch `{expected.base}`, for which the work was, is gone, and pull request"
        f" #{pull.number} goes to `{pull.base}`: have the issue name that branch, or none for the"
        " default branch."
    )


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
    if not pull.author:
        yield f"The account that made pull request #{pull.number} is gone: make another."
    elif rules.authors:
        if not any(same_name(pull.author, name) for name in rules.authors):
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
    if _head_commit(receipt, facts) is None:
        yield _missing_head(receipt, pull)
    again = any(earlier.head == receipt.head for earlier in expected.verified)
    if again and not expected.is_answered_by(receipt):
        yield f"Commit {receipt.head[:12]} was verified before: the task was asked for again since."


def _missing_head(receipt: Receipt, pull: PullFacts) -> str | Unread:
    """The head of an open pull request is one of its commits, however late Forgejo shows it."""
    if pull.state == "open" and pull.head_sha == receipt.head:
        return not_shown_yet(receipt.head)
    return f"Commit {receipt.head[:12]} is not a commit of the pull request."


def _is_another_tree(
    receipt: Receipt, expected: Expectation, facts: Facts
) -> Iterator[str | Unread]:
    """A commit that is empty, amended or made anew with the same files is no further work."""
    tree, before = facts.tree, facts.verified_trees
    if expected.is_answered_by(receipt):
        return
    if isinstance(before, Unread):
        yield before
    elif before and isinstance(tree, Unread):
        yield tree
    elif tree in before:
        yield (
            f"Commit {receipt.head[:12]} changes nothing: its files are those that were verified"
            " before the task was asked for again."
        )


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
        yield f"Not in the diff: {some_of(missing)}."
    if forbidden := name_forbidden(facts.files, rules.forbidden_paths):
        yield forbidden


def _links_fit(facts: Facts) -> Iterator[str | Unread]:
    if isinstance(facts.links, Unread):
        yield facts.links
        return
    for link in facts.links:
        if not link.url:
            yield (
                f"`{link.path}` is committed as a link to another repository, which nobody could"
                " follow: git rm --cached it, and commit its files or name it in .gitignore."
            )
        elif link.there is False:
            yield (
                f"The submodule `{link.path}` is moved to commit {link.commit[:12]}, which is not"
                " where it comes from: move it to one that is there."
            )


def _reviews_fit(
    receipt: Receipt, expected: Expectation, facts: Facts, pull: PullFacts
) -> Iterator[str | Unread]:
    """What a review asks for and got words for is for its author to look at again."""
    if expected.is_answered_by(receipt):
        return
    if isinstance(facts.reviews, Unread):
        yield facts.reviews
        return
    for review in facts.reviews:
        if review.state != "REQUEST_CHANGES" or not review.speaks_of(pull.head_sha):
            continue
        if review.may_write:
            yield f"{review.reviewer} requests changes on the pull request."
        elif review.may_write is None:
            yield Unread(
                f"{review.reviewer} requests changes, and Forgejo does not tell whether they may"
                " write: make the bot an admin of the repository, or dismiss the review."
            )


def _ci_fits(
    receipt: Receipt, facts: Facts, pull: PullFacts, rules: Rules
) -> Iterator[str | Unread]:
    if not rules.require_ci:
        return
    if isinstance(facts.ci, Unread):
        yield facts.ci
        return
    found = judge(facts.ci, rules.ci, pull.author)
    if found.state is not CiState.NONE:
        yield from _is_looked_at(receipt, facts, pull)
    yield from _ci_says(found, rules)


def _ci_says(found: CiFinding, rules: Rules) -> Iterator[str | Unread]:
    match found.state:
        case CiState.RED:
            yield from found.says
        case CiState.PENDING | CiState.UNREAD:
            yield from map(Unread, found.says)
        case CiState.NONE if rules.refuse_without_ci:
            yield "The repository has no CI, and a commit that none has looked at does not count."


def _is_looked_at(receipt: Receipt, facts: Facts, pull: PullFacts) -> Iterator[str]:
    head = _head_commit(receipt, facts)
    if head and (words := switches_off(head.message)):
        yield (
            f"The message of commit {head.sha[:12]} has the words `{words}`, which switch CI off:"
            " write it anew without them."
        )
    if words := switches_off(pull.title):
        yield f"The title of pull request #{pull.number} has the words `{words}`: take them out."
