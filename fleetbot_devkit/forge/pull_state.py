"""What the development forge remembers of pull requests, and of how they may be merged."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from fleetbot_devkit.forge.accounts import Access, Account


@dataclass
class LineRemark:
    """A comment on a line, which is one of the old file where it is negative.

    ``commit``: the one that wrote the line, which then had this number. ``patch`` ends with it.
    """

    id: int
    author: Account
    body: str
    path: str
    line: int
    commit: str
    patch: str
    created: datetime
    resolver: Account | None = None


@dataclass
class Review:
    """``state``: APPROVED, REQUEST_CHANGES, COMMENT, PENDING, or REQUEST_REVIEW for one that
    ``author`` is asked for. ``listed``: the id of its entry in the timeline."""

    id: int
    author: Account
    state: str
    body: str
    commit_id: str
    created: datetime
    updated: datetime
    stale: bool = False
    official: bool = False
    dismissed: bool = False
    listed: int = 0
    remarks: list[LineRemark] = field(default_factory=list)


@dataclass(frozen=True)
class Scheduled:
    """A merge that waits for checks; it is bound to no commit."""

    doer: Account
    style: str
    title: str
    deletes_branch: bool


@dataclass
class Pull:
    """The part of a ticket that makes it a pull request; ``ref_sha`` is where its ref stands.

    ``checking``: it is being found out whether it can be merged; until then it cannot.
    ``tried_base``: the base's commit that this was last found out of.
    """

    base: str
    head: str
    head_sha: str
    ref_sha: str
    reviews: list[Review] = field(default_factory=list)
    merged: datetime | None = None
    merged_by: Account | None = None
    merge_sha: str = ""
    base_sha_at_end: str = ""
    checking: bool = False
    tried_base: str = ""
    scheduled: Scheduled | None = None

    @property
    def requested(self) -> list[Account]:
        """Whoever is asked for a review, or has given a verdict that stands: Forgejo shows both
        (``GetReviewsByIssueID``)."""
        kinds = ("APPROVED", "REQUEST_CHANGES", "REQUEST_REVIEW")
        rows = [one for one in self.reviews if one.state in kinds and not one.dismissed]
        return list({one.author.id: one.author for one in rows}.values())


@dataclass(frozen=True)
class Protection:
    """Of the branches that ``rule`` names or fits; ``contexts`` are patterns.

    ``pushers``, ``mergers``, ``approvers``: the logins that may push and merge, and whose approval
    counts; None for whoever may write.
    """

    rule: str
    checks_statuses: bool = False
    contexts: tuple[str, ...] = ()
    takes_pushes: bool = True
    pushers: tuple[str, ...] | None = None
    mergers: tuple[str, ...] | None = None
    approvers: tuple[str, ...] | None = None
    required_approvals: int = 0
    blocks_on_rejection: bool = False
    blocks_on_requests: bool = False
    blocks_on_outdated: bool = False
    dismisses_stale: bool = False
    ignores_stale: bool = False
    binds_admins: bool = False

    def may_push(self, login: str, access: Access) -> bool:
        return self.takes_pushes and _is_among(self.pushers, login, access)

    def may_merge(self, login: str, access: Access) -> bool:
        return _is_among(self.mergers, login, access)

    def may_approve(self, login: str, access: Access) -> bool:
        return _is_among(self.approvers, login, access)


def _is_among(logins: tuple[str, ...] | None, login: str, access: Access) -> bool:
    return access >= Access.WRITE if logins is None else login in logins


@dataclass(frozen=True)
class MergeSettings:
    """How pull requests are merged; ``deletes_branch`` is for the pages of Forgejo only."""

    styles: frozenset[str] = frozenset(
        {"merge", "rebase", "rebase-merge", "squash", "fast-forward-only"}
    )
    default: str = "merge"
    deletes_branch: bool = False
