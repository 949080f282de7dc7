"""What a round has led to, said on its pull request: by the orchestrator, never by an agent."""

from __future__ import annotations

from collections.abc import Iterable

from fleetbot.domain.model import Receipt, Task, same_name
from fleetbot.domain.pulls import Answer, Brief, Reply, Words
from fleetbot.domain.wording import count
from fleetbot.forge.client import ForgeClient
from fleetbot.forge.errors import ForgeError, ForgeNotFound, ForgeUnavailable, Unauthorized
from fleetbot.forge.issue_calls import hidden_marker, with_marker
from fleetbot.forge.reviews import Thread
from fleetbot.services.comments import commit_link, inline, told
from fleetbot.services.pull_views import answers_mark

_MOST_REPLY = 4_000


class PullAnswers:
    def __init__(self, client: ForgeClient) -> None:
        self._client = client

    async def say(self, task: Task, receipt: Receipt, brief: Brief, number: int) -> str:
        """What was done, once however often this is called. Raises the client's errors."""
        pull = receipt.pull_request
        replied = await self._reply(task, receipt, brief)
        marks = "".join(map(answers_mark, _on_forge(brief)))
        body = f"{summary(task, receipt, brief, number)}\n\n{marks}"
        await self._client.comment_once(task.repo, pull, f"round/{receipt.id}", body)
        asked = await self._ask_again(task, pull, brief)
        return f"{count(replied, 'reply')}; asked {', '.join(asked) or 'nobody'}"

    async def _reply(self, task: Task, receipt: Receipt, brief: Brief) -> int:
        """In each thread that there still is and that has no reply of this receipt yet."""
        if not brief.threads:
            return 0
        bot, known = await self._client.login(), {reply.thread: reply for reply in receipt.replies}
        wanted = {thread.id for thread in brief.threads}
        replied = 0
        for thread in await self._client.threads(task.repo, receipt.pull_request):
            reply = known.get(thread.id)
            marker = f"reply/{receipt.id}/{thread.id}"
            if thread.id in wanted and reply and not _is_said(thread, bot, marker):
                text = with_marker(reply_text(task, receipt, reply), marker)
                replied += await self._say(task, receipt, thread, text)
        return replied

    async def _say(self, task: Task, receipt: Receipt, thread: Thread, text: str) -> bool:
        """False where the thread's review was deleted meanwhile."""
        try:
            await self._client.reply(task.repo, receipt.pull_request, thread, text)
        except ForgeNotFound:
            return False
        return True

    async def _ask_again(self, task: Task, pull: int, brief: Brief) -> list[str]:
        """The reviewers; whoever may not be asked, has left or is the author stays unasked."""
        asked = []
        reviewers = {words.author for words in brief.words if _is_review(words)}
        for login in sorted(reviewers):
            try:
                await self._client.request_reviews(task.repo, pull, [login])
            except (ForgeUnavailable, Unauthorized):
                raise
            except ForgeError:
                continue
            asked.append(login)
        return asked


def _is_review(words: Words) -> bool:
    """Of somebody whose word counts: others are not called by us."""
    return words.key.startswith("review:") and bool(words.may_write)


def _is_said(thread: Thread, bot: str, marker: str) -> bool:
    mark = hidden_marker(marker)
    return any(same_name(one.author, bot) and mark in one.body for one in thread.comments)


def _on_forge(brief: Brief) -> list[Words]:
    """Of threads the last word, as that is what they are known by: not all of them get a reply."""
    said = (*brief.words, *(thread.words[-1] for thread in brief.threads))
    return [words for words in said if not words.key.startswith("room:")]


def reply_text(task: Task, receipt: Receipt, reply: Reply) -> str:
    """Forgejo has no call that resolves a conversation: that is left to who began it."""
    said = told(reply.text, _MOST_REPLY) if reply.text.strip() else ""
    match reply.answer:
        case Answer.FIXED:
            commit = reply.commit or receipt.head
            first = f"Fixed in {commit_link(task, commit)}; resolve this if it is as you want it."
        case Answer.ANSWERED:
            first = "The agent's answer; nothing was changed for it:"
        case Answer.DISAGREES:
            first = "The agent disagrees, and has left it as it is. What counts is what you say:"
    return "\n\n".join(filter(None, (first, said)))


def summary(task: Task, receipt: Receipt, brief: Brief, number: int) -> str:
    """What the round was for, and what it came to."""
    head = "nothing new" if receipt.head == brief.head else commit_link(task, receipt.head)
    lines = [f"**Round {number}** for {_for(brief)}: {head}.", *_threads(receipt, brief)]
    said = told(receipt.summary, _MOST_REPLY) if receipt.summary.strip() else ""
    return "\n\n".join(filter(None, (*lines, said)))


def _for(brief: Brief) -> str:
    parts = []
    if people := sorted({words.author for words in brief.said if not words.ours}):
        parts.append(f"what {', '.join(map(inline, people))} said")
    if brief.checks:
        parts.append(f"CI ({', '.join(inline(check.context) for check in brief.checks)})")
    if brief.base:
        parts.append(f"the conflict with {inline(brief.base)}")
    return " and ".join(parts)


def _threads(receipt: Receipt, brief: Brief) -> Iterable[str]:
    if not brief.threads:
        return
    answers = {reply.thread: reply.answer for reply in receipt.replies}
    said = [answers.get(thread.id) for thread in brief.threads]
    told = [f"{said.count(answer)} {answer}" for answer in Answer if said.count(answer)]
    if left := said.count(None):
        told.append(f"{left} without a word")
    yield f"Of {count(len(said), 'thread')}: {', '.join(told)}."
