"""What CI says of a commit, over all of its contexts. Pure.

Forgejo's words for a context are pending, success, failure, error and warning, and from v16 on
skipped; its API takes any other word too. A warning keeps a pull request from being merged where
contexts are required, so it is red here. A skipped job was `success` before v16; Forgejo passes it
over beside others, and so do we: it is neither red nor the green that is needed.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from enum import StrEnum
from fnmatch import fnmatchcase
from itertools import islice
from typing import NamedTuple

from fleetbot.domain.values import Value

OWN_CONTEXT = "fleetbot/receipt"  # what we say ourselves of a commit
_OURS = "fleetbot/"

PENDING = "pending"
_GREEN, _SKIPPED = "success", "skipped"
_RED = frozenset({"failure", "error", "warning"})
_KNOWN = _RED | {_GREEN, PENDING, _SKIPPED}
_EVENT = re.compile(r" \((?:push|pull_request|pull_request_target)\)\Z")
_BRACES = re.compile(r"(?<!\\)\{((?:[^{}\\]|\\.)*)\}")
_ESCAPED = re.compile(r"\\(.)")
_MOST_CHOICES = 1000  # of a pattern with braces: `{a,b}{a,b}…` is short, and means many
_URL = re.compile(r"https?://\S{1,500}\Z")
_MOST = 10

# Forgejo's own words, and those of systems to which a repository may be mirrored.
_SWITCHES_OFF = re.compile(
    r"\[(?:skip ci|ci skip|no ci|skip actions|actions skip)\]|^skip-checks:\s*true",
    re.IGNORECASE | re.MULTILINE,
)


class CiState(StrEnum):
    """`none`: the repository has no CI; `unread`: it could not be read, or says unknown words."""

    NONE = "none"
    PENDING = "pending"
    RED = "red"
    GREEN = "green"
    UNREAD = "unread"


class StatusFact(Value, frozen=True):
    """The newest status of a context, and its id. `creator` is a login; "" for Actions, and
    accounts gone."""

    context: str
    state: str
    creator: str = ""
    description: str = ""
    url: str = ""
    id: int = 0


class CiFacts(Value, frozen=True):
    """`statuses` are the head's. `required`: patterns of the base's branch protection; `on_base`:
    contexts that the base has. `has_workflows`: there are files that CI is run by. `bot`: our own
    login.
    """

    statuses: tuple[StatusFact, ...] = ()
    required: tuple[str, ...] = ()
    on_base: tuple[str, ...] = ()
    has_workflows: bool = False
    bot: str = ""


class CiRules(Value, frozen=True):
    """`required` and `optional` are patterns of contexts: what must be there, and what need not be
    although the base has it. `fleet`: the logins of the fleet's own accounts.
    """

    required: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    fleet: tuple[str, ...] = ()


class CiFinding(NamedTuple):
    """`says` are whole sentences: what fails, what is waited for, what was not understood."""

    state: CiState
    says: tuple[str, ...] = ()


def judge(ci: CiFacts, rules: CiRules, author: str) -> CiFinding:
    """A red context is certain, whatever the others may come to. The green of the pull request's
    `author` and of the fleet's own accounts is no evidence."""
    partial = frozenset(name.lower() for name in (*rules.fleet, ci.bot, author) if name)
    ours = [status for status in ci.statuses if _is_partial_green(status, partial)]
    counted = [x for x in ci.statuses if x.context != OWN_CONTEXT and x not in ours]
    if red := [status for status in counted if status.state in _RED]:
        return CiFinding(CiState.RED, tuple(map(_failing, red[:_MOST])))
    if strange := [status for status in counted if status.state not in _KNOWN]:
        return CiFinding(CiState.UNREAD, tuple(map(_not_understood, strange[:_MOST])))
    if waits := [*_running(counted), *_missing(ci, rules, counted)]:
        return CiFinding(CiState.PENDING, (*waits[:_MOST], *map(_own_word, ours[:_MOST])))
    if any(status.state == _GREEN for status in counted):
        return CiFinding(CiState.GREEN)
    if counted:
        return CiFinding(CiState.PENDING, ("CI has skipped every context of the commit.",))
    if ci.has_workflows or ci.on_base or _required(ci, rules):
        nothing = "CI has not reported on the commit yet."
        return CiFinding(CiState.PENDING, (nothing, *map(_own_word, ours[:_MOST])))
    return CiFinding(CiState.NONE)


