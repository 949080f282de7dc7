"""What a room is told on its way to a repository: pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from fleetbot.chat.words.rich import Rich, bold, bullets, code, prose, rows, say
from fleetbot.domain.wording import shorten
from fleetbot.services.findings import Finding, Mark
from fleetbot.services.setup.walks import View

MARKS: Mapping[Mark, str] = {Mark.WELL: "✅", Mark.WARN: "⚠️", Mark.BAD: "❌"}
_LONGEST = 600


def walk(view: View, trigger: str) -> Rich:
    """How each step is, and then what I would do, or what is left for people. `trigger`: the label
    that gives an issue to the fleet."""
    if view.is_due:
        return rows(
            say("✍️ ", bold("The configuration is being changed."), " I say here how it is then.")
        )
    return rows(
        say("🧭 ", bold(view.repo), " and this room"),
        *(line(finding, is_skipped=finding.name in view.skipped) for finding in view.findings),
        offer(view) if view.offer else rows(*_rest(view, trigger)),
    )


def line(finding: Finding, *, is_skipped: bool = False) -> Rich:
    """`⚠️ labels: there is no fleet`."""
    mark = "⏭" if is_skipped and finding.mark is not Mark.WELL else MARKS[finding.mark]
    return say(f"{mark} ", bold(spoken(finding.name)), ": ", prose(shorten(finding.says, _LONGEST)))


def spoken(name: str) -> str:
    """`dead letters`: as programs know a check, and as people read it. An agent's name stays."""
    first, space, rest = name.partition(" ")
    return f"{first.replace('_', ' ')}{space}{rest}"


def remedies(findings: Iterable[Finding]) -> Iterator[Rich]:
    for finding in findings:
        for number, remedy in enumerate(finding.remedy):
            first = f"{finding.name}: " if number == 0 else ""
            yield say(first, prose(shorten(remedy, _LONGEST)))


def offer(view: View) -> Rich:
    """What I would do, all of it: people say yes to that."""
    yes, skip = code("!fleet setup yes"), code("!fleet setup skip")
    return rows(
        say("👉 ", bold(view.step), ": shall I ", prose(view.offer), "?"),
        say("✅ or ", yes, " does it; ❌ or ", skip, " leaves it and goes on."),
    )


def _rest(view: View, trigger: str) -> Iterator[Rich]:
    open_ones = [finding for finding in view.findings if finding.mark is not Mark.WELL]
    if told := list(remedies(open_ones)):
        yield say("🙋 ", bold("Left for you"))
        yield bullets(told)
    if any(finding.mark is Mark.BAD for finding in open_ones):
        yield say("Then say ", code("!fleet setup again"), ".")
    else:
        yield say("🎉 ", bold("Ready."), " Give an issue the label ", code(trigger), ".")
