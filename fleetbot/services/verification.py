"""Receipts are checked here: facts are read from Forgejo, the domain judges them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TypeVar

from fleetbot.domain.commands import Conclude
from fleetbot.domain.model import FiledReceipt, Receipt, ReceiptId, Task, Verdict
from fleetbot.domain.receipts import (
    Expectation,
    Facts,
    Finding,
    PullFacts,
    ReviewFact,
    Rules,
    Unknown,
    Unread,
    not_shown_yet,
    verify,
)
from fleetbot.forge.client import ForgeClient
from fleetbot.forge.errors import ForgeError, ForgeForbidden, ForgeNotFound
from fleetbot.forge.models import CommitStatus, PullRequest, Review
from fleetbot.services.fleet import Context, Fleet
from fleetbot.services.forge_effects import STATUS_CONTEXT
from fleetbot.store.interface import StoreUnavailable

log = logging.getLogger("fleetbot.verification")

T = TypeVar("T")
Look = Callable[[Task], Awaitable[object]]

_MAY_WRITE = frozenset({"write", "admin", "owner"})
_STANDING = frozenset({"APPROVED", "REQUEST_CHANGES"})
_WORST_FIRST = ("error", "failure", "warning", "pending")


class Verifier:
    """Checks what is pending; `on_poke` wakes who ticks.

    `look` has a task follow its issue and its base before it is judged by them.
    """

    def __init__(
        self,
        fleet: Fleet,
        client: ForgeClient,
        rules: Rules,
        look: Look,
        *,
        on_poke: Callable[[], None] = lambda: None,
        concurrency: int = 4,
    ) -> None:
        self._fleet = fleet
        self._client = client
        self._rules = rules
        self._look = look
        self._on_poke = on_poke
        self._slots = asyncio.Semaphore(concurrency)
        self._checking: set[ReceiptId] = set()
        self._poked: set[ReceiptId] = set()

    def poke(self, repo: str, pull_number: int) -> None:
        """Something happened to a pull request: a receipt that points at it is due now."""
        found = {
            filed.receipt.id
            for filed in self._pending()
            if filed.receipt.pull_request == pull_number
            and self._fleet.state.same_repo(self._fleet.state.tasks[filed.task].repo, repo)
        }
        if found:
            self._poked |= found
            self._on_poke()

    def next_due(self) -> int | None:
        """When the next check is due (epoch ms, may be past); None when nothing is pending."""
        return min((self._due_at(filed) for filed in self._pending()), default=None)

    async def tick(self) -> None:
        """Check every receipt that is due. Raises `StoreUnavailable` if a finding cannot be kept;
        the other checks are finished first."""
        now = self._fleet.clock()
        due = [
            filed
            for filed in self._pending()
            if self._due_at(filed) <= now and filed.receipt.id not in self._checking
        ]
        ours = {filed.receipt.id for filed in due}
        self._checking |= ours
        try:
            outcomes = await asyncio.gather(*map(self._check, due), return_exceptions=True)
        finally:
            self._checking -= ours
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome

    def _pending(self) -> list[FiledReceipt]:
        """Of runs that have not ended; after a cancellation nobody waits for the finding."""
        receipts = self._fleet.state.receipts
        filed = [receipts[run.receipt] for run in self._fleet.state.live_runs() if run.receipt]
        return [one for one in filed if one.verdict is Verdict.PENDING]

    def _due_at(self, filed: FiledReceipt) -> int:
        return 0 if filed.receipt.id in self._poked else filed.check_at

    async def _check(self, filed: FiledReceipt) -> None:
        receipt = filed.receipt.id
        async with self._slots:
            self._poked.discard(receipt)
            finding = await self._find(filed)
            context = Context(actor="verifier", cause=f"receipt:{receipt}")
            await self._fleet.commit(Conclude(receipt, finding), context)

    async def _find(self, filed: FiledReceipt) -> Finding:
        """The finding; an error of ours is no verdict, it is not knowing."""
        try:
            await self._look(self._fleet.state.tasks[filed.task])
            expected = await self._expectation(filed)
            facts = await gather(self._client, expected, filed.receipt)
            return verify(filed.receipt, expected, facts, self._rules)
        except StoreUnavailable:
            raise
        except ForgeError as error:
            return Unknown(unread=(f"The issue could not be read: {error}.",))
        except Exception as error:
            log.exception("the check of receipt %s broke", filed.receipt.id)
            return Unknown(unread=(f"The check broke: {type(error).__name__}.",))

    async def _expectation(self, filed: FiledReceipt) -> Expectation:
        task: Task = self._fleet.state.tasks[filed.task]
        before = await self._fleet.store.receipts_of(task.id)
        known = self._fleet.state.repo_of(task)
        return Expectation(
            repo=task.repo,
            repo_id=task.repo_id,
            former=known.former,
            issue=task.issue,
            issue_url=task.url,
            base=task.base,
            branch=self._fleet.state.runs[filed.run].branch,
            not_before=task.first_assigned_at,
            verified=tuple(one.receipt.head for one in before if one.verdict is Verdict.VERIFIED),
        )


async def gather(client: ForgeClient, expected: Expectation, receipt: Receipt) -> Facts:
    """Read the facts of a receipt. Each that could not be read is `Unread`, whatever the cause."""
    repo, number = expected.repo, receipt.pull_request
    pull = await _pull(client, repo, number)
    if pull is None or isinstance(pull, Unread):
        return Facts(pull=pull)
    (files, commits), reviews, may_write, ci = await asyncio.gather(
        _changes(client, repo, pull),
        _read("The reviews", _reviews(client, repo, number)),
        _read("The author's rights", _author_may_write(client, repo, _login(pull))),
        _read("The commit's CI", _ci(client, repo, pull.head.sha)),
    )
    return Facts(
        pull=await _unmoved(client, repo, _pull_facts(pull)),
        files=files,
        commits=commits,
        reviews=reviews,
        author_may_write=may_write,
        ci=ci,
    )


async def _read(what: str, reading: Awaitable[T | Unread]) -> T | Unread:
    try:
        return await reading
    except ForgeError as error:
        return Unread(f"{what} could not be read: {error}.")


async def _pull(client: ForgeClient, repo: str, number: int) -> PullRequest | Unread | None:
    """None only where Forgejo shows the repository and no such pull request in it: a repository
    that the token cannot see answers 404 as well."""
    try:
        return await client.pull(repo, number)
    except ForgeNotFound:
        seen = await _read("The repository", client.repo(repo))
        return seen if isinstance(seen, Unread) else None
    except ForgeError as error:
        return Unread(f"The pull request could not be read: {error}.")


async def _unmoved(client: ForgeClient, repo: str, seen: PullFacts) -> PullFacts | Unread:
    """What was seen, if it is still so: else the other facts may be those of another head."""
    again = await _pull(client, repo, seen.number)
    if isinstance(again, Unread):
        return again
    unmoved = again is not None and _pull_facts(again) == seen
    return seen if unmoved else Unread("The pull request is changing.", soon=True)


def _pull_facts(pull: PullRequest) -> PullFacts:
    return PullFacts(
        number=pull.number,
        state=pull.state,
        merged=pull.merged,
        author=_login(pull),
        title=pull.title,
        body=pull.body,
        base=pull.base.ref,
        head_branch=_head_branch(pull),
        head_sha=pull.head.sha,
        head_repo=pull.head.repo.full_name if pull.head.repo else "",
        head_repo_id=pull.head.repo_id,
        draft=pull.draft,
        merged_at=int(pull.merged_at.timestamp() * 1000) if pull.merged_at else None,
    )


def _head_branch(pull: PullRequest) -> str:
    """Of a deleted branch Forgejo answers `refs/pull/N/head`; the label keeps its name."""
    gone = pull.head.ref == f"refs/pull/{pull.number}/head"
    return pull.head.label if gone else pull.head.ref


def _login(pull: PullRequest) -> str:
    return pull.user.login if pull.user else ""


async def _changes(
    client: ForgeClient, repo: str, pull: PullRequest
) -> tuple[tuple[str, ...] | Unread, tuple[str, ...] | Unread]:
    """Files and commits, both of the head that `pull` shows, or neither.

    Forgejo reads the head from the branch, but these from `refs/pull/N/head`, which follows a push
    about a second later. The commits come first: where they end at the head, the ref has moved,
    and an empty diff read after them is really empty.
    """
    commits = await _read("The commits", _commits(client, repo, pull))
    if isinstance(commits, Unread):
        return commits, commits
    return await _read("The diff", _files(client, repo, pull)), commits


def _still_follows(pull: PullRequest) -> bool:
    """What was merged or closed stays as it is, whatever is pushed to its branch."""
    return pull.state == "open"


async def _files(client: ForgeClient, repo: str, pull: PullRequest) -> tuple[str, ...] | Unread:
    """Both names of a renamed file: either may be a forbidden path.

    Every file says of which commit it is, so that no push in between can swap some of them.
    """
    files = await client.pull_files(repo, pull.number)
    of_head = all(file.contents_url.endswith(pull.head.sha) for file in files)
    if not of_head and _still_follows(pull):
        return not_shown_yet(pull.head.sha)
    names = [name for file in files for name in (file.filename, file.previous_filename) if name]
    return tuple(dict.fromkeys(names))


async def _commits(client: ForgeClient, repo: str, pull: PullRequest) -> tuple[str, ...] | Unread:
    """Newest first. A branch without commits of its own stands where it left its base."""
    commits = await client.pull_commits(repo, pull.number)
    newest = commits[0].sha if commits else pull.merge_base
    if newest != pull.head.sha and _still_follows(pull):
        return not_shown_yet(pull.head.sha)
    return tuple(commit.sha for commit in commits)


async def _reviews(client: ForgeClient, repo: str, number: int) -> tuple[ReviewFact, ...]:
    """Anybody who can see a pull request may review it: only the word of those who may write
    counts. Official reviews are by such; where only some of them approve, others' are not."""
    reviews = await client.reviews(repo, number)
    if all(review.official for review in reviews):
        return standing_reviews(reviews)
    writers = {user.login for user in await client.assignees(repo)}
    return standing_reviews(
        review
        for review in reviews
        if review.official or (review.user is not None and review.user.login in writers)
    )


