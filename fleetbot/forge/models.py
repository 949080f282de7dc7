"""Forgejo's API objects as frozen structs: the fields fleetbot reads, no more.

Names are those of Forgejo's JSON (``modules/structs``). Decoding is tolerant: unknown fields are
ignored, and ``null`` means absent, because Forgejo sends ``null`` for empty lists
(``assignees``) and for users, repositories and dates that are gone.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime
from typing import Literal

import msgspec

MergeStyle = Literal["merge", "rebase", "rebase-merge", "squash", "fast-forward-only"]
WRITERS = frozenset({"write", "admin", "owner"})  # permissions with which one may write


class Object(msgspec.Struct, frozen=True, kw_only=True):
    """Base of everything Forgejo answers or sends."""


class User(Object, frozen=True):
    login: str
    id: int = 0
    full_name: str = ""
    is_admin: bool = False
    html_url: str = ""


GHOST = -1  # the id of whoever has no account any more


def login_of(user: User | None) -> str:
    """Empty where the account is gone; Forgejo may show a ``Ghost`` in its place."""
    return "" if user is None or user.id == GHOST else user.login


class Label(Object, frozen=True):
    id: int
    name: str
    color: str = ""
    description: str = ""
    exclusive: bool = False


class Rights(Object, frozen=True):
    """What the account that asks may do with a repository."""

    admin: bool = False
    push: bool = False
    pull: bool = False


class ExternalTracker(Object, frozen=True):
    """Where a repository keeps its issues, if not in itself."""


class Repository(Object, frozen=True):
    full_name: str
    id: int = 0
    name: str = ""
    owner: User | None = None
    default_branch: str = ""
    html_url: str = ""
    clone_url: str = ""
    ssh_url: str = ""
    private: bool = False
    empty: bool = False
    archived: bool = False
    has_issues: bool = True
    external_tracker: ExternalTracker | None = None
    has_pull_requests: bool = True
    has_actions: bool = True
    permissions: Rights | None = None
    allow_merge_commits: bool = False
    allow_rebase: bool = False
    allow_rebase_explicit: bool = False
    allow_squash_merge: bool = False
    allow_fast_forward_only_merge: bool = False
    default_merge_style: str = ""
    default_delete_branch_after_merge: bool = False

    @property
    def shows_all(self) -> bool:
        """Whether both issues and pull requests can be seen there; those of a unit that is switched
        off, or that the account may not read, are answered with 404."""
        return self.keeps_issues and self.has_pull_requests

    @property
    def keeps_issues(self) -> bool:
        """``has_issues`` is also true where they are kept elsewhere."""
        return self.has_issues and self.external_tracker is None

    @property
    def merge_styles(self) -> tuple[MergeStyle, ...]:
        """Those that it allows, its own first; none where it shows them not at all."""
        allowed: dict[MergeStyle, bool] = {
            "merge": self.allow_merge_commits,
            "rebase": self.allow_rebase,
            "rebase-merge": self.allow_rebase_explicit,
            "squash": self.allow_squash_merge,
            "fast-forward-only": self.allow_fast_forward_only_merge,
        }
        styles = [style for style, is_allowed in allowed.items() if is_allowed]
        return tuple(sorted(styles, key=lambda style: style != self.default_merge_style))


class RepositoryMeta(Object, frozen=True):
    """The short form inside an issue; its ``owner`` is a plain login."""

    full_name: str
    id: int = 0
    name: str = ""
    owner: str = ""


class IssuePull(Object, frozen=True):
    """Marks an issue that is a pull request."""

    merged: bool = False
    draft: bool = False
    html_url: str = ""


class Issue(Object, frozen=True):
    number: int
    id: int = 0
    title: str = ""
    body: str = ""
    state: str = "open"
    html_url: str = ""
    ref: str = ""
    user: User | None = None
    labels: tuple[Label, ...] = ()
    assignees: tuple[User, ...] = ()
    comments: int = 0
    created_at: datetime | None = None
    updated_at: datetime | None = None
    closed_at: datetime | None = None
    pull_request: IssuePull | None = None
    repository: RepositoryMeta | None = None

    @property
    def author(self) -> str:
        return login_of(self.user)

    @property
    def label_names(self) -> frozenset[str]:
        return frozenset(label.name for label in self.labels)

    @property
    def is_hidden(self) -> bool:
        """A dependency in a repository that the account may not see: nothing else is known of it.

        Forgejo lists it all the same, as an issue without number (``GetIssueDependencies``).
        """
        return self.number == 0

    @property
    def assignee_logins(self) -> frozenset[str]:
        return frozenset(user.login for user in self.assignees)


class Comment(Object, frozen=True):
    id: int
    body: str = ""
    user: User | None = None
    html_url: str = ""
    issue_url: str = ""
    pull_request_url: str = ""
    created_at: datetime | None = None
    updated_at: datetime | None = None

    @property
    def author(self) -> str:
        return login_of(self.user)


class Pushed(Object, frozen=True):
    """A push to the head of a pull request. A forced one names the old head and the new one,
    another one its commits, the oldest first."""

    is_force_push: bool = False
    commit_ids: tuple[str, ...] = ()


class TimelineEntry(Object, frozen=True):
    """Something that happened to an issue; ``type``: close, reopen, label, comment, pull_push,
    merge_pull, dismiss_review, add_dependency, …"""

    id: int
    type: str = ""
    user: User | None = None
    body: str = ""
    review_id: int = 0
    dependent_issue: Issue | None = None
    label: Label | None = None
    html_url: str = ""
    created_at: datetime | None = None
    updated_at: datetime | None = None

    @property
    def comment(self) -> Comment | None:
        """What a ``comment`` says; its id is the entry's. None of another entry."""
        if self.type != "comment":
            return None
        return Comment(
            id=self.id,
            body=self.body,
            user=self.user,
            html_url=self.html_url,
            created_at=self.created_at,
            updated_at=self.updated_at,
        )

    def puts(self, label: str) -> bool | None:
        """Whether it tells of the label being put on, or of it being taken off; None of neither."""
        if self.type != "label" or self.label is None or self.label.name != label:
            return None
        return self.body == "1"

    @property
    def pushed(self) -> Pushed | None:
        """What a ``pull_push`` tells: its body is JSON. None of another entry."""
        if self.type != "pull_push":
            return None
        with suppress(msgspec.DecodeError):
            return msgspec.json.decode(self.body, type=Pushed)
        return None


