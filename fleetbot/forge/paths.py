"""The paths of Forgejo's API, with repositories as people name them: ``owner/name``."""

from __future__ import annotations

from urllib.parse import quote

from fleetbot.domain.model import REPO


def parse_repo(full_name: str) -> tuple[str, str]:
    """Split ``owner/name``; ``ValueError`` when it has another shape."""
    owner, _, name = full_name.partition("/")
    if not REPO.match(full_name):
        raise ValueError(f"not a repository: {full_name!r}; expected owner/name")
    return owner, name


def path_of(template: str, *parts: str | int) -> str:
    """Fill the ``{}`` of a path, each part quoted whole, slashes too."""
    return template.format(*(quote(str(part), safe="") for part in parts))


def repo_path(repo: str) -> str:
    return path_of("/repos/{}/{}", *parse_repo(repo))


def pull_path(repo: str, number: int) -> str:
    return repo_path(repo) + path_of("/pulls/{}", number)
