"""The fleet's notices as messages: pure."""

from __future__ import annotations

from fleetbot.chat.words import pauses
from fleetbot.chat.words.post import Post
from fleetbot.chat.words.rich import (
    Part,
    Rich,
    bold,
    code,
    italic,
    one_line,
    prose,
    quote,
    rows,
    say,
)
from fleetbot.chat.words.wording import EMOJI, duration, named, pull_link, until
from fleetbot.domain.effects import (
    AgentNotice,
    FleetNotice,
    NoticeKind,
    RepoNotice,
    TaskName,
    TaskNotice,
    Telling,
)
from fleetbot.domain.model import Task, TaskState
from fleetbot.domain.reasons import REASONS, ReasonCode
from fleetbot.domain.wording import count, span
from fleetbot.services.comments import usage_text


def notice(effect: Telling, now: int) -> Post:
    """What a room is told; `now` in epoch milliseconds."""
    if not isinstance(effect, TaskNotice) and pauses.is_wished(effect):
        return Post(pauses.wished(effect))
    if isinstance(effect, AgentNotice):
        return _agent_notice(effect, now)
    if isinstance(effect, FleetNotice):
        return _fleet_notice(effect, now)
    if isinstance(effect, RepoNotice):
        return _repo_notice(effect)
    match effect.notice:
        case NoticeKind.TASK_HELD:
            return Post(_held(effect), urgent=True)
        case NoticeKind.ASSIGNED:
            return Post(_assigned(effect))
        case NoticeKind.COMPLETED:
            return Post(_completed(effect), urgent=True)
        case NoticeKind.REFUTED:
            return Post(_refuted(effect))
        case NoticeKind.ASKED:
            return Post(_asked(effect), urgent=True)
        case NoticeKind.CANCELLED:
            return Post(_cancelled(effect))
        case _:
            return Post(_went_wrong(effect, now), urgent=_needs_person(effect))


def _needs_person(effect: TaskNotice) -> bool:
    return effect.notice is NoticeKind.FAILED or effect.retry_at is None


def _headline(emoji: str, task: TaskName) -> Rich:
    return say(f"{emoji} ", named(task))


def _assigned(effect: TaskNotice) -> Rich:
    task, run = effect.task, effect.run
    details: Part | None = None
    if run:
        attempt = f", attempt {run.attempt}" if run.attempt > 1 else ""
        details = say("goes to ", bold(run.agent), attempt)
    return rows(_headline(EMOJI[TaskState.ASSIGNED], task), details)


def _completed(effect: TaskNotice) -> Rich:
    parts: list[Part] = ["done"]
    if run := effect.run:
        took = duration(run)
        parts = ["done by ", bold(run.agent), f" in {took}" if took else ""]
    if effect.pull_request:
        parts += [" · ", pull_link(effect.task, effect.pull_request)]
    headline = _headline(EMOJI[TaskState.COMPLETED], effect.task)
    return rows(headline, say(*parts), quote(effect.summary))


def _refuted(effect: TaskNotice) -> Rich:
    agent = effect.run.agent if effect.run else "The agent"
    pull: Part = ""
    if effect.pull_request:
        pull = say(" (", pull_link(effect.task, effect.pull_request), ")")
    return rows(
        _headline("🔎", effect.task),
        say("Forgejo does not bear out the receipt of ", bold(agent), pull, ":"),
        quote(effect.detail),
        "It knows the reasons and may mend it.",
    )


def _asked(effect: TaskNotice) -> Rich:
    agent = effect.run.agent if effect.run else "The agent"
    says = say("🙋 ", bold(agent), " asks, and waits for an answer:")
    return rows(_headline("❓", effect.task), says, quote(effect.detail))


def _held(effect: TaskNotice) -> Rich:
    return rows(
        _headline("⏸️", effect.task),
        say("It waits: ", reason_text(effect.reason), "."),
        quote(effect.detail, limit=500),
        italic(prose(advice(effect.reason))) if effect.reason else None,
    )


def _cancelled(effect: TaskNotice) -> Rich:
    why = reason_text(effect.reason) or "cancelled"
    stopped = say("; ", bold(effect.run.agent), " is told to stop") if effect.run else ""
    return rows(_headline(EMOJI[TaskState.CANCELLED], effect.task), say(why, stopped))


def _went_wrong(effect: TaskNotice, now: int) -> Rich:
    lost = effect.notice is NoticeKind.AGENT_LOST
    who: Part = ""
    if run := effect.run:
        who = say(bold(run.agent), f", attempt {run.attempt}: ")
    return rows(
        _headline(EMOJI[TaskState.AGENT_LOST if lost else TaskState.FAILED], effect.task),
        say(who, reason_text(effect.reason) or "it failed"),
        quote(effect.detail, limit=500),
        italic(prose(advice(effect.reason))) if effect.reason else None,
        say("Its run: ", code(effect.run.id)) if effect.run and _is_a_bug(effect) else None,
        what_next(effect.task, effect.retry_at, now),
    )


def _is_a_bug(effect: TaskNotice) -> bool:
    return effect.reason is ReasonCode.RUNNER_FAILED


def what_next(task: Task | TaskName, retry_at: int | None, now: int) -> Rich:
    """When it is tried again by itself, or what a person writes to have it tried."""
    if retry_at is None:
        return say("🙋 To try again: ", code(f"!fleet retry {task.ref}"))
    return say(f"🔁 It is tried again {until(retry_at, now)}.")


