"""Why a task is where it is: pure, from what the fleet knows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from fleetbot.chat.words.notices import advice, reason_text
from fleetbot.chat.words.proof import proof
from fleetbot.chat.words.rich import Part, Rich, bold, code, italic, prose, quote, rows, say
from fleetbot.chat.words.wording import moment, pull_link, until
from fleetbot.domain.blockers import remarks
from fleetbot.domain.model import Pause, Policy, Run, Task, TaskState
from fleetbot.domain.reasons import ReasonCode
from fleetbot.domain.standing import lines
from fleetbot.domain.state import FleetState
from fleetbot.domain.waiting import Waiting, waiting_in_turn
from fleetbot.domain.wording import count, person, span


class Explained(NamedTuple):
    """Why a task is where it is, the most telling first; and what would move it."""

    because: list[Part]
    moves: list[Part]


def why(state: FleetState, task: Task, now: int, policy: Policy) -> list[Part]:
    """Sentences, the most telling one first; `now` in epoch milliseconds."""
    its = explained(state, task, now, policy)
    return [*its.because, *its.moves]


def explained(state: FleetState, task: Task, now: int, policy: Policy) -> Explained:
    besides = [*map(prose, remarks(task)), *_pull(task)]
    if waits := waiting_in_turn(state, task, now, policy):
        *because, moves = told(waits, now)
        return Explained([*because, *besides], [moves])
    run = state.live_run(task)
    if task.state is TaskState.RUNNING and run:
        return Explained([*_running(state, run, now), *besides], [])
    if task.state is TaskState.COMPLETED:
        filed = state.receipts.get(task.receipt) if task.receipt else None
        return Explained([*_pull(task), *proof(task, filed, now)], [])
    return _ended(task, now)


def _pull(task: Task) -> list[Part]:
    """Where its pull request stands."""
    pull = task.pull
    if pull is None:
        return []
    link = pull_link(task, pull.number)
    return [say("🔎 ", link, ": ", prose(line)) for line in lines(pull)]


def told(its: Waiting, now: int) -> list[Part]:
    """A wait: why, what is known of it, since when, until when, and what would move it."""
    details = (quote(detail) for detail in its.details)
    return [prose(its.text), *details, _times(its, now), italic(prose(its.remedy))]


def _times(its: Waiting, now: int) -> str:
    """`For 5 min so far. The wait is over at the latest in 2 h, at 14:00 UTC.`"""
    so_far = (
        f"For {span(now - its.since)} so far." if now - its.since >= 1000 else "Since just now."
    )
    if not its.until:
        return so_far
    return f"{so_far} The wait is over at the latest {until(its.until, now)}."


def _running(state: FleetState, run: Run, now: int) -> list[Part]:
    started = moment(run.started_at, now)
    says: list[Part] = [say(bold(run.agent), " started ", started, " and is at it.")]
    if run.refutations:
        times = count(run.refutations, "time")
        says.append(f"What it handed in did not hold, {times}; it is mending it.")
        says += [quote(reason) for reason in state.tasks[run.task].refuted]
    return says


def _ended(task: Task, now: int) -> Explained:
    reason = reason_text(task.reason) or task.state.value
    says: list[Part] = [say("It ended ", moment(task.updated_at, now), f": {reason}.")]
    if task.detail:
        says.append(quote(task.detail))
    helps = advice(task.reason) if task.reason else ""
    again = say("To try again: ", code(f"!fleet retry {task.ref}"), ".")
    return Explained(says, [say(italic(prose(f"{helps} ")), again) if helps else again])


def paused(state: FleetState, hears: Callable[[str], bool], now: int) -> Iterator[Rich]:
    """What people have paused, with what ends it: the fleet, and the room's repositories."""
    if state.frozen:
        yield _pause("The fleet", "", state.frozen, now)
    for place, pause in state.places.frozen.items():
        repo = state.places.repos.get(place) if isinstance(place, int) else None
        name = repo.name if repo else str(place)
        if hears(name):
            yield _pause(name, f" {name}", pause, now)


def _pause(what: str, target: str, pause: Pause, now: int) -> Rich:
    since = moment(pause.since, now)
    told = say("⏸️ ", bold(f"{what} is paused"), f", by {person(pause.by)}, ", since)
    return rows(told, say("👉 Go on: ", code(f"!fleet resume{target}")))


def resting(state: FleetState, now: int) -> Rich | None:
    """Why nothing is given to anybody now; None if that is not so, or a person wants it."""
    if state.paused_until <= now:
        return None
    because = reason_text(ReasonCode.DAY_BUDGET_EXCEEDED)
    return say("🌙 The fleet rests: ", because, f". It goes on {until(state.paused_until, now)}.")
