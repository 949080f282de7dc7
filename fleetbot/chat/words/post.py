"""What is said in a room, whole: words, files, and what may be done about it by a reaction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from fleetbot.chat.words.rich import Rich
from fleetbot.domain.effects import ShowFate
from fleetbot.store.records import PostKind


class File(NamedTuple):
    """A file to show beside a message; `width` and `height` (pixels) make it a picture."""

    name: str
    data: bytes
    mimetype: str = "text/plain"
    width: int = 0
    height: int = 0


class About(NamedTuple):
    """What a message is about, so that a reply or a reaction to it is understood."""

    kind: PostKind
    subject: str


@dataclass(frozen=True, slots=True)
class Post:
    """A message; an `urgent` one makes a phone ring, others come in as notices.

    `buttons` are emoji that we put below it ourselves, for people to press. `files` follow it.
    `whole`: people say yes to it, so all of it is shown, with its files, or `instead` is said; what
    is said in its place takes no yes unless it is whole itself.
    """

    body: Rich
    urgent: bool = False
    about: About | None = None
    buttons: tuple[str, ...] = ()
    files: tuple[File, ...] = ()
    whole: bool = False
    instead: Post | None = None


@dataclass(frozen=True, slots=True)
class Nod:
    """An answer that is only a reaction below what was said. `fate`: what shows it later, as it is
    then, where it is that of words to a run."""

    emoji: str
    fate: ShowFate | None = None


Answer = Post | Nod
