"""`fleetbot reply`: what a program may say to a thread, and what is told where it may not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from fleetbot.cli import main
from fleetbot.domain.pulls import Answer, RoundKind
from fleetbot.runner.run import replies
from fleetbot.wire import ReplyClaim, ReviewThread, RoundBrief, SaidWords

RUN = "run-1"


def brief(*threads: int, **fields: Any) -> RoundBrief:
    places = tuple(ReviewThread(id=number, path="a", line=1, words=()) for number in threads)
    given: dict[str, Any] = {"number": 1, "kinds": (RoundKind.REVIEW,), "pull_request": 7}
    return RoundBrief(**({**given, "head": "a" * 40, "threads": places} | fields))


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "tmp" / RUN).mkdir(parents=True)
    return tmp_path


def said(home: Path, *words: str, given: str = "") -> str:
    """What the command answers in a round with the threads 12 and 13."""
    env = replies.variables(brief(12, 13), RUN, home)
    return CliRunner().invoke(main, ["reply", *words], env=env, input=given).output


def test_the_last_word_to_each_thread_counts_in_the_order_of_the_threads(home: Path) -> None:
    said(home, "13", "disagrees", "It", "is fine.")
    said(home, "#12", "answered", "No.")
    assert said(home, "12", "fixed", "--commit", "abcdef1") == "Noted: thread 12 fixed.\n"

    assert replies.read(home, RUN, brief(12, 13)) == (
        ReplyClaim(thread=12, answer=Answer.FIXED, commit="abcdef1"),
        ReplyClaim(thread=13, answer=Answer.DISAGREES, text="It is fine."),
    )


def test_longer_words_come_from_standard_input(home: Path) -> None:
    said(home, "12", "answered", "-", given="Because:\n\n- `a`\x1b[31m\0\n")

    (one,) = replies.read(home, RUN, brief(12))
    assert one.text == "Because:\n\n- `a`[31m"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("99", "fixed"), "thread: '99' is no thread of this round; they are 12, 13"),
        (("-v", "fixed"), "No such option"),
        (("12", "done"), "answer: 'done' is none of fixed, answered, disagrees"),
        (("12", "answered"), "text: say why; only fixed may stand without words"),
        (("12", "fixed", "x" * 4001), "text: it has 4001 characters; at most 4000 are read"),
        (("12", "fixed", "--commit", "HEAD"), "commit: 'HEAD' is no id of one"),
    ],
)
def test_what_is_wrong_is_named_with_what_would_be_right(
    home: Path, words: tuple[str, ...], told: str
) -> None:
    assert told in said(home, *words)
    assert replies.read(home, RUN, brief(12, 13)) == ()


def test_outside_of_a_round_there_is_nothing_to_answer() -> None:
    done = CliRunner().invoke(main, ["reply", "12", "fixed"], env={replies.FILE: None})

    assert done.exit_code == 2
    assert "FLEETBOT_REPLIES is set in rounds only" in done.output


def test_a_file_that_is_full_takes_no_more(home: Path) -> None:
    (home / "tmp" / RUN / "replies").write_bytes(b"x" * 4 * 2**20)

    assert "it has 4 MB, which is all that is read" in said(home, "12", "fixed")


def test_a_file_that_is_none_is_neither_written_nor_read(home: Path, tmp_path: Path) -> None:
    place = home / "tmp" / RUN / "replies"
    outside = tmp_path / "outside"
    outside.write_text('{"thread": 12, "answer": "fixed"}\n')
    for link in (place.symlink_to, place.hardlink_to):
        link(outside)
        assert "cannot be written" in said(home, "12", "fixed")
        place.unlink()
    place.symlink_to(outside)

    assert replies.read(home, RUN, brief(12)) == ()
    assert len(outside.read_text().splitlines()) == 1


def test_what_a_program_writes_there_itself_is_not_believed(home: Path) -> None:
    lines = (b'{"thread": 99, "answer": "fixed"}', b'{"thread": 12, "answer": "done"}', b"\xff")
    (home / "tmp" / RUN / "replies").write_bytes(b"\n".join(lines))

    assert replies.read(home, RUN, brief(12, 13)) == ()


def claims(**said: Answer) -> list[ReplyClaim]:
    return [ReplyClaim(thread=int(name[1:]), answer=answer) for name, answer in said.items()]


def test_words_are_enough_where_each_thread_has_some_and_none_claims_a_change() -> None:
    both = claims(t12=Answer.ANSWERED, t13=Answer.DISAGREES)
    more = SaidWords(author="ada", text="See my comments.", may_write=True)

    assert replies.are_enough(both, brief(12, 13), "")
    assert replies.are_enough(both, brief(12, 13, words=(more,)), "")
    assert not replies.are_enough(both[:1], brief(12, 13), "I looked.")
    assert not replies.are_enough(claims(t12=Answer.FIXED), brief(12), "I looked.")
    kinds = (RoundKind.REVIEW, RoundKind.CI)
    assert not replies.are_enough(both, brief(12, 13, kinds=kinds), "I looked.")


def test_where_there_are_no_threads_what_the_program_says_in_the_end_is_the_answer() -> None:
    asked = SaidWords(author="ada", text="Why like that?", may_write=True)

    assert replies.are_enough([], brief(words=(asked,)), "Since it has to be quick.")
    assert not replies.are_enough([], brief(words=(asked,)), " ")
