"""The whole story of one task, out of its lines of the journal and what verified its receipts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fleetbot import wire
from fleetbot.domain.events import event_type
from fleetbot.domain.model import AgentName, Run, RunId, Task, Verdict
from fleetbot.domain.standing import lines as standing
from fleetbot.services.board.proof import proof
from fleetbot.services.board.views import Forge, Views
from fleetbot.services.board.words import details
from fleetbot.services.fleet import Fleet
from fleetbot.services.stories import Step, TellSteps, past

_MOST_STEPS = 500  # shown of a story: its newest
_PROOFS = 10
_QUOTE = ": “"


async def story(
    fleet: Fleet, views: Views, forge: Forge, tell: TellSteps, task: Task
) -> wire.BoardStory:
    runs = await fleet.store.runs_of(task.id)
    agents = {run.id: run.agent for run in runs}
    lines, shelved = await past(fleet.store, task.id)
    told = tell(task, lines, agents, fleet.clock())
    shown = told[-_MOST_STEPS:]
    return wire.BoardStory(
        task=await views.task(task),
        author=task.author,
        base=task.base,
        branch=_branch(task, runs),
        needs=task.traits.needs,
        spent=wire.UsageView.of(task.spent),
        runs=len(runs),
        pull_says=tuple(line.replace("`", "") for line in standing(task.pull)) if task.pull else (),
        proofs=await _proofs(fleet, forge, task, agents),
        steps=tuple(map(_step, shown)),
        earlier=len(told) - len(shown),
        archived=shelved.lines if shelved else 0,
    )


def _branch(task: Task, runs: Sequence[Run]) -> str:
    return task.branch or (runs[-1].branch if runs else "")


async def _proofs(
    fleet: Fleet, forge: Forge, task: Task, agents: Mapping[RunId, AgentName]
) -> tuple[wire.BoardProof, ...]:
    """The newest first."""
    filed = await fleet.store.receipts_of(task.id)
    held = [one for one in reversed(filed) if one.verdict is Verdict.VERIFIED]
    shown = (proof(task, one, agents.get(one.run), forge) for one in held[:_PROOFS])
    return tuple(one for one in shown if one)


def _step(step: Step) -> wire.BoardStep:
    line = step.line
    says, told = _once(step.says, details(line.event))
    return wire.BoardStep(
        seq=line.seq,
        at=line.at,
        type=event_type(line.event),
        says=says,
        by=step.by,
        times=step.times,
        details=told,
    )


def _once(says: str, told: tuple[str, ...]) -> tuple[str, tuple[str, ...]]:
    """A sentence quotes the first of what was said, and cuts that: whole it is among the details,
    or all of it in the sentence."""
    if len(told) == 1 and told[0] in says:
        return says, ()
    return (says.partition(_QUOTE)[0] if told else says), told
