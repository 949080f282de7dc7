"""Why a task does not move, since when, until when, and what would move it: one sentence for all.

Pure. `why`, the issue, the API and the rooms show what is said here, each with its own way of
writing times. Texts are plain English with `code` between back-quotes; `details` are words of
programs and of Forgejo, to be quoted.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from fleetbot.domain.available import Absence, Looks, able_agents, availability, nobody
from fleetbot.domain.blockers import hold
from fleetbot.domain.flags import Sign, signs
from fleetbot.domain.model import FiledReceipt, Policy, Run, Task, TaskState, Verdict
from fleetbot.domain.overlap import wait_behind
from fleetbot.domain.reasons import REASONS, ReasonCode
from fleetbot.domain.state import FleetState
from fleetbot.domain.waits import FLOW, NOBODY, WaitReason
from fleetbot.domain.wording import count, person

_HELPLESS = "Nothing"
_ASKED = 20  # agents, of what is before a task: of more it would cost too much to ask


class Waiting(NamedTuple):
    """`since` and `until` in epoch ms; `until`: when it ends by itself at the latest, if it does.

    `subject`: whom or what it waits for. Tasks with the same reason and subject wait for the same.
    """

    reason: WaitReason
    text: str
    since: int
    until: int | None = None
    remedy: str = ""
    subject: str = ""
    details: tuple[str, ...] = ()


def waiting(
    state: FleetState, task: Task, now: int, policy: Policy, looks: Looks | None = None
) -> Waiting | None:
    """What a task waits for at `now`; None where it moves, or is over.

    Who asks of many at once gives the same `looks` for all: agents are then looked at once.
    """
    run = state.live_run(task)
    match task.state:
        case TaskState.CREATED:
            return _in_queue(state, task, now, policy, looks or Looks())
        case TaskState.ASSIGNED if run:
            return _given(state, run, policy)
        case TaskState.RUNNING if run:
            return _with_agent(state, task, run, now, policy)
        case TaskState.FAILED | TaskState.AGENT_LOST:
            return _for_a_person(task)
        case TaskState.COMPLETED if task.is_asking:
            return _pull_asked(task)
        case _:
            return None


def waiting_in_turn(
    state: FleetState, task: Task, now: int, policy: Policy, looks: Looks | None = None
) -> Waiting | None:
    """`waiting`, with how many are before it in the queue: that costs a look at all of it."""
    its = waiting(state, task, now, policy, looks)
    if its is None or its.reason not in FLOW or not task.is_ready:
        return its
    before = state.queue.ahead(task, able_agents(state, task)[:_ASKED])
    if not before:
        return its
    number = "1 task is" if before == 1 else f"{before} tasks are"
    return its._replace(text=f"{its.text} {number} before it.")


def flags(
    state: FleetState, task: Task, its: Waiting | None, now: int, policy: Policy
) -> tuple[str, ...]:
    """`looping`, `stalled`, `slow`, and `nobody` of a task that waits for an agent nobody has.

    `its`: what the task waits for.
    """
    run = state.live_run(task)
    if run and task.state is TaskState.RUNNING and not run.receipt and not _question(state, run):
        return tuple(str(sign.reason) for sign in _signs(state, task, run, now, policy))
    return ("nobody",) if its and its.reason in NOBODY else ()


# in the queue


def _in_queue(state: FleetState, task: Task, now: int, policy: Policy, looks: Looks) -> Waiting:
    since = task.entered_at or task.updated_at
    if held := state.places.hold_of(task):
        return _repository_held(state, task, held, since)
    if task.base_problem:
        advice = REASONS[ReasonCode.BASE_GONE].advice
        return Waiting(WaitReason.BASE_GONE, task.base_problem, since, None, advice, task.base)
    if task.is_blocked:
        its = hold(state, task, looks.circles)
        return Waiting(its.reason, its.text, its.since, None, its.remedy, its.subject)
    if task.behind:
        its = wait_behind(state, task, looks.circles)
        return Waiting(its.reason, its.text, its.since, None, its.remedy, its.subject)
    if paused := _paused(state, task, since):
        return paused
    if state.paused_until > now:
        return _fleet_rests(state, since)
    if task.rests(now):
        return _back_off(task, since)
    agents = availability(state, task, now, looks)
    if not agents.able:
        return _for_nobody(state, task, since)
    if agents.absence:
        return _for_absent(agents.absence, since)
    if policy.repo_limit and state.runs_in_repo(task.place) >= policy.repo_limit:
        return _at_limit(task, policy, since)
    return _next(agents.free, since)


def _repository_held(state: FleetState, task: Task, why: ReasonCode, since: int) -> Waiting:
    repo = state.places.repos.get(task.repo_id)
    return Waiting(
        WaitReason.REPOSITORY_HELD,
        f"{task.repo} is held: {REASONS[why].text}.",
        max(since, repo.held_since) if repo else since,
        None,
        f"{REASONS[why].advice} Its tasks go on by themselves then.",
        task.repo,
        (repo.held_detail,) if repo and repo.held_detail else (),
    )


def _paused(state: FleetState, task: Task, since: int) -> Waiting | None:
    """By a person: the fleet, or the task's repository."""
    reason, what, remedy = WaitReason.FLEET_PAUSED, "fleet", "!fleet resume"
    pause = state.frozen
    if pause is None and (pause := state.places.frozen.get(task.place)):
        reason, what, remedy = WaitReason.REPOSITORY_PAUSED, task.repo, f"{remedy} {task.repo}"
    if pause is None:
        return None
    text = f"{person(pause.by)} has paused {'the ' if what == 'fleet' else ''}{what}."
    return Waiting(reason, text, max(since, pause.since), None, f"Go on: `{remedy}`.", what)


