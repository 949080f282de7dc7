"""Which folder a repository has on this machine: the one that it got first, whatever it is called.

Worktrees and caches hold each other's paths, and programs remember a task by its worktree's: so no
folder ever changes its place. It is called as the repository was when it came here.
"""

from __future__ import annotations

from fleetbot.runner.root import Root

_ID = "id"


class Repositories:
    """Folders are named as below the root's `repositories` and `workspaces`: `owner/name`."""

    def __init__(self, root: Root) -> None:
        self._root = root
        self._known: dict[int, str] | None = None

    def folder(self, repo: str, repo_id: int) -> str:
        """That of the repository with this id on the forge; 0 where nothing but a name is known.

        Another one's folder is not taken that had the name before.
        """
        if not repo_id:
            return repo
        known = self._all()
        if repo_id not in known:
            folder = f"{repo}+{repo_id}" if repo in known.values() else repo
            path = self._root.repositories / folder
            path.mkdir(parents=True, exist_ok=True)
            (path / _ID).write_text(f"{repo_id}\n", "utf-8")
            known[repo_id] = folder
        return known[repo_id]

    def ids(self) -> list[int]:
        """Of all that were worked on here, as far as theirs are known."""
        return sorted(self._all())

    def _all(self) -> dict[int, str]:
        if self._known is None:
            self._known = {}
            for note in self._root.repositories.glob(f"*/*/{_ID}"):
                text = note.read_text("utf-8", "replace").strip()
                if text.isdecimal():
                    folder = note.parent
                    self._known[int(text)] = f"{folder.parent.name}/{folder.name}"
        return self._known
