"""What fleetbot writes on issues, as Markdown. Pure.

Words of agents and people are shown, never obeyed: see `told`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from urllib.parse import quote

from fleetbot.domain.blockers import remarks
from fleetbot.domain.evidence import sentences
from fleetbot.domain.followup import NO_FAILURE
from fleetbot.domain.model import (
    OPEN_STATES,
    Artifact,
    Evidence,
    FiledReceipt,
    Receipt,
    Run,
    Task,
    TaskState,
    Verdict,
)
from fleetbot.domain.pulls import PullState, Watch
from fleetbot.domain.reasons import REASONS, ReasonCode
from fleetbot.domain.standing import in_round, lines
from fleetbot.domain.usage import Usage
from fleetbot.domain.waiting import Waiting
from fleetbot.domain.waits import WaitReason
from fleetbot.domain.wording import count, shorten
from fleetbot.wire import priority_name

_MAX_SUMMARY = 4000
_MAX_DETAIL = 600
_MAX_REASON = 600
_MAX_ARTIFACTS = 10
_SAID_ABOVE = frozenset(
    {
        WaitReason.BACK_OFF,
        WaitReason.NEXT,
        WaitReason.NOT_STARTED,
        WaitReason.CHECKING,
        WaitReason.FAILED,
        WaitReason.AGENT_LOST,
    }
)
_TOLD = frozenset({"pull_request", "branch", "commit"})  # from the receipt's own fields
_BREAK = "\u200b"  # zero-width space: looks like nothing, and no word is read across it

_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f\u00ad\u034f\u061c\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff"
    "\ufff9-\ufffb\U000e0000-\U000e0fff]"  # the last are letters that only programs read
)
_LIVE = re.compile(r"[@#]|!(?=[\d\[])|:(?=//)|<(?=!--)|www(?=\.)", re.IGNORECASE)
_CODE = re.compile(r"(?<!`)(`[^`\n]+`)(?!`)")
_MARKUP = re.compile(r"[\\`*_\[\]|~$]")


# -- the one comment of a task


def status_comment(
    task: Task, run: Run | None, pull_request: int | None, waits: Waiting | None = None
) -> str:
    """Where the task stands, for the comment that is edited as it moves, and why it does not."""
    headline = _headline(task, run, pull_request)
    parts = [headline, *_pull(task), *_explanation(task, run), *_wait(waits), _footer(task, run)]
    return "\n\n".join(part for part in parts if part)


def _headline(task: Task, run: Run | None, pull_request: int | None) -> str:
    agent = code(run.agent) if run else "An agent"
    match task.state:
        case TaskState.CREATED:
            return _waiting(task)
        case TaskState.ASSIGNED:
            return f"🤝 **Given to {agent}**, which is about to start."
        case TaskState.RUNNING if run and run.receipt:
            what = f"pull request {pull_link(task, pull_request)}" if pull_request else "it"
            return f"🔎 **{agent} says it is done**: {what} is being checked."
        case TaskState.RUNNING if task.refuted:
            return f"🔧 **{agent} is mending its work**: the last receipt did not hold."
        case TaskState.RUNNING:
            branch = f", on branch {code(run.branch)}" if run else ""
            return f"⚙️ **{agent} is working on it**{branch}."
        case TaskState.COMPLETED if task.is_merged and task.pull:
            return f"🎉 **Merged**: pull request {pull_link(task, task.pull.number)}, by {agent}."
        case TaskState.COMPLETED if task.pull and task.pull.state is PullState.CLOSED:
            return _closed(task, task.pull)
        case TaskState.COMPLETED:
            what = f": pull request {pull_link(task, pull_request)}" if pull_request else ""
            return f"✅ **Done by {agent}, and verified**{what}."
        case TaskState.FAILED:
            return f"❌ **Failed**: {reason_text(task.reason)}."
        case TaskState.AGENT_LOST:
            return f"📡 **Agent lost**: {reason_text(task.reason)}."
        case TaskState.CANCELLED:
            return f"✖️ **Cancelled**: {reason_text(task.reason)}."


def _closed(task: Task, watch: Watch) -> str:
    pull = pull_link(task, watch.number)
    return (
        f"🚪 **Closed without being merged**: pull request {pull}. Reopen it, and it goes on as it "
        f"was; or `!fleet retry {task.ref}` begins anew, with another pull request that says which "
        "it follows."
    )


def _pull(task: Task) -> Iterator[str]:
    """Where its pull request stands, in two lines at most."""
    if task.pull is None:
        return
    if its := in_round(task):
        yield f"🔁 {its[0].upper()}{its[1:]}, on {pull_link(task, task.pull.number)}."
    if told := " · ".join(lines(task.pull)):
        yield _spoken(told)


def _waiting(task: Task) -> str:
    whom = code(task.wanted_agent) if task.wanted_agent else "the next free agent"
    if task.traits.needs:
        whom += " that has " + ", ".join(map(code, task.traits.needs))
    if task.is_blocked or task.behind:
        return f"🔗 **Waits for other work**, then for {whom}."
    if task.not_before:
        return f"⏳ **Next attempt after {moment(task.not_before)}**, by {whom}."
    if _is_retry(task):
        return f"🔁 **Queued again** for {whom}."
    return f"🕓 **Queued** for {whom}."


def _is_retry(task: Task) -> bool:
    return task.reason is not None and task.reason not in NO_FAILURE


def _explanation(task: Task, run: Run | None) -> Iterator[str]:
    """Why it stands there, and what a person can do."""
    ended = task.state in (TaskState.FAILED, TaskState.AGENT_LOST)
    again = task.state is TaskState.CREATED and _is_retry(task)
    if again:
        yield f"The last attempt ended: {reason_text(task.reason)}."
    if task.detail and (ended or again):
        yield told(task.detail, _MAX_DETAIL)
    if ended and task.reason:
        yield f"**What helps:** {REASONS[task.reason].advice}"
    if task.state is TaskState.RUNNING and task.refuted and not (run and run.receipt):
        yield _bullets(task.refuted)
    if task.state in OPEN_STATES:
        yield from map(_spoken, remarks(task))


def _wait(its: Waiting | None) -> Iterator[str]:
    """What `!fleet why` says, where the rest of the comment does not say it already."""
    if its is None or its.reason in _SAID_ABOVE:
        return
    times = f"since {moment(its.since)}"
    if its.until:
        times += f", until {moment(its.until)} at the latest"
    yield f"**Why it waits**, {times}: {_spoken(its.text)}"
    for detail in its.details:
        yield told(detail, _MAX_DETAIL)
    if its.remedy:
        yield f"**What helps:** {_spoken(its.remedy)}"


def _footer(task: Task, run: Run | None) -> str:
    facts = [task.traits.kind, f"{priority_name(task.traits.priority)} priority"]
    if run:
        facts.append(f"attempt {run.attempt}")
    elif task.attempt:
        facts.append(f"{count(task.attempt, 'attempt')} so far")
    if run and run.started_at:
        facts.append(f"started {moment(run.started_at)}")
    facts.append(f"updated {moment(task.updated_at)}")
    return f"<sub>{inline(' · '.join(facts))}</sub>"


# -- the comment of a receipt


def receipt_comment(task: Task, run: Run, filed: FiledReceipt) -> str:
    """What an agent filed, and what fleetbot found out about it."""
    receipt, agent = filed.receipt, code(run.agent)
    if filed.verdict is Verdict.VERIFIED:
        parts = [f"✅ **Receipt of {agent}: verified**", *_evidence(filed.evidence)]
    else:
        parts = [
            f"❌ **Receipt of {agent}: refuted.** What Forgejo shows is something else:",
            _bullets(filed.reasons),
        ]
    if receipt.summary.strip():
        parts.append(told(receipt.summary, _MAX_SUMMARY))
    parts.append("\n".join(f"- {line}" for line in _artifacts(task, receipt)))
    return "\n\n".join(parts)


def _evidence(seen: Evidence | None) -> Iterator[str]:
    """What Forgejo showed, and when: it may show something else later."""
    if seen:
        lines = [f"Seen on {moment(seen.checked_at)}:", *map(inline, sentences(seen))]
        yield "\n- ".join(lines)


def _artifacts(task: Task, receipt: Receipt) -> Iterator[str]:
    yield f"🔀 Pull request {pull_link(task, receipt.pull_request)}"
    yield f"🌿 Branch {branch_link(task, receipt.branch)}"
    yield f"📌 Commit {commit_link(task, receipt.head)}"
    if receipt.files:
        yield f"📄 {count(len(receipt.files), 'file')} changed"
    others = [artifact for artifact in receipt.artifacts if artifact.kind not in _TOLD]
    for artifact in others[:_MAX_ARTIFACTS]:
        yield f"📎 {_artifact(task, artifact)}"
    if usage := usage_text(receipt.usage):
        yield f"🧮 {usage}"


def _artifact(task: Task, artifact: Artifact) -> str:
    """Linked only where it leads to the task's repository: an agent may name any address."""
    name = code(artifact.name or artifact.kind)
    home = repo_url(task)
    if home and re.fullmatch(re.escape(home) + r"/[\w./%#?=&+-]+", artifact.url):
        return f"[{name}]({artifact.url})"
    return name