class PullBranch(Object, frozen=True):
    """One side of a pull request. ``ref`` of a deleted head branch is ``refs/pull/N/head``."""

    ref: str = ""
    label: str = ""
    sha: str = ""
    repo_id: int = -1
    repo: Repository | None = None


class PullRequest(Object, frozen=True):
    """``mergeable`` is false on a conflict, for a draft, and for a second or so after each push to
    the head or the base, while that is found out; it is true where branch protection forbids.
    ``requested_reviewers`` are also those who have given a verdict that stands: who is asked is
    told by the reviews."""

    number: int
    id: int = 0
    title: str = ""
    body: str = ""
    state: str = "open"
    draft: bool = False
    merged: bool = False
    mergeable: bool = False
    merge_commit_sha: str = ""
    merge_base: str = ""
    merged_by: User | None = None
    html_url: str = ""
    user: User | None = None
    requested_reviewers: tuple[User, ...] = ()
    labels: tuple[Label, ...] = ()
    assignees: tuple[User, ...] = ()
    head: PullBranch = PullBranch()
    base: PullBranch = PullBranch()
    created_at: datetime | None = None
    updated_at: datetime | None = None
    merged_at: datetime | None = None
    closed_at: datetime | None = None

    @property
    def author(self) -> str:
        return login_of(self.user)

    @property
    def head_branch(self) -> str:
        """Its name is in the label, also when the branch is gone."""
        gone = self.head.ref == f"refs/pull/{self.number}/head"
        return self.head.label if gone else self.head.ref

    def joins(self, head: str, base: str) -> bool:
        """Whether it is of these two branches; anybody's fork may have one of the same name."""
        within = self.head.repo_id == self.base.repo_id
        return within and (self.head_branch, self.base.ref) == (head, base)


class ChangedFile(Object, frozen=True):
    """``status``: added, deleted, changed, renamed, … ``contents_url`` ends with the commit that
    the diff was made for."""

    filename: str
    previous_filename: str = ""
    status: str = ""
    additions: int = 0
    deletions: int = 0
    changes: int = 0
    html_url: str = ""
    contents_url: str = ""


class Permission(Object, frozen=True):
    """``permission``: none, read, write, admin or owner."""

    permission: str
    role_name: str = ""
    user: User | None = None


class Team(Object, frozen=True):
    """A team of an organisation; what its members may do with each part of a repository."""

    permission: str = "none"
    units: tuple[str, ...] = ()
    units_map: dict[str, str] = {}

    @property
    def may_write(self) -> bool:
        if self.permission in ("admin", "owner"):
            return True
        modes = self.units_map or dict.fromkeys(self.units, self.permission)
        return modes.get("repo.code") in WRITERS


class Version(Object, frozen=True):
    version: str = ""

    @property
    def is_forgejo(self) -> bool:
        """Forgejo names the Gitea release it is compatible with; Gitea does not."""
        return "+gitea-" in self.version

    @property
    def major(self) -> int:
        """0 where it does not begin with a number."""
        first = self.version.partition(".")[0]
        return int(first) if first.isdecimal() else 0

    def is_before(self, major: int) -> bool:
        """Whether it is a Forgejo, and says itself that it is older: some builds have no number."""
        return self.is_forgejo and 0 < self.major < major

    @property
    def has_run_events(self) -> bool:
        """Whether hooks can be told of runs of Actions."""
        return self.is_forgejo and self.major >= 12
