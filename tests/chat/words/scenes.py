"""Answers as people get them, of a fleet on a bad morning; kept as text and as HTML in tests/data.

`python -m tests.chat.words.scenes` writes them anew: look at each before it is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from msgspec.structs import replace

from fleetbot.chat.speaking.runs import event_link
from fleetbot.chat.words import answers, money, numbers, overview, roster
from fleetbot.chat.words.answers import Particulars
from fleetbot.chat.words.money import Spending
from fleetbot.chat.words.numbers import Numbers
from fleetbot.chat.words.overview import Today
from fleetbot.chat.words.period import period
from fleetbot.chat.words.rich import Rich, bold, link, say
from fleetbot.domain import commands as cmd
from fleetbot.domain import events as ev
from fleetbot.domain.machine import MachineFacts
from fleetbot.domain.model import AgentName, ContextState, Evidence, Policy, Priority, RunId, TaskId
from fleetbot.domain.reasons import ReasonCode
from fleetbot.domain.receipts import Verified
from fleetbot.domain.state import task_stream
from fleetbot.domain.usage import Usage
from fleetbot.store.figures import Outcomes, UsageSum
from tests.domain import builders as a
from tests.domain.builders import HOUR, MINUTE, World

KEPT = Path(__file__).parents[2] / "data" / "answers"
SHELL = AgentName("shell-1")
T4, T5, T6 = TaskId("t4"), TaskId("t5"), TaskId("t6")


def everything(repo: str) -> bool:
    return True


def morning() -> World:
    """A question, a failure for good, a task for an agent that is away; one at work, two queued."""
    world = World().given(a.an_agent(a.A3), a.a_task(T4, agent=a.A3, title="Paint the fence"))
    world.later(2 * HOUR).given(cmd.Expire())
    for name in (a.A1, a.A2, SHELL):
        world.given(a.an_agent(name, host="attic", program="/opt/venv/bin/claude 2.1.283"))
    world.given(a.a_task(a.T1, agent=a.A1, title="Mend the door"), a.dispatch(), a.start())
    world.given(a.fail(ReasonCode.NO_CHANGES, detail="All is well."))
    world.given(a.a_task(a.T2, title="Oil the hinges"), a.dispatch(a.A2, a.R2), a.start(a.R2, a.A2))
    world.given(a.a_task(a.T3, title="Sweep the yard"), a.dispatch(a.A1, a.R3), a.start(a.R3))
    world.later(12 * MINUTE).heard(a.A1, a.A2, SHELL)
    ends = world.now + 18 * MINUTE
    world.given(a.ask(title="Run `apt install oil`?", run=a.R2, agent=a.A2, expires_at=ends))
    world.given(a.a_task(T5, needs=("rust",), priority=Priority.HIGH, title="Rust the gate"))
    world.uses(a.R2, Usage(input_tokens=1200, output_tokens=300, cost_usd=0.25))
    return world.given(a.a_task(T6, title="Count the <b>nails</b>")).later(5 * MINUTE)


def _said(
    world: World, task: TaskId, *causes: tuple[type[ev.Event], str, str]
) -> list[ev.Recorded]:
    """The task's lines, by whom and for what."""
    by = {kind: (actor, cause) for kind, actor, cause in causes}
    lines = []
    for line in world.journal:
        if line.stream == task_stream(task):
            actor, cause = by.get(type(line.event), (line.actor, line.cause))
            lines.append(replace(line, actor=actor, cause=cause))
    return lines


CAUSES: tuple[tuple[type[ev.Event], str, str], ...] = (
    (ev.TaskCreated, "forgejo:ada", "delivery:8f2e"),
    (ev.TaskAssigned, "agent:claude-1", "claim"),
    (ev.TaskStarted, "agent:claude-1", ""),
    (ev.ReceiptFiled, "agent:claude-1", "receipt:c1"),
    (ev.ReceiptUnknown, "verifier", "receipt:c1"),
    (ev.ReceiptRefuted, "verifier", "receipt:c1"),
    (ev.ReceiptVerified, "verifier", "receipt:c1"),
    (ev.TaskCompleted, "verifier", "receipt:c1"),
    (ev.TaskRequeued, "matrix:@bob:example.org", "matrix:$m1"),
    (ev.TaskFailed, "agent:claude-1", ""),
)


