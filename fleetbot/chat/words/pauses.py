"""Pauses by people, and what else they wish of agents, in words: pure. Times are epoch ms."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from fleetbot.chat.words.rich import Part, Rich, bold, bullets, code, one_line, rows, say
from fleetbot.chat.words.wording import ago, left_out, named
from fleetbot.domain.effects import AgentNotice, FleetNotice, NoticeKind, RepoNotice
from fleetbot.domain.model import Pause, Task
from fleetbot.domain.wording import person

Wished = AgentNotice | FleetNotice | RepoNotice
_SHOWN = 5
GOES_ON = "What is at work goes on."
_WISHES: Mapping[NoticeKind, tuple[str, str, str]] = {
    NoticeKind.FLEET_FROZEN: ("⏸️", "is paused", f"Nothing new is given out. {GOES_ON}"),
    NoticeKind.FLEET_THAWED: ("▶️", "goes on", ""),
    NoticeKind.REPO_FROZEN: ("⏸️", "is paused", f"Nothing new of it is given out. {GOES_ON}"),
    NoticeKind.REPO_THAWED: ("▶️", "goes on", ""),
    NoticeKind.AGENT_DRAINED: ("💤", "takes nothing new", GOES_ON),
    NoticeKind.AGENT_RESUMED: ("▶️", "takes tasks again", ""),
    NoticeKind.AGENT_REVOKED: (
        "🔑",
        "has lost its token",
        "Nobody speaks for it any more; what it was at goes back to the queue.",
    ),
}
_UNDONE = {
    NoticeKind.FLEET_FROZEN: "resume",
    NoticeKind.REPO_FROZEN: "resume",
    NoticeKind.AGENT_DRAINED: "resume",
    NoticeKind.AGENT_REVOKED: "enrol",
}


def is_wished(effect: Wished) -> bool:
    """Whether it is what a person wanted, rather than what has happened."""
    return effect.notice in _WISHES


def wished(effect: Wished) -> Rich:
    """What another room hears."""
    emoji, does, says = _WISHES[effect.notice]
    match effect:
        case AgentNotice(agent=name) | RepoNotice(repo=name):
            whom = name
        case _:
            whom = ""
    headline = say(
        f"{emoji} ", bold(whom or "The fleet", f" {does}"), f", says {person(effect.by)}"
    )
    return rows(headline, says, undo(effect.notice, whom))


def undo(notice: NoticeKind, whom: str) -> Rich | None:
    """`Go on: !fleet resume team/app`."""
    if notice not in _UNDONE:
        return None
    before = "Anew: " if notice is NoticeKind.AGENT_REVOKED else "Go on: "
    return say(before, code(f"!fleet {_UNDONE[notice]} {whom}".rstrip()))


# what is answered


def paused(whom: str, pause: Pause, changed: bool, at_work: Sequence[Part], now: int) -> Rich:
    """`whom`: a repository; empty for the fleet."""
    name, notice = whom or "The fleet", NoticeKind.REPO_FROZEN if whom else NoticeKind.FLEET_FROZEN
    since = "" if changed else f" already, by {person(pause.by)}, {ago(pause.since, now)}"
    return rows(
        say("⏸️ ", bold(name), f" is paused{since}. Nothing new is given out."),
        *working(at_work),
        undo(notice, whom),
    )


def not_paused(whom: str, changed: bool, *besides: Part | None) -> Rich:
    name = bold(whom or "The fleet")
    return rows(say("▶️ ", name, " goes on." if changed else " is not paused."), *besides)


def drained(agent: str, changed: bool, at_work: Sequence[Part]) -> Rich:
    already = "" if changed else " already"
    idle = "It is at nothing: it can be switched off."
    return rows(
        say("💤 ", bold(agent), f" takes nothing new{already}."),
        *(working(at_work) if at_work else [idle]),
        undo(NoticeKind.AGENT_DRAINED, agent),
    )


def resumed(agent: str, changed: bool, *besides: Part | None) -> Rich:
    does = " takes tasks again." if changed else " is not paused."
    return rows(say("▶️ ", bold(agent), does), *besides)


def revoked(agent: str, changed: bool, back: Sequence[Part]) -> Rich:
    """`back`: the tasks that it was at."""
    if not changed:
        return rows(
            say("🔑 ", bold(agent), " has lost its token already."),
            undo(NoticeKind.AGENT_REVOKED, agent),
        )
    return rows(
        say("🔑 ", bold(agent), " has lost its token. Nobody speaks for it any more."),
        "It was at nothing." if not back else "What it was at goes back to the queue:",
        bullets(back[:_SHOWN]),
        left_out(len(back) - _SHOWN, "task"),
        say(
            "A runner with a token of ",
            code("auth.enrolment_tokens"),
            " has it back within seconds: to keep it out, take that one away, too.",
        ),
        undo(NoticeKind.AGENT_REVOKED, agent),
    )


def working(at_work: Sequence[Part]) -> Iterator[Part | None]:
    """What goes on: few of them by name."""
    if at_work:
        yield "It goes on with:" if len(at_work) == 1 else "These go on:"
        yield bullets(at_work[:_SHOWN])
        yield left_out(len(at_work) - _SHOWN, "task")
    else:
        yield "Nothing is at work."


def at_work(task: Task, agent: str) -> Rich:
    return say(named(task), ", with ", bold(agent))


def unknown_target(word: str, near: Sequence[str]) -> str:
    hint = f"did you mean {' or '.join(near)}?" if near else "`!fleet agents` tells what there is."
    return f"There is no agent or repository {one_line(word, 60)}; {hint}"
