"""A task's story as its journal has it: what happened, by whom, and when. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from types import MappingProxyType
from typing import NamedTuple, assert_never

from fleetbot.chat.words.notices import reason_text
from fleetbot.chat.words.pull_story import OfPull, of_pull, quoted, round_words
from fleetbot.chat.words.rich import Part, Rich, bold, bullets, code, one_line, say
from fleetbot.chat.words.wording import exact, moment, pull_link, until
from fleetbot.domain import events as ev
from fleetbot.domain.model import AgentName, Behavior, Blocker, Priority, RunId, Taken, Task
from fleetbot.domain.pulls import Brief
from fleetbot.domain.standing import replied
from fleetbot.domain.waits import WaitReason
from fleetbot.domain.wording import count, person, span
from fleetbot.services.stories import Step

_FIRST, _LAST, _HINGES = 4, 8, 12  # steps that are told of a long story


_OfTask = (
    ev.TaskCreated
    | ev.TaskMoved
    | ev.TaskBased
    | ev.TaskEdited
    | ev.TaskPinned
    | ev.TaskClosing
    | ev.TaskStuck
    | ev.TaskUnstuck
    | ev.TaskBlocked
    | ev.TaskOverlaps
    | ev.TaskBehind
)
_OfRun = (
    ev.TaskAssigned
    | ev.TaskStarted
    | ev.TaskRequeued
    | ev.TaskCompleted
    | ev.TaskFailed
    | ev.TaskAgentLost
    | ev.TaskCancelled
)
_OfReceipt = ev.ReceiptFiled | ev.ReceiptVerified | ev.ReceiptRefuted | ev.ReceiptUnknown
_OfTalk = (
    ev.RunAsked | ev.RunAskCut | ev.RunAnswered | ev.RunMessaged | ev.RunMessageTaken | ev.TaskNoted
)


class _Step(NamedTuple):
    """Lines that tell the same, the last of them, and how many they are."""

    line: ev.Recorded
    times: int


def story(task: Task, lines: Sequence[ev.Recorded], now: int) -> Rich:
    """Its steps, oldest first: of many the first, the last, and those that rounds hang on. `lines`
    are those of its stream."""
    steps = list(_steps(lines))
    told = _Telling(task, now).told(steps)
    if len(told) <= _FIRST + _LAST + 1:
        return bullets(told)
    return bullets(_shortened(steps, told))


def steps(
    task: Task, lines: Sequence[ev.Recorded], agents: Mapping[RunId, AgentName], now: int
) -> list[Step]:
    """The same, step by step and none left out; `agents`: whose runs are."""
    telling = _Telling(task, now, agents)
    return [Step(line, times, telling.says(line).text, by(line)) for line, times in _steps(lines)]


def _shortened(steps: Sequence[_Step], told: Sequence[Rich]) -> Iterator[Rich]:
    last = len(told) - _LAST
    hinges = [place for place in range(_FIRST, last) if _is_hinge(steps[place].line.event)]
    kept = {*range(_FIRST), *hinges[-_HINGES:], *range(last, len(told))}
    for is_kept, places in groupby(range(len(told)), kept.__contains__):
        if is_kept:
            yield from (told[place] for place in places)
        else:
            yield say(f"… {count(len(list(places)), 'step')} …")


def _is_hinge(event: ev.AnyEvent) -> bool:
    """Whether a round began by it, or was answered."""
    match event:
        case ev.TaskRequeued(brief=brief):
            return brief is not None
        case ev.ReceiptFiled(receipt=receipt):
            return bool(receipt.replies)
        case _:
            return isinstance(event, ev.PullAsked | ev.PullClosed)


def _steps(lines: Sequence[ev.Recorded]) -> Iterator[_Step]:
    """A receipt that is checked again and again is one step."""
    for _, alike in groupby(lines, lambda line: 0 if _is_repeated(line) else line.seq):
        *before, last = alike
        yield _Step(last, len(before) + 1)


def _is_repeated(line: ev.Recorded) -> bool:
    return isinstance(line.event, ev.ReceiptUnknown)


class _Telling:
    """Knows whose a run is while it goes through the lines."""

    def __init__(
        self, task: Task, now: int, agents: Mapping[RunId, AgentName] = MappingProxyType({})
    ) -> None:
        self._task = task
        self._now = now
        self._agents = dict(agents)
        self._rounds = 0

    def told(self, steps: Sequence[_Step]) -> list[Rich]:
        told: list[Rich] = []
        before = 0
        for line, times in steps:
            again = f", {times} times" if times > 1 else ""
            parts: list[Part] = [say(self.says(line), again)]
            parts += filter(None, [by(line)])
            told.append(say(_dotted(parts), " · ", self._when(line.at, before)))
            before = line.at
        return told

    def says(self, line: ev.Recorded) -> Rich:
        """What happened; lines come in their order."""
        event = line.event
        assert isinstance(event, ev.TaskEvent)  # as it is of a task's stream
        if isinstance(event, ev.TaskAssigned):
            self._agents[event.run] = event.agent
        return self._sentence(event)

    def _when(self, at: int, before: int) -> Rich:
        if not before:
            return moment(at, self._now)
        later = f"{span(at - before)} later" if at - before >= 1000 else "at once"
        return say(later, exact(at, self._now))

    def _agent(self, run: RunId) -> Rich:
        return bold(self._agents.get(run, "its agent"))

    def _sentence(self, event: ev.TaskEvent) -> Rich:
        if isinstance(event, _OfTask):
            return _of_task(event)
        if isinstance(event, _OfRun):
            return self._of_run(event)
        if isinstance(event, _OfReceipt):
            return self._of_receipt(event)
        if isinstance(event, _OfTalk):
            return self._of_talk(event)
        if isinstance(event, OfPull):
            return of_pull(event)
        assert_never(event)

    def _of_run(self, event: _OfRun) -> Rich:
        match event:
            case ev.TaskAssigned(agent=agent, attempt=attempt):
                return say("given to ", bold(agent), f", attempt {attempt}" if attempt > 1 else "")
            case ev.TaskStarted(run=run):
                return say(self._agent(run), " began")
            case ev.TaskRequeued(brief=Brief() as brief):
                self._rounds += 1
                return round_words(self._rounds, brief)
            case ev.TaskRequeued(reason=reason, not_before=not_before):
                soon = f", to be tried {until(not_before, self._now)}"
                waits = soon if not_before > self._now else ""
                return say(f"queued again: {reason_text(reason)}{waits}")
            case ev.TaskCompleted():
                return bold("completed")
            case ev.TaskFailed(run=run, reason=reason, detail=detail):
                return say(self._agent(run), f" failed: {reason_text(reason)}", quoted(detail))
            case ev.TaskAgentLost(run=run, reason=reason):
                return say("lost with ", self._agent(run), f": {reason_text(reason)}")
            case ev.TaskCancelled(reason=reason):
                return say(reason_text(reason))
            case _:
                assert_never(event)

    def _of_receipt(self, event: _OfReceipt) -> Rich:
        match event:
            case ev.ReceiptFiled(run=run, receipt=receipt):
                pull = pull_link(self._task, receipt.pull_request)
                answers = replied([reply.answer for reply in receipt.replies])
                threads = f"; threads: {answers}" if answers else ""
                return say(self._agent(run), " says it is done: ", pull, threads)
            case ev.ReceiptVerified():
                return say("checked against Forgejo: all of it held")
            case ev.ReceiptRefuted(reasons=reasons, final=final):
                last = ", for the last time" if final else ""
                return say(f"checked against Forgejo: it did not hold{last}", quoted(*reasons))
            case ev.ReceiptUnknown(unread=unread):
                return say("could not be checked yet", quoted(*unread))
            case _:
                assert_never(event)

    def _of_talk(self, event: _OfTalk) -> Rich:
        match event:
            case ev.RunAsked(run=run, title=title):
                return say(self._agent(run), " asked", quoted(title))
            case ev.RunAskCut():
                return say("no message could show all of it, so it can only be denied")
            case ev.RunAnswered(expired=True):
                return say("nobody answered in time, which is a no")
            case ev.RunAnswered(behavior=Behavior.ALLOW, text=text):
                return say("answered" if text else "allowed", quoted(text))
            case ev.RunAnswered(behavior=Behavior.ALWAYS):
                return say("allowed for the rest of the run")
            case ev.RunAnswered(text=text):
                return say("denied", quoted(text))
            case ev.RunMessaged(run=run, text=text):
                return say("told ", self._agent(run), quoted(text))
            case ev.RunMessageTaken(run=run, taken=Taken.DELIVERED):
                return say(self._agent(run), " has read it")
            case ev.TaskNoted(text=text):
                return say("told its next run", quoted(text))
            case ev.RunMessageTaken():
                return say("it is kept for the next attempt")
            case _:
                assert_never(event)


def _of_task(event: _OfTask) -> Rich:
    match event:
        case ev.TaskCreated(author=author):
            return say(f"taken up, from the issue of {one_line(author, 60)}")
        case ev.TaskMoved(repo=repo):
            return say(f"its repository is {repo} now")
        case ev.TaskBased(base=base, problem=problem):
            start = " cannot be started from" if problem else " is what it starts from"
            return say(code(base or "its base"), start)
        case ev.TaskEdited(traits=traits):
            urgent = traits.priority
            rank = "" if urgent is Priority.NORMAL else f", {urgent.name.lower()} priority"
            return say(f"title or labels changed: {one_line(traits.title, 60)}{rank}")
        case ev.TaskPinned(agent=agent):
            return say("to be done by ", bold(agent))
        case ev.TaskClosing(reason=None):
            return say("the issue is open again")
        case ev.TaskClosing():
            return say("the merge of its own work closed the issue; what was handed in is awaited")
        case ev.TaskStuck(reason=reason, subject=subject):
            return say(f"has waited for long: {_wait(reason, subject)}")
        case ev.TaskUnstuck(reason=reason, subject=subject):
            return say(f"the wait is over: {_wait(reason, subject)}")
        case ev.TaskBlocked(blockers=blockers, unseen=unseen):
            return say(_depends(blockers, unseen))
        case ev.TaskOverlaps(issue=issue, files=files, count=number):
            return say(
                f"changes {count(number, 'file')} that #{issue} does too", quoted(*files[:1])
            )
        case ev.TaskBehind(other=None, issue=issue):
            return say(f"does not wait behind #{issue} any more")
        case ev.TaskBehind(issue=issue):
            return say(f"queued behind #{issue}")
        case _:
            assert_never(event)


_WAITS: Mapping[WaitReason, str] = {
    WaitReason.FLEET_PAUSED: "the fleet was paused",
    WaitReason.REPOSITORY_PAUSED: "{} was paused",
    WaitReason.FLEET_RESTS: "the fleet rested, as the day's budget was spent",
    WaitReason.REPOSITORY_HELD: "{} was held",
    WaitReason.BASE_GONE: "its base {} was not there",
    WaitReason.BLOCKED: "other issues came first",
    WaitReason.BLOCKER_UNTAKEN: "{} was open",
    WaitReason.BLOCKER_ENDED: "{} had come to nothing",
    WaitReason.BLOCKER_ELSEWHERE: "its base did not have {}",
    WaitReason.BLOCKED_IN_CIRCLE: "a circle: {}",
    WaitReason.BEHIND: "{} came first",
    WaitReason.BACK_OFF: "a pause before the next attempt",
    WaitReason.NO_AGENTS: "no agent was registered",
    WaitReason.NOBODY_CAN: "no agent has what it needs: {}",
    WaitReason.AGENT_UNKNOWN: "there was no agent {}",
    WaitReason.AGENT_SIGNED_OFF: "{} had signed off",
    WaitReason.AGENT_LACKS: "{} lacks what it needs",
    WaitReason.AGENT_OFFLINE: "{} was offline",
    WaitReason.AGENT_UNWELL: "{} was unwell",
    WaitReason.AGENT_RESTS: "{} rested",
    WaitReason.AGENT_DRAINED: "{} was drained",
    WaitReason.AGENTS_AWAY: "no agent that can do it took tasks",
    WaitReason.AGENTS_BUSY: "agents were busy",
    WaitReason.REPOSITORY_LIMIT: "{} had as many runs as it may",
    WaitReason.NEXT: "it was next",
    WaitReason.NOT_STARTED: "{} had not begun",
    WaitReason.QUESTION: "{} had a question",
    WaitReason.CHECKING: "what was handed in was being checked",
    WaitReason.RECEIPT_UNREAD: "what was handed in could not be checked",
    WaitReason.CLOSING: "what {} would hand in was awaited",
    WaitReason.LOOPING: "{} did the same again and again",
    WaitReason.STALLED: "{} was silent",
    WaitReason.SLOW: "{} took longer than runs mostly do",
    WaitReason.FAILED: "it had failed",
    WaitReason.AGENT_LOST: "its agent was lost",
    WaitReason.PULL_ASKED: "people had to say how its pull request goes on",
}
"""With a place for whom or what it waited for, where that is a name."""


def _wait(reason: WaitReason, subject: str) -> str:
    return _WAITS[reason].format(one_line(subject or "somebody", 60))


def _depends(blockers: Sequence[Blocker], unseen: int) -> str:
    """`waits for owner/app#3 and 2 more`."""
    hidden = f"; Forgejo does not show {unseen} that it depends on" if unseen else ""
    if not blockers:
        return f"waits for no other issue{hidden}"
    more = f" and {len(blockers) - 1} more" if len(blockers) > 1 else ""
    return f"waits for {blockers[0].name}{more}{hidden}"


def _dotted(parts: Sequence[Part]) -> Rich:
    return say(*(part if place == 0 else say(" · ", part) for place, part in enumerate(parts)))


# who and what led to it

_CAUSES = {
    "claim": "it asked for work",
    "reconcile": "found by looking at Forgejo",
    "repositories": "found by looking at Forgejo",
}
_ACTORS = {
    "timer": "by the clock",
    "verifier": "by the check",
    "gate": "a look before it was given out",
    "api": "an operator, over HTTP",
}


def by(line: ev.Recorded) -> str:
    """`ann on Forgejo, by webhook`, `ann, in chat`; empty where the step itself says by whom."""
    kind, _, name = line.actor.partition(":")
    match kind:
        case "matrix":
            return f"{one_line(person(line.actor), 60)}, in chat"
        case "forgejo":
            how = ", by webhook" if line.cause.startswith("delivery:") else ""
            return f"{one_line(name, 60)} on Forgejo{how}"
        case "agent":
            return _CAUSES.get(line.cause, "")
        case _:
            return _CAUSES.get(line.cause) or _ACTORS.get(kind, "")
