"""A run on an open pull request: what reviewers, CI and the base ask for, and what is handed in."""

from __future__ import annotations

import re
from typing import Any

import pytest

from fleetbot.domain.model import Verdict
from fleetbot.domain.pulls import Answer, RoundKind
from fleetbot.domain.reasons import ReasonCode
from fleetbot.wire import (
    Assignment,
    FailedCheck,
    ReceiptRequest,
    ReviewThread,
    RoundBrief,
    SaidWords,
)
from fleetbot_devkit.model import Reply, Request, ScriptedModel
from tests.runner.adapters.agents import Agent
from tests.runner.adapters.harness import KEY
from tests.runner.boxes import found_sandbox
from tests.runner.orchestrator import Finding
from tests.runner.run.test_handover import Paused, paused  # noqa: F401 - the fixture
from tests.runner.scene import REPO, Scene
from tests.runner.test_agents import configured

GREETS_BETTER = "echo hello, world > hello.txt && git commit -qam 'Greet the world'"


def ada(text: str) -> SaidWords:
    return SaidWords(author="ada", text=text, may_write=True)


def thread(number: int, *words: str) -> ReviewThread:
    said = tuple(map(ada, words or ("Greet the world, not nobody.",)))
    hunk = "@@ -0,0 +1 @@\n+hello"
    return ReviewThread(id=number, path="hello.txt", line=1, words=said, hunk=hunk)


class Review:
    """A task with an open pull request, by whoever, and orders for rounds on it."""

    def __init__(self, scene: Scene, first: Assignment, number: int, head: str) -> None:
        self.scene = scene
        self.first = first
        self.number = number
        self.head = head

    async def order(
        self, *kinds: RoundKind, forbidden_paths: tuple[str, ...] = (), **fields: Any
    ) -> Assignment:
        brief: dict[str, Any] = {
            "number": 1,
            "kinds": kinds or (RoundKind.REVIEW,),
            "pull_request": self.number,
            "head": self.head,
        }
        return await self.scene.order(
            issue=self.first.issue,
            task=self.first.task,
            number=2,
            round=RoundBrief(**(brief | fields)),
            forbidden_paths=forbidden_paths,
        )

    async def carry_out(self, script: str, order: Assignment, **parts: str) -> None:
        await self.scene.carry_out(script, order, **parts)

    @property
    def receipt(self) -> ReceiptRequest:
        return self.scene.orchestrator.receipts[-1]

    @property
    def answers(self) -> dict[int, tuple[Answer, str]]:
        return {one.thread: (one.answer, one.text) for one in self.receipt.replies}


@pytest.fixture
async def review(scene: Scene) -> Review:
    first = await scene.order()
    files = {"hello.txt": "hello\n"}
    head = await scene.forge.commit(REPO, first.branch, files, "Add a greeting", by="fleet")
    opened = {"head": first.branch, "base": "main", "title": "Say hello"}
    pull = await scene.call("POST", f"/repos/{REPO}/pulls", opened, token=scene.fleet)
    return Review(scene, first, pull["number"], head)


# the real programs


@pytest.fixture(params=["claude-code live", "codex live"])
def agent(
    request: pytest.FixtureRequest, model: ScriptedModel, monkeypatch: pytest.MonkeyPatch
) -> Agent:
    kind, mode = request.param.split()
    agent = Agent(kind, mode, request.getfixturevalue(kind.partition("-")[0]), model)
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    for name, value in agent.env.items():
        monkeypatch.setenv(name, value)
    return agent


async def test_a_real_program_does_a_round_in_the_session_that_made_the_draft(
    scene: Scene, agent: Agent
) -> None:
    asked = configured(agent, 'permissions = "ask"')
    agent.model.then(agent.shell("echo hello > hello.txt"), Reply(text="I greet."))
    first = await scene.order()
    await scene.carry_out("", first, agents=asked)
    draft = scene.orchestrator.receipts[0]
    review = Review(scene, first, draft.pull_request, draft.head)

    def answers(request: Request) -> Reply:
        (command,) = set(re.findall(r"(\S*fleetbot reply) 12 fixed", request.text))
        return agent.shell(f"{command} 12 fixed 'It greets the world.'")

    better = agent.shell("echo hello, world > hello.txt")
    agent.model.then(better, answers, Reply(text="Done."))
    red = FailedCheck(context="lint", state="failure", log="hello.txt:1: no world in it")
    kinds = (RoundKind.REVIEW, RoundKind.CI)
    order = await review.order(*kinds, threads=(thread(12),), checks=(red,))
    await review.carry_out("", order, agents=asked)

    assert scene.orchestrator.failures == {}
    assert scene.orchestrator.asked == {}
    assert review.answers == {12: (Answer.FIXED, "It greets the world.")}
    assert review.receipt.head != review.head
    asked_for = agent.model.requests[2].text
    assert "Greet the world, not nobody." in asked_for
    assert "hello.txt:1: no world in it" in asked_for
    assert "I greet." in asked_for  # it is the same conversation
    (pull,) = await scene.pulls()
    assert "I greet." in pull["body"]  # which says what all of it is about


