"""Tasks that wait for other issues: for which, where each of those stands, and what would help.

Pure. Forgejo's own dependencies say what waits for what; it goes on once those issues are closed,
by a merge or by a person, and the task's base has what was merged.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from msgspec.structs import replace

from fleetbot.domain import commands as cmd
from fleetbot.domain import events as ev
from fleetbot.domain.draft import Draft, Drafts
from fleetbot.domain.lookup import the_task
from fleetbot.domain.model import PRIVATE, Blocker, Repo, Run, Task, TaskId, TaskState
from fleetbot.domain.pulls import PullState
from fleetbot.domain.reasons import REASONS, ReasonCode
from fleetbot.domain.state import FleetState, task_stream
from fleetbot.domain.waits import WaitReason
from fleetbot.domain.wording import count, dated, shorten

_NAMED = 4  # issues in a sentence
_IN_A_CIRCLE = 20  # the same
_SHOWN = 100  # letters of a branch's name
_ITSELF = "It goes on by itself once that issue is closed."
_OTHERWISE = "To have it not wait: remove the dependency on its issue."


Circles = dict[TaskId, tuple[Task, ...]]  # what was found at one moment


class Hold(NamedTuple):
    """Why other issues hold a task up, as of `Waiting`."""

    reason: WaitReason
    text: str
    since: int
    remedy: str
    subject: str


class Whereabouts(NamedTuple):
    """Where an issue stands that others wait for: `reason` is theirs, `since` in epoch ms."""

    reason: WaitReason
    name: str
    says: str
    remedy: str
    since: int = 0


_GRAVEST_FIRST = (
    WaitReason.BLOCKER_ENDED,
    WaitReason.BLOCKER_ELSEWHERE,
    WaitReason.BLOCKER_UNTAKEN,
    WaitReason.BLOCKED,
)


# what is recorded


def follow(state: FleetState, command: cmd.SetBlockers) -> Drafts:
    """A run that was only just given is taken back; one that has begun goes on."""
    task = the_task(state, command.task)
    stream = task_stream(task.id)
    blocked = Draft(stream, ev.TaskBlocked(blockers=command.blockers, unseen=command.unseen))
    known = (task.blockers, task.unseen_blockers) == (command.blockers, command.unseen)
    drafts = () if known else (blocked,)
    held = bool(command.blockers) and task.round is None
    if command.starting and held and task.state is TaskState.ASSIGNED:
        return (Draft(stream, ev.TaskRequeued(reason=ReasonCode.BLOCKED)), *drafts)
    return drafts


# what is said


def hold(state: FleetState, task: Task, circles: Circles | None = None) -> Hold:
    """Why a task that is blocked is not given out: the gravest is named first. `circles` as
    `known` of `circle`."""
    since = max(task.blocked_since, task.entered_at)
    if ring := circle(state, task, circles):
        return in_circle(task, ring, since)
    known = [whereabouts(state, task, blocker) for blocker in task.blockers]
    known.sort(key=lambda one: _GRAVEST_FIRST.index(one.reason))
    first, others = known[0], known[1:_NAMED]
    text = "".join(
        (
            f"It waits for {first.name}, {first.says}",
            *(f"; for {one.name}, {one.says}" for one in others),
            f"; and for {count(len(known) - _NAMED, 'more issue')}" if len(known) > _NAMED else "",
        )
    )
    flows = first.reason is WaitReason.BLOCKED
    return Hold(
        first.reason,
        f"{text}.",
        max(since, first.since),
        f"{first.remedy} {_OTHERWISE}",
        task.repo if flows else first.name,  # what flows is told of together
    )


def in_circle(task: Task, ring: tuple[Task, ...], since: int) -> Hold:
    """All that wait in or behind the circle wait for the same."""
    start = min(range(len(ring)), key=lambda place: ring[place].ref)
    hidden = {(its.place, its.issue) for one in ring for its in one.blockers if its.is_private}
    names = [
        PRIVATE if (one.place, one.issue) in hidden else one.ref
        for one in (*ring[start:], *ring[:start])
    ]
    if len(names) > _IN_A_CIRCLE:
        names = [*names[:_IN_A_CIRCLE], f"{len(names) - _IN_A_CIRCLE} more"]
    told = " → ".join((*names, names[0]))
    within = "It waits" if task in ring else "What it waits for waits"
    return Hold(
        WaitReason.BLOCKED_IN_CIRCLE,
        f"{within} in a circle, so that none of them can begin: {told}.",
        since,
        "Remove one of these dependencies, on the issue that can be done first.",
        told,
    )


def remarks(task: Task) -> tuple[str, ...]:
    """What people should know besides of what it depends on: as sentences."""
    told = []
    if task.blockers and task.state in (TaskState.ASSIGNED, TaskState.RUNNING):
        names = [blocker.name for blocker in task.blockers[:_NAMED]]
        more = len(task.blockers) - len(names)
        listed = ", ".join((*names, *([f"{more} more"] if more else [])))
        told.append(f"It depends on {listed}: this run goes on, and another would wait for that.")
    if task.unseen_blockers:
        its = count(task.unseen_blockers, "issue")
        told.append(f"It depends on {its} that Forgejo does not show the bot: not waited for.")
    return tuple(told)


# what waits for what


def circle(state: FleetState, task: Task, known: Circles | None = None) -> tuple[Task, ...]:
    """The tasks of a circle that it waits in or behind, each before what it waits for; () where
    there is none. Issues that are no tasks are not looked through.

    Who asks of many at once gives the same `known` for all: each task is then looked at once.
    """
    known = {} if known is None else known
    path, ahead = {task.id: task}, [before(state, task)]
    while ahead and task.id not in known:
        following = next(ahead[-1], None)
        if following is None:
            ahead.pop()
            known[path.popitem()[0]] = ()
        elif following.id in path or known.get(following.id):
            order = list(path.values())
            ring = known.get(following.id) or tuple(order[order.index(following) :])
            known.update(dict.fromkeys(path, ring))
        elif following.id not in known:
            path[following.id] = following
            ahead.append(before(state, following))
    return known[task.id]


def before(state: FleetState, task: Task) -> Iterator[Task]:
    """The tasks that it waits for; nothing, if it has begun."""
    if task.state is not TaskState.CREATED:
        return
    if task.behind and (other := state.tasks.get(task.behind.task)):
        yield other
    if task.is_blocked:
        for blocker in task.blockers:
            its = _task_of(state, blocker)
            if its and not blocker.merged_into:
                yield its


def _task_of(state: FleetState, blocker: Blocker) -> Task | None:
    """Open tasks are in memory, and so is what they wait for."""
    return state.task_in(_repo_of(state, blocker), blocker.issue)


def _repo_of(state: FleetState, blocker: Blocker) -> Repo:
    known = state.places.repos.get(blocker.repo_id)
    return known or Repo(id=blocker.repo_id, version=0, name=blocker.repo)


# where one of them stands


def whereabouts(state: FleetState, task: Task, blocker: Blocker) -> Whereabouts:
    """Where the issue stands that `task` waits for."""
    name = replace(blocker, repo=_repo_of(state, blocker).name).name
    if blocker.merged_into:
        return _elsewhere(task, blocker, name)
    its = _task_of(state, blocker)
    if its is None:
        return _untaken(blocker, name)
    if ended := _ended(its):
        remedy = f"{_order('Try that again', 'retry', blocker)}. Or close it, if it is done."
        since = its.updated_at if its.state is TaskState.COMPLETED else its.entered_at
        return Whereabouts(WaitReason.BLOCKER_ENDED, name, ended, remedy, since)
    return Whereabouts(WaitReason.BLOCKED, name, _under_way(state, its), _ITSELF)


def _untaken(blocker: Blocker, name: str) -> Whereabouts:
    says = "which is open and no task of the fleet"
    helps = (
        f"Close it when it is done. {_order('Have the fleet do it', 'assign <agent>', blocker)}."
    )
    if blocker.is_pull:
        says, helps = "a pull request that is open", "Merge or close it."
    return Whereabouts(WaitReason.BLOCKER_UNTAKEN, name, says, helps)


def _order(what: str, command: str, blocker: Blocker) -> str:
    """What could be done, with the words that do it; the page of the issue leads to a private
    one."""
    return what if blocker.is_private else f"{what}: `!fleet {command} {blocker.name}`"


def _elsewhere(task: Task, blocker: Blocker, name: str) -> Whereabouts:
    into, base = _shown(blocker.merged_into), _shown(task.base)
    return Whereabouts(
        WaitReason.BLOCKER_ELSEWHERE,
        name,
        f"which was merged into {into}: {base}, which this one starts from, does not have it",
        f"Bring it to {base}, or name another branch on the issue (its ref).",
    )


def _shown(branch: str) -> str:
    return f"`{shorten(branch.replace('`', ''), _SHOWN)}`"


def _ended(its: Task) -> str:
    """Why nobody goes on with it; "" where somebody does, or will."""
    because = f": {REASONS[its.reason].text}" if its.reason else ""
    match its.state:
        case TaskState.FAILED:
            return f"which failed{because}"
        case TaskState.AGENT_LOST:
            return f"which was lost with its agent{because}"
        case TaskState.CANCELLED:
            return f"which nobody works on any more{because}"
        case TaskState.COMPLETED if its.pull and its.pull.state is PullState.CLOSED:
            return f"whose pull request #{its.pull.number} was closed without being merged"
        case TaskState.COMPLETED if its.pull and its.pull.state is PullState.MERGED:
            return f"which is open though its pull request #{its.pull.number} is merged"
        case _:
            return ""


def _under_way(state: FleetState, its: Task) -> str:
    run = state.run_of(its)
    match its.state:
        case TaskState.CREATED if its.is_blocked or its.behind:
            return "which waits for others itself"
        case TaskState.ASSIGNED | TaskState.RUNNING if run:
            return _with_agent(run)
        case TaskState.COMPLETED:
            return f"which is done, and whose {_pull(state, its)} is not merged yet"
        case TaskState.CREATED if its.round:
            return f"whose {_pull(state, its)} is worked on again soon"
        case _:
            return "which waits in the queue"


def _with_agent(run: Run) -> str:
    if run.receipt:
        return f"which {run.agent} has done, and whose receipt is being checked"
    return f"which {run.agent} is working on since {dated(run.started_at or run.assigned_at)}"


def _pull(state: FleetState, its: Task) -> str:
    if its.pull:
        return f"pull request #{its.pull.number}"
    filed = state.receipts.get(its.receipt) if its.receipt else None
    return f"pull request #{filed.receipt.pull_request}" if filed else "pull request"
