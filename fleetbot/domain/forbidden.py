"""The paths that no agent may change."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from fnmatch import fnmatchcase

_OF_ACTIONS = ("workflows", "actions")

CI_CONFIGURATION = (
    *(f".{forge}/{folder}" for forge in ("forgejo", "gitea", "github") for folder in _OF_ACTIONS),
    *(".woodpecker*", ".drone*", ".gitlab-ci*", ".circleci", ".buildkite", ".travis.yml"),
    *("Jenkinsfile*", "azure-pipelines*"),
)
"""Where CI is configured: whoever mends what it found may not change what it looks for."""


def name_forbidden(files: Iterable[str], patterns: Collection[str]) -> str:
    """What to tell an agent of those files that it may not change; empty if there are none."""
    forbidden = [path for path in files if is_forbidden(path, patterns)]
    return f"These paths may not be changed by an agent: {some_of(forbidden)}." if forbidden else ""


def not_in(files: Iterable[str], patterns: Iterable[str]) -> tuple[str, ...]:
    """The patterns that fit none of the files."""
    files = tuple(files)
    return tuple(one for one in patterns if not any(is_forbidden(path, (one,)) for path in files))


def is_forbidden(path: str, patterns: Collection[str]) -> bool:
    """Whether a pattern fits the path (`*` also stands for slashes), or names its folder; or the
    path takes the place of the folder that it is in, as a link can."""
    return any(
        fnmatchcase(path, pattern)
        or f"{path}/".startswith(pattern.rstrip("/") + "/")
        or pattern.startswith(f"{path}/")
        for pattern in patterns
    )


def some_of(paths: list[str], most: int = 5) -> str:
    """The first of them, for people to read, and how many more there are."""
    more = f" and {len(paths) - most} more" if len(paths) > most else ""
    return ", ".join(f"`{path}`" for path in paths[:most]) + more
