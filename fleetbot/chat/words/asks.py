"""Questions and permission requests as rooms see them, while they wait and once they are decided.

Pure; times are epoch milliseconds. The first line is what a locked telephone shows.
"""

from __future__ import annotations

from fleetbot.chat.words import request
from fleetbot.chat.words.emoji import NO, NUMBERS, YES
from fleetbot.chat.words.notices import NOBODY
from fleetbot.chat.words.post import About, File, Post
from fleetbot.chat.words.rich import (
    HEAVIEST,
    Part,
    Rich,
    bold,
    bullets,
    code,
    one_line,
    quote,
    rows,
    say,
    weight,
)
from fleetbot.chat.words.wording import clock, named
from fleetbot.domain.events import RunAsked
from fleetbot.domain.model import AskKind, Behavior
from fleetbot.domain.wording import person, span
from fleetbot.services.talks import Asked
from fleetbot.store.records import PostKind

ALWAYS = "♾️"
_HEADLINE = 80
_HEAVIEST_REQUEST = HEAVIEST * 3 // 4  # the rest is for what stands around it
_DECIDED = {Behavior.ALLOW: YES, Behavior.DENY: NO, Behavior.ALWAYS: ALWAYS}


def is_whole(asked: Asked) -> bool:
    """Whether all of the request can be shown in one message: only then it can be granted."""
    question = asked.question
    fits = weight(_requested(question)) <= _HEAVIEST_REQUEST
    return fits and not question.cut and request.says_what(question.request)


def waiting(asked: Asked, now: int, who: Rich = NOBODY) -> Post:
    """`who` may answer it, and is mentioned."""
    whole = is_whole(asked)
    body = rows(
        _headline(asked),
        say("For ", named(asked.task), _attempt(asked)),
        *_what(asked, whole=whole),
        _extent(asked, whole=whole),
        _deadline(asked, now),
        say("🙋 ", who, *_how(asked, whole=whole)),
    )
    return Post(body, True, about(asked), _buttons(asked, whole=whole), _files(asked, whole=whole))


def about(asked: Asked) -> About:
    return About(PostKind.ASK, f"{asked.run.id}/{asked.ask.id}")


def decided(asked: Asked) -> Post:
    """What came of it stands first, then what was asked."""
    whole = is_whole(asked)
    outcome = outcome_of(asked) or "⌛ The run is over; nobody waits for the answer."
    return Post(
        rows(
            outcome,
            quote(asked.answer.text) if asked.answer and asked.answer.text else None,
            _headline(asked),
            say("For ", named(asked.task), _attempt(asked)),
            *_what(asked, whole=whole),
        ),
        urgent=True,
        about=about(asked),
    )


def outcome_of(asked: Asked) -> Rich | None:
    """`✅ Allowed by ann, 14:02:11 UTC.`; None while nobody has answered."""
    answer = asked.answer
    if answer is None:
        return None
    when = say(f", {clock(asked.answered_at)}.")
    if answer.withdrawn:
        return say("↩️ ", bold("It no longer asks"), when)
    if answer.expired:
        return say("⏰ ", bold("Nobody answered in time: no"), when)
    words = {Behavior.ALLOW: "Allowed", Behavior.DENY: "Denied", Behavior.ALWAYS: "Always allowed"}
    if asked.question.kind is AskKind.QUESTION and answer.behavior is Behavior.ALLOW:
        words[Behavior.ALLOW] = "Answered"
    if answer.behavior is Behavior.ALWAYS:
        when = say(f" in this run, {clock(asked.answered_at)}.")
    emoji, said = _DECIDED[answer.behavior], words[answer.behavior]
    return say(f"{emoji} ", bold(f"{said} by {person(asked.answered_by)}"), when)


def too_late(asked: Asked) -> Rich:
    """What somebody is told who comes after the first, or after the run."""
    first = outcome_of(asked)
    if first is None:
        return say("⌛ The run of ", named(asked.task), " is over; nobody waits for the answer.")
    return rows(say("It is decided already: ", first), "What was decided first counts.")


