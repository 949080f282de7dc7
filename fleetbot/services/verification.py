"""Receipts are checked here: facts are read from Forgejo, the domain judges them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial

from msgspec.structs import replace

from fleetbot.domain.commands import Conclude
from fleetbot.domain.model import FiledReceipt, ReceiptCheck, ReceiptId, Task, Verdict
from fleetbot.domain.receipts import Earlier, Expectation, Finding, Rules, Unknown, verify
from fleetbot.forge.client import ForgeClient
from fleetbot.forge.errors import ForgeError
from fleetbot.logs import about, log_of
from fleetbot.services.abreast import Piece, abreast
from fleetbot.services.briefs import kept_brief
from fleetbot.services.facts import gather
from fleetbot.services.fleet import Context, Fleet
from fleetbot.services.off_limits import off_limits
from fleetbot.services.subjects import of_run
from fleetbot.store.interface import StoreUnavailable

log = log_of("fleetbot.verification")

Look = Callable[[Task], Awaitable[object]]


class Verifier:
    """Checks what is pending, at most `concurrency` at once; `on_poke` wakes who ticks.

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
        self._concurrency = concurrency
        self._checking: set[ReceiptId] = set()
        self._poked: set[ReceiptId] = set()
        self._wake = asyncio.Event()

    def poke(self, repo: str, pull_number: int) -> None:
        """Something happened to a pull request: a receipt that points at it is due now."""
        found = {
            filed.receipt.id
            for filed in self._pending()
            if filed.receipt.pull_request == pull_number
            and self._fleet.state.places.same(self._fleet.state.tasks[filed.task].repo, repo)
        }
        if found:
            self._poked |= found
            self.wake()
            self._on_poke()

    def wake(self) -> None:
        """Have a tick that waits for a slow check look for others that are due."""
        self._wake.set()

    def next_due(self) -> int | None:
        """When the next check is due (epoch ms, may be past); None when nothing is pending."""
        return min((self._due_at(filed) for filed in self._pending()), default=None)

    async def tick(self) -> None:
        """Check until nothing is due; a check that hangs holds up no other.

        Raises `StoreUnavailable` if a finding cannot be kept; what is in hand then is checked again
        later.
        """
        await abreast(self._take, self._wake)

    async def _take(self) -> list[Piece]:
        pieces = []
        for filed in self._due()[: self._concurrency - len(self._checking)]:
            receipt = filed.receipt.id
            self._checking.add(receipt)
            let_go = partial(self._checking.discard, receipt)
            pieces.append(Piece(self._check(filed), let_go))
        return pieces

    def _due(self) -> list[FiledReceipt]:
        """What is due and in nobody's hand, the longest due first."""
        now = self._fleet.clock()
        due = [
            filed
            for filed in self._pending()
            if self._due_at(filed) <= now and filed.receipt.id not in self._checking
        ]
        return sorted(due, key=self._due_at)

    def _pending(self) -> list[FiledReceipt]:
        """Of runs that have not ended; after a cancellation nobody waits for the finding."""
        receipts = self._fleet.state.receipts
        filed = [receipts[run.receipt] for run in self._fleet.state.live_runs() if run.receipt]
        return [one for one in filed if one.verdict is Verdict.PENDING]

    def _due_at(self, filed: FiledReceipt) -> int:
        """Where it is further away than any pause, the clock was set back."""
        longest = self._fleet.clock() + self._fleet.policy.recheck_cap_ms
        is_due = filed.receipt.id in self._poked or filed.check_at > longest
        return 0 if is_due else filed.check_at

    async def _check(self, filed: FiledReceipt) -> None:
        receipt = filed.receipt.id
        self._poked.discard(receipt)
        with about(**of_run(self._fleet.state, filed.run)):
            finding = await self._find(filed)
            context = Context(actor="verifier", cause=f"receipt:{receipt}")
            await self._fleet.commit(Conclude(receipt, finding), context)

    async def _find(self, filed: FiledReceipt) -> Finding:
        """The finding; an error of ours is no verdict, it is not knowing."""
        try:
            await self._look(self._fleet.state.tasks[filed.task])
            expected = await self._expectation(filed)
            rules = await self._rules_for(self._fleet.state.tasks[filed.task])
            facts = await gather(self._client, expected, filed.receipt, rules)
            return verify(filed.receipt, expected, facts, rules)
        except StoreUnavailable:
            raise
        except ForgeError as error:
            unread = f"The issue could not be read: {error}."
            return Unknown(unread=(unread,), checks=(ReceiptCheck.ISSUE,))
        except Exception as error:
            log.exception("the check of receipt %s broke", filed.receipt.id)
            unread = f"The check broke: {type(error).__name__}."
            return Unknown(unread=(unread,), checks=(ReceiptCheck.BROKEN,))

    async def _rules_for(self, task: Task) -> Rules:
        forbidden = await off_limits(self._fleet, task, self._rules.forbidden_paths)
        return replace(self._rules, forbidden_paths=forbidden)

    async def _expectation(self, filed: FiledReceipt) -> Expectation:
        task = self._fleet.state.tasks[filed.task]
        before = await self._fleet.store.receipts_of(task.id)
        brief = await kept_brief(self._fleet, task)
        known = self._fleet.state.places.of(task)
        return Expectation(
            repo=task.repo,
            repo_id=task.repo_id,
            former=known.former,
            issue=task.issue,
            issue_url=task.url,
            base=task.base,
            base_before=task.base_before,
            branch=self._fleet.state.runs[filed.run].branch,
            not_before=task.first_assigned_at,
            verified=tuple(_earlier(one) for one in before if one.verdict is Verdict.VERIFIED),
            round=brief.kinds if brief else (),
            threads=tuple(thread.id for thread in brief.threads) if brief else (),
        )


def _earlier(filed: FiledReceipt) -> Earlier:
    return Earlier(head=filed.receipt.head, tree=filed.evidence.tree if filed.evidence else "")
