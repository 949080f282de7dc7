"""The numbers as a small picture for a phone, by matplotlib, which is an extra (`charts`).

It has a ground of its own, so that it looks the same in light and dark clients. Nothing global of
matplotlib is touched: drawing is done in a thread, and maubot may have other plugins that draw.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fleetbot.chat.words.money import money, short
from fleetbot.chat.words.numbers import Numbers, share
from fleetbot.chat.words.period import HOUR_MS, Period
from fleetbot.chat.words.post import File
from fleetbot.chat.words.rich import harmless, one_line
from fleetbot.domain.usage import DAY_MS, Usage
from fleetbot.domain.wording import span
from fleetbot.store.figures import Outcomes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH, HEIGHT = 800, 920  # pixels
_DPI = 100
_GROUND, _INK, _FAINT, _LINES = "#1c2230", "#eef1f7", "#a3adc2", "#3a4359"
_GOOD, _BAD, _TIME, _MONEY = "#35c99b", "#ff8a5c", "#f2c14e", "#8fa8ff"
_MARGIN, _LEFT, _RIGHT = 0.045, 0.115, 0.955
_BAR = 0.72
_MOST_LABELS = 7


def can_draw() -> bool:
    """Whether matplotlib is there."""
    try:
        import matplotlib.figure  # noqa: F401  # to find out is all that it is for
    except ImportError:
        return False
    return True


def picture(numbers: Numbers, when: Period, where: str) -> File:
    """A PNG; `where` says of which repositories. A second's work: not for the event loop."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH / _DPI, HEIGHT / _DPI), dpi=_DPI, facecolor="none")
    FigureCanvasAgg(figure)
    _ground(figure)
    _headline(figure, when, where)
    _tiles(figure, numbers.total)
    spans = _spans(numbers.parts, when)
    for place, draw in enumerate((_ended, _took, _costs)):
        draw(_axes(figure, place, spans, when), spans, f"per {_unit(when.span_ms)}")
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", metadata={"Software": None})
    return File("stats.png", drawn.getvalue(), "image/png", WIDTH, HEIGHT)


def _spans(parts: Sequence[Outcomes], when: Period) -> list[Outcomes]:
    """All spans of the time, also those in which nothing ended."""
    known = {part.start: part for part in parts}
    starts = range(when.start, max(when.until, when.start + 1), when.span_ms)
    nothing = {"runs": 0, "verified": 0, "first_try": 0, "failed": 0}
    return [known.get(start) or Outcomes(start=start, **nothing) for start in starts]


def _unit(span_ms: int) -> str:
    if span_ms < 7 * DAY_MS:
        return "hour" if span_ms == HOUR_MS else "day"
    weeks = span_ms // (7 * DAY_MS)
    return "week" if weeks == 1 else f"{weeks} weeks"


# the frame


def _ground(figure: Figure) -> None:
    from matplotlib.patches import FancyBboxPatch

    inset, aspect = 0.03, WIDTH / HEIGHT
    figure.add_artist(
        FancyBboxPatch(
            (inset, inset * aspect),
            1 - 2 * inset,
            1 - 2 * inset * aspect,
            boxstyle=f"round,pad={inset}",
            facecolor=_GROUND,
            edgecolor="none",
            mutation_aspect=aspect,
            zorder=-1,
        )
    )


def _headline(figure: Figure, when: Period, where: str) -> None:
    title = when.name[:1].upper() + when.name[1:]
    _write(figure, _MARGIN, 0.938, title, 25, bold=True)
    _write(figure, _RIGHT, 0.941, one_line(harmless(where), 34), 16, colour=_FAINT, align="right")


def _tiles(figure: Figure, total: Outcomes) -> None:
    """What counts most, in large letters."""
    took = "none" if total.median_ms is None else span(total.median_ms)
    tiles = (
        (short(total.verified), "verified", _GOOD),
        (share(total.verified, total.verified + total.failed), "succeeded", _INK),
        (share(total.first_try, total.verified), "at the first try", _INK),
        (took, "half within", _TIME),
    )
    for place, (number, label, colour) in enumerate(tiles):
        x = _MARGIN + 0.235 * place
        _write(figure, x, 0.858, number, 27, bold=True, colour=colour)
        _write(figure, x, 0.822, label, 15, colour=_FAINT)


