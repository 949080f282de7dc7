"""Tasks of a repository whose work changes the same files: which, who hears, and who waits.

Pure. What the work of a task changes is known once an agent has begun: running work tells, of a
pull request its receipt does.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable
from fnmatch import translate

from fleetbot.domain import commands as cmd
from fleetbot.domain import events as ev
from fleetbot.domain.blockers import Circles, Hold, before, circle, in_circle, whereabouts
from fleetbot.domain.draft import Draft, Drafts
from fleetbot.domain.errors import Conflict, Invalid
from fleetbot.domain.lookup import the_task
from fleetbot.domain.model import Blocker, OverlapMode, Policy, Task, TaskId, TaskState
from fleetbot.domain.pulls import PullState
from fleetbot.domain.reasons import ReasonCode
from fleetbot.domain.state import FleetState, task_stream
from fleetbot.domain.waits import WaitReason
from fleetbot.domain.wording import STATE_WORDS

MOST_FILES = 500  # of one task that are compared
_TOLD = 5  # tasks that people are told of, of one
_NAMED = 5  # files in an event
_LETTERS = 200  # of each of their names
_NEVER = r"(?!)"
_AT_WORK = (TaskState.ASSIGNED, TaskState.RUNNING)


class Footprints:
    """What the work of tasks changes, by repository (as of `Task.place`) and name of the file.

    `ignored` tells which files everybody changes.
    """

    def __init__(self, ignored: Callable[[str], bool]) -> None:
        self._ignored = ignored
        self._of: dict[TaskId, tuple[int | str, frozenset[str]]] = {}
        self._by_file: dict[tuple[int | str, str], set[TaskId]] = {}

    def __contains__(self, task: TaskId) -> bool:
        return task in self._of

    def files(self, task: TaskId) -> frozenset[str]:
        return self._of[task][1] if task in self._of else frozenset()

    def note(self, task: TaskId, place: int | str, files: Iterable[str]) -> bool:
        """Whether it is more than was known before."""
        names = frozenset([name for name in files if not self._ignored(name)][:MOST_FILES])
        _, before = known = self._of.get(task, (place, frozenset[str]()))
        if known == (place, names):
            return False
        self.forget(task)
        self._of[task] = place, names
        for name in names:
            self._by_file.setdefault((place, name), set()).add(task)
        return bool(names - before)

    def forget(self, task: TaskId) -> None:
        place, names = self._of.pop(task, ("", frozenset[str]()))
        for name in names:
            tasks = self._by_file[place, name]
            tasks.discard(task)
            if not tasks:
                del self._by_file[place, name]

    def shared(self, task: TaskId) -> dict[TaskId, tuple[str, ...]]:
        """The other tasks that change some of its files, and which these are, in order."""
        place, names = self._of.get(task, ("", frozenset[str]()))
        found: dict[TaskId, list[str]] = {}
        for name in sorted(names):
            for other in self._by_file[place, name] - {task}:
                found.setdefault(other, []).append(name)
        return {other: tuple(files) for other, files in sorted(found.items())}


def ignoring(patterns: Collection[str]) -> Callable[[str], bool]:
    """Whether a pattern fits the path, or its last part where the pattern has no slash."""
    paths = _any_of(one for one in patterns if "/" in one)
    names = _any_of(one for one in patterns if "/" not in one)

    def ignored(path: str) -> bool:
        return bool(names.match(path.rpartition("/")[2]) or paths.match(path))

    return ignored


def _any_of(patterns: Iterable[str]) -> re.Pattern[str]:
    """One expression: heartbeats bring many names."""
    return re.compile("|".join(map(translate, patterns)) or _NEVER)


def is_at_work(task: Task) -> bool:
    return task.state in _AT_WORK


def is_over(task: Task | None) -> bool:
    """Whether nothing will come of its work any more that others would have to merge. None: it is
    gone."""
    if task is None:
        return True
    is_open = task.pull is not None and task.pull.state is PullState.OPEN
    return not is_open and not is_at_work(task) and task.state is not TaskState.CREATED


# what is recorded


def note(state: FleetState, command: cmd.NoteOverlap, policy: Policy) -> Drafts:
    """Told once of each two, on the later of them; those that have both ended are left alone."""
    one, other = state.tasks.get(command.one), state.tasks.get(command.other)
    if policy.overlap is OverlapMode.OFF or one is None or other is None:
        return ()
    later, earlier = _in_order(one, other, starting=command.starting)
    if one.place != other.place or is_over(earlier) or is_over(later) or not _matters(one, other):
        return ()
    told = _told(later, earlier, command.files)
    if not _is_to_wait(later, earlier, policy, starting=command.starting):
        return told
    *back, behind = _behind(later, earlier)
    return (*back, *told, behind)


def _in_order(one: Task, other: Task, *, starting: bool) -> tuple[Task, Task]:
    """The later first: the one that nobody is at work on, or is only about to be, or that began
    later. `starting`: `one` is about to be."""
    if starting and is_at_work(other):
        return one, other

    def begun(task: Task) -> tuple[bool, int, int, TaskId]:
        waits = task.state is TaskState.CREATED
        return waits, task.first_assigned_at, task.created_at, task.id

    return (one, other) if begun(one) > begun(other) else (other, one)


def _matters(one: Task, other: Task) -> bool:
    """Of pull requests that are both open people have heard while one of them was worked on."""
    return is_at_work(one) or is_at_work(other)


def _told(later: Task, earlier: Task, files: tuple[str, ...]) -> Drafts:
    known = {one.task for one in later.overlaps}
    known_there = {one.task for one in earlier.overlaps}
    if earlier.id in known or later.id in known_there or len(known) >= _TOLD:
        return ()
    event = ev.TaskOverlaps(
        other=earlier.id,
        issue=earlier.issue,
        files=tuple(name[:_LETTERS] for name in files[:_NAMED]),
        count=len(files),
    )
    return (Draft(task_stream(later.id), event),)


def _is_to_wait(later: Task, earlier: Task, policy: Policy, *, starting: bool) -> bool:
    """Where the fleet is to queue by itself, what is not begun waits for what is at work."""
    freed = any(one.task == earlier.id and one.freed for one in later.overlaps)
    if policy.overlap is not OverlapMode.QUEUE or freed or later.behind:
        return False
    waits = later.state is TaskState.CREATED or (starting and later.state is TaskState.ASSIGNED)
    return waits and is_at_work(earlier)


def _behind(later: Task, earlier: Task) -> Drafts:
    """A run that was only just given is taken back."""
    stream = task_stream(later.id)
    behind = Draft(stream, ev.TaskBehind(other=earlier.id, issue=earlier.issue))
    if later.state is TaskState.ASSIGNED:
        return (Draft(stream, ev.TaskRequeued(reason=ReasonCode.BEHIND)), behind)
    return (behind,)


def queue(state: FleetState, command: cmd.QueueBehind) -> Drafts:
    """Raises Conflict where that cannot be, and says why."""
    task = the_task(state, command.task)
    stream = task_stream(task.id)
    if command.other is None:
        its = task.behind
        return (Draft(stream, ev.TaskBehind(other=None, issue=its.issue)),) if its else ()
    other = the_task(state, command.other)
    if task.behind and task.behind.task == other.id:
        return ()
    _check(state, task, other)
    return (Draft(stream, ev.TaskBehind(other=other.id, issue=other.issue)),)


def _check(state: FleetState, task: Task, other: Task) -> None:
    if task.id == other.id:
        raise Invalid("A task cannot wait behind itself.", field="task")
    if task.place != other.place:
        says = "Only tasks of one repository are queued so; others by a dependency of the issue."
        raise Invalid(says, field="task")
    if task.state is not TaskState.CREATED:
        says = (
            f"{task.ref} is not in the queue but {STATE_WORDS[task.state]}: only what waits there "
        )
        at_work = task.state in (TaskState.ASSIGNED, TaskState.RUNNING)
        merges = " One of the two will have to merge the other." if at_work else ""
        raise Conflict(f"{says}can wait behind another.{merges}")
    if is_over(other):
        raise Conflict(f"{other.ref} is {STATE_WORDS[other.state]}: there is nothing to wait for.")
    if _waits_for(state, other, task):
        raise Conflict(f"{other.ref} waits for {task.ref} itself.")


def _waits_for(state: FleetState, task: Task, other: Task) -> bool:
    """Whether it waits for the other, be it through others."""
    seen, ahead = {task.id}, [task]
    while ahead:
        for its in before(state, ahead.pop()):
            if its.id == other.id:
                return True
            if its.id not in seen:
                seen.add(its.id)
                ahead.append(its)
    return False


def go_on(state: FleetState, command: cmd.GoOn) -> Drafts:
    task = state.tasks.get(command.task)
    if task is None or task.behind is None or not is_over(state.tasks.get(task.behind.task)):
        return ()
    event = ev.TaskBehind(other=None, issue=task.behind.issue)
    return (Draft(task_stream(task.id), event),)


# what is said


def wait_behind(state: FleetState, task: Task, circles: Circles | None = None) -> Hold:
    """Why a task that waits behind another is not given out. `circles` as of `blockers.hold`."""
    its = task.behind
    assert its is not None  # who asks has looked
    since, now = max(its.since, task.entered_at), f"Sooner: `!fleet queue {task.ref} now`."
    if ring := circle(state, task, circles):
        return in_circle(task, ring, since)._replace(remedy=now)
    name, says = f"{task.repo}#{its.issue}", ""
    if its.task in state.tasks:
        issue = Blocker(repo=task.repo, issue=its.issue, repo_id=task.repo_id)
        says = f", {whereabouts(state, task, issue).says}"
    return Hold(
        WaitReason.BEHIND,
        f"It is queued behind {name}{says}.",
        since,
        f"It goes on by itself once the pull request of {name} is merged or closed. {now}",
        name,
    )
