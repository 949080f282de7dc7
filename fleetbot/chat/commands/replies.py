"""What people answer to a question, in words or by an emoji: pure, and strict where it grants."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from fleetbot.chat.words.emoji import meant, number
from fleetbot.domain.events import RunAsked
from fleetbot.domain.model import AskKind, Behavior

_YES = frozenset(
    (
        *("y", "yes", "yep", "yeah", "yes please", "please do", "ok", "okay", "ok please", "sure"),
        *("allow", "allowed", "approve", "approved", "go", "go ahead", "go on", "do it"),
        *("ja", "oui", "si", "sí", "da"),
    )
)
_ALWAYS = frozenset(
    ("always", "yes always", "always yes", "always allow", "allow always", "for this run")
)
_NO = re.compile(
    r"(?:no|nope|n|deny|denied|reject|rejected|refuse|don'?t|do not|never|stop|nein|non)\b"
    r"[\s,.:;!\u2013-]*(?P<why>.*)",
    re.IGNORECASE | re.DOTALL,
)
_NOT_A_NO = re.compile(r"(?:problem|objection|worr|issue|doubt|need to ask)", re.IGNORECASE)
_NUMBERS = re.compile(r"[\d\s,;&+and]+\Z")
_BETWEEN = re.compile(r"[\s,;&+]+|\band\b")


class Given(NamedTuple):
    """An answer; `text` is the choice, or why it is a no."""

    behavior: Behavior
    text: str = ""


def given(said: str, question: RunAsked) -> Given | None:
    """The answer that the words are; None where they are none, so that one has to ask back."""
    if question.kind is AskKind.QUESTION:
        return _to_question(said.strip(), question)
    return _to_request(said)


def is_yes(said: str) -> bool | None:
    """Whether it is a plain yes, or a no; None where it is neither."""
    answer = _to_request(said)
    if answer is None or answer.behavior is Behavior.ALWAYS:
        return None
    return answer.behavior is Behavior.ALLOW


def pressed(emoji: str, question: RunAsked) -> Given | None:
    """The answer that a reaction is; None where it is none."""
    place = number(emoji)
    if place is not None:
        is_choice = question.kind is AskKind.QUESTION and place <= len(question.options)
        return Given(Behavior.ALLOW, question.options[place - 1]) if is_choice else None
    match meant(emoji):
        case "✅" if question.kind is AskKind.QUESTION:
            return _chosen("yes", question.options)
        case "✅":
            return Given(Behavior.ALLOW)
        case "❌" | "✖":
            return Given(Behavior.DENY)
        case "♾":
            return Given(Behavior.ALWAYS)
        case _:
            return None


def may_answer(emoji: str) -> bool:
    """Whether a reaction is an answer to some question."""
    return number(emoji) is not None or meant(emoji) in ("✅", "❌", "✖", "♾")


def _to_request(said: str) -> Given | None:
    """Whatever stands beside a yes could be a condition, and nobody would keep it."""
    plain = " ".join(re.sub(r"[\s,.!]+", " ", said).split()).lower()
    if plain in _YES or meant(plain) == "✅":
        return Given(Behavior.ALLOW)
    if plain in _ALWAYS or meant(plain) == "♾":
        return Given(Behavior.ALWAYS)
    if meant(plain) in ("❌", "✖"):
        return Given(Behavior.DENY)
    if (no := _NO.match(said.strip())) and not _NOT_A_NO.match(no["why"]):
        return Given(Behavior.DENY, no["why"].strip())
    return None


def _to_question(said: str, question: RunAsked) -> Given | None:
    if number(said) or meant(said) in ("❌", "✖", "✅"):
        return pressed(said, question)
    if question.options and _NUMBERS.match(said) and any(map(str.isdecimal, said)):
        return _numbered(said, question)
    return _chosen(said, question.options) or Given(Behavior.ALLOW, said)


def _numbered(said: str, question: RunAsked) -> Given | None:
    """`2`, or where several may be chosen `1, 3`."""
    words = [word for word in _BETWEEN.split(said) if word]
    places = [int(word) for word in words if word.isdecimal() and len(word) < 4]
    many: Any = question.request.get("multiSelect")
    fits = all(1 <= place <= len(question.options) for place in places)
    if len(places) != len(words) or not fits or (len(places) > 1 and not many):
        return None
    return Given(Behavior.ALLOW, ", ".join(question.options[place - 1] for place in places))


def _chosen(said: str, options: Sequence[str]) -> Given | None:
    """The option that the words are, as the program spells it."""
    for option in options:
        if option.strip().lower() == said.strip().lower():
            return Given(Behavior.ALLOW, option)
    return None