def unclear(asked: Asked) -> Rich:
    """What somebody is asked whose words are no answer; nothing has happened."""
    question = asked.question
    if question.kind is AskKind.QUESTION:
        last = len(question.options)
        return say(f"🤔 Which one? Say a number from 1 to {last}, or answer in words.")
    lasting = say(", ", code("always")) if question.always else ""
    return rows(
        say("🤔 Is that a yes or a no? Nothing is allowed yet, and no condition would be kept."),
        say("Say ", code("yes"), lasting, ", or ", code("no"), " and what to do instead."),
    )


def _headline(asked: Asked) -> Rich:
    asks = one_line(asked.question.title, _HEADLINE)
    if asked.question.kind is AskKind.QUESTION:
        return say("❓ ", bold(asked.run.agent), " asks: ", asks)
    return say("🔐 ", bold(asked.run.agent), " asks permission: ", asks)


def _attempt(asked: Asked) -> str:
    return f", attempt {asked.run.attempt}" if asked.run.attempt > 1 else ""


def _what(asked: Asked, *, whole: bool) -> list[Part]:
    question = asked.question
    if question.kind is AskKind.QUESTION:
        is_long = len(question.title) > _HEADLINE
        return [*([quote(question.title)] if is_long else []), bullets(_options(question))]
    if whole:
        return [_requested(question)]
    begins = one_line(question.title, 300)
    return [
        quote(begins),
        say("⚠️ ", bold("It cannot be shown whole here, so it can only be denied.")),
    ]


def _options(question: RunAsked) -> list[Part]:
    """Those to choose from, with what the program says of each."""
    told = question.request.get("options")
    more = [o.get("description") if isinstance(o, dict) else "" for o in told or ()]
    more += [""] * len(question.options)
    return [
        say(f"{_number(place)} ", option, f": {one_line(str(its), 200)}" if its else "")
        for place, (option, its) in enumerate(zip(question.options, more, strict=False), 1)
    ]


def _number(place: int) -> str:
    return NUMBERS[place - 1] if place <= len(NUMBERS) else f"{place}."


def _requested(question: RunAsked) -> Rich:
    return request.shown(_pieces(question))


def _extent(asked: Asked, *, whole: bool) -> str | None:
    if not whole or asked.question.kind is AskKind.QUESTION:
        return None
    extent = request.extent(_pieces(asked.question))
    return f"↕️ {extent}." if extent else None


def _pieces(question: RunAsked) -> list[request.Part]:
    return request.parts(question.request) or [request.Part("", question.title)]


def _deadline(asked: Asked, now: int) -> Rich:
    at = asked.question.expires_at
    left = span(max(0, at - now))
    if asked.question.kind is AskKind.QUESTION:
        then = "it goes on without an answer"
    else:
        then = "that is a no"
    return say(f"⏰ If nobody answers by {clock(at)} (in {left}), {then}.")


def _how(asked: Asked, *, whole: bool) -> list[Part]:
    """What one may write or press."""
    form = f"!fleet answer {asked.task.ref}"
    if asked.question.kind is AskKind.QUESTION:
        number = " a number or" if asked.question.options else ""
        return [f"Reply with{number} your words, or {NO} for none: ", code(f"{form} <words>")]
    if not whole:
        return [f"{NO} deny, or ", code(f"{form} no <why>")]
    parts: list[Part] = [f"{YES} allow, {NO} deny"]
    forms = "yes|no <why>"
    if asked.question.always:
        parts.append(say(f", {ALWAYS} allow from now on, in this run: ", code(_lasting(asked))))
        forms = "yes|no <why>|always"
    return [*parts, ". Or reply in words: ", code(f"{form} {forms}")]


def _lasting(asked: Asked) -> str:
    return request.visible(asked.question.always)


def _buttons(asked: Asked, *, whole: bool) -> tuple[str, ...]:
    question = asked.question
    if question.kind is AskKind.QUESTION:
        few = len(question.options) <= len(NUMBERS) and not question.request.get("multiSelect")
        return (*(NUMBERS[: len(question.options)] if few else ()), NO)
    if not whole:
        return (NO,)
    return (YES, NO, ALWAYS) if question.always else (YES, NO)


def _files(asked: Asked, *, whole: bool) -> tuple[File, ...]:
    """What does not fit into a message, as far as we have it."""
    if whole or asked.question.kind is AskKind.QUESTION:
        return ()
    return (File("request.txt", request.as_file(request.parts(asked.question.request))),)
