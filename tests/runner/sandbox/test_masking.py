"""Nothing secret leaves the runner, in no form that it takes by accident; in linear time."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetbot.runner.sandbox.masking import Masker

TOKEN = "p4ss/word+of the=forge&ünï"
KEY = "\n".join(
    (
        "-----BEGIN OPENSSH PRIVATE KEY-----",
        "b3BlbnNzaC1rZXk" * 4,
        "AAAAB3Nza" * 7,
        "-----END OPENSSH PRIVATE KEY-----",
    )
)


@pytest.mark.parametrize(
    "form",
    [
        TOKEN,
        quote(TOKEN, safe=""),
        quote(TOKEN),
        json.dumps({"token": TOKEN}),
        f"https://fleet:{quote(TOKEN, safe='')}@forge.example/x.git",
    ],
)
def test_a_known_secret_is_masked_in_the_forms_it_takes(form: str) -> None:
    masked = Masker({}, [TOKEN]).text(f"before {form} after")

    assert masked.startswith("before ")
    assert masked.endswith(" after")
    assert "p4ss" not in masked
    assert "[masked]" in masked


@given(
    before=st.binary(max_size=7),
    secret=st.text(st.characters(codec="ascii", categories=("L", "N", "P")), min_size=10),
    after=st.binary(max_size=7),
)
def test_a_known_secret_is_masked_in_base64_at_any_place(
    before: bytes, secret: str, after: bytes
) -> None:
    data = before + secret.encode() + after

    for text in (base64.b64encode(data), base64.urlsafe_b64encode(data)):
        assert "[masked]" in Masker({}, [secret]).text(text.decode())


def test_an_agents_own_secrets_are_known_by_the_names_of_their_variables() -> None:
    masker = Masker({"NPM_TOKEN": "npm-value-1", "EDITOR": "editor-value", "MAX_TOKENS": "100000"})

    assert masker.text("npm-value-1 editor-value 100000") == "[masked] editor-value 100000"


def test_a_renewed_token_is_known_and_so_is_the_one_before() -> None:
    tokens = ["first-token"]
    masker = Masker({}, lambda: tokens)
    assert masker.text("first-token") == "[masked]"

    tokens[0] = "second-token"

    assert masker.text("first-token second-token") == "[masked] [masked]"


def test_every_line_of_a_secret_is_one() -> None:
    """A program's output is read line by line."""
    masker = Masker({"SSH_KEY": KEY.replace("PRIVATE KEY", "THING")})

    said = [masker.text(line) for line in KEY.splitlines()]

    assert said[1:3] == ["[masked]"] * 2


def test_an_unknown_key_is_masked_whole_also_line_by_line() -> None:
    masker = Masker({})

    assert masker.text(f"see {KEY} there") == "see [masked] there"
    assert [masker.text(line) for line in KEY.splitlines()] == ["[masked]"] * 4
    assert masker.text("and on") == "and on"


@pytest.mark.parametrize(
    "secret",
    [
        "sk-ant-api03-aaaabbbbcccc",
        "ghp_aaaabbbbccccddddeeeeffff",
        "github_pat_aaaabbbbccccddddeeeeffff",
        "glpat-aaaabbbbccccddddee",
        "xoxb-1234567890-abcdef",
        "AKIAABCDEFGHIJKLMNOP",
        "syt_YWRh_aaaabbbbccccdddd",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N",
    ],
)
def test_an_unknown_token_is_known_by_its_form(secret: str) -> None:
    masker = Masker({})

    assert masker.text(f"a {secret}, b") == "a [masked], b"
    assert masker.text(f"Authorization: Bearer {secret}") == "Authorization: Bearer [masked]"
    assert masker.tree({"url": [f"https://x:{secret}@h/"]}) == {"url": ["https://[masked]@h/"]}


@pytest.mark.parametrize("text", ["a \ud83d b", "a \x00 b", "a \x1b[31mred\x1b[0m", "\udcff"])
def test_what_cannot_be_encoded_or_shown_is_not_left_in_a_text(text: str) -> None:
    masked = Masker({}).text(text)

    masked.encode()
    assert not set(masked) & {"\x00", "\x1b"}


# For each alternative of the pattern, and for the terminal's escapes: what it could be begun with
# again and again, so that a way of reading that goes back would take a square of the time.
ADVERSARIES: dict[str, Callable[[int], str]] = {
    "sk": lambda n: "sk-" * n,
    "sk words": lambda n: "sk-a " * n,
    "github": lambda n: "ghp_" * n,
    "jwt heads": lambda n: "eyJ-" * n,
    "jwt parts": lambda n: ("eyJ" + "a" * 10 + ".") * n,
    "jwt words": lambda n: "eyJaaaaaaaaaaa.b " * n,
    "urls": lambda n: "://a:b" * n,
    "url users": lambda n: "://" + "a" * n + ":" + "b" * n,
    "colons": lambda n: "://" + ":" * n,
    "bearer": lambda n: "Bearer " * n,
    "key heads": lambda n: "-----BEGIN " * n,
    "key words": lambda n: "-----BEGIN " + "A " * n,
    "keys without end": lambda n: "-----BEGIN PRIVATE KEY-----" * n,
    "keys, one end": lambda n: "-----BEGIN PRIVATE KEY-----" * n + "-----END ",
    "ends": lambda n: "-----BEGIN PRIVATE KEY-----" + "-----END A" * n,
    "end words": lambda n: "-----BEGIN PRIVATE KEY-----" + "-----END " + "A " * n,
    "escapes": lambda n: "\x1b[" * n,
    "escape numbers": lambda n: "\x1b[" + "0" * n,
    "titles": lambda n: "\x1b]" * n,
    "title": lambda n: "\x1b]" + "a" * n,
    "halves": lambda n: "\ud83d" * n,
    "one word": lambda n: "a" * n,
    "dashes": lambda n: "-" * n,
}


@pytest.mark.parametrize("adversary", ADVERSARIES.values(), ids=ADVERSARIES)
def test_the_time_is_linear_in_the_text(adversary: Callable[[int], str]) -> None:
    size = len(adversary(1000)) / 1000
    text = adversary(int(300_000 / size))
    masker = Masker({}, [TOKEN])

    begun = time.thread_time()
    masker.text(text)

    # A square of so much would take more than a minute.
    assert time.thread_time() - begun < 5
