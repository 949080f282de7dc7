"""What can be wrong with a command: each error says what, and the way out."""

from __future__ import annotations


class FleetError(Exception):
    """A command that cannot be carried out. Nothing has changed when it is raised.

    `code` is stable and machine-readable; `field` names the part of the request at fault.
    """

    code = "refused"

    def __init__(self, message: str, *, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field


class NotFound(FleetError):
    """The task, run, agent or receipt named does not exist."""

    code = "not_found"


class Forbidden(FleetError):
    """The speaker may not do this; an agent that reaches for another's run gets this."""

    code = "forbidden"


class Superseded(FleetError):
    """The run is no longer current; `replaced_by` says what has taken its place."""

    code = "superseded"

    def __init__(self, message: str, *, replaced_by: str) -> None:
        super().__init__(message, field="run")
        self.replaced_by = replaced_by


class Conflict(FleetError):
    """The command does not fit the present state."""

    code = "conflict"


class Busy(FleetError):
    """The speaker has too much under way; the same request is fine a little later."""

    code = "busy"


class Invalid(FleetError):
    """A value is of the wrong shape; `field` names it."""

    code = "invalid"


class IllegalTransition(FleetError):
    """An event that the table does not allow in this state: a bug, never a user's error."""

    code = "illegal_transition"
