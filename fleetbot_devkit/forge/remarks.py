"""Comments on lines of a pull request.

After ``CreateCodeCommentKnownReviewID`` in ``services/pull/review.go`` of Forgejo. What belongs to
one conversation is found by review, path and line, so an answer has to name the line as the first
comment has it: that of the commit which wrote it, by ``git blame``.
"""

from __future__ import annotations

from fleetbot_devkit.forge import pull_shapes
from fleetbot_devkit.forge.api import Call
from fleetbot_devkit.forge.hunks import hunk_at
from fleetbot_devkit.forge.pull_state import LineRemark, Pull, Review


async def add_remark(call: Call, pull: Pull, review: Review, sent: dict[str, object]) -> LineRemark:
    """From what was sent for a line: ``path``, ``body``, ``new_position`` or ``old_position``."""
    path, line = str(sent.get("path") or ""), _line(sent)
    first = _first(review, path, line)
    if first:
        commit, patch = first.commit, first.patch
    else:
        head = review.commit_id or pull.ref_sha
        found = await call.repo.git.blame(head, path, line) if line > 0 else None
        patch = hunk_at(await _diff(call, pull, head, path), line)
        commit, line = found or (head, line)
    row = LineRemark(
        id=call.world.next_id(),
        author=call.user,
        body=str(sent.get("body") or ""),
        path=path,
        line=line,
        commit=commit,
        patch=patch,
        created=call.world.now(),
    )
    review.remarks.append(row)
    return row


def _line(sent: dict[str, object]) -> int:
    old, new = sent.get("old_position"), sent.get("new_position")
    return -old if isinstance(old, int) and old > 0 else new if isinstance(new, int) else 0


def _first(review: Review, path: str, line: int) -> LineRemark | None:
    if line <= 0:
        return None
    return next((one for one in review.remarks if (one.path, one.line) == (path, line)), None)


async def _diff(call: Call, pull: Pull, head: str, path: str) -> str:
    git = call.repo.git
    base = await git.merge_base(pull_shapes.base_commit(call.repo, pull), pull.ref_sha)
    return await git.diff_of(base, head, path)
