"""The steps of connecting a repository, and how each of them is: pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from enum import StrEnum

from fleetbot.domain.ci import OWN_CONTEXT
from fleetbot.domain.wording import span
from fleetbot.forge import errors as forge
from fleetbot.forge.exposure import able, is_open
from fleetbot.forge.keeping_calls import Hook
from fleetbot.services.findings import Finding, Mark
from fleetbot.services.setup.facts import Facts

_RUN_EVENTS = ("action_run_failure", "action_run_recover", "action_run_success")
EVENTS = (
    "issues",
    "pull_request",
    "push",
    *_RUN_EVENTS,
)  # an older server takes no notice of the last
_NEEDED_EVENTS = frozenset(
    {
        "push",
        "issues",
        "issue_label",
        "issue_assign",
        "pull_request",
        "pull_request_comment",
        "pull_request_review_approved",
        "pull_request_review_rejected",
        "pull_request_sync",
    }
)
SCOPES = ("read:user", "write:issue", "write:repository")
_IMPLIED = {f"read:{area}": f"write:{area}" for area in ("user", "issue", "repository")}


class Step(StrEnum):
    """In their order."""

    ACCOUNT = "account"
    LABELS = "labels"
    ROOM = "room"
    WEBHOOK = "webhook"
    BRANCH = "branch"
    RECEIPT = "receipt"


def check(facts: Facts) -> list[Finding]:
    """How each step is; of a repository that the bot cannot use, why."""
    account = _account(facts)
    if account.mark is Mark.BAD:
        return [account]
    return [account, *(look(facts) for look in _CHECKS.values())]


# the bot's account


def _account(facts: Facts) -> Finding:
    if lacking := _lacking(facts):
        says = f"the bot's token lacks {_codes(lacking)}"
        return _bad(Step.ACCOUNT, says, _new_token(facts))
    if facts.denied or facts.repo is None:
        return _bad(Step.ACCOUNT, *_denied(facts))
    rights = facts.repo.permissions
    if facts.strangers:
        return _to_invite(facts)
    if facts.repo.archived:
        return _bad(Step.ACCOUNT, "the repository is archived", f"{_page(facts)}/settings")
    if not facts.repo.keeps_issues:
        says = "the repository's issues are switched off"
        return _bad(Step.ACCOUNT, says, f"Switch them on: {_page(facts)}/settings")
    if rights is None or not rights.push:
        return _bad(Step.ACCOUNT, f"`{facts.bot}` may read it, and must write", _invite(facts))
    as_what = "is its administrator" if rights.admin else "may write"
    return _well(Step.ACCOUNT, f"`{facts.bot}` {as_what}")


def _to_invite(facts: Facts) -> Finding:
    names = _codes(facts.strangers)
    says = f"{names} must write there, and may not"
    return Finding(Step.ACCOUNT, Mark.BAD, says, offer=f"add {names} as collaborators, to write")


def _denied(facts: Facts) -> tuple[str, str]:
    match facts.denied:
        case forge.Unauthorized():
            return "Forgejo does not take the bot's token", _new_token(facts)
        case forge.ForgeForbidden() as refused:
            return f"the bot's token may not do this: {refused.message}", _new_token(facts)
    says = f"Forgejo shows no `{facts.name}` to `{facts.bot}`"
    return says, f"Is it spelt right? Then {_invite(facts)[0].lower()}{_invite(facts)[1:]}"


def _lacking(facts: Facts) -> list[str]:
    if facts.scopes is None or "all" in facts.scopes:
        return []
    return [s for s in SCOPES if s not in facts.scopes and _IMPLIED.get(s) not in facts.scopes]


def _invite(facts: Facts) -> str:
    page = f"{facts.site}/{facts.name}/settings/collaboration"
    return f"Add `{facts.bot}` as a collaborator with “Write”: {page}"


def _new_token(facts: Facts) -> str:
    page = f"{facts.site}/user/settings/applications"
    return f"Signed in as the bot, make one with {_codes(SCOPES)} at {page}; it is `forge.token`"


# labels, and the room


def _labels(facts: Facts) -> Finding:
    if not facts.labels:
        return _well(Step.LABELS, "they are all there")
    names = _codes(spec.name for spec in facts.labels)
    return Finding(Step.LABELS, Mark.WARN, f"there is no {names}", offer=f"make {names}")


def _room(facts: Facts) -> Finding:
    place = facts.place
    if place.is_listed and place.is_heard:
        means = " and `#12` is one of its issues" if _means(facts) else ""
        return _well(Step.ROOM, f"this room hears of it{means}")
    says = "this room does not hear of it" if place.is_listed else "the fleet does not work on it"
    wanted = "" if place.is_listed else "name it in `forge.repositories`, and "
    offer = f"{wanted}have this room hear of it (`rooms`), in the plugin's configuration"
    return Finding(Step.ROOM, Mark.BAD, says, offer=offer)


def _means(facts: Facts) -> bool:
    default = facts.place.default_repo
    return default is not None and default.lower() == facts.name.lower()


# the webhook


def _webhook(facts: Facts) -> Finding:
    if not facts.place.is_listed:
        return Finding(Step.WEBHOOK, Mark.WARN, "looked at once the fleet works on the repository")
    if facts.hooks is None:
        return _unseen_hook(facts)
    if not our_hooks(facts):
        return _to_make("there is none to this bot", "make one")
    if wrong := _wrong(facts):
        return _to_make(" and ".join(wrong), "make it anew")
    if facts.is_refusing:
        return _to_make("its deliveries come with a wrong signature", "make it anew")
    if facts.heard_at:
        return _well(Step.WEBHOOK, _heard(facts))
    return Finding(
        Step.WEBHOOK,
        Mark.WARN,
        "it is there, and nothing has come through it yet",
        _not_arriving(facts),
        offer="have Forgejo send a test delivery",
    )


def our_hooks(facts: Facts) -> list[Hook]:
    """Those that deliver to us."""
    return [hook for hook in facts.hooks or () if hook.config.get("url") == facts.hook_url]


def is_sound(facts: Facts) -> bool:
    """Whether one is there to which nothing has to be done."""
    return bool(our_hooks(facts)) and not _wrong(facts) and not facts.is_refusing


def _wrong(facts: Facts) -> list[str]:
    """What is wrong with the best of them."""
    needed = _NEEDED_EVENTS | {*_RUN_EVENTS} if facts.has_run_events else _NEEDED_EVENTS
    return min((list(_faults(hook, needed)) for hook in our_hooks(facts)), key=len)


def _unseen_hook(facts: Facts) -> Finding:
    if facts.is_refusing:
        says = "deliveries come with a wrong signature"
        return Finding(Step.WEBHOOK, Mark.BAD, says, tuple(_by_hand(facts)))
    if facts.heard_at:
        return _well(Step.WEBHOOK, _heard(facts))
    says = "nothing has come yet, and only administrators of the repository may look"
    return Finding(Step.WEBHOOK, Mark.BAD, says, tuple(_by_hand(facts)))


def _to_make(says: str, what: str) -> Finding:
    told = "issues, pull requests, pushes and runs of Actions"
    offer = f"{what}, for {told}, and have Forgejo send a test delivery"
    return Finding(Step.WEBHOOK, Mark.BAD, says, offer=offer)


def _heard(facts: Facts) -> str:
    return f"deliveries arrive, the last {span(facts.now - facts.heard_at)} ago"


def _faults(hook: Hook, needed: frozenset[str]) -> Iterator[str]:
    if not hook.active:
        yield "it is switched off"
    if missing := needed - set(hook.events):
        yield f"it does not tell of {_codes(sorted(missing))}"
    if hook.config.get("content_type") != "json":
        yield "it does not send `application/json`"


def _not_arriving(facts: Facts) -> tuple[str, ...]:
    return (
        f"Look at *recent deliveries*: {_page(facts)}/settings/hooks",
        f"Forgejo must reach `{facts.hook_url}`, and allow it in `[webhook] ALLOWED_HOST_LIST`",
    )


def _by_hand(facts: Facts) -> Iterator[str]:
    """What an administrator does, in the browser or by the API. The secret is never said."""
    yield f"An administrator adds it: {_page(facts)}/settings/hooks/forgejo/new"
    yield f"Target URL `{facts.hook_url}`, POST, `application/json`, active"
    yield "Secret: `forge.webhook_secret` of the plugin's settings; it is not said in a room"
    yield "Trigger: custom events: push, all of issues, of pull requests and of action runs"
    yield f"Or make `{facts.bot}` an administrator there, and I do it"
    yield "Then press “Test delivery” on its page, and say `!fleet setup again`"


# the branch


def _branch(facts: Facts) -> Finding:
    branch, page = facts.branch, f"{_page(facts)}/settings/branches"
    if branch is None:
        says = "the repository is empty: there is nothing to begin from"
        return _bad(Step.BRANCH, says, "Push a first commit")
    if not branch.protected:
        says = is_open(branch)
        if facts.is_admin:
            offer = f"protect `{branch.name}`: what comes there is merged, not pushed"
            return Finding(Step.BRANCH, Mark.WARN, says, offer=offer)
        return Finding(Step.BRANCH, Mark.WARN, says, (f"Add a rule for it: {page}",))
    if alone := able(branch, facts.rule, facts.bot, facts.accounts):
        remedy = f"Name those who may, in the rule for `{branch.name}`: {page}"
        return Finding(Step.BRANCH, Mark.WARN, "; ".join(alone), (remedy,))
    return _well(Step.BRANCH, f"`{branch.name}` is protected, and the fleet cannot merge alone")


def _receipt(facts: Facts) -> Finding:
    branch = facts.branch
    if branch is None or not branch.protected:
        return Finding(Step.RECEIPT, Mark.WARN, "needs a protected branch")
    if branch.enable_status_check and OWN_CONTEXT in branch.status_check_contexts:
        return _well(Step.RECEIPT, f"a merge needs a green `{OWN_CONTEXT}`")
    says = f"a merge does not need `{OWN_CONTEXT}`"
    if facts.is_admin:
        offer = (
            f"require it for every merge into `{branch.name}`, also of people's pull requests, "
            "which have no such status"
        )
        return Finding(Step.RECEIPT, Mark.WARN, says, offer=offer)
    page = f"{_page(facts)}/settings/branches"
    remedy = f"Where only agents' work is merged: “Enable status check”, `{OWN_CONTEXT}`: {page}"
    return Finding(Step.RECEIPT, Mark.WARN, says, (remedy,))


_CHECKS: Mapping[Step, Callable[[Facts], Finding]] = {
    Step.LABELS: _labels,
    Step.ROOM: _room,
    Step.WEBHOOK: _webhook,
    Step.BRANCH: _branch,
    Step.RECEIPT: _receipt,
}


def _page(facts: Facts) -> str:
    return f"{facts.site}/{facts.name}"


def _codes(words: Iterable[str]) -> str:
    return ", ".join(f"`{word}`" for word in words)


def _well(step: Step, says: str) -> Finding:
    return Finding(step, Mark.WELL, says)


def _bad(step: Step, says: str, *remedy: str) -> Finding:
    return Finding(step, Mark.BAD, says, remedy)
