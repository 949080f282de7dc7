"""What a runner tells of the machine that it is on."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from fleetbot.domain.machine import MachineFacts
from fleetbot.wire.base import ShortText

Bytes = Annotated[int, Meta(ge=0, le=2**63 - 1)]


class MachineReport(msgspec.Struct, frozen=True, kw_only=True):
    """Versions of what works there, the kind of the sandbox (`none`, `bubblewrap`), and the disk
    below the runner's root. Empty and null: it could not find out.

    `is_root`: the runner is root. `least_free`: with less on the disk it takes nothing. Fields that
    are not known are ignored: whoever sends it may be newer.
    """

    fleetbot: ShortText = ""
    python: ShortText = ""
    git: ShortText = ""
    system: ShortText = ""
    sandbox: ShortText = ""
    is_root: bool = False
    disk_free: Bytes | None = None
    least_free: Bytes | None = None

    @property
    def machine(self) -> MachineFacts:
        return MachineFacts(**msgspec.structs.asdict(self))

    @classmethod
    def of(cls, machine: MachineFacts) -> MachineReport:
        return cls(**msgspec.structs.asdict(machine))
