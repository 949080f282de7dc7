"""What accounts of the fleet could do to a branch by themselves, and how that is mended: pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from fleetbot.forge.git_models import Branch
from fleetbot.forge.keeping_calls import Protection


def is_open(branch: Branch) -> str:
    """Of one that is not protected; Forgejo says of that that nobody may push, which is not so."""
    return f"`{branch.name}` is open: whoever may write can push to it, agents' accounts too"


def able(
    branch: Branch, rule: Protection | None, asker: str, accounts: Sequence[str] = ()
) -> list[str]:
    """What each of them could do to a protected branch alone, as far as is told.

    `rule` is shown to administrators only; without it only `asker`, who was shown the branch, is
    known of. Where approvals are needed, nobody merges alone.
    """
    if rule is None:
        pushers = [asker] if branch.user_can_push else []
        mergers = [asker] if branch.user_can_merge else []
    else:
        fleet = [asker, *accounts]
        pushers = _among(fleet, rule.push_whitelist_usernames, rule.enable_push_whitelist)
        pushers = pushers if rule.enable_push else []
        mergers = _among(fleet, rule.merge_whitelist_usernames, rule.enable_merge_whitelist)
    if max(branch.required_approvals, rule.required_approvals if rule else 0):
        mergers = []
    found = []
    if pushers:
        found.append(f"{_codes(pushers)} could push to `{branch.name}` alone")
    if mergers:
        found.append(f"{_codes(mergers)} could merge into `{branch.name}` alone")
    return found


def exposed(
    branch: Branch,
    rule: Protection | None,
    asker: str,
    accounts: Sequence[str] = (),
    *,
    lands: bool = False,
) -> list[str]:
    """All of it; `lands`: what is verified is merged by itself there, so that the bot may."""
    if not branch.protected:
        return [is_open(branch)]
    found = able(branch, rule, asker, accounts)
    return [one for one in found if not (lands and "could merge" in one)]


def remedy(site: str, repo: str, branch: str) -> str:
    """The clicks."""
    return (
        f"In {site}/{repo}/settings/branches, the rule for `{branch}` (*Add new rule* where there "
        "is none): *Disable push*, or *Whitelist restricted push* with people only; and *Required "
        "approvals* 1 or more, or *Whitelist for merging* with people only"
    )


def _among(fleet: Iterable[str], listed: Iterable[str], counts: bool) -> list[str]:
    """Of the fleet's accounts those on a whitelist; all where there is none."""
    known = {login.lower() for login in listed}
    return [login for login in dict.fromkeys(fleet) if not counts or login.lower() in known]


def _codes(words: Iterable[str]) -> str:
    return ", ".join(f"`{word}`" for word in words)
