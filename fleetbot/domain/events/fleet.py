"""What happens to the fleet as a whole, and to repositories."""

from __future__ import annotations

from fleetbot.domain.events.base import Event
from fleetbot.domain.reasons import ReasonCode
from fleetbot.domain.usage import Usage


class FleetPaused(Event, frozen=True, tag="fleet.paused"):
    """Nothing is given to anybody before `until` (epoch ms). `spent`: on that day so far."""

    reason: ReasonCode
    until: int
    spent: Usage = Usage()


class FleetResumed(Event, frozen=True, tag="fleet.resumed"):
    """The pause ended before its time."""


class RepoKnown(Event, frozen=True, tag="repo.known"):
    """What a repository is, as Forgejo shows it; said again where any of it has changed."""

    name: str
    default_branch: str = ""
    former: tuple[str, ...] = ()


class RepoRenamed(Event, frozen=True, tag="repo.renamed"):
    """It was renamed or transferred."""

    name: str
    was: str


class RepoHeld(Event, frozen=True, tag="repo.held"):
    """None of its tasks are given out before `repo.released`; runs that are on go on."""

    reason: ReasonCode
    detail: str = ""


class RepoReleased(Event, frozen=True, tag="repo.released"):
    """Its tasks are given out again."""


FleetEvent = FleetPaused | FleetResumed
RepoEvent = RepoKnown | RepoRenamed | RepoHeld | RepoReleased
