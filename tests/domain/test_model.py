"""Names that come from outside: titles as branches, agents, capabilities, repositories."""

from __future__ import annotations

import subprocess
from pathlib import PurePosixPath

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fleetbot.domain.model import AGENT_NAME, CAPABILITY, REPO, Priority, branch_name
from fleetbot.domain.usage import Usage, add_usage

issues = st.integers(1, 10**9)
titles = st.text(max_size=300) | st.text("../\\~^:?*[@{ -lock\n\x00\x7f", max_size=80)


def test_a_branch_says_issue_and_title() -> None:
    assert branch_name(12, "Mend the *old* door!") == "fleet/12-mend-the-old-door"


def test_a_title_without_a_letter_of_ours_leaves_the_number() -> None:
    assert branch_name(12, "дверь 扉 …") == "fleet/12"


def test_a_long_title_is_cut_without_a_dash_at_the_end() -> None:
    assert branch_name(12, "a" * 39 + " door") == "fleet/12-" + "a" * 39
    assert len(branch_name(10**9, "door " * 100)) < 60


@given(issues, titles)
@example(1, "../../etc/passwd")
@example(1, "-rf")
@example(1, "main.lock")
@example(1, "\u0130stanbul")
def test_a_branch_is_safe_as_a_path_and_as_an_argument(issue: int, title: str) -> None:
    branch = branch_name(issue, title)
    folder, name = PurePosixPath(branch).parts
    assert folder == "fleet"
    assert name.startswith(str(issue))
    assert set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")
    assert not name.endswith("-")


@given(issues, titles)
@settings(max_examples=15)
@example(1, "a.lock")
@example(1, "@{-1}")
def test_git_takes_any_branch(issue: int, title: str) -> None:
    command = ["git", "check-ref-format", "--branch", branch_name(issue, title)]
    subprocess.run(command, check=True, capture_output=True, timeout=10)


@pytest.mark.parametrize("name", ["a", "claude-1", "a.b_c-9", "0", "a" * 40])
def test_names_of_agents(name: str) -> None:
    assert AGENT_NAME.match(name)


@pytest.mark.parametrize(
    "name",
    ["", "-a", "a-", ".a", "A", "a b", "a/b", "../a", "a\n", "é", "a" * 41, "a:b", "<b>", "@a"],
)
def test_what_no_agent_is_called(name: str) -> None:
    assert not AGENT_NAME.match(name)


@pytest.mark.parametrize("word", ["python", "c++", "c#", "go1.22", "x_y"])
def test_names_of_capabilities(word: str) -> None:
    assert CAPABILITY.match(word)


@pytest.mark.parametrize("word", ["", "+", "Python", "a b", "a\n", "a,b", "a" * 41])
def test_what_no_capability_is_called(word: str) -> None:
    assert not CAPABILITY.match(word)


@pytest.mark.parametrize("repo", ["team/app", "Team/App.js", "a/_", "a/.github"])
def test_names_of_repositories(repo: str) -> None:
    assert REPO.match(repo)


@pytest.mark.parametrize(
    "repo", ["", "app", "/app", "team/", "a/b/c", "-a/b", "a b/c", "a/b\n", "a/b c", "../../a"]
)
def test_what_no_repository_is_called(repo: str) -> None:
    assert not REPO.match(repo)


@pytest.mark.parametrize("repo", ["team/..", "team/."])
def test_a_repository_is_never_a_step_up_the_tree(repo: str) -> None:
    assert not REPO.match(repo)


def test_priorities_have_an_order() -> None:
    assert Priority.LOW < Priority.NORMAL < Priority.HIGH < Priority.URGENT


def test_usage_adds_up_and_an_untold_cost_is_not_nothing() -> None:
    told, untold = Usage(input_tokens=1, cost_usd=0.5), Usage(input_tokens=2, output_tokens=3)
    assert add_usage(told, untold) == Usage(input_tokens=3, output_tokens=3, cost_usd=0.5)
    assert add_usage(untold, untold).cost_usd is None