def usage_text(usage: Usage) -> str:
    """`12.3k tokens in (10.0k cached), 1.2k out, $0.42`; "" where nothing is known."""
    parts = []
    if usage.input_tokens or usage.cached_tokens:
        cached = f" ({_short(usage.cached_tokens)} cached)" if usage.cached_tokens else ""
        parts.append(f"{_short(usage.input_tokens)} tokens in{cached}")
    if usage.output_tokens:
        parts.append(f"{_short(usage.output_tokens)} out")
    if usage.cost_usd:
        parts.append(f"${usage.cost_usd:.2f}")
    return ", ".join(parts)


# -- links


def repo_url(task: Task) -> str:
    """The repository's page, from the issue's; "" where that is unknown."""
    return task.url.rpartition("/issues/")[0]


def pull_link(task: Task, number: int) -> str:
    home = repo_url(task)
    return f"[#{number}]({home}/pulls/{number})" if home else f"#{number}"


def branch_link(task: Task, branch: str) -> str:
    home = repo_url(task)
    return f"[{code(branch)}]({home}/src/branch/{quote(branch)})" if home else code(branch)


def commit_link(task: Task, sha: str) -> str:
    home, short = repo_url(task), code(sha[:10])
    return f"[{short}]({home}/commit/{quote(sha)})" if home else short


