"""What happens to the pull request of a task after it was verified."""

from __future__ import annotations

from fleetbot.domain.events.base import Event
from fleetbot.domain.pulls import LandingStep, Standing
from fleetbot.domain.reruns import Rerun
from fleetbot.domain.usage import Usage


class PullSeen(Event, frozen=True, tag="pull.seen"):
    """It shows something else than before."""

    standing: Standing


class PullAsked(Event, frozen=True, tag="pull.asked"):
    """fleetbot does not go on by itself, and asks people. `about` names what it is that they are
    asked, once: `reviews`, `ci`, `conflict`, `budget`, …"""

    about: str
    text: str


class PullRerun(Event, frozen=True, tag="pull.rerun"):
    """Red jobs of the commit `head` are to be run again, once, before anybody mends them: they have
    passed before, and speak of nothing that has changed since."""

    head: str
    jobs: tuple[Rerun, ...]


class PullMerged(Event, frozen=True, tag="pull.merged"):
    """The work has landed, as commit `commit`; the task is at its end whatever it was doing. `by`:
    who merged it, where Forgejo tells; `wanted_by`: the account of the person who had it merged.

    `usage` is that of the run that was stopped, if one was.
    """

    commit: str = ""
    usage: Usage = Usage()
    by: str = ""
    wanted_by: str = ""


class PullClosed(Event, frozen=True, tag="pull.closed"):
    """It was closed without being merged."""


class PullLeft(Event, frozen=True, tag="pull.left"):
    """It was closed so long ago that it is not looked after any more, until it is reopened."""


class PullReopened(Event, frozen=True, tag="pull.reopened"):
    """It was closed, and is open again."""


class PullLanding(Event, frozen=True, tag="pull.landing"):
    """It is to be merged, with exactly `head`. `by`: the account on Forgejo of who wants it; ""
    where the repository's setting does. `step`: what is done for that now."""

    head: str
    by: str = ""
    step: LandingStep = LandingStep.MERGE


class PullUpdated(Event, frozen=True, tag="pull.updated"):
    """Commit `was`, which was verified, was brought up to date with its base, by us or by people:
    `head` has its files and those of the base, put together without a conflict, and no other. It is
    what counts as verified from then on."""

    head: str
    was: str


class PullNotLanded(Event, frozen=True, tag="pull.not_landed"):
    """It was to be merged, and is not. `why` is a word for it, `text` says it to people; `by` as of
    `PullLanding`: whose wish it was."""

    why: str
    text: str
    by: str = ""
