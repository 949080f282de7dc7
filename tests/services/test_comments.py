"""What fleetbot writes on issues: pleasant for people, inert where it repeats somebody's words."""

from __future__ import annotations

import commonmark  # type: ignore[import-untyped]  # it publishes no types
import pytest
from msgspec.structs import replace

from fleetbot.domain.model import (
    AgentName,
    Artifact,
    FiledReceipt,
    Priority,
    Receipt,
    ReceiptId,
    Run,
    RunId,
    RunState,
    Task,
    TaskId,
    TaskState,
    Traits,
    Verdict,
)
from fleetbot.domain.pulls import PullState
from fleetbot.domain.reasons import ReasonCode
from fleetbot.domain.usage import Usage
from fleetbot.domain.waiting import Waiting
from fleetbot.domain.waits import WaitReason
from fleetbot.services.comments import (
    code,
    inline,
    receipt_comment,
    status_comment,
    told,
    usage_text,
)
from tests.domain import builders as a
from tests.domain.builders import World

AT = 1_795_400_000_000
HOME = "https://git.example.org/ann/app"
TASK = Task(
    id=TaskId("t1"),
    version=1,
    repo="ann/app",
    issue=12,
    url=f"{HOME}/issues/12",
    author="ann",
    traits=Traits(title="Greet", kind="bug", priority=Priority.HIGH),
    state=TaskState.CREATED,
    created_at=AT,
    updated_at=AT,
    queued_at=AT,
)
RUN = Run(
    id=RunId("r1"),
    task=TASK.id,
    agent=AgentName("claude-1"),
    attempt=2,
    branch="fleet/12-greet",
    state=RunState.RUNNING,
    assigned_at=AT,
    started_at=AT,
)
RECEIPT = Receipt(
    id=ReceiptId("c1"),
    pull_request=13,
    branch="fleet/12-greet",
    head="5eb63bbbe01eeed093cb22bb8f5acdc3a5cfa1d0",
    files=("hello.py", "test_hello.py"),
    summary="Added `greet()`.",
    usage=Usage(input_tokens=12_345, output_tokens=1_200, cached_tokens=10_000, cost_usd=0.42),
)
FILED = FiledReceipt(
    receipt=RECEIPT, task=TASK.id, run=RUN.id, filed_at=AT, verdict=Verdict.VERIFIED
)


def said(state: TaskState, run: Run | None = RUN, **fields: object) -> str:
    return status_comment(replace(TASK, state=state, **fields), run, 13)


# -- the status comment


def test_a_new_task_waits_for_whoever_can_do_it() -> None:
    traits = replace(TASK.traits, needs=("python", "rust"))
    text = said(TaskState.CREATED, None, traits=traits)
    assert text.startswith("🕓 **Queued** for the next free agent that has `python`, `rust`.")
    assert "bug · high priority · updated 2026-11-23 02:13 UTC" in text


def test_a_task_for_one_agent_says_for_which() -> None:
    text = said(TaskState.CREATED, None, pinned=AgentName("codex-1"))
    assert text.startswith("🕓 **Queued** for `codex-1`.")


def test_a_task_that_waits_for_its_retry_says_until_when_and_why() -> None:
    text = said(
        TaskState.CREATED,
        None,
        attempt=1,
        reason=ReasonCode.TIMEOUT,
        not_before=AT + 60_000,
        detail="too slow",
    )
    assert text.startswith("⏳ **Next attempt after 2026-11-23 02:14 UTC**")
    assert "The last attempt ended: the run took longer than it may." in text
    assert "> too slow" in text
    assert "1 attempt so far" in text


def test_a_task_that_a_person_retries_has_no_past() -> None:
    text = said(TaskState.CREATED, None, reason=ReasonCode.RETRY_BY_USER, detail="too slow")
    assert "The last attempt" not in text
    assert "too slow" not in text


def test_a_running_task_names_agent_branch_and_attempt() -> None:
    text = said(TaskState.RUNNING)
    assert text.startswith("⚙️ **`claude-1` is working on it**, on branch `fleet/12-greet`.")
    assert "attempt 2 · started 2026-11-23 02:13 UTC" in text