def status() -> Rich:
    world = morning()
    away = say("🔌 ", bold("Forgejo cannot be used"), ", for 10 min: it does not answer")
    today = Today(3, 1, Usage(input_tokens=90_000, output_tokens=8_000, cost_usd=4.5))
    about = world.state, everything, world.now, world.policy
    return overview.status(*about, troubles=[away], today=today)


def status_when_all_is_well() -> Rich:
    world = World().given(a.an_agent(), a.an_agent(a.A2), a.a_task(), a.dispatch(), a.start())
    world.later(4 * MINUTE)
    return overview.status(
        world.state, everything, world.now, world.policy, today=Today(verified=2)
    )


def task() -> Rich:
    world = morning()
    known = Particulars(
        runs=[world.run(a.R2)],
        lines=["Looking for the oil …", "$ apt list oil"],
        thread=link("its log", event_link("!room:example.org", "$run")),
    )
    return answers.task(world.task(a.T2), known, world.state, world.now, world.policy)


def tasks() -> Rich:
    world = morning()
    found = [world.task(t) for t in (T6, T5, a.T3, a.T2, a.T1)]
    return answers.tasks(found, "open tasks", world.state, world.now)


def agents() -> Rich:
    world = morning()
    world.given(cmd.DrainAgent(SHELL), cmd.DrainAgent(a.A1))
    world.given(a.fail(ReasonCode.AUTH_FAILED, a.R2, a.A2, detail="Invalid API key"))
    return roster.agents(world.state, everything, world.later(MINUTE).now)


def agent() -> Rich:
    """One at length, with a finding of its check and a disk that is nearly full."""
    world = morning().given(
        a.an_agent(
            a.A1,
            host="attic",
            program="claude 2.1.283",
            health=("git: git version 2.20.1",),
            remedies=("install git 2.34 or newer",),
        )
    )
    world.state.machines[a.A1] = MachineFacts(
        fleetbot="0.1.0",
        python="3.11.9",
        git="2.20.1",
        system="Linux 6.1",
        sandbox="none",
        disk_free=1_200_000_000,
        least_free=2_000_000_000,
    )
    its = world.state.agents[a.A1]
    return roster.at_length(world.state, its, everything, world.later(MINUTE).now)


def why_it_failed() -> Rich:
    world = morning()
    lines = _said(world, a.T1, *CAUSES)
    return answers.told_why(world.task(a.T1), lines, world.state, world.now, world.policy)


def why_it_is_done() -> Rich:
    seen = Evidence(
        head=a.HEAD,
        base="main",
        author="fleet-claude",
        files=3,
        commits=1,
        approved_by=("ada",),
        ci="green",
        contexts=(ContextState(name="CI / test", state="success"),),
        context_count=3,
        notes=("A note.",),
    )
    world = a.running().later(6 * MINUTE).heard(a.A1).given(a.file())
    for _ in range(3):
        world.later(MINUTE).given(a.unknown(a.C1, "CI has not finished"))
    world.later(MINUTE).given(cmd.Conclude(a.C1, Verified(evidence=seen))).later(3 * HOUR)
    lines = _said(world, a.T1, *CAUSES)
    return answers.told_why(world.task(), lines, world.state, world.now, world.policy)


def reviewed() -> World:
    """Round 1 was for a review, round 2 for CI, and now people are asked."""
    threads = (a.a_thread(31), a.a_thread(32))
    world = World(policy=Policy(max_ci_rounds=1))
    a.answered(world, a.a_review(threads=threads)).later(20 * MINUTE).heard(a.A1)
    world.given(a.follow(a.red())).later(MINUTE).heard(a.A1)
    world.given(a.dispatch(run=a.R3), a.start(a.R3)).later(4 * MINUTE).heard(a.A1)
    filed = cmd.FileReceipt(a.R3, a.A1, a.a_receipt(a.C3, summary="It was the clock."))
    world.given(filed, a.verified(a.C3)).later(2 * MINUTE)
    still = a.red("test / unit", "lint", red_on_base=("lint",), approved_by=("eve",))
    return world.given(a.follow(still)).later(HOUR)


