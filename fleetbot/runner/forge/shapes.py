"""What the forge answers, as far as the runner looks at it."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

_OWN_COMMENT = "<!-- fleetbot "
WRITERS = frozenset({"write", "admin", "owner"})


class User(msgspec.Struct, frozen=True):
    login: str = ""


class Issue(msgspec.Struct, frozen=True):
    number: int
    title: str = ""
    body: str | None = ""
    html_url: str = ""
    user: User | None = None

    @property
    def author(self) -> str:
        return self.user.login if self.user else ""


class Comment(msgspec.Struct, frozen=True):
    id: int = 0
    body: str | None = ""
    user: User | None = None
    created_at: str = ""

    @property
    def author(self) -> str:
        return self.user.login if self.user else ""

    @property
    def is_ours(self) -> bool:
        return _OWN_COMMENT in (self.body or "")


class Branch(msgspec.Struct, frozen=True):
    ref: str = ""
    sha: str = ""
    repo_id: int = 0
    label: str = ""


class PullRequest(msgspec.Struct, frozen=True):
    number: int
    head: Branch
    base: Branch
    state: str = "open"
    html_url: str = ""
    title: str = ""
    body: str | None = ""
    user: User | None = None
    draft: bool = False
    merged: bool = False

    @property
    def author(self) -> str:
        return self.user.login if self.user else ""

    def joins(self, branch: str, base: str) -> bool:
        """Whether it is of these two branches; anybody's fork may have one of the same name."""
        within = self.head.repo_id == self.base.repo_id
        # Of a branch that is gone the forge says refs/pull/N/head; its label keeps the name.
        gone = self.head.ref == f"refs/pull/{self.number}/head"
        head = self.head.label if gone else self.head.ref
        return within and (head, self.base.ref) == (branch, base)


class Permission(msgspec.Struct, frozen=True):
    permission: str = "none"


class Team(msgspec.Struct, frozen=True):
    """A team of an organisation; what its members may do with each part of a repository."""

    permission: str = "none"
    units: tuple[str, ...] | None = ()
    units_map: Mapping[str, str] | None = None

    @property
    def may_write(self) -> bool:
        if self.permission in ("admin", "owner"):
            return True
        modes = self.units_map or dict.fromkeys(self.units or (), self.permission)
        return modes.get("repo.code") in WRITERS
