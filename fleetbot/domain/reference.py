"""An issue or a pull request as people name it: `#12`, `repo#12`, `owner/repo#12`, or a link."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple
from urllib.parse import SplitResult, urlsplit

from fleetbot.domain.errors import Invalid
from fleetbot.domain.wording import shorten

_NUMBER = re.compile(r"(?P<repo>[A-Za-z0-9_./-]*)#(?P<number>[1-9]\d{0,9})\Z", re.ASCII)
_PATH = re.compile(
    r"/(?P<repo>[\w.-]+/[\w.-]+)/(?:issues|pulls)/(?P<number>[1-9]\d{0,9})(?:/.*)?\Z", re.ASCII
)
_MARKDOWN = re.compile(r"\[[^\]]*\]\(<?(?P<link>[^\s)>]+)>?(?: [^)]*)?\)\Z")
_PORTS = {"http": 80, "https": 443}


class Reference(NamedTuple):
    """`repo` as it was written: `owner/repo`, `repo`, or empty. Issues and pull requests of a
    repository are numbered together."""

    repo: str
    number: int


def read(text: str, homes: Iterable[str]) -> Reference:
    """`homes`: the addresses of the forge. Raises Invalid with what is understood instead."""
    text = text.strip().strip("<>")
    if markdown := _MARKDOWN.match(text):
        text = markdown["link"]
    match = _in_link(text, homes) if "://" in text else _NUMBER.match(text)
    if match is None:
        named = shorten(text, 100)
        raise _invalid(f"{named!r} is not an issue: write #12, repo#12, owner/repo#12 or its link.")
    return Reference(match["repo"], int(match["number"]))


def _in_link(link: str, homes: Iterable[str]) -> re.Match[str] | None:
    try:
        said = urlsplit(link)
        whence = _address(said)
    except ValueError:  # no port has such a number
        return None
    places = [urlsplit(home) for home in homes]
    ours = [place for place in places if _address(place) == whence]
    if not ours:
        raise _invalid(
            f"That link leads to {said.hostname}, and the fleet works on {places[0].hostname}."
        )
    for place in ours:
        base = place.path.rstrip("/")
        if said.path.startswith(f"{base}/") and (found := _PATH.match(said.path[len(base) :])):
            return found
    return None


def _address(url: SplitResult) -> tuple[str | None, int | None]:
    """Host and port; a server's usual one for either scheme is the same."""
    return url.hostname, None if url.port == _PORTS.get(url.scheme) else url.port


def _invalid(says: str) -> Invalid:
    return Invalid(says, field="issue")
