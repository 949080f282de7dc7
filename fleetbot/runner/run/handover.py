"""From a finished worktree to a receipt: leftovers, push, pull request."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from urllib.parse import quote

from fleetbot.domain.model import Artifact, Usage
from fleetbot.domain.reasons import ReasonCode
from fleetbot.domain.receipts import name_forbidden
from fleetbot.runner.failure import RunFailed
from fleetbot.runner.forge import PullRequest
from fleetbot.runner.git.worktree import Work, Worktree
from fleetbot.runner.run.setup import Setup
from fleetbot.runner.sandbox.masking import Masker
from fleetbot.runner.session.contract import Finished, PermissionDenial
from fleetbot.wire import Assignment, ReceiptRequest

_MOST_FILES = 5000
_MOST_DENIALS = 3
_SUMMARY_LIMIT = 10_000


class Handover:
    """Delivers one run's work; more than once where a receipt had to be mended."""

    def __init__(
        self,
        setup: Setup,
        order: Assignment,
        tree: Worktree,
        env: Mapping[str, str],
        note: Callable[[str], None],
        masker: Masker,
    ) -> None:
        self._setup = setup
        self._order = order
        self._tree = tree
        self._env = env
        self._note = note
        self._masker = masker

    async def deliver(self, finished: Finished, usage: Usage) -> ReceiptRequest:
        """Push what there is, have its pull request, write the receipt. Raises RunFailed."""
        order, tree = self._order, self._tree
        work = await tree.collect(self._leftovers())
        for note in work.notes:
            self._note(note)
        if not work.files:
            raise _nothing_done(finished.permission_denials)
        self._check_paths(work.files)
        await self._check_secrets(work)
        await tree.push(work)
        head, files = work.head, work.files
        self._note(f"pushed {head[:10]} to {order.branch}")
        summary = self._summary(finished.summary, work)
        pull = await self._pull_request(summary, head)
        return ReceiptRequest(
            run=order.run,
            pull_request=pull.number,
            branch=order.branch,
            head=head,
            files=files[:_MOST_FILES],
            summary=summary,
            artifacts=self._artifacts(pull, head),
            usage=usage,
        )

    def _check_paths(self, files: tuple[str, ...]) -> None:
        """Once a workflow is on a branch of the forge, its CI may run it with secrets."""
        if forbidden := name_forbidden(files, self._order.forbidden_paths):
            raise RunFailed(
                ReasonCode.FORBIDDEN_PATHS, f"{forbidden} Put them back as they are on the base."
            )

    async def _check_secrets(self, work: Work) -> None:
        """What the forge has once been given, others may have read."""
        if leaked := await work.leaks(self._setup.uncommittable(self._env)):
            raise RunFailed(
                ReasonCode.SECRET_IN_DIFF,
                f"The commits contain the value of {', '.join(leaked)}. Rewrite them: it must be "
                "in none of them, which is more than to delete it in another commit.",
            )

    def _leftovers(self) -> str | None:
        """The message for a commit of what the program leaves; None to leave it."""
        if not self._setup.agent.commit_leftovers:
            return None
        title = " ".join(self._order.title.split())[:60] or "Changes"
        return f"{title} (#{self._order.issue})"

    def _summary(self, said: str, work: Work) -> str:
        text = said.strip() or "\n".join(f"- {subject}" for subject in work.subjects)
        return self._masker.text(text)[:_SUMMARY_LIMIT]

    async def _pull_request(self, summary: str, head: str) -> PullRequest:
        order, machine = self._order, self._setup.machine
        forge, closes = machine.forge, machine.config.forge.closes
        mention = f"{closes} #{order.issue}" if closes else f"For #{order.issue}"
        body = (
            f"{_inert(summary)}\n\n{mention}\n\n"
            f"By the agent `{self._setup.agent.name}`, run `{order.run}`."
        )
        title = " ".join(order.title.split())[:255] or f"Issue {order.issue}"
        pull = await forge.pull_request(
            order.repo, order.branch, self._tree.start.base, title=title, body=body
        )
        self._note(f"pull request #{pull.number}")
        if not await forge.await_head(order.repo, pull.number, head):
            self._note("the forge has not noticed the push yet; the check will wait for it")
        return pull

    def _artifacts(self, pull: PullRequest, head: str) -> tuple[Artifact, ...]:
        order, url = self._order, self._setup.machine.forge.url
        branch = quote(order.branch, safe="/")
        page = f"{url}/{order.repo}"
        return (
            Artifact(
                kind="pull_request",
                name=f"#{pull.number}",
                url=pull.html_url or f"{page}/pulls/{pull.number}",
            ),
            Artifact(kind="branch", name=order.branch, url=f"{page}/src/branch/{branch}"),
            Artifact(kind="commit", name=head[:10], url=f"{page}/commit/{head}"),
        )


def _nothing_done(denials: tuple[PermissionDenial, ...]) -> RunFailed:
    """Why the branch does not differ from its base: the program could not, or saw no need."""
    if not denials:
        return RunFailed(
            ReasonCode.NO_CHANGES,
            "the agent ended and the branch does not differ from its base; "
            "say in the issue what should change, then retry",
        )
    refused = "; ".join(f"{denial.tool}: {denial.summary}" for denial in denials[:_MOST_DENIALS])
    more = len(denials) - _MOST_DENIALS
    return RunFailed(
        ReasonCode.PERMISSION_DENIED,
        f"the agent changed nothing and was not allowed {refused}"
        f"{f' and {more} more' if more > 0 else ''}; "
        "allow that in the agent's settings, or when it is asked for, then retry",
    )


def _inert(text: str) -> str:
    """An agent's words in which nobody is mentioned and no issue closed."""
    return re.sub(r"([@#])(?=\w)", "\\1\N{ZERO WIDTH SPACE}", text)
