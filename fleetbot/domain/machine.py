"""Where an agent works, as its runner tells it with each heartbeat."""

from __future__ import annotations

from msgspec.structs import replace

from fleetbot.domain.values import Value

NO_SANDBOX = "none"


class MachineFacts(Value, frozen=True):
    """Versions, the sandbox's kind (`none` where there is none), and the disk below the runner's
    root in bytes. Empty and None: it could not find out, or is too old to tell.

    `is_root`: the runner is root. `least_free`: with less on the disk it takes nothing.
    """

    fleetbot: str = ""
    python: str = ""
    git: str = ""
    system: str = ""
    sandbox: str = ""
    is_root: bool = False
    disk_free: int | None = None
    least_free: int | None = None

    @property
    def has_room(self) -> bool:
        """Whether the runner takes tasks, for all that is known of its disk."""
        if self.disk_free is None or self.least_free is None:
            return True
        return self.disk_free >= self.least_free

    def apart_from_disk(self) -> MachineFacts:
        """What does not change from one heartbeat to the next."""
        return replace(self, disk_free=None, least_free=None)

    @property
    def is_open(self) -> bool:
        """Whether an agent's program may read and change everything there."""
        return self.is_root and self.sandbox == NO_SANDBOX
