"""Labels: their definitions in a repository, and which an issue carries.

Forgejo ignores label *names* it does not know (a mistyped PUT would clear an issue), so names are
made ids here before anything is sent.
"""

from __future__ import annotations

from collections.abc import Iterable

from fleetbot.forge.errors import ForgeForbidden, ForgeNotFound
from fleetbot.forge.models import Label, Object
from fleetbot.forge.paths import parse_repo, path_of, repo_path
from fleetbot.forge.transport import Calls


class UnknownLabel(LookupError):
    """Neither the repository nor its organisation has labels of these names."""

    def __init__(self, repo: str, names: Iterable[str]) -> None:
        self.names = tuple(sorted(names))
        super().__init__(f"{repo} has no label {', '.join(self.names)}")


class LabelSpec(Object, frozen=True):
    """A label to be made: ``color`` as ``#rrggbb``; ``exclusive`` within its ``scope/`` prefix."""

    name: str
    color: str = "#6e7781"
    description: str = ""
    exclusive: bool = False


class LabelCalls(Calls):
    async def repo_labels(self, repo: str) -> list[Label]:
        return [label async for label in self._http.pages(Label, repo_path(repo) + "/labels")]

    async def org_labels(self, repo: str) -> list[Label]:
        """Labels of the repository's organisation; none where the owner is a person, or where the
        token may not read organisations."""
        path = path_of("/orgs/{}/labels", parse_repo(repo)[0])
        try:
            return [label async for label in self._http.pages(Label, path)]
        except (ForgeNotFound, ForgeForbidden):
            return []

    async def create_label(self, repo: str, spec: LabelSpec) -> Label:
        """Forgejo makes a second label of the same name without a word; see ``ensure_labels``."""
        body = {
            "name": spec.name,
            "color": spec.color,
            "description": spec.description,
            "exclusive": spec.exclusive,
        }
        return await self._http.call(Label, "POST", repo_path(repo) + "/labels", json=body)

    async def delete_label(self, repo: str, label_id: int) -> None:
        """It goes from every issue that carries it, too."""
        await self._http.send("DELETE", repo_path(repo) + path_of("/labels/{}", label_id))

    async def ensure_labels(self, repo: str, specs: Iterable[LabelSpec]) -> dict[str, Label]:
        """The labels by name; what neither repository nor organisation has is made."""
        wanted = {spec.name: spec for spec in specs}
        labels = await self._find_labels(repo, wanted)
        for name in [name for name in wanted if name not in labels]:
            labels[name] = await self.create_label(repo, wanted[name])
        return labels

    async def label_ids(self, repo: str, names: Iterable[str]) -> list[int]:
        """Ids in the order of ``names``; :class:`UnknownLabel` names those that are missing."""
        wanted = list(dict.fromkeys(names))
        labels = await self._find_labels(repo, wanted)
        missing = [name for name in wanted if name not in labels]
        if missing:
            raise UnknownLabel(repo, missing)
        return [labels[name].id for name in wanted]

    # -- on an issue or a pull request

    async def issue_labels(self, repo: str, number: int) -> tuple[Label, ...]:
        return await self._http.get(tuple[Label, ...], _labels_path(repo, number))

    async def add_issue_labels(
        self, repo: str, number: int, names: Iterable[str]
    ) -> tuple[Label, ...]:
        """Add labels by name; answers all the issue carries then."""
        body = {"labels": await self.label_ids(repo, names)}
        path = _labels_path(repo, number)
        return await self._http.call(tuple[Label, ...], "POST", path, json=body)

    async def remove_issue_label(self, repo: str, number: int, name: str) -> None:
        """Take a label off; nothing to do where the issue does not carry it."""
        for label in await self.issue_labels(repo, number):
            if label.name == name:  # by id: before v13 Forgejo takes no name here
                await self._http.send("DELETE", _labels_path(repo, number) + f"/{label.id}")

    async def _find_labels(self, repo: str, names: Iterable[str]) -> dict[str, Label]:
        wanted = set(names)
        labels = {}
        if wanted:
            labels = _by_name(await self.repo_labels(repo), wanted)
        if wanted - labels.keys():
            labels = _by_name(await self.org_labels(repo), wanted) | labels
        return labels


def _by_name(labels: Iterable[Label], wanted: set[str]) -> dict[str, Label]:
    """Names may be doubled; the oldest is meant."""
    newest_first = sorted(labels, key=lambda label: -label.id)
    return {label.name: label for label in newest_first if label.name in wanted}


def _labels_path(repo: str, number: int) -> str:
    return repo_path(repo) + path_of("/issues/{}/labels", number)
