"""What Forgejo shows of a repository's git: branches, commits, trees, and what CI says of them.

As of ``models``.
"""

from __future__ import annotations

from datetime import datetime

from fleetbot.forge.models import Object, User


class Signature(Object, frozen=True):
    """Without its date: that is whatever somebody says, and need not even be one."""

    name: str = ""
    email: str = ""


class CommitBody(Object, frozen=True):
    message: str = ""
    author: Signature = Signature()
    committer: Signature = Signature()


class CommitFile(Object, frozen=True):
    """``status``: added, removed or modified."""

    filename: str
    status: str = ""


class CommitMeta(Object, frozen=True):
    sha: str = ""


class TreeEntry(Object, frozen=True):
    """``sha`` is of the blob, of the tree of a folder, or of a submodule's commit."""

    path: str
    mode: str = ""
    sha: str = ""


class Tree(Object, frozen=True):
    """One page of a folder. Its ``sha`` is whatever was asked for, not the tree's own."""

    total_count: int
    tree: tuple[TreeEntry, ...] = ()


class Blob(Object, frozen=True):
    """``content`` in base64; None for one that is too large."""

    sha: str = ""
    content: str | None = None


class Commit(Object, frozen=True):
    sha: str
    html_url: str = ""
    commit: CommitBody = CommitBody()
    author: User | None = None
    committer: User | None = None
    parents: tuple[CommitMeta, ...] = ()
    files: tuple[CommitFile, ...] = ()


class Comparison(Object, frozen=True):
    total_commits: int
    commits: tuple[Commit, ...] = ()
    files: tuple[CommitFile, ...] = ()


class PayloadCommit(Object, frozen=True):
    """The commit form of branches; its hash is ``id``."""

    id: str


class Branch(Object, frozen=True):
    """``status_check_contexts``: patterns of what must be green, where that is enabled.

    ``user_can_push`` and ``user_can_merge`` are of the account that asks;
    ``effective_branch_protection_name`` is told to administrators only.
    """

    name: str
    commit: PayloadCommit | None = None
    protected: bool = False
    required_approvals: int = 0
    user_can_push: bool = False
    user_can_merge: bool = False
    effective_branch_protection_name: str = ""
    enable_status_check: bool = False
    status_check_contexts: tuple[str, ...] = ()


class ContentEntry(Object, frozen=True):
    """``type``: file, dir, symlink or submodule."""

    name: str
    path: str = ""
    type: str = ""
    sha: str = ""
    submodule_git_url: str = ""


class GitObject(Object, frozen=True):
    sha: str


class Reference(Object, frozen=True):
    """``ref`` is the full name."""

    ref: str
    object: GitObject


class CommitStatus(Object, frozen=True):
    """``status``: pending, success, error, failure, warning, from v16 on skipped, or whatever
    somebody sent. ``creator`` is absent for Actions."""

    status: str = ""
    context: str = ""
    description: str = ""
    target_url: str = ""
    id: int = 0
    creator: User | None = None
    created_at: datetime | None = None


class CombinedStatus(Object, frozen=True):
    """One page of contexts. ``state`` is ``""`` when the commit has no status at all;
    ``total_count`` is the number of statuses on the page."""

    state: str
    total_count: int
    sha: str = ""
    statuses: tuple[CommitStatus, ...] = ()