def test_a_receipt_under_verification_links_its_pull_request() -> None:
    text = said(TaskState.RUNNING, replace(RUN, receipt=RECEIPT.id))
    assert f"pull request [#13]({HOME}/pulls/13) is being checked" in text


def test_a_refuted_receipt_is_mended_for_the_reasons_given() -> None:
    text = said(TaskState.RUNNING, refuted=("Not in the diff: `a.py`.",))
    assert "🔧 **`claude-1` is mending its work**" in text
    assert "- Not in the diff: `a.py`." in text


def test_a_completed_task_links_its_pull_request() -> None:
    assert said(TaskState.COMPLETED).startswith(
        f"✅ **Done by `claude-1`, and verified**: pull request [#13]({HOME}/pulls/13)."
    )


def test_a_failed_task_says_why_and_what_helps() -> None:
    text = said(TaskState.FAILED, reason=ReasonCode.NO_CHANGES, detail="I saw nothing to do")
    assert text.startswith("❌ **Failed**: the agent ended without changing anything.")
    assert "> I saw nothing to do" in text
    assert "**What helps:** Say in the issue what should change, then retry." in text


@pytest.mark.parametrize("state", list(TaskState))
def test_every_state_has_its_words_even_without_a_run(state: TaskState) -> None:
    assert "**" in status_comment(replace(TASK, state=state), None, None)


# -- the receipt's comment


def test_a_verified_receipt_shows_summary_and_links() -> None:
    text = receipt_comment(TASK, RUN, FILED)
    assert text.startswith("✅ **Receipt of `claude-1`: verified**")
    assert "> Added `greet()`." in text
    assert f"[#13]({HOME}/pulls/13)" in text
    assert f"[`fleet/12-greet`]({HOME}/src/branch/fleet/12-greet)" in text
    assert f"[`5eb63bbbe0`]({HOME}/commit/{RECEIPT.head})" in text
    assert "2 files changed" in text
    assert "12.3k tokens in (10.0k cached), 1.2k out, $0.42" in text


def test_a_refuted_receipt_gives_each_reason() -> None:
    reasons = ("It is closed.", "Not in the diff: `a.py`.")
    filed = replace(FILED, verdict=Verdict.REFUTED, reasons=reasons)
    text = receipt_comment(TASK, RUN, filed)
    assert text.startswith("❌ **Receipt of `claude-1`: refuted.**")
    assert "- It is closed.\n- Not in the diff: `a.py`." in text


def test_an_artifact_is_linked_only_within_the_repository() -> None:
    artifacts = (
        Artifact(kind="log", name="log", url=f"{HOME}/actions/runs/3"),
        Artifact(kind="page", name="prize", url="https://evil.example/"),
        Artifact(kind="page", name="trick", url=f"{HOME}/x) [y](https://evil.example/"),
    )
    filed = replace(FILED, receipt=replace(RECEIPT, artifacts=artifacts))
    text = receipt_comment(TASK, RUN, filed)
    assert f"📎 [`log`]({HOME}/actions/runs/3)" in text
    assert "📎 `prize`\n" in text
    assert "evil.example" not in text


def test_what_the_receipt_says_itself_is_not_told_twice() -> None:
    artifacts = (
        Artifact(kind="pull_request", name="#13", url=f"{HOME}/pulls/13"),
        Artifact(kind="branch", name=RECEIPT.branch, url=f"{HOME}/src/branch/{RECEIPT.branch}"),
        Artifact(kind="commit", name=RECEIPT.head[:10], url=f"{HOME}/commit/{RECEIPT.head}"),
    )
    filed = replace(FILED, receipt=replace(RECEIPT, artifacts=artifacts))
    assert "📎" not in receipt_comment(TASK, RUN, filed)


def test_an_endless_summary_is_cut() -> None:
    filed = replace(FILED, receipt=replace(RECEIPT, summary="word " * 10_000))
    assert len(receipt_comment(TASK, RUN, filed)) < 6_000


# -- words of others


