"""What the board shows, to whom it may be shown. Times are epoch milliseconds."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from fleetbot.domain.model import TaskState
from fleetbot.domain.pulls import PullState
from fleetbot.wire.base import Answer, Message
from fleetbot.wire.people import WaitingView
from fleetbot.wire.usage import UsageView


class BoardSessionRequest(Message, frozen=True):
    """`POST board/session`: what stands in a link behind `#key=`, or a reader's token. `framed`:
    the board is shown inside another page, as a widget is."""

    key: Annotated[str, Meta(min_length=1, max_length=4000)]
    framed: bool = False


class BoardViewer(Answer, frozen=True):
    """Who looks, until when; `repos` they see, `sees_all` where those are all there are."""

    name: str
    sees_all: bool
    repos: tuple[str, ...] = ()
    until: int = 0


class BoardRun(Answer, frozen=True):
    """What an agent is at. Of a task that the viewer may not see, only `since`."""

    since: int
    task: str | None = None
    ref: str = ""
    title: str = ""
    is_checked: bool = False


class BoardAgent(Answer, frozen=True):
    """`standing` in a word, `says` why it takes nothing, `remedy` what would change that."""

    name: str
    standing: str
    adapter: str
    says: str = ""
    remedy: str = ""
    until: int | None = None
    host: str = ""
    account: str = ""
    capabilities: tuple[str, ...] = ()
    max_concurrency: int = 1
    runs: tuple[BoardRun, ...] = ()
    ills: tuple[str, ...] = ()


class BoardPull(Answer, frozen=True):
    """`says`: the one thing to know of it, if there is one."""

    number: int
    state: PullState
    url: str = ""
    says: str = ""


class BoardTask(Answer, frozen=True):
    """`since`: when it came into its state. `waiting`: null where it moves, or is over; `reason`:
    how it ended, in words."""

    id: str
    repo: str
    issue: int
    title: str
    kind: str
    priority: str
    state: TaskState
    since: int
    created_at: int
    updated_at: int
    url: str = ""
    agent: str | None = None
    attempt: int = 0
    reason: str = ""
    waiting: WaitingView | None = None
    flags: tuple[str, ...] = ()
    pull: BoardPull | None = None


class BoardNeed(Answer, frozen=True):
    """`number` tasks that wait for a person for the same reason, `task` for longest."""

    number: int
    task: BoardTask


class BoardCounts(Answer, frozen=True):
    """Of open tasks: at work, in the queue, and stopped until a person says how they go on."""

    working: int
    queued: int
    stopped: int


class BoardToday(Answer, frozen=True):
    """What came of this day so far, in UTC."""

    verified: int = 0
    failed: int = 0
    merged: int = 0


class BoardTrouble(Answer, frozen=True):
    """Something around the fleet that is not well."""

    name: str
    says: str


class BoardFleet(Answer, frozen=True):
    """`GET board`: the fleet at a glance. `seq`: the last event that is in it. `halts`: what people
    have paused, or the budget. `more_agents`: so many are not among `agents`. `forge`: Forgejo's
    address, which all links begin with."""

    viewer: BoardViewer
    seq: int
    version: str
    forge: str
    counts: BoardCounts
    today: BoardToday
    agents: tuple[BoardAgent, ...]
    more_agents: int = 0
    needs: tuple[BoardNeed, ...] = ()
    needing: int = 0
    halts: tuple[str, ...] = ()
    troubles: tuple[BoardTrouble, ...] = ()


class BoardTasks(Answer, frozen=True):
    """`next`: give it as `after` for the following page; absent on the last."""

    tasks: tuple[BoardTask, ...]
    total: int | None = None
    next: str | None = None


class BoardStep(Answer, frozen=True):
    """Something that happened to a task, in words; `times` it did, the last time as `seq`."""

    seq: int
    at: int
    type: str
    says: str
    by: str = ""
    times: int = 1
    details: tuple[str, ...] = ()


class BoardFact(Answer, frozen=True):
    """What Forgejo showed, and `holds`: what that had to hold up to."""

    name: str
    value: str
    url: str = ""
    holds: str = ""


class BoardContext(Answer, frozen=True):
    """A CI context, in Forgejo's word for its state."""

    name: str
    state: str


class BoardProof(Answer, frozen=True):
    """How a receipt was checked. `more_contexts`: so many are not named."""

    receipt: str
    agent: str
    filed_at: int
    checked_at: int
    facts: tuple[BoardFact, ...]
    contexts: tuple[BoardContext, ...] = ()
    more_contexts: int = 0
    files: tuple[str, ...] = ()
    more_files: int = 0
    summary: str = ""


class BoardStory(Answer, frozen=True):
    """`GET board/tasks/{task}`: its whole story, oldest step first. `pull_says`: where its pull
    request stands. `earlier`: so many steps before the first are left out, and `archived`: so many
    events before them are in the journal's archive only."""

    task: BoardTask
    author: str
    base: str = ""
    branch: str = ""
    needs: tuple[str, ...] = ()
    spent: UsageView = UsageView()
    runs: int = 0
    pull_says: tuple[str, ...] = ()
    proofs: tuple[BoardProof, ...] = ()
    steps: tuple[BoardStep, ...] = ()
    earlier: int = 0
    archived: int = 0


class BoardEvent(Answer, frozen=True):
    """An event as the board's stream tells it: of a task, of an agent, or of all the fleet."""

    seq: int
    at: int
    type: str
    says: str
    by: str = ""
    task: str | None = None
    ref: str = ""
    title: str = ""
    agent: str | None = None
