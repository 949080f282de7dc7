"""What the doctor found, as a room is told it: pure."""

from __future__ import annotations

from collections.abc import Sequence

from fleetbot.chat.words import setup
from fleetbot.chat.words.rich import Rich, bold, bullets, bullets_that_fit, prose, rows, say
from fleetbot.chat.words.wording import left_out
from fleetbot.domain.wording import count, shorten
from fleetbot.services.findings import Finding, Mark

_MOST = 1500  # characters of what is well


def doctor(findings: Sequence[Finding]) -> Rich:
    """What wants a look, with what to do about each; the rest in one line."""
    wrong = [finding for finding in findings if finding.mark is not Mark.WELL]
    well = [finding for finding in findings if finding.mark is Mark.WELL]
    told, shown = bullets_that_fit(_told(finding) for finding in wrong)
    headline = f"{count(len(wrong), 'thing')} to look at" if wrong else "All is well"
    return rows(
        say("🩺 ", bold(headline)),
        told,
        left_out(len(wrong) - shown, "finding"),
        say("✅ ", prose(shorten(_fold(well), _MOST))) if well else None,
    )


def _told(finding: Finding) -> Rich:
    what_to_do = bullets(prose(remedy) for remedy in finding.remedy)
    return rows(setup.line(finding), what_to_do)


def _fold(well: Sequence[Finding]) -> str:
    """What is said of the fleet as a whole; of repositories and machines what was looked at."""
    named: list[str] = []
    looked: dict[str, list[str]] = {}
    for one in well:
        what, _, whose = one.name.partition(" ")
        if whose:
            looked.setdefault(whose, []).append(setup.spoken(what))
        else:
            named.append(setup.spoken(what) + (f" ({one.says})" if one.says != "ok" else ""))
    named += [f"{whose} ({', '.join(whats)})" for whose, whats in looked.items()]
    verb = "is" if len(well) == 1 else "are"
    return f"{count(len(well), 'check')} {verb} well: {', '.join(named)}"


def retried(letters: int) -> Rich:
    if not letters:
        return say("🩺 There is no dead letter to send again.")
    return say(f"📮 {count(letters, 'dead letter')} sent again, in order.")
