"""The repositories that the fleet knows: by id, by any of their names, and which are held."""

from __future__ import annotations

from collections.abc import Iterable

from fleetbot.domain.model import Pause, Repo, Task, same_name
from fleetbot.domain.reasons import ReasonCode


class Places:
    """`held`: the repositories (as of `Task.place`) whose tasks are not given out, and why. What is
    there by name is not folded: of an old journal's repository that nobody lists we have no id.
    `frozen`: those that a person has paused.
    """

    def __init__(self) -> None:
        self.repos: dict[int, Repo] = {}
        self.held: dict[int | str, ReasonCode] = {}
        self.frozen: dict[int | str, Pause] = {}
        self._named: dict[str, set[int]] = {}

    def named(self, name: str) -> Repo | None:
        """The repository of that name: its own first, then one that it had before.

        Of two with the same name the one that Forgejo still shows, then the newer.
        """
        sought = name.lower()
        found = (self.repos[repo] for repo in self._named.get(sought, ()))
        return max(
            (repo for repo in found if sought in repo.names),
            key=lambda repo: (repo.name.lower() == sought, repo.held is None, repo.id),
            default=None,
        )

    def called(self, name: str) -> Repo:
        """What is known of the repository of that name, be it the name alone."""
        return self.named(name) or Repo(id=0, version=0, name=name)

    def same(self, one: str, other: str) -> bool:
        """Whether both name one repository, be it by a name that it had before."""
        known = self.named(one)
        if known is None:
            return same_name(one, other)
        return known is self.named(other)

    def of(self, task: Task) -> Repo:
        return self.repos.get(task.repo_id) or self.called(task.repo)

    def hold_of(self, task: Task) -> ReasonCode | None:
        """Why no task of the repository is given out; None where they are."""
        return self.held.get(task.place)

    def hold_unknown(self, names: Iterable[str], reason: ReasonCode) -> None:
        """Hold these repositories, in small letters, of which nothing but the name is known; and no
        others of their kind."""
        for place in [place for place in self.held if isinstance(place, str)]:
            del self.held[place]
        self.held.update(dict.fromkeys(names, reason))

    def keep(self, repo: Repo) -> None:
        self.repos[repo.id] = repo
        for name in repo.names:
            self._named.setdefault(name, set()).add(repo.id)
        if repo.held:
            self.held[repo.id] = repo.held
        else:
            self.held.pop(repo.id, None)
        if repo.frozen:
            self.frozen[repo.id] = repo.frozen
        else:
            self.frozen.pop(repo.id, None)
