"""The fate of a person's words to a run, shown as the one reaction of ours on them."""

from __future__ import annotations

import msgspec

from fleetbot.chat.speaking.content import content, in_reply
from fleetbot.chat.speaking.destinations import room_of
from fleetbot.chat.speaking.link import Link, transaction
from fleetbot.chat.speaking.reactions import show
from fleetbot.chat.speaking.sender import Where, decoded
from fleetbot.chat.talks.spoken import Spoken, where_said
from fleetbot.chat.words.fates import EMOJI, Fate, came_late, fate_of
from fleetbot.domain import effects as fx
from fleetbot.domain.model import Message, Run
from fleetbot.services.fleet import Fleet
from fleetbot.services.outbox import Sender
from fleetbot.store.records import Due

_KIND = fx.kind(fx.ShowFate)
_effect: msgspec.json.Decoder[fx.ShowFate] = msgspec.json.Decoder(fx.ShowFate)


async def emoji_of(fleet: Fleet, effect: fx.ShowFate) -> str | None:
    """What would be shown of it now; None for nothing."""
    run, message = await _said(fleet, effect)
    return EMOJI.get(fate_of(fleet.state.tasks[run.task], run, message))


async def _said(fleet: Fleet, effect: fx.ShowFate) -> tuple[Run, Message]:
    await fleet.recall_run(effect.run)
    run = fleet.state.runs[effect.run]
    (message,) = (known for known in run.messages if known.id == effect.message)
    return run, message


class Fates:
    """The sender of fates; `others` sends everything else."""

    def __init__(self, fleet: Fleet, link: Link, where: Where, others: Sender) -> None:
        self._fleet = fleet
        self._link = link
        self._where = where
        self._others = others

    async def __call__(self, due: Due) -> str:
        """Answers the event id of what was sent, or why nothing was."""
        if due.entry.kind != _KIND:
            return await self._others(due)
        effect = decoded(_effect, due.entry)
        spoken = await where_said(self._fleet.store, effect.run, effect.message)
        room = await self._where(room_of(due.entry.destination))
        if spoken is None or spoken.room != room:
            return "said elsewhere"
        return await self._show(*await _said(self._fleet, effect), spoken)

    async def _show(self, run: Run, message: Message, spoken: Spoken) -> str:
        state = self._fleet.state
        task = state.tasks[run.task]
        fate = fate_of(task, run, message)
        emoji, all_of_them = EMOJI.get(fate), EMOJI.values()
        shown = await show(self._link, spoken.room, spoken.event, emoji, all_of_them)
        if fate is not Fate.LATE:
            return shown
        receipt = state.receipts.get(task.receipt) if task.receipt else None
        said = content(came_late(task, run, receipt), urgent=True)
        answer = in_reply(said, spoken.event, spoken.thread)
        return await self._link.send(spoken.room, answer, transaction("late", spoken.event))