@pytest.mark.parametrize(
    "text",
    [
        "@ann look",
        "closes #12",
        "see ann/app#12 and !13",
        "fixes https://git.example.org/ann/app/issues/12",
        "<!-- fleetbot task:t1 -->",
        "`<!-- fleetbot task:t1 -->`",
        "`` <!-- fleetbot task:t1 --> ``",
        "```\n<!-- fleetbot task:t1 -->\n@ann\n```",
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        "[click](javascript:alert(1))",
        "![pixel](https://evil.example/p.png)",
        "<https://evil.example>",
        "[a]: https://evil.example\n[a]",
        "www.evil.example and WWW.evil.example",
        "&lt;b&gt; &#64;ann",
        "\\[click\\](https://evil.example)",
        "\\@ann \\`<b>\\`",
        "a\u202ereversed\u2066",
        "# Title\n## Another",
        "@\u200bann <\u200b!-- x",
    ],
)
def test_words_of_others_are_only_words(text: str) -> None:
    for shown in (told(text, 1000), f"- {inline(text)}", code(text)):
        assert "<!--" not in shown
        assert "@ann" not in shown
        assert "://" not in shown
        assert "#12" not in shown
        assert "\u202e" not in shown
        page = commonmark.commonmark(shown)
        for tag in ("<a ", "<img", "<script", "<b>", "<h1", "<h2", "<!--"):
            assert tag not in page


def test_words_look_as_they_were_written() -> None:
    text = "Added *greet* & `x < y`:\n\n- 1_000 lines\n- [done]"
    page = commonmark.commonmark(told(text, 1000))
    assert "Added *greet* &amp; <code>x &lt; y</code>:" in page
    assert "<li>1_000 lines</li>" in page
    assert "<li>[done]</li>" in page


def test_usage_that_is_unknown_is_not_shown() -> None:
    assert usage_text(Usage()) == ""
    assert usage_text(Usage(output_tokens=7)) == "7 out"


def waiting_for(text: str, *details: str, reason: WaitReason = WaitReason.AGENT_UNKNOWN) -> str:
    its = Waiting(reason, text, AT, AT + 60_000, "Say `!fleet retry ann/app#12`.", "x", details)
    return status_comment(TASK, None, None, its)


def test_a_wait_says_why_since_when_and_what_helps() -> None:
    said = waiting_for("It is for x, which never registered.", "@ann see #3")
    assert "**Why it waits**, since 2026-11-23 02:13 UTC, until 2026-11-23 02:14 UTC" in said
    assert "It is for x, which never registered." in said
    assert "**What helps:** Say `!fleet retry ann/app#12`." in said, "it can be copied"
    assert "@ann" not in said, "others' words are inert"


def test_words_of_ours_with_a_back_quote_of_somebody_elses_are_inert() -> None:
    said = waiting_for("There is no branch x`@ann <b>.")
    assert "@ann" not in said
    assert "<b>" not in said


def test_what_the_comment_says_anyway_is_not_said_twice() -> None:
    assert "Why it waits" not in waiting_for("It is next.", reason=WaitReason.NEXT)


# -- its pull request


def of_pull(world: World) -> list[str]:
    """What the comment says first."""
    text = status_comment(world.task(), world.state.run_of(world.task()), 7)
    return [line for line in text.splitlines() if line][:3]


def test_what_is_said_of_the_pull_request_stands_on_the_issue() -> None:
    world = a.completed().given(a.follow(a.a_review()))
    assert of_pull(world)[1:] == [
        "🔁 Round 1, for review, on [#7](https://forge.example/team/app/pulls/7).",
        "Changes asked by bob",
    ]


def test_ci_and_people_are_one_line_and_inert() -> None:
    view = a.red("unit", "@ann <b>", red_on_base=("unit", "@ann <b>"), approved_by=("eve",))
    world = a.completed().given(a.follow(view))
    told = "Approved by eve · Red on `main` too, so not ours: `unit`, `@ann <b>`"
    assert of_pull(world)[1] == told


def test_a_merge_is_the_end() -> None:
    merged = a.a_pull(state=PullState.MERGED, merged_by="bob", merged_as="c0ffee1234567")
    assert of_pull(a.completed().given(a.follow(merged)))[:2] == [
        "🎉 **Merged**: pull request [#7](https://forge.example/team/app/pulls/7), by `claude-1`.",
        "Merged by bob, as `c0ffee1234`.",
    ]
