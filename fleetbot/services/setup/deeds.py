"""What setup does after a yes, and how it takes that back."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

import msgspec
from msgspec.structs import replace

from fleetbot.domain.ci import OWN_CONTEXT
from fleetbot.domain.errors import Conflict
from fleetbot.forge.client import ForgeClient
from fleetbot.services.setup.facts import Facts
from fleetbot.services.setup.mapping import Config, Edit, Written, delist, enlist, written
from fleetbot.services.setup.steps import EVENTS, Step, is_sound, our_hooks

_ARRIVES_WITHIN = 5.0  # seconds; Forgejo delivers from a queue

# Has the configuration changed soon. Raises FleetError where it would not be valid; then, nothing.
Amend = Callable[[Edit], Awaitable[None]]

# Waits for a delivery of a repository, by its id, for so many seconds.
Arrives = Callable[[int, float], Awaitable[object]]


class Made(msgspec.Struct, frozen=True, omit_defaults=True):
    """What setup has made, so that it alone is taken back: the ids of labels by name, the id of a
    hook, the name of a rule, that of the rule with our context, and what it has written; the logins
    of collaborators."""

    members: tuple[str, ...] = ()
    labels: dict[str, int] = {}
    hook: int = 0
    rule: str = ""
    receipt: str = ""
    written: Written = Written()

    def of(self, step: Step) -> str:
        """What there is to take back of a step, in words; "" for nothing."""
        match step:
            case Step.ACCOUNT if self.members:
                names = ", ".join(f"`{login}`" for login in self.members)
                return f"take {names} off the collaborators"
            case Step.LABELS if self.labels:
                names = ", ".join(f"`{name}`" for name in self.labels)
                return f"delete the labels {names}, from issues that carry them, too"
            case Step.ROOM if self.written != Written():
                return "take out of the configuration what I have written there"
            case Step.WEBHOOK if self.hook:
                return "delete the webhook"
            case Step.BRANCH if self.rule:
                return f"delete the rule for `{self.rule}`"
            case Step.RECEIPT if self.receipt:
                return f"take `{OWN_CONTEXT}` out of the rule for `{self.receipt}`"
        return ""


Keep = Callable[[Made], Awaitable[None]]


class Deeds:
    """Each may be done twice. Raises the errors of the client; what was made before one of them is
    given to `keep`, so that it can be taken back."""

    def __init__(
        self, client: ForgeClient, arrives: Arrives, amend: Amend, hook_url: str, secret: str
    ) -> None:
        self._client = client
        self._arrives = arrives
        self._amend = amend
        self._hook_url = hook_url
        self._secret = secret

    async def do(self, step: Step, facts: Facts, room: str, made: Made, keep: Keep) -> Made:
        match step:
            case Step.ACCOUNT:
                return await self._invited(facts, made, keep)
            case Step.LABELS:
                return await self._labelled(facts, made, keep)
            case Step.ROOM:
                return replace(made, written=await self._enlisted(room, facts.name))
            case Step.WEBHOOK:
                return await self._hooked(facts, made, keep)
            case Step.BRANCH:
                branch = _protectable(facts)
                rule = await self._client.protect(facts.name, branch, [])
                return replace(made, rule=rule.rule_name)
            case Step.RECEIPT:
                return replace(made, receipt=await self._required(facts))
        raise Conflict("That is not for me to do.")

    async def undo(self, step: Step, facts: Facts, room: str, made: Made, keep: Keep) -> Made:
        match step:
            case Step.ACCOUNT:
                return await self._uninvited(facts, made, keep)
            case Step.LABELS:
                return await self._unlabelled(facts, made, keep)
            case Step.ROOM:
                await self._amend(partial(delist, room=room, repo=facts.name, what=made.written))
                return replace(made, written=Written())
            case Step.WEBHOOK:
                await self._client.delete_hook(facts.name, made.hook)
                return replace(made, hook=0)
            case Step.BRANCH:
                await self._client.unprotect(facts.name, made.rule)
                return replace(made, rule="")
            case Step.RECEIPT:
                await self._freed(facts, made.receipt)
                return replace(made, receipt="")
        raise Conflict("There is nothing to take back.")

    async def _invited(self, facts: Facts, made: Made, keep: Keep) -> Made:
        for login in facts.strangers:
            await self._client.add_collaborator(facts.name, login, "write")
            made = replace(made, members=(*made.members, login))
            await keep(made)
        return made

    async def _uninvited(self, facts: Facts, made: Made, keep: Keep) -> Made:
        for login in made.members:
            await self._client.remove_collaborator(facts.name, login)
            made = replace(made, members=tuple(one for one in made.members if one != login))
            await keep(made)
        return made

    async def _labelled(self, facts: Facts, made: Made, keep: Keep) -> Made:
        for spec in facts.labels:
            label = (await self._client.ensure_labels(facts.name, [spec]))[spec.name]
            made = replace(made, labels={**made.labels, spec.name: label.id})
            await keep(made)
        return made

    async def _unlabelled(self, facts: Facts, made: Made, keep: Keep) -> Made:
        for name, label in made.labels.items():
            await self._client.delete_label(facts.name, label)
            left = {its: id for its, id in made.labels.items() if its != name}
            made = replace(made, labels=left)
            await keep(made)
        return made

    async def _enlisted(self, room: str, repo: str) -> Written:
        new: list[Written] = []

        def edit(config: Config) -> None:
            new.append(written(config, room, repo))
            enlist(config, room, repo)

        await self._amend(edit)
        return new[0]

    async def _hooked(self, facts: Facts, made: Made, keep: Keep) -> Made:
        """Have a hook that is as it should be, and try it; one that is new is remembered."""
        if not is_sound(facts):
            for hook in our_hooks(facts):
                await self._client.delete_hook(facts.name, hook.id)
            new = await self._client.create_hook(facts.name, self._hook_url, self._secret, EVENTS)
            made = replace(made, hook=new.id)
            await keep(made)
        tried = made.hook if not is_sound(facts) else our_hooks(facts)[0].id
        await self._client.test_hook(facts.name, tried)
        if facts.repo:
            await self._arrives(facts.repo.id, _ARRIVES_WITHIN)
        return made

    async def _required(self, facts: Facts) -> str:
        branch, rule = facts.branch, facts.rule
        if branch is None or rule is None:
            raise Conflict("Only an administrator of the repository can do that.")
        others = rule.status_check_contexts if rule.enable_status_check else ()
        await self._client.require(facts.name, rule.rule_name, [*others, OWN_CONTEXT])
        return rule.rule_name

    async def _freed(self, facts: Facts, name: str) -> None:
        rule = await self._client.protection(facts.name, name)
        if rule is not None:
            others = [one for one in rule.status_check_contexts if one != OWN_CONTEXT]
            await self._client.require(facts.name, name, others)


def _protectable(facts: Facts) -> str:
    if facts.branch is None:
        raise Conflict("The repository is empty: there is no branch to protect.")
    return facts.branch.name
