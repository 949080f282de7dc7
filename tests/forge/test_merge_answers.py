"""Merging when the answer is lost, late or odd: what really became of it is looked up."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fleetbot.forge.errors import ForgeUnavailable
from fleetbot.forge.merging import MergeAnswer, Outcome
from fleetbot.forge.models import PullRequest
from fleetbot_devkit.forge import DevForge
from fleetbot_devkit.forge_user import ForgeUser

REPO = "ann/app"
MERGE = r"/pulls/1/merge$"


@pytest.fixture
async def forge(tmp_path: Path) -> AsyncIterator[DevForge]:
    async with DevForge.start(tmp_path) as forge:
        yield forge


@pytest.fixture
async def ann(forge: DevForge) -> AsyncIterator[ForgeUser]:
    async with ForgeUser(forge.url, forge.add_user("ann")) as ann:
        await forge.create_repo("ann", "app", {"README.md": "Hello\n"})
        await forge.commit(REPO, "work", {"work.txt": "work\n"}, "Work", by="ann")
        yield ann


@pytest.fixture
async def pull(ann: ForgeUser) -> PullRequest:
    return await ann.create_pull(REPO, head="work", base="main", title="Work")


async def merged(ann: ForgeUser, pull: PullRequest) -> MergeAnswer:
    return await ann.merge(REPO, pull.number, head_sha=pull.head.sha)


@pytest.mark.parametrize("status", [0, 405, 409, 500, 502])
async def test_a_merge_that_happened_is_one_whatever_was_answered(
    forge: DevForge, ann: ForgeUser, pull: PullRequest, status: int
) -> None:
    forge.fail_next("POST", MERGE, status, applied=True)
    answer = await merged(ann, pull)
    assert answer.outcome is Outcome.ALREADY_MERGED
    assert answer.pull is not None
    assert answer.pull.merged


@pytest.mark.parametrize("status", [0, 404, 502])
async def test_a_merge_that_did_not_arrive_stays_unknown(
    forge: DevForge, ann: ForgeUser, pull: PullRequest, status: int
) -> None:
    forge.fail_next("POST", MERGE, status, text="404 page not found\n")
    with pytest.raises(ForgeUnavailable):
        await merged(ann, pull)
    assert (await merged(ann, pull)).outcome is Outcome.MERGED


async def test_a_branch_that_cannot_be_deleted_does_not_unmake_the_merge(
    forge: DevForge, ann: ForgeUser, pull: PullRequest
) -> None:
    forge.protect(REPO, "work", [])
    answer = await ann.merge(REPO, pull.number, head_sha=pull.head.sha, delete_branch=True)
    assert (answer.outcome, answer.words) == (
        Outcome.ALREADY_MERGED,
        "the head branch is protected",
    )


async def test_a_pull_request_that_is_not_there_is_closed(ann: ForgeUser) -> None:
    answer = await ann.merge(REPO, 7, head_sha="1" * 40)
    assert answer.outcome is Outcome.CLOSED
