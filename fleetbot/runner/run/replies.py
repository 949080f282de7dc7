"""What an agent answers to the threads of its round, by `fleetbot reply`.

It is a file in the run's own TMPDIR, one answer a line: any program can write it, in a sandbox and
without a network as well. The runner reads it when the program has ended, and believes nothing.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path

import msgspec

from fleetbot.client.encoding import encode
from fleetbot.domain.pulls import Answer, words_suffice
from fleetbot.runner.git import untrusted
from fleetbot.wire import ReplyClaim, RoundBrief

FILE = "FLEETBOT_REPLIES"
THREADS = "FLEETBOT_THREADS"
ROUND = "FLEETBOT_ROUND"
_NAME = "replies"
_MOST_BYTES = 4 * 2**20
_MOST_TEXT = 4000
_MOST_NAMED = 20
_COMMIT = re.compile(r"[0-9a-f]{7,64}")
_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class ReplyRefused(Exception):
    """What is wrong with an answer, and what to do about it."""


def variables(brief: RoundBrief, run: str, home: Path) -> dict[str, str]:
    """What a program in this round finds in its environment."""
    return {
        ROUND: str(brief.number),
        THREADS: " ".join(str(thread.id) for thread in brief.threads),
        FILE: str(home / _place(run)),
    }


def _place(run: str) -> str:
    """Below the agent's HOME; the folder is the run's TMPDIR."""
    return f"tmp/{run}/{_NAME}"


# the agent's side


def write(env: Mapping[str, str], thread: str, answer: str, text: str, commit: str = "") -> None:
    """Note an answer; of several to one thread the last one counts. Raises ReplyRefused."""
    if not (place := env.get(FILE)):
        raise ReplyRefused(f"no thread waits for an answer here: {FILE} is set in rounds only")
    claim = ReplyClaim(
        thread=_thread(thread, env.get(THREADS, "").split()),
        answer=_answer(answer),
        text=_text(text, answer),
        commit=_commit(commit),
    )
    try:
        _append(Path(place), encode(claim) + b"\n")
    except OSError as problem:
        raise ReplyRefused(f"{FILE}: {place} cannot be written: {problem.strerror}") from None


def _thread(thread: str, known: Collection[str]) -> int:
    if thread.removeprefix("#") in known:
        return int(thread.removeprefix("#"))
    some = ", ".join([*known][:_MOST_NAMED]) + (", …" if len(known) > _MOST_NAMED else "")
    named = f"they are {some}" if known else "it has none"
    raise ReplyRefused(f"thread: {thread[:40]!r} is no thread of this round; {named}")


def _answer(answer: str) -> Answer:
    try:
        return Answer(answer)
    except ValueError:
        raise ReplyRefused(f"answer: {answer[:40]!r} is none of {', '.join(Answer)}") from None


def _text(text: str, answer: str) -> str:
    text = "".join(sign for sign in text if sign.isprintable() or sign in "\n\t").strip()
    if len(text) > _MOST_TEXT:
        raise ReplyRefused(f"text: it has {len(text)} characters; at most {_MOST_TEXT} are read")
    if not text and answer != Answer.FIXED:
        raise ReplyRefused(f"text: say why; only {Answer.FIXED.value} may stand without words")
    return text


def _commit(commit: str) -> str:
    if commit and not _COMMIT.fullmatch(commit):
        raise ReplyRefused(f"commit: {commit[:80]!r} is no id of one (7 to 64 of 0-9 a-f)")
    return commit


def _append(place: Path, line: bytes) -> None:
    """Through no link and into no pipe; a line is there whole or not at all."""
    file = os.open(place, _FLAGS, 0o600)
    try:
        found = os.fstat(file)
        if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1:
            raise OSError(0, "it is not a file of its own")
        if found.st_size + len(line) > _MOST_BYTES:
            raise OSError(0, f"it has {_MOST_BYTES // 2**20} MB, which is all that is read")
        os.write(file, line)
    finally:
        os.close(file)


# the runner's side


def read(home: Path, run: str, brief: RoundBrief) -> tuple[ReplyClaim, ...]:
    """The last answer to each thread of the round; what else is in the file is no answer."""
    try:
        text = untrusted.read_text(home, _place(run), _MOST_BYTES)
    except OSError:
        return ()
    return last_words(_claims(text), brief)


def _claims(text: str) -> Iterator[ReplyClaim]:
    for line in text.split("\n"):
        try:
            yield msgspec.json.decode(line, type=ReplyClaim)
        except (msgspec.DecodeError, ValueError):
            continue


def last_words(claims: Iterable[ReplyClaim], brief: RoundBrief) -> tuple[ReplyClaim, ...]:
    """One for each thread that has any, in the order of the threads."""
    said = {claim.thread: claim for claim in claims}
    return tuple(said[thread.id] for thread in brief.threads if thread.id in said)


def unanswered(replies: Iterable[ReplyClaim], brief: RoundBrief) -> tuple[int, ...]:
    said = {claim.thread for claim in replies}
    return tuple(thread.id for thread in brief.threads if thread.id not in said)


def are_enough(replies: Iterable[ReplyClaim], brief: RoundBrief, summary: str) -> bool:
    """Whether words alone are an answer to this round, as the verifier will see it."""
    said = {claim.thread: claim.answer for claim in replies}
    return words_suffice(brief.kinds, (thread.id for thread in brief.threads), said, summary)
