"""The life of a session as a table: the table is the code.

    opening → working ⇄ resting → draining → stopping → gone

Pure: it is told what happened and answers what is to be done. Nothing here waits; what may pass
before the next step is the clocks' part (`clocks.Clocks.next`), which know a deadline for every
state that could otherwise last.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from fleetbot.domain.reasons import ReasonCode


class State(StrEnum):
    OPENING = "opening"
    """Started; not a word yet."""
    WORKING = "working"
    RESTING = "resting"
    """It said how its turn went, and work it announced goes on in the background."""
    DRAINING = "draining"
    """The conversation is over and its input closed: it should exit."""
    STOPPING = "stopping"
    """It is being ended, each step of that bounded by the grace."""
    GONE = "gone"


class Happening(StrEnum):
    SPOKE = "spoke"
    """A line of output."""
    RESTED = "rested"
    """A turn ended; background work goes on."""
    RESUMED = "resumed"
    """The program began another turn by itself."""
    HUNG_UP = "hung up"
    """The conversation is over."""
    SILENT = "silent"
    """A clock that measures silence ran out."""
    EXPIRED = "expired"
    """The wall clock ran out."""
    ORDERED = "ordered"
    """Somebody wants it ended."""
    EXITED = "exited"


class Act(StrEnum):
    NOTHING = "nothing"
    CLOSE_INPUT = "close input"
    INTERRUPT = "interrupt"
    """Ask it to end its turn, then signal."""
    SIGNAL = "signal"


S, H, A = State, Happening, Act


class Rule(NamedTuple):
    """`target` None keeps the state. `judged`: the run ends for the reason that came with the
    event, whatever the program says of itself; else what it said stands."""

    sources: tuple[State, ...]
    event: Happening
    target: State | None
    act: Act
    judged: bool
    note: str


_BUSY = (S.OPENING, S.WORKING)
_ALIVE = (*_BUSY, S.RESTING, S.DRAINING, S.STOPPING)

TABLE: tuple[Rule, ...] = (
    Rule((S.OPENING,), H.SPOKE, S.WORKING, A.NOTHING, False, "it came up"),
    Rule((S.WORKING, S.RESTING, S.DRAINING, S.STOPPING), H.SPOKE, None, A.NOTHING, False, ""),
    Rule((*_BUSY, S.RESTING), H.RESTED, S.RESTING, A.NOTHING, False, "background work goes on"),
    Rule((*_BUSY, S.RESTING), H.RESUMED, S.WORKING, A.NOTHING, False, "it goes on by itself"),
    Rule((*_BUSY, S.RESTING), H.HUNG_UP, S.DRAINING, A.CLOSE_INPUT, False, "it may exit now"),
    Rule((S.STOPPING,), H.HUNG_UP, None, A.CLOSE_INPUT, False, "an interrupt was heard"),
    Rule(_BUSY, H.SILENT, S.STOPPING, A.INTERRUPT, True, "it hangs"),
    Rule((S.RESTING,), H.SILENT, S.DRAINING, A.CLOSE_INPUT, False, "what it said stands"),
    Rule((S.DRAINING,), H.SILENT, S.STOPPING, A.SIGNAL, False, "it should have exited"),
    Rule((*_BUSY, S.RESTING), H.EXPIRED, S.STOPPING, A.INTERRUPT, True, "its time is over"),
    Rule((S.DRAINING,), H.EXPIRED, S.STOPPING, A.SIGNAL, False, "what it said stands"),
    Rule((*_BUSY, S.RESTING), H.ORDERED, S.STOPPING, A.INTERRUPT, True, "it is taken away"),
    Rule((S.DRAINING,), H.ORDERED, S.STOPPING, A.SIGNAL, True, "it is taken away"),
    Rule(_ALIVE, H.EXITED, S.GONE, A.NOTHING, False, ""),
    # What comes late changes nothing.
    Rule((S.DRAINING,), H.HUNG_UP, None, A.NOTHING, False, ""),
    Rule((S.DRAINING, S.STOPPING), H.RESTED, None, A.NOTHING, False, ""),
    Rule((S.DRAINING, S.STOPPING), H.RESUMED, None, A.NOTHING, False, ""),
    Rule((S.STOPPING,), H.SILENT, None, A.NOTHING, False, ""),
    Rule((S.STOPPING,), H.EXPIRED, None, A.NOTHING, False, ""),
    Rule((S.STOPPING,), H.ORDERED, None, A.NOTHING, False, "the first reason stands"),
    *(Rule((S.GONE,), event, None, A.NOTHING, False, "") for event in Happening),
)
RULES = {(source, rule.event): rule for rule in TABLE for source in rule.sources}


class Life:
    """Where a session is, and why it was ended if it did not end by itself."""

    def __init__(self, *, greets: bool) -> None:
        self.state = State.OPENING if greets else State.WORKING
        self.verdict: tuple[ReasonCode, str] | None = None

    def on(
        self, event: Happening, reason: ReasonCode = ReasonCode.AGENT_FAILED, detail: str = ""
    ) -> Act:
        """What is to be done about it. `reason` and `detail` count where the table judges."""
        rule = RULES[self.state, event]
        self.state = rule.target or self.state
        if rule.judged:
            self.verdict = (reason, detail)
        return rule.act

    @property
    def hears(self) -> bool:
        """Whether the program can still be told something."""
        return self.state in (State.OPENING, State.WORKING, State.RESTING)
