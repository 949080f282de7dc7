"""How people name issues: short, or by the links that they copy."""

from __future__ import annotations

import pytest

from fleetbot.domain.errors import Invalid
from fleetbot.domain.reference import Reference, read

HOME = "https://forge.example.org"
HERE = Reference("acme/app", 12)


@pytest.mark.parametrize(
    ("text", "reference"),
    [
        ("#12", Reference("", 12)),
        ("app#12", Reference("app", 12)),
        ("acme/app#12", HERE),
        (f"{HOME}/acme/app/issues/12", HERE),
        (f"{HOME}/acme/app/issues/12/", HERE),
        (f"{HOME}/acme/app/issues/12#issuecomment-7", HERE),
        (f"{HOME}/acme/app/issues/12?page=2#issuecomment-7", HERE),
        (f"{HOME}/acme/app/pulls/12", HERE),
        (f"{HOME}/acme/app/pulls/12/files#diff-1", HERE),
        (f"{HOME}/acme/app/pulls/12/commits/0a1b2c", HERE),
        (f"<{HOME}/acme/app/issues/12>", HERE),
        (f"[the bug]({HOME}/acme/app/issues/12)", HERE),
        (f"[#12](<{HOME}/acme/app/issues/12#top>)", HERE),
        (f'[#12]({HOME}/acme/app/issues/12 "The bug")', HERE),
        ("http://forge.example.org/acme/app/issues/12", HERE),
        ("https://forge.example.org:443/acme/app/issues/12", HERE),
        ("HTTPS://Forge.Example.ORG/acme/app/issues/12", HERE),
    ],
)
def test_an_issue_is_known_in_the_forms_that_people_paste(text: str, reference: Reference) -> None:
    assert read(text, [HOME]) == reference


@pytest.mark.parametrize("home", ["http://git.lan:3000/forge", "http://git.lan:3000/forge/"])
def test_a_forge_may_be_below_a_path_and_on_a_port(home: str) -> None:
    assert read("http://git.lan:3000/forge/acme/app/issues/12", [home]) == HERE
    with pytest.raises(Invalid, match="is not an issue"):
        read("http://git.lan:3000/other/acme/app/issues/12", [home])
    with pytest.raises(Invalid, match=r"leads to git\.lan"):
        read("http://git.lan/forge/acme/app/issues/12", [home])


def test_a_forge_may_be_reached_by_another_address_than_its_own() -> None:
    assert read(f"{HOME}/acme/app/issues/12", ["http://forgejo:3000", HOME]) == HERE


def test_another_forges_link_is_refused_by_name() -> None:
    with pytest.raises(Invalid) as refused:
        read("https://github.com/acme/app/issues/12", [HOME])

    assert str(refused.value) == (
        "That link leads to github.com, and the fleet works on forge.example.org."
    )


@pytest.mark.parametrize(
    "text",
    [
        "",
        "#",
        "#0",
        "twelve",
        "acme/app",
        "#12345678901",
        f"{HOME}/acme/app",
        f"{HOME}/acme/app/issues",
        f"{HOME}/acme/app/issues/new",
        f"{HOME}/acme/app/wiki/12",
        "https://forge.example.org:99999/acme/app/issues/12",
        "https://[::1/acme/app/issues/12",
        "x" * 30_000,
    ],
)
def test_what_is_no_issue_is_refused_with_what_is(text: str) -> None:
    with pytest.raises(Invalid) as refused:
        read(text, [HOME])

    assert "write #12, repo#12, owner/repo#12 or its link" in str(refused.value)
    assert len(str(refused.value)) < 300