def _agent_notice(effect: AgentNotice, now: int) -> Post:
    name = bold(effect.agent)
    match effect.notice:
        case NoticeKind.AGENT_OFFLINE:
            says = "What it was doing goes back to the queue. Look at its runner."
            return Post(rows(say("🔌 ", name, " is offline"), says), urgent=True)
        case NoticeKind.AGENT_UNWELL:
            return _unwell(effect)
        case NoticeKind.AGENT_PARKED:
            return _parked(effect, now)
        case NoticeKind.AGENT_WELL:
            does = " works again" if effect.proven else " is well again and takes tasks"
            return Post(say("🟢 ", name, does))
        case _:
            return Post(say("🟢 ", name, " is back online"))


def _unwell(effect: AgentNotice) -> Post:
    says = "It takes nothing until its check passes; its task goes back to the queue uncounted."
    because = reason_text(effect.reason)
    headline = say("🤒 ", bold(effect.agent), f" is unwell: {because}")
    return Post(rows(headline, *_particulars(effect), says), urgent=True)


def _parked(effect: AgentNotice, now: int) -> Post:
    name, again = bold(effect.agent), until(effect.until or now, now)
    if effect.reason in (None, ReasonCode.USAGE_LIMIT) and effect.faults <= 1:
        says = f"It takes tasks again {again}."
        return Post(rows(say("💤 ", name, " has reached its usage limit"), says))
    because = reason_text(effect.reason)
    times = f", {count(effect.faults, 'time')} in a row" if effect.faults > 1 else ""
    says = f"It is tried again {again}, and each time after a longer pause. No attempt is counted."
    headline = say("💤 ", name, f" rests: {because}{times}")
    return Post(rows(headline, *_particulars(effect), says), urgent=_is_for_a_person(effect))


def _particulars(effect: AgentNotice) -> tuple[Part | None, Part | None]:
    quoted = quote(effect.detail, limit=500) if effect.detail else None
    return quoted, italic(prose(advice(effect.reason))) if effect.reason else None


def _is_for_a_person(effect: AgentNotice) -> bool:
    """Whether anybody can do something about it; a provider and a forge come back by themselves."""
    return effect.reason is not None and bool(advice(effect.reason))


def _fleet_notice(effect: FleetNotice, now: int) -> Post:
    match effect.notice:
        case NoticeKind.GIVEN_UP:
            return _given_up(effect)
        case NoticeKind.FORGE_AWAY:
            return _forge_away(effect, now)
        case NoticeKind.FORGE_BACK:
            return Post(say("🔌 ", bold("Forgejo can be used again"), "; what waited goes on"))
        case NoticeKind.WEBHOOKS_SILENT:
            return _webhooks_silent(effect)
        case NoticeKind.WEBHOOKS_BACK:
            return Post(say("🪝 ", bold("Forgejo's webhooks arrive again")))
        case _:
            return _pause(effect, now)


def _pause(effect: FleetNotice, now: int) -> Post:
    if effect.notice is NoticeKind.FLEET_RESUMED or effect.reason is None:
        return Post(say("▶️ ", bold("The fleet goes on")))
    spent = usage_text(effect.spent)
    return Post(
        rows(
            say("🌙 ", bold("The fleet rests"), ": ", reason_text(effect.reason)),
            f"Spent today: {spent}." if spent else None,
            f"It goes on {until(effect.until or now, now)}.",
            italic(prose(advice(effect.reason))),
        ),
        urgent=True,
    )


def _given_up(effect: FleetNotice) -> Post:
    what = count(effect.letters, "message")
    headline = say("📪 ", bold(f"{what} to Forgejo or a room could not be delivered"))
    says = "Nothing of it is lost: an operator sees it with "
    again = " and sends it again with "
    return Post(
        rows(
            headline,
            say(says, code("GET /api/v1/outbox/dead"), again, code("POST …/dead/retry"), "."),
        ),
        urgent=True,
    )


def _forge_away(effect: FleetNotice, now: int) -> Post:
    headline = say("🔌 ", bold("Forgejo cannot be used"), f", for {span(now - effect.since)}")
    return Post(rows(headline, quote(effect.detail, limit=500)), urgent=True)


def _webhooks_silent(effect: FleetNotice) -> Post:
    changes = count(effect.missed, "change")
    wrong = " What comes has a wrong signature." if effect.detail else ""
    return Post(
        rows(
            say("🪝 ", bold("Forgejo's webhooks do not arrive")),
            f"{changes} found only by looking, which is minutes later.{wrong} Nothing is lost.",
            say("Of which repositories: ", code("!fleet status")),
            say("What to do: ", code("docs/howto/connect-forgejo.md")),
        ),
        urgent=True,
    )


def _repo_notice(effect: RepoNotice) -> Post:
    name = bold(effect.repo)
    match effect.notice:
        case NoticeKind.REPO_RENAMED:
            says = "Its tasks and rooms follow; the settings may name it either way."
            return Post(rows(say("🚚 ", bold(effect.was), " is now ", name), says))
        case NoticeKind.REPO_RELEASED:
            return Post(say("▶️ ", name, ": its tasks go on"))
        case _:
            return Post(
                rows(
                    say("⏸️ ", name, ": its tasks wait, since ", reason_text(effect.reason)),
                    quote(effect.detail, limit=500) if effect.detail else None,
                    italic(prose(advice(effect.reason))) if effect.reason else None,
                ),
                urgent=True,
            )


def reason_text(reason: ReasonCode | None) -> str:
    return REASONS[reason].text if reason else ""


def advice(reason: ReasonCode) -> str:
    """What a person can do; empty where there is nothing to do."""
    says = REASONS[reason].advice
    return "" if says.startswith("Nothing") else one_line(says, 200)
