"""What may not be changed in a run; for who mends CI, what CI looks for."""

from __future__ import annotations

import pytest

from fleetbot.domain import commands as cmd
from fleetbot.domain.model import ReceiptId, TaskState, Verdict
from fleetbot.domain.pulls import Check, PullState, PullView
from fleetbot.services.off_limits import off_limits
from tests.services.stage import BOT, REPO, TEST, Stage

CI = ".woodpecker/test.yml"


async def given_red(stage: Stage, path: str) -> None:
    """A task whose draft, which changes a file, was verified, and then CI went red."""
    run = await stage.given_running()
    pull = await stage.pull_request(run, path=path)
    await stage.given_receipt(run, pull, path=path)
    await stage.verifier.tick()
    view = PullView(
        number=pull.number,
        state=PullState.OPEN,
        head=pull.head.sha,
        base="main",
        ci="red",
        failing=(Check(context="test", state="failure", log="E 1"),),
    )
    await stage.fleet.commit(cmd.FollowPull((await stage.task()).id, view), TEST)


async def mended(stage: Stage, path: str) -> ReceiptId:
    """The receipt of a fix that changes this file as well."""
    run = await stage.given_running()
    number = next(iter(stage.fleet.state.receipts.values())).receipt.pull_request
    files = {path: "when: never\n", "hello.txt": "hi\n"}
    await stage.forge.commit(REPO, run.branch, files, "Mend it", by=BOT)
    pull = await stage.client.pull(REPO, number)
    receipt = await stage.given_receipt(run, pull, path=path)
    await stage.verifier.tick()
    return receipt


@pytest.fixture
async def stage(stage: Stage) -> Stage:
    await stage.issue()
    await stage.hear()
    return stage


async def test_a_fix_for_ci_does_not_touch_its_configuration(stage: Stage) -> None:
    await given_red(stage, "hello.txt")
    assert CI.partition("/")[0] in " ".join(await off_limits(stage.fleet, await stage.task(), ()))

    receipt = stage.fleet.state.receipts[await mended(stage, CI)]

    assert receipt.verdict is Verdict.REFUTED
    assert f"These paths may not be changed by an agent: `{CI}`." in receipt.reasons


async def test_a_task_that_is_about_that_configuration_goes_on_with_it(stage: Stage) -> None:
    await given_red(stage, CI)

    receipt = stage.fleet.state.receipts[await mended(stage, CI)]

    assert receipt.verdict is Verdict.VERIFIED
    assert (await stage.task()).state is TaskState.COMPLETED


async def test_elsewhere_only_what_is_configured_is_off_limits(stage: Stage) -> None:
    assert await off_limits(stage.fleet, await stage.task(), ("secrets/",)) == ("secrets/",)
