"""The part of a task's story that its pull request has: rounds, what it shows, its end. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import assert_never

from fleetbot.chat.words.rich import Rich, bold, code, one_line, prose, say
from fleetbot.domain import events as ev
from fleetbot.domain.pulls import Brief, LandingStep
from fleetbot.domain.standing import owed_to, phrases
from fleetbot.domain.wording import count, nickname

_QUOTED = 120

OfPull = (
    ev.PullSeen
    | ev.PullAsked
    | ev.PullRerun
    | ev.PullMerged
    | ev.PullClosed
    | ev.PullLeft
    | ev.PullReopened
    | ev.PullLanding
    | ev.PullUpdated
    | ev.PullNotLanded
)


def round_words(number: int, brief: Brief) -> Rich:
    """`round 2, for review and CI: what bob said in 3 threads, CI's unit`."""
    told = [*_spoken(brief), *(f"CI's {one_line(check.context, 40)}" for check in brief.checks[:3])]
    if brief.base:
        told.append(f"the conflict with {one_line(brief.base, 40)}")
    what = f": {', '.join(told)}" if told else ""
    return say(bold(f"round {number}"), f", for {owed_to(brief.kinds)}{what}")


def _spoken(brief: Brief) -> Iterator[str]:
    """Whose words it is for; the fleet's own in a thread are none."""
    said = [*brief.words, *(words for thread in brief.threads for words in thread.words)]
    people = dict.fromkeys(one_line(nickname(one.author), 40) for one in said if not one.ours)
    if people:
        where = f" in {count(len(brief.threads), 'thread')}" if brief.threads else ""
        yield f"what {', '.join([*people][:3])} said{where}"


def of_pull(event: OfPull) -> Rich:
    match event:
        case ev.PullSeen(standing=standing):
            seen = ", ".join(phrases(standing))
            return say("the pull request: ", prose(seen or "nothing is asked of it"))
        case ev.PullAsked(text=text):
            return say("people were asked how it goes on: ", prose(one_line(text, _QUOTED)))
        case ev.PullRerun(jobs=jobs):
            names = ", ".join(one_line(job.context, 40) for job in jobs[:3])
            return say(f"CI's {names} passed before and may again: run again once")
        case ev.PullMerged(by=by, wanted_by=wanted_by):
            wish = f", for {one_line(wanted_by, 60)}" if wanted_by not in ("", by) else ""
            return say(bold("merged"), f", by {one_line(by, 60)}" if by else "", wish)
        case ev.PullClosed():
            return say("the pull request was closed without being merged")
        case ev.PullLeft():
            return say("nobody has reopened the pull request: it is looked after no more")
        case ev.PullReopened():
            return say("the pull request is open again")
        case ev.PullLanding(head=head, step=LandingStep.UPDATE):
            return say("its base is merged into it, and then it: ", code(head[:12]))
        case ev.PullLanding(head=head, by=by):
            wish = f", as {one_line(by, 60)} wants" if by else ""
            return say("is to be merged: ", code(head[:12]), wish)
        case ev.PullUpdated(head=head):
            return say("it was brought up to date with its base: ", code(head[:12]))
        case ev.PullNotLanded(text=text):
            return say("it was not merged", quoted(text))
        case _:
            assert_never(event)


def quoted(*texts: str) -> str:
    """`: “the first of them” and 2 more`."""
    said = [text for text in texts if text.strip()]
    if not said:
        return ""
    more = f" and {len(said) - 1} more" if len(said) > 1 else ""
    return f": “{one_line(said[0], _QUOTED)}”{more}"