# reviews


async def test_any_program_answers_threads_and_its_answers_come_with_the_receipt(
    review: Review,
) -> None:
    script = f"""
        fleetbot reply 12 answered 'It need not.'
        {GREETS_BETTER}
        fleetbot reply 12 fixed It greets the world.
        fleetbot reply 13 fixed --commit $(git rev-parse HEAD)
        fleetbot reply 14 fixed --commit {"1" * 40}
        printf 'No:\n\nnobody reads it' | fleetbot reply '#15' disagrees -
    """

    await review.carry_out(script, await review.order(threads=tuple(map(thread, range(12, 16)))))

    assert review.answers == {
        12: (Answer.FIXED, "It greets the world."),
        13: (Answer.FIXED, ""),
        14: (Answer.FIXED, ""),
        15: (Answer.DISAGREES, "No:\n\nnobody reads it"),
    }
    commits = [one.commit for one in review.receipt.replies]
    assert commits == ["", review.receipt.head, "", ""]  # of one that is not there, the newest
    assert review.receipt.pull_request == review.number
    (pull,) = await review.scene.pulls()
    assert pull["head"]["sha"] == review.receipt.head
    assert f"Resolves #{review.first.issue}" in pull["body"]


async def test_words_alone_are_an_answer_to_threads(review: Review) -> None:
    script = "fleetbot reply 12 answered So it was asked.; fleetbot reply 13 disagrees Why?"

    await review.carry_out(script, await review.order(threads=(thread(12), thread(13))))

    assert review.receipt.head == review.head
    assert set(review.answers) == {12, 13}
    assert review.scene.orchestrator.failures == {}


async def test_neither_commits_nor_answers_are_no_result(review: Review) -> None:
    order = await review.order(threads=(thread(12), thread(13)))

    await review.carry_out("fleetbot reply 12 answered So it was asked.", order)

    failure = review.scene.orchestrator.failures[order.run]
    assert failure.reason is ReasonCode.NO_CHANGES
    assert "left 1 thread without an answer" in failure.detail
    assert review.scene.orchestrator.receipts == []


async def test_answers_are_given_in_a_sandbox_without_a_network(review: Review) -> None:
    box = await found_sandbox()
    settings = f"""
        sandbox = "bubblewrap"
        [agents.bubblewrap]
        program = "{box.program}"
        network = false
    """

    await review.carry_out(
        "fleetbot reply 12 answered So it was asked.",
        await review.order(threads=(thread(12),)),
        agent=settings,
    )

    assert review.scene.orchestrator.failures == {}
    assert review.answers == {12: (Answer.ANSWERED, "So it was asked.")}


async def test_answers_of_a_refuted_result_are_kept_and_asked_for_no_more(review: Review) -> None:
    told = review.scene.root / "told"
    order = await review.order(threads=(thread(12), thread(13)))
    review.scene.orchestrator.findings.append(Finding(Verdict.REFUTED, ("not yet",)))
    script = f"""
        cp $FLEETBOT_PROMPT_FILE {told}-$(test -e {told}-1 && echo 2 || echo 1)
        test -e {told}-2 && fleetbot reply 13 disagrees 'No.' || fleetbot reply 12 fixed
        date +%N > d.txt
    """

    await review.carry_out(script, order)

    assert review.answers == {12: (Answer.FIXED, ""), 13: (Answer.DISAGREES, "No.")}
    assert "Thread 12" in (told.parent / "told-1").read_text()
    assert "- not yet" in (told.parent / "told-2").read_text()


async def test_words_of_an_attempt_that_failed_are_those_of_the_next_one(review: Review) -> None:
    """What it says is fixed is not: that may be gone with its commits."""
    told = review.scene.root / "told"
    threads = (thread(12), thread(13), thread(14))
    order = await review.order(threads=threads)
    says = "fleetbot reply 12 disagrees 'It is a greeting.'; fleetbot reply 13 fixed"
    await review.carry_out(f"{says}; exit 1", order)
    assert review.scene.orchestrator.failures[order.run].reason is ReasonCode.AGENT_FAILED

    script = f"cp $FLEETBOT_PROMPT_FILE {told}; fleetbot reply 14 answered Yes.; {GREETS_BETTER}"
    await review.carry_out(script, await review.order(threads=threads))

    assert review.answers == {
        12: (Answer.DISAGREES, "It is a greeting."),
        14: (Answer.ANSWERED, "Yes."),
    }
    assert "Thread 12" in told.read_text()