def _fleet_rests(state: FleetState, since: int) -> Waiting:
    its = REASONS[ReasonCode.DAY_BUDGET_EXCEEDED]
    return Waiting(
        WaitReason.FLEET_RESTS,
        f"The fleet rests: {its.text}.",
        since,
        state.paused_until,
        its.advice,
        "fleet",
    )


def _back_off(task: Task, since: int) -> Waiting:
    because = REASONS[task.reason].text if task.reason else "the last attempt failed"
    return Waiting(
        WaitReason.BACK_OFF,
        f"It is tried again after a pause, because {because}.",
        since,
        task.not_before,
        f"Nothing. Sooner: `!fleet retry {task.ref}`.",
        task.reason or "",
    )


def _for_nobody(state: FleetState, task: Task, since: int) -> Waiting:
    its = nobody(state, task)
    return Waiting(its.reason, its.text, since, None, its.remedy, its.subject)


def _for_absent(its: Absence, since: int) -> Waiting:
    return Waiting(its.reason, its.text, since, its.until, its.remedy, its.subject, its.details)


def _at_limit(task: Task, policy: Policy, since: int) -> Waiting:
    limit = count(policy.repo_limit, "task")
    return Waiting(
        WaitReason.REPOSITORY_LIMIT,
        f"{task.repo} has {limit} running already, which is its limit.",
        since,
        None,
        "Wait, or raise `runs.repository_limit`.",
        task.repo,
    )


def _next(free: Sequence[str], since: int) -> Waiting:
    names = ", ".join(free[:5])
    return Waiting(
        WaitReason.NEXT,
        f"{names} can take it any moment now.",
        since,
        None,
        "Nothing. If it lasts, the runner asks for no work: its log says why.",
        names,
    )


# with an agent


def _given(state: FleetState, run: Run, policy: Policy) -> Waiting:
    since = max(state.moved(run.id, run.assigned_at), state.renewed_at)
    return Waiting(
        WaitReason.NOT_STARTED,
        f"{run.agent} has been given it and must acknowledge it.",
        run.assigned_at,
        since + policy.ack_ms,
        "It takes a moment; otherwise it goes back to the queue.",
        run.agent,
    )


def _signs(state: FleetState, task: Task, run: Run, now: int, policy: Policy) -> tuple[Sign, ...]:
    activity = state.activity.get(run.id)
    return signs(run, activity, state.took, task.updated_at, now, policy)


