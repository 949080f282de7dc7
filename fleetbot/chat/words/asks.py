"""Questions and permission requests as rooms see them, while they wait and once they are decided.

Pure; times are epoch milliseconds. The first line is what a locked telephone shows.
"""

from __future__ import annotations

from fleetbot.chat.words import request
from fleetbot.chat.words.emoji import NO, NUMBERS, YES
from fleetbot.chat.words.notices import NOBODY, to_do
from fleetbot.chat.words.post import About, File, Post
from fleetbot.chat.words.rich import (
    HEAVIEST,
    Part,
    Rich,
    bold,
    bullets,
    bullets_that_fit,
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
_FEW = 2_000  # bytes of what there is to choose from, where not all of it can be shown
_HEAVIEST_REQUEST = HEAVIEST * 3 // 4  # the rest is for what stands around it
_DECIDED = {Behavior.ALLOW: YES, Behavior.DENY: NO, Behavior.ALWAYS: ALWAYS}


def is_whole(asked: Asked) -> bool:
    """Whether all of the request can be shown in one message: only then it can be granted."""
    question = asked.question
    if question.cut or asked.ask.cut:
        return False
    if question.kind is AskKind.QUESTION:
        return True
    return _fits(question) and request.says_what(question.request)


def _fits(question: RunAsked) -> bool:
    around = weight(_lasting(question))
    return weight(_requested(question)) + around <= _HEAVIEST_REQUEST


def waiting(asked: Asked, now: int, who: Rich = NOBODY) -> Post:
    """`who` may answer it, and is mentioned."""
    whole = is_whole(asked)
    body = rows(
        _headline(asked),
        say("For ", named(asked.task), _attempt(asked)),
        *_what(asked, whole=whole),
        _extent(asked, whole=whole),
        _deadline(asked, now),
        to_do(who, *_how(asked, whole=whole)),
    )
    buttons, files = _buttons(asked, whole=whole), _files(asked, whole=whole)
    return Post(body, True, about(asked), buttons, files, whole)


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


def _what(asked: Asked, *, whole: bool) -> list[Part | None]:
    question = asked.question
    if question.kind is AskKind.QUESTION:
        is_long = len(question.title) > _HEADLINE
        options = _options(question)
        shown = bullets(options) if whole else bullets_that_fit(options, _FEW)[0]
        rest = None if whole else "📎 All of it, with all there is to choose from, is in the file."
        return [*([quote(question.title)] if is_long else []), shown, rest]
    if whole:
        return [_requested(question)]
    begins = one_line(question.title, 300)
    only_denied = bold("It cannot be shown whole here, so it can only be denied.")
    return [quote(begins), say("⚠️ ", only_denied, " ", _why_not_whole(asked))]


def _why_not_whole(asked: Asked) -> str:
    """And where the rest is."""
    question, agent = asked.question, asked.run.agent
    if question.cut:
        return f"It is longer than 16 KiB: the rest is only on the machine of {agent}."
    if not request.says_what(question.request):
        return f"What it would change is only on the machine of {agent}."
    who = "This homeserver takes" if _fits(question) else "A room takes"
    return f"{who} no message as long: all of it is in the file, and in GET /api/v1/asks."


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
        parts.append(say(f", {ALWAYS} allow from now on, in this run: ", _lasting(asked.question)))
        forms = "yes|no <why>|always"
    return [*parts, ". Or reply in words: ", code(f"{form} {forms}")]


def _lasting(question: RunAsked) -> Rich:
    return code(request.visible(question.always))


def _buttons(asked: Asked, *, whole: bool) -> tuple[str, ...]:
    question = asked.question
    if question.kind is AskKind.QUESTION:
        is_one = whole and not question.request.get("multiSelect")
        few = len(question.options) <= len(NUMBERS)
        return (*(NUMBERS[: len(question.options)] if is_one and few else ()), NO)
    if not whole:
        return (NO,)
    return (YES, NO, ALWAYS) if question.always else (YES, NO)


def _files(asked: Asked, *, whole: bool) -> tuple[File, ...]:
    """What does not fit into a message, as far as we have it."""
    if whole:
        return ()
    if asked.question.kind is AskKind.QUESTION:
        told = rows(asked.question.title, *_options(asked.question)).text
        return (File("question.txt", told.encode("utf-8", "backslashreplace")),)
    return (File("request.txt", request.as_file(request.parts(asked.question.request))),)
