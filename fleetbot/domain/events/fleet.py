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


class FleetFrozen(Event, frozen=True, tag="fleet.frozen"):
    """A person wants nothing given to anybody before `fleet.thawed`; runs that are on go on."""


class FleetThawed(Event, frozen=True, tag="fleet.thawed"):
    """A person's pause of the fleet is over; one for its budget may last."""


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


class RepoFrozen(Event, frozen=True, tag="repo.frozen"):
    """A person wants none of its tasks given out before `repo.thawed`; runs that are on go on."""


class RepoThawed(Event, frozen=True, tag="repo.thawed"):
    """A person's pause of the repository is over; it may be held all the same."""


FleetEvent = FleetPaused | FleetResumed | FleetFrozen | FleetThawed
RepoEvent = RepoKnown | RepoRenamed | RepoHeld | RepoReleased | RepoFrozen | RepoThawed