def standing_reviews(reviews: Iterable[Review]) -> tuple[ReviewFact, ...]:
    """Each reviewer's latest word that was not dismissed; a comment takes no word back."""
    latest: dict[str, Review] = {}
    for review in sorted(reviews, key=lambda review: review.id):
        if review.state in _STANDING and not review.dismissed:
            latest[review.user.login if review.user else "somebody"] = review
    return tuple(ReviewFact(reviewer=login, state=one.state) for login, one in latest.items())


async def _author_may_write(client: ForgeClient, repo: str, login: str) -> bool | Unread:
    """Forgejo tells another's rights to repository admins only; but those who can be assigned are
    those who may write, and anybody may ask for them."""
    if not login:
        return False  # the account is gone
    try:
        permission = await client.collaborator_permission(repo, login)
        return permission.permission in _MAY_WRITE
    except ForgeForbidden as error:
        if login.lower() in {user.login.lower() for user in await client.assignees(repo)}:
            return True
        return Unread(
            f"Whether {login} may write could not be read ({error}):"
            " make the bot an admin of the repository, or list `verify.authors`."
        )


async def _ci(client: ForgeClient, repo: str, sha: str) -> str | Unread:
    combined = await client.combined_status(repo, sha)
    if combined.total_count > len(combined.statuses):
        return Unread("The commit has more CI contexts than Forgejo shows at once.")
    return ci_of(combined.statuses)


def ci_of(statuses: Sequence[CommitStatus]) -> str:
    """The worst state of the contexts that are not ours; "" where there are none."""
    states = {one.status for one in statuses if one.context != STATUS_CONTEXT}
    worst = next((state for state in _WORST_FIRST if state in states), "success")
    return worst if states else ""