def why_its_pull_request_waits() -> Rich:
    world = reviewed()
    lines = _said(world, a.T1, *CAUSES, (ev.TaskRequeued, "followup", "pull:7"))
    return answers.told_why(world.task(), lines, world.state, world.now, world.policy)


def task_in_a_round() -> Rich:
    world = reviewed().given(a.again("Skip that test."), a.dispatch(run=RunId("r4")))
    world.given(a.start(RunId("r4")))
    runs = [world.run(run) for run in (a.R1, a.R2, a.R3, RunId("r4"))]
    known = Particulars(runs=runs, receipt=world.state.receipts[a.C3])
    return answers.task(world.task(), known, world.state, world.now, world.policy)


def status_when_a_pull_request_asks() -> Rich:
    world = reviewed()
    about = world.state, everything, world.now, world.policy
    return overview.status(*about, today=Today(verified=3, merged=2))


def why_after_a_long_story() -> Rich:
    world = World().given(a.an_agent(), a.a_task())
    for number in range(8):
        run = RunId(f"r{number}")
        world.given(a.dispatch(run=run), a.start(run)).later(MINUTE).heard(a.A1)
        world.given(a.fail(ReasonCode.NO_CHANGES, run)).later(MINUTE).heard(a.A1)
        world.given(cmd.RetryTask(a.T1))
    lines = _said(world, a.T1, *CAUSES)
    return answers.told_why(world.task(), lines, world.state, world.now, world.policy)


def cost() -> Rich:
    world = morning()
    codex = Usage(input_tokens=2_100_000, output_tokens=90_000, cached_tokens=9, cost_usd=12.5)
    silent = Usage()
    both = UsageSum(key="", runs=9, usage=codex, untold=2)
    spent = Spending(
        total=both,
        repos=[UsageSum(key="team/app", runs=9, usage=codex, untold=2)],
        agents=[
            UsageSum(key="codex-1", runs=7, usage=codex),
            UsageSum(key="shell-1", runs=2, usage=silent, untold=2),
        ],
        days=[
            UsageSum(key="2023-11-14", runs=4, usage=codex),
            UsageSum(key="2023-11-13", runs=5, usage=silent, untold=2),
        ],
        tasks=[
            (world.task(a.T1), UsageSum(key="t1", runs=7, usage=codex)),
            (world.task(a.T2), UsageSum(key="t2", runs=2, usage=silent, untold=2)),
        ],
        running=Usage(cost_usd=0.25),
    )
    return money.cost(spent, period("7d", world.now))


def stats() -> Rich:
    return numbers.stats(some_numbers(), period("7d", a.START), drawn=True)


def some_numbers() -> Numbers:
    total = Outcomes(
        start=a.START,
        runs=30,
        verified=23,
        first_try=16,
        failed=2,
        cost_usd=12.5,
        untold=2,
        median_ms=34 * MINUTE,
        p90_ms=2 * HOUR,
    )
    start = period("7d", a.START).start
    day = Outcomes(
        start=start, runs=4, verified=3, first_try=2, failed=1, median_ms=MINUTE, p90_ms=HOUR
    )
    return Numbers(total, [day])


SCENES: Mapping[str, Callable[[], Rich]] = {
    scene.__name__: scene
    for scene in (
        status,
        status_when_all_is_well,
        task,
        tasks,
        agents,
        agent,
        why_it_failed,
        why_it_is_done,
        why_after_a_long_story,
        why_its_pull_request_waits,
        task_in_a_round,
        status_when_a_pull_request_asks,
        cost,
        stats,
    )
}


def of(said: Rich) -> dict[str, str]:
    """What is kept of it: the HTML with a line for each of its own."""
    lines = (
        said.html.replace("<br>", "<br>\n").replace("<li>", "\n<li>").replace("</ul>", "</ul>\n")
    )
    return {"txt": said.text + "\n", "html": lines.rstrip("\n") + "\n"}


if __name__ == "__main__":
    for name, scene in SCENES.items():
        for form, kept in of(scene()).items():
            (KEPT / f"{name}.{form}").write_text(kept)