# -- words


def told(text: str, most: int) -> str:
    """Somebody else's words as a quotation that is only that.

    They mention nobody, link to nothing, refer to and close no issue, and hold no HTML, hence no
    marker of ours. Line breaks and `code` keep their looks.
    """
    lines = shorten(text.strip(), most).splitlines()
    return "\n".join(f"> {_inert(line)}".rstrip() for line in lines)


def without_unseen(text: str) -> str:
    """What people read is what agents read: without signs that only programs see."""
    return _UNSEEN.sub("", text)


def _spoken(text: str) -> str:
    """Words of ours; what is to be typed stands between back-quotes, and is kept as it is."""
    pieces = text.split("`")
    if len(pieces) % 2 == 0:  # one back-quote is alone, so it was not one of ours
        return inline(text)
    return "".join(
        f"`{' '.join(piece.split())}`" if place % 2 else _harmless(piece)
        for place, piece in enumerate(pieces)
    )


def inline(text: str) -> str:
    """Somebody else's words within a line of ours; inert like those of `told`."""
    return _inert(" ".join(text.split()))


def code(text: str) -> str:
    """Inert and monospaced: names, branches, paths."""
    words = " ".join(_UNSEEN.sub("", text).replace("`", "'").split())
    return f"`{_LIVE.sub(_broken, words)}`" if words else "—"


def reason_text(reason: ReasonCode | None) -> str:
    return REASONS[reason].text if reason else "no reason was given"


def moment(at: int) -> str:
    """Epoch milliseconds as people read it: `2026-11-23 06:05 UTC`."""
    return f"{datetime.fromtimestamp(at / 1000, UTC):%Y-%m-%d %H:%M} UTC"


def _harmless(text: str) -> str:
    return _escaped(_LIVE.sub(_broken, _UNSEEN.sub("", text)))


def _inert(line: str) -> str:
    line = _LIVE.sub(_broken, _UNSEEN.sub("", line).strip())
    pieces = _CODE.split(line)
    return "".join(piece if place % 2 else _escaped(piece) for place, piece in enumerate(pieces))


def _escaped(text: str) -> str:
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _MARKUP.sub(lambda match: "\\" + match[0], text)


def _broken(match: re.Match[str]) -> str:
    return match[0] + _BREAK


def _bullets(reasons: tuple[str, ...]) -> str:
    return "\n".join(f"- {inline(shorten(reason, _MAX_REASON))}" for reason in reasons)


def _short(number: int) -> str:
    for size, letter in ((1_000_000, "M"), (1_000, "k")):
        if number >= size:
            return f"{number / size:.1f}{letter}"
    return str(number)
