"""What all commands need: the issue that is meant, whether it is the room's business, a commit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from fleetbot.chat.commands.said import Pressed, Said
from fleetbot.chat.speaking.destinations import destination
from fleetbot.chat.speaking.runs import run_in_thread
from fleetbot.chat.words import answers
from fleetbot.chat.words.emoji import EYES, meant
from fleetbot.chat.words.rich import Rich
from fleetbot.chat.words.roster import Hears
from fleetbot.chat.words.why import why
from fleetbot.chat.words.wording import emoji_of
from fleetbot.domain import commands as cmd
from fleetbot.domain.errors import Forbidden, Invalid, NotFound
from fleetbot.domain.model import RunId, Task, TaskId
from fleetbot.services.fleet import Beside, Context, Fleet
from fleetbot.services.references import References
from fleetbot.services.tasks import Tasks
from fleetbot.store.records import Anchor, Arrival, Posted, PostKind


class Desk:
    """`trigger`: the label that gives an issue to the fleet. `forge_is_away`: whether Forgejo can
    be asked about none. `per_task`: each task has a thread of its own, rather than each agent."""

    def __init__(
        self,
        fleet: Fleet,
        tasks: Tasks,
        references: References,
        trigger: str,
        *,
        forge_is_away: Callable[[], bool] = lambda: False,
        per_task: bool = False,
    ) -> None:
        self._trigger = trigger
        self._forge_is_away = forge_is_away
        self.fleet = fleet
        self.tasks = tasks
        self._per_task = per_task
        self.references = references

    # what is meant

    async def find(self, issue: str, said: Said) -> Task:
        """The task of an issue, or where none is named, that of the message that this answers."""
        if not issue:
            return await self._answered(said)
        repo, number = self.ref(issue, said)
        task = await self.task_of(repo, number)
        if task is None:
            raise NotFound(self._no_task(f"{repo}#{number}"), field="issue")
        return task

    def _no_task(self, ref: str) -> str:
        if self._forge_is_away():
            return (
                f"{ref} is not a task yet, as far as I know: Forgejo cannot be asked now. If it has"
                f" the label {self._trigger}, it is taken up when Forgejo is back."
            )
        return (
            f"{ref} is not a task yet: give it the label {self._trigger}, or say"
            f" !fleet assign <agent> {ref}."
        )

    async def _answered(self, said: Said) -> Task:
        posted = await self.posted(said)
        task = await self.task_about(posted) if posted else await self._worked_on(said)
        if task is None or not self.hears(said)(task.repo):
            raise Invalid(
                "Which issue? Name it, or reply to a message about it.",
                field="issue",
            )
        return task

    async def _worked_on(self, said: Said) -> Task | None:
        """The task of the run that began last in the thread, unless others are at work there."""
        begun = await run_in_thread(self.fleet.store, said.room, _thread(said))
        run = await self.fleet.store.run(begun) if begun else None
        if run is None:
            return None
        at_work = () if self._per_task else self.fleet.state.runs_of_agent(run.agent)
        if {other.task for other in at_work} - {run.task}:
            return None
        return await self.fleet.task(run.task)

    async def posted(self, said: Said) -> Posted | None:
        """What the message is about that this one answers, if it is one of ours."""
        if not said.answers:
            return None
        return await self.fleet.store.posted(said.room, said.answers)

    async def is_about_ours(self, said: Said) -> bool:
        """Whether it answers a message of ours, or was said in the thread of a run."""
        if await self.posted(said) is not None:
            return True
        return bool(await run_in_thread(self.fleet.store, said.room, _thread(said)))

    async def task_about(self, posted: Posted) -> Task | None:
        """The task that a message of ours is about."""
        match posted.kind:
            case PostKind.CARD | PostKind.NOTICE:
                return await self.fleet.task(TaskId(posted.subject))
            case PostKind.ASK | PostKind.RUN:
                run = await self.fleet.store.run(RunId(posted.subject.partition("/")[0]))
                return await self.fleet.task(run.task) if run else None
            case PostKind.DRAFT | PostKind.SETUP:
                return None

    def ref(self, issue: str, said: Said) -> tuple[str, int]:
        """Repository and number, of an issue or a pull request. Raises `Forbidden` for what is not
        of the room."""
        repo, number = self.references.read(issue, said.default_repo)
        if not self.hears(said)(repo):
            raise not_of_this_room(repo)
        return repo, number

    async def task_of(self, repo: str, number: int) -> Task | None:
        """The task of that issue, or of that pull request."""
        return await self.references.task(repo, number)

    def hears(self, said: Said) -> Hears:
        """Whether a repository is the business of the room where it was said."""
        return partial(said.settings.hears, same=self.fleet.state.places.same)

    # what is done

    async def commit(self, command: cmd.Command, said: Said, *anchors: Anchor) -> bool:
        """Whether anything happened. The message is remembered with what it led to."""
        beside = Beside(self.arrival(said), anchors=anchors)
        return bool(await self.fleet.commit(command, self.context(said), beside))

    def arrival(self, said: Said) -> Arrival:
        return Arrival(key=said.key, kind="command", at=self.fleet.clock())

    def context(self, said: Said) -> Context:
        return Context(said.actor, said.key, destination(said.name))

    async def is_done(self, said: Said) -> bool:
        """Whether the message has changed before what it wished to change."""
        return await self.fleet.store.arrival(said.key) is not None

    # what is told

    def explained(self, task: Task) -> Rich:
        """Where a task is, and why."""
        return answers.moved(emoji_of(task), task, answers.state_of(task), *self.reasons(task))

    def reasons(self, task: Task) -> Sequence[Rich | str]:
        fleet = self.fleet
        return why(fleet.state, task, fleet.clock(), fleet.policy)


def _thread(said: Said) -> str:
    """The message that opened the thread it is about. Eyes on that are about what is said there."""
    return said.answers if isinstance(said, Pressed) and meant(said.body) == EYES else said.thread


def not_of_this_room(repo: str) -> Forbidden:
    return Forbidden(f"{repo} is not a repository of this room.", field="issue")