# CI


async def test_who_mends_ci_is_told_what_it_says_and_may_not_change_what_it_does(
    review: Review,
) -> None:
    told = review.scene.root / "told.md"
    check = FailedCheck(context="test / unit", state="failure", log="E  assert ```\nE  1 failed")
    order = await review.order(
        RoundKind.CI, checks=(check,), forbidden_paths=(".forgejo/workflows",)
    )
    script = f"""
        cp $FLEETBOT_PROMPT_FILE {told}
        if test -d .forgejo; then git rm -rq .forgejo; echo hi > hello.txt; else
        mkdir -p .forgejo/workflows && echo 'on: never' > .forgejo/workflows/ci.yml; fi
    """

    await review.carry_out(script, order)

    assert (
        "not pushed: These paths may not be changed by an agent: `.forgejo/workflows/ci.yml`"
        in (review.scene.orchestrator.log_of(order.run))
    )
    assert review.receipt.files == ("hello.txt",)
    assert "`test / unit`, failure" in told.read_text()
    assert "````text\nE  assert ```\nE  1 failed\n````" in told.read_text()


# the base, and people on the branch


async def test_conflicts_that_were_left_go_back_to_the_agent(review: Review) -> None:
    newest = await review.scene.forge.commit(REPO, "main", {"hello.txt": "hi"}, "Hi", by="ada")
    told = review.scene.root / "told.md"
    order = await review.order(RoundKind.CONFLICT, base="main", base_head=newest)
    script = f"test -e {told} && echo 'hello, hi' > hello.txt; cp $FLEETBOT_PROMPT_FILE {told}"

    await review.carry_out(script, order)

    assert "`hello.txt`: the conflict with main is not resolved" in told.read_text()
    assert "The merge of `main` is in progress" in told.read_text()
    parents = review.scene.on_forge("log", "-1", "--format=%P", review.receipt.head)
    assert parents.split() == [review.head, newest]
    assert review.scene.on_forge("show", f"{review.receipt.head}:hello.txt") == "hello, hi"


async def test_what_people_push_meanwhile_is_never_overwritten(
    review: Review,
    paused: Paused,  # noqa: F811 - the fixture
) -> None:
    scene, order = review.scene, await review.order(threads=(thread(12),))
    async with paused.run(scene, order, f"{GREETS_BETTER}; fleetbot reply 12 fixed"):
        theirs = await scene.forge.commit(REPO, order.branch, {"t.txt": "t"}, "Mine", by="ada")

    assert scene.orchestrator.failures[order.run].reason is ReasonCode.BRANCH_CONFLICT
    assert scene.on_forge("rev-parse", order.branch) == theirs

    again = await review.order(threads=(thread(12),))
    await review.carry_out(f"{GREETS_BETTER}; fleetbot reply 12 fixed", again)
    assert scene.on_forge("log", "--format=%H", again.branch).splitlines()[1] == theirs
    assert review.receipt.files == ("hello.txt", "t.txt")


async def test_a_pull_request_that_was_closed_meanwhile_gets_nothing_and_no_other_one(
    review: Review,
    paused: Paused,  # noqa: F811 - the fixture
) -> None:
    scene, order = review.scene, await review.order(threads=(thread(12),))
    async with paused.run(scene, order, GREETS_BETTER):
        path = f"/repos/{REPO}/pulls/{review.number}"
        await scene.call("PATCH", path, {"state": "closed"})

    failure = scene.orchestrator.failures[order.run]
    assert failure.reason is ReasonCode.FORGE_REFUSED
    assert "was closed while the agent worked" in failure.detail
    assert scene.on_forge("rev-parse", order.branch) == review.head
    assert len(await scene.pulls()) == 1


async def test_a_draft_that_people_made_of_it_stays_one(review: Review) -> None:
    path = f"/repos/{REPO}/pulls/{review.number}"
    await review.scene.call("PATCH", path, {"title": "WIP: Say hello"})

    await review.carry_out(GREETS_BETTER, await review.order(threads=(thread(12),)))

    (pull,) = await review.scene.pulls()
    assert pull["title"] == "WIP: Say hello"
