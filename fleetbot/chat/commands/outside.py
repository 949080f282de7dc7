"""How it is around the fleet, as a room is told that asks: Forgejo, and what was not delivered."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from fleetbot.chat.commands.said import Said
from fleetbot.chat.speaking.destinations import destination
from fleetbot.chat.words.rich import Rich, bold, code, prose, rows, say
from fleetbot.chat.words.roster import Hears
from fleetbot.chat.words.wording import moment
from fleetbot.domain.model import TaskId
from fleetbot.domain.wording import count, shorten, span
from fleetbot.services.fleet import Fleet
from fleetbot.services.probe import ForgeProbe
from fleetbot.services.webhooks import Webhooks
from fleetbot.store.records import DeadLetter

_LONG_MS = 24 * 3_600_000  # without a webhook; it may be that nothing happened
_PAGE = "docs/howto/connect-forgejo.md"
_AT_MOST = 5
_LETTERS = 1000


class Outside(NamedTuple):
    """`probe` and `webhooks` may both be asked at any time: they know, and look nothing up."""

    fleet: Fleet
    probe: ForgeProbe
    webhooks: Webhooks

    async def troubles(self, hears: Hears, said: Said, now: int) -> Sequence[Rich]:
        """What is wrong, each with what to do; of the room's own repositories. Empty if all is
        well."""
        letters = await self._undelivered(hears, said)
        return [told for told in (self._away(now), self._silent(hears, now), letters) if told]

    def remarks(self, hears: Hears, now: int) -> Sequence[Rich]:
        """What may be wrong."""
        last = self.webhooks.last(hears)
        if self.webhooks.silent(hears) or last is None or now - last <= _LONG_MS:
            return ()
        came = (
            say("The last webhook came ", moment(last, now)) if last else "No webhook has come yet"
        )
        return (say("🪝 ", came, "; that may be right: ", code(_PAGE)),)

    @property
    def is_away(self) -> bool:
        """Whether Forgejo cannot be used now."""
        return bool(self.probe.problem and self.probe.since)

    def _away(self, now: int) -> Rich | None:
        if not self.is_away:
            return None
        since = span(now - self.probe.since)
        because = prose(shorten(self.probe.problem or "", 300))
        return say("🔌 ", bold("Forgejo cannot be used"), f", for {since}: ", because)

    def _silent(self, hears: Hears, now: int) -> Rich | None:
        silent = self.webhooks.silent(hears)
        if not silent:
            return None
        told = [
            say(
                "🪝 ",
                bold(f"No webhook comes from {repo}"),
                f": {count(heard.missed, 'change')} found only by looking, the first ",
                moment(heard.since, now),
            )
            for repo, heard in list(silent.items())[:_AT_MOST]
        ]
        wrong = "Deliveries come with a wrong signature. " if self.webhooks.is_refusing else ""
        return rows(*told, say(f"👉 {wrong}What to do: ", code(_PAGE)))

    async def _undelivered(self, hears: Hears, said: Said) -> Rich | None:
        """Dead letters that the room is concerned by; a room of the fleet's by all."""
        letters = await self.fleet.store.dead_letters(0, _LETTERS)
        if said.settings.repos:
            letters = [letter for letter in letters if self._concerns(letter, hears, said)]
        if not letters:
            return None
        more = " or more" if len(letters) == _LETTERS else ""
        what = bold(f"{count(len(letters), 'message')}{more} could not be delivered")
        return rows(
            say("📪 ", what, f": {shorten(letters[-1].error, 120)}"),
            say("👉 See ", code("!fleet doctor"), "; nothing is lost."),
        )

    def _concerns(self, letter: DeadLetter, hears: Hears, said: Said) -> bool:
        if letter.destination == destination(said.name):
            return True
        _, _, task = letter.destination.partition("/")
        known = self.fleet.state.tasks.get(TaskId(task.partition("/")[0]))
        return known is not None and hears(known.repo)
