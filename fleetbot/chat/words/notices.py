"""What a room is told of a task, as messages that begin with the outcome: pure.

The first 110 characters are what a locked telephone shows.
"""

from __future__ import annotations

from fleetbot.chat.words.post import About, Post
from fleetbot.chat.words.rich import (
    Part,
    Rich,
    bold,
    code,
    italic,
    link,
    one_line,
    prose,
    quote,
    rows,
    say,
)
from fleetbot.chat.words.wording import dated, duration, pull_link
from fleetbot.domain.effects import NoticeKind, TaskName, TaskNotice
from fleetbot.domain.model import same_name
from fleetbot.domain.reasons import REASONS, ReasonCode
from fleetbot.domain.standing import owed_to, replied
from fleetbot.domain.wording import count, span
from fleetbot.store.records import PostKind

_SHORT = 50  # characters of a title, so that what follows it is still seen
NOBODY = say()
SAME_MS = 30 * 60_000  # so long the same cause is counted, and not told anew


def task_notice(
    effect: TaskNotice, who: Rich = NOBODY, *, urgent: bool = True, log: str | None = None
) -> Post:
    """`who` must act, and is mentioned; not `urgent`: nobody's telephone rings. `log`: the address
    at which the run's log begins."""
    about = About(PostKind.NOTICE, effect.task.id)
    match effect.notice:
        case NoticeKind.COMPLETED:
            return Post(_completed(effect), urgent, about)
        case NoticeKind.ASKED:
            return Post(_asked(effect, who), urgent, about)
        case NoticeKind.NOT_LANDED:
            return Post(_not_landed(effect, who), urgent, about)
        case NoticeKind.TASK_HELD:
            return Post(_held(effect, who), urgent, about)
        case NoticeKind.OVERLAPS if effect.run is None:
            return Post(_overlaps(effect, who), urgent, about)
        case NoticeKind.OVERLAPS | NoticeKind.QUEUED_BEHIND:
            return Post(_overlaps(effect, NOBODY), False, about)
        case NoticeKind.MERGED:
            return Post(_merged(effect), False, about)
        case NoticeKind.PULL_CLOSED:
            return Post(_closed(effect), urgent, about)
        case NoticeKind.PULL_ASKED:
            return Post(_pull_asked(effect, who), urgent, about)
        case _:
            return Post(_failed(effect, who, log), urgent, about)


def to_do(who: Rich, *says: Part) -> Rich:
    """What is to be done, by whom if that is known; empty where it is neither."""
    does = say(*says)
    if not who.text:
        return say("🙋 ", does) if does.text else does
    return say("🙋 ", who, ": ", does) if does.text else say("🙋 ", who)


def again(said: Rich, times: int, first: int, last: int) -> Rich:
    """The same has happened `times` times, from `first` to `last` (epoch ms)."""
    if times <= 1:
        return said
    counted = f"{count(times, 'time')} in {span(last - first)}, last on {dated(last)}."
    return rows(said, say("🔂 ", counted))


def _headline(outcome: str, task: TaskName, *further: Part) -> Rich:
    title = one_line(task.title, _SHORT)
    return say(f"{outcome} ", bold(link(task.ref, task.url)), " ", title, *further)


def _completed(effect: TaskNotice) -> Rich:
    by: Part | None = None
    if run := effect.run:
        took = duration(run)
        by = say("By ", bold(run.agent), f" in {took}" if took else "", ".")
    outcome = "✅ Answered:" if effect.round else "✅ Done:"
    return rows(
        _headline(outcome, effect.task, _pull(effect)),
        _round(effect) if effect.round else None,
        by,
        quote(effect.summary, 300, 4),
    )


def _pull(effect: TaskNotice) -> Part:
    number = effect.pull_request
    return say(" · ", pull_link(effect.task, number)) if number else ""


def _round(effect: TaskNotice) -> str:
    """`Round 2, for review and CI; threads: 2 fixed, 1 disagreed.`"""
    answers = replied(effect.answers)
    threads = f"; threads: {answers}" if answers else ""
    return f"Round {effect.round}, for {owed_to(effect.kinds)}{threads}."


def _merged(effect: TaskNotice) -> Rich:
    wish = effect.wanted_by if not same_name(effect.wanted_by, effect.by) else ""
    told = (bold(one_line(effect.by, 60)), f", for {one_line(wish, 60)}" if wish else "", ".")
    by = say("By ", *told) if effect.by else None
    return rows(_headline("🎉 Merged:", effect.task, _pull(effect)), by)


