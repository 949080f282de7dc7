"""From stage to stage, forwards and back; each thing is told as it is found or done."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum, StrEnum

from fleetbot.domain.errors import FleetError
from fleetbot.forge.errors import ForgeError
from fleetbot.installing.servers import Refused
from fleetbot.installing.stage import Stage
from fleetbot.services.findings import Finding, Mark


class Told(StrEnum):
    FOUND = "found"
    DONE = "done"
    WOULD = "would"
    WARN = "warn"
    BAD = "bad"


@dataclass(frozen=True, slots=True)
class Line:
    told: Told
    name: str
    text: str
    remedy: Sequence[str] = ()


Tell = Callable[[Line], None]
_TOLD = {Mark.WELL: Told.FOUND, Mark.WARN: Told.WARN, Mark.BAD: Told.BAD}
_GRIEF = (Refused, ForgeError, FleetError)


class Outcome(IntEnum):
    """The worst that was found, but for what is only to be known."""

    WELL = 0
    TO_DO = 1  # and it could be done
    BAD = 2


async def forwards(stages: Iterable[Stage], tell: Tell, *, is_dry: bool = False) -> Outcome:
    """With `is_dry` nothing is done."""
    worst = Outcome.WELL
    for stage in stages:
        for finding in await _passed(stage, tell, is_dry=is_dry):
            worst = max(worst, _outcome(finding, is_dry=is_dry))
        if stage.is_needed and worst is Outcome.BAD:
            break
    return worst


def _outcome(finding: Finding, *, is_dry: bool) -> Outcome:
    if finding.mark is not Mark.BAD:
        return Outcome.WELL
    return Outcome.TO_DO if finding.offer and is_dry else Outcome.BAD


async def _passed(stage: Stage, tell: Tell, *, is_dry: bool) -> Sequence[Finding]:
    """How it is at the end."""
    name = "setup"
    try:
        findings = await stage.look()
        offered = [one for one in findings if one.offer and one.mark is not Mark.WELL]
        for finding in findings:
            if finding not in offered:
                tell(_line(finding))
            elif is_dry:
                tell(Line(Told.WOULD, finding.name, finding.offer))
        if is_dry or not offered:
            return findings
        for finding in offered:
            name = finding.name
            await stage.do()
            tell(Line(Told.DONE, finding.name, finding.offer))
        return await _left(stage, tell)
    except _GRIEF as grief:
        bad = _bad(name, grief)
        tell(_line(bad))
        return [bad]


async def _left(stage: Stage, tell: Tell) -> Sequence[Finding]:
    """What is not well, once it was seen to."""
    findings = await stage.look()
    for finding in findings:
        if finding.mark is not Mark.WELL:
            tell(_line(finding))
    return findings


async def backwards(stages: Sequence[Stage], tell: Tell, *, is_dry: bool = False) -> bool:
    """Whether all that was made is gone. What cannot be taken back keeps nothing else."""
    well = True
    for stage in reversed(stages):
        made = stage.made()
        if not made:
            continue
        if is_dry:
            tell(Line(Told.WOULD, "undo", made))
            continue
        try:
            await stage.undo()
            tell(Line(Told.DONE, "undo", made))
        except _GRIEF as grief:
            well = False
            tell(_line(_bad("undo", grief, f"{made}: ")))
    return well


def _bad(name: str, grief: Exception, before: str = "") -> Finding:
    remedy = grief.remedy if isinstance(grief, Refused) else ()
    return Finding(name, Mark.BAD, f"{before}{grief}", tuple(remedy))


def _line(finding: Finding) -> Line:
    return Line(_TOLD[finding.mark], finding.name, finding.says, finding.remedy)