def _axes(figure: Figure, place: int, spans: Sequence[Outcomes], when: Period) -> Axes:
    """One of three below each other, with the time from left to right."""
    bottom, height = 0.572 - 0.255 * place, 0.165
    axes = figure.add_axes((_LEFT, bottom, _RIGHT - _LEFT, height), facecolor="none")
    for side, spine in axes.spines.items():
        spine.set_visible(side == "bottom")
        spine.set_color(_LINES)
    axes.set_xlim(-0.6, len(spans) - 0.4)
    step = -(-len(spans) // _MOST_LABELS)
    shown = range((len(spans) - 1) % step, len(spans), step)
    axes.set_xticks(list(shown), [_day(spans[at].start, when) for at in shown])
    axes.tick_params(length=0, colors=_FAINT, pad=6)
    axes.grid(axis="y", color=_LINES, linewidth=0.8)
    axes.set_axisbelow(True)
    return axes


def _day(start: int, when: Period) -> str:
    at = datetime.fromtimestamp(start / 1000, UTC)
    if when.span_ms == HOUR_MS:
        return f"{at:%H:%M}"
    if when.span_ms == DAY_MS and when.days <= _MOST_LABELS:
        return f"{at:%a}"
    return f"{at:%-d %b}" if when.days < 365 else f"{at:%b %y}"


def _label(axes: Axes, title: str, top: float, named: Callable[[float], str]) -> None:
    """The title above the axes, and two lines with what they stand for, from `top` down."""
    top = top or 1
    axes.set_ylim(0, top * 1.12)
    axes.set_yticks([top / 2, top], [named(top / 2), named(top)])
    for tick in (*axes.get_xticklabels(), *axes.get_yticklabels()):
        tick.set(fontproperties=_font(14), parse_math=False)
    axes.text(
        (_MARGIN - _LEFT) / (_RIGHT - _LEFT),
        1.13,
        title,
        transform=axes.transAxes,
        color=_INK,
        fontproperties=_font(17, bold=True),
        parse_math=False,
    )


# the three


def _ended(axes: Axes, spans: Sequence[Outcomes], unit: str) -> None:
    good, bad = [s.verified for s in spans], [s.failed for s in spans]
    axes.bar(range(len(spans)), good, _BAR, color=_GOOD)
    axes.bar(range(len(spans)), bad, _BAR, bottom=good, color=_BAD)
    top = max(map(sum, zip(good, bad, strict=True)))
    _label(axes, f"Verified {unit}", _even(top), lambda number: f"{number:.0f}")
    _key(axes, f"failed: {sum(bad)}", _BAD)


def _took(axes: Axes, spans: Sequence[Outcomes], unit: str) -> None:
    done = [(at, s.median_ms, s.p90_ms) for at, s in enumerate(spans) if s.median_ms is not None]
    for at, median, p90 in done:
        axes.bar(at, p90 or median, _BAR, color=_TIME, alpha=0.35)
        axes.bar(at, median, _BAR, color=_TIME)
    top = max((p90 or median for _, median, p90 in done), default=0)
    _label(axes, f"Time until verified, {unit}", _round_time(top), lambda ms: span(round(ms)))
    _key(axes, "pale: nine of ten", _TIME)


def _costs(axes: Axes, spans: Sequence[Outcomes], unit: str) -> None:
    costs = [s.cost_usd or 0 for s in spans]
    axes.bar(range(len(spans)), costs, _BAR, color=_MONEY)
    top = _round(max(costs))
    cents = 2 if top < 10 else 0
    _label(axes, f"Cost {unit}", top, lambda usd: f"${usd:,.{cents}f}")
    told = any(s.cost_usd is not None for s in spans)
    _key(axes, f"in all: {money(Usage(cost_usd=sum(costs) if told else None))}", _MONEY)


def _key(axes: Axes, text: str, colour: str) -> None:
    axes.text(
        1,
        1.13,
        text,
        transform=axes.transAxes,
        ha="right",
        color=colour,
        fontproperties=_font(15),
        parse_math=False,
    )


def _even(top: float) -> float:
    """The next round number with a whole half."""
    return max(2, 2 * -(-_round(top) // 2))


def _round(top: float) -> float:
    """The next round number."""
    if top <= 0:
        return 1
    size = 10 ** (len(str(int(top))) - 1) if top >= 1 else 0.1
    return next(size * step for step in (1, 1.2, 1.6, 2, 3, 4, 6, 8, 10) if size * step >= top)


def _round_time(top: float) -> float:
    """In milliseconds; of minutes, hours or days."""
    for unit in (DAY_MS, HOUR_MS, 60_000):
        if top > 2 * unit:
            return _even(top / unit) * unit
    return 2 * 60_000


# letters


def _write(
    figure: Figure,
    x: float,
    y: float,
    text: str,
    size: float,
    *,
    bold: bool = False,
    colour: str = _INK,
    align: str = "left",
) -> None:
    font = _font(size, bold=bold)
    figure.text(x, y, text, fontproperties=font, color=colour, ha=align, parse_math=False)


@cache
def _font(size: float, *, bold: bool = False) -> Any:
    """The one that comes with matplotlib, whatever else a machine has."""
    import matplotlib
    from matplotlib.font_manager import FontProperties

    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return FontProperties(fname=Path(matplotlib.get_data_path(), "fonts", "ttf", name), size=size)
