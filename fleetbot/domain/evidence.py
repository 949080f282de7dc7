"""What is kept of the facts of a receipt that holds: values, and few of them."""

from __future__ import annotations

from collections.abc import Iterator

from fleetbot.domain.ci import OWN_CONTEXT, CiRules, CiState, judge, quoted
from fleetbot.domain.facts import Facts, PullFacts, Unread
from fleetbot.domain.model import ContextState, Evidence
from fleetbot.domain.wording import count

_MOST = 20  # contexts, and people who approve, that are named


def evidence(pull: PullFacts, facts: Facts, rules: CiRules, *, required: bool) -> Evidence:
    """Of a receipt that holds; only CI that is not required may have stayed unread."""
    commits = () if isinstance(facts.commits, Unread) else facts.commits
    reviews = () if isinstance(facts.reviews, Unread) else facts.reviews
    approvals = [
        review.reviewer
        for review in reviews
        if review.state == "APPROVED" and review.speaks_of(pull.head_sha)
    ]
    ci, statuses = _ci_seen(facts, pull, rules)
    return Evidence(
        head=pull.head_sha,
        tree="" if isinstance(facts.tree, Unread) else facts.tree,
        base=pull.base,
        author=pull.author,
        merged=pull.merged,
        files=0 if isinstance(facts.files, Unread) else len(facts.files),
        commits=len(commits),
        approved_by=tuple(approvals[:_MOST]),
        ci=ci.value,
        contexts=statuses[:_MOST],
        context_count=len(statuses),
        notes=("This repository has no CI.",) if required and ci == CiState.NONE else (),
    )


def _ci_seen(
    facts: Facts, pull: PullFacts, rules: CiRules
) -> tuple[CiState, tuple[ContextState, ...]]:
    if isinstance(facts.ci, Unread):
        return CiState.UNREAD, ()
    theirs = [status for status in facts.ci.statuses if status.context != OWN_CONTEXT]
    contexts = [ContextState(name=x.context[:200], state=x.state[:40]) for x in theirs]
    return judge(facts.ci, rules, pull.author).state, tuple(contexts)


def sentences(seen: Evidence) -> Iterator[str]:
    """What was seen, for people to read."""
    files, commits = count(seen.files, "file"), count(seen.commits, "commit")
    where = f"{files} in {commits} for {quoted(seen.base)}"
    yield f"Head {quoted(seen.head[:12])}: {where}, by {quoted(seen.author)}."
    if seen.approved_by:
        yield f"Approved by {', '.join(map(quoted, seen.approved_by))}."
    if seen.contexts:
        named = ", ".join(f"{quoted(one.name)} {one.state}" for one in seen.contexts)
        more = seen.context_count - len(seen.contexts)
        yield f"CI is {seen.ci}: {named}{f' and {more} more' if more else ''}."
    yield from seen.notes
