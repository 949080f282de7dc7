"""Two sides of one text are put together where git would do so, and never otherwise."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleetbot.domain.three_way import merged

BASE = b"one\ntwo\nthree\nfour\nfive\nsix\n"
MINE = BASE.replace(b"one\n", b"one\nand a half\n")


@pytest.mark.parametrize(
    ("ours", "theirs", "both"),
    [
        (MINE, BASE.replace(b"five", b"5"), MINE.replace(b"five", b"5")),
        (MINE, BASE, MINE),
        (BASE, MINE, MINE),
        (MINE, MINE, MINE),
        (MINE, BASE.replace(b"six\n", b""), MINE.replace(b"six\n", b"")),
    ],
)
def test_what_is_apart_is_put_together(ours: bytes, theirs: bytes, both: bytes) -> None:
    assert merged(BASE, ours, theirs) == both


@pytest.mark.parametrize(
    "theirs",
    [
        BASE.replace(b"one\n", b"one\nand a third\n"),  # at the same place
        BASE.replace(b"two", b"2"),  # next to it
        b"\0" + BASE,  # no text
    ],
)
def test_what_is_near_is_not(theirs: bytes) -> None:
    assert merged(BASE, MINE, theirs) is None


LONG = b"".join(b"line %d\n" % number for number in range(30_000))


def test_a_long_text_is_put_together_where_little_of_it_has_changed() -> None:
    ours, theirs = (LONG.replace(b"line %d\n" % at, b"mine\n") for at in (100, 900))
    assert merged(LONG, ours, theirs) == ours.replace(b"line 900\n", b"mine\n")


def test_what_would_take_long_to_compare_is_not() -> None:
    """Few lines, each often, in another order: an agent may well write that into a file."""
    few = [b"line %d\n" % (number % 110) for number in range(30_000)]
    base, ours = b"".join(few), b"".join(reversed(few))
    assert merged(base, ours, base) is None


TEXTS = st.lists(st.sampled_from("abcdefgh"), min_size=4, max_size=14).map(
    lambda words: "".join(f"{word}\n" for word in words).encode()
)


@settings(max_examples=40, deadline=None)
@given(base=TEXTS, at=st.integers(0, 13), more=st.sampled_from([b"", b"x\n", b"x\ny\n"]))
def test_it_is_what_git_makes_of_it(
    tmp_path_factory: pytest.TempPathFactory, base: bytes, at: int, more: bytes
) -> None:
    lines = base.splitlines(keepends=True)
    ours = b"".join((*lines[:at], more, *lines[at + 1 :]))
    theirs = base + b"last\n"
    both = merged(base, ours, theirs)
    if both is not None:
        assert both == by_git(tmp_path_factory.mktemp("texts"), base, ours, theirs)


def by_git(folder: Path, base: bytes, ours: bytes, theirs: bytes) -> bytes:
    for name, text in (("base", base), ("ours", ours), ("theirs", theirs)):
        (folder / name).write_bytes(text)
    command = ["git", "merge-file", "--stdout", "ours", "base", "theirs"]
    return subprocess.run(command, cwd=folder, check=True, stdout=subprocess.PIPE).stdout