def _with_agent(
    state: FleetState, task: Task, run: Run, now: int, policy: Policy
) -> Waiting | None:
    filed = state.receipts.get(run.receipt) if run.receipt else None
    if filed and filed.verdict is Verdict.PENDING:
        return _receipt(state, task, filed, policy)
    if asked := _question(state, run):
        return asked
    for sign in _signs(state, task, run, now, policy):
        return _not_getting_on(task, run, sign)
    return _closing(state, task, run, policy) if task.closing else None


def _question(state: FleetState, run: Run) -> Waiting | None:
    for ask in run.asks:
        if ask.behavior is None:
            return Waiting(
                WaitReason.QUESTION,
                f"{run.agent} asks, and waits for an answer.",
                ask.asked_at,
                state.moved(run.id, ask.expires_at),
                "Answer it; otherwise it is denied.",
                run.agent,
                (ask.title,),
            )
    return None


def _receipt(state: FleetState, task: Task, filed: FiledReceipt, policy: Policy) -> Waiting:
    since = filed.filed_at
    until = state.moved(filed.run, since) + policy.verify_ms
    if not filed.unread:
        text, helps = "Its receipt is being checked against Forgejo.", "That takes a moment."
        return Waiting(WaitReason.CHECKING, text, since, until, helps, task.repo)
    times = count(filed.checks, "time")
    return Waiting(
        WaitReason.RECEIPT_UNREAD,
        f"Its receipt cannot be decided; checked {times}, and again until it can.",
        since,
        until,
        "Mend what could not be read: it goes on by itself. To end it: close the issue, or "
        f"`!fleet cancel {task.ref}`.",
        task.repo,
        filed.unread,
    )


_SAYS = {
    WaitReason.LOOPING: "makes the same tool call again and again.",
    WaitReason.STALLED: "has been silent for long, and no tool of it is at work.",
    WaitReason.SLOW: "has worked on it for longer than runs mostly take.",
}


def _not_getting_on(task: Task, run: Run, sign: Sign) -> Waiting:
    remedy = "Nothing ends it for that. Look at its thread; what is said there reaches it. "
    return Waiting(
        sign.reason,
        f"{run.agent} {_SAYS[sign.reason]}",
        sign.since,
        None,
        f"{remedy}To end it: `!fleet cancel {task.ref}`.",
        run.agent,
    )


def _closing(state: FleetState, task: Task, run: Run, policy: Policy) -> Waiting:
    return Waiting(
        WaitReason.CLOSING,
        f"The merge of its own work has closed its issue; the receipt of {run.agent} is awaited.",
        task.closing_since,
        state.moved(run.id, run.started_at) + run.checked_ms + policy.run_timeout_ms,
        f"Nothing. To end it: `!fleet cancel {task.ref}`.",
        run.agent,
    )


# for a person


def _for_a_person(task: Task) -> Waiting:
    lost = task.state is TaskState.AGENT_LOST
    because = REASONS[task.reason].text if task.reason else "no reason was given"
    advice = REASONS[task.reason].advice if task.reason else ""
    helps = "" if advice.startswith(_HELPLESS) else f"{advice} "
    return Waiting(
        WaitReason.AGENT_LOST if lost else WaitReason.FAILED,
        f"It {'was lost with its agent' if lost else 'failed'}: {because}.",
        task.entered_at or task.updated_at,
        None,
        f"{helps}To try again: `!fleet retry {task.ref}`.",
        task.reason or "",
        (task.detail,) if task.detail else (),
    )


def _pull_asked(task: Task) -> Waiting:
    """What people are asked about its pull request, the newest last."""
    assert task.pull is not None  # that of a task which asks
    asking = task.pull.asking
    return Waiting(
        WaitReason.PULL_ASKED,
        " ".join(one.text for one in asking),
        asking[0].since,
        None,
        f"Say how it goes on: `!fleet again {task.ref} …`, or `!fleet land {task.ref}`; or close it"
        " on Forgejo.",
        task.ref,
    )
