"""What a program asks leave for, exactly as it would do it: pure.

Nothing is left out but the names that programs have for themselves, and nothing looks like less
than it is: characters that are not seen are written out.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from fleetbot.chat.words.rich import Rich, code, preformatted, rows, say
from fleetbot.domain.wording import count

_SHORT = 80
# Blanks that Unicode has as letters, and marks that change nothing one could see.
_UNSEEN = frozenset(
    (
        *"\u115f\u1160\u2800\u3164\uffa0\u034f\u17b4\u17b5\u180b\u180c\u180d\u180f",
        *map(chr, range(0xFE00, 0xFE10)),
        *map(chr, range(0xE0100, 0xE01F0)),
    )
)
_SEEN = frozenset(" \n\t")
_STRETCH = re.compile(r"[ \t]{40,}|\t{20,}|\n(?:[ \t]*\n){19,}")
_TALL, _WIDE = 12, 120  # lines and letters beyond which clients have one scroll
_SHELL = "Bash"  # the tool whose command is what it says
_OF_ITSELF = frozenset(
    {
        "approvalId",
        "availableDecisions",
        "commandActions",  # of the command, which is shown
        "environmentId",
        "itemId",
        "proposedExecpolicyAmendment",
        "startedAtMs",
        "threadId",
        "turnId",
    }
)


class Part(NamedTuple):
    """A piece of a request; `label` says what it is, and is empty where that is plain."""

    label: str
    text: str


def parts(request: Mapping[str, Any]) -> list[Part]:
    """The pieces of a program's request that say what it would do."""
    given = request.get("input")
    if "tool_name" in request and isinstance(given, dict):
        name = _text(request["tool_name"])
        is_shell = name == _SHELL and "command" in given
        return [*([] if is_shell else [Part("tool", name)]), *_pieces(given)]
    if "threadId" in request:
        return list(_pieces({k: v for k, v in request.items() if k not in _OF_ITSELF}))
    return list(_pieces(request))


def says_what(request: Mapping[str, Any]) -> bool:
    """Whether it says what would be done: Codex has the edits of a patch elsewhere, and they may
    not be known."""
    return "threadId" not in request or bool(request.get("command") or request.get("changes"))


def _pieces(fields: Mapping[str, Any]) -> Iterator[Part]:
    """What is run comes first."""
    if "command" in fields:
        yield Part("", _text(fields["command"]))
    for name, value in fields.items():
        match name, value:
            case ("command", _) | (_, None):
                continue
            case ("changes", list()) if all(isinstance(change, dict) for change in value):
                yield from map(_change, value)
            case ("new_string", _) if "old_string" in fields:
                yield Part("change", _difference(_text(fields["old_string"]), _text(value)))
            case ("old_string", _) if "new_string" in fields:
                continue
            case _:
                yield Part(name, _text(value))


def _change(change: Mapping[str, Any]) -> Part:
    """An edit of one file: its diff, and whatever else is said of it."""
    match change:
        case {"path": str(path), "diff": str(diff), "kind": {"type": str(kind), **more}, **rest}:
            others = {name: value for name, value in (*more.items(), *rest.items()) if value}
            return Part(" ".join([kind, path, *([_text(others)] if others else [])]), diff)
        case _:
            return Part("change", _text(change))


def _difference(old: str, new: str) -> str:
    marked = [f"-{line}" for line in old.split("\n")] + [f"+{line}" for line in new.split("\n")]
    return "\n".join(marked)


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def shown(pieces: Iterable[Part]) -> Rich:
    """The pieces for people; they look like what they are."""
    return rows(*map(_shown, pieces))


def _shown(part: Part) -> Rich:
    text, label = visible(part.text), visible(part.label)
    if not label or "\n" in text or len(text) > _SHORT:
        return rows(f"{label}:" if label else None, preformatted(text))
    return say(f"{label}: ", code(text))


def extent(pieces: Iterable[Part]) -> str:
    """How far the longest piece reaches where clients do not show it at once, so that nobody takes
    its beginning for all of it; empty where they do."""
    texts = [visible(part.text).split("\n") for part in pieces]
    tall = max(map(len, texts), default=0)
    wide = max((len(line) for lines in texts for line in lines), default=0)
    if tall <= _TALL and wide <= _WIDE:
        return ""
    return f"{count(tall, 'line')}, the longest of {count(wide, 'letter')}: scroll to see all of it"


def as_file(pieces: Iterable[Part]) -> bytes:
    """The same as a file of text."""
    told = (f"{part.label}:\n{part.text}" if part.label else part.text for part in pieces)
    return "\n\n".join(map(visible, told)).encode("utf-8", "backslashreplace")


def visible(text: str) -> str:
    """The text with what cannot be seen written out: `\\u202e`, and how long a stretch of blanks is
    that would push the rest out of sight."""
    seen = "".join(_spelt(c) if _is_hidden(c) else c for c in text)
    return _STRETCH.sub(_counted, seen)


def _counted(stretch: re.Match[str]) -> str:
    """`[60 blanks]`; what stands in between of another kind is counted with it."""
    each = ((" ", "blanks"), ("\t", "tabs"), ("\n", "line breaks"))
    told = (f"{n} {name}" for blank, name in each if (n := stretch[0].count(blank)))
    return f"[{', '.join(told)}]"


def _is_hidden(c: str) -> bool:
    if c in _SEEN:
        return False
    return c in _UNSEEN or unicodedata.category(c)[0] in "CZ"


def _spelt(c: str) -> str:
    return c.encode("unicode_escape").decode("ascii")
