"""Whether a receipt holds: every rule on its own, and who wins when several speak."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace as with_facts
from itertools import combinations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from fleetbot.domain.ci import CiFacts, StatusFact
from fleetbot.domain.facts import CommitFact, Facts, LinkFact, PullFacts, ReviewFact, Unread
from fleetbot.domain.model import ContextState, ReceiptCheck
from fleetbot.domain.pulls import Answer, Reply, RoundKind
from fleetbot.domain.receipts import (
    Earlier,
    Expectation,
    Finding,
    Refuted,
    Rules,
    Unknown,
    Verified,
    names_issue,
    verify,
)
from tests.cases import case
from tests.domain.builders import HEAD, START, a_receipt

OTHER = "0" * 40
BRANCH = "fleet/12-mend-the-door"
URL = "https://forge.example/team/app/issues/12"
PULL = PullFacts(
    number=7,
    state="open",
    merged=False,
    author="fleet-claude",
    title="Mend the door",
    body="Closes #12.",
    base="main",
    head_branch=BRANCH,
    head_sha=HEAD,
    head_repo="team/app",
)
COMMIT = CommitFact(sha=HEAD, message="Mend the door")
FACTS = Facts(
    pull=PULL,
    files=("door.py", "tests/test_door.py"),
    commits=(COMMIT,),
    reviews=(ReviewFact(reviewer="ada", state="APPROVED"),),
    author_may_write=True,
    tree="t1",
    ci=CiFacts(statuses=(StatusFact(context="test", state="success"),)),
)
EXPECTED = Expectation(
    repo="team/app", issue=12, issue_url=URL, base="main", branch=BRANCH, not_before=START
)
RULES = Rules(require_ci=True, forbidden_paths=(".forgejo/", "*.lock", "secrets/*"))
RECEIPT = a_receipt(branch=BRANCH, files=("door.py",))


def found(facts: Facts = FACTS, rules: Rules = RULES, **claimed: Any) -> Finding:
    return verify(replace(RECEIPT, **claimed), EXPECTED, facts, rules)


def pull(**fields: Any) -> Facts:
    return with_facts(FACTS, pull=replace(PULL, **fields))


def reviews(*states: str) -> Facts:
    return with_facts(FACTS, reviews=tuple(ReviewFact(reviewer="ada", state=s) for s in states))


def files(*paths: str) -> Facts:
    return with_facts(FACTS, files=("door.py", *paths))


def ci(state: str, **said: Any) -> Facts:
    statuses = (StatusFact(context="test", state=state, **said),)
    return with_facts(FACTS, ci=CiFacts(statuses=statuses))


def review(state: str = "REQUEST_CHANGES", **fields: Any) -> Facts:
    one = ReviewFact(reviewer="ada", state=state, commit=HEAD)
    return with_facts(FACTS, reviews=(replace(one, **fields),))


AWAY = Unread("Forgejo is away.")


def test_a_receipt_that_holds_is_verified() -> None:
    assert isinstance(found(), Verified)


HOLDS: dict[str, Facts] = {
    "merged already": pull(state="closed", merged=True, merged_at=START + 1),
    "merged at once, by a clock that is a little slow": pull(
        state="closed", merged=True, merged_at=START - 300_000
    ),
    "a title that is a draft's, of what was merged": pull(
        state="closed", merged=True, merged_at=START + 1, draft=True
    ),
    "the repository in another case": pull(head_repo="Team/App"),
    "the issue by its address": pull(body=f"See {URL}"),
    "the issue in the title": pull(title="Mend the door (#12)", body=""),
    "several commits": with_facts(FACTS, commits=(COMMIT, CommitFact(sha=OTHER))),
    "no review": reviews(),
    "a comment only": reviews("COMMENT"),
    "changes requested of an older commit": review(commit=OTHER),
    "changes requested of what was another diff": review(stale=True),
    "changes requested by somebody who may not write": review(may_write=False),
    "other files than those that were verified before": with_facts(FACTS, verified_trees=("t0",)),
    "a path that only looks forbidden": files(".forgejoined", "my.locked", "src/secrets.py"),
}


@pytest.mark.parametrize("facts", HOLDS.values(), ids=HOLDS)
def test_what_is_within_the_rules(facts: Facts) -> None:
    assert isinstance(found(facts), Verified)


BREAKS: dict[str, tuple[Facts, str]] = {
    "closed": (pull(state="closed"), "closed without being merged: reopen it or open a new one"),
    "another base": (pull(base="dev"), "goes to `dev`, not to `main`"),
    "another repository": (pull(head_repo="eve/app"), "comes from eve/app, not from team/app"),
    "a repository that is gone": (pull(head_repo=""), "comes from a repository that is gone"),
    "another branch": (pull(head_branch="main"), "must come from the run's branch"),
    "another head": (pull(head_sha=OTHER), "is 000000000000, the receipt says 5eb63bbbe01e"),
    "no issue": (pull(body="Done."), "does not name the issue: write `#12`"),
    "another issue": (pull(body="Closes #1, #123"), "does not name the issue"),
    "an author who may not write": (
        with_facts(FACTS, author_may_write=False),
        "fleet-claude, the author of the pull request, may not write",
    ),
    "a head that came after the merge": (
        with_facts(
            pull(state="closed", merged=True),
            commits=(CommitFact(sha=OTHER),),
        ),
        "is not a commit of the pull request",
    ),
    "merged before anything was begun": (
        pull(state="closed", merged=True, merged_at=START - 300_001),
        "was merged before the task's first run",
    ),
    "an empty diff": (with_facts(FACTS, files=()), "its diff is empty"),
    "a forbidden folder": (files(".forgejo/workflows/ci.yml"), "`.forgejo/workflows/ci.yml`"),
    "a forbidden pattern": (files("uv.lock"), "may not be changed by an agent: `uv.lock`"),
    "a forbidden pattern deep down": (files("a/b/uv.lock"), "`a/b/uv.lock`"),
    "a reviewer who wants changes": (
        reviews("APPROVED", "REQUEST_CHANGES"),
        "ada requests changes",
    ),
    "a review of exactly this commit": (review(), "ada requests changes"),
    "CI that failed": (
        ci("failure", description="2 of 9 failed", url="https://ci.example/7"),
        "CI: `test` says failure: 2 of 9 failed (https://ci.example/7).",
    ),
    "CI that broke": (ci("error"), "CI: `test` says error."),
    "an empty or amended commit": (
        with_facts(FACTS, verified_trees=("t0", "t1")),
        "changes nothing: its files are those that were verified before",
    ),
    "words that switch CI off": (
        with_facts(FACTS, commits=(replace(COMMIT, message="Mend [skip ci]"),)),
        "The message of commit 5eb63bbbe01e has the words `[skip ci]`, which switch CI off",
    ),
    "words that switch CI off in the title": (
        pull(title="[no ci] Mend the door"),
        "The title of pull request #7 has the words `[no ci]`",
    ),
    "a link in the place of a forbidden folder": (files(".forgejo"), "`.forgejo`"),
}


@pytest.mark.parametrize(("facts", "reason"), BREAKS.values(), ids=BREAKS)
def test_what_refutes_a_receipt(facts: Facts, reason: str) -> None:
    finding = found(facts)
    assert isinstance(finding, Refuted)
    assert any(reason in text for text in finding.reasons)
    assert all(text.endswith(".") for text in finding.reasons)


CLAIMS: dict[str, tuple[dict[str, Any], str]] = {
    "another branch": ({"branch": "main"}, "must come from the run's branch `fleet/12-mend"),
    "another head": ({"head": OTHER}, "Commit 000000000000 is not a commit of the pull request"),
    "a file that is not changed": ({"files": ("door.py", "wall.py")}, "in the diff: `wall.py`."),
}


@pytest.mark.parametrize(("claimed", "reason"), CLAIMS.values(), ids=CLAIMS)
def test_claims_that_forgejo_does_not_bear_out(claimed: dict[str, Any], reason: str) -> None:
    finding = found(**claimed)
    assert isinstance(finding, Refuted)
    assert any(reason in text for text in finding.reasons)


def test_a_pull_request_that_does_not_exist_is_all_there_is_to_say() -> None:
    facts = Facts(pull=None, files=AWAY, commits=AWAY)
    missing = "There is no pull request team/app#7."
    assert found(facts) == Refuted(reasons=(missing,), checks=(ReceiptCheck.PULL,))


def test_long_lists_of_files_are_cut() -> None:
    finding = found(files=tuple(f"f{n}.py" for n in range(9)))
    assert isinstance(finding, Refuted)
    assert finding.reasons[0].endswith("`f4.py` and 4 more.")


def test_a_draft_is_not_done_until_somebody_says_that_it_is() -> None:
    finding = found(pull(draft=True))
    assert isinstance(finding, Unknown)
    assert "is a draft: somebody has to say that it is ready." in finding.unread[0]
    assert not finding.soon


def test_a_base_that_is_gone_is_not_for_the_agent_to_mend() -> None:
    """Unless the work is for another by now."""
    gone = {"state": "closed", "base_gone": True}
    finding = found(with_facts(pull(**gone), files=(), commits=AWAY))
    assert isinstance(finding, Unknown)
    assert "The branch `main`, to which pull request #7 goes, is gone" in finding.unread[0]
    assert isinstance(found(pull(**gone, base="dev")), Refuted)


# accounts


@pytest.mark.parametrize("may_write", [True, False, AWAY])
def test_a_list_of_accounts_is_all_that_counts(may_write: bool | Unread) -> None:
    facts = with_facts(FACTS, author_may_write=may_write)
    assert isinstance(found(facts, replace(RULES, authors=("bob", "Fleet-Claude"))), Verified)
    finding = found(facts, replace(RULES, authors=("bob",)))
    assert isinstance(finding, Refuted)
    assert finding.reasons == ("fleet-claude is not an account that the fleet may use.",)


# unknown


GAPS: dict[str, Callable[[Facts], Facts]] = {
    "files": lambda facts: with_facts(facts, files=Unread("files")),
    "commits": lambda facts: with_facts(facts, commits=Unread("commits")),
    "reviews": lambda facts: with_facts(facts, reviews=Unread("reviews")),
    "author": lambda facts: with_facts(facts, author_may_write=Unread("author")),
    "ci": lambda facts: with_facts(facts, ci=Unread("ci")),
    "verified_trees": lambda facts: with_facts(facts, verified_trees=Unread("verified_trees")),
}
SOME_GAPS = [names for size in range(1, 7) for names in combinations(GAPS, size)]


@pytest.mark.parametrize("missing", SOME_GAPS, ids="+".join)
def test_what_could_not_be_read_is_never_a_yes_nor_a_no(missing: tuple[str, ...]) -> None:
    facts = FACTS
    for name in missing:
        facts = GAPS[name](facts)
    finding = found(facts)
    assert isinstance(finding, Unknown)
    assert set(finding.unread) == set(missing)


def _changed(facts: Facts) -> set[str]:
    return {name for name in Facts.__slots__ if getattr(facts, name) != getattr(FACTS, name)}


# What a rule looks at besides the fact that breaks it.
BESIDES = {
    "an empty or amended commit": {"tree"},
    "words that switch CI off": {"ci"},
    "words that switch CI off in the title": {"ci"},
    "a review of exactly this commit": {"pull"},
}


def _looks_at(broken: str) -> set[str]:
    return _changed(BREAKS[broken][0]) | BESIDES.get(broken, set())


BESIDE_A_GAP = [
    (broken, missing)
    for broken in BREAKS
    for missing, without in GAPS.items()
    if not _looks_at(broken) & _changed(without(FACTS))
]


def test_a_certain_no_wins_over_what_could_not_be_read() -> None:
    for broken, missing in BESIDE_A_GAP:
        facts, _ = BREAKS[broken]
        with case(broken, missing):
            assert _reasons(GAPS[missing](facts)) == _reasons(facts)


# Two rules that look at the same fact cannot both be broken by putting two such facts together.
APART = [pair for pair in combinations(BREAKS, 2) if not _looks_at(pair[0]) & _looks_at(pair[1])]


def test_an_author_whose_account_is_gone_is_not_named() -> None:
    facts = with_facts(pull(author=""), author_may_write=False)
    assert _reasons(facts) == ("The account that made pull request #7 is gone: make another.",)


def test_every_reason_is_given_at_once() -> None:
    """The agent should not have to find out one by one."""
    for pair in APART:
        (one, _), (two, _) = (BREAKS[name] for name in pair)
        both = with_facts(one, **{name: getattr(two, name) for name in _changed(two)})
        with case(*pair):
            assert set(_reasons(both)) == {*_reasons(one), *_reasons(two)}


def _reasons(facts: Facts) -> tuple[str, ...]:
    finding = found(facts)
    assert isinstance(finding, Refuted)
    return finding.reasons


def test_without_the_pull_request_nothing_is_known() -> None:
    unknown = Unknown(unread=("Forgejo is away.",), checks=(ReceiptCheck.PULL,))
    assert found(with_facts(FACTS, pull=AWAY, files=())) == unknown


@pytest.mark.parametrize("shown", [(), (OTHER,)], ids=["none", "old ones"])
def test_the_head_of_an_open_pull_request_that_is_no_commit_of_it_yet_will_be_soon(
    shown: tuple[str, ...],
) -> None:
    yet = "Forgejo does not show the changes of commit 5eb63bbbe01e yet."
    commits = tuple(CommitFact(sha=sha) for sha in shown)
    unknown = Unknown(unread=(yet,), soon=True, checks=(ReceiptCheck.COMMITS,))
    assert found(with_facts(FACTS, commits=commits)) == unknown


def test_a_reason_that_covers_several_facts_is_given_once() -> None:
    late = Unread("Not yet.", soon=True)
    facts = with_facts(FACTS, files=late, commits=late)
    both = (ReceiptCheck.COMMITS, ReceiptCheck.FILES)
    assert found(facts) == Unknown(unread=("Not yet.",), soon=True, checks=both)


def test_a_reviewer_of_whom_it_is_not_known_whether_they_may_write_is_asked_about() -> None:
    finding = found(review(may_write=None))
    assert isinstance(finding, Unknown)
    assert "make the bot an admin of the repository, or dismiss the review" in finding.unread[0]


def test_what_is_missing_is_there_soon_only_if_all_of_it_is() -> None:
    facts = with_facts(FACTS, files=Unread("Not yet.", soon=True), reviews=AWAY)
    finding = found(facts)
    assert isinstance(finding, Unknown)
    assert (finding.unread, finding.soon) == (("Not yet.", "Forgejo is away."), False)


# CI: what it comes to is tested in test_ci.py


@pytest.mark.parametrize("state", ["pending", "neutral", "skipped"])
def test_ci_that_has_not_finished_is_unknown_not_no(state: str) -> None:
    assert isinstance(found(ci(state)), Unknown)


@pytest.mark.parametrize(
    "facts", [ci("pending"), ci("failure"), with_facts(FACTS, ci=CiFacts()), GAPS["ci"](FACTS)]
)
def test_ci_matters_only_where_it_is_required(facts: Facts) -> None:
    assert isinstance(found(facts, replace(RULES, require_ci=False)), Verified)


def test_a_repository_without_ci_is_said_to_be_one() -> None:
    finding = found(with_facts(FACTS, ci=CiFacts()))
    assert isinstance(finding, Verified)
    assert finding.evidence is not None
    assert finding.evidence.notes == ("This repository has no CI.",)


def test_a_repository_without_ci_may_be_refused() -> None:
    finding = found(with_facts(FACTS, ci=CiFacts()), replace(RULES, refuse_without_ci=True))
    assert isinstance(finding, Refuted)
    assert "The repository has no CI" in finding.reasons[0]


def test_words_that_switch_ci_off_are_any_words_where_there_is_none() -> None:
    silent = with_facts(FACTS, commits=(replace(COMMIT, message="[skip ci]"),), ci=CiFacts())
    assert isinstance(found(silent), Verified)


def test_a_task_without_a_base_takes_any() -> None:
    anywhere = replace(EXPECTED, base="")
    assert isinstance(verify(RECEIPT, anywhere, pull(base="dev"), RULES), Verified)


# asked for again


def test_the_same_head_is_not_verified_twice() -> None:
    again = replace(EXPECTED, verified=(Earlier(head=HEAD, tree="t1"),))
    finding = verify(RECEIPT, again, FACTS, RULES)
    assert isinstance(finding, Refuted)
    assert "was verified before" in finding.reasons[0]


# whose commit it is


FOREIGN: dict[str, Facts] = {
    "another branch's": pull(head_branch="main"),
    "another repository's": pull(head_repo="eve/app"),
    "not the head": pull(head_sha=OTHER),
    "one that the base has too": with_facts(FACTS, files=(), commits=()),
    "not known to be one": with_facts(FACTS, commits=AWAY, files=()),
}


@pytest.mark.parametrize("facts", FOREIGN.values(), ids=FOREIGN)
def test_a_commit_that_is_not_found_to_be_the_runs_own_is_not_said_to_be(facts: Facts) -> None:
    finding = found(facts)
    assert isinstance(finding, Refuted | Unknown)
    assert not finding.own_head


def test_a_commit_that_is_the_head_of_the_runs_own_pull_request_is_said_to_be() -> None:
    waits, fails = found(ci("pending")), found(ci("failure"))
    assert isinstance(waits, Unknown)
    assert isinstance(fails, Refuted)
    assert waits.own_head
    assert fails.own_head


# what is kept


def test_what_was_seen_is_kept_value_by_value() -> None:
    finding = found()
    assert isinstance(finding, Verified)
    seen = finding.evidence
    assert seen is not None
    assert (seen.head, seen.tree, seen.base, seen.author) == (HEAD, "t1", "main", "fleet-claude")
    assert (seen.files, seen.commits, seen.approved_by) == (2, 1, ("ada",))
    assert (seen.ci, seen.context_count) == ("green", 1)
    assert seen.contexts == (ContextState(name="test", state="success"),)


def test_what_is_kept_is_bounded() -> None:
    names = [f"{n} {'x' * 1000}" for n in range(500)]
    facts = with_facts(
        FACTS,
        ci=CiFacts(statuses=tuple(StatusFact(context=n, state="success") for n in names)),
        reviews=tuple(ReviewFact(reviewer=n[:40], state="APPROVED") for n in names),
    )
    finding = found(facts)
    assert isinstance(finding, Verified)
    assert finding.evidence is not None
    assert finding.evidence.context_count == 500
    assert len(finding.evidence.contexts) == len(finding.evidence.approved_by) == 20
    assert max(len(one.name) for one in finding.evidence.contexts) == 200


# naming the issue


@pytest.mark.parametrize(
    "text",
    [
        "#12",
        "Closes #12.",
        "(#12)",
        "#12, #13",
        "fixes team/app#12",
        "Fixes Team/App#12!",
        "[#12]",
        "- #12\n- #13",
        "#1 and #12",
        URL,
        f"see {URL}.",
        f"<{URL}>",
        f"{URL}#issuecomment-3",
    ],
)
def test_a_text_that_names_the_issue(text: str) -> None:
    assert names_issue(text, EXPECTED)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "12",
        "# 12",
        "#1",
        "#123",
        "#012",
        "#12ab34",
        "&#12;",
        "!12",
        "eve/app#12",
        "team/application#12",
        "eve/team/app#12",
        "my-team/app#12",
        "my.team/app#12",
        "team/my-app#12",
        "team/web-#12",
        "abc#12",
        f"{URL}3",
        "https://forge.example/team/app/issues/1",
        "https://forge.example/team/web/issues/12",
        "https://elsewhere.example/team/app/issues/12",
    ],
)
def test_a_text_that_names_another_issue_or_none(text: str) -> None:
    assert not names_issue(text, EXPECTED)


def test_a_task_without_an_address_is_named_by_number_only() -> None:
    nowhere = replace(EXPECTED, issue_url="")
    assert names_issue("#12", nowhere)
    assert not names_issue("anything", nowhere)


def test_a_repository_with_dots_is_no_pattern() -> None:
    dotted = replace(EXPECTED, repo="team/a.p+")
    assert names_issue("team/a.p+#12", dotted)
    assert not names_issue("team/axp#12", dotted)


@given(st.text(max_size=200))
def test_any_text_can_be_asked(text: str) -> None:
    assert names_issue(f"{text} #12 ", EXPECTED)
    finding = found(pull(title=text, body=""))
    assert isinstance(finding, Verified | Refuted)


# links to other repositories


def links(**fields: Any) -> Facts:
    return with_facts(FACTS, links=(LinkFact(path="lib", commit=OTHER, **fields),))


@pytest.mark.parametrize("there", [True, None])
def test_a_submodule_that_may_be_fetched_is_within_the_rules(there: bool | None) -> None:
    assert isinstance(found(links(url="../lib.git", there=there)), Verified)


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        (links(), "`lib` is committed as a link to another repository, which nobody could follow"),
        (links(url="../lib.git", there=False), "is moved to commit 000000000000, which is not"),
    ],
)
def test_a_link_that_nobody_could_follow_refutes(facts: Facts, reason: str) -> None:
    finding = found(facts)
    assert isinstance(finding, Refuted)
    assert reason in finding.reasons[0]


# words alone


def answered(*replies: Reply, kinds: tuple[RoundKind, ...] = (RoundKind.REVIEW,)) -> Finding:
    """A receipt of the very commit that was verified before, for a review of it."""
    again = replace(EXPECTED, verified=(Earlier(head=HEAD, tree="t1"),), round=kinds, threads=(31,))
    facts = with_facts(reviews("REQUEST_CHANGES"), verified_trees=("t1",))
    return verify(replace(RECEIPT, replies=replies), again, facts, RULES)


def test_words_are_an_answer_to_a_review_that_wants_nothing_else() -> None:
    assert isinstance(answered(Reply(thread=31, answer=Answer.DISAGREES)), Verified)


def test_who_says_that_it_is_fixed_has_something_to_show() -> None:
    found = answered(Reply(thread=31, answer=Answer.FIXED))
    assert isinstance(found, Refuted)
    assert any("was verified before" in reason for reason in found.reasons)


def test_red_ci_is_not_talked_away() -> None:
    reply, kinds = Reply(thread=31, answer=Answer.ANSWERED), (RoundKind.REVIEW, RoundKind.CI)
    assert isinstance(answered(reply, kinds=kinds), Refuted)
