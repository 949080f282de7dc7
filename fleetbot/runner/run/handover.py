"""From a finished worktree to a receipt: judged here, pushed, shown in a pull request."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import accumulate
from urllib.parse import quote

import msgspec

from fleetbot.domain.forbidden import name_forbidden
from fleetbot.domain.reasons import ReasonCode
from fleetbot.domain.usage import Usage
from fleetbot.domain.wording import count
from fleetbot.runner.failure import RunFailed
from fleetbot.runner.forge import PullRequest
from fleetbot.runner.git.work import Work
from fleetbot.runner.git.worktree import Worktree
from fleetbot.runner.run.pull_request import present
from fleetbot.runner.run.replies import are_enough, unanswered
from fleetbot.runner.run.runlog import Announce
from fleetbot.runner.run.setup import Setup
from fleetbot.runner.run.whereabouts import Whereabouts
from fleetbot.runner.run.wording import subject_of
from fleetbot.runner.sandbox.masking import Masker
from fleetbot.runner.session.contract import Finished, PermissionDenial
from fleetbot.wire import (
    ArtifactClaim,
    Assignment,
    LineKind,
    ReceiptRequest,
    ReplyClaim,
    RoundBrief,
    UsageReport,
)

MENDABLE = frozenset({ReasonCode.FORBIDDEN_PATHS, ReasonCode.SECRET_IN_DIFF, ReasonCode.WORK_UNFIT})
"""Why work is not handed over that the program may mend once, in the same run."""
_MOST_FILES, _LONGEST_FILE = 5000, 1000  # that a receipt takes; the latter in characters
_ROOM_FOR_FILES = 400_000  # bytes of it
_MOST_DENIALS = 3
_MOST_NAMED = 10
_MOST_REPLIES = 500  # that a receipt takes
_SUMMARY_LIMIT = 10_000
_REPLY_LIMIT = 4000


def nameable(files: Iterable[str]) -> tuple[str, ...]:
    """As many as a receipt takes: what is not named is judged all the same."""
    short = [name for name in files if len(name) <= _LONGEST_FILE][:_MOST_FILES]
    sizes = accumulate(len(msgspec.json.encode(name)) + 1 for name in short)
    return tuple(name for name, size in zip(short, sizes, strict=True) if size <= _ROOM_FOR_FILES)


class Handover:
    """Delivers one run's work; more than once where a receipt had to be mended."""

    def __init__(
        self,
        setup: Setup,
        where: Whereabouts,
        tree: Worktree,
        env: Mapping[str, str],
        note: Announce,
        masker: Masker,
    ) -> None:
        self._setup = setup
        self._where = where
        self._tree = tree
        self._env = env
        self._note = note
        self._noted: set[str] = set()
        self._masker = masker

    @property
    def _order(self) -> Assignment:
        return self._where.order

    async def deliver(
        self, finished: Finished, usage: Usage, said: tuple[ReplyClaim, ...] = ()
    ) -> ReceiptRequest:
        """Push what there is, have its pull request, write the receipt. Raises RunFailed.

        `said` is the agent's word on the threads of its round.

        Safe to call again when it failed: what has reached the forge is found there, and makes
        neither a second push nor a second pull request.
        """
        order, tree = self._order, self._tree
        work = await tree.collect(self._leftovers())
        for note in work.notes:
            self._note_once(note)
        await self._judge(work, finished, said)
        if order.round is not None:
            await self._setup.machine.forge.pulls.still_open(order.repo, order.round.pull_request)
        # Whoever has the run now pushes in its name.
        await self._setup.leases.confirm(order.run, self._note_once)
        await tree.push(work)
        self._note_once(f"pushed {work.head[:10]} to {order.branch}", LineKind.STEP)
        summary = self._summary(finished.summary, work)
        pull = await present(self._setup, order, tree.start.base, summary, self._note_once)
        await self._await_push(pull, work.head)
        return ReceiptRequest(
            run=order.run,
            pull_request=pull.number,
            branch=order.branch,
            head=work.head,
            files=nameable(work.files),
            summary=summary,
            artifacts=self._artifacts(pull, work.head),
            usage=UsageReport.of(usage),
            replies=await self._replies(work, said),
        )

    async def _replies(self, work: Work, said: tuple[ReplyClaim, ...]) -> tuple[ReplyClaim, ...]:
        """A commit that is not handed over fixes nothing: then it is the one that is."""
        if self._order.round and (open_ones := unanswered(said, self._order.round)):
            names = ", ".join(map(str, open_ones[:_MOST_NAMED]))
            self._note_once(f"without an answer: {count(len(open_ones), 'thread')} ({names})")
        return tuple(
            [
                msgspec.structs.replace(
                    one,
                    text=self._masker.text(one.text)[:_REPLY_LIMIT],
                    commit=one.commit if await work.has(one.commit) else "",
                )
                for one in said[:_MOST_REPLIES]
            ]
        )

    def _leftovers(self) -> str | None:
        """The message for a commit of what the program leaves; None to leave it."""
        if not self._setup.agent.commit_leftovers:
            return None
        return subject_of(self._order.title, self._order.issue)

    async def _judge(self, work: Work, finished: Finished, said: tuple[ReplyClaim, ...]) -> None:
        """Whether it may be handed over, before anything leaves the machine. Raises RunFailed."""
        if self._order.round is not None:
            self._judge_round(self._order.round, work, finished, said)
            self._check_paths(work.files)
            await self._check_secrets(work)
            return
        if not work.files and finished.permission_denials:
            raise _not_allowed(finished.permission_denials)
        if merged := await self._merged(work):
            raise RunFailed(
                ReasonCode.NO_CHANGES,
                f"pull request #{merged.number} was merged, and the agent added nothing to it",
            )
        if not work.files:
            raise RunFailed(
                ReasonCode.NO_CHANGES,
                "the branch does not differ from its base",
            )
        if work.head == self._tree.start.remote and not await work.has_ours():
            raise RunFailed(
                ReasonCode.NO_CHANGES,
                "the agent added nothing to what people had pushed to the branch; "
                "say in the issue what else should change, then retry",
            )
        self._check_paths(work.files)
        await self._check_secrets(work)

    def _judge_round(
        self, brief: RoundBrief, work: Work, finished: Finished, said: tuple[ReplyClaim, ...]
    ) -> None:
        """Whether it adds to the pull request, or says of each thread why it need not."""
        if work.head != self._tree.start.remote or are_enough(said, brief, finished.summary):
            return
        if finished.permission_denials:
            raise _not_allowed(finished.permission_denials)
        missing = len(unanswered(said, brief))
        without = f", and left {count(missing, 'thread')} without an answer" if missing else ""
        raise RunFailed(
            ReasonCode.NO_CHANGES,
            f"the agent added nothing to pull request #{brief.pull_request}{without}; "
            "say there or in the issue what should change, then ask for it again",
        )

    async def _merged(self, work: Work) -> PullRequest | None:
        """The pull request that was merged with all that there is to hand over."""
        if work.files and work.head != self._tree.start.remote:
            return None
        order, pulls = self._order, self._setup.machine.forge.pulls
        return await pulls.merged(order.repo, order.branch, self._tree.start.base)

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

    def _summary(self, said: str, work: Work) -> str:
        text = said.strip() or "\n".join(f"- {subject}" for subject in work.subjects)
        return self._masker.text(text)[:_SUMMARY_LIMIT]

    async def _await_push(self, pull: PullRequest, head: str) -> None:
        pulls = self._setup.machine.forge.pulls
        if not await pulls.await_head(self._order.repo, pull.number, head):
            self._note_once("the forge has not noticed the push yet; the check will wait for it")

    def _note_once(self, text: str, kind: LineKind = LineKind.SYSTEM) -> None:
        """However often the forge is away meanwhile."""
        if text not in self._noted:
            self._noted.add(text)
            self._note(text, kind)

    def _artifacts(self, pull: PullRequest, head: str) -> tuple[ArtifactClaim, ...]:
        order, url = self._order, self._setup.machine.forge.url
        branch = quote(order.branch, safe="/")
        page = f"{url}/{order.repo}"
        return (
            ArtifactClaim(
                kind="pull_request",
                name=f"#{pull.number}",
                url=pull.html_url or f"{page}/pulls/{pull.number}",
            ),
            ArtifactClaim(kind="branch", name=order.branch, url=f"{page}/src/branch/{branch}"),
            ArtifactClaim(kind="commit", name=head[:10], url=f"{page}/commit/{head}"),
        )


def _not_allowed(denials: tuple[PermissionDenial, ...]) -> RunFailed:
    """Why the branch does not differ from its base, as far as the program said."""
    refused = "; ".join(f"{denial.tool}: {denial.summary}" for denial in denials[:_MOST_DENIALS])
    more = len(denials) - _MOST_DENIALS
    return RunFailed(
        ReasonCode.PERMISSION_DENIED,
        f"the agent changed nothing and was not allowed {refused}"
        f"{f' and {more} more' if more > 0 else ''}; "
        "allow that in the agent's settings, or when it is asked for, then retry",
    )
