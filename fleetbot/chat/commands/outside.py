"""How it is with Forgejo, as a room is told that asks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from fleetbot.chat.words.rich import Rich, bold, code, prose, say
from fleetbot.chat.words.wording import ago
from fleetbot.domain.wording import count, shorten, span
from fleetbot.services.probe import ForgeProbe
from fleetbot.services.webhooks import Webhooks

Hears = Callable[[str], bool]

_LONG_MS = 24 * 3_600_000  # without a webhook; it may be that nothing happened
_PAGE = "docs/howto/connect-forgejo.md"
_AT_MOST = 5


class Outside(NamedTuple):
    """`probe` and `webhooks` may both be asked at any time: they know, and look nothing up."""

    probe: ForgeProbe
    webhooks: Webhooks

    def told(self, hears: Hears, now: int) -> Sequence[Rich]:
        """What is wrong, and what to do; of the room's own repositories. Empty if all is well."""
        return [*self._away(now), *self._silent(hears, now)]

    def _away(self, now: int) -> Iterator[Rich]:
        if self.probe.problem and self.probe.since:
            since = span(now - self.probe.since)
            because = prose(shorten(self.probe.problem, 300))
            yield say("🔌 ", bold("Forgejo cannot be used"), f", for {since}: ", because)

    def _silent(self, hears: Hears, now: int) -> Iterator[Rich]:
        silent = self.webhooks.silent(hears)
        for repo, heard in list(silent.items())[:_AT_MOST]:
            missed = count(heard.missed, "change")
            yield say(
                "🪝 ",
                bold(f"No webhook comes from {repo}"),
                f": {missed} found only by looking, the first {ago(heard.since, now)}",
            )
        if silent:
            wrong = "Deliveries come with a wrong signature. " if self.webhooks.is_refusing else ""
            yield say(f"🙋 {wrong}What to do: ", code(_PAGE))
        elif (last := self.webhooks.last(hears)) is not None and now - last > _LONG_MS:
            came = f"The last webhook came {ago(last, now)}" if last else "No webhook has come yet"
            yield say(f"🪝 {came}; that may be right: ", code(_PAGE))
