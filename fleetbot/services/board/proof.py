"""How receipts of a task were checked, fact by fact, with what each had to hold up to. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from fleetbot import wire
from fleetbot.domain.model import AgentName, Evidence, FiledReceipt, Task
from fleetbot.domain.wording import count, shorten
from fleetbot.services.board.views import Forge

_FILES = 100
_CI = {
    "none": "the repository has none",
    "green": "green",
    "red": "red",
    "pending": "not finished",
    "unread": "not looked at",
}


def proof(
    task: Task, filed: FiledReceipt, agent: AgentName | None, forge: Forge
) -> wire.BoardProof | None:
    """None of a receipt of which nothing is kept but that it held."""
    seen = filed.evidence
    if seen is None:
        return None
    return wire.BoardProof(
        receipt=filed.receipt.id,
        agent=agent or "",
        filed_at=filed.filed_at,
        checked_at=seen.checked_at or filed.filed_at,
        facts=tuple(_facts(task, filed, seen, forge)),
        contexts=tuple(wire.BoardContext(name=x.name, state=x.state) for x in seen.contexts),
        more_contexts=max(0, seen.context_count - len(seen.contexts)),
        files=filed.receipt.files[:_FILES],
        more_files=max(0, len(filed.receipt.files) - _FILES),
        summary=shorten(filed.receipt.summary, 2_000),
    )


def _facts(
    task: Task, filed: FiledReceipt, seen: Evidence, forge: Forge
) -> Iterator[wire.BoardFact]:
    its, where = filed.receipt, f"#{filed.receipt.pull_request}"
    state = "merged" if seen.merged else "open"
    yield wire.BoardFact(
        name="Pull request",
        value=f"{where}, {state}",
        url=forge.pull(task, its.pull_request),
        holds="It is in the task's own repository, names the issue, and is no draft.",
    )
    yield wire.BoardFact(
        name="Commit",
        value=seen.head,
        url=forge.commit(task, seen.head),
        holds="It is what was handed in, and the head of the pull request on the run's branch.",
    )
    yield wire.BoardFact(name="Branch", value=its.branch, holds="It is the one given to the run.")
    yield wire.BoardFact(
        name="Into", value=seen.base, holds="The base of the task, as it was on Forgejo then."
    )
    yield wire.BoardFact(
        name="Changes",
        value=f"{count(seen.files, 'file')} in {count(seen.commits, 'commit')}",
        holds="Every file that was handed in is changed, and none is forbidden to agents.",
    )
    yield wire.BoardFact(
        name="Author", value=seen.author, holds="An account whose pull requests count."
    )
    yield from _judged(seen)
    yield from (wire.BoardFact(name="Note", value=note) for note in seen.notes)


def _judged(seen: Evidence) -> Iterator[wire.BoardFact]:
    """What people and CI said."""
    if seen.approved_by:
        yield wire.BoardFact(name="Approved by", value=", ".join(seen.approved_by))
    yield wire.BoardFact(
        name="Reviews",
        value="none stood against it",
        holds="Nobody who may write asks for changes that this does not answer.",
    )
    if seen.ci:
        yield wire.BoardFact(
            name="CI",
            value=_CI.get(seen.ci, seen.ci),
            holds="Where CI is required, every context of the commit has to be green.",
        )
