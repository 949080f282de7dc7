"""What all runs have come to, read from the journal's read model: a restart takes nothing of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from fleetbot.domain.reasons import ReasonCode
from fleetbot.domain.usage import Usage, add_usage
from fleetbot.spread import Spread
from fleetbot.store.figures import RunTotals
from fleetbot.store.interface import Store
from fleetbot.store.totals import VERIFIED
from fleetbot.web.metrics import definitions as its
from fleetbot.web.metrics.scrape import Scrape

BOUNDS = (10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1200.0, 1800.0, 3600.0, 7200.0, 14400.0)
_BOUNDS_MS = tuple(int(bound * 1000) for bound in BOUNDS)
_SETTLED_MS = 60_000  # what ended longer ago is on disk, and changes no more

Totals = dict[str, RunTotals]


class History:
    """Reads all runs once, and then only those that ended since; `clock` gives epoch ms."""

    def __init__(self, store: Store, clock: Callable[[], int]) -> None:
        self._store = store
        self._clock = clock
        self._upto = 0
        self._settled: Totals = {}

    async def totals(self) -> Totals:
        """By outcome. Raises `StoreUnavailable`."""
        upto = self._clock() - _SETTLED_MS
        if upto < self._upto:  # the clock was set back: some may end before what was read
            self._upto, self._settled = 0, {}
        if upto > self._upto:
            more = await self._store.run_totals(self._upto, upto, _BOUNDS_MS)
            self._upto, self._settled = upto, _added(self._settled, more)
        newest = await self._store.run_totals(self._upto, None, _BOUNDS_MS)
        return _added(self._settled, newest)

    async def tell(self, scrape: Scrape) -> None:
        totals = await self.totals()
        counts = {outcome: its.runs for outcome, its in totals.items()}
        scrape.fill(its.RUNS, counts, (VERIFIED, *ReasonCode))
        scrape.set(its.FIRST_TRY, sum(part.first_try for part in totals.values()))
        scrape.set(its.UNTOLD, sum(part.untold for part in totals.values()))
        _tell_usage(scrape, totals.values())
        _tell_durations(scrape, totals)


def _added(totals: Totals, more: Iterable[RunTotals]) -> Totals:
    together = dict(totals)
    for part in more:
        known = together.get(part.outcome)
        together[part.outcome] = _sum(known, part) if known else part
    return together


def _sum(one: RunTotals, other: RunTotals) -> RunTotals:
    return RunTotals(
        outcome=one.outcome,
        runs=one.runs + other.runs,
        first_try=one.first_try + other.first_try,
        begun=one.begun + other.begun,
        took_ms=one.took_ms + other.took_ms,
        within=tuple(map(sum, zip(one.within, other.within, strict=True))),
        usage=add_usage(one.usage, other.usage),
        untold=one.untold + other.untold,
    )


def _tell_usage(scrape: Scrape, totals: Iterable[RunTotals]) -> None:
    used = Usage()
    for part in totals:
        used = add_usage(used, part.usage)
    scrape.set(its.COST, used.cost_usd or 0)
    scrape.set(its.TOKENS, used.input_tokens, "input")
    scrape.set(its.TOKENS, used.output_tokens, "output")
    scrape.set(its.TOKENS, used.cached_tokens, "cached")


def _tell_durations(scrape: Scrape, totals: Totals) -> None:
    spreads = {"yes": Spread(BOUNDS), "no": Spread(BOUNDS)}
    for outcome, part in totals.items():
        spread, before = spreads["yes" if outcome == VERIFIED else "no"], 0
        for place, within in enumerate((*part.within, part.begun)):
            spread.counts[place] += within - before
            before = within
        spread.seconds += part.took_ms / 1000
    for verified, spread in spreads.items():
        scrape.spread(its.DURATION, spread, verified)
