"""A secret is found wherever the stream is cut."""

from __future__ import annotations

import pytest

from fleetbot.runner.git.leaks import Finder


@pytest.mark.parametrize("cut", range(12))
def test_a_word_is_found_across_pieces(cut: int) -> None:
    finder = Finder({"KEY": b"abcde", "OTHER": b"x" * 8})
    text = b"...abcde..."

    for piece in (text[:cut], b"", text[cut:]):
        finder.feed(piece)

    assert finder.found == {"KEY"}


def test_a_word_is_found_when_it_comes_byte_by_byte() -> None:
    finder = Finder({"KEY": b"abcde"})

    for byte in b"ababcde":
        finder.feed(bytes([byte]))

    assert finder.found == {"KEY"}
