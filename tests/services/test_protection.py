"""Accounts of the fleet that could change the branch that work goes to alone are a finding."""

from __future__ import annotations

import pytest

from fleetbot.domain.effects import NoticeKind, RepoNotice
from fleetbot.domain.model import TaskState
from fleetbot.domain.reasons import ReasonCode
from fleetbot.domain.waits import WaitReason
from tests.services.stage import ANN, BOT, REPO, Stage

SOON = 301.0  # seconds, after which a branch is looked at anew


def told(stage: Stage) -> list[tuple[NoticeKind, str]]:
    return [(n.notice, n.detail) for n in stage.notices if isinstance(n, RepoNotice)]


async def look(stage: Stage) -> None:
    stage.clock.advance(SOON)
    await stage.known.look(REPO)


async def test_an_open_branch_is_told_of_once_with_the_clicks_and_work_goes_on(
    stage: Stage,
) -> None:
    await stage.change(unprotected="warn")
    await stage.issue()
    await stage.hear()
    for _ in range(3):
        await look(stage)

    ((kind, detail),) = told(stage)
    assert kind is NoticeKind.REPO_UNPROTECTED
    assert detail.startswith("`main` is open: whoever may write can push to it")
    assert f"{stage.forge.url}/{REPO}/settings/branches" in detail
    assert (await stage.given_running()).task == (await stage.task()).id
    assert (await stage.health.check()).checks["branches"].startswith(f"{REPO}: `main` is open")


async def test_told_before_a_restart_is_told(stage: Stage) -> None:
    await stage.change(unprotected="warn")
    await look(stage)
    stage.restart()
    await look(stage)
    assert len(told(stage)) == 1


async def test_once_it_is_protected_that_is_told_too(stage: Stage) -> None:
    await stage.change(unprotected="warn")
    await look(stage)
    await stage.ann.add_rule(REPO, "main", required_approvals=1)
    await look(stage)
    assert [kind for kind, _ in told(stage)] == [
        NoticeKind.REPO_UNPROTECTED,
        NoticeKind.REPO_PROTECTED,
    ]
    assert "branches" not in (await stage.health.check()).checks


@pytest.mark.parametrize(
    ("rule", "says"),
    [
        ({}, f"`{BOT}` could merge into `main` alone"),
        ({"enable_push": True, "required_approvals": 1}, f"`{BOT}` could push to `main` alone"),
        ({"enable_merge_whitelist": True, "merge_whitelist_usernames": [ANN]}, ""),
        ({"required_approvals": 1}, ""),
    ],
)
async def test_a_rule_that_lets_the_bot_through_is_none(
    stage: Stage, rule: dict[str, object], says: str
) -> None:
    await stage.ann.add_rule(REPO, "main", **rule)
    await stage.change(unprotected="warn")
    await look(stage)
    assert [detail.partition(". ")[0] for _, detail in told(stage)] == ([says] if says else [])


async def test_where_it_lands_by_itself_the_bot_may_merge_and_not_push(stage: Stage) -> None:
    await stage.ann.add_rule(REPO, "main")
    await stage.change(unprotected="warn", lands_itself=True)
    await look(stage)
    assert told(stage) == []


async def test_refused_nothing_of_it_is_given_out_until_it_is_mended(stage: Stage) -> None:
    await stage.change(unprotected="refuse")
    await stage.issue()
    await stage.hear()
    await look(stage)
    task = await stage.task()
    waits = stage.fleet.waiting(task.id)
    assert waits is not None
    assert waits.reason is WaitReason.REPOSITORY_HELD
    assert "could change the branch" in waits.text
    assert "settings/branches" in waits.details[0]
    held = stage.fleet.state.places.repos[stage.repo_id].held
    assert held is ReasonCode.REPO_UNPROTECTED

    await stage.ann.add_rule(REPO, "main", required_approvals=1)
    await look(stage)
    assert (await stage.given_running()).task == task.id
    assert (await stage.task()).state is TaskState.RUNNING


async def test_what_cannot_be_read_is_as_it_was(stage: Stage) -> None:
    await stage.change(unprotected="refuse")
    await look(stage)
    stage.forge.fail_next("GET", r"/branches/main$", 503, times=9)
    await look(stage)
    assert stage.fleet.state.places.repos[stage.repo_id].held is ReasonCode.REPO_UNPROTECTED
