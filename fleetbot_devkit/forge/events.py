"""What happens on the forge, told as Forgejo tells it: which events, with which payload."""

from __future__ import annotations

from typing import Any

from fleetbot_devkit.forge import git_shapes, pull_shapes, shapes
from fleetbot_devkit.forge.accounts import Account
from fleetbot_devkit.forge.git import ZERO
from fleetbot_devkit.forge.pull_state import Review
from fleetbot_devkit.forge.runs import Run
from fleetbot_devkit.forge.state import Comment, Hook, Repo, Ticket, World
from fleetbot_devkit.forge.webhooks import Webhooks

Json = dict[str, Any]
_COMMIT_LIMIT = 15  # PAYLOAD_COMMIT_LIMIT of an unconfigured server
_NEW_BRANCH_LIMIT = 10
_REVIEWS = {
    "APPROVED": "pull_request_review_approved",
    "REQUEST_CHANGES": "pull_request_review_rejected",
    "COMMENT": "pull_request_review_comment",
}


class Notifier:
    def __init__(self, world: World, webhooks: Webhooks) -> None:
        self._world = world
        self._webhooks = webhooks

    async def ticket_created(self, repo: Repo, ticket: Ticket, actor: Account) -> None:
        """Several events: the assignments come first, and before anybody has heard of the issue."""
        for _ in ticket.assignees:
            await self.ticket(repo, ticket, actor, "assigned", kind="assign")
        await self.ticket(repo, ticket, actor, "opened")
        if ticket.labels:
            await self.ticket(repo, ticket, actor, "label_updated", kind="label")

    async def ticket(
        self,
        repo: Repo,
        ticket: Ticket,
        actor: Account,
        action: str,
        *,
        kind: str = "",
        **more: object,
    ) -> None:
        """An event of an issue or pull request; ``kind`` is the second half of the fine name."""
        if not repo.hooks:  # what nobody hears is not read from git either
            return
        payload: Json = {"action": action, "number": ticket.number, **self._who(repo, actor)}
        payload |= {"commit_id": "", **more}
        if ticket.pull:
            shape = await pull_shapes.pull_request(self._world, repo, ticket, actor)
            payload = {"requested_reviewer": None, "review": None, **payload, "pull_request": shape}
            name = f"pull_request_{kind}" if kind else "pull_request"
        else:
            payload["issue"] = shapes.issue(self._world, repo, ticket)
            name = f"issue_{kind}" if kind else "issues"
        self._webhooks.send(repo, name, payload)

    async def comment(
        self,
        repo: Repo,
        ticket: Ticket,
        row: Comment,
        actor: Account,
        action: str,
        **more: object,
    ) -> None:
        if not repo.hooks:
            return
        payload: Json = {
            "action": action,
            "issue": shapes.issue(self._world, repo, ticket),
            "comment": shapes.comment(self._world, repo, ticket, row),
            "is_pull": ticket.pull is not None,
            **self._who(repo, actor),
            **more,
        }
        if ticket.pull:
            payload["pull_request"] = await pull_shapes.pull_request(
                self._world, repo, ticket, actor
            )
        name = "pull_request_comment" if ticket.pull else "issue_comment"
        self._webhooks.send(repo, name, payload)

    async def reviewed(self, repo: Repo, ticket: Ticket, row: Review) -> None:
        name = _REVIEWS[row.state]
        await self.ticket(
            repo,
            ticket,
            row.author,
            "reviewed",
            kind=name.removeprefix("pull_request_"),
            requested_reviewer=shapes.user(self._world, row.author),
            review={"type": name, "content": row.body},
        )

    async def review_asked(
        self, repo: Repo, ticket: Ticket, actor: Account, reviewer: Account, action: str
    ) -> None:
        asked = shapes.user(self._world, reviewer)
        await self.ticket(
            repo, ticket, actor, action, kind="review_request", requested_reviewer=asked
        )

    async def ref_changed(
        self, repo: Repo, actor: Account, ref: str, before: str, after: str
    ) -> None:
        """A new branch is create + push, a deleted one delete, a deleted tag push + delete."""
        kind = "tag" if ref.startswith("refs/tags/") else "branch"
        about = {"ref": ref, "ref_type": kind, **self._who(repo, actor)}
        if before == ZERO:
            self._webhooks.send(repo, "create", {"sha": after, **about})
        pushed = after != ZERO or kind == "tag"
        if pushed and self._webhooks.wanted(repo, "push"):
            self._webhooks.send(repo, "push", await self._push(repo, actor, ref, before, after))
        if after == ZERO:
            self._webhooks.send(repo, "delete", {"pusher_type": "user", **about})

    async def test(self, repo: Repo, actor: Account, hook: Hook) -> None:
        """A push that leads from the head to itself, to one hook alone."""
        head = repo.refs[f"refs/heads/{repo.default_branch}"]
        ref = f"refs/heads/{repo.default_branch}"
        [tip] = await repo.git.commits(head, limit=1)
        commit = await git_shapes.payload_commit(self._world, repo, tip)
        payload = await self._push(repo, actor, ref, head, head)
        told = {"commits": [commit], "total_commits": 1, "head_commit": commit}
        self._webhooks.send_to(hook, "push", {**payload, **told})

    def run_ended(self, repo: Repo, row: Run, last: Run | None) -> None:
        """To the ``last`` one of the same workflow it may be a recovery, which is told beside."""
        shape = shapes.run(self._world, repo, row)
        before = shapes.run(self._world, repo, last) if last else None
        payload: Json = {"run": shape, "last_run": before, "prior_status": "running"}
        actions = ["success" if row.status == "success" else "failure"]
        if row.status == "success" and last and last.status != "success":
            actions.append("recover")
        for action in actions:
            self._webhooks.send(repo, f"action_run_{action}", {"action": action, **payload})

    def repository(self, repo: Repo, actor: Account, action: str) -> None:
        self._webhooks.send(repo, "repository", {"action": action, **self._who(repo, actor)})

    async def _push(self, repo: Repo, actor: Account, ref: str, before: str, after: str) -> Json:
        commits = []
        if after != ZERO:
            since = [after, f"^{before}"] if before != ZERO else [after]
            limit = None if before != ZERO else _NEW_BRANCH_LIMIT
            commits = await repo.git.commits(*since, limit=limit)
        shown = [
            await git_shapes.payload_commit(self._world, repo, one)
            for one in commits[:_COMMIT_LIMIT]
        ]
        html = f"{self._world.url}/{repo.full_name}"
        return {
            "ref": ref,
            "before": before,
            "after": after,
            "compare_url": f"{html}/compare/{before}...{after}" if before != ZERO else "",
            "commits": shown,
            "total_commits": len(commits),
            "head_commit": shown[0] if shown else None,
            "pusher": shapes.user(self._world, actor),
            **self._who(repo, actor),
        }

    def _who(self, repo: Repo, actor: Account) -> Json:
        return {
            "repository": shapes.repository(self._world, repo, actor),
            "sender": shapes.user(self._world, actor),
        }
