"""What a person says, as a command: pure, and patient with how people type."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fleetbot.chat.commands.spec import (
    COMMANDS,
    ISSUE_FORMS,
    TYPES,
    Command,
    Help,
    Kind,
    Parameter,
    Usage,
)
from fleetbot.domain.model import OPEN_STATES, REPO, AgentName, Priority, TaskState


@dataclass(frozen=True, slots=True)
class Misspelt:
    """Meant for us, and not a command; `nearest` is what was probably meant."""

    word: str
    nearest: str | None


@dataclass(frozen=True, slots=True)
class Misused:
    """A command with too little or too much after it."""

    command: str
    problem: str


Parsed = Command | Misspelt | Misused

_PREFIX = re.compile(r"(?:!|//?) ?fleet(?:[:,]?\s+|\Z)", re.IGNORECASE)
_ALONE = re.compile(
    rf"/({'|'.join(name for name, usage in COMMANDS.items() if usage.alone)})(?:\s+|\Z)",
    re.IGNORECASE,
)
_BLANKS = re.compile(r"[^\S\n]+")
_UNSEEN = re.compile(r"[\u00ad\u061c\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff]+")
_QUOTES = "\"'`<>\u00ab\u00bb\u2018\u2019\u201c\u201d"
STATE_NAMES: Mapping[str, frozenset[TaskState]] = {
    **{state.value: frozenset({state}) for state in TaskState},
    "open": OPEN_STATES,
    "all": frozenset(TaskState),
    "waiting": frozenset({TaskState.CREATED}),
    "queued": frozenset({TaskState.CREATED}),
    "doing": frozenset({TaskState.ASSIGNED, TaskState.RUNNING}),
    "lost": frozenset({TaskState.AGENT_LOST}),
    "done": frozenset({TaskState.COMPLETED}),
    "canceled": frozenset({TaskState.CANCELLED}),
}
PRIORITY_NAMES: Mapping[str, Priority] = {p.name.lower(): p for p in Priority}
_FILLERS = ("to", "for", "is")


def parse(body: str, *, called: bool = False) -> Parsed | None:
    """The command in a message's body, or None if it is not for us.

    `called`: it speaks to us by name, and what follows the name is `body`.
    """
    text = own_words(body)
    if alone := _ALONE.match(text):
        return _command(alone[1].lower(), text[alone.end() :])
    prefix = _PREFIX.match(text)
    if prefix is None and not called:
        return None
    said = text[prefix.end() :] if prefix else text
    first, _, rest = said.partition("\n")
    word, _, after = first.strip().partition(" ")
    if not word:
        return Help()
    if "#" in word or "://" in word:
        return _command("task", said)
    return _command(word.lower().rstrip(".,:;!?") or "help", f"{after}\n{rest}".rstrip("\n"))


def calls_by_name(body: str) -> bool:
    """Whether it says `!fleet` or `/fleet`, so that no other bot can be meant."""
    return _PREFIX.match(own_words(body)) is not None


def own_words(body: str) -> str:
    """What the person wrote: clients put the lines that are answered before it, with `> `."""
    seen = _UNSEEN.sub("", body).strip()
    lines = [_BLANKS.sub(" ", line).strip() for line in seen.splitlines()]
    while lines and (lines[0].startswith(">") or not lines[0]):
        lines.pop(0)
    return "\n".join(lines)


def nearest(word: str) -> str | None:
    """The command that was probably meant."""
    close = difflib.get_close_matches(word, COMMANDS, n=1, cutoff=0.55)
    return close[0] if close else None


# from words to a command


def _command(name: str, said: str) -> Parsed:
    usage = COMMANDS.get(name)
    if usage is None:
        return Misspelt(name, nearest(name))
    try:
        return _made(name, _bound(usage, said))
    except _Wrong as wrong:
        return Misused(name, str(wrong))


def structured(name: str, arguments: Mapping[str, object]) -> Parsed:
    """The command that a client has put together itself (MSC4391)."""
    usage = COMMANDS.get(name)
    if usage is None:
        return Misspelt(name, nearest(name))
    try:
        given = {p.name: p for p in usage.parameters}
        values: dict[str, Any] = {}
        for key, value in arguments.items():
            if key not in given or not isinstance(value, str | int) or isinstance(value, bool):
                raise _Wrong(f"I do not know what to do with {key!r}.")
            if str(value).strip():
                values[key] = _value(given[key], str(value).strip())
        _complete(usage, values)
        return _made(name, values)
    except _Wrong as wrong:
        return Misused(name, str(wrong))


class _Wrong(Exception):
    pass


def _made(name: str, values: Mapping[str, Any]) -> Command:
    command: Command = TYPES[name](**values)
    return command


def _bound(usage: Usage, said: str) -> dict[str, Any]:
    """Words by what they are: an issue, a state or a priority is known by its looks, wherever it
    stands; others by their order. Only a text goes beyond the first line."""
    values: dict[str, Any] = {}
    text = next((p for p in usage.parameters if p.kind is Kind.TEXT), None)
    if text:
        others = [p for p in usage.parameters if p is not text]
        rest = _take_leading(others, said, values)
        if rest:
            values[text.name] = rest
    else:
        _take_all(usage.parameters, _words(said.partition("\n")[0]), values)
    _complete(usage, values)
    return values


def _take_leading(parameters: list[Parameter], said: str, values: dict[str, Any]) -> str:
    """Before a text, only what looks like the thing counts; the rest of it is the text."""
    for parameter in parameters:
        first, _, rest = said.partition("\n")
        word, _, after = first.strip().partition(" ")
        bare = word.strip(_QUOTES)
        if _looks_like(parameter.kind, bare):
            values[parameter.name] = _value(parameter, bare)
            said = f"{after}\n{rest}"
    return said.strip()


def _take_all(parameters: tuple[Parameter, ...], words: list[str], values: dict[str, Any]) -> None:
    left = [word for word in words if word.lower() not in _FILLERS] if len(words) > 1 else words
    by_looks = [p for p in parameters if p.kind in _KNOWN_BY_LOOKS]
    for parameter in by_looks:
        many = parameter.kind is Kind.STATE
        for word in list(left):
            if _looks_like(parameter.kind, word) and (many or parameter.name not in values):
                value = _value(parameter, word)
                values[parameter.name] = (
                    values.get(parameter.name, frozenset()) | value if many else value
                )
                left.remove(word)
    for parameter in parameters:
        if parameter.kind not in _KNOWN_BY_LOOKS and left:
            values[parameter.name] = _value(parameter, left.pop(0))
    if left:
        raise _Wrong(_surplus(parameters, left[0]))


def _surplus(parameters: tuple[Parameter, ...], word: str) -> str:
    if not parameters:
        return "It takes nothing more."
    if any(p.kind is Kind.ISSUE for p in parameters) and _looks_like(Kind.ISSUE, word):
        return "One issue, please."
    if any(p.kind is Kind.ISSUE for p in parameters):
        return f"I do not know what to do with {word!r}. An issue is {ISSUE_FORMS}."
    return f"I do not know what to do with {word!r}."


def _complete(usage: Usage, values: Mapping[str, Any]) -> None:
    """What is missing is asked for; an issue may be the one that the message replies to."""
    for parameter in usage.parameters:
        if parameter.needed and parameter.kind is not Kind.ISSUE and parameter.name not in values:
            raise _Wrong(f"Which {parameter.shown}?")


_KNOWN_BY_LOOKS = (Kind.ISSUE, Kind.STATE, Kind.PRIORITY, Kind.REPO)


def _looks_like(kind: Kind, word: str) -> bool:
    match kind:
        case Kind.ISSUE:
            return "#" in word or "://" in word or word.rstrip(".,;!?").isdecimal()
        case Kind.STATE:
            return word.lower() in STATE_NAMES
        case Kind.PRIORITY:
            return word.lower() in PRIORITY_NAMES
        case Kind.REPO:
            return "/" in word and REPO.match(word) is not None
        case _:
            return bool(word)


def _value(parameter: Parameter, word: str) -> Any:
    match parameter.kind:
        case Kind.ISSUE:
            word = word.rstrip(".,;!?")
            return f"#{word}" if word.isdecimal() else word
        case Kind.AGENT:
            return AgentName(word.lstrip("@").lower())
        case Kind.STATE:
            if word.lower() not in STATE_NAMES:
                raise _Wrong(f"{word!r} is no state: {', '.join(STATE_NAMES)}.")
            return STATE_NAMES[word.lower()]
        case Kind.PRIORITY:
            if word.lower() not in PRIORITY_NAMES:
                raise _Wrong(f"{word!r} is no priority: {', '.join(PRIORITY_NAMES)}.")
            return PRIORITY_NAMES[word.lower()]
        case Kind.WORD if parameter.name == "topic":
            return word.lower().lstrip("!/")
        case _:
            return word


def _words(text: str) -> list[str]:
    """Without quotation marks; `repo #12` is one word."""
    words = [word.strip(_QUOTES) for word in text.split()]
    joined: list[str] = []
    for word in filter(None, words):
        if word.startswith("#") and joined and _may_be_repo(joined[-1]):
            joined[-1] += word
        else:
            joined.append(word)
    return joined


def _may_be_repo(word: str) -> bool:
    return REPO.match(word) is not None
