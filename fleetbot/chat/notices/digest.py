"""Once a day, each room that something has happened in is told what."""

from __future__ import annotations

from fleetbot.chat.speaking.audience import Audience
from fleetbot.chat.speaking.sender import kept
from fleetbot.chat.words.digest import MOST_NAMED, Day, Done, digest
from fleetbot.domain.attention import FOR_A_PERSON, attention, may_need
from fleetbot.domain.model import AgentName, AgentStatus, TaskState
from fleetbot.domain.usage import Usage, sum_usage
from fleetbot.services.daily import Daily
from fleetbot.services.fleet import Fleet
from fleetbot.store.figures import UsageBy
from fleetbot.store.records import Anchor, Change, Standing

_LATEST_MS = 3 * 3_600_000  # after that it is no morning's any more
_MOST_REPOS = 1_000


class Digest:
    """`daily`: when it comes; None for never."""

    def __init__(self, fleet: Fleet, audience: Audience, daily: Daily | None) -> None:
        self._fleet = fleet
        self._audience = audience
        self._daily = daily

    async def tick(self) -> float | None:
        """Tell what is due; in how many seconds to come again. Raises `StoreUnavailable`."""
        if self._daily is None:
            return None
        await self._fleet.start()
        now = self._fleet.clock()
        due = self._daily.latest(now)
        if now - due < _LATEST_MS:
            for room in self._audience.in_use:
                await self._tell(room, due, self._daily.latest(due - 1))
        return (self._daily.following(now) - now) / 1000

    async def _tell(self, room: str, due: int, since: int) -> None:
        """Once: that it was told is kept with it."""
        told = Anchor(key=f"digest:{room}", value=str(due))
        if int(await self._fleet.store.anchor(told.key) or 0) >= due:
            return
        day, now = await self._day(room, since), self._fleet.clock()
        entry = kept(room, digest(day), id=f"digest/{due}/{room}", at=now)
        await self._fleet.post(Change(anchors=(told,), outbox=() if day.is_empty else (entry,)))

    async def _day(self, room: str, since: int) -> Day:
        state, ended = self._fleet.state, await self._ended(room, since)
        heard = [
            task
            for task in state.tasks.values()
            if may_need(task) and self._audience.hears(room, task.repo)
        ]
        agents = [
            agent
            for agent in state.agents.values()
            if agent.status is not AgentStatus.DEREGISTERED
            and await self._audience.hears_agent(room, AgentName(agent.name))
        ]
        offline = [agent.name for agent in agents if agent.status is AgentStatus.OFFLINE]
        return Day(
            since=since,
            done=[its for its in ended if its.task.entered_at >= since and not its.merged_at],
            merged=[its for its in ended if its.merged_at >= since],
            failed=[t for t in heard if t.state in FOR_A_PERSON and t.entered_at >= since],
            waiting=attention(state, heard, self._fleet.clock(), self._fleet.policy, MOST_NAMED),
            spent=await self._spent(room, since),
            online=len(agents) - len(offline),
            offline=offline,
        )

    async def _ended(self, room: str, since: int) -> list[Done]:
        found: list[Done] = []
        for repo in list(self._fleet.state.places.repos.values()):
            if self._audience.hears(room, repo.name):
                for its in await self._fleet.store.ended(repo, since):
                    if its.task.state is TaskState.COMPLETED:
                        found.append(_done(its))
        return found

    async def _spent(self, room: str, since: int) -> Usage:
        repos = await self._fleet.store.usage_by(UsageBy.REPO, since=since, limit=_MOST_REPOS)
        return sum_usage(its.usage for its in repos if self._audience.hears(room, its.key))


def _done(its: Standing) -> Done:
    """Tasks of before pull requests were watched have them in their receipts."""
    if its.task.pull:
        return Done(its.task, its.task.pull.number, its.task.pull.merged_at)
    return Done(its.task, its.receipt.receipt.pull_request if its.receipt else 0)
