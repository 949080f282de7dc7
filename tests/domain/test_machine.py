"""Whatever is asked in whatever order, the journal folds, and the fleet's promises hold."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from fleetbot.domain import commands as cmd
from fleetbot.domain import events as ev
from fleetbot.domain.announce import effects
from fleetbot.domain.available import absence
from fleetbot.domain.decide import decide
from fleetbot.domain.dispatch import choose, has_room
from fleetbot.domain.draft import Drafts
from fleetbot.domain.errors import FleetError, IllegalTransition
from fleetbot.domain.model import (
    OPEN_STATES,
    AgentName,
    AgentStatus,
    Behavior,
    Blocker,
    Policy,
    Priority,
    ReceiptId,
    Run,
    RunId,
    RunState,
    Taken,
    TaskId,
    TaskState,
    Traits,
    Verdict,
    same_name,
)
from fleetbot.domain.patience import with_fault
from fleetbot.domain.pulls import PullState, PullView
from fleetbot.domain.reasons import REASONS, Owner, ReasonCode
from fleetbot.domain.state import FLEET_STREAM, FleetState
from fleetbot.domain.usage import Budget, Usage, day_start, is_spent, sum_usage
from tests.domain.builders import (
    A1,
    A2,
    A3,
    HEAD,
    HOUR,
    MINUTE,
    SECOND,
    World,
    a_receipt,
    a_task,
    again,
    an_agent,
    answer,
    ask,
    follow,
    note,
    refuted,
    replay,
    review,
    say,
    take,
    unknown,
    verified,
)

POLICY = Policy(
    max_attempts=2,
    max_refutations=1,
    repo_limit=2,
    run_timeout_ms=30 * MINUTE,
    task_budget=Budget(tokens=50),
    day_budget=Budget(tokens=100),
    forget_agents_ms=HOUR,
)
HOLDING = {TaskState.ASSIGNED: RunState.ASSIGNED, TaskState.RUNNING: RunState.RUNNING}

NAMES = ("team/app", "Team/App", "team/store", "team/web")
names = st.sampled_from(NAMES)
tasks = st.sampled_from([TaskId(f"t{n}") for n in range(1, 6)])
agents = st.sampled_from([A1, A2, A3])
traits = st.builds(
    Traits,
    title=st.sampled_from(["Mend the door", "Paint it"]),
    priority=st.sampled_from(Priority),
    agent=st.none() | st.none() | agents,
    needs=st.sampled_from([(), ("python",)]),
)
reasons = st.sampled_from(
    [
        ReasonCode.AGENT_FAILED,
        ReasonCode.NO_CHANGES,
        ReasonCode.USAGE_LIMIT,
        ReasonCode.BILLING,
        ReasonCode.AUTH_FAILED,
        ReasonCode.RATE_LIMITED,
        ReasonCode.FORGE_UNAVAILABLE,
        ReasonCode.RUNNER_FAILED,
    ]
)
views = st.builds(
    PullView,
    number=st.sampled_from([7, 7, 8]),
    state=st.sampled_from([*[PullState.OPEN] * 8, PullState.MERGED, PullState.CLOSED]),
    head=st.just(HEAD),
    base=st.just("main"),
    mergeable=st.sampled_from([True, False, None]),
    reviews=st.integers(1, 3).map(lambda id: (review(id),)),
)
pauses = st.sampled_from([1, 5 * SECOND, 31 * SECOND, 61 * SECOND, 91 * SECOND, 31 * MINUTE, HOUR])


class AnyOrder(RuleBasedStateMachine):
    """`world` has run since the beginning; `restarted` has what the store gave it at a restart."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World(policy=POLICY)
        self.restarted: FleetState | None = None

    # asking

    def ask(self, command: cmd.Command) -> None:
        """Ask both, compare, and fold what follows line by line."""
        state = self.world.state
        before = _image(state)
        drafts = self._decided(state, command)
        assert _image(state) == before, "deciding changes nothing"
        if self.restarted is not None:
            _recall(self.restarted, state, command)
            assert self._decided(self.restarted, command) == drafts
        for draft in drafts if isinstance(drafts, tuple) else ():
            line = self.world.record(draft)
            effects(line, state, None)
            if self.restarted is not None:
                self.restarted.apply(line)
                effects(line, self.restarted, None)
            if isinstance(line.event, ev.TaskAssigned):
                self._assignment_is_fair(line.event)

    def _decided(self, state: FleetState, command: cmd.Command) -> Drafts | str:
        try:
            return decide(state, command, self.world.now, POLICY)
        except IllegalTransition:
            raise
        except FleetError as refusal:
            return f"{refusal.code} of {refusal.field}: {refusal}"

    def _assignment_is_fair(self, event: ev.TaskAssigned) -> None:
        state = self.world.state
        agent = state.agents[event.agent]
        task = state.tasks[state.runs[event.run].task]
        assert state.runs_in_repo(task.place) <= POLICY.repo_limit
        assert state.places.hold_of(task) is None
        assert not task.base_problem
        assert not task.blockers
        assert state.at_work(agent.name) <= agent.max_concurrency
        assert agent.status is AgentStatus.ONLINE
        assert max(agent.parked_until, state.paused_until) <= self.world.now
        assert not agent.draining
        assert state.frozen is None
        assert task.place not in state.places.frozen
        assert agent.unwell is None
        assert not is_spent(state.spent_today(self.world.now), POLICY.day_budget)
        assert task.wanted_agent in (None, agent.name)
        assert set(task.traits.needs) <= set(agent.capabilities)

    def _states(self) -> list[FleetState]:
        return [self.world.state, *([self.restarted] if self.restarted is not None else [])]

    @initialize(traits=st.lists(traits, min_size=1, max_size=4), most=st.integers(1, 2))
    def a_fleet_with_work(self, traits: list[Traits], most: int) -> None:
        for name in (A1, A2):
            self.an_agent_registers(name, ("python",), most, "shared")
        for number, wish in enumerate(traits, 1):
            self.an_issue_appears(TaskId(f"t{number}"), wish, "team/app")

    # people and the forge

    @rule(agent=agents)
    def somebody_drains_an_agent(self, agent: AgentName) -> None:
        self.ask(cmd.DrainAgent(agent=agent))

    @rule(agent=agents)
    def somebody_resumes_an_agent(self, agent: AgentName) -> None:
        self.ask(cmd.ResumeAgent(agent=agent))

    @rule(task=tasks, traits=traits, repo=st.sampled_from(["team/app", "team/web"]))
    def an_issue_appears(self, task: TaskId, traits: Traits, repo: str) -> None:
        known = self.world.state.places.named(repo)
        which = {"repo_id": known.id if known else 0, "repo": known.name if known else repo}
        command = a_task(task, repo=repo)
        self.ask(cmd.CreateTask(**{**_fields(command), "traits": traits, **which}))

    @rule(repo=st.sampled_from([7, 8]), name=names, asked=names, branch=st.sampled_from("ab"))
    def the_forge_shows_a_repository(self, repo: int, name: str, asked: str, branch: str) -> None:
        """No two have one name at once."""
        others = [r for r in self.world.state.places.repos.values() if r.id != repo]
        if not any(same_name(name, other) for r in others for other in r.names):
            self.ask(cmd.NoteRepo(repo, name, branch, asked))

    @precondition(lambda self: self.world.state.places.repos)
    @rule(data=st.data())
    def its_tasks_follow(self, data: st.DataObject) -> None:
        state = self.world.state
        repo = state.places.repos[data.draw(st.sampled_from(sorted(state.places.repos)))]
        its = [t.id for t in state.tasks.values() if t.place in repo.places]
        self.ask(cmd.MoveTasks(repo.id, tuple(its)))

    @precondition(lambda self: self.world.state.places.repos)
    @rule(data=st.data(), held=st.booleans())
    def a_repository_comes_and_goes(self, data: st.DataObject, held: bool) -> None:
        repo = data.draw(st.sampled_from(sorted(self.world.state.places.repos)))
        hold = cmd.HoldRepo(repo, ReasonCode.REPO_GONE)
        self.ask(hold if held else cmd.ReleaseRepo(repo))

    @rule(task=tasks, base=st.sampled_from(["main", "trunk"]), problem=st.sampled_from(["", "?"]))
    def the_base_of_a_task_changes(self, task: TaskId, base: str, problem: str) -> None:
        self.ask(cmd.SetBase(task, base, problem))

    @rule(data=st.data())
    def a_run_is_taken_back(self, data: st.DataObject) -> None:
        self.ask(cmd.TakeBack(self._some_run(data), ReasonCode.REPO_ARCHIVED))

    @rule(task=tasks, others=st.sets(tasks, max_size=2), starting=st.booleans())
    def what_an_issue_depends_on_changes(
        self, task: TaskId, others: set[TaskId], starting: bool
    ) -> None:
        known = [self.world.state.tasks[t] for t in sorted(others) if t in self.world.state.tasks]
        if self.restarted is not None:  # who reads them has their tasks in memory
            self.restarted.adopt(t for t in known if t.id not in self.restarted.tasks)
        blockers = tuple(
            Blocker(repo=one.repo, issue=one.issue, repo_id=one.repo_id) for one in known
        )
        self.ask(cmd.SetBlockers(task, blockers, starting=starting))

    @rule(task=tasks, traits=traits)
    def an_issue_is_edited(self, task: TaskId, traits: Traits) -> None:
        self.ask(cmd.EditTask(task=task, traits=traits))

    @rule(task=tasks, agent=agents)
    def somebody_assigns(self, task: TaskId, agent: AgentName) -> None:
        self.ask(cmd.AssignTask(task=task, agent=agent))

    @rule(task=tasks)
    def somebody_retries(self, task: TaskId) -> None:
        self.ask(cmd.RetryTask(task=task))

    @rule(task=tasks, view=views)
    def the_forge_shows_a_pull_request(self, task: TaskId, view: PullView) -> None:
        self.ask(follow(view, task))

    @rule(task=tasks)
    def somebody_asks_for_more(self, task: TaskId) -> None:
        self.ask(cmd.AskAgain(task=task, words=again().words))

    @rule(task=tasks)
    def somebody_cancels(self, task: TaskId) -> None:
        self.ask(cmd.CancelTask(task=task))

    @rule(task=tasks, reason=st.sampled_from([ReasonCode.ISSUE_CLOSED, None]))
    def a_merge_closes_the_issue(self, task: TaskId, reason: ReasonCode | None) -> None:
        self.ask(cmd.CloseTask(task=task, reason=reason))

    # agents

    @rule(
        agent=agents,
        skills=st.sampled_from([(), ("python",)]),
        most=st.integers(1, 2),
        account=st.sampled_from(["", "shared"]),
        health=st.sampled_from([(), (), ("disk: full",)]),
    )
    def an_agent_registers(
        self,
        agent: AgentName,
        skills: tuple[str, ...],
        most: int,
        account: str,
        health: tuple[str, ...] = (),
    ) -> None:
        self.ask(
            an_agent(
                agent,
                capabilities=skills,
                max_concurrency=most,
                account=account,
                host="box",
                health=health,
            )
        )
        for state in self._states():
            state.seen[agent] = self.world.now

    @rule(agent=agents)
    def an_agent_is_heard(self, agent: AgentName) -> None:
        self.ask(cmd.AgentSeen(agent=agent))
        for state in self._states():
            state.seen[agent] = self.world.now
            for run in state.runs_of_agent(agent):
                state.leases[run.id] = self.world.now + POLICY.lease_ms

    @rule(agent=agents, back=st.booleans())
    def an_agent_signs_off(self, agent: AgentName, back: bool) -> None:
        self.ask(cmd.DeregisterAgent(agent=agent))
        if back:
            self.an_agent_registers(agent, ("python",), 2, "")

    @rule(agent=agents, forget=st.booleans(), back=st.booleans())
    def somebody_revokes_an_agent(self, agent: AgentName, forget: bool, back: bool) -> None:
        self.ask(cmd.RevokeAgent(agent=agent))
        if forget:
            self.ask(cmd.ForgetAgent(agent=agent))
        if back:
            self.an_agent_registers(agent, ("python",), 2, "")

    @rule(agent=agents, drain=st.booleans())
    def somebody_drains_or_resumes_an_agent(self, agent: AgentName, drain: bool) -> None:
        self.ask(cmd.DrainAgent(agent=agent) if drain else cmd.ResumeAgent(agent=agent))

    @rule(repo=st.none() | st.integers(7, 9), pause=st.booleans())
    def somebody_pauses_or_resumes(self, repo: int | None, pause: bool) -> None:
        if repo is None:
            self.ask(cmd.PauseFleet() if pause else cmd.ResumeFleet())
        else:
            self.ask(cmd.PauseRepo(repo) if pause else cmd.ResumeRepo(repo))

    @rule()
    def every_agent_claims(self) -> None:
        for agent in list(self.world.state.agents):
            self._claim(agent, RunId(f"r{len(self.world.state.runs) + 1}"))

    @rule(agent=agents, data=st.data())
    def an_agent_claims_with_an_id_in_use(self, agent: AgentName, data: st.DataObject) -> None:
        self._claim(agent, self._some_run(data))

    def _claim(self, agent: AgentName, run: RunId) -> None:
        for state in self._states():
            state.queue.ripen(state.tasks, self.world.now)
        self.ask(cmd.Dispatch(agent=agent, run=run))

    @precondition(lambda self: self.world.state.live_runs())
    @rule(data=st.data(), tokens=st.sampled_from([1, 10, 40]))
    def a_run_uses_tokens(self, data: st.DataObject, tokens: int) -> None:
        run = data.draw(st.sampled_from(self.world.state.live_runs()))
        used = Usage(output_tokens=self.world.state.usage_of(run).output_tokens + tokens)
        for state in self._states():
            state.used[run.id] = used

    @precondition(lambda self: self.world.state.live_runs())
    @rule(data=st.data(), finding=st.sampled_from([verified, refuted, unknown]))
    def runs_go_their_way(self, data: st.DataObject, finding: Any) -> None:
        """The next step of every live run, so that stories get long."""
        for run in self.world.state.live_runs():
            if data.draw(st.sampled_from([True, True, False])):
                self._next_step(run, finding)

    def _next_step(self, run: Run, finding: Any) -> None:
        if run.state is RunState.ASSIGNED:
            self.ask(cmd.StartRun(run=run.id, agent=run.agent))
        elif run.receipt:
            self.ask(finding(run.receipt))
        else:
            receipt = a_receipt(ReceiptId(f"c{len(self.world.state.receipts) + 1}"))
            self.ask(cmd.FileReceipt(run=run.id, agent=run.agent, receipt=receipt))

    @rule(data=st.data())
    def a_run_starts(self, data: st.DataObject) -> None:
        run = self._some_run(data)
        self.ask(cmd.StartRun(run=run, agent=self._speaker(run, data)))

    @rule(data=st.data(), reason=reasons, wait=st.none() | pauses)
    def a_run_fails(self, data: st.DataObject, reason: ReasonCode, wait: int | None) -> None:
        run = self._some_run(data)
        until = None if wait is None else self.world.now + wait
        speaker = self._speaker(run, data)
        self.ask(cmd.FailRun(run=run, agent=speaker, reason=reason, until=until))

    @rule(data=st.data(), number=st.integers(1, 30))
    def a_receipt_is_filed(self, data: st.DataObject, number: int) -> None:
        run = self._some_run(data)
        receipt = a_receipt(ReceiptId(f"c{number}"))
        self.ask(cmd.FileReceipt(run=run, agent=self._speaker(run, data), receipt=receipt))

    @precondition(lambda self: self.world.state.receipts)
    @rule(data=st.data(), finding=st.sampled_from([verified, refuted, unknown]))
    def a_receipt_is_checked(self, data: st.DataObject, finding: Any) -> None:
        known = sorted(self.world.state.receipts)
        self.ask(finding(data.draw(st.sampled_from([*known, ReceiptId("unheard-of")]))))

    @rule(data=st.data(), number=st.integers(1, 3), wait=pauses)
    def a_run_asks(self, data: st.DataObject, number: int, wait: int) -> None:
        run = self._some_run(data)
        expires = self.world.now + wait
        self.ask(ask(f"q{number}", run, self._speaker(run, data), expires_at=expires))

    @rule(data=st.data(), number=st.integers(1, 3), behavior=st.sampled_from(Behavior))
    def somebody_answers(self, data: st.DataObject, number: int, behavior: Behavior) -> None:
        self.ask(answer(behavior, f"q{number}", self._some_run(data)))

    @rule(data=st.data(), number=st.integers(1, 3))
    def somebody_says_something(self, data: st.DataObject, number: int) -> None:
        self.ask(say("Mind the paint.", f"m{number}", self._some_run(data)))

    @rule(task=tasks)
    def somebody_says_something_to_the_next_run(self, task: TaskId) -> None:
        self.ask(note(task=task))

    @rule(data=st.data(), number=st.integers(1, 3), taken=st.sampled_from(Taken))
    def a_message_is_taken(self, data: st.DataObject, number: int, taken: Taken) -> None:
        run = self._some_run(data)
        self.ask(take(taken, f"m{number}", run, self._speaker(run, data)))

    def _some_run(self, data: st.DataObject) -> RunId:
        """Mostly a live one."""
        live = [run.id for run in self.world.state.live_runs()]
        anyone = [*self.world.state.runs, RunId("unheard-of")]
        return data.draw(st.sampled_from(live * 4 + anyone[-8:]))

    def _speaker(self, run: RunId, data: st.DataObject) -> AgentName:
        """Mostly the run's own agent."""
        known = self.world.state.runs.get(run)
        return data.draw(st.sampled_from([known.agent] * 5 + [A1, A2])) if known else A1

    # time

    @rule(wait=pauses, silent=st.sets(agents))
    def time_passes(self, wait: int, silent: set[AgentName]) -> None:
        self.world.now += wait
        for agent in set(self.world.state.agents) - silent:
            self.an_agent_is_heard(agent)

    @rule()
    def time_takes_effect(self) -> None:
        self.ask(cmd.Expire())

    @rule()
    def long_waits_are_told(self) -> None:
        self.ask(cmd.NoteWaits())

    @rule(whole=st.booleans())
    def the_orchestrator_restarts(self, whole: bool) -> None:
        """With open tasks, what they wait for, and agents; with what is past of the tasks, or only
        what is live."""
        old, new = self.world.state, FleetState()
        new.seq = old.seq
        tasks = {t: task for t, task in old.tasks.items() if task.state in OPEN_STATES}
        blockers = [one for task in tasks.values() for one in task.blockers]
        waited_for = [old.by_issue.get((one.place, one.issue)) for one in blockers]
        tasks |= {t: old.tasks[t] for t in waited_for if t}
        new.adopt(
            tasks.values(),
            [r for r in old.runs.values() if r.task in tasks and (whole or r.state != "ended")],
            (old.agents | old.forgotten).values(),
            [r for r in old.receipts.values() if whole or r.verdict is Verdict.PENDING],
            old.places.repos.values(),
        )
        of_fleet = [line for line in self.world.journal if line.stream == FLEET_STREAM]
        last = {isinstance(x.event, ev.FleetFrozen | ev.FleetThawed): x for x in of_fleet}
        ended = [r for r in old.runs.values() if r.ended_at >= day_start(self.world.now)]
        spent = sum_usage(run.usage for run in ended)
        new.adopt_fleet(sorted(last.values(), key=lambda x: x.seq), self.world.now, spent)
        old.used = {}
        for state in (old, new):
            state.seen = dict.fromkeys(state.agents, self.world.now)
            state.leases = {r.id: self.world.now + POLICY.lease_ms for r in state.live_runs()}
        self.restarted = new

    # what must hold

    @invariant()
    def replay_gives_the_same_state(self) -> None:
        again = replay(self.world.journal)
        assert _image(again) == _image(self.world.state)

    @rule()
    def replay_makes_the_same_choices(self) -> None:
        again = replay(self.world.journal)
        states = [again, *self._states()]
        for state in states:
            state.queue.ripen(state.tasks, self.world.now)
        for agent in self.world.state.agents.values():
            chosen = [choose(state, agent, self.world.now, POLICY) for state in states]
            assert chosen == [chosen[0]] * len(states)

    @invariant()
    def a_restart_makes_no_difference(self) -> None:
        if self.restarted is None:
            return
        new, old = self.restarted, self.world.state
        assert (new.agents, new.forgotten) == (old.agents, old.forgotten)
        assert new.tasks.items() <= old.tasks.items()
        assert {t for t, task in old.tasks.items() if task.state in OPEN_STATES} <= set(new.tasks)
        assert new.runs.items() <= old.runs.items()
        assert new.receipts.items() <= old.receipts.items()
        assert {run.id for run in new.live_runs()} == {run.id for run in old.live_runs()}
        assert (new.paused_until, new.frozen) == (old.paused_until, old.frozen)
        assert new.version(FLEET_STREAM) == old.version(FLEET_STREAM)
        assert new.spent_today(self.world.now) == old.spent_today(self.world.now)

    @invariant()
    def versions_and_places_have_no_gaps(self) -> None:
        versions = Counter[str]()
        for place, line in enumerate(self.world.journal, 1):
            versions[line.stream] += 1
            assert (line.seq, line.version) == (place, versions[line.stream])

    @invariant()
    def a_task_and_its_live_run_agree(self) -> None:
        state = self.world.state
        live = {run.task: run for run in state.live_runs()}
        assert len(live) == len(state.live_runs())
        assert {t for t, task in state.tasks.items() if task.state in HOLDING} == set(live)
        for task_id, run in live.items():
            task = state.tasks[task_id]
            assert task.run == run.id
            assert HOLDING[task.state] is run.state

    @invariant()
    def only_what_waits_is_stuck(self) -> None:
        state = self.world.state
        told = {task.id: task.stuck.cause for task in state.tasks.values() if task.stuck}
        assert {t: cause for cause, tasks in state.stuck.items() for t in tasks} == told
        moved = {TaskState.CREATED, TaskState.RUNNING}
        assert all(state.tasks[task].state in moved for task in told)

    @invariant()
    def who_waits_for_an_issue_is_found_by_it(self) -> None:
        for state in self._states():
            found = {(issue, t) for issue, tasks in state.blocked.items() for t in tasks}
            assert found == {
                ((one.place, one.issue), task.id)
                for task in state.tasks.values()
                for one in task.blockers
                if task.state in OPEN_STATES
            }

    @invariant()
    def only_what_is_at_work_is_closing(self) -> None:
        for task in self.world.state.tasks.values():
            assert task.closing is None or task.state in HOLDING
            assert (task.closing is None) == (task.closing_since == 0)

    @invariant()
    def the_counts_agree_with_the_runs(self) -> None:
        state = self.world.state
        held = (run for run in state.live_runs() if run.receipt is None)
        repos = Counter(state.tasks[run.task].place for run in held)
        places = {*repos, *state.places.repos, *map(str.lower, NAMES)}
        assert all(state.runs_in_repo(place) == repos[place] for place in places)

    @invariant()
    def an_agent_that_takes_nothing_is_told_why(self) -> None:
        state, now = self.world.state, self.world.now
        for agent in state.agents.values():
            fleet_rests = state.frozen is not None or state.paused_until > now
            rests = fleet_rests or absence(state, agent, now) is not None
            assert has_room(state, agent, now) is not rests

    @invariant()
    def an_issue_is_one_open_task(self) -> None:
        state = self.world.state
        opened = [task for task in state.tasks.values() if task.state in OPEN_STATES]
        assert len({(task.place, task.issue) for task in opened}) == len(opened)
        for task in opened:
            assert state.tasks[state.by_issue[task.place, task.issue]] is task

    @invariant()
    def attempts_are_never_negative(self) -> None:
        assert all(task.attempt >= 0 for task in self.world.state.tasks.values())

    @invariant()
    def an_unwell_agent_knows_why_and_since_when(self) -> None:
        for agent in self.world.state.agents.values():
            assert (agent.unwell is None) == (agent.unwell_since == 0)
            assert (agent.fault is None) == (agent.faults == 0)

    @invariant()
    def nothing_is_excused_for_ever(self) -> None:
        for task in self.world.state.tasks.values():
            for excuse in task.excused:
                assert REASONS[excuse.reason].owner is not Owner.TASK
                assert 0 < excuse.times <= with_fault(excuse.reason, POLICY).give_up

    @invariant()
    def each_run_has_its_number(self) -> None:
        state = self.world.state
        for task in state.tasks.values():
            numbers = [run.number for run in state.runs.values() if run.task == task.id]
            assert sorted(numbers) == list(range(1, task.runs + 1))

    @invariant()
    def what_the_task_does_not_own_costs_no_attempt(self) -> None:
        """Of the runs since it was last asked for anew."""
        lines: list[ev.Recorded | None] = [*self.world.journal[-6:], None]
        for line, after in pairwise(lines):
            if line and isinstance(line.event, ev.TaskFailed) and after:
                again = after.event
                owner = REASONS[line.event.reason].owner
                if isinstance(again, ev.TaskRequeued) and again.excuse:
                    assert (again.uncounted, owner is Owner.TASK) == (True, False)

    @invariant()
    def only_a_verified_receipt_completes(self) -> None:
        lines: list[ev.Recorded | None] = [None, *self.world.journal]
        for before, line in pairwise(lines):
            if line and isinstance(line.event, ev.TaskCompleted):
                proof = ev.ReceiptVerified(run=line.event.run, receipt=line.event.receipt)
                assert before
                assert (before.stream, before.event) == (line.stream, proof)

    @invariant()
    def a_task_has_spent_what_its_runs_have(self) -> None:
        state = self.world.state
        for task in state.tasks.values():
            runs = [r for r in state.runs.values() if r.task == task.id and r.ended_at]
            assert task.spent == sum_usage(run.usage for run in runs)

    @invariant()
    def every_line_can_be_read_again(self) -> None:
        for line in self.world.journal[-3:]:
            assert ev.decode(ev.encode(line.event)) == line.event


