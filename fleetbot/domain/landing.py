"""Whether a task's pull request may be merged, and what is recorded of its landing.

Pure. What is merged is always the commit that was verified: its own, or the same work brought up to
date with the base. What branch protection wants is Forgejo's to say.
"""

from __future__ import annotations

from typing import NamedTuple

from fleetbot.domain import commands as cmd
from fleetbot.domain import events as ev
from fleetbot.domain.ci import quoted
from fleetbot.domain.draft import Draft, Drafts
from fleetbot.domain.errors import Conflict
from fleetbot.domain.lookup import the_task
from fleetbot.domain.model import Policy, Task, TaskState
from fleetbot.domain.pulls import LANDING, PullState, Standing, Watch
from fleetbot.domain.state import FleetState, task_stream


class Hindrance(NamedTuple):
    """Why it is not merged now: a word, and a sentence or two with the way out. `passes`: that may
    end by itself in a little while."""

    why: str
    text: str
    passes: bool = False


def hindrance(state: FleetState, task: Task, policy: Policy, pusher: str = "") -> Hindrance | None:
    """What keeps the pull request from being merged, as far as was seen; None where nothing does.

    `pusher`: who made its head, where that is not what was verified.
    """
    watch = task.pull
    if watch is None:
        return Hindrance("none", f"{task.ref} has no pull request that was verified.")
    if watch.state is not PullState.OPEN:
        return Hindrance("over", f"Pull request #{watch.number} is {watch.state} already.")
    if task.state is not TaskState.COMPLETED:
        text = f"{task.ref} is not done: its pull request can be merged once it is."
        return Hindrance("at_work", text)
    return (
        _of_the_commit(watch, pusher)
        or _of_the_base(watch, verified_base(state, task))
        or _of_ci(watch.standing, policy)
        or _of_people(watch.standing)
    )


def verified_base(state: FleetState, task: Task) -> str:
    """The branch that the work was verified for; "" where an old journal does not tell."""
    filed = state.receipts.get(task.receipt) if task.receipt else None
    return filed.evidence.base if filed and filed.evidence else task.base


def _of_the_commit(watch: Watch, pusher: str) -> Hindrance | None:
    seen = watch.standing
    if not seen.head:
        return Hindrance("unseen", "Its pull request was not looked at yet: try again.", True)
    if seen.head == watch.head:
        return None
    by = f", by {quoted(pusher)}" if pusher else ""
    return Hindrance(
        "head_moved",
        f"Its head is {quoted(seen.head[:12])}{by}; what was verified is "
        f"{quoted(watch.head[:12])}. Say on the pull request what is to be done with it, calling "
        "the bot: what comes of that is verified. Or merge it on Forgejo yourself.",
    )


def _of_the_base(watch: Watch, verified: str) -> Hindrance | None:
    seen = watch.standing
    if verified and seen.base != verified:
        return Hindrance(
            "retargeted",
            f"It goes to {quoted(seen.base)} now, and was verified for {quoted(verified)}. Point "
            "it there again on Forgejo, have it worked on again, or merge it there yourself.",
        )
    if seen.draft:
        text = "It is a draft: mark it as ready for review on Forgejo."
        return Hindrance("draft", text)
    if seen.conflict:
        text = f"It conflicts with {quoted(seen.base)}; the agent is to merge that first."
        return Hindrance("conflict", text)
    if seen.conflict is None:
        text = "Forgejo has not found out yet whether it can be merged: try again in a moment."
        return Hindrance("unsettled", text, True)
    return None


def _of_ci(seen: Standing, policy: Policy) -> Hindrance | None:
    match seen.ci:
        case "green":
            return None
        case "none" if policy.land_without_ci:
            return None
        case "none":
            return Hindrance("no_ci", "No CI has run for it, and `verify.without_ci` wants one.")
        case "pending":
            return Hindrance("ci_pending", "Its CI has not finished: wait for that.", True)
        case "red":
            failing = ", ".join(map(quoted, seen.failing[:5]))
            return Hindrance("ci_red", f"Its CI is red: {failing}.")
        case _:
            return Hindrance("ci_unread", "Its CI could not be read: try again.", True)


def _of_people(seen: Standing) -> Hindrance | None:
    if not seen.changes_asked:
        return None
    who = ", ".join(map(quoted, seen.changes_asked[:5]))
    text = f"Changes are asked for, by {who}: they approve it, or their review is dismissed, first."
    return Hindrance("changes_asked", text)


# what is recorded


def land(state: FleetState, command: cmd.Land, policy: Policy) -> Drafts:
    """() where that is under way already; raises Conflict with what keeps it from being merged.
    One whose base is to be merged into it may be anything that passes by that."""
    task = the_task(state, command.task)
    if held := hindrance(state, task, policy, command.pusher):
        raise Conflict(held.text, field="issue")
    assert task.pull is not None  # else that would be a hindrance
    under_way = task.pull.landing
    if under_way and (under_way.head, under_way.step) == (task.pull.head, command.step):
        return ()
    landing = ev.PullLanding(head=task.pull.head, by=command.by, step=command.step)
    return (Draft(task_stream(task.id), landing),)


def note_update(state: FleetState, command: cmd.NoteUpdate) -> Drafts:
    task = the_task(state, command.task)
    watch = task.pull
    if watch is None or watch.state is not PullState.OPEN or watch.head != command.was:
        return ()
    if task.state is not TaskState.COMPLETED:
        return ()  # what is at work on it is verified when that is done
    updated = ev.PullUpdated(head=command.head, was=command.was)
    return (Draft(task_stream(task.id), updated),)


def give_up(state: FleetState, command: cmd.GiveUpLanding) -> Drafts:
    """Where it was the repository's wish, and comes to the same a second time, people are asked."""
    task = the_task(state, command.task)
    watch = task.pull
    landing = watch.landing if watch else None
    if watch is None or landing is None or landing.head != command.head:
        return ()
    stream = task_stream(task.id)
    given_up = Draft(stream, ev.PullNotLanded(why=command.why, text=command.text, by=landing.by))
    is_again = not landing.by and watch.unlanded == command.why
    if not is_again or LANDING in watch.asked:
        return (given_up,)
    return (given_up, Draft(stream, ev.PullAsked(about=LANDING, text=command.text)))
