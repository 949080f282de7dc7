"""What a person says, as a command: pure, and patient with how people type."""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import dropwhile
from typing import Any

from fleetbot.chat.commands.other_words import OTHER_WORDS
from fleetbot.chat.commands.spec import Command, Help
from fleetbot.chat.commands.table import (
    COMMANDS,
    GROUP,
    ISSUE_FORMS,
    TYPES,
    Kind,
    Parameter,
    Usage,
)
from fleetbot.domain.model import OPEN_STATES, REPO, AgentName, Priority, TaskState


@dataclass(frozen=True, slots=True)
class Misspelt:
    """Meant for us, and not a command; `nearest` is what was probably meant, `rest` what follows
    the word."""

    word: str
    nearest: str | None
    rest: str = ""


@dataclass(frozen=True, slots=True)
class Misused:
    """A command with too little or too much after it."""

    command: str
    problem: str


Parsed = Command | Misspelt | Misused

_PREFIX = re.compile(r"(?:[!\uff01]|[/\uff0f]{1,2}) ?fleet(?:[:,]?\s+|\Z)", re.IGNORECASE)
_ALONE = re.compile(
    rf"[/\uff0f]{{1,2}}({'|'.join(name for name, its in COMMANDS.items() if its.alone)})(?:\s+|\Z)",
    re.IGNORECASE,
)
_BLANKS = re.compile(r"[^\S\n]+")
_UNSEEN = re.compile(r"[\u00ad\u061c\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff]+")
_NAMED_LINK = re.compile(
    r"\[[^\[\]]{0,250}\]\(<?(https?://[^\s()\[\]<>]+)>?(?: [^()]*)?\)", re.IGNORECASE
)
_QUOTES = "\"'`<>\u00ab\u00bb\u2018\u2019\u201a\u201c\u201d\u201e\u2039\u203a"
# What phones make of a hyphen, and the marks that make a sign a picture.
_AS_TYPED = {**dict.fromkeys(range(0x2010, 0x2016), "-"), 0x2212: "-", 0xFE0F: "", 0x20E3: ""}
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
_LONGEST = 2 * max(map(len, COMMANDS))  # no slip of the fingers is longer
_AFTER = ("after", "behind")
_ISSUE = Parameter("issue", Kind.ISSUE, "issue")
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
    word, _, after = without_name(first).partition(" ")
    word = as_typed(word)
    if not word:
        return Help()
    if "#" in word or "://" in word:
        return _command("task", said)
    return _command(word.lower().rstrip(".,:;!?") or "help", f"{after}\n{rest}".rstrip("\n"))


def place_in_queue(said: str) -> str | None:
    """The issue of `after #7`; "" for `now`, None for what is neither."""
    word, _, rest = said.strip().partition(" ")
    word, issue = as_typed(word).strip(_QUOTES).lower(), without_name(rest)
    if word == "now" and not issue:
        return ""
    bare = as_typed(issue).rstrip(".,;!?").strip(_QUOTES)
    known = word in _AFTER and " " not in bare and _looks_like(Kind.ISSUE, bare)
    return str(_value(_ISSUE, bare)) if known else None


def without_name(line: str) -> str:
    """A link that the line begins with is one word: what stands for it may be several."""
    line = line.strip()
    named = _NAMED_LINK.match(line)
    return named[1] + line[named.end() :] if named else line


def as_typed(word: str) -> str:
    """Without what phones, keyboards and other scripts make of a word."""
    return unicodedata.normalize("NFKC", word).translate(_AS_TYPED)


def calls_by_name(body: str) -> bool:
    """Whether it says `!fleet` or `/fleet`, so that no other bot can be meant."""
    return _PREFIX.match(own_words(body)) is not None


def own_words(body: str) -> str:
    """What the person wrote: clients put the lines that are answered before it, with `> `.

    The first line is made plain; what follows may be the text of an issue, and stays as it is.
    """
    every = (line.rstrip() for line in _UNSEEN.sub("", body).splitlines())
    lines = list(dropwhile(lambda line: not line or line.lstrip().startswith(">"), every))
    if lines:
        lines[0] = _BLANKS.sub(" ", lines[0]).strip()
    return "\n".join(lines).rstrip()


