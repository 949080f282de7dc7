"""Whatever `decide` can append is read again: with every number and text at its bounds, and beyond.

What is written is checked by nobody before it is needed, perhaps a year later, at a start.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from fleetbot.domain import commands as cmd
from fleetbot.domain import events as ev
from fleetbot.domain.errors import FleetError
from fleetbot.domain.model import (
    Agent,
    Artifact,
    FiledReceipt,
    Policy,
    ReceiptId,
    Run,
    RunId,
    Taken,
    Task,
)
from fleetbot.domain.reasons import REASONS_OF_AGENTS
from fleetbot.domain.state import FleetState
from fleetbot.domain.usage import Budget, Usage
from fleetbot.store.views import AGENTS, RECEIPTS, RUNS, TASKS, View
from tests.domain.builders import (
    A1,
    A2,
    HOUR,
    R1,
    R2,
    T1,
    T2,
    World,
    a_receipt,
    a_task,
    an_agent,
    answer,
    ask,
    refuted,
    replay,
    say,
    take,
    unknown,
    verified,
)

LIMITED = Policy(max_attempts=9, task_budget=Budget(usd=1), day_budget=Budget(tokens=1))
POLICIES = st.sampled_from([Policy(max_attempts=9), LIMITED])
# At most what `wire` lets in, and what it once let in, which old journals hold.
TOKENS = st.sampled_from([0, 1, 10**12, 2**53])
MONEY = st.sampled_from([None, 0.0, 1e6, 1e9])
TIMES = st.sampled_from([0, 1, 2**53])
TEXTS = st.sampled_from(["", "x" * 200, "\x00\x1f\x7f\u2028é😀" * 20, "\\\"'"])
DEEP: dict[str, Any] = {}
for _ in range(31):
    DEEP = {"deeper": DEEP}
USAGE = st.builds(
    Usage, input_tokens=TOKENS, output_tokens=TOKENS, cached_tokens=TOKENS, cost_usd=MONEY
)
REQUESTS = st.sampled_from([{}, {"x": "\\" * 8_000}, DEEP])
STEPS = st.sampled_from(
    ["claim", "use", "fail", "file", "find", "ask", "say", "hear", "expire", "retry"]
)


class Story:
    """Two agents and two tasks; each step draws what it says at its bounds."""

    def __init__(self, policy: Policy, data: st.DataObject) -> None:
        self.world = World(policy=policy)
        self.data = data
        self.count = 0
        for agent in (A1, A2):
            self.tries(an_agent(agent, account="team", health=(self.draw(TEXTS),)))
        for task in (T1, T2):
            self.tries(a_task(task, title=self.draw(TEXTS)))

    def draw(self, values: st.SearchStrategy[Any]) -> Any:
        return self.data.draw(values)

    def tries(self, command: cmd.Command) -> None:
        try:
            self.world.when(command)
        except FleetError:
            return

    def go(self, step: str) -> None:
        self.count += 1
        self.world.later(self.draw(st.sampled_from([0, 1, HOUR, 24 * HOUR]))).heard(A1, A2)
        getattr(self, step)()

    @property
    def run(self) -> Run | None:
        live = self.world.state.live_runs()
        return live[0] if live else None

    # steps

    def claim(self) -> None:
        for agent in (A1, A2):
            self.tries(cmd.ResumeAgent(agent))
            self.tries(cmd.Dispatch(agent, RunId(f"r{self.count}-{agent}")))
        for run in self.world.state.live_runs():
            self.tries(cmd.StartRun(run.id, run.agent))

    def use(self) -> None:
        for run in self.world.state.live_runs():
            self.world.uses(run.id, self.draw(USAGE))
            self.tries(cmd.AgentSeen(run.agent))

    def fail(self) -> None:
        for run in self.world.state.live_runs():
            reason = self.draw(st.sampled_from(sorted(REASONS_OF_AGENTS)))
            said = {"detail": self.draw(TEXTS), "usage": self.draw(USAGE)}
            until = self.draw(st.none() | TIMES)
            self.tries(cmd.FailRun(run.id, run.agent, reason, until=until, **said))

    def file(self) -> None:
        for run in self.world.state.live_runs():
            claimed = {
                "pull_request": self.draw(st.sampled_from([1, 2**31 - 1])),
                "files": (self.draw(TEXTS),) * 3,
                "artifacts": (Artifact(kind="log", name=self.draw(TEXTS), url="u"),),
                "usage": self.draw(USAGE),
            }
            receipt = a_receipt(ReceiptId(f"c-{run.id}-{self.count}"), **claimed)
            self.tries(cmd.FileReceipt(run.id, run.agent, receipt))

    def find(self) -> None:
        finding = self.draw(st.sampled_from([verified, refuted, unknown]))
        for receipt in list(self.world.state.receipts):
            self.tries(finding(receipt))

    def ask(self) -> None:
        if run := self.run:
            said = {"title": self.draw(TEXTS), "request": self.draw(REQUESTS)}
            expires = self.draw(TIMES)
            self.tries(ask(f"q{self.count}", run.id, run.agent, expires_at=expires, **said))
            if self.draw(st.booleans()):
                self.tries(answer(ask=f"q{self.count}", run=run.id))

    def say(self) -> None:
        if run := self.run:
            self.tries(say(self.draw(TEXTS), f"m{self.count}", run.id))

    def hear(self) -> None:
        if run := self.run:
            for message in run.messages:
                self.tries(take(self.draw(st.sampled_from(Taken)), message.id, run.id, run.agent))

    def expire(self) -> None:
        self.tries(cmd.Expire())

    def retry(self) -> None:
        for task in (T1, T2):
            self.tries(cmd.RetryTask(task))


@given(policy=POLICIES, steps=st.lists(STEPS, min_size=20, max_size=60), data=st.data())
def test_what_is_appended_is_read_again(
    policy: Policy, steps: list[str], data: st.DataObject
) -> None:
    story = Story(policy, data)
    for step in steps:
        story.go(step)

    world = story.world
    read = [msgspec.structs.replace(x, event=ev.decode(ev.encode(x.event))) for x in world.journal]
    assert read == world.journal
    again = replay(read)
    assert (again.tasks, again.runs) == (world.state.tasks, world.state.runs)
    assert (again.receipts, again.agents) == (world.state.receipts, world.state.agents)
    _read_models(world.state)


def _read_models(state: FleetState) -> None:
    models: tuple[tuple[View, type[Any], Mapping[Any, Any]], ...] = (
        (TASKS, Task, state.tasks),
        (RUNS, Run, state.runs),
        (RECEIPTS, FiledReceipt, state.receipts),
        (AGENTS, Agent, state.agents),
    )
    for view, kind, values in models:
        for value in values.values():
            row = view.row(value)
            assert msgspec.json.decode(str(row[-1]), type=kind) == value
            numbers = [column for column in row if isinstance(column, int)]
            assert all(abs(number) < 2**63 for number in numbers), "SQLite takes no more"


def test_a_pause_is_read_whose_day_had_used_more_than_a_run_may() -> None:
    """One heartbeat for two runs once made a line that no start could read."""
    world = World(policy=Policy(day_budget=Budget(tokens=1)))
    world.given(an_agent(max_concurrency=2), a_task(T1), a_task(T2))
    for run in (R1, R2):
        world.given(cmd.Dispatch(A1, run), cmd.StartRun(run, A1)).heard(A1)
    for run in (R1, R2):
        world.uses(run, Usage(input_tokens=2**53, cost_usd=1e9))

    (paused,) = [e for e in world.when(cmd.Expire()) if isinstance(e, ev.FleetPaused)]

    assert paused.spent == Usage(input_tokens=2**54, cost_usd=2e9)
    assert ev.decode(ev.encode(paused)) == paused
