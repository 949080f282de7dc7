"""Between a run and people: questions with their answers, and messages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from fleetbot.domain import commands as cmd
from fleetbot.domain import events as ev
from fleetbot.domain.draft import Draft, Drafts
from fleetbot.domain.errors import Conflict, NotFound
from fleetbot.domain.lifecycle import allowed
from fleetbot.domain.lookup import current_run, the_run, the_task
from fleetbot.domain.model import Ask, AskKind, Behavior, Message, Run, RunId, RunState
from fleetbot.domain.state import FleetState, task_stream
from fleetbot.domain.wording import STATE_WORDS

# Of a run: each question rings in the rooms, and all of this is written anew with each word.
MOST_ASKS = 200
MOST_ASKS_AT_ONCE = 20
MOST_MESSAGES = 200
MOST_UNHEARD = 60_000
"""Characters that may wait to be heard, with those that earlier runs of the task did not hear."""


def ask(state: FleetState, command: cmd.AskPerson) -> Drafts:
    """The same ask again changes nothing."""
    run = current_run(state, command.run, command.agent)
    if run.state is not RunState.RUNNING:
        raise Conflict("Start the run before it asks.", field="run")
    if any(known.id == command.ask for known in run.asks):
        return ()
    if len(run.asks) >= MOST_ASKS:
        raise Conflict(f"This run has asked {MOST_ASKS} times: decide without people.", field="run")
    if sum(known.behavior is None for known in run.asks) >= MOST_ASKS_AT_ONCE:
        raise Conflict(f"{MOST_ASKS_AT_ONCE} questions wait: wait for their answers.", field="run")
    event = ev.RunAsked(
        run=run.id,
        ask=command.ask,
        kind=command.kind,
        title=command.title,
        request=command.request,
        options=command.options,
        expires_at=command.expires_at,
        cut=command.cut,
        always=command.always,
    )
    return (Draft(task_stream(run.task), event),)


def answer(state: FleetState, command: cmd.AnswerAsk) -> Drafts:
    """The first answer counts."""
    run = _run_of_people(state, command.run)
    question = the_ask(run, command.ask)
    if question.behavior is not None:
        raise Conflict(f"This question is answered already: {_how(question)}.", field="ask")
    _must_be_open_to(question, command.behavior)
    event = ev.RunAnswered(
        run=run.id, ask=question.id, behavior=command.behavior, text=command.text
    )
    return (Draft(task_stream(run.task), event),)


def cut(state: FleetState, command: cmd.CutAsk) -> Drafts:
    """What is decided already stays so."""
    run = the_run(state, command.run)
    question = the_ask(run, command.ask)
    if run.state is RunState.ENDED or question.behavior is not None or question.cut:
        return ()
    return (Draft(task_stream(run.task), ev.RunAskCut(run=run.id, ask=question.id)),)


_HOW: Mapping[Behavior, str] = {
    Behavior.ALLOW: "allowed",
    Behavior.ALWAYS: "allowed for the rest of the run",
    Behavior.DENY: "denied",
}


def _how(question: Ask) -> str:
    if question.withdrawn:
        return "the program no longer asks"
    if question.expired or question.behavior is None:
        return "nobody answered in time"
    return _HOW[question.behavior]


def withdraw(state: FleetState, command: cmd.WithdrawAsk) -> Drafts:
    """What is answered already stays so."""
    run = current_run(state, command.run, command.agent)
    question = the_ask(run, command.ask)
    if question.behavior is not None:
        return ()
    event = ev.RunAnswered(run=run.id, ask=question.id, behavior=Behavior.DENY, withdrawn=True)
    return (Draft(task_stream(run.task), event),)


def _must_be_open_to(question: Ask, behavior: Behavior) -> None:
    """What nobody can have read whole is not granted."""
    if behavior is Behavior.ALWAYS and not question.always:
        raise Conflict("The program knows no lasting answer here: allow or deny.", field="behavior")
    if question.cut and question.kind is AskKind.PERMISSION and behavior is not Behavior.DENY:
        raise Conflict(
            "Nobody could be shown all of this request, so it cannot be allowed.", field="behavior"
        )


def send(state: FleetState, command: cmd.SendMessage) -> Drafts:
    """The same message again changes nothing; one to a run not yet started waits for it."""
    run = _run_of_people(state, command.run)
    if any(known.id == command.message for known in run.messages):
        return ()
    if len(run.messages) >= MOST_MESSAGES:
        raise Conflict(
            f"This run was told {MOST_MESSAGES} things: write on the issue.", field="run"
        )
    _must_be_heard_at_once(
        *state.tasks[run.task].notes, *(m.text for m in run.messages), command.text
    )
    event = ev.RunMessaged(run=run.id, message=command.message, text=command.text)
    return (Draft(task_stream(run.task), event),)


def note(state: FleetState, command: cmd.NoteTask) -> Drafts:
    """For a task that nobody is at and that may have another run."""
    task = the_task(state, command.task)
    if not allowed(task.state, ev.TaskNoted):
        raise Conflict(
            f"{task.ref} is {STATE_WORDS[task.state]}: nobody would hear this.", field="task"
        )
    if len(task.notes) >= MOST_MESSAGES:
        raise Conflict(
            f"Its next run is told {MOST_MESSAGES} things already: write on the issue.",
            field="task",
        )
    _must_be_heard_at_once(*task.notes, command.text)
    return (Draft(task_stream(task.id), ev.TaskNoted(text=command.text)),)


def _must_be_heard_at_once(*unheard: str) -> None:
    if sum(map(len, unheard)) > MOST_UNHEARD:
        raise Conflict(
            f"More than {MOST_UNHEARD} characters would wait to be heard: write on the issue.",
            field="text",
        )


def take(state: FleetState, command: cmd.TakeMessage) -> Drafts:
    run = current_run(state, command.run, command.agent)
    message = _the_message(run, command.message)
    if message.taken is not None:
        return ()
    event = ev.RunMessageTaken(run=run.id, message=message.id, taken=command.taken)
    return (Draft(task_stream(run.task), event),)


def expire_asks(run: Run, now: int, slept: int) -> Iterator[Draft]:
    """Questions that nobody answered in time are denied; nobody could while we `slept` (ms)."""
    for question in run.asks:
        if question.behavior is None and question.expires_at + slept <= now:
            event = ev.RunAnswered(
                run=run.id, ask=question.id, behavior=Behavior.DENY, expired=True
            )
            yield Draft(task_stream(run.task), event)


def the_ask(run: Run, ask_id: str) -> Ask:
    """Raises NotFound."""
    for question in run.asks:
        if question.id == ask_id:
            return question
    raise NotFound(f"Run {run.id} has no question {ask_id}.", field="ask")


def _the_message(run: Run, message_id: str) -> Message:
    for message in run.messages:
        if message.id == message_id:
            return message
    raise NotFound(f"Run {run.id} has no message {message_id}.", field="message")


def _run_of_people(state: FleetState, run_id: RunId) -> Run:
    return current_run(state, run_id, the_run(state, run_id).agent)