def _fields(command: cmd.CreateTask) -> dict[str, Any]:
    return {name: getattr(command, name) for name in command.__dataclass_fields__}


def _image(state: FleetState) -> tuple[object, ...]:
    """All that is folded, as it is now; values are frozen, so that shallow copies do."""
    return (
        state.seq,
        dict(state.tasks),
        dict(state.runs),
        dict(state.agents),
        dict(state.forgotten),
        dict(state.receipts),
        dict(state.by_issue),
        dict(state.places.repos),
        dict(state.places.held),
        dict(state.places.frozen),
        state.live_runs(),
        state.paused_until,
        state.frozen,
    )


def _recall(new: FleetState, old: FleetState, command: cmd.Command) -> None:
    """Take a task back in with its whole history, if the command speaks of what stayed on disk."""
    wanted: set[TaskId | None] = {getattr(command, "task", None)}
    if isinstance(command, cmd.CreateTask):
        known = old.task_of_issue(command.repo, command.issue)
        wanted.add(known.id if known else None)
    if isinstance(command, cmd.MoveTasks):
        wanted |= set(old.tasks)
    if (run := getattr(command, "run", None)) in old.runs and run not in new.runs:
        wanted.add(old.runs[run].task)
    receipt = command.receipt.id if isinstance(command, cmd.FileReceipt) else None
    receipt = command.receipt if isinstance(command, cmd.Conclude) else receipt
    if receipt in old.receipts and receipt not in new.receipts:
        wanted.add(old.receipts[receipt].task)
    for task in [one for one in old.tasks if one in wanted]:
        new.adopt(
            [old.tasks[task]],
            [r for r in old.runs.values() if r.task == task],
            (),
            [r for r in old.receipts.values() if r.task == task],
        )


TestAnyOrder = AnyOrder.TestCase
TestAnyOrder.settings = settings(max_examples=100, stateful_step_count=60)