def failing(ci: CiFacts) -> tuple[StatusFact, ...]:
    """The red contexts, ours apart."""
    return tuple(x for x in ci.statuses if x.state in _RED and x.context != OWN_CONTEXT)


def red_too(failing: Iterable[StatusFact], base: Iterable[StatusFact]) -> tuple[str, ...]:
    """Those contexts of `failing` that are red on the base as well, by their jobs."""
    jobs = {_job(status.context) for status in base if status.state in _RED}
    return tuple(status.context for status in failing if _job(status.context) in jobs)


def passed(context: str, before: Iterable[StatusFact]) -> bool:
    """Whether its job is green, and red nowhere, among the contexts of an earlier commit."""
    said = {status.state for status in before if _job(status.context) == _job(context)}
    return _GREEN in said and not said & _RED


def switches_off(text: str) -> str:
    """The words in a commit's message or a title that keep CI from looking at it; "" for none."""
    found = _SWITCHES_OFF.search(text)
    return found[0] if found else ""


def fits(context: str, pattern: str) -> bool:
    """Whether a pattern of Forgejo's branch protection fits: `*`, `?`, `[a-z]`, `{one,other}`, and
    what follows a backslash as it is."""
    choices = islice(_without_braces(pattern), _MOST_CHOICES)
    return any(fnmatchcase(context, _ESCAPED.sub(_literal, plain)) for plain in choices)


def _literal(escaped: re.Match[str]) -> str:
    return f"[{escaped[1]}]" if escaped[1] in "*?[" else escaped[1]


def _without_braces(pattern: str) -> Iterator[str]:
    found = _BRACES.search(pattern)
    if found is None:
        yield pattern
        return
    for choice in found[1].split(","):
        yield from _without_braces(pattern[: found.start()] + choice + pattern[found.end() :])


def _is_partial_green(status: StatusFact, partial: Collection[str]) -> bool:
    is_good = status.state in (_GREEN, _SKIPPED)
    return is_good and status.context != OWN_CONTEXT and status.creator.lower() in partial


def _running(counted: Iterable[StatusFact]) -> Iterator[str]:
    for status in counted:
        if status.state == PENDING:
            yield f"CI has not finished: {quoted(status.context)} is pending."


def _missing(ci: CiFacts, rules: CiRules, counted: Collection[StatusFact]) -> Iterator[str]:
    there = {status.context for status in counted}
    for pattern in _required(ci, rules):
        if not any(fits(context, pattern) for context in there):
            yield f"CI has not finished: {quoted(pattern)} is required and has not reported."
    jobs = set(map(_job, there))
    for context in ci.on_base:
        if _job(context) not in jobs and not any(fits(context, x) for x in rules.optional):
            yield (
                f"CI has not finished: {quoted(context)} looks at the base and has not reported on"
                " this commit. If it never does, name it in `verify.optional_contexts`."
            )


def _required(ci: CiFacts, rules: CiRules) -> tuple[str, ...]:
    """Our own context may be required as well: it is what this is about."""
    patterns = dict.fromkeys((*rules.required, *ci.required))
    return tuple(x for x in patterns if not (x.startswith(_OURS) and fits(OWN_CONTEXT, x)))


def _job(context: str) -> str:
    """Actions name the event too, and a pull request's is another than the base's."""
    return _EVENT.sub("", context)


def _failing(status: StatusFact) -> str:
    said = f": {_plain(status.description, 200)}" if status.description.strip() else ""
    link = f" ({status.url})" if _URL.match(status.url) else ""
    return f"CI: {quoted(status.context)} says {status.state}{said}{link}."


def _not_understood(status: StatusFact) -> str:
    said = quoted(status.state)
    return f"CI: {quoted(status.context)} says {said}, which is no state that fleetbot knows."


def _own_word(status: StatusFact) -> str:
    return f"{quoted(status.context)} was set by {status.creator}, whose own word does not count."


def quoted(text: str) -> str:
    """A name that somebody else chose, within a sentence of ours."""
    return f"`{_plain(text, 100).replace('`', chr(39))}`"


def _plain(text: str, most: int) -> str:
    words = " ".join(text.split()).rstrip(".")
    return words if len(words) <= most else words[: most - 1] + "…"
