"""The run's pull request: opened, or taken up from whoever opened it, and its text up to date."""

from __future__ import annotations

from fleetbot.domain.reasons import ReasonCode
from fleetbot.runner.failure import RunFailed
from fleetbot.runner.forge import PullRequest
from fleetbot.runner.run.runlog import Announce
from fleetbot.runner.run.setup import Setup
from fleetbot.runner.run.wording import has_part, inert, title_of, with_part
from fleetbot.wire import Assignment, LineKind


async def present(
    setup: Setup, order: Assignment, base: str, summary: str, note: Announce
) -> PullRequest:
    """Have the open pull request of the run's branch say what the run did. Raises RunFailed.

    Safe to call again: there is one pull request, and one part of its text that is ours. A round
    adds to one whose text is there.
    """
    pulls, part = setup.machine.forge.pulls, _part(setup, order, summary)
    title, body = title_of(order.title, order.issue), with_part("", part)
    if order.round is not None:
        pull = await pulls.still_open(order.repo, order.round.pull_request)
    else:
        pull = await pulls.open_one(order.repo, order.branch, base, title=title, body=body)
    is_ours = pull.author.lower() == setup.machine.config.forge.username.lower()
    if order.round is None:
        changes = _changes(pull, part, title if is_ours else "", order.issue)
    else:  # it tells what all of it is about, and what people made of it since is theirs: a draft
        changes = {} if has_part(pull.body) else _changes(pull, part, "", order.issue)
    if is_ours:
        note(f"pull request #{pull.number}", LineKind.STEP)
    else:
        note(f"pull request #{pull.number}, which {pull.author} opened")
    if pull.draft and not is_ours:
        note(f"it is a draft: {pull.author} has to say that it is ready")
    if not changes:
        return pull
    try:
        return await pulls.edit(order.repo, pull.number, **changes)
    except RunFailed as refusal:
        if is_ours or refusal.reason is not ReasonCode.FORGE_REFUSED:
            raise
        # The work is handed in all the same: what the text lacks, the check tells its author.
        note(f"its text is left as it is: {refusal.detail}")
        return pull


def _part(setup: Setup, order: Assignment, summary: str) -> str:
    """The mention comes first: nothing that an agent writes can be before it."""
    closes = setup.machine.config.forge.closes
    mention = f"{closes} #{order.issue}" if closes else f"For #{order.issue}"
    by = f"By the agent `{setup.agent.name}`, attempt {order.attempt}, run `{order.run}`."
    return f"{mention}\n\n{inert(summary)}\n\n{by}"


def _changes(pull: PullRequest, part: str, our_title: str, issue: int) -> dict[str, str]:
    """What to write so that the text is ours where it is, and a draft of ours none."""
    changes = {}
    if (text := with_part(pull.body, part)) != pull.body:
        changes["body"] = text
    if pull.draft and our_title:
        # Of a title that is one all the same, the forge was told other beginnings of drafts.
        changes["title"] = our_title if our_title != pull.title else f"Issue {issue}: {our_title}"
    return changes
