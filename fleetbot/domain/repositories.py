"""What follows from what Forgejo shows of repositories: names, holds, and the base of tasks."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec.structs import replace

from fleetbot.domain import commands as cmd
from fleetbot.domain import events as ev
from fleetbot.domain.draft import Draft, Drafts
from fleetbot.domain.lookup import the_repo, the_task
from fleetbot.domain.model import OPEN_STATES, Repo, RunState, Task, TaskState, same_name
from fleetbot.domain.outcome import cancelled
from fleetbot.domain.reasons import ReasonCode
from fleetbot.domain.state import FleetState, repo_stream, task_stream


def note(state: FleetState, command: cmd.NoteRepo) -> Drafts:
    """A repository that is asked for by an old name was renamed, whenever that was."""
    return tuple(Draft(repo_stream(command.repo), event) for event in _news(state, command))


def _news(state: FleetState, command: cmd.NoteRepo) -> Iterator[ev.RepoKnown | ev.RepoRenamed]:
    name, asked, branch = command.name, command.asked, command.default_branch
    repo = state.places.repos.get(command.repo)
    if repo is None:
        was = name if same_name(asked, name) else asked
        yield ev.RepoKnown(name=was, default_branch=branch)
        if was != name:
            yield ev.RepoRenamed(name=name, was=was)
        return
    if repo.name != name:
        yield ev.RepoRenamed(name=name, was=repo.name)
    unheard = asked.lower() not in (name.lower(), *repo.names)
    if unheard or repo.default_branch != branch:
        former = (asked,) if unheard else ()
        yield ev.RepoKnown(name=name, default_branch=branch, former=former)


def hold(state: FleetState, command: cmd.HoldRepo) -> Drafts:
    repo = the_repo(state, command.repo)
    if (repo.held, repo.held_detail) == (command.reason, command.detail):
        return ()
    event = ev.RepoHeld(reason=command.reason, detail=command.detail)
    return (Draft(repo_stream(repo.id), event),)


def release(state: FleetState, command: cmd.ReleaseRepo) -> Drafts:
    repo = the_repo(state, command.repo)
    return (Draft(repo_stream(repo.id), ev.RepoReleased()),) if repo.held else ()


def move(state: FleetState, command: cmd.MoveTasks) -> Drafts:
    """An issue is one task: of two that old spellings of a name have made, one stays."""
    repo = the_repo(state, command.repo)
    taken: set[int] = set()
    drafts: list[Draft] = []
    tasks = [state.tasks[one] for one in command.tasks if one in state.tasks]
    for task in sorted(tasks, key=worth_keeping, reverse=True):
        if not is_astray(task, repo):
            continue
        if task.repo_id != repo.id and (repo.id, task.issue) in state.by_issue:
            drafts += _let_go(state, task)
        elif task.issue not in taken:
            taken.add(task.issue)
            moved = at_home(task, repo)
            event = ev.TaskMoved(repo=moved.repo, url=moved.url, repo_id=moved.repo_id)
            drafts.append(Draft(task_stream(task.id), event))
    return tuple(drafts)


def is_astray(task: Task, repo: Repo) -> bool:
    """Whether the task does not bear its repository's name and id yet."""
    return task.repo != repo.name or task.repo_id != repo.id


def worth_keeping(task: Task) -> int:
    """Of two tasks of an issue the greater stays: what is at work, then what still waits for it."""
    at_work = task.state in (TaskState.ASSIGNED, TaskState.RUNNING)
    return at_work + (task.state in OPEN_STATES)


def at_home(task: Task, repo: Repo) -> Task:
    """The task with its repository's name, and its issue's page under that name."""
    old = f"/{task.repo}/issues/{task.issue}"
    url = task.url
    if url.lower().endswith(old.lower()):
        url = f"{url[: -len(old)]}/{repo.name}/issues/{task.issue}"
    return replace(task, repo=repo.name, url=url, repo_id=repo.id)


def _let_go(state: FleetState, task: Task) -> Drafts:
    if task.state not in OPEN_STATES:
        return ()
    return (cancelled(state, task, ReasonCode.DUPLICATE_TASK),)


def set_base(state: FleetState, command: cmd.SetBase) -> Drafts:
    """Where nobody can start from it, a run that was only just given is taken back."""
    task = the_task(state, command.task)
    stream = task_stream(task.id)
    based = Draft(stream, ev.TaskBased(base=command.base, problem=command.problem))
    if (task.base, task.base_problem) == (command.base, command.problem):
        return ()
    match task.state:
        case TaskState.CREATED:
            return (based,)
        case TaskState.ASSIGNED if command.problem:
            return (Draft(stream, ev.TaskRequeued(reason=ReasonCode.BASE_GONE)), based)
        case TaskState.ASSIGNED | TaskState.RUNNING if not command.problem:
            return (based,)
        case _:
            return ()


def take_back(state: FleetState, command: cmd.TakeBack) -> Drafts:
    run = state.runs.get(command.run)
    if run is None or run.state is not RunState.ASSIGNED:
        return ()
    return (Draft(task_stream(run.task), ev.TaskRequeued(reason=command.reason)),)
