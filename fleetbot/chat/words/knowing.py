"""What people are told about who is who: pure. Times are epoch milliseconds."""

from __future__ import annotations

from fleetbot.chat.words.rich import Rich, bold, code, rows, say
from fleetbot.chat.words.wording import until
from fleetbot.store.identities import Claim


def how_to_prove(claim: Claim, repo: str, now: int) -> Rich:
    """`repo`: one where it can be proven; empty where any will do."""
    where = f"any issue of {repo}" if repo else "any issue of the fleet's repositories"
    return rows(
        say("🪪 To show that ", bold(claim.login), " on Forgejo is you, comment from there"),
        say(f"on {where}, with nothing but: ", code(claim.code)),
        say("I notice by myself; else say ", code(f"!fleet iam {claim.login}"), " again."),
        f"The code lapses {until(claim.expires_at, now)}.",
    )


def proven(login: str, name: str) -> Rich:
    """`name`: what the person is called in Matrix."""
    return rows(
        say("🪪 ", bold(login), " on Forgejo is ", bold(name), " here."),
        "From now on you are the one who is told of what is yours.",
    )


def known(login: str) -> Rich:
    return say("🪪 I know you as ", bold(login), " on Forgejo already.")
