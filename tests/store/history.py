"""Makes changes as the fleet makes them: events with their places, and the values they lead to."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec.structs import replace

from fleetbot.domain import events as ev
from fleetbot.domain.model import AgentName, Receipt, ReceiptId, RunId, TaskId, Traits
from fleetbot.domain.reasons import ReasonCode
from fleetbot.domain.state import FLEET_STREAM, FleetState, agent_stream, repo_stream, task_stream
from fleetbot.store.records import Change

AGENT = AgentName("claude-1")
REPO = "octo/hello-world"
ISSUE_CLOSED = ev.TaskCancelled(reason=ReasonCode.ISSUE_CLOSED)


class History:
    """The fold so far; each call gives the change that comes next."""

    def __init__(self) -> None:
        self.state = FleetState()

    def task_event(self, task: str, event: ev.AnyEvent) -> Change:
        state, task_id = self.state, TaskId(task)
        line = self._record(task_stream(task_id), event)
        return Change(
            events=(line,),
            tasks=(state.tasks[task_id],),
            runs=tuple(run for run in state.runs.values() if run.task == task_id),
            receipts=tuple(filed for filed in state.receipts.values() if filed.task == task_id),
        )

    def agent_event(self, agent: AgentName, event: ev.AnyEvent) -> Change:
        line = self._record(agent_stream(agent), event)
        known = self.state.known_agent(agent)
        return Change(events=(line,), agents=(known,) if known else ())

    def repo_event(self, repo: int, event: ev.AnyEvent) -> Change:
        line = self._record(repo_stream(repo), event)
        return Change(events=(line,), repos=(self.state.places.repos[repo],))

    def fleet_event(self, event: ev.AnyEvent) -> Change:
        return Change(events=(self._record(FLEET_STREAM, event),))

    def _record(self, stream: str, event: ev.AnyEvent) -> ev.Recorded:
        line = ev.Recorded(
            seq=self.state.seq + 1,
            stream=stream,
            version=self.state.version(stream) + 1,
            at=1_000 + self.state.seq,
            actor="timer",
            cause="",
            event=event,
        )
        self.state.apply(line)
        return line

    def created(
        self, task: str, *, issue: int | None = None, repo: str = REPO, title: str = ""
    ) -> Change:
        number = issue if issue is not None else len(self.state.tasks) + 1
        url = f"https://forge.example/{repo}/issues/{number}"
        traits = Traits(title=title or f"Mend №{number}")
        event = ev.TaskCreated(repo=repo, issue=number, url=url, author="alice", traits=traits)
        return self.task_event(task, event)

    def assigned(self, task: str, run: str, agent: AgentName = AGENT) -> Change:
        event = ev.TaskAssigned(run=RunId(run), agent=agent, attempt=1, branch="fleet/1")
        return self.task_event(task, event)

    def registered(self, agent: AgentName = AGENT) -> Change:
        return self.agent_event(agent, ev.AgentRegistered(adapter="command"))

    def story(self, task: str) -> Iterator[Change]:
        """From the issue to a verified receipt; each step is recorded when it is asked for."""
        run, receipt = RunId(f"{task}-run"), ReceiptId(f"{task}-receipt")
        claim = Receipt(id=receipt, pull_request=7, branch="fleet/1", head="a" * 40)
        yield self.created(task)
        yield self.assigned(task, run)
        yield self.task_event(task, ev.TaskStarted(run=run))
        yield self.task_event(task, ev.ReceiptFiled(run=run, receipt=claim))
        yield self.task_event(task, ev.ReceiptVerified(run=run, receipt=receipt))
        yield self.task_event(task, ev.TaskCompleted(run=run, receipt=receipt))


def with_version(change: Change, version: int) -> Change:
    """The same change with its event at another place in its stream."""
    (line,) = change.events
    return replace(change, events=(replace(line, version=version),))


def with_seq(change: Change, seq: int) -> Change:
    (line,) = change.events
    return replace(change, events=(replace(line, seq=seq),))
