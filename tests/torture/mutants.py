"""fleetbot with one thing broken, each with the story that must show it from outside."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path

from torture.judge import Kind
from torture.story import (
    ORCHESTRATOR,
    Act,
    Blow,
    Bounds,
    Deed,
    Doing,
    Fault,
    Harm,
    Issue,
    Line,
    Need,
    Spell,
    Story,
    Strike,
)


@dataclass(frozen=True)
class Patch:
    """In the file (below the repository's root) `old`, which is there once, becomes `new`."""

    file: str
    old: str
    new: str


@dataclass(frozen=True)
class Mutant:
    """`without`: what is taken from the product in both, the mutant and the one that must pass, as
    it would mend by itself what the mutant breaks. `is_more`: too much for every `make test`."""

    name: str
    caught_as: Kind
    story: Story
    patches: tuple[Patch, ...]
    without: tuple[Patch, ...] = ()
    is_more: bool = False

    @property
    def broken(self) -> tuple[Patch, ...]:
        return (*self.without, *self.patches)


def archive(product: Path, target: Path, patches: tuple[Patch, ...]) -> Path:
    """The built plugin with the patches in it. Raises LookupError for one that does not fit.

    Bytecode of what is patched stays out: it would be taken for the source beside it.
    """
    wanted = {patch.file for patch in patches}
    stale = {f"{name}c" for name in wanted}
    with zipfile.ZipFile(product) as old, zipfile.ZipFile(target, "w") as new:
        for name in (name for name in old.namelist() if name not in stale):
            content = old.read(name)
            if name in wanted:
                content = _patched(content.decode(), name, patches).encode()
                wanted.remove(name)
            new.writestr(name, content)
    if wanted:
        raise LookupError(f"the plugin has no {', '.join(sorted(wanted))}")
    return target


def _patched(text: str, name: str, patches: tuple[Patch, ...]) -> str:
    for patch in patches:
        if patch.file == name:
            if text.count(patch.old) != 1:
                raise LookupError(f"{name} has {text.count(patch.old)} times: {patch.old}")
            text = text.replace(patch.old, patch.new)
    return text


def _story(
    name: str,
    *acts: Act,
    faults: tuple[Fault, ...] = (),
    deeds: tuple[Deed, ...] = (),
    needs: frozenset[Need] = frozenset(),
    idle: float = 0.0,
) -> Story:
    issues = tuple(Issue(f"{name}-{n}", act, 0.0, seed=0) for n, act in enumerate(acts, 1))
    bounds = Bounds(recover=25.0, idle=idle)
    return Story(name, 0, issues, faults, deeds, bounds, needs)


def _killed_after(line: Line, only: str) -> Strike:
    return Strike(0.0, 0.0, ORCHESTRATOR, Blow.KILL, after=(line, only))


_MESSAGE = r"^PUT \S+/send/m\.room\.message/"
_NO_RECONCILIATION = Patch(
    "fleetbot/services/reconcile.py",
    "shown = await self._repositories.tick()",
    "shown = [] if await self._repositories.tick() else []",
)
_FORGET_WORKER = _story("silent", Act.SILENT_ONCE)

MUTANTS = (
    Mutant(
        "outbox not in the transaction",
        Kind.LOST,
        _story(
            "outbox",
            Act.HONEST,
            faults=(_killed_after(Line.WORKER_ORCHESTRATOR, r"^GET \S+/receipts/"),),
        ),
        (
            Patch(
                "fleetbot/services/fleet.py",
                "self._last = self.store.submit(change)\n",
                "self._last = self.store.submit(replace(change, outbox=()))\n"
                "            later = partial(self.post, Change(outbox=change.outbox))\n"
                "            loop = asyncio.get_running_loop()\n"
                "            loop.call_later(3, lambda: asyncio.ensure_future(later()))\n",
            ),
        ),
    ),
    Mutant(
        "no fence",
        Kind.LOST,
        _story("fence", Act.LATE),
        (
            Patch(
                "fleetbot/domain/lookup.py",
                "if run.state is RunState.ENDED or task.run != run.id:",
                "if False:",
            ),
            Patch(
                "fleetbot/domain/decide.py",
                "began = () if run.state is RunState.RUNNING else "
                "_start(state, cmd.StartRun(run.id, run.agent))",
                "began = ()",
            ),
        ),
    ),
    Mutant(
        "verified from the agent's word",
        Kind.FALSE,
        _story("word", Act.LIES),
        (
            Patch(
                "fleetbot/domain/receipts.py",
                "    pull = facts.pull\n    if isinstance(pull, Unread):",
                "    return Verified()\n    pull = facts.pull\n    if isinstance(pull, Unread):",
            ),
        ),
    ),
    Mutant(
        "inbox without dedup",
        Kind.TWICE,
        _story(
            "inbox",
            faults=(_killed_after(Line.ORCHESTRATOR_FORGE, r"^POST \S+/issues$"),),
            deeds=(Deed(0.5, "inbox", Doing.ORDER, "Something new"),),
            idle=6.0,
        ),
        (
            Patch(
                "fleetbot/services/newtasks.py",
                "earlier = await self._fleet.store.arrival(name)",
                "earlier = None",
            ),
        ),
    ),
    Mutant(
        "lease never ended",
        Kind.LOST,
        _FORGET_WORKER,
        (
            Patch(
                "fleetbot/domain/outcome.py",
                "if state.leases.get(run.id, run.started_at + policy.lease_ms) < now:",
                "if False:",
            ),
        ),
        is_more=True,
    ),
    Mutant(
        "requeue forgets",
        Kind.LOST,
        _FORGET_WORKER,
        (
            Patch(
                "fleetbot/domain/outcome.py",
                "return (draft, Draft(draft.stream, again))",
                "return (draft,)",
            ),
        ),
        is_more=True,
    ),
    Mutant(
        "marker lookup skipped",
        Kind.TWICE,
        _story(
            "marker",
            Act.HONEST,
            faults=(
                Spell(
                    *(0.0, 30.0, Line.ORCHESTRATOR_FORGE, Harm.CUT),
                    only=r"^POST \S+/comments",
                    most=2,
                ),
            ),
        ),
        (
            Patch(
                "fleetbot/forge/client.py",
                "return existing or await self.create_comment(",
                "return await self.create_comment(",
            ),
        ),
        is_more=True,
    ),
    Mutant(
        "webhook answered before it is durable",
        Kind.LOST,
        _story("hook", Act.HONEST, faults=(_killed_after(Line.FORGE_ORCHESTRATOR, "^POST "),)),
        (
            Patch(
                "fleetbot/services/intake.py",
                "new = await self._fleet.store.keep(arrival)",
                "new = True\n        asyncio.get_running_loop().call_later(3, lambda: "
                "asyncio.ensure_future(self._fleet.store.keep(arrival)))",
            ),
        ),
        without=(_NO_RECONCILIATION,),
        is_more=True,
    ),
    Mutant(
        "reconciliation off",
        Kind.LOST,
        _story(
            "reconcile",
            Act.HONEST,
            faults=(Spell(0.0, 8.0, Line.FORGE_ORCHESTRATOR, Harm.DROP),),
        ),
        (_NO_RECONCILIATION,),
        is_more=True,
    ),
    Mutant(
        "messages without a name of their own",
        Kind.TWICE,
        _story(
            "names",
            Act.HONEST,
            faults=(_killed_after(Line.ORCHESTRATOR_HOMESERVER, _MESSAGE),),
        ),
        (
            Patch(
                "fleetbot/chat/speaking/link.py",
                'return "fleet-" + sha256("\\0".join(map(str, parts)).encode()).hexdigest()[:32]',
                'return "fleet-" + __import__("secrets").token_hex(16)',
            ),
        ),
        is_more=True,
    ),
    Mutant(
        "given up at the first refusal",
        Kind.LOST,
        _story(
            "patience",
            Act.HONEST,
            faults=(
                Spell(
                    *(0.0, 10.0, Line.ORCHESTRATOR_HOMESERVER, Harm.FAIL),
                    only=_MESSAGE,
                ),
            ),
        ),
        (
            Patch(
                "fleetbot/services/outbox.py",
                "def _later(self, due: Due, error: RetryLater) -> Change:\n"
                "        if self._is_over(due):",
                "def _later(self, due: Due, error: RetryLater) -> Change:\n        if True:",
            ),
        ),
        is_more=True,
    ),
    Mutant(
        "unknown taken for no",
        Kind.LOST,
        _story(
            "unknown",
            Act.HONEST,
            faults=(
                Spell(
                    *(0.0, 12.0, Line.ORCHESTRATOR_FORGE, Harm.FAIL), only=r"^GET \S+/pulls/\d+$"
                ),
            ),
        ),
        (
            Patch(
                "fleetbot/domain/receipts.py",
                "return Unknown(unread=(pull.why,), soon=pull.soon, checks=(ReceiptCheck.PULL,))",
                "return Refuted(reasons=(pull.why,))",
            ),
        ),
        is_more=True,
    ),
    Mutant(
        "an empty list lets everybody in",
        Kind.UNASKED,
        _story(
            "allowed",
            deeds=(Deed(0.5, "allowed", Doing.ORDER, "Something that nobody may ask for"),),
            needs=frozenset({Need.NOBODY_ORDERS}),
            idle=3.0,
        ),
        (
            Patch(
                "fleetbot/chat/commands/rights.py",
                "if allowed is not None:\n            return",
                "if allowed:\n            return",
            ),
            Patch(
                "fleetbot/chat/commands/rights.py",
                "if allowed is not None:\n            raise",
                "if allowed:\n            raise",
            ),
        ),
        is_more=True,
    ),
    Mutant(
        "CI that runs is green",
        Kind.FALSE,
        _story(
            "pending",
            Act.HONEST,
            deeds=(
                Deed(0.0, "pending-1", Doing.STATUS, "pending"),
                Deed(12.0, "pending-1", Doing.STATUS, "success"),
            ),
            needs=frozenset({Need.GREEN_CI}),
        ),
        (
            Patch(
                "fleetbot/domain/ci.py",
                "return CiFinding(CiState.PENDING, (*waits",
                "return CiFinding(CiState.GREEN, (*waits",
            ),
        ),
        is_more=True,
    ),
)