def nearest(word: str, cutoff: float = 0.55) -> str | None:
    """The command that was probably meant; `cutoff`: how like it the word is at least, up to 1."""
    if word in OTHER_WORDS:
        return OTHER_WORDS[word]
    if len(word) > _LONGEST:
        return None
    same_letters = [name for name in COMMANDS if sorted(name) == sorted(word)]
    close = same_letters or difflib.get_close_matches(word, COMMANDS, n=1, cutoff=cutoff)
    return close[0] if close else None


# from words to a command


def _command(name: str, said: str) -> Parsed:
    usage = COMMANDS.get(name)
    if usage is None:
        return Misspelt(name, nearest(name), said.partition("\n")[0])
    try:
        return _made(name, _bound(usage, said))
    except _Wrong as wrong:
        return Misused(name, str(wrong))


def structured(name: str, arguments: Mapping[str, object]) -> Parsed:
    """The command that a client has put together itself (MSC4391)."""
    name = name.strip().lower().removeprefix(f"{GROUP} ")
    usage = COMMANDS.get(name)
    if usage is None:
        return Misspelt(name, nearest(name))
    try:
        values = _given(usage, arguments)
        _complete(usage, values)
        return _made(name, values)
    except _Wrong as wrong:
        return Misused(name, str(wrong))


def _given(usage: Usage, arguments: Mapping[str, object]) -> dict[str, Any]:
    """Clients fill in what was left out with nothing, in one way or another."""
    known = {p.name: p for p in usage.parameters}
    values: dict[str, Any] = {}
    for key, value in arguments.items():
        if value is None or value == "" or value == []:
            continue
        several = value if isinstance(value, list) else [value]
        if key not in known or not all(type(one) in (str, int) for one in several):
            raise _Wrong(f"I do not know what to do with {key!r}.")
        made = [_value(known[key], str(one).strip()) for one in several]
        if known[key].kind is Kind.STATE:
            made = [frozenset[TaskState]().union(*made)]
        if len(made) > 1:
            raise _Wrong(f"One {known[key].shown}, please.")
        values[key] = made[0]
    return values


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
        rest = _take_leading(others, said, values, is_text_needed=text.needed)
        if rest:
            values[text.name] = rest
    else:
        _take_all(usage.parameters, _words(said.partition("\n")[0]), values)
    _complete(usage, values)
    return values


def _take_leading(
    parameters: list[Parameter], said: str, values: dict[str, Any], *, is_text_needed: bool
) -> str:
    """Before a text, only what looks like the thing counts; the rest of it is the text."""
    for parameter in parameters:
        first, _, rest = said.partition("\n")
        word, _, after = without_name(first).partition(" ")
        bare = as_typed(word).strip(_QUOTES)
        if is_text_needed and bare.isdecimal() and not f"{after}{rest}".strip():
            break  # `answer 2`, in reply to a question: the text has to be something
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
        raise _Wrong(_surplus(parameters, left[0], values))


def _surplus(parameters: tuple[Parameter, ...], word: str, values: Mapping[str, Any]) -> str:
    if any(p.kind is Kind.PRIORITY and p.name not in values for p in parameters):
        return f"There is no priority {word!r}: it is low, normal, high or urgent."
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
            raise _Wrong(parameter.question or f"Which {parameter.shown}?")


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
    """Without quotation marks; `repo #12` is one word, and so is a link with its name."""
    words = [as_typed(word).strip(_QUOTES) for word in _NAMED_LINK.sub(r"\1", text).split()]
    joined: list[str] = []
    for word in filter(None, words):
        if word.startswith("#") and joined and _may_be_repo(joined[-1]):
            joined[-1] += word
        else:
            joined.append(word)
    return joined


def _may_be_repo(word: str) -> bool:
    return REPO.match(word) is not None
