"""Accounts of the development forge, and what they may do."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum


class Access(IntEnum):
    NONE = 0
    READ = 1
    WRITE = 2
    ADMIN = 3
    OWNER = 4


@dataclass
class Account:
    """A person, or an organisation (which has labels and no password)."""

    id: int
    login: str
    password: str = ""
    is_admin: bool = False
    is_org: bool = False
    labels: dict[int, Label] = field(default_factory=dict)
    teams: list[Team] = field(default_factory=list)


@dataclass
class Team:
    """Of an organisation, with all its repositories; ``access`` is to every part of them."""

    id: int
    name: str
    access: Access
    members: list[Account]


@dataclass(frozen=True)
class Token:
    id: int
    name: str
    login: str
    scopes: frozenset[str]


@dataclass
class Label:
    id: int
    name: str
    color: str
    description: str = ""
    exclusive: bool = False

    @property
    def scope(self) -> str:
        """Forgejo's exclusive scope: what stands before the last slash."""
        return self.name.rpartition("/")[0] if self.exclusive else ""
