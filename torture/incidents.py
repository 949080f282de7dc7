"""Incidents that people have reported of orchestrators of agents: each a story with a name."""

from __future__ import annotations

from torture.story import (
    ORCHESTRATOR,
    Act,
    Blow,
    Bounds,
    Deed,
    Doing,
    Harm,
    Issue,
    Line,
    Need,
    Spell,
    Story,
    Strike,
)

_UP = 3.0  # seconds until the workers are there
_PUSH = r"POST \S+/git-receive-pack"
_RECEIPTS = r"POST \S+/receipts"


def _issues(name: str, *acts: Act) -> tuple[Issue, ...]:
    keys = [f"{name}-{number}" for number, _ in enumerate(acts, 1)]
    return tuple(
        Issue(key, act, _UP, seed=0, reset=60.0) for key, act in zip(keys, acts, strict=True)
    )


def _story(
    name: str,
    told: str,
    *acts: Act,
    faults: tuple[Spell | Strike, ...] = (),
    deeds: tuple[Deed, ...] = (),
    needs: frozenset[Need] = frozenset(),
    recover: float = 60.0,
    launches: int = 0,
) -> Story:
    return Story(
        name=name,
        seed=0,
        issues=_issues(name, *acts),
        faults=faults,
        deeds=deeds,
        bounds=Bounds(recover=recover, launches=launches),
        needs=needs,
        told=told,
    )


def _always(line: Line, harm: Harm, *, only: str, most: int) -> Spell:
    return Spell(0.0, 40.0, line, harm, only=only, most=most)


_ALL = (
    _story(
        "exits-before-ci",
        "the session exits while CI is still at it, and the task counts as done",
        Act.HONEST,
        deeds=(
            Deed(_UP, "exits-before-ci-1", Doing.STATUS, "pending"),
            Deed(_UP + 8.0, "exits-before-ci-1", Doing.STATUS, "success"),
        ),
        needs=frozenset({Need.GREEN_CI}),
    ),
    _story(
        "receipt-answer-lost",
        "the answer to what a worker reports is lost in a network cut; it reports again",
        Act.HONEST,
        faults=(_always(Line.WORKER_ORCHESTRATOR, Harm.CUT, only=_RECEIPTS, most=3),),
    ),
    _story(
        "push-answer-lost",
        "the push arrives, its answer does not, and good work is thrown away as refused",
        Act.HONEST,
        faults=(_always(Line.WORKER_FORGE, Harm.CUT, only=_PUSH, most=1),),
    ),
    _story(
        "worktree-gone",
        "the worktree is gone when the program's turn ends, and its work with it",
        Act.VANISHES_ONCE,
    ),
    _story(
        "limit-mid-run",
        "the usage limit comes in mid-run, its reset a minute away; the task fails, or spins",
        Act.LIMIT_ONCE,
        recover=330.0,
        launches=1,
    ),
    _story(
        "edited-after-label",
        "somebody edits the issue after it was taken, and the worker does what nobody approved",
        Act.SLOW,
        deeds=(Deed(_UP + 2.0, "edited-after-label-1", Doing.REWRITE, "something else"),),
    ),
    _story(
        "merged-but-open",
        "the pull request is merged while nobody listens, and the issue stays open",
        Act.HONEST,
        faults=(
            Spell(0.0, 20.0, Line.FORGE_ORCHESTRATOR, Harm.DROP),
            Strike(14.0, 3.0, ORCHESTRATOR, Blow.KILL),
        ),
        deeds=(Deed(_UP, "merged-but-open-1", Doing.MERGE, after_done=True),),
    ),
    _story(
        "reviewer-loop",
        "a reviewer, or its bot, asks for changes of every commit, and the fleet works for ever",
        Act.HONEST,
        deeds=(Deed(_UP, "reviewer-loop-1", Doing.NAG, "Once more, please.", after_done=True),),
        launches=6,
    ),
    _story(
        "empty-allow-list",
        "a list of who may give orders is empty, and that lets everybody in",
        Act.HONEST,
        deeds=(Deed(_UP, "empty-allow-list-1", Doing.ORDER, "Something that nobody may ask for"),),
        needs=frozenset({Need.NOBODY_ORDERS}),
    ),
    _story(
        "sleeper-wakes",
        "a machine sleeps through its lease, wakes, and pushes over its successor's work",
        *(Act.SLOW,) * 4,
        faults=(Strike(_UP + 2.5, 9.0, "w1", Blow.FREEZE),),
    ),
    _story(
        "homeserver-away",
        "the homeserver is away while the orchestrator starts, and the room never hears",
        Act.HONEST,
        faults=(
            Spell(_UP + 1.0, 12.0, Line.ORCHESTRATOR_HOMESERVER, Harm.DROP),
            Strike(_UP + 4.0, 0.0, ORCHESTRATOR, Blow.KILL),
        ),
        recover=120.0,
    ),
    _story(
        "forge-away",
        "the forge is away for longer than a worker's retries, and good work fails for good",
        Act.HONEST,
        Act.SLOW,
        faults=(
            Spell(_UP + 0.5, 30.0, Line.WORKER_FORGE, Harm.FAIL),
            Spell(_UP + 0.5, 30.0, Line.ORCHESTRATOR_FORGE, Harm.FAIL),
        ),
        recover=120.0,
    ),
)
INCIDENTS = {story.name: story for story in _ALL}
