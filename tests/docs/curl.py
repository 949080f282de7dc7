"""What a `curl` command of the documentation asks for: as much of curl as the pages use."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

_FORM = "application/x-www-form-urlencoded"  # what curl says of `-d`, unless told otherwise
_SILENT = {"-s", "-N", "-f", "-fsS"}


@dataclass
class Request:
    method: str = ""
    url: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    data: bytes | None = None


def read(command: str, variables: Mapping[str, str], files: Mapping[str, str]) -> Request:
    """`files`: what `@name` stands for. Raises ValueError for what curl, or this, does not know."""
    name, *words = shlex.split(_expanded(command, variables), comments=True)
    if name != "curl":
        raise ValueError(f"{name} is not curl")
    asked, rest = Request(), iter(words)
    for word in rest:
        _take(asked, word, rest, files)
    if asked.data is not None:
        asked.headers.setdefault("Content-Type", _FORM)
    asked.method = asked.method or ("GET" if asked.data is None else "POST")
    return asked


def _take(asked: Request, word: str, rest: Iterator[str], files: Mapping[str, str]) -> None:
    match word:
        case "-X":
            asked.method = next(rest)
        case "-H":
            _header(asked, _content(next(rest), files))
        case "-d" | "--data-binary":
            asked.data = _content(next(rest), files).encode()
        case "--max-time":
            float(next(rest))
        case _ if word.startswith("-"):
            if word not in _SILENT:
                raise ValueError(f"{word}: not known here")
        case _:
            if asked.url:
                raise ValueError(f"{word}: a second address")
            asked.url = word


def _header(asked: Request, line: str) -> None:
    name, mark, value = line.partition(": ")
    if not mark:
        raise ValueError(f"{line!r} is no header")
    asked.headers[name] = value.strip()


def _content(word: str, files: Mapping[str, str]) -> str:
    return files[word[1:]] if word.startswith("@") else word


def _expanded(command: str, variables: Mapping[str, str]) -> str:
    """With `$NAME` as a shell puts it in: everywhere but within single quotes."""
    pieces = command.replace("\\\n", " ").split("'")
    pieces[::2] = [
        re.sub(r"\$(\w+)", lambda found: variables[found[1]], piece) for piece in pieces[::2]
    ]
    return "'".join(pieces)