def _closed(effect: TaskNotice) -> Rich:
    return rows(
        _headline("🚪 Closed without being merged:", effect.task, _pull(effect)),
        say("Reopen it on Forgejo, and it goes on. ", *_anew(effect.task)),
    )


def _anew(task: TaskName) -> tuple[Part, ...]:
    return ("To have it done anew: ", code(f"!fleet retry {task.ref}"), ".")


def _pull_asked(effect: TaskNotice, who: Rich) -> Rich:
    again, land = code(f"!fleet again {effect.task.ref} …"), code(f"!fleet land {effect.task.ref}")
    return rows(
        _headline("🤔 How does it go on?", effect.task, _pull(effect)),
        prose(effect.detail),
        to_do(who, "say what to do, ", again, ", or ", land, ", or close it on Forgejo."),
    )


def _asked(effect: TaskNotice, who: Rich) -> Rich:
    agent = effect.run.agent if effect.run else "The agent"
    asks = one_line(effect.detail, _SHORT)
    return rows(
        say("❓ ", bold(agent), " asks: ", asks),
        say("For ", bold(link(effect.task.ref, effect.task.url)), " ", one_line(effect.task.title)),
        quote(effect.detail) if asks != effect.detail else None,
        to_do(who, "It waits for an answer."),
    )


def _held(effect: TaskNotice, who: Rich) -> Rich:
    helps = advice(effect.reason) if effect.reason else ""
    return rows(
        _headline("⏸️ Cannot start:", effect.task),
        quote(effect.detail, limit=500),
        to_do(who, italic(prose(helps))),
    )


def _overlaps(effect: TaskNotice, who: Rich) -> Rich:
    """With what can be done: a task that has begun is not interrupted."""
    task, other = effect.task, effect.other or effect.task
    number, unnamed = count(effect.count, "file"), effect.count - len(effect.files)
    named = ", ".join(effect.files) + (f" and {unnamed} more" if unnamed else "")
    after, now = f"!fleet queue {task.ref} after {other.ref}", f"!fleet queue {task.ref} now"
    if effect.notice is NoticeKind.QUEUED_BEHIND:
        helps = say("It waits until that is merged or closed. Sooner: ", code(now), ".")
    elif effect.run is None:
        helps = to_do(who, "To have it wait until that is merged or closed: ", code(after), ".")
    else:
        helps = say("Both have begun: whichever is merged second will have to merge the other.")
    return rows(
        _headline("🔀 Same files:", task),
        say(number, " that ", bold(link(other.ref, other.url)), " changes too."),
        quote(named, limit=500),
        helps,
    )


def _not_landed(effect: TaskNotice, who: Rich) -> Rich:
    return rows(
        _headline("🛬 Not merged:", effect.task),
        prose(effect.detail),
        to_do(who, code(f"!fleet land {effect.task.ref}"), " tries it again."),
    )


def _failed(effect: TaskNotice, who: Rich, log: str | None) -> Rich:
    lost = effect.notice is NoticeKind.AGENT_LOST
    by: Part = ""
    if run := effect.run:
        by = say(bold(run.agent), f", attempt {run.attempt}: ")
    its_log: Part = say(" · 🧵 ", link("log", log)) if log else ""
    helps = advice(effect.reason) if effect.reason else ""
    return rows(
        _headline("📡 Lost with its agent:" if lost else "❌ Failed:", effect.task),
        say(by, reason_text(effect.reason) or "it failed", its_log or "."),
        quote(effect.detail, limit=500),
        italic(prose(helps)) if helps else None,
        say("Its run: ", code(effect.run.id)) if effect.run and _is_a_bug(effect) else None,
        to_do(who, code(f"!fleet retry {effect.task.ref}"), " tries it again."),
    )


def _is_a_bug(effect: TaskNotice) -> bool:
    return effect.reason is ReasonCode.RUNNER_FAILED


def reason_text(reason: ReasonCode | None) -> str:
    return REASONS[reason].text if reason else ""


def advice(reason: ReasonCode) -> str:
    """What a person can do; empty where there is nothing to do."""
    says = REASONS[reason].advice
    return "" if says.startswith("Nothing") else one_line(says, 200)
