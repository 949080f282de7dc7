"""What Forgejo shows of a receipt's pull request, as far as it could be read."""

from __future__ import annotations

from dataclasses import dataclass

from fleetbot.domain.ci import CiFacts
from fleetbot.domain.values import Value

_SILENT = CiFacts()


@dataclass(frozen=True, slots=True)
class Unread:
    """A fact that could not be read, and why: never taken for a yes or a no.

    `soon`: Forgejo is about to show it, so that it is worth asking again within a second.
    """

    why: str
    soon: bool = False


class PullFacts(Value, frozen=True):
    """The pull request as Forgejo shows it; `number` is its own.

    `merged_at` by Forgejo's clock, epoch milliseconds; None while it is not merged. `base_gone`:
    the branch that it goes to was deleted, which closes it.
    """

    number: int
    state: str
    merged: bool
    author: str
    title: str
    body: str
    base: str
    head_branch: str
    head_sha: str
    head_repo: str
    head_repo_id: int = 0
    draft: bool = False
    merged_at: int | None = None
    base_gone: bool = False


class CommitFact(Value, frozen=True):
    sha: str
    message: str = ""


class ReviewFact(Value, frozen=True):
    """A standing review: the reviewer's latest word, that was not dismissed.

    `commit`: what the reviewer looked at, "" where that is not known; `stale`: Forgejo says that
    the changes are others since. `may_write`: None where it cannot be known.
    """

    reviewer: str
    state: str
    commit: str = ""
    stale: bool = False
    may_write: bool | None = True

    def speaks_of(self, head: str) -> bool:
        """A review of an older commit says nothing of this one."""
        return not self.stale and self.commit in ("", head)


class LinkFact(Value, frozen=True):
    """A submodule that the pull request adds or moves. `url` "" where `.gitmodules` does not name
    it; `there`: whether its commit is there, None where that is not for us to know."""

    path: str
    commit: str
    url: str = ""
    there: bool | None = None


@dataclass(frozen=True, slots=True)
class Facts:
    """What Forgejo shows. `pull` None: it says that there is no such pull request.

    `commits` come newest first. `author_may_write`: whether the pull request's author may write to
    the repository. `tree` stands for all files of the head; `verified_trees` are those of the
    task's commits that were verified before. `left_base`: it goes to another branch than the work
    was for, which is gone.
    """

    pull: PullFacts | Unread | None
    files: tuple[str, ...] | Unread = ()
    links: tuple[LinkFact, ...] | Unread = ()
    commits: tuple[CommitFact, ...] | Unread = ()
    reviews: tuple[ReviewFact, ...] | Unread = ()
    author_may_write: bool | Unread = True
    ci: CiFacts | Unread = _SILENT
    tree: str | Unread = ""
    verified_trees: tuple[str, ...] | Unread = ()
    left_base: bool | Unread = False
