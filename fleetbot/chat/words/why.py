"""Why a task is where it is: pure, from what the fleet knows."""

from __future__ import annotations

from fleetbot.chat.words.notices import advice, reason_text, what_next
from fleetbot.chat.words.rich import Part, Rich, bold, code, italic, prose, quote, rows, say
from fleetbot.chat.words.wording import ago, until
from fleetbot.domain.evidence import sentences
from fleetbot.domain.model import Agent, Policy, Run, Task, TaskState
from fleetbot.domain.reasons import ReasonCode
from fleetbot.domain.state import FleetState
from fleetbot.domain.waiting import Waiting, waiting_in_turn
from fleetbot.domain.wording import count, person, span


def why(state: FleetState, task: Task, now: int, policy: Policy) -> list[Part]:
    """Sentences, the most telling one first; `now` in epoch milliseconds."""
    if waits := waiting_in_turn(state, task, now, policy):
        return told(waits, now)
    run = state.live_run(task)
    if task.state is TaskState.RUNNING and run:
        return _running(state, run, now)
    if task.state is TaskState.COMPLETED:
        return _completed(state, task, now)
    return _ended(task, now)


def told(its: Waiting, now: int) -> list[Part]:
    """A wait: why, what is known of it, since when, until when, and what would move it."""
    details = (quote(detail) for detail in its.details)
    return [prose(its.text), *details, _times(its, now), italic(prose(its.remedy))]


def _times(its: Waiting, now: int) -> str:
    """`For 5 min so far. It ends by itself in 2 h, at 14:00 UTC.`"""
    so_far = f"For {span(now - its.since)} so far." if now - its.since >= 1000 else "Just now."
    return f"{so_far} It ends by itself {until(its.until, now)}." if its.until else so_far


def _running(state: FleetState, run: Run, now: int) -> list[Part]:
    says: list[Part] = [say(bold(run.agent), f" started {ago(run.started_at, now)} and is at it.")]
    if run.refutations:
        says.append(f"Its receipt did not hold {count(run.refutations, 'time')}; it is mending it.")
        says += [quote(reason) for reason in state.tasks[run.task].refuted]
    return says


def _completed(state: FleetState, task: Task, now: int) -> list[Part]:
    checked = f"Its receipt was checked against Forgejo {ago(task.entered_at, now)}, and held then."
    filed = state.receipts.get(task.receipt) if task.receipt else None
    seen = filed.evidence if filed else None
    return [checked, *(quote(line) for line in (sentences(seen) if seen else ()))]


def _ended(task: Task, now: int) -> list[Part]:
    reason = reason_text(task.reason) or task.state.value
    says: list[Part] = [f"It ended {ago(task.updated_at, now)}: {reason}."]
    if task.detail:
        says.append(quote(task.detail))
    if task.reason and (helps := advice(task.reason)):
        says.append(italic(prose(helps)))
    return [*says, what_next(task, None, now)]


def resting(state: FleetState, now: int) -> Rich | None:
    """Why nothing is given to anybody now; None if that is not so."""
    return rows(_paused(state, now), _spent(state, now)) if _is_resting(state, now) else None


def _is_resting(state: FleetState, now: int) -> bool:
    return state.frozen is not None or state.paused_until > now


def _paused(state: FleetState, now: int) -> Rich | None:
    if (pause := state.frozen) is None:
        return None
    since = f"{person(pause.by)} paused it {ago(pause.since, now)}. Go on: "
    return say("⏸️ ", bold("The fleet is paused"), f": {since}", code("!fleet resume"))


def _spent(state: FleetState, now: int) -> Rich | None:
    if state.paused_until <= now:
        return None
    because = reason_text(ReasonCode.DAY_BUDGET_EXCEEDED)
    return say("🌙 The fleet rests: ", because, f". It goes on {until(state.paused_until, now)}.")


def unwell_since(agent: Agent, now: int) -> str:
    """`since 5 min ago (the agent program is not logged in)`."""
    return f"since {ago(agent.unwell_since, now)} ({reason_text(agent.unwell)})"


def resting_for(agent: Agent) -> str:
    return reason_text(agent.parked_for) or reason_text(ReasonCode.USAGE_LIMIT)
