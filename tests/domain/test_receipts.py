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

from fleetbot.domain.receipts import (
    Expectation,
    Facts,
    Finding,
    PullFacts,
    Refuted,
    ReviewFact,
    Rules,
    Unknown,
    Unread,
    Verified,
    names_issue,
    verify,
)
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
FACTS = Facts(
    pull=PULL,
    files=("door.py", "tests/test_door.py"),
    commits=(HEAD,),
    reviews=(ReviewFact(reviewer="ada", state="APPROVED"),),
    author_may_write=True,
    ci="success",
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


AWAY = Unread("Forgejo is away.")


def test_a_receipt_that_holds_is_verified() -> None:
    assert found() == Verified()


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
    "several commits": with_facts(FACTS, commits=(HEAD, OTHER)),
    "no review": reviews(),
    "a comment only": reviews("COMMENT"),
    "a path that only looks forbidden": files(".forgejoined", "my.locked", "src/secrets.py"),
}


@pytest.mark.parametrize("facts", HOLDS.values(), ids=HOLDS)
def test_what_is_within_the_rules(facts: Facts) -> None:
    assert found(facts) == Verified()


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
            commits=(OTHER,),
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
    "CI that failed": (with_facts(FACTS, ci="failure"), "The commit's CI says failure"),
    "CI that broke": (with_facts(FACTS, ci="error"), "The commit's CI says error"),
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
    assert found(facts) == Refuted(reasons=("There is no pull request team/app#7.",))


def test_long_lists_of_files_are_cut() -> None:
    finding = found(files=tuple(f"f{n}.py" for n in range(9)))
    assert isinstance(finding, Refuted)
    assert finding.reasons[0].endswith("`f4.py` and 4 more.")


def test_a_draft_is_not_done_until_somebody_says_that_it_is() -> None:
    finding = found(pull(draft=True))
    assert isinstance(finding, Unknown)
    assert "is a draft: somebody has to say that it is ready." in finding.unread[0]
    assert not finding.soon


# accounts


@pytest.mark.parametrize("may_write", [True, False, AWAY])
def test_a_list_of_accounts_is_all_that_counts(may_write: bool | Unread) -> None:
    facts = with_facts(FACTS, author_may_write=may_write)
    assert found(facts, replace(RULES, authors=("bob", "Fleet-Claude"))) == Verified()
    finding = found(facts, replace(RULES, authors=("bob",)))
    assert finding == Refuted(reasons=("fleet-claude is not an account that the fleet may use.",))


# unknown


GAPS: dict[str, Callable[[Facts], Facts]] = {
    "files": lambda facts: with_facts(facts, files=Unread("files")),
    "commits": lambda facts: with_facts(facts, commits=Unread("commits")),
    "reviews": lambda facts: with_facts(facts, reviews=Unread("reviews")),
    "author": lambda facts: with_facts(facts, author_may_write=Unread("author")),
    "ci": lambda facts: with_facts(facts, ci=Unread("ci")),
}
SOME_GAPS = [names for size in range(1, 6) for names in combinations(GAPS, size)]


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


BESIDE_A_GAP = [
    (broken, missing)
    for broken, (facts, _) in BREAKS.items()
    for missing, without in GAPS.items()
    if not _changed(facts) & _changed(without(FACTS))
]


@pytest.mark.parametrize(("broken", "missing"), BESIDE_A_GAP)
def test_a_certain_no_wins_over_what_could_not_be_read(broken: str, missing: str) -> None:
    facts, _ = BREAKS[broken]
    assert found(GAPS[missing](facts)) == found(facts) != Verified()


# Two rules that look at the same fact cannot both be broken by putting two such facts together.
APART = [
    pair
    for pair in combinations(BREAKS, 2)
    if not _changed(BREAKS[pair[0]][0]) & _changed(BREAKS[pair[1]][0])
]


@pytest.mark.parametrize("pair", APART, ids="+".join)
def test_every_reason_is_given_at_once(pair: tuple[str, str]) -> None:
    """The agent should not have to find out one by one."""
    (one, _), (two, _) = (BREAKS[name] for name in pair)
    both = with_facts(one, **{name: getattr(two, name) for name in _changed(two)})
    assert set(_reasons(both)) == {*_reasons(one), *_reasons(two)}


def _reasons(facts: Facts) -> tuple[str, ...]:
    finding = found(facts)
    assert isinstance(finding, Refuted)
    return finding.reasons


def test_without_the_pull_request_nothing_is_known() -> None:
    assert found(with_facts(FACTS, pull=AWAY, files=())) == Unknown(unread=("Forgejo is away.",))


@pytest.mark.parametrize("shown", [(), (OTHER,)], ids=["none", "old ones"])
def test_the_head_of_an_open_pull_request_that_is_no_commit_of_it_yet_will_be_soon(
    shown: tuple[str, ...],
) -> None:
    yet = "Forgejo does not show the changes of commit 5eb63bbbe01e yet."
    assert found(with_facts(FACTS, commits=shown)) == Unknown(unread=(yet,), soon=True)


def test_a_reason_that_covers_several_facts_is_given_once() -> None:
    late = Unread("Not yet.", soon=True)
    facts = with_facts(FACTS, files=late, commits=late)
    assert found(facts) == Unknown(unread=("Not yet.",), soon=True)


def test_what_is_missing_is_there_soon_only_if_all_of_it_is() -> None:
    facts = with_facts(FACTS, files=Unread("Not yet.", soon=True), reviews=AWAY)
    assert found(facts) == Unknown(unread=("Not yet.", "Forgejo is away."))


@pytest.mark.parametrize("ci", ["", "pending"])
def test_ci_that_has_not_finished_is_unknown_not_no(ci: str) -> None:
    assert isinstance(found(with_facts(FACTS, ci=ci)), Unknown)


@pytest.mark.parametrize("ci", ["", "pending", "failure", AWAY])
def test_ci_matters_only_where_it_is_required(ci: str | Unread) -> None:
    assert found(with_facts(FACTS, ci=ci), replace(RULES, require_ci=False)) == Verified()


def test_a_task_without_a_base_takes_any() -> None:
    anywhere = replace(EXPECTED, base="")
    assert verify(RECEIPT, anywhere, pull(base="dev"), RULES) == Verified()


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
