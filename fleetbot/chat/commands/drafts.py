"""What is asked before it is done: an issue that is to be opened, work that is to be done again.

The answer to the wish is a draft; only once a person has said yes to it, anything happens, and that
once. Drafts are known by the message that wished them, and outlive a restart.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from weakref import WeakValueDictionary

from fleetbot import wire
from fleetbot.chat.commands import spec
from fleetbot.chat.commands.desk import Desk, not_of_this_room
from fleetbot.chat.commands.handlers import Handler
from fleetbot.chat.commands.rights import Admit
from fleetbot.chat.commands.said import Said
from fleetbot.chat.words import answers, drafts
from fleetbot.chat.words.emoji import NO, YES
from fleetbot.chat.words.post import About, Answer, File, Post
from fleetbot.chat.words.rich import say
from fleetbot.domain import commands as cmd
from fleetbot.domain.errors import Invalid
from fleetbot.domain.model import Task, TaskId
from fleetbot.services.comments import code, told, without_unseen
from fleetbot.services.fleet import Beside
from fleetbot.services.wishes import Again, Fate, NewIssue, Wish, Wishes, settled
from fleetbot.store.records import Arrival, PostKind

Message = Callable[[str, str], Awaitable[tuple[str, str] | None]]  # sender and text of an event
_LONGEST_TITLE, _LONGEST_BODY = 255, 20_000


class Drafts:
    """`label` is what an issue carries to be taken, `message` reads what was said in a room."""

    def __init__(
        self, desk: Desk, wishes: Wishes, admit: Admit, message: Message, label: str
    ) -> None:
        self._desk = desk
        self._wishes = wishes
        self._admit = admit
        self._message = message
        self._label = label
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    @property
    def handlers(self) -> Mapping[type, Handler]:
        return {spec.New: self.new}

    async def new(self, command: spec.New, said: Said) -> Post:
        """The issue as it would be opened, for a person to confirm."""
        if known := await self._wishes.find(said.event):
            return await self._asked(known, said)
        title, _, rest = without_unseen(command.text).partition("\n")
        repo = self._repo(command, said)
        body = rest.strip("\n") if rest.strip() else await self._replied_to(said)
        what = NewIssue(repo, _checked_title(title), _checked_body(body), said.sender)
        return await self._asked(await self._wishes.keep(said.event, what), said)

    async def again(self, task: Task, said: Said) -> Post:
        """Whether a completed task is to be begun anew, for a person to confirm."""
        return await self._asked(await self._wishes.keep(said.event, Again(task.id)), said)

    async def decide(self, said: Said, draft: str, yes: bool | None) -> Answer | None:
        """What follows from a person's yes or no to a draft, said or pressed; the first one counts.

        `yes` None: their words are neither; once it is decided, those are for other people.
        `draft` is the subject of its post. Raises `FleetError` where the person may not decide, or
        it cannot be done, and the errors of the forge: it may be decided again then.
        """
        async with self._turns.setdefault(draft, asyncio.Lock()):
            wish = await self._wishes.find(draft)
            if wish is None or wish.what is None:
                return None if yes is None else await self._over(wish)
            name = "new" if isinstance(wish.what, NewIssue) else "retry"
            await self._admit(name, said)
            if yes is None:
                return Post(say(drafts.unclear()))
            if not yes:
                await self._wishes.settle(settled(draft, Fate.DROPPED, said.actor))
                return Post(say(drafts.dropped()))
            if isinstance(wish.what, NewIssue):
                return await self._open(wish.what, draft, said)
            return await self._begin_anew(wish.what, draft, said)

    # what is wished

    def _repo(self, command: spec.New, said: Said) -> str:
        repo = self._desk.references.repo(command.repo or "", said.default_repo)
        if not self._desk.hears(said)(repo):
            raise not_of_this_room(repo)
        return repo

    async def _replied_to(self, said: Said) -> str:
        """The message that it answers, as a quotation that says whose it is."""
        if not said.answers:
            return ""
        found = await self._message(said.room, said.answers)
        if found is None:
            raise Invalid("What you reply to cannot be read: write the text below the title.")
        sender, text = found
        return f"{code(sender)} said:\n\n{told(text, _LONGEST_BODY // 2)}"

    async def _asked(self, wish: Wish, said: Said) -> Post:
        now, files = self._desk.fleet.clock(), tuple[File, ...]()
        match wish.what:
            case NewIssue() as what:
                body = drafts.opening(what, self._label, wish.expires_at, now)
                files = drafts.whole(what)
            case Again(task=id):
                body = drafts.beginning_anew(await self._task(id), wish.expires_at, now)
            case None:
                return await self._over(wish)
        about = About(PostKind.DRAFT, wish.id)
        instead = Post(say(drafts.too_long()))
        return Post(body, about=about, buttons=(YES, NO), files=files, whole=True, instead=instead)

    # what is decided

    async def _open(self, what: NewIssue, draft: str, said: Said) -> Post:
        """However often it is tried, there is one issue: the draft is its key."""
        request = wire.NewTaskRequest(repo=what.repo, title=what.title, body=_signed(what))
        view = await self._desk.tasks.create(request, said.actor, key=f"draft:{draft}")
        task = await self._task(TaskId(view.id))
        await self._wishes.settle(settled(draft, Fate.DONE, said.actor, task.id))
        return Post(answers.moved("🆕", task, "is opened.", *self._desk.reasons(task)))

    async def _begin_anew(self, what: Again, draft: str, said: Said) -> Post:
        fleet, task = self._desk.fleet, await self._task(what.task)
        await self._desk.tasks.must_be_open(task)
        done = settled(draft, Fate.DONE, said.actor, task.id)
        arrival = Arrival(key=f"confirmed:{draft}", kind="command", at=fleet.clock())
        beside = Beside(arrival, handled=(done,))
        await fleet.commit(cmd.RetryTask(task.id), self._desk.context(said), beside)
        task = fleet.state.tasks[task.id]
        return Post(answers.moved("🔁", task, "is begun anew.", *self._desk.reasons(task)))

    async def _over(self, wish: Wish | None) -> Post:
        if wish is None:
            return Post(say(drafts.unknown()))
        if wish.task:
            return Post(self._desk.explained(await self._task(wish.task)))
        return Post(say(drafts.fate_of(wish)))

    async def _task(self, id: TaskId) -> Task:
        task = await self._desk.fleet.task(id)
        assert task is not None  # tasks stay
        return task


def _checked_title(title: str) -> str:
    title = " ".join(title.split())
    if len(title) > _LONGEST_TITLE:
        raise Invalid(
            f"The first line is the title, and Forgejo takes {_LONGEST_TITLE} letters: write the"
            " rest below it.",
            field="title",
        )
    return title


def _checked_body(body: str) -> str:
    if len(body) > _LONGEST_BODY:
        raise Invalid(f"An issue takes {_LONGEST_BODY} letters here: shorten it.", field="body")
    return body


def _signed(what: NewIssue) -> str:
    """With who asked for it, whom that does not mention: on the forge it may be somebody else."""
    return f"{what.body}\n\n---\nAsked for in Matrix by {code(what.by)}.".lstrip("\n")
