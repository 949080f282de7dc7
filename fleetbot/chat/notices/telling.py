"""All that rooms are told beside cards and logs: each kind of effect has its sender."""

from __future__ import annotations

from collections.abc import Mapping

from fleetbot.chat.notices.tasks import TaskNotices
from fleetbot.chat.notices.troubles import TroubleNotices
from fleetbot.chat.notices.waits import WaitNotices
from fleetbot.chat.speaking.audience import Audience
from fleetbot.chat.speaking.link import Link
from fleetbot.chat.speaking.persons import Persons
from fleetbot.chat.speaking.quiet import Quiet
from fleetbot.chat.speaking.sender import RoomSender, Where
from fleetbot.domain import effects as fx
from fleetbot.services.fleet import Fleet
from fleetbot.services.outbox import Sender
from fleetbot.store.records import Due


class Telling:
    """The outbox's sender to rooms; what is ready to be said goes to `sender` as it is.

    `persons` are those who are mentioned.
    """

    def __init__(
        self,
        fleet: Fleet,
        link: Link,
        sender: RoomSender,
        where: Where,
        audience: Audience,
        persons: Persons,
    ) -> None:
        quiet = Quiet(fleet.store)
        troubles = TroubleNotices(fleet, sender, where, audience, persons)
        waits = WaitNotices(fleet, sender, where, audience, persons, quiet)
        tasks = TaskNotices(fleet, link, sender, where, persons, quiet)
        self._words = sender
        self._senders: Mapping[str, Sender] = {
            fx.kind(fx.TaskNotice): tasks,
            fx.kind(fx.StuckNotice): waits,
            fx.kind(fx.AgentNotice): troubles,
            fx.kind(fx.FleetNotice): troubles,
            fx.kind(fx.RepoNotice): troubles,
        }

    async def __call__(self, due: Due) -> str:
        return await self._senders.get(due.entry.kind, self._words)(due)
