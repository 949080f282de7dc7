"""What setup goes through, one after the other."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from fleetbot.services.findings import Finding


class Stage(ABC):
    """One thing that setup sees to: how it is, how it is made so, how that is taken back.

    All may be asked for twice. A finding with an `offer` is what `do` would do. `is_needed`: where
    it is bad, what follows makes no sense. Raises the errors of the servers.
    """

    is_needed = True

    @abstractmethod
    async def look(self) -> Sequence[Finding]: ...

    async def do(self) -> None:
        """Nothing is offered where there is nothing to do."""
        return

    def made(self) -> str:
        """What there is to take back, in words; "" for nothing."""
        return ""

    async def undo(self) -> None:
        """Of what was made only that is taken back."""
        return
