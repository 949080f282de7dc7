"""Stories from a seed: the same seed, the same story."""

from __future__ import annotations

import random
from collections.abc import Collection, Sequence

from torture.story import (
    HONEST,
    ORCHESTRATOR,
    Act,
    Blow,
    Bounds,
    Deed,
    Doing,
    Fault,
    Harm,
    Issue,
    Line,
    Spell,
    Story,
    Strike,
)

_WEIGHTS = {
    Act.HONEST: 12,
    Act.SLOW: 10,
    Act.LONG_LOG: 4,
    Act.DIES_ONCE: 3,
    Act.VANISHES_ONCE: 2,
    Act.IDLE: 2,
    Act.DIES: 2,
    Act.HANGS: 1,
    Act.FORBIDDEN: 2,
    Act.LIES: 2,
    Act.BORROWS: 2,
}
_HARMS = {
    # What a line can suffer. A webhook that is refused or lost is never sent again by the forge.
    Line.ORCHESTRATOR_FORGE: (*Harm,),
    Line.WORKER_FORGE: (*Harm,),
    Line.WORKER_ORCHESTRATOR: tuple(h for h in Harm if h is not Harm.READ_ONLY),
    Line.FORGE_ORCHESTRATOR: (Harm.DROP, Harm.DELAY, Harm.CUT, Harm.REPEAT, Harm.REORDER),
    Line.ORCHESTRATOR_HOMESERVER: (*Harm,),
}
_SHARES = {
    Line.ORCHESTRATOR_FORGE: (0.2, 0.5, 1.0),
    Line.WORKER_FORGE: (0.2, 0.5, 1.0),
    Line.WORKER_ORCHESTRATOR: (0.2, 0.5, 1.0),
    Line.FORGE_ORCHESTRATOR: (0.2, 0.5, 1.0),
    # Less: an orchestrator that cannot log in there at its start may be away for half a minute, and
    # then nothing else is tried.
    Line.ORCHESTRATOR_HOMESERVER: (0.1, 0.3),
}
_MOMENTS = (
    # When an orchestrator has half done something: the server has, it does not know it yet. The
    # last two: a worker or the forge is about to hear that it was understood.
    (Line.ORCHESTRATOR_FORGE, r"^(POST|PUT|PATCH|DELETE) "),
    (Line.ORCHESTRATOR_HOMESERVER, r"^PUT "),
    (Line.WORKER_ORCHESTRATOR, r"^POST "),
    (Line.FORGE_ORCHESTRATOR, r"^POST "),
)
_BOUNDS = Bounds(recover=90.0, silence=45.0, idle=5.0)
_AFTER = 1.0  # seconds before the first fault
_TAIL = 4.0  # seconds of quiet that a round's end needs at least


def generate(
    seed: int,
    *,
    acts: Collection[Act],
    workers: Sequence[str],
    lines: Collection[Line],
    seconds: float = 30.0,
    issues: int = 10,
    strikes: int = 10,
    spells: int = 12,
    orders: int = 0,
    bounds: Bounds = _BOUNDS,
) -> Story:
    """A story of about `seconds`, of what the system can be asked for."""
    chance = random.Random(seed)
    return Story(
        name=f"round {seed}",
        seed=seed,
        issues=tuple(_issues(chance, seed, issues, seconds * 0.6, acts)),
        faults=tuple(
            sorted(
                [
                    *_strikes(chance, strikes, seconds, workers),
                    *_spells(chance, spells, seconds, sorted(lines)),
                ],
                key=lambda fault: fault.at,
            )
        ),
        deeds=tuple(_orders(chance, seed, orders, seconds * 0.6)),
        bounds=bounds,
    )


def _issues(
    chance: random.Random, seed: int, count: int, seconds: float, acts: Collection[Act]
) -> list[Issue]:
    """The first is honest: a liar that borrows needs somebody's work."""
    able = [act for act in _WEIGHTS if act in acts]
    chosen = chance.choices(able, [_WEIGHTS[act] for act in able], k=count)
    chosen[0] = Act.HONEST if chosen[0] not in HONEST else chosen[0]
    times = sorted(chance.uniform(0, seconds) for _ in chosen)
    return [
        Issue(f"s{seed}-{number}", act, 0.0 if number == 1 else at, seed)
        for number, (act, at) in enumerate(zip(chosen, times, strict=True), 1)
    ]


def _orders(chance: random.Random, seed: int, count: int, seconds: float) -> list[Deed]:
    """For issues that nobody can do anything about: only that they are opened counts."""
    titles = [f"Order s{seed}-o{number}" for number in range(1, count + 1)]
    return [Deed(chance.uniform(1.0, seconds), title, Doing.ORDER, title) for title in titles]


def _strikes(
    chance: random.Random, count: int, seconds: float, workers: Sequence[str]
) -> list[Fault]:
    """Kills and freezes, three of four of workers."""
    found: list[Fault] = []
    for _ in range(count):
        target = ORCHESTRATOR if chance.random() < 0.25 else chance.choice(workers)
        blow = Blow.KILL if chance.random() < 0.7 else Blow.FREEZE
        away = chance.uniform(0.0, 3.0) if blow is Blow.KILL else chance.uniform(0.5, 6.0)
        at = chance.uniform(_AFTER, seconds - _TAIL)
        after = (
            chance.choice(_MOMENTS) if target == ORCHESTRATOR and chance.random() < 0.5 else None
        )
        found.append(Strike(at, min(away, seconds - at), target, blow, after))
    return found


def _spells(
    chance: random.Random, count: int, seconds: float, lines: Sequence[Line]
) -> list[Fault]:
    found: list[Fault] = []
    for number in range(count):
        line = lines[number % len(lines)]
        harm = chance.choice(_HARMS[line])
        at = chance.uniform(0.0, seconds - _TAIL)
        lasts = min(chance.uniform(3.0, 12.0), seconds - at)
        found.append(Spell(at, lasts, line, harm, chance.choice(_SHARES[line])))
    return found
