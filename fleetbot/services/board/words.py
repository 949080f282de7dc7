"""What the board says of events beside the sentence of a story: all of what was said, and what
happens to agents, repositories and the fleet. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from fleetbot.domain import events as ev
from fleetbot.domain.reasons import REASONS
from fleetbot.domain.wording import shorten

_LONGEST = 4_000  # characters of one detail
_MOST = 50


def details(event: ev.AnyEvent) -> tuple[str, ...]:
    """What a sentence has no room for."""
    told = [shorten(text, _LONGEST) for text in _details(event) if text.strip()]
    more = (f"… and {len(told) - _MOST} more",) if len(told) > _MOST else ()
    return (*told[:_MOST], *more)


def _details(event: ev.AnyEvent) -> Iterator[str]:
    match event:
        case ev.TaskAssigned(branch=branch):
            yield f"On branch {branch}."
        case ev.TaskFailed(reason=reason, detail=detail):
            yield detail
            yield REASONS[reason].advice
        case ev.TaskAgentLost(reason=reason) | ev.TaskCancelled(reason=reason):
            yield REASONS[reason].advice
        case ev.TaskBased(problem=problem):
            yield problem
        case ev.TaskBlocked(blockers=blockers):
            yield from (blocker.name for blocker in blockers)
        case ev.TaskOverlaps(files=files, count=count):
            yield from files
            if count > len(files):
                yield f"… and {count - len(files)} more"
        case _:
            yield from _of_work(event)


def _of_work(event: ev.AnyEvent) -> Iterator[str]:
    match event:
        case ev.ReceiptFiled(receipt=receipt):
            yield f"Commit {receipt.head} on branch {receipt.branch}."
            yield receipt.summary
            yield from (f"{one.answer}: {one.text}" for one in receipt.replies)
        case ev.ReceiptRefuted(reasons=reasons):
            yield from reasons
        case ev.ReceiptUnknown(unread=unread):
            yield from unread
        case ev.RunAsked(title=title):
            yield title
        case ev.RunAnswered(text=text) | ev.RunMessaged(text=text) | ev.TaskNoted(text=text):
            yield text
        case ev.PullAsked(text=text) | ev.PullNotLanded(text=text):
            yield text
        case ev.PullMerged(commit=commit) if commit:
            yield f"As commit {commit}."
        case _:
            return


def of_agent(event: ev.AgentEvent) -> str:
    match event:
        case ev.AgentRegistered():
            return "has told what it can do"
        case ev.AgentOnline():
            return "is online"
        case ev.AgentOffline():
            return "is offline"
        case ev.AgentParked(reason=reason):
            return f"rests: {REASONS[reason].text}"
        case ev.AgentFaulted(reason=reason):
            return f"did not get through a run: {REASONS[reason].text}"
        case ev.AgentUnwell(reason=reason):
            return f"is unwell: {REASONS[reason].text}"
        case ev.AgentWell():
            return "is well again"
        case ev.AgentDrained():
            return "takes nothing new, as a person wishes"
        case ev.AgentResumed():
            return "takes tasks again, as a person wishes"
        case ev.AgentDeregistered():
            return "has signed off"
        case ev.AgentRevoked():
            return "was revoked"
        case ev.AgentForgotten():
            return "was forgotten"


def of_fleet(event: ev.FleetEvent) -> str:
    match event:
        case ev.FleetPaused(reason=reason):
            return f"The fleet rests: {REASONS[reason].text}"
        case ev.FleetResumed():
            return "The fleet goes on before its rest is over"
        case ev.FleetFrozen():
            return "The fleet is paused"
        case ev.FleetThawed():
            return "The fleet goes on"


def of_repo(event: ev.RepoEvent) -> str:
    """What stands behind the repository's name."""
    match event:
        case ev.RepoKnown():
            return "is known"
        case ev.RepoRenamed(was=was):
            return f"is the name of {was} now"
        case ev.RepoHeld(reason=reason):
            return f"is held: {REASONS[reason].text}"
        case ev.RepoReleased():
            return "is no longer held"
        case ev.RepoFrozen():
            return "is paused"
        case ev.RepoThawed():
            return "goes on"
