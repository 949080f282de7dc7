"""What a benchmark found, line by line, and how it is shown."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence

import msgspec

from benchmarks.pairs import Comparison, machine


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One figure. `ratio` is product over anchor; `holds` whether the target is reached, None where
    there is none."""

    case: str
    product: str
    anchor: str = ""
    ratio: str = ""
    target: str = ""
    holds: bool | None = None


def against(
    case: str,
    result: Comparison,
    unit: str = "",
    *,
    at_least: float = 0,
    at_most: float = math.inf,
) -> Line:
    """The product beside an anchor; the bounds, if there are any, are those of the ratio."""
    has_target = at_least > 0 or at_most < math.inf
    return Line(
        case=case,
        product=figure(result.product, unit),
        anchor=figure(result.anchor, unit),
        ratio=f"{result.ratio:.2f}",
        target=_bounds(f"{at_least:g}" if at_least else "", at_most),
        holds=at_least <= result.ratio <= at_most if has_target else None,
    )


def alone(
    case: str, value: float, unit: str = "", *, at_least: float = 0, at_most: float = math.inf
) -> Line:
    """A figure that is held against nothing but its bounds, if there are any."""
    has_target = at_least > 0 or at_most < math.inf
    return Line(
        case=case,
        product=figure(value, unit),
        target=_bounds(figure(at_least, unit) if at_least else "", at_most, unit),
        holds=at_least <= value <= at_most if has_target else None,
    )


def _bounds(least: str, most: float, unit: str = "") -> str:
    if least:
        return f">= {least}"
    return f"<= {figure(most, unit) if unit else f'{most:g}'}" if most < math.inf else ""


def figure(value: float, unit: str = "") -> str:
    digits = 0 if value >= 100 or value == int(value) else 2
    return f"{value:,.{digits}f} {unit}".rstrip()


def arguments(about: str | None) -> argparse.ArgumentParser:
    """What every benchmark understands."""
    parser = argparse.ArgumentParser(description=(about or "").splitlines()[0])
    parser.add_argument("--json", action="store_true", help="the lines as JSON")
    return parser


def show(lines: Sequence[Line], as_json: bool = False, note: str = "") -> None:
    """Print them; `note` says under which conditions."""
    if as_json:
        sys.stdout.buffer.write(msgspec.json.encode(lines) + b"\n")
        return
    width = max([len(line.case) for line in lines], default=0)
    print(f"{'':>{width}} {'product':>12} {'anchor':>12} {'ratio':>6} {'target':>12}")
    for line in lines:
        mark = "  missed" if line.holds is False else ""
        figures = f"{line.product:>12} {line.anchor:>12} {line.ratio:>6} {line.target:>12}"
        print(f"{line.case:>{width}} {figures}{mark}")
    print(", ".join(filter(None, (note, machine()))))
