"""What becomes of a person's words to a run: pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum

from fleetbot.chat.words.rich import Rich, bullets, code, one_line, rows, say
from fleetbot.chat.words.wording import named, pull_link
from fleetbot.domain.model import FiledReceipt, Message, Run, RunState, Taken, Task, TaskState
from fleetbot.domain.wording import STATE_WORDS


class Fate(StrEnum):
    QUEUED = "queued"
    READ = "read"
    NEXT = "next"  # the next attempt is told
    LATE = "late"  # there is none: the task is done


EMOJI: Mapping[Fate, str] = {Fate.QUEUED: "👀", Fate.READ: "✅", Fate.NEXT: "⏭️"}


def fate_of(task: Task, run: Run, message: Message) -> Fate:
    if message.taken is Taken.DELIVERED:
        return Fate.READ
    if run.state is not RunState.ENDED:
        return Fate.NEXT if message.taken is Taken.KEPT else Fate.QUEUED
    # A program that was started again after a refutation has been told what was kept.
    told = message.taken is Taken.KEPT and run.refutations > 0
    return Fate.LATE if task.state is TaskState.COMPLETED and not told else Fate.NEXT


def nobody_hears(task: Task) -> Rich:
    """Why words to a task's agent come too late, and what to do."""
    return rows(
        say("⌛ ", named(task), f" is {STATE_WORDS[task.state]}: nobody would hear this."),
        _have_more_done(task)
        or say("Write it on the issue and have it done again: ", code(f"!fleet retry {task.ref}")),
    )


def _have_more_done(task: Task) -> Rich | None:
    """Where its pull request is open, nothing need be begun anew."""
    if not task.is_to_be_merged:
        return None
    return say("To have more done on its pull request: ", code(f"!fleet again {task.ref} …"))


def which_one(tasks: Sequence[Task]) -> Rich:
    """Asked where words may be for several runs."""
    return rows(
        say("🤔 For which of them? Reply to a message of its log, or say so:"),
        bullets(
            say(code(f"!fleet tell {task.ref} …"), " ", one_line(task.traits.title))
            for task in tasks
        ),
    )


def came_late(task: Task, run: Run, receipt: FiledReceipt | None) -> Rich:
    """What the speaker is told whose words nobody will read, with the way out."""
    pull = pull_link(task, receipt.receipt.pull_request) if receipt else "the pull request"
    return rows(
        say("⌛ ", named(task), f" was done before {run.agent} had read this."),
        _have_more_done(task)
        or say("Write it on ", pull, ", or have it done again: ", code(f"!fleet retry {task.ref}")),
    )
