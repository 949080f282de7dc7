"""The development forge's Actions: what it tells of runs, and what of jobs from v16 on."""

from __future__ import annotations

from pathlib import Path

import pytest

from fleetbot.forge.errors import ForgeError, ForgeNotFound
from fleetbot.forge.payloads import ActionRunEvent, parse_delivery
from fleetbot_devkit.forge import DevForge
from fleetbot_devkit.forge_user import ForgeUser

REPO = "ann/app"


async def prepared(forge: DevForge) -> tuple[ForgeUser, str]:
    token = forge.add_user("ann")
    repo = await forge.create_repo("ann", "app", {"README.md": "Hello\n"})
    return ForgeUser(forge.url, token), repo.refs["refs/heads/main"]


@pytest.mark.parametrize("version", [15, 16])
async def test_jobs_and_their_logs_are_told_from_v16_on(tmp_path: Path, version: int) -> None:
    async with DevForge.start(tmp_path, tells_of_jobs=version >= 16) as forge:
        ann, sha = await prepared(forge)
        async with ann:
            forge.ran(REPO, sha, "failure", by="ann", log="one\ntwo\n")
            forge.ran(REPO, sha, "success", by="ann", workflow="lint.yml")

            lint, tests = await ann.action_runs(REPO, sha)

            assert (lint.workflow_id, lint.status) == ("lint.yml", "success")
            assert (tests.workflow_id, tests.status) == ("ci.yml", "failure")
            assert tests.html_url.endswith(f"/{REPO}/actions/runs/1")
            assert await ann.action_runs(REPO, "1" * 40) == ()
            contexts = {one.context: one.status for one in await ann.contexts(REPO, sha)}
            assert contexts == {
                "ci.yml / test (push)": "failure",
                "lint.yml / test (push)": "success",
            }
            jobs = await ann.action_jobs(REPO, tests.id)
            if version < 16:
                assert jobs is None
                assert await ann.action_log(REPO, 1) is None
                return
            assert jobs is not None
            assert [(job.name, job.status) for job in jobs] == [("test", "failure")]
            assert await ann.action_log(REPO, jobs[0].id) == "one\ntwo\n"
            assert await ann.action_log(REPO, 1) is None


async def test_hooks_hear_of_runs_that_have_ended_and_of_recoveries(tmp_path: Path) -> None:
    async with DevForge.start(tmp_path) as forge:
        ann, sha = await prepared(forge)
        async with ann:
            events = ["action_run_failure", "action_run_success", "action_run_recover"]
            await ann.create_hook(REPO, "http://127.0.0.1:9/hook", "hush", events)
            for status in ("running", "cancelled", "success", "success"):
                forge.ran(REPO, sha, status, by="ann")

            told = [parse_delivery(one.headers, one.body) for one in forge.deliveries]

            assert [one.event_type for one in told] == [
                "action_run_failure",
                "action_run_success",
                "action_run_recover",
                "action_run_success",
            ]
            last = told[-1].payload
            assert isinstance(last, ActionRunEvent)
            assert (last.run.commit_sha, last.repository.full_name) == (sha, REPO)


async def test_a_job_that_has_ended_is_run_again_where_there_is_a_call_for_that(
    tmp_path: Path,
) -> None:
    async with DevForge.start(tmp_path, tells_of_jobs=True) as forge:
        ann, sha = await prepared(forge)
        async with ann:
            run = forge.ran(REPO, sha, "failure", by="ann", log="one\n")
            job = run.jobs[0].id
            assert not await ann.can_rerun(REPO, job)
            with pytest.raises(ForgeNotFound):
                await ann.rerun(REPO, job)

            forge.run_jobs_again()

            assert await ann.can_rerun(REPO, job)
            await ann.rerun(REPO, job)
            assert {one.status for one in await ann.contexts(REPO, sha)} == {"pending"}
            with pytest.raises(ForgeError) as refused:
                await ann.rerun(REPO, job)
            assert refused.value.status == 400
            forge.ran_again(REPO, run, "success", log="two\n")
            assert {one.status for one in await ann.contexts(REPO, sha)} == {"success"}
            assert await ann.action_log(REPO, job) == "two\n"
