"""Troubles of agents, repositories and the fleet, told together: one message for all of a kind.

Pure. Each kind has its words for one, for several, and for those whose trouble is over.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import groupby

import msgspec

from fleetbot.chat.words.notices import NOBODY, advice, again, reason_text, to_do
from fleetbot.chat.words.post import Post
from fleetbot.chat.words.rich import (
    Part,
    Rich,
    bold,
    bullets,
    code,
    italic,
    prose,
    quote,
    rows,
    say,
)
from fleetbot.chat.words.wording import dated
from fleetbot.domain.reasons import ReasonCode
from fleetbot.domain.wording import count, span

_NAMED = 5
_LANDING = "docs/howto/landing.md"


class Trouble(msgspec.Struct, frozen=True, omit_defaults=True):
    """Of an agent, a repository or, with an empty name, of the fleet.

    It began at `since` and is over since `over` (epoch ms; 0 while it lasts), or is at `until` at
    the latest; `ends`: its end will be told. It came `times` times, first at `first`. `number`:
    how many runs, messages or changes.
    """

    name: str
    since: int
    first: int = 0
    over: int = 0
    until: int = 0
    ends: bool = True
    times: int = 1
    number: int = 0
    reason: ReasonCode | None = None
    detail: str = ""


Words = Callable[[Trouble], Rich]
_Kind = tuple[Words, Words]  # of one that lasts, and of one that is over


def told(kind: str, troubles: Sequence[Trouble], who: Rich = NOBODY) -> Post:
    """All troubles of a kind in one message; `who` must act, and is mentioned."""
    lasting = [each for each in troubles if not each.over]
    over = [each for each in troubles if each.over]
    one, ended = _KINDS[kind]
    if len(troubles) == 1:
        (its,) = troubles
        body = again(ended(its) if its.over else one(its), its.times, its.first, its.since)
    elif len(lasting) == 1:
        body = rows(one(lasting[0]), _ended(over))
    elif lasting:
        body = rows(_several(kind, lasting), _ended(over))
    else:
        body = say("🟢 All over: ", _names(over))
    if who.text and lasting:
        body = rows(body, to_do(who))
    return Post(body, urgent=bool(lasting) and _is_urgent(kind, lasting))


def _several(kind: str, troubles: Sequence[Trouble]) -> Rich:
    """Those with the same reason stand together."""
    emoji, noun, what, helps = _TOGETHER[kind]
    headline = say(f"{emoji} ", bold(f"{len(troubles)} {noun}"), f" {what}")
    if not any(its.reason for its in troubles):
        return rows(say(headline, ": ", _names(troubles)), helps)
    ordered = sorted(troubles, key=lambda its: its.reason or "")
    reasons = groupby(ordered, key=lambda its: its.reason)
    return rows(headline, bullets(_of_reason(reason, list(its)) for reason, its in reasons), helps)


def _of_reason(reason: ReasonCode | None, troubles: Sequence[Trouble]) -> Rich:
    helps = advice(reason) if reason else ""
    ends = max(its.until for its in troubles)
    return rows(
        say(_names(troubles), f": {reason_text(reason)}"),
        f"Until {dated(ends)} at the latest." if ends else None,
        italic(prose(helps)) if helps else None,
    )


def _names(troubles: Iterable[Trouble]) -> Rich:
    names = [its.name for its in troubles]
    parts: list[Part] = [bold(names[0])]
    for name in names[1:_NAMED]:
        parts += [", ", bold(name)]
    if len(names) > _NAMED:
        parts.append(f" and {len(names) - _NAMED} more")
    return say(*parts)


def _ended(troubles: Sequence[Trouble]) -> Rich | None:
    return say("🟢 Over: ", _names(troubles)) if troubles else None


def _is_urgent(kind: str, troubles: Sequence[Trouble]) -> bool:
    """Whether anybody can do something; a provider and a limit come back by themselves."""
    if kind == "resting":
        return any(
            its.reason and its.reason is not ReasonCode.USAGE_LIMIT and advice(its.reason)
            for its in troubles
        )
    return kind != "renamed"


def _lasted(its: Trouble) -> str:
    return f"after {span(its.over - its.since)}"


def _particulars(its: Trouble) -> tuple[Part | None, ...]:
    helps = advice(its.reason) if its.reason else ""
    return quote(its.detail, limit=500), italic(prose(helps)) if helps else None


# agents


def _offline(its: Trouble) -> Rich:
    says = "What it was doing goes back to the queue. Look at its runner."
    return rows(say("🔌 ", bold(its.name), " is offline"), says)


def _online(its: Trouble) -> Rich:
    return say("🟢 ", bold(its.name), f" is back online, {_lasted(its)}")


def _unwell(its: Trouble) -> Rich:
    says = "It takes nothing until its check passes; no task pays for it."
    headline = say("🤒 ", bold(its.name), f" is unwell: {reason_text(its.reason)}")
    return rows(headline, *_particulars(its), says)


def _well(its: Trouble) -> Rich:
    return say("🟢 ", bold(its.name), f" is well again, {_lasted(its)}")


def _resting(its: Trouble) -> Rich:
    ends = dated(its.until)
    if its.reason in (None, ReasonCode.USAGE_LIMIT) and its.number <= 1:
        headline = say("💤 ", bold(its.name), " has reached its usage limit")
        return rows(headline, f"It takes tasks again from {ends} on.")
    in_a_row = f", {count(its.number, 'time')} in a row" if its.number > 1 else ""
    headline = say("💤 ", bold(its.name), f" rests: {reason_text(its.reason)}{in_a_row}")
    says = f"It is tried again from {ends} on, then after longer pauses. No attempt is counted."
    return rows(headline, *_particulars(its), says)


# repositories


def _held(its: Trouble) -> Rich:
    headline = say("⏸️ ", bold(its.name), ": its tasks wait, since ", reason_text(its.reason))
    return rows(headline, *_particulars(its))


def _released(its: Trouble) -> Rich:
    return say("▶️ ", bold(its.name), f": its tasks go on, {_lasted(its)}")


def _unprotected(its: Trouble) -> Rich:
    headline = say("🔓 ", bold(its.name), ": the fleet could change its branch by itself")
    return rows(headline, prose(its.detail), say("Why that matters: ", code(_LANDING)))


def _protected(its: Trouble) -> Rich:
    return say("🔒 ", bold(its.name), f": its branch is protected from the fleet, {_lasted(its)}")


def _renamed(its: Trouble) -> Rich:
    says = "Its tasks and rooms follow; the settings may name it either way."
    return rows(say("🚚 ", bold(its.detail), " is now ", bold(its.name)), says)


# the fleet


def _rests(its: Trouble) -> Rich:
    helps = advice(its.reason) if its.reason else ""
    return rows(
        say("🌙 ", bold("The fleet rests"), ": ", reason_text(its.reason)),
        f"Spent today: {its.detail}." if its.detail else None,
        f"It goes on {dated(its.until)}." if its.until else None,
        italic(prose(helps)) if helps else None,
    )


def _goes_on(its: Trouble) -> Rich:
    return say("▶️ ", bold("The fleet goes on"), f", {_lasted(its)}")


def _forge_away(its: Trouble) -> Rich:
    headline = say("🔌 ", bold("Forgejo cannot be used"), f", since {dated(its.since)}")
    return rows(headline, quote(its.detail, limit=500))


def _forge_back(its: Trouble) -> Rich:
    says = "; what waited goes on"
    return say("🔌 ", bold("Forgejo can be used again"), f", {_lasted(its)}{says}")


def _webhooks_silent(its: Trouble) -> Rich:
    wrong = " What comes has a wrong signature." if its.detail else ""
    return rows(
        say("🪝 ", bold("Forgejo's webhooks do not arrive")),
        f"{count(its.number, 'change')} found only by looking, which is minutes later.{wrong}"
        " Nothing is lost.",
        say("Of which repositories: ", code("!fleet status")),
        say("What to do: ", code("docs/howto/connect-forgejo.md")),
    )


def _webhooks_back(its: Trouble) -> Rich:
    return say("🪝 ", bold("Forgejo's webhooks arrive again"), f", {_lasted(its)}")


def _given_up(its: Trouble) -> Rich:
    what = count(its.number, "message")
    return rows(
        say("📪 ", bold(f"{what} to Forgejo or a room could not be delivered")),
        say("Nothing of it is lost: ", code("!fleet doctor"), " shows it and sends it again."),
    )


_KINDS: Mapping[str, _Kind] = {
    "offline": (_offline, _online),
    "unwell": (_unwell, _well),
    "resting": (_resting, _well),
    "held": (_held, _released),
    "unprotected": (_unprotected, _protected),
    "renamed": (_renamed, _renamed),
    "pause": (_rests, _goes_on),
    "forge": (_forge_away, _forge_back),
    "webhooks": (_webhooks_silent, _webhooks_back),
    "given_up": (_given_up, _given_up),
}
# Emoji, what they are, what is the matter, and what of it.
_TOGETHER: Mapping[str, tuple[str, str, str, str]] = {
    "offline": (
        "🔌",
        "agents",
        "are offline",
        "What they were doing goes back to the queue. Look at their runners.",
    ),
    "unwell": ("🤒", "agents", "are unwell", "They take nothing until their checks pass."),
    "resting": ("💤", "agents", "rest", "No attempt is counted."),
    "held": ("⏸️", "repositories", "are held", "Their tasks go on by themselves then."),
    "unprotected": (
        "🔓",
        "repositories",
        "have branches that the fleet could change by itself",
        f"What to do: `{_LANDING}`, and `!fleet doctor`.",
    ),
    "renamed": ("🚚", "repositories", "have new names", "Their tasks and rooms follow."),
}
