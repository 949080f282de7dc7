"""Which runs' logs are still to be written to threads; known on disk, whatever restarts come.

A run is added when it has begun, which the journal tells, and when lines come after all was
written. So that beginning costs no commit of its own, the disk is told of several at once, together
with the line of the journal up to which it knows them; a restart reads on from there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec

from fleetbot.domain import events as ev
from fleetbot.domain.events import Recorded
from fleetbot.domain.model import AgentName, Run, RunId
from fleetbot.logs import log_of
from fleetbot.services.fleet import Fleet
from fleetbot.store.interface import Unreadable
from fleetbot.store.records import Anchor, Change

log = log_of("fleetbot.chat")

MOST_FOLLOWED = 100  # runs of an agent that wait for a room; of more the oldest are left out
_SEQ_STEP = 1_000  # lines of the journal that a restart may have to read again
_HEARD = "logs-heard"
_run_ids = msgspec.json.Decoder(list[RunId])


class Followed:
    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._restored = False
        self._restoring = asyncio.Lock()
        self._begun: dict[RunId, None] = {}
        self._heard = self._kept_heard = 0
        self._runs: dict[AgentName, dict[RunId, None]] = {}

    def __contains__(self, run: Run) -> bool:
        return run.id in self._runs.get(run.agent, ())

    def hear(self, lines: Sequence[Recorded]) -> None:
        """Lines of the journal, as they become durable."""
        for line in lines:
            self._heard = max(self._heard, line.seq)
            if isinstance(line.event, ev.TaskStarted):
                self._begun[line.event.run] = None

    async def restore(self) -> list[RunId]:
        """The runs to be written after a start; nothing when asked again."""
        async with self._restoring:
            if self._restored:
                return []
            await self._fleet.start()  # else there are no agents to ask about
            state = self._fleet.state
            for agent in (*state.agents, *state.forgotten):  # what it left is still to be written
                kept = await self._fleet.store.anchor(_key(agent))
                self._runs[agent] = dict.fromkeys(_run_ids.decode(kept) if kept else ())
            self._begun |= dict.fromkeys(r.id for r in state.live_runs())
            await self._read_on()
            self._restored = True
            return [*self._begun, *(run for runs in self._runs.values() for run in runs)]

    async def _read_on(self) -> None:
        """What the journal has that the disk did not know of."""
        kept = await self._fleet.store.anchor(_HEARD)
        if kept is None:
            kept = str(self._fleet.state.seq)
            await self._remember(Anchor(key=_HEARD, value=kept))
        after = self._kept_heard = int(kept)
        self._heard = max(self._heard, after)
        try:
            while lines := await self._fleet.store.events(after=after, limit=500):
                self.hear(lines)
                after = lines[-1].seq
        except Unreadable as error:
            message = "logs of runs begun after line %d of the journal may miss in threads: %s"
            log.error(message, after, error)
            self._heard = max(self._heard, self._fleet.state.seq)

    async def keep_up(self) -> None:
        """Have it on disk which runs have begun. Raises `StoreUnavailable`."""
        begun, heard = list(self._begun), self._heard
        if not begun and heard < self._kept_heard + _SEQ_STEP:
            return
        agents: dict[AgentName, None] = {}
        for id in begun:
            await self._fleet.recall_run(id)
            if (run := self._fleet.state.runs.get(id)) and run not in self:
                self._add(run)
                agents[run.agent] = None
        lists = [self._anchor(agent) for agent in agents]
        await self._remember(*lists, Anchor(key=_HEARD, value=str(heard)))
        self._kept_heard = heard
        for id in begun:
            del self._begun[id]

    async def add(self, run: Run) -> None:
        """Returns when it is on disk, or sure to be found there."""
        if run in self or run.id in self._begun:
            return
        self._add(run)
        try:
            await self._remember(self._anchor(run.agent))
        except BaseException:
            self._runs[run.agent].pop(run.id, None)
            raise

    async def remove(self, run: Run) -> None:
        """All of it is written."""
        del self._runs[run.agent][run.id]
        await self._remember(self._anchor(run.agent))

    def _add(self, run: Run) -> None:
        runs = self._runs.setdefault(run.agent, {})
        runs[run.id] = None
        if len(runs) > MOST_FOLLOWED:
            oldest = next(iter(runs))
            del runs[oldest]
            log.error("the log of %s is not written to its thread: too many wait", oldest)

    def _anchor(self, agent: AgentName) -> Anchor:
        runs = msgspec.json.encode(list(self._runs[agent])).decode()
        return Anchor(key=_key(agent), value=runs)

    async def _remember(self, *anchors: Anchor) -> None:
        await self._fleet.store.append(Change(anchors=anchors))


def _key(agent: AgentName) -> str:
    return f"logs:{agent}"
