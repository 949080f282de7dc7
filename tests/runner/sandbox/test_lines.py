"""Output is shown as it looked on a terminal, in plain text."""

from __future__ import annotations

import pytest

from fleetbot.runner.sandbox.lines import clean_text


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"\x1b[1;32mgreen\x1b[0m\n", "green"),
        (b"\x1b]0;title\x07prompt", "prompt"),
        (b" 10%\r 50%\r100%\r\n", "100%"),
        ("größer\n".encode(), "größer"),
        (b"\xff\xfe", "\ufffd\ufffd"),
        (b"a\tb", "a\tb"),
    ],
)
def test_terminal_output_becomes_plain_text(raw: bytes, text: str) -> None:
    assert clean_text(raw) == text
