"""Cards, word for word: true whenever they are read, and harmless whatever they are about."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetbot.chat.words.card import card
from fleetbot.domain import commands as cmd
from fleetbot.domain.model import Policy
from fleetbot.domain.pulls import PullState
from fleetbot.domain.usage import DAY_MS, Usage
from tests.chat.markup import Markup, mentions
from tests.domain import builders as a
from tests.domain.builders import MINUTE, World


def shown(world: World) -> list[str]:
    return card(world.state, world.task(), world.now, world.policy).text.split("\n")


COSTLY = cmd.FileReceipt(a.R1, a.A1, a.a_receipt(usage=Usage(cost_usd=0.4)))
MERGED = a.a_pull(state=PullState.MERGED, merged_by="bob", merged_as="c0ffee1234567")
NO_ROUNDS = Policy(max_review_rounds=0, max_ci_rounds=0, max_conflict_rounds=0)
CARDS: dict[str, tuple[Callable[[], World], list[str]]] = {
    "waiting": (
        a.created,
        [
            "⏳ Waiting · team/app#1 Mend the door",
            "claude-1 can take it any moment now. Since 22:13 UTC.",
        ],
    ),
    "asked for again: no attempt has failed": (
        lambda: a.cancelled().given(cmd.RetryTask(a.T1)),
        [
            "⏳ Waiting · team/app#1 Mend the door",
            "claude-1 can take it any moment now. Since 22:13 UTC.",
        ],
    ),
    "waiting for an agent that nobody has": (
        lambda: a.World().given(a.a_task()),
        [
            "⏳ Waiting · team/app#1 Mend the door",
            "No agent is registered yet. Since 22:13 UTC.",
            "Start a runner.",
        ],
    ),
    "assigned": (
        a.assigned,
        ["📋 Assigned · team/app#1 Mend the door", "claude-1 since 22:13 UTC"],
    ),
    "running": (
        a.running,
        ["⚙️ Running · team/app#1 Mend the door", "claude-1 since 22:13 UTC"],
    ),
    "asking": (
        lambda: a.running().given(a.ask(), a.ask("q2", title="And push?")),
        [
            "⚙️ Running · team/app#1 Mend the door",
            "claude-1 since 22:13 UTC",
            "claude-1 asks, and waits for an answer."
            " Since 22:13 UTC, until 23:13 UTC at the latest.",
            "> Run `make`?",
            "Answer it; otherwise it is denied.",
            "❓ And push?, until 23:13 UTC",
        ],
    ),
    "checking": (
        a.verifying,
        [
            "⚙️ Running · team/app#1 Mend the door",
            "claude-1 since 22:13 UTC",
            "PR #7: being checked against Forgejo, since 22:13 UTC",
        ],
    ),
    "refuted": (
        lambda: a.verifying().given(a.refuted()),
        [
            "⚙️ Running · team/app#1 Mend the door",
            "claude-1 since 22:13 UTC",
            "PR #7: it does not hold: Empty diff.",
        ],
    ),
    "completed": (
        lambda: a.running().later(12 * MINUTE).given(COSTLY, a.verified()),
        [
            "✅ Done · team/app#1 Mend the door",
            "claude-1, 12 min · $0.40",
            "PR #7: checked against Forgejo, and it holds",
        ],
    ),
    "reviewed": (
        lambda: a.answered().given(
            a.follow(
                a.red(approved_by=("eve",), reviews=(a.review(13, by="joe", may_write=False),))
            )
        ),
        [
            "⏳ Waiting · team/app#1 Mend the door",
            "🔁 Round 2, for CI · PR #7",
            "🔎 Approved by eve · changes asked by joe, without write access",
            "🔎 CI red: test / unit",
            "claude-1 can take it any moment now. Since 22:13 UTC.",
        ],
    ),
    "two who may not write ask for changes": (
        lambda: a.completed().given(
            a.follow(
                a.a_pull(
                    reviews=tuple(
                        a.review(number, by=who, may_write=False)
                        for number, who in ((13, "joe"), (14, "kim"))
                    )
                )
            )
        ),
        [
            "✅ Done · team/app#1 Mend the door",
            "claude-1, 1 s",
            "PR #7: checked against Forgejo, and it holds",
            "🔎 Changes asked by joe, kim, without write access",
            "joe asks for changes, and may not write to the repository. Since 14 Nov, 22:13 UTC.",
            "Say how it goes on: !fleet again team/app#1 …, or !fleet land team/app#1; "
            "or close it on Forgejo.",
        ],
    ),
    "in a round": (
        lambda: a.completed().given(a.follow(a.a_review()), a.dispatch(run=a.R2), a.start(a.R2)),
        [
            "⚙️ Running · team/app#1 Mend the door",
            "claude-1 since 22:13 UTC",
            "🔁 Round 1, for review · PR #7",
            "🔎 Changes asked by bob",
        ],
    ),
    "red, and not by us": (
        lambda: a.completed().given(a.follow(a.red("lint", red_on_base=("lint",)))),
        [
            "✅ Done · team/app#1 Mend the door",
            "claude-1, 1 s",
            "PR #7: checked against Forgejo, and it holds",
            "🔎 Red on main too, so not ours: lint",
        ],
    ),
    "a draft": (
        lambda: a.completed().given(a.follow(a.a_pull(draft=True, mergeable=None))),
        [
            "✅ Done · team/app#1 Mend the door",
            "claude-1, 1 s",
            "PR #7: checked against Forgejo, and it holds",
            "🔎 A draft",
        ],
    ),
    "asking how it goes on": (
        a.asking,
        [
            "✅ Done · team/app#1 Mend the door",
            "claude-1, 1 s",
            "PR #7: checked against Forgejo, and it holds",
            "🔎 CI red: test / unit",
            "There are to be no rounds for CI. It is still red: test / unit."
            " Since 14 Nov, 22:13 UTC.",
            "Say how it goes on: !fleet again team/app#1 …, or !fleet land team/app#1;"
            " or close it on Forgejo.",
        ],
    ),
    "merged": (
        lambda: a.completed().given(a.follow(MERGED)),
        [
            "🎉 Merged · team/app#1 Mend the door",
            "claude-1, 1 s",
            "PR #7: checked against Forgejo, and it holds",
            "🔎 Merged by bob, as c0ffee1234.",
        ],
    ),
    "closed": (
        lambda: a.completed().given(a.follow(a.a_pull(state=PullState.CLOSED))),
        [
            "✅ Done · team/app#1 Mend the door",
            "claude-1, 1 s",
            "PR #7: checked against Forgejo, and it holds",
            "🔎 Closed without being merged.",
        ],
    ),
    "failed": (
        a.failed,
        [
            "❌ Failed · team/app#1 Mend the door",
            "claude-1, 1 s",
            "It failed: the agent ended without changing anything. Since 14 Nov, 22:13 UTC.",
            "Say in the issue what should change, then retry."
            " To try again: !fleet retry team/app#1.",
        ],
    ),
    "cancelled": (
        a.cancelled,
        [
            "✖️ Cancelled · team/app#1 Mend the door",
            "claude-1, 1 s",
            "cancelled by a person, 14 Nov, 22:13 UTC",
        ],
    ),
}


@pytest.mark.parametrize(("make", "expected"), CARDS.values(), ids=CARDS)
def test_a_card_says_where_the_task_stands(make: Callable[[], World], expected: list[str]) -> None:
    assert shown(make()) == expected


def test_a_card_as_html() -> None:
    world = a.verifying()
    assert card(world.state, world.task(), world.now, world.policy).html == (
        '⚙️ <b>Running</b> · <b><a href="https://forge.example/team/app/issues/1">team/app#1</a>'
        "</b> Mend the door<br><b>claude-1</b> since 22:13 UTC"
        '<br><a href="https://forge.example/team/app/pulls/7">PR #7</a>:'
        " being checked against Forgejo, since 22:13 UTC"
    )


@pytest.mark.parametrize(
    "make", [a.created, a.running, a.verifying, a.failed, a.completed, a.asking]
)
def test_nothing_of_a_card_changes_as_time_passes(make: Callable[[], World]) -> None:
    world = make()
    before = shown(world)
    world.now += 5 * MINUTE
    assert shown(world) == before


def test_on_another_day_it_says_which_one_that_was() -> None:
    world = a.running()
    world.now += DAY_MS
    assert shown(world)[1] == "claude-1 since 14 Nov, 22:13 UTC"


@given(hostile=st.text(max_size=300))
def test_no_text_of_an_issue_or_agent_becomes_a_tag_or_mention(hostile: str) -> None:
    bait = f"{hostile}</b><img src=x>@room @ann:example.org {hostile}"
    world = a.World().given(a.an_agent(), a.a_task(title=bait), a.dispatch(), a.start())
    world.given(a.ask(title=bait), a.file(), a.refuted(a.C1, bait), a.fail(detail=bait))
    body = card(world.state, world.task(), world.now, world.policy)
    assert not mentions(Markup(body.html).text)
    assert not mentions(body.text)
    assert body.mentions == ()


@given(hostile=st.text(max_size=100))
def test_nor_does_what_forgejo_names(hostile: str) -> None:
    """Logins, contexts and branches are names that somebody else has chosen."""
    bait = f"{hostile}`</b><img src=x>@room @ann:example.org {hostile}"
    reviews = (a.review(1, by=bait), a.review(2, by=bait, may_write=False))
    view = a.red(bait, "lint", base=bait, red_on_base=("lint",), reviews=reviews, mergeable=False)
    world = a.completed(World(policy=NO_ROUNDS)).given(a.follow(view))
    for _ in ("open", "merged"):
        body = card(world.state, world.task(), world.now, world.policy)
        assert not mentions(Markup(body.html).text)
        assert not mentions(body.text)
        world.given(a.follow(a.a_pull(state=PullState.MERGED, merged_by=bait)))
