"""How urgent a task is, as a person says: by its issue's labels, so that forge and fleet agree.

What was said holds until a label says something else, as labels are all there is.
"""

from __future__ import annotations

from fleetbot import wire
from fleetbot.domain.errors import Conflict
from fleetbot.domain.model import OPEN_STATES, Priority, Task
from fleetbot.domain.wording import STATE_WORDS
from fleetbot.forge import errors as forge
from fleetbot.forge.client import ForgeClient
from fleetbot.services.fleet import ALONE, Beside, Context, Fleet
from fleetbot.services.issues import Issues
from fleetbot.services.labels import LabelMaps, priority_labels_after, priority_spec
from fleetbot.services.repositories import Repositories


class Priorities:
    def __init__(
        self,
        fleet: Fleet,
        client: ForgeClient,
        issues: Issues,
        labels: LabelMaps,
        repositories: Repositories,
    ) -> None:
        self._fleet = fleet
        self._client = client
        self._issues = issues
        self._labels = labels
        self._repositories = repositories

    async def set(
        self, task: Task, priority: Priority, context: Context, beside: Beside = ALONE
    ) -> bool:
        """Put the label on the issue, take others off, and have the task follow; False if it was
        so before.

        Raises `Conflict` where the task is over, no label says it or the bot may not label, and the
        errors of the forge.
        """
        if task.state not in OPEN_STATES:
            raise Conflict(
                f"{task.ref} is {STATE_WORDS[task.state]}: it waits for nothing.", field="issue"
            )
        if task.traits.priority is priority:
            return False
        repo = await self._repositories.refresh(self._fleet.state.places.of(task))
        await self._label(repo.name, task.issue, priority)
        followed = await self._issues.look(repo.id, task.issue, context, beside)
        if followed is None or followed.traits.priority is not priority:
            raise Conflict(
                f"{task.ref} does not carry the label: has the bot write access there?",
                field="issue",
            )
        return True

    async def _label(self, repo: str, number: int, priority: Priority) -> None:
        issue = await self._client.issue(repo, number)
        added, removed = priority_labels_after(issue.label_names, priority, self._labels)
        if added is None:
            name = wire.priority_name(priority)
            raise Conflict(
                f"No label means {name}: add one to `labels.priorities` in the settings.",
                field="priority",
            )
        try:
            if added:
                await self._client.ensure_labels(repo, [priority_spec(added)])
                await self._client.add_issue_labels(repo, number, [added])
            for label in removed:
                await self._client.remove_issue_label(repo, number, label)
        except forge.ForgeForbidden as error:
            raise Conflict(
                f"The bot may not label issues of {repo}: give it write access there.",
                field="issue",
            ) from error
